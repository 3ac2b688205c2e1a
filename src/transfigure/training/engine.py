"""Devices, precision and processes: the only file that imports Fabric, and only for more than one process (the import takes seconds).

Gradients are averaged here rather than by a DistributedDataParallel wrapper: in a GAN step the discriminator runs three times and is
frozen for one of them, which a wrapper that expects one forward per backward handles badly (buffers broadcast in the middle of a step,
reductions that wait for gradients that never come). One flat all-reduce after each backward is simple and exact.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
import torch.distributed
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import RunFailure, UserError
from ..processes import PARENT
from ..progress import without_warnings
from ..recipe import Training
from .launch import Launcher, check_devices, interface_towards, launcher_of, start_others, variables

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from .peers import Peers

M = TypeVar("M", bound=nn.Module)
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
_COLLECTIVE = timedelta(days=1)
"""For which processes wait for each other in one operation. While process 0 validates the others wait; who is gone is noticed otherwise."""
_HALVES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def cpu_has_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 (AVX512-BF16 or AMX), so that it is faster than float32 and not slower."""
    return any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16"))


class Engine:
    """Where and how a training computes.

    Args:
        training: the recipe's training section (devices, accelerator, precision, sync_batchnorm).

    Raises:
        UserError: an accelerator or a number of devices that this machine does not have; other numbers than those that were started.
        RunFailure: not all processes came.
    """

    def __init__(self, training: Training) -> None:
        if training.accelerator == "cuda" and not torch.cuda.is_available():
            raise UserError("training.accelerator is cuda, but torch sees no CUDA device here: use --training.accelerator cpu or auto")
        if training.accelerator == "mps" and not torch.backends.mps.is_available():
            raise UserError("training.accelerator is mps, but there is no Apple GPU here: use --training.accelerator cpu or auto")
        self.device, self.rank, self.world_size = _one_device(training.accelerator), 0, 1
        """This process's device; its number (0 writes the files); and how many processes train together."""
        self._peers: Peers | None = None
        self._held = contextlib.ExitStack()
        if (launcher := launcher_of(training)) is not None:
            self._fabric, self._peers = _launched(training, launcher, self._held)
            fabric = self._fabric
            self.device, self.rank, self.world_size = torch.device(fabric.device), int(fabric.global_rank), int(fabric.world_size)
        if training.sync_batchnorm and self.device.type != "cuda":
            raise UserError("training.sync_batchnorm works on CUDA devices only: leave it out, or use --generator.norm instance")
        if training.precision == "16-mixed" and self.device.type not in ("cuda", "cpu"):
            raise UserError(f"training.precision 16-mixed is for CUDA devices, and this one is {self.device.type}: use 32-true")
        self.sync_batchnorm = training.sync_batchnorm
        self.precision: Precision = training.precision
        self._scalers: dict[Optimizer, torch.amp.GradScaler] = {}

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    @contextlib.contextmanager
    def as_one(self, way_on: Callable[[], str]) -> Iterator[None]:
        """What ends one process meanwhile ends all, and one of them says what it was.

        Args:
            way_on: what a person can do if a process is gone, in words.

        Raises:
            ToldByAnother: another process says it.
            RunFailure: a process is gone.
        """
        if self._peers is None:
            yield
            return
        self._peers.on_the_way(way_on)
        with self._held:
            try:
                yield
            except BaseException as error:  # also a signal's
                if (raised := self._peers.end(error)) is error:
                    raise
                raise raised from error
            self._peers.leave()

    def place(self, network: M, memory_format: torch.memory_format) -> M:
        """The network on this process's device, equal on all ranks, with synchronised batch norm if asked for."""
        if self.sync_batchnorm:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        network = network.to(self.device).to(memory_format=memory_format)  # type: ignore[call-overload]
        if self.world_size > 1:
            for tensor in network.state_dict().values():
                torch.distributed.broadcast(tensor, src=0)
        return network

    def choose_precision(self, target_dtype: str) -> None:
        """Decide what ``auto`` is here: bfloat16 where the device multiplies it faster than float32 and 8-bit targets do not need more.

        Elsewhere float32: a CPU that emulates bfloat16 is half as fast (measured: 0.54x), its 8 significant bits are fewer than deep images
        have, and float16, which older GPUs have instead, leaves updates out until its scale fits: whoever wants that says so.

        Args:
            target_dtype: the type of the target files, such as ``uint8``.
        """
        if self.precision == "auto":
            self.precision = "32-true" if self.any(not self.bfloat16_fits(target_dtype))[0] else "bf16-mixed"  # one for all processes

    def bfloat16_fits(self, target_dtype: str) -> bool:
        """Whether ``auto`` would be bfloat16 on this process's device; argument as of :meth:`choose_precision`."""
        has = cpu_has_bfloat16() if self.device.type == "cpu" else self._capability() >= (8, 0)
        return has and target_dtype == "uint8"

    def float16_fits(self) -> bool:
        """Whether this is a GPU whose only fast format is float16: it has tensor cores, and no bfloat16 (V100, T4)."""
        return (7, 0) <= self._capability() < (8, 0)

    def _capability(self) -> tuple[int, int]:
        """Of a CUDA device, (0, 0) of any other."""
        return torch.cuda.get_device_capability(self.device) if self.device.type == "cuda" else (0, 0)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The precision for forward passes."""
        half = _HALVES.get(self.precision)
        return torch.autocast(self.device.type, half) if half else contextlib.nullcontext()

    def full_precision(self) -> contextlib.AbstractContextManager[Any]:
        """The precision for what is differentiated twice: that of :meth:`autocast`, but float32 in place of float16.

        The gradients of a gradient are too small for float16, and the scale of a loss does not reach the inner ones.
        """
        return contextlib.nullcontext() if self.precision == "16-mixed" else self.autocast()

    def scaler(self, optimizer: Optimizer) -> torch.amp.GradScaler | None:
        """What scales the losses of an optimizer, so that float16 holds their gradients; None in other formats.

        Each optimizer has its own: the gradients of G and D are of different sizes, and an overflow of one leaves the other's update alone.
        """
        if self.precision != "16-mixed":
            return None
        if optimizer not in self._scalers:
            self._scalers[optimizer] = torch.amp.GradScaler(self.device.type)
        return self._scalers[optimizer]

    def renew_scalers(self) -> None:
        """Forget an update that broke off half-way; the scales stay."""
        for optimizer, scaler in self._scalers.items():
            state = scaler.state_dict()
            self._scalers[optimizer] = torch.amp.GradScaler(self.device.type)
            self._scalers[optimizer].load_state_dict(state)

    def step(self, optimizer: Optimizer) -> None:
        """One step of an optimizer, and its gradients are gone. In float16 it is left out where a gradient is infinite."""
        if (scaler := self.scaler(optimizer)) is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        optimizer.zero_grad(set_to_none=True)  # now, so that gradients and activations need not be held at the same time

    def backward(
        self, loss: Tensor, *networks: nn.Module, optimizer: Optimizer | None = None, shared: bool = False, more: bool = False
    ) -> None:
        """Add the gradients of the loss to those of some networks, and average them over all processes.

        Args:
            loss: a scalar with its graph.
            networks: whose gradients are averaged.
            optimizer: the one that :meth:`step` is called with next; in float16 its scale multiplies the gradients until then.
            shared: the graph is another loss's too. It is kept, and nothing is computed for the weights of other networks in it.
            more: the gradients of another loss are to be added to these, which are averaged with the last of them.
        """
        if optimizer is not None and (scaler := self.scaler(optimizer)) is not None:
            loss = scaler.scale(loss)
        if shared:
            loss.backward(retain_graph=True, inputs=[weight for network in networks for weight in network.parameters()])  # type: ignore[no-untyped-call]
        else:
            loss.backward()  # type: ignore[no-untyped-call]
        if self.world_size > 1 and not more:
            gradients = [parameter.grad for network in networks for parameter in network.parameters() if parameter.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(flat)
            flat /= self.world_size
            for gradient, part in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a small tensor over all processes."""
        if self.world_size > 1:
            values = values.clone()
            torch.distributed.all_reduce(values)
            values /= self.world_size
        return values

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Whether each flag is set in any process; all must ask together."""
        if self.world_size == 1:
            return flags
        votes = torch.tensor([float(flag) for flag in flags], device=self.device)
        torch.distributed.all_reduce(votes)
        return tuple(vote > 0 for vote in votes.tolist())

    def gather(self, thing: Any) -> list[Any]:
        """One object of every process, in rank order."""
        if self.world_size == 1:
            return [thing]
        things: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(things, thing)
        return things

    def gather_in_lead(self, thing: Any) -> list[Any]:
        """One object of every process, in rank order, in the process that leads; the others get theirs alone."""
        if self.world_size == 1:
            return [thing]
        things: list[Any] = [None] * self.world_size
        torch.distributed.gather_object(thing, things if self.leads else None, dst=0)
        return things if self.leads else [thing]

    def barrier(self) -> None:
        """Wait for every process."""
        if self.world_size > 1:
            torch.distributed.barrier()

    def check_in_step(self, networks: Sequence[nn.Module]) -> None:
        """Every process must hold the same weights, bit for bit.

        Raises:
            RunFailure: they do not; averaging them further would train nothing.
        """
        if self.world_size == 1:
            return
        digest = hashlib.sha256()
        for network in networks:
            for parameter in network.parameters():
                digest.update(parameter.detach().float().cpu().numpy().tobytes())
        if len(set(self.gather(digest.hexdigest()))) > 1:
            raise RunFailure("the processes' weights have drifted apart: resume from the last checkpoint on one device (--devices 1)")


def _one_device(accelerator: str) -> torch.device:
    """The one device of a training in one process; ``auto`` is the best there is."""
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return torch.device(accelerator, 0) if accelerator == "cuda" else torch.device(accelerator)


def _launched(training: Training, launcher: Launcher, held: contextlib.ExitStack) -> tuple[Fabric, Peers]:
    """Processes that know of each other, this one among them.

    Args:
        training: the recipe's training section.
        launcher: who starts them.
        held: what holds until the training ends.
    """
    if not torch.distributed.is_available():
        raise UserError("this torch was built without torch.distributed, and trains with one process only: leave out --devices")
    from .peers import Peers, Seat, of_training, serve

    check_devices(training)
    local_rank, node = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("NODE_RANK", "0"))
    store, children = None, []
    if launcher == "here" and local_rank == 0 and PARENT not in os.environ:
        values = {"LOCAL_RANK": "0", "NODE_RANK": str(node), "WORLD_SIZE": str(training.devices * training.nodes)}
        if training.nodes == 1:
            store = serve()
            values |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
        held.enter_context(variables(**values))
        children = start_others(training.devices)
    try:
        with without_warnings():
            fabric = _fabric(training, launcher)
            environment = fabric.strategy.cluster_environment  # type: ignore[attr-defined]
            local_rank, node = int(environment.local_rank()), int(environment.node_rank())
            rank = int(environment.global_rank()) if launcher in ("torchrun", "slurm") else node * training.devices + local_rank
            served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # by torchrun itself
            address, port = str(environment.main_address), int(environment.main_port)
            seat = Seat(rank, training.devices * training.nodes, local_rank, address, port, rank == 0 and not served)
            peers = Peers(seat, of_training(training.to_dict()), store, children)
    except BaseException:
        for child in children:
            child.kill()
        raise
    if fabric.device.type == "cpu" and training.nodes > 1 and (name := interface_towards(address)) not in (None, "lo"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", str(name))
    try:
        fabric.launch()
    except BaseException as error:  # also a signal's
        if (raised := peers.end(error)) is error:
            raise
        raise raised from error
    return fabric, peers


def _fabric(training: Training, launcher: Launcher) -> Fabric:
    """What knows the devices, and the launchers' variables."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # its import sets INFO, and it has advice
    if launcher == "slurm":
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(training.devices))  # without which it goes no further
    try:
        return Fabric(
            accelerator=training.accelerator,
            devices=training.devices,
            num_nodes=training.nodes,
            strategy=DDPStrategy(timeout=_COLLECTIVE),
            plugins=[LightningEnvironment()] if launcher == "here" else None,
        )
    except Exception as error:
        raise UserError(f"cannot use {training.devices} x {training.accelerator}: {' '.join(str(error).split())}") from error
