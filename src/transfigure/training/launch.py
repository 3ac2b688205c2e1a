"""How the processes of one training come to be: started here, by torchrun, by SLURM, or by somebody who numbers them.

Each launcher has its own environment variables for the same few numbers. Here they are read, compared with the recipe, and told apart;
what the processes do with each other is in ``peers.py``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import torch

from ..errors import UserError
from ..processes import PARENT
from ..recipe import Training

Launcher = Literal["here", "torchrun", "slurm", "others"]
"""``here``: this process starts the others of its machine, or was started so."""
_OTHERS = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "LSB_DJOB_RANKFILE")


_seat = [0]


def take_seat(rank: int) -> None:
    """This process has that number among those that train together."""
    _seat[:] = [rank]


def leads() -> bool:
    """Whether this process trains alone, or writes the files of several that train together, now or last."""
    return _seat == [0]


def launcher_of(training: Training, environment: Mapping[str, str] = os.environ) -> Launcher | None:
    """Who starts the processes of a training; None if it is one process.

    Args:
        training: the recipe's training section (devices, nodes).
        environment: the variables of this process.

    Raises:
        UserError: somebody started more or fewer processes than the recipe trains with, or nothing says which of the machines this is.
    """
    wanted = training.devices * training.nodes
    if PARENT in environment:
        return "here"
    if "TORCHELASTIC_RUN_ID" in environment:
        world, local = int(environment.get("WORLD_SIZE", "1")), int(environment.get("LOCAL_WORLD_SIZE", "1"))
        _compare("torchrun", world, local, training)
        return "torchrun" if wanted > 1 else None
    if "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in ("bash", "interactive"):  # there one types by hand
        tasks = int(environment["SLURM_NTASKS"])
        nodes = int(environment.get("SLURM_NNODES", environment.get("SLURM_JOB_NUM_NODES", "1")))
        if wanted == 1 and int(environment.get("SLURM_STEP_NUM_TASKS", "1")) == 1:
            return None  # alone, whatever the job is for
        if tasks > 1 or training.nodes > 1:
            _compare("SLURM", tasks, tasks // max(nodes, 1), training)
            return "slurm"
        return "here"  # one task with several devices
    if int(environment.get("WORLD_SIZE", "1")) > 1:
        world = int(environment["WORLD_SIZE"])
        _compare("WORLD_SIZE says that somebody", world, int(environment.get("LOCAL_WORLD_SIZE", training.devices)), training)
        return "others"
    if wanted == 1:
        return None
    if any(name in environment for name in _OTHERS[1:]):
        return "others"
    if training.nodes > 1 and (lacking := [name for name in ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in environment]):
        raise UserError(
            f"training.nodes is {training.nodes}, and nothing says which of them this is ({', '.join(lacking)} not set): start it by "
            "torchrun or srun on each, as docs/how-to/cluster.md shows"
        )
    return "here"


def _compare(who: str, world: int, local: int, training: Training) -> None:
    wanted = training.devices * training.nodes
    if (world, local) != (wanted, training.devices):
        machines = max(1, world // max(1, local))
        raise UserError(
            f"{who} started {world} {'process' if world == 1 else 'processes'} ({local} on this machine), and the recipe trains with "
            f"{wanted} (training.devices {training.devices} x training.nodes {training.nodes}): give "
            f"--training.devices {max(1, local)} --training.nodes {machines}, or start {wanted}"
        )


def check_devices(training: Training) -> None:
    """See that this machine has the devices that a training wants.

    Raises:
        UserError: it has not.
    """
    devices, accelerator = training.devices, training.accelerator
    if accelerator in ("auto", "cuda") and torch.cuda.is_available() and torch.cuda.device_count() < devices:
        raise UserError(
            f"training.devices is {devices}, and torch sees {torch.cuda.device_count()} CUDA device(s) here: give as many, or "
            "--training.accelerator cpu"
        )
    if devices > 1 and torch.backends.mps.is_available() and accelerator in ("auto", "mps"):
        raise UserError(f"training.devices is {devices}, and an Apple GPU is one device: give 1, or --training.accelerator cpu")


@contextlib.contextmanager
def variables(**values: str) -> Iterator[None]:
    """Environment variables that hold meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def start_others(devices: int) -> list[subprocess.Popen[bytes]]:
    """Start this very command again, for each further device of this machine.

    Raises:
        UserError: there is no command, as in an interpreter that somebody types into.
    """
    import __main__

    spec, script = getattr(__main__, "__spec__", None), Path(sys.argv[0])
    if spec is not None:
        command = [sys.executable, "-m", spec.name]
    elif script.is_file():
        command = [sys.executable, str(script.absolute())]
    else:
        raise UserError(f"training.devices is {devices}: several processes start from a script or from the command line, not from here")
    own = {**os.environ, PARENT: str(os.getpid()), "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR")}
    return [subprocess.Popen([*command, *sys.argv[1:]], env={**own, "LOCAL_RANK": str(rank)}) for rank in range(1, devices)]


def interface_towards(address: str) -> str | None:
    """The network interface by which an address is reached; None where the system does not say.

    Gloo takes the interface of this machine's host name, which on a machine of several networks is another one, or loopback.
    """
    try:
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # sends nothing
            mine = socket.inet_aton(probe.getsockname()[0])
            for _, name in socket.if_nameindex():
                with contextlib.suppress(OSError):
                    asked = fcntl.ioctl(probe.fileno(), 0x8915, name.encode()[:15].ljust(256, b"\0"))  # SIOCGIFADDR of Linux
                    if asked[20:24] == mine:
                        return name
    except (ImportError, OSError):
        pass
    return None
