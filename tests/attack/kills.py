"""Trainings, ablations, translations and statistics that are killed by ``kill -9`` and gone on with: nothing half-written or lost.

A kill comes after a random time; or just before or just after one of the moments at which a file takes its name; or within a write, when a
file has grown to a random number of bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.attack import children
from tests.attack.campaign import Attack, culprit, fingerprints, judge
from tests.attack.subjects import arrays, checkpoint, digest, tensors
from tests.attack.workspace import SMALL, no_page

MODES = ("time", "before a name", "after a name", "within a write")
CLOCKS = frozenset({"seconds", "images_per_second", "started", "command", "peak_mib", "earlier"})


@dataclass(frozen=True)
class Task:
    """Something that can be killed and gone on with.

    Attributes:
        begin: the words of the command.
        again: the words to go on with, given what lies there.
        needs: of the workspace.
        result: where it writes.
        content: what must be the same in the end, by name.
        weight: how often it has its turn.
    """

    name: str
    begin: str
    again: Callable[[Path, str], str]
    needs: str
    result: str
    content: Callable[[Path], dict[str, Any]]
    weight: int


@dataclass
class Story:
    """One task, killed and gone on with to its end.

    Attributes:
        kills: how, and after how many seconds.
        faults: what must not be.
    """

    task: str
    seed: int
    kills: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


# ---- what must be the same in the end ---------------------------------------------------------------------------------------------


def timeless(value: Any) -> Any:
    """Without what a clock says."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in CLOCKS}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def of_run(folder: Path) -> dict[str, Any]:
    """A run's checkpoint, models, pictures and log."""
    state = checkpoint(folder / "checkpoints" / "last.pt")
    found: dict[str, Any] = {part: digest(state[part]) for part in ("step", "ema", "random", "data", "health")}
    found["position"] = digest(timeless(state["position"]))
    for file in sorted(folder.rglob("*.safetensors")):
        found[file.relative_to(folder).as_posix()] = digest(tensors(file)[1])
    found.update({name: mark for name, mark in fingerprints(folder).items() if name.startswith("samples/")})
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    found["log"] = [timeless(line) for line in lines if line["kind"] != "resume"]
    return found


def of_ablation(folder: Path) -> dict[str, Any]:
    """Every cell's run and evaluation, and what the ledger says."""
    found: dict[str, Any] = {"ledger": timeless(json.loads((folder / "ablation.json").read_text(encoding="utf-8")))}
    for cell in sorted((folder / "cells").glob("*/seed*/")):
        name = cell.relative_to(folder).as_posix()
        found.update({f"{name}: {key}": value for key, value in of_run(cell).items()})
        rows = json.loads((cell / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))["rows"]
        found[f"{name}: rows"] = rows
    return found


def of_statistics(file: Path) -> dict[str, Any]:
    """The arrays."""
    return {"arrays": digest(arrays(file))}


def of_tensors(file: Path) -> dict[str, Any]:
    """The weights alone: what is beside them says how long it took."""
    return {"tensors": digest(tensors(file)[1])}


# ---- the tasks ----------------------------------------------------------------------------------------------------------------


def _training(place: Path, begin: str) -> str:
    return "train --out new --resume --quiet" if (place / "new" / "checkpoints" / "last.pt").is_file() else begin


def _ablation(place: Path, begin: str) -> str:
    return f"{begin} --resume" if (place / "new" / "ablation.json").is_file() else begin


def _anew(place: Path, begin: str) -> str:
    return begin


OFTEN = "--training.checkpoint_every 2"
ABLATE = f"ablate grid.yaml pairs --out new {SMALL} --training.epochs 2 {OFTEN}"
SEGMENTER = "segmenter train labelled --out new.safetensors --size 16 --epochs 4 --width 2 --device cpu --quiet"
_TASKS = (
    Task("train", f"train recipe.yaml --out new --training.epochs 3 {OFTEN} --quiet", _training, "recipe.yaml pairs", "new", of_run, 10),
    Task("ablate", f"{ABLATE} --together", _ablation, "grid.yaml pairs", "new", of_ablation, 4),
    Task("ablate in processes", f"{ABLATE} --jobs 2", _ablation, "grid.yaml pairs", "new", of_ablation, 1),
    Task("translate", "translate run/model pictures/png out --format png --quiet", _anew, "run/model pictures/png", "out", fingerprints, 3),
    Task("statistics", "statistics pairs --out new.npz --features random --quiet", _anew, "pairs", "new.npz", of_statistics, 1),
    Task("segmenter", SEGMENTER, _anew, "labelled", "new.safetensors", of_tensors, 1),
)
TASKS: dict[str, Task] = {task.name: task for task in _TASKS}


# ---- killing ------------------------------------------------------------------------------------------------------------------


class Kills:
    """Tasks, their undisturbed ends, and broken ones.

    Args:
        attack: has the workspace.
    """

    def __init__(self, attack: Attack) -> None:
        self.attack = attack
        self.ends: dict[str, dict[str, Any]] = {}
        self.seconds: dict[str, float] = {}
        self.names: dict[str, int] = {}

    def undisturbed(self, name: str) -> None:
        """Run a task to its end, see how long that takes and how many files take a name, and keep what it leaves."""
        if name in self.ends:
            return
        task = TASKS[name]
        with self._place(task) as place:
            counted = place.parent / "names"
            started = time.monotonic()
            ending = children.run(
                lambda: _work(task.begin, lambda number: counted.write_text(str(number)) and None), place, 300, limited=False
            )
            if ending.code:
                raise RuntimeError(f"{name} fails undisturbed: {ending.stderr.decode()}")
            self.seconds[name] = time.monotonic() - started
            self.names[name] = abs(int(counted.read_text())) if counted.is_file() else 1
            self.ends[name] = children.answer(lambda: task.content(place / task.result), place)
            if not self.ends[name]:
                raise RuntimeError(f"what {name} leaves cannot be read")

    def story(self, name: str, seed: int, most: int = 4) -> Story:
        """Kill a task up to ``most`` times, go on each time, and let it come to its end."""
        self.undisturbed(name)
        task, random, story = TASKS[name], Random(f"{name} {seed}"), Story(name, seed)
        with self._place(task) as place:
            before = set(fingerprints(place))
            command = task.begin
            for _ in range(random.randint(1, most)):
                mode = random.choice(MODES if name != "ablate in processes" else MODES[:1])
                how, ended = self._broken(task, command, place, mode, random)
                story.kills += [how] if ended.code < 0 else []
                self._wait_for_cells(place)
                story.faults += half_written(place, task)
                _age(place)
                if ended.code >= 0:
                    story.faults += (
                        [f"{command.partition(' ')[0]} that was to be killed {how}: exit {ended.code}: {_last(ended)}"]
                        if ended.code
                        else []
                    )
                    break
                command = task.again(place, task.begin)
            else:
                ended = children.run(partial(_work, command, None), place, 300, limited=False)
            found = [fault for fault in judge(ended) if not fault.startswith("hang")]  # an ablation may take longer than a file
            if ended.code or found:
                story.faults.append(f"could not go on ({command}): exit {ended.code}: {_last(ended)} {found}")
                return story
            left = children.answer(lambda: task.content(place / task.result), place)
            if left is None:
                story.faults.append("what it leaves cannot be read")
            else:
                whole = self.ends[name]
                story.faults += [f"lost or other: {key}" for key in sorted({*left, *whole}) if left.get(key) != whole.get(key)][:5]
            after = fingerprints(place)
            story.faults += [f"left behind: {file}" for file in after if file not in before and (file.endswith((".part", ".lock")))][:3]
        return story

    def _broken(self, task: Task, command: str, place: Path, mode: str, random: Random) -> tuple[str, children.Ending]:
        started = time.monotonic()
        if mode == "time":
            seconds = random.random() * self.seconds[task.name]
            pid = children.start(lambda: _work(command, None), place, limited=False)
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            how = f"time, {seconds:.2f} s"
        else:
            at, length = random.randrange(self.names[task.name]), random.choice([0, 1, 100, 1000, 20_000, 100_000])
            hook = _killer(mode, at, length)
            pid = children.start(lambda: _work(command, hook), place, limited=False)
            how = f"{mode}, the {at + 1}. of {self.names[task.name]}" + (
                f", of more than {length} bytes" if mode == "within a write" else ""
            )
        _, status, usage = os.wait4(pid, 0)
        stdout, stderr = ((place.parent / name).read_bytes() if (place.parent / name).is_file() else b"" for name in ("stdout", "stderr"))
        code = os.waitstatus_to_exitcode(status)
        return how, children.Ending(code, time.monotonic() - started, usage.ru_utime, usage.ru_maxrss / 1024, stdout, stderr)

    def _wait_for_cells(self, place: Path) -> None:
        """The cells of an ablation that was killed notice it, save and end."""
        until = time.monotonic() + 60
        while any(place.rglob("cells/*/seed*/.lock")) and time.monotonic() < until and _held(place):
            time.sleep(0.1)

    @contextlib.contextmanager
    def _place(self, task: Task) -> Any:
        folder = Path(tempfile.mkdtemp(dir=self.attack.root, prefix="kills-"))
        place = folder / "place"
        place.mkdir()
        for name in task.needs.split():
            source, target = self.attack.sound / name, place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
        try:
            yield place
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _age(place: Path) -> None:
    """Make unfinished files two hours old: younger ones are left alone, since another process may be at work."""
    for file in place.rglob(".*.part"):
        then = file.stat().st_mtime - 7200
        os.utime(file, (then, then))


def _held(place: Path) -> bool:
    """Whether a living process holds one of the locks."""
    import fcntl

    for lock in place.rglob(".lock"):
        with contextlib.suppress(FileNotFoundError), lock.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


def _work(command: str, hook: Callable[[int], None] | None) -> int:
    no_page()
    if hook is not None:
        _watch_names(hook)
    from transfigure.cli.main import main

    return main(command.split())


def _watch_names(hook: Callable[[int], None]) -> None:
    """Call the hook with 1, 2, ... before each file that takes its name, and with -1, -2, ... after it."""
    replace = os.replace
    count = [0]

    def replacing(*words: Any, **more: Any) -> None:
        count[0] += 1
        hook(count[0])
        replace(*words, **more)
        hook(-count[0])

    os.replace = replacing


def _killer(mode: str, at: int, length: int) -> Callable[[int], None]:
    def hook(number: int) -> None:
        if mode == "within a write" and (number == -at or at == 0):
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which ends the process at once, in the middle of a write
            resource.setrlimit(resource.RLIMIT_FSIZE, (length, length))
        elif number == (at + 1 if mode == "before a name" else -at - 1):
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def half_written(place: Path, task: Task) -> list[str]:
    """Files that took their name though they are not whole. A log may end in the middle of a line: it is known how much of it counts."""
    faults = []
    root = place / task.result
    for file in sorted(root.rglob("*")) if root.is_dir() else [root] if root.is_file() else []:
        if file.is_file() and not file.name.endswith((".part", ".lock")) and (reader := _READERS.get(file.suffix)):
            found = children.answer(lambda file=file, reader=reader: reader(file) is not None, place)  # type: ignore[misc]
            if not found:
                faults.append(f"half-written: {file.relative_to(place)}")
    return faults


def _picture(file: Path) -> Any:
    from transfigure.data import images

    return images.read(file, "keep").shape


_READERS: dict[str, Callable[[Path], Any]] = {
    ".pt": checkpoint,
    ".safetensors": tensors,
    ".npz": arrays,
    ".json": lambda file: json.loads(file.read_text(encoding="utf-8")),
    ".yaml": lambda file: file.read_text(encoding="utf-8") or None,
    ".png": _picture,
}


def _last(ending: children.Ending) -> str:
    text = ending.stderr.decode("utf-8", "replace")
    return culprit(text) if "Traceback" in text else next((line for line in reversed(text.splitlines()) if line.strip()), "")[:300]


def stories(kills: Kills, count: int, first: int = 0, progress: Callable[[int, Story], None] | None = None) -> list[Story]:
    """As many stories as it takes for ``count`` kills, each task by its weight."""
    names = [name for name, task in TASKS.items() for _ in range(task.weight)]
    found: list[Story] = []
    number = first
    while sum(len(story.kills) for story in found) < count:
        order = Random(number // len(names)).sample(names, len(names))
        found.append(kills.story(order[number % len(names)], number))
        number += 1
        if progress is not None:
            progress(sum(len(story.kills) for story in found), found[-1])
    return found


def summary(found: Sequence[Story]) -> dict[str, Any]:
    """In plain values."""
    how = Counter(
        mode
        for story in found
        for kill in story.kills
        for mode in MODES
        if kill.startswith(mode if mode != "time" else "after 0") or (mode == "time" and " s" in kill and "name" not in kill)
    )
    return {
        "kills": sum(len(story.kills) for story in found),
        "gone on with to the end": len(found),
        "how": dict(how),
        "by task": {name: sum(len(story.kills) for story in found if story.task == name) for name in TASKS},
        "faulty": [vars(story) for story in found if story.faults],
    }
