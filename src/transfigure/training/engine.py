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
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
import torch.distributed
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import RunFailure, UserError
from ..progress import without_warnings
from ..recipe import Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

M = TypeVar("M", bound=nn.Module)
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
_HALVES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def cpu_has_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 (AVX512-BF16 or AMX), so that it is faster than float32 and not slower."""
    return any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16"))


class Engine:
    """Where and how a training computes.

    Args:
        training: the recipe's training section (devices, accelerator, precision, sync_batchnorm).

    Raises:
        UserError: an accelerator or a number of devices that this machine does not have.
    """

    def __init__(self, training: Training) -> None:
        if training.accelerator == "cuda" and not torch.cuda.is_available():
            raise UserError("training.accelerator is cuda, but torch sees no CUDA device here: use --training.accelerator cpu or auto")
        if training.accelerator == "mps" and not torch.backends.mps.is_available():
            raise UserError("training.accelerator is mps, but there is no Apple GPU here: use --training.accelerator cpu or auto")
        self.device, self.rank, self.world_size = _one_device(training.accelerator), 0, 1
        """This process's device; its number (0 writes the files); and how many processes train together."""
        if training.devices * training.nodes > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1:
            self._fabric = fabric = _launched(training)  # which looks after the processes that it started
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


def _launched(training: Training) -> Fabric:
    """Processes that know of each other, this one among them."""
    with without_warnings():
        from lightning_fabric import Fabric

        logging.getLogger("lightning_fabric").setLevel(logging.ERROR)  # its import sets INFO, and it has advice
        try:
            fabric = Fabric(accelerator=training.accelerator, devices=training.devices, num_nodes=training.nodes, strategy="ddp")
        except Exception as error:
            raise UserError(f"cannot use {training.devices} x {training.accelerator}: {' '.join(str(error).split())}") from error
        fabric.launch()
    return fabric
