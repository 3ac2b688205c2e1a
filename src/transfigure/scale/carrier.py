"""Images of a storage, translated: fetched while others are in the network, and put where they belong while the next are.

Planning, what is said and what is refused are those of a folder of this machine; see :mod:`.storage` for what an object is.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from platform import node
from typing import Any, BinaryIO, Unpack

from ..data import images
from ..data.file_facts import PictureWatch
from ..data.file_patterns import FilePattern
from ..data.files import check_writable_folder, lock_file
from ..data.folder import SUFFIXES, composed, images_among
from ..data.ownership import check_outputs
from ..data.pairs import FilePicture
from ..data.pictures import FoundPictures, find_pictures
from ..errors import Missing, RunFailure, TransfigureError, UserError
from ..progress import renaming, say, track
from ..registry import plugin_files
from ..translation.folder import (
    FileKeywords,
    FileOptions,
    FileToTranslate,
    TranslateKeywords,
    Written,
    neighbours,
    other_formats,
    raise_failures,
)
from ..translation.pipeline import WRITERS, overlapped
from ..translation.translator import LargeImage, Translator, _is_done
from .cluster import Cluster, ClusterOptions, Lost, connected
from .storage import HEAD, WORKSPACES, ObjectFolder, StoredObject, StoredRefusal, is_url, path_of
from .translation import InOrder, SameTranslator, SeenByWorker, sweep_outputs

FETCHERS, PUTTERS, AHEAD = 4, 6, 8
"""Threads that fetch, threads that encode and put, and objects that are fetched before their turn comes."""
_PATIENCE = 50
"""Objects one after the other that a storage may refuse before the run ends."""
_AHEAD_BYTES = 256 << 20
"""Bytes of such objects, but for one, which may be of any size."""


class Workspace:
    """Where objects lie as files while somebody works on them, and nothing else does: it is gone afterwards, however it ends.

    What a killed process leaves is removed by the next on the same machine.

    Args:
        source: the place of what is read; None if that is on this machine.
        output: the place of what is written; None if that is on this machine.
    """

    def __init__(self, source: ObjectFolder | None, output: ObjectFolder | None) -> None:
        self.source, self.output = source, output
        self.root, self._lock = _new_root()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def source_file(self, name: str) -> Path:
        """Where an object that is read lies.

        Raises:
            UserError: no file can have its name.
        """
        return self._file("in", self.source, name)

    def output_file(self, name: str) -> Path:
        """Where an object that is written lies.

        Raises:
            UserError: no file can have its name.
        """
        return self._file("out", self.output, name)

    def _file(self, side: str, place: ObjectFolder | None, name: str) -> Path:
        assert place is not None
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\0" in part or len(os.fsencode(part)) > 255 or (os.sep in part) for part in parts):
            raise UserError(f"{place.at_name(name)} has a name that no file can have: rename it")
        return self.root.joinpath(side, *parts)

    def fetched(self, name: str, known: StoredObject | None = None) -> Path:
        """An object that is read, as a file.

        Raises:
            UserError: it cannot be fetched.
        """
        assert self.source is not None
        file = self.source_file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.source.fetch(name, file, known)
        return file

    def fetched_output(self, name: str, known: StoredObject | None = None) -> Path:
        """An object that is where one is going to be written, as a file.

        Raises:
            UserError: it cannot be fetched.
        """
        assert self.output is not None
        file = self.output_file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.output.fetch(name, file, known)
        return file

    @contextlib.contextmanager
    def naming(self) -> Iterator[None]:
        """Errors name objects where they name the files that they are here."""
        try:
            yield
        except TransfigureError as error:
            raise type(error)(*(self.named(str(word)) for word in error.args)) from error

    def named(self, text: str) -> str:
        """A message with the names of objects where it names the files that they are here."""
        if self.output is not None and text.startswith(f"note: the same command goes on with {self.root}"):
            return ""  # of a large image, whose rows do not stay here
        for side, place in (("in", self.source), ("out", self.output)):
            if place is not None:
                text = text.replace(str(self.root / side), place.url)
        return text


@dataclass(frozen=True)
class CarriedFile:
    """A picture to translate, of which something lies in a storage.

    Attributes:
        picture: what it is read from: names below the place of what is read, or files of this machine.
        output: the name below the place of what is written, or a file of this machine.
        known: what the listing says of what is read.
        there: what the listing says of an object that is there already under the output's name; None if none is.
    """

    picture: FilePicture
    output: str
    known: StoredObject | None = None
    there: StoredObject | None = None


@dataclass(frozen=True)
class CarriedWork:
    """What is the same for all files that are carried to and from a storage; it goes to other machines as it is.

    Attributes:
        source: where what is read lies; None for this machine.
        output: where what is written goes; None for this machine.
        options: how files are read and written.
        skip_existing: leave what this model has written already.
        batch: images of one size that go through the network together.
        asks_for_half: nothing was said of halves, so that images which look like side-by-side pairs are refused.
    """

    source: ObjectFolder | None
    output: ObjectFolder | None
    options: FileOptions
    skip_existing: bool = False
    batch: int = 1
    asks_for_half: bool = True


class ThereAlready(Exception):
    """What would be written is there already."""


class Carrier:
    """Fetches what is translated, and puts what was, while a translator works: for the files of one call.

    Args:
        work: what is the same for all of them.
        workspace: where they lie meanwhile.
    """

    def __init__(self, work: CarriedWork, workspace: Workspace) -> None:
        self.work, self.workspace = work, workspace
        self._fetching: dict[int, Future[FileToTranslate]] = {}

    def ahead(self, files: Iterable[CarriedFile]) -> Generator[CarriedFile, None, None]:
        """The files, one after the other; the next of them are being fetched meanwhile, some at a time."""
        pool = ThreadPoolExecutor(FETCHERS, "fetch")
        waiting: deque[CarriedFile] = deque()
        source = iter(files)
        held, ended = 0, False
        try:
            while True:
                while len(waiting) < AHEAD and (not waiting or held < _AHEAD_BYTES) and (file := next(source, None)) is not None:
                    self._fetching[id(file)] = pool.submit(self._fetch, file)
                    waiting.append(file)
                    held += file.known.size if file.known is not None else 0
                if not waiting:
                    ended = True  # those that were given last may be waiting for a thread still
                    return
                file = waiting.popleft()
                held -= file.known.size if file.known is not None else 0
                yield file
        finally:
            pool.shutdown(wait=not ended, cancel_futures=not ended)

    def _fetch(self, file: CarriedFile) -> FileToTranslate:
        picture, work = file.picture, self.workspace
        if self.work.source is not None:
            known = file.known if len(picture.files) == 1 else None
            picture = replace(picture, files=tuple(str(work.fetched(str(name), known)) for name in picture.files))
        output = work.output_file(file.output) if self.work.output is not None else Path(file.output)
        return FileToTranslate(picture, output)

    def local(self, file: CarriedFile) -> FileToTranslate:
        """A file as it lies on this machine, once it does.

        Raises:
            UserError: it could not be fetched.
        """
        return self._fetching[id(file)].result()

    def check(self, file: CarriedFile, maker: str, told: FileOptions) -> None:
        """See whether an output that is there may be replaced, or is what would be written.

        Args:
            file: which.
            maker: of what would be written.
            told: how it would be read.

        Raises:
            ThereAlready: it is there, as this maker makes it.
            UserError: it is there, and not ours.
        """
        here, work = self.local(file), self.work
        if work.output is None:
            if work.skip_existing and _is_done(here.picture.paths, here.output, maker, told):
                raise ThereAlready
            return
        if file.there is None or (work.options.overwrite and not work.skip_existing):
            return
        self.workspace.fetched_output(file.output, file.there)
        if work.skip_existing and file.there.modified is not None and _is_done(here.picture.paths, here.output, maker, told):
            raise ThereAlready
        check_outputs([here.output], work.options.overwrite)
        here.output.unlink()

    def put(self, file: CarriedFile) -> None:
        """What was written goes to where it belongs.

        Raises:
            UserError: it cannot be written there.
        """
        if self.work.output is not None:
            self.work.output.put(file.output, self.local(file).output)

    def drop(self, file: CarriedFile) -> None:
        """Nothing of a file is needed any more."""
        future = self._fetching.pop(id(file))
        with contextlib.suppress(Exception):
            here = future.result()
            for path in here.picture.paths if self.work.source is not None else ():
                path.unlink(missing_ok=True)
            if self.work.output is not None:
                here.output.unlink(missing_ok=True)


def carried(
    translator: Translator, work: CarriedWork, files: Iterable[CarriedFile], workspace: Workspace, watch: PictureWatch
) -> Generator[tuple[CarriedFile, Exception | None], None, None]:
    """Translate files of a storage, in order: while one is in the network, the next are fetched and read, and the last are written and put.

    Args:
        translator: what translates.
        work: what is the same for all files.
        files: which.
        workspace: where they lie meanwhile.
        watch: looks at them.

    Yields:
        Each file when it is where it belongs, and its failure, :class:`ThereAlready`, or None.
    """
    options, carrier = work.options, Carrier(work, workspace)
    makers = _Makers(translator, options)
    told = replace(options, orientation=translator._orientation(options))

    def read(file: CarriedFile) -> Any:
        here = carrier.local(file)
        carrier.check(file, makers[here.picture], told)
        if work.asks_for_half:
            translator.choose_half(here.picture.paths[:1], options)
        translator._check_pages({here.output: here.picture}, options)
        return translator._read(here, options)

    def write(file: CarriedFile, output: Any) -> None:
        here = carrier.local(file)
        if output is not None:
            translator._write(here, output, options, makers[here.picture])
        carrier.put(file)

    ahead = carrier.ahead(files)
    results = overlapped(
        ahead,
        read=read,
        run=lambda found: translator._translated_or_written(found, options, watch, makers),
        write=write,
        kind=lambda one: id(one) if isinstance(one, LargeImage) else (one.array.shape, one.others),
        batch=work.batch if translator.engine.exact_batches else 1,
        errors=(UserError, Missing, ThereAlready),
        writing_at_once=PUTTERS if work.output is not None else WRITERS,
    )
    with closing(ahead), closing(results), renaming(workspace.named):
        for file, error in results:
            carrier.drop(file)
            if isinstance(error, UserError | Missing):
                error = type(error)(*(workspace.named(str(word)) for word in error.args))  # noqa: PLW2901
            yield file, error


class Patience:
    """Ends a run whose storage lets nothing be read or written any more: a token has expired, a network is gone."""

    def __init__(self) -> None:
        self._refused = 0

    def see(self, error: Exception | None) -> None:
        """What became of the next file.

        Raises:
            RunFailure: very many, one after the other, were refused in this way.
        """
        self._refused = self._refused + 1 if isinstance(error, StoredRefusal) else 0
        if self._refused == _PATIENCE:
            raise RunFailure(f"{_PATIENCE} objects one after the other were refused, the last one: {error}")


Results = Generator[tuple[int, Exception | None], None, None]
"""The numbers of files, as they are done, and their failure, :class:`ThereAlready`, or None."""


class _Makers(dict[FilePicture, str]):
    """The maker of each picture; it is the same for all that are one file."""

    def __init__(self, translator: Translator, options: FileOptions) -> None:
        super().__init__()
        self._of = functools.cache(lambda picture: translator._maker(options, picture))

    def __missing__(self, picture: FilePicture) -> str:
        return self._of(picture if len(picture.files) > 1 else None)


# ---- a folder of a storage --------------------------------------------------------------------------------------------------

_SEEN_BEFORE = 3
"""Objects that are looked at before the work, so that what is wrong with all of them is said at once."""
_OTHERS_BEFORE = 16
"""Objects in the way that are looked at before the work; whoever would replace another looks at that one."""
_SMALL = 64 << 20
"""Bytes of an object that may be fetched only to be looked at."""


class Carried(list[str]):
    """What was written, in order, by its URL (or its path, on this machine).

    Attributes:
        skipped: what was there already, and was left.
        inputs: how many images there were to translate.
    """

    def __init__(self, inputs: int = 0) -> None:
        super().__init__()
        self.skipped: list[str] = []
        self.inputs = inputs

    def as_written(self) -> Written:
        """The same as paths."""
        return Written(map(Path, self), [*map(Path, self.skipped)], self.inputs)

    def words(self, output: str) -> str:
        """``8 of 10 images written to s3://bucket/photos (2 were there already)``."""
        return self.as_written().words(output)


@dataclass(frozen=True)
class CarriedPlan:
    """What is going to be done.

    Attributes:
        work: what is the same for all files.
        files: in order.
        failed: what cannot be done at all, by its name.
        folder: on this machine, in which what is read is, if it is in one.
        root: on this machine, in which all that is written lies, for a while or for good.
    """

    work: CarriedWork
    files: list[CarriedFile]
    failed: dict[str, UserError | Missing]
    folder: Path | None
    root: Path

    def end(self, outcomes: Mapping[int, Exception | None]) -> Carried:
        """What was written, when all is done.

        Args:
            outcomes: what became of each file, by its number.

        Raises:
            UserError: some files could not be translated.
            Missing: likewise, if all that they lack is an optional package.
        """
        written, failed = Carried(len(self.files) + len(self.failed)), dict(self.failed)
        for number, file in enumerate(self.files):
            where = file.output if self.work.output is None else self.work.output.at_name(file.output)
            error = outcomes[number]
            if isinstance(error, UserError | Missing):
                failed[file.picture.label] = error
            else:
                (written if error is None else written.skipped).append(where)
        if failed:
            raise_failures(failed, self.folder, written.as_written())
        return written


def find_objects(place: ObjectFolder, listed: Mapping[str, StoredObject], pattern: str | None = None) -> tuple[list[str], list[str]]:
    """The images of a place, in natural order, as of a folder; and one sentence about what was passed over, or none.

    Raises:
        UserError: it holds none.
    """

    def kind_of(name: str) -> tuple[str, bool]:
        with tempfile.TemporaryDirectory(prefix=WORKSPACES) as folder:
            file = Path(folder, f"object{Path(name).suffix[:20]}")
            whole = listed[name].size <= HEAD
            file.write_bytes(place.head(name))
            kind, readable = images.kind_of(file)
            if kind in ("GIF", "NPZ") and not whole and listed[name].size <= _SMALL:  # what these are is not in their beginning
                place.fetch(name, file, listed[name])
                kind, readable = images.kind_of(file)
            return kind, readable

    names = [name for name in listed if name]
    unknown = [name for name in names if Path(name).suffix.lower() not in SUFFIXES]
    with ThreadPoolExecutor(4 * FETCHERS, "look") as pool:
        looks = {name: pool.submit(kind_of, name) for name in unknown if len(unknown) > 1}
        return images_among(names, str(place), lambda name: looks[name].result() if name in looks else kind_of(name), pattern)


def plan_objects(
    translator: Translator,
    source: str,
    output: str,
    workspace: Workspace,
    format: str | None,
    work: CarriedWork,
) -> CarriedPlan:
    """What is going to be translated and where it goes, before anything is: as :meth:`.Translator.translate_folder` finds it out.

    Of objects a few are looked at; what is wrong with others alone is said of them when it is their turn.

    Raises:
        UserError: as there; or a storage does not let itself be listed, read or written.
    """
    options, quiet = work.options, translator.quiet
    failed: dict[str, UserError | Missing] = {}
    listed: dict[str, StoredObject] = {}
    if work.source is None:
        found = find_pictures(source, translator._columns)
        _say(found.notes, quiet)
        seen = found.pictures
    else:
        place, listed, pattern = _listed(work.source, source)
        work = replace(work, source=place)
        workspace.source = place
        found = _found(place, workspace, listed, pattern, failed)
        _say(found.notes, quiet)
        seen = _looked_at(place, workspace, found, listed)
    root = workspace.root / "out" if work.output is not None else Path(output)
    if work.source is not None and work.output is not None and work.output.is_within(work.source):
        raise UserError(
            f"the output {work.output} lies inside the input {work.source}: its pictures would be translated next time; choose another "
            "place"
        )
    outputs, options = translator.outputs_of(found, root, format, options, seen)
    if work.source is not None and work.output is not None:
        _refuse_inputs(work.source, work.output, root, outputs, found)
    there: dict[str, StoredObject] = {}
    if work.output is None:
        check_outputs(outputs, options.overwrite, below=root)
        check_writable_folder(root)
    else:
        there = _there(work.output, workspace, root, outputs, options)
        _say([work.output.check_writable()], quiet)
    _say([other_formats(outputs) if format == "same" else "", neighbours(outputs, root)], quiet)
    files = []
    for file, picture in outputs.items():
        name = str(file) if work.output is None else file.relative_to(root).as_posix()
        about = None
        if work.source is not None:
            below = picture.paths[0].relative_to(workspace.root / "in").as_posix()
            picture, about = replace(picture, files=(below,)), listed[below]  # noqa: PLW2901
        files.append(CarriedFile(picture, name, about, there.get(name)))
    work = replace(work, options=options, asks_for_half=work.options.half is None)
    return CarriedPlan(work, files, failed, found.folder if work.source is None else None, root)


def _say(notes: Iterable[str], quiet: bool) -> None:
    for note in notes:
        if note and not quiet:
            say(f"note: {note}")


def _listed(place: ObjectFolder, source: str) -> tuple[ObjectFolder, dict[str, StoredObject], str | None]:
    """What is in the place of a URL; of one whose last part selects among names, what is in the place above, and that pattern.

    Raises:
        UserError: there is nothing.
    """
    if listed := place.listed():
        return place, listed, None
    if FilePattern.read(source) is not None:
        raise UserError(f"{source} is a pattern of files that are one image, which is read from a disk: copy its files to one first")
    if any(mark in place.name for mark in "*?[") and (listed := place.folder.listed()):
        return place.folder, listed, composed(place.name)
    raise UserError(f"{source} does not exist: give the URL of an image, or of a folder of images")


def _found(
    place: ObjectFolder,
    workspace: Workspace,
    listed: Mapping[str, StoredObject],
    pattern: str | None,
    failed: dict[str, UserError | Missing],
) -> FoundPictures:
    names, notes = find_objects(place, listed, pattern)
    good, pictures = [], []
    for name in names:
        try:
            pictures.append(FilePicture((str(workspace.source_file(name)),)))
            good.append(name)
        except UserError as error:
            failed[name] = error
    return FoundPictures(str(place), workspace.root / "in", good, pictures, notes=notes)


def _looked_at(place: ObjectFolder, workspace: Workspace, found: FoundPictures, listed: Mapping[str, StoredObject]) -> list[FilePicture]:
    """The first, the middle and the last picture, which are fetched; what of them cannot be is said when it is their turn.

    Raises:
        UserError: nothing of the storage can be read.
    """
    count = len(found.names)
    some = sorted({0, count // 2, count - 1}) if count else []
    pictures = []
    for at in some:
        if (about := listed[found.names[at]]).size <= _SMALL:
            try:
                workspace.fetched(found.names[at], about)
            except StoredRefusal:
                raise
            except UserError:
                continue
            pictures.append(found.pictures[at])
    return pictures


def _refuse_inputs(source: ObjectFolder, output: ObjectFolder, root: Path, outputs: Iterable[Path], found: FoundPictures) -> None:
    """Refuse outputs that are among the objects to be translated.

    Raises:
        UserError: one is.
    """
    if not source.is_within(output):
        return
    below, inputs = f"{path_of(source)[1]}/".removeprefix(f"{path_of(output)[1]}/"), {*found.names}
    for file in outputs:
        name = file.relative_to(root).as_posix()
        if name.startswith(below) and name.removeprefix(below) in inputs:
            raise UserError(f"{output.at_name(name)} is one of the images to be translated, which would be lost: choose another output")


def _there(place: ObjectFolder, workspace: Workspace, root: Path, outputs: Iterable[Path], options: FileOptions) -> dict[str, StoredObject]:
    """What is there already of what is going to be written. A few objects are looked at, as whose they are stands in them.

    Raises:
        UserError: one of them was not written by this tool, and may not be replaced.
    """
    listed, names = place.listed(), {file.relative_to(root).as_posix(): file for file in outputs}
    there = {name: listed[name] for name in names if name in listed}
    by_stem: dict[str, list[str]] = {}
    for name in listed:
        by_stem.setdefault(name.rpartition(".")[0], []).append(name)
    beside = [other for name in names for other in by_stem.get(name.rpartition(".")[0], ()) if other not in names]
    for some in ([] if options.overwrite else there, [name for name in beside if Path(name).suffix.lower() in SUFFIXES]):
        step = max(1, -(-len(some) // max(1, _OTHERS_BEFORE)))
        for name in [*some][::step][:_OTHERS_BEFORE]:
            with contextlib.suppress(UserError):  # what has a name that no file can have is not in the way
                if listed[name].size <= _SMALL:
                    workspace.fetched_output(name, listed[name])
    check_outputs([names[name] for name in there], options.overwrite)  # of those that have been fetched
    for name in there:
        names[name].unlink(missing_ok=True)
    return there


def translate_folder(
    translator: Translator,
    source: str,
    output: str,
    *,
    cluster: ClusterOptions | Cluster | None = None,
    quiet: bool = False,
    **keywords: Unpack[TranslateKeywords],
) -> Carried:
    """As :meth:`.Translator.translate_folder`, where what is read, what is written or both are in a storage.

    Args:
        translator: what translates.
        source: a URL, or what that method takes.
        output: a URL, or a folder.
        cluster: whose workers fetch, translate and put; None is this process.
        quiet: as there.
        keywords: as there; an object that is there already is fetched to be looked at.

    Returns:
        What was written, by its URL or path.

    Raises:
        UserError: as there; or a storage does not let itself be listed, read or written.
        Missing: a package for its protocol is not installed; or as there.
        RunFailure: the storage, or the cluster, was lost.
    """
    how: dict[str, Any] = {**keywords}
    wanted, skip_existing, batch = how.pop("format", None), how.pop("skip_existing", False), how.pop("batch", 1)
    translator = replace(translator, quiet=quiet or translator.quiet)
    work = CarriedWork(_place(source), _place(output), FileOptions(**how), skip_existing, batch)
    with Workspace(work.source, work.output) as workspace, renaming(workspace.named), workspace.naming():
        plan = plan_objects(translator, source, output, workspace, wanted, work)
        watch, patience, outcomes = translator._watch(), Patience(), dict[int, Exception | None]()
        results = _here(translator, plan, workspace, watch) if cluster is None else _on_cluster(translator, plan, cluster, watch, quiet)
        with closing(results):
            for number, error in track(results, len(plan.files), "translate", quiet=quiet):
                outcomes[number] = error
                patience.see(error)
        translator._say_of(watch)
    return plan.end(outcomes)


def _here(translator: Translator, plan: CarriedPlan, workspace: Workspace, watch: PictureWatch) -> Results:
    with closing(carried(translator, plan.work, plan.files, workspace, watch)) as results:
        for number, (_, error) in enumerate(results):
            yield number, error


def _on_cluster(translator: Translator, plan: CarriedPlan, cluster: ClusterOptions | Cluster, watch: PictureWatch, quiet: bool) -> Results:
    model, work = SameTranslator.of(translator), plan.work
    if not plan.files:
        return
    with contextlib.ExitStack() as ended, contextlib.ExitStack() as held:
        held.callback(remove_left)  # when workers of this machine are no more
        joined = cluster if isinstance(cluster, Cluster) else held.enter_context(connected(cluster, quiet))
        paths = [*plan.files[0].picture.paths, *plan.files[-1].picture.paths] if work.source is None else []
        folders = {Path(file.output).parent for file in plan.files} if work.output is None else set()
        ended.callback(sweep_outputs, joined, folders)  # also of workers that end with the block
        joined.check(reads=[*model.files(), *plugin_files(), *paths], writes=folders and [plan.root])
        seen = InOrder(translator, watch)
        results = held.enter_context(closing(joined.map(CarriedWorkers(model, work), plan.files, what="translate the images")))
        try:
            for number, outcome in results:
                if isinstance(outcome, Lost):
                    label = plan.files[number].picture.label
                    yield number, UserError(f"{label if work.source is None else work.source.at_name(label)}: {outcome.reason}")
                    seen.take(number, SeenByWorker())
                else:
                    seen.take(number, outcome.seen)
                    yield number, outcome.error
        finally:
            sweep_outputs(joined, folders)


@dataclass(frozen=True)
class CarriedOutcome:
    """What became of a file, in a worker.

    Attributes:
        error: its failure, :class:`ThereAlready`, or None.
        seen: of this file and all that were sent with it, with the first of them.
    """

    error: Exception | None = None
    seen: SeenByWorker = field(default_factory=SeenByWorker)


@dataclass(frozen=True)
class CarriedWorkers:
    """Sets up a worker that fetches, translates and puts files, in its own process, with the credentials that it finds there.

    Attributes:
        model: what it loads.
        work: what is the same for all files.
    """

    model: SameTranslator
    work: CarriedWork

    def __call__(self) -> Callable[[Sequence[CarriedFile]], list[CarriedOutcome]]:
        """The worker.

        Raises:
            UserError: it cannot load the model, or reach a storage.
            Missing: a package is not installed there.
        """
        for place in (self.work.source, self.work.output):
            try:
                if place is not None:
                    place.look()
            except (UserError, Missing) as error:
                raise type(error)(f"{error} (so it is for a worker on {node()})") from error
        translator, work = self.model.load(), self.work
        said = {*translator.said}  # when it was loaded: that was said where the work was planned

        def translate(files: Sequence[CarriedFile]) -> list[CarriedOutcome]:
            watch = translator.watch_a_part()
            with Workspace(work.source, work.output) as workspace:
                with closing(carried(translator, work, files, workspace, watch)) as results:
                    errors = [error for _, error in results]
                notes = [note for note in translator.said if note not in said]
                said.update(notes)
                pictures = [replace(look, label=workspace.named(look.label)) for look in watch.looks or ()]
                colours = [replace(look, label=workspace.named(look.label)) for look in translator.colours_of_a_part()]
                seen = SeenByWorker(pictures, colours, [workspace.named(note) for note in notes])
            first, *others = map(CarriedOutcome, errors)
            return [replace(first, seen=seen), *others]

        return translate


def _place(place: str) -> ObjectFolder | None:
    return ObjectFolder.at(place) if is_url(place) else None


def _new_root() -> tuple[Path, BinaryIO | None]:
    """A folder for temporary files, and what holds it; those that killed processes left beside it are removed."""
    remove_left()
    made = Path(tempfile.mkdtemp(prefix=f".{WORKSPACES}"))
    lock = _locked(made)
    root = made.with_name(made.name.removeprefix("."))  # by which others know it, now that it is held
    try:
        made.rename(root)
    except OSError:  # Windows, where an open file keeps its folder
        root = made
    return root.resolve(), lock


def remove_left() -> None:
    """Remove the temporary folders that killed processes left."""
    for other in Path(tempfile.gettempdir()).glob(f"{WORKSPACES}*"):
        with contextlib.suppress(OSError):
            if not other.is_symlink() and other.is_dir() and (lock := _locked(other)) is not None:
                with lock:
                    shutil.rmtree(other, ignore_errors=True)


def _locked(folder: Path) -> BinaryIO | None:
    """The open lock of a folder, for as long as it is open; None if another process holds it, or the file system has no locks."""
    stream: BinaryIO = (folder / ".lock").open("ab")
    try:
        lock_file(stream)
    except OSError:
        stream.close()
        return None
    return stream


# ---- one image --------------------------------------------------------------------------------------------------------------


def translate_file(translator: Translator, source: str, output: str, **keywords: Unpack[FileKeywords]) -> None:
    """As :meth:`.Translator.translate_file`, where the image, what it becomes or both are in a storage.

    Args:
        translator: what translates.
        source: a URL, or what that method takes.
        output: a URL, or a file.
        keywords: as there.

    Raises:
        UserError: as there; or a storage does not let itself be read or written.
        Missing: a package for its protocol is not installed.
    """
    read, written = _place(source), _place(output)
    above = [None if place is None else place.folder for place in (read, written)]
    with Workspace(*above) as workspace, renaming(workspace.named), workspace.naming():
        here, there = Path(source), Path(output)
        if read is not None and written is not None and path_of(read) == path_of(written):
            raise UserError(f"{output} is the image to be translated, which would be lost: choose another output")
        if read is not None:
            if (about := read.look()) is None:
                raise UserError(f"{source} does not exist: give the URL of an image, or of a folder of images")
            here = workspace.fetched(read.name, about)
        if written is not None:
            there = workspace.output_file(written.name)
            there.parent.mkdir()
            if (about := written.look()) is not None:
                workspace.fetched_output(written.name, about)
            _say([written.folder.check_writable()], translator.quiet)
        translator.translate_file(here if read is not None else source, there, **keywords)
        if written is not None:
            written.folder.put(written.name, there)
