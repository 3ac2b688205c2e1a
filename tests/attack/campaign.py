"""Many mutations over all cores, each checked, and their table."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from hashlib import blake2b
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

from tests.attack import children, workspace
from tests.attack.mutations import KINDS, mutate
from tests.attack.subjects import SUBJECTS, Subject, digest

ALLOWED = (0, 1, 2, 3)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Result:
    """One mutation and what came of it.

    Attributes:
        words: what was done to which file.
        sentence: the last line of stderr.
        faults: what must not be, each ``kind: more``; empty if all is well.
    """

    subject: str
    seed: int
    kind: str
    words: str
    code: int
    seconds: float
    computed: float
    megabytes: float
    sentence: str
    faults: list[str] = field(default_factory=list)


class Attack:
    """A workspace, and mutations of copies of it.

    Args:
        root: an empty folder for all of it.
        keep: leave what was attacked.
    """

    def __init__(self, root: Path, keep: bool = False) -> None:
        self.root, self.sound, self.keep = root, root / "sound", keep
        self.printed = ("", "")
        self.matches: dict[str, list[Path]] = {}
        self.sound.mkdir(parents=True)
        children.prepare()
        built = children.run(lambda: _built(self.sound), self.sound, 600, limited=False)
        if built.code != 0:
            raise RuntimeError(f"the workspace cannot be built:\n{built.stdout.decode()}\n{built.stderr.decode()}")
        children.warm(self.sound)
        self.contents: dict[Path, str | None] = {}

    def controls(self, subjects: Sequence[Subject]) -> list[Result]:
        """Every subject without any mutation: it must end well; what it imports is imported here, once for all children."""
        for subject in subjects:
            for file in (*self.found(subject.files), *self.found(subject.others)) if subject.state else []:
                self.digest(subject, file)
        return [self._tried(subject, -1, None) for subject in subjects]

    def tried(self, subject: Subject, seed: int) -> Result:
        """One mutation of one of the subject's files."""
        return self._tried(subject, seed, Random(f"{subject.name} {seed}"))

    def _tried(self, subject: Subject, seed: int, random: Random | None) -> Result:
        folder = Path(tempfile.mkdtemp(dir=self.root, prefix=f"{os.getpid()}-"))
        place = folder / "place"
        try:
            self.copy(subject, place)
            kind, words, file = "none", "unchanged", None
            if random is not None:
                kind = kind_of(subject, seed)
                file = random.choice(matching(place, subject.files.split()))
                words = f"{file.relative_to(place)}: {mutate(file, kind, random, self.others(subject))}"
            attacked = folder / f"attacked{file.suffix}" if file else None
            if file and attacked and subject.state and file.is_file() and os.access(file, os.R_OK):
                shutil.copyfile(file, attacked)
            before = fingerprints(place)
            modules = folder / "modules"
            ending = children.run(lambda: _worked(subject, modules), place)
            if random is None and modules.is_file():
                _import(modules.read_text().split())
            faults = (
                judge(ending)
                if random is not None
                else [*judge(ending), *([] if subject.sound in (None, ending.code) else [f"control: exit {ending.code}"])]
            )
            faults += changes(before, fingerprints(place), subject.writes.split())
            if subject.state and file is not None and ending.code == 0 and not self.same(subject, file.relative_to(place), attacked):
                faults.append("accepted: a damaged state")
            self.printed = ending.stdout.decode("utf-8", "replace"), ending.stderr.decode("utf-8", "replace")
            lines = ending.stderr.decode("utf-8", "replace").splitlines()
            sentence = next((line for line in reversed(lines) if line.strip()), "")[:400]
            return Result(
                subject.name,
                seed,
                kind,
                words,
                ending.code,
                round(ending.seconds, 3),
                round(ending.computed, 3),
                round(ending.megabytes),
                sentence,
                faults,
            )
        finally:
            if not self.keep:
                shutil.rmtree(folder, ignore_errors=True)

    def copy(self, subject: Subject, place: Path) -> None:
        """What the subject needs of the workspace."""
        place.mkdir()
        for name in (
            *subject.needs.split(),
            *(file.relative_to(self.sound).as_posix() for file in self.found(subject.files)),
        ):
            source, target = self.sound / name, place / name
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copyfile(source, target)

    def others(self, subject: Subject) -> list[Path]:
        """Sound files to swap one of the subject's for."""
        return self.found(subject.others)

    def found(self, patterns: str) -> list[Path]:
        """The sound files that fit the patterns."""
        if patterns not in self.matches:
            self.matches[patterns] = matching(self.sound, patterns.split())
        return self.matches[patterns]

    def same(self, subject: Subject, name: Path, changed: Path | None) -> bool:
        """Whether a changed state holds what it held, bit for bit."""
        if changed is None or not changed.is_file():
            return False
        sound = [self.sound / name, *(self.others(subject) if subject.interchangeable else [])]
        return self.digest(subject, changed) in [self.digest(subject, file) for file in sound]

    def digest(self, subject: Subject, file: Path) -> str | None:
        """Of what a state holds; None if it cannot be read at all."""
        content = subject.content
        assert content is not None
        if file not in self.contents:
            found = children.answer(lambda: digest(content(file)), self.sound if file.is_relative_to(self.sound) else file.parent / "place")
            if not file.is_relative_to(self.sound):
                return found
            self.contents[file] = found
        return self.contents[file]


def kind_of(subject: Subject, seed: int) -> str:
    """Each in turn, beginning with another for each subject."""
    return KINDS[(seed + crc32(subject.name.encode())) % len(KINDS)]


def _built(place: Path) -> int:
    workspace.build(place)
    weights = place / "weights"
    weights.mkdir()
    from transfigure.features.published import CATALOGUE

    shutil.copy(place / "heads.pth", weights / CATALOGUE["inception"].file)
    return 0


def _worked(subject: Subject, modules: Path) -> int:
    subject.prepare()
    if subject.call is not None:
        code = subject.call()
    else:
        from transfigure.cli.main import main

        code = main(subject.command.split())
    if not modules.exists():
        modules.write_text("\n".join(sys.modules))
    return code


def _import(names: Sequence[str]) -> None:
    import importlib

    for name in names:
        if name not in sys.modules and not name.startswith(("transfigure_plugin", "__")):
            with contextlib.suppress(Exception):
                importlib.import_module(name)


# ---- judging ------------------------------------------------------------------------------------------------------------------


def judge(ending: children.Ending) -> list[str]:
    """What must not be in how a run ended."""
    faults = []
    stdout, stderr = (stream.decode("utf-8", "surrogateescape") for stream in (ending.stdout, ending.stderr))
    if ending.code in (-signal.SIGXCPU, -signal.SIGKILL) and ending.seconds > children.PATIENCE - 1:
        faults.append(f"hang: {ending.seconds:.0f} s by the clock")
    elif ending.code == -signal.SIGXCPU or ending.computed > children.SECONDS:
        faults.append(f"hang: {ending.computed:.1f} s of the processor")
    elif ending.code < 0:
        faults.append(f"crash: signal {signal.Signals(-ending.code).name}")
    elif ending.code == 70 or "Traceback (most recent call last)" in stderr:
        faults.append(f"traceback: {culprit(stderr)}")
    elif ending.code not in ALLOWED:
        faults.append(f"code: {ending.code}")
    if ending.megabytes > children.MEGABYTES:
        faults.append(f"memory: {ending.megabytes:.0f} MB")
    elif "not enough memory" in stderr:
        faults.append("memory: asked for more than there may be")
    if not faults and ending.code:
        lines = [line for line in stderr.splitlines() if line.strip()]
        ours = [line for line in lines if line.startswith("transfigure: ")]
        if len(ours) != 1:
            faults.append(f"sentence: {len(ours)} of ours, and the last line is {(lines or ['nothing'])[-1][:100]!r}")
        elif len(ours[0]) > 10_100:
            faults.append(f"sentence: {len(ours[0])} letters")
    if found := CONTROL.search(stdout + stderr):
        faults.append(f"raw: {found[0]!r} in what is printed")
    if leaked := re.search(r"^.*Warning: .*$", stderr, re.MULTILINE):
        faults.append(f"warning: {leaked[0][:200]}")
    return faults


def culprit(stderr: str) -> str:
    """The last line of the package that a traceback names, and the exception."""
    frames = re.findall(r'File "[^"]*?/transfigure/([^"]+)", line (\d+), in (\S+)', stderr)
    last = next((line for line in reversed(stderr.splitlines()) if line.strip()), "")
    return f"{':'.join(frames[-1][:2])} in {frames[-1][2]}: {last[:120]}" if frames else last[:120]


def matching(place: Path, patterns: Sequence[str]) -> list[Path]:
    """The files below a folder that fit one of the patterns, in order."""
    return sorted(
        file for file in place.rglob("*") if file.is_file() and any(fnmatch(file.relative_to(place).as_posix(), one) for one in patterns)
    )


def fingerprints(place: Path) -> dict[str, str]:
    """A hash of every file below a folder; of what is no file, what it is."""
    found = {}
    for folder, names, files in os.walk(place):
        for name in (*files, *(name for name in names if Path(folder, name).is_symlink())):
            path = Path(folder, name)
            key = path.relative_to(place).as_posix()
            if path.is_symlink():
                found[key] = f"link to {path.readlink()}"
            elif not path.is_file():
                found[key] = "no file"
            else:
                mode = path.stat().st_mode
                if not mode & 0o400:
                    path.chmod(0o600)
                found[key] = blake2b(path.read_bytes(), digest_size=12).hexdigest()
                path.chmod(mode)
    return found


def changes(before: dict[str, str], after: dict[str, str], writes: Sequence[str]) -> list[str]:
    """Files that are changed, gone or new though they are no output of the verb."""

    def own(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in writes)

    faults = [f"lost: {name}" for name in before if name not in after and not own(name)]
    faults += [f"changed: {name}" for name in before if after.get(name, before[name]) != before[name] and not own(name)]
    faults += [f"stray: {name}" for name in after if name not in before and not own(name) and not name.endswith(".part")]
    faults += [f"unfinished: {name}" for name in after if name.endswith(".part")]
    return faults


# ---- many -----------------------------------------------------------------------------------------------------------------------


def plan(count: int, first: int = 0, subjects: Sequence[Subject] | None = None, most: int = 99) -> list[tuple[str, int]]:
    """Which subject has its turn when, with seeds from ``first`` on: each as often as its weight, but at ``most``, in every round."""
    chosen = list(SUBJECTS.values()) if subjects is None else subjects
    weights = {subject.name: min(subject.weight, most) for subject in chosen}
    rounds = -(-count // max(1, sum(weights.values())))
    turns = [
        ((turn + (index + 1) / (len(weights) + 1)) / weight, name, first + turn)
        for index, (name, weight) in enumerate(weights.items())
        for turn in range(rounds * weight)
    ]
    return [(name, seed) for _, name, seed in sorted(turns)][:count]


def sample(count: int) -> list[tuple[str, int]]:
    """What a short run tries: every subject that is quick about as often, and some of the others."""
    slow = [subject for subject in SUBJECTS.values() if subject.verb in ("ablate", "compare", "analyze", "report")]
    quick = [subject for subject in SUBJECTS.values() if subject not in slow]
    return [*plan(count - count // 20, subjects=quick, most=3), *plan(count // 20, subjects=slow, most=2)]


def campaign(attack: Attack, turns: Sequence[tuple[str, int]], jobs: int, progress: bool = True) -> list[Result]:
    """Try all of them in ``jobs`` processes, each with its share. Ctrl-C ends it; what was tried until then is returned."""
    pipes: list[Connection] = []
    workers = []
    for index in range(jobs):
        ours, theirs = Pipe(duplex=False)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                for name, seed in turns[index::jobs]:
                    theirs.send(attack.tried(SUBJECTS[name], seed))
                code = 0
            except KeyboardInterrupt:
                pass
            except BaseException:
                traceback.print_exc()
            finally:
                theirs.close()
                os._exit(code)
        theirs.close()
        pipes.append(ours)
        workers.append(pid)
    results: list[Result] = []
    _started[0] = time.monotonic()
    try:
        for result in _received(pipes):
            results.append(result)
            if progress:
                _show(len(results), len(turns), result)
    except KeyboardInterrupt:
        return results  # the table of what is done
    finally:
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if len(results) != len(turns):
        raise RuntimeError(f"{len(turns) - len(results)} of {len(turns)} mutations were not tried: a process of the campaign ended")
    return results


def _received(pipes: list[Connection]) -> Iterator[Result]:
    while pipes:
        for pipe in wait(pipes):
            assert isinstance(pipe, Connection)
            try:
                yield pipe.recv()
            except EOFError:
                pipes.remove(pipe)


_started = [0.0]
_shown = [0.0]
_faults: Counter[str] = Counter()


def _show(done: int, total: int, result: Result) -> None:
    for fault in result.faults:
        _faults[fault.partition(":")[0]] += 1
        print(f"{result.subject}, seed {result.seed} ({result.words}): {fault}", file=sys.stderr)
    now = time.monotonic()
    if now - _shown[0] > 10 or done == total:
        _shown[0] = now
        rate = done / (now - _started[0])
        left = (total - done) / rate
        print(
            f"attack  {done}/{total}  {rate:.1f} a second  {left / 60:.0f} min left  faults: {dict(_faults) or 'none'}",
            file=sys.stderr,
            flush=True,
        )


def table(results: Sequence[Result]) -> str:
    """What was done and how it ended, a line for each verb and sort of mutation."""
    lines = [f"{'verb':12} {'mutation':8} {'runs':>6} {'exit 0':>7} {'1':>5} {'2':>6} {'3':>5} {'faults':>7} {'worst s':>8} {'MB':>6}"]
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        verb = SUBJECTS[result.subject].verb or "(call)"
        for key in ((verb, result.kind), ("all", result.kind), ("all", "all")):
            groups.setdefault(key, []).append(result)
    for (verb, kind), group in sorted(groups.items(), key=lambda item: (item[0][0] == "all", item[0][1] == "all", item[0])):
        codes = Counter(result.code for result in group)
        faulty = sum(bool(result.faults) for result in group)
        lines.append(
            f"{verb:12} {kind:8} {len(group):6} {codes[0]:7} {codes[1]:5} {codes[2]:6} {codes[3]:5} {faulty:7} "
            f"{max(result.computed for result in group):8.2f} {max(result.megabytes for result in group):6.0f}"
        )
    return "\n".join(lines)


def figures(results: Sequence[Result]) -> dict[str, Any]:
    """All of it, in plain values."""
    kinds = (
        "traceback",
        "crash",
        "hang",
        "memory",
        "accepted",
        "lost",
        "changed",
        "stray",
        "unfinished",
        "sentence",
        "raw",
        "warning",
        "code",
    )
    counted = Counter(fault.partition(":")[0] for result in results for fault in result.faults)
    return {
        "mutations": len(results),
        "of": {kind: sum(result.kind == kind for result in results) for kind in KINDS},
        "subjects": len({result.subject for result in results}),
        "exit codes": {str(code): count for code, count in sorted(Counter(result.code for result in results).items())},
        "faults": {kind: counted[kind] for kind in kinds},
        "longest": {name: max((getattr(result, name) for result in results), default=0) for name in ("computed", "seconds", "megabytes")},
        "faulty": [asdict(result) for result in results if result.faults],
    }


def by_kind(results: Sequence[Result]) -> str:
    """The faults, each kind once, with how often and a seed to replay it by."""
    found: dict[str, list[Result]] = {}
    for result in results:
        for fault in result.faults:
            found.setdefault(re.sub(r"\d+(\.\d+)? (s|MB)", r"... \2", fault), []).append(result)
    lines = []
    for fault, group in sorted(found.items(), key=lambda item: (item[0].split(":")[0], -len(item[1]))):
        first = group[0]
        lines += [
            f"{len(group):5} x {fault}",
            f"        {first.words}",
            f"        python -m tests.attack --subject {first.subject!r} --seed {first.seed}",
        ]
    return "\n".join(lines)
