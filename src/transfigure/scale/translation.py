"""Bulk translation over a cluster: what one machine does with a folder, done by workers.

It is planned, refused and ended here, by what plans, refuses and ends it on one machine. A worker holds the translator, and is sent names
of files; it reads, translates and writes them as one machine does. What comes back of a file is why it failed, if it did, and what the
watches over the images have to know of it: no pixels pass through this process.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from platform import node
from typing import Any, Unpack

from ..data.encodings.label_maps import ColourLook
from ..data.file_facts import Look, PictureWatch
from ..data.files import real_path, sweep
from ..errors import Missing, UserError
from ..interop import hub
from ..networks.model_file import CONFIG, Inference
from ..networks.shipped import find_shipped
from ..progress import track
from ..registry import plugin_files
from ..translation.folder import FileOptions, FileToTranslate, FolderWork, TranslateKeywords, Written
from ..translation.opening import HowToRun
from ..translation.tiling import Tiling
from ..translation.translator import Translator
from .cluster import Cluster, ClusterOptions, Lost, connected


@dataclass(frozen=True)
class SameTranslator:
    """A translator by plain values, so that every worker loads the same.

    Attributes:
        path: as of :meth:`.Translator.load`.
        how: likewise.
        inference: how it runs.
        precision: of weights and activations.
        tiling: when and how large images go in tiles.
        maker: what its outputs say of what made them, see :meth:`.Translator._maker`.
    """

    path: str
    how: HowToRun
    inference: Inference
    precision: Any
    tiling: Tiling
    maker: str

    @classmethod
    def of(cls, translator: Translator) -> SameTranslator:
        """How to load a translator again.

        Raises:
            UserError: it was built in memory.
        """
        if translator.loaded is None:
            raise UserError("this translator was built in memory, and workers load theirs: save it (save), and load it from there")
        path, how = translator.loaded
        how = {**how, "quiet": True}
        if translator.engine.name != "torch":  # what is the fastest is not asked again
            how["engine"] = translator.engine.name
        how.pop("precision", None)
        precision = translator.engine.precision if translator.engine.name == "torch" else "float32"
        if not hub.is_hub_name(path) and find_shipped(path, quiet=True) is None:
            path = str(real_path(path))
        return cls(path, how, translator.inference, precision, translator.tiling, translator._maker(FileOptions()))

    def files(self) -> list[Path]:
        """What of it lies on the disk, as far as a look at it tells that it is the same."""
        place = Path(self.path)
        known = [place / CONFIG, place / "model" / CONFIG, place / "model_best" / CONFIG] if place.is_dir() else [place]
        return [file for file in known if file.is_file()]

    def load(self) -> Translator:
        """The translator.

        Raises:
            UserError: it cannot be loaded here, or is another.
        """
        translator = Translator.load(self.path, **self.how)
        translator.tiling, translator.inference = self.tiling, self.inference
        if self.precision != "float32":
            translator.set_precision(self.precision)
        if (maker := translator._maker(FileOptions())) != self.maker:
            raise UserError(
                f"what {node()} loads from {self.path} is not the translator that the work was planned with ({maker} in place of "
                f"{self.maker}): put one model where all machines see it at the same path, and save one that was changed in memory"
            )
        return translator


@dataclass(frozen=True)
class SeenByWorker:
    """What a worker saw of some files.

    Attributes:
        pictures: of each picture.
        colours: of each label map.
        notes: what it has to say.
    """

    pictures: Sequence[Look] = ()
    colours: Sequence[ColourLook] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class FileOutcome:
    """What became of a file.

    Attributes:
        error: why it could not be translated; None if it was.
        seen: of this file and all that were sent with it, with the first of them.
    """

    error: UserError | Missing | None = None
    seen: SeenByWorker = field(default_factory=SeenByWorker)


@dataclass(frozen=True)
class FileWorkers:
    """Sets up a worker that translates files, in its own process.

    Attributes:
        model: what it loads.
        work: how files are read and written; its own files are not sent along.
    """

    model: SameTranslator
    work: FolderWork

    def __call__(self) -> Callable[[Sequence[FileToTranslate]], list[FileOutcome]]:
        """The worker."""
        translator, work = self.model.load(), self.work
        said = {*translator.said}  # when it was loaded: that was said where the work was planned

        def translate(files: Sequence[FileToTranslate]) -> list[FileOutcome]:
            watch = translator.watch_a_part()
            with contextlib.closing(translator.work_on(files, work, watch)) as results:
                errors = [error for _, error in results]
            notes = [note for note in translator.said if note not in said]
            said.update(notes)
            colours = translator.colours_of_a_part()
            first, *others = [FileOutcome(error) for error in errors if error is None or isinstance(error, UserError | Missing)]
            return [replace(first, seen=SeenByWorker(watch.looks or (), colours, notes)), *others]

        return translate


class InOrder:
    """Takes in what was seen of files in their order, whatever order they are done in: a note names the first that it is true of.

    Args:
        translator: whose watches take it in.
        watch: over the pictures.
    """

    def __init__(self, translator: Translator, watch: PictureWatch) -> None:
        self._translator, self._watch = translator, watch
        self._next, self._waiting = 0, dict[int, SeenByWorker]()

    def take(self, number: int, seen: SeenByWorker) -> None:
        """What came with a file."""
        for note in seen.notes:
            self._translator.say_once(note)
        self._waiting[number] = seen
        while (seen_next := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            for look in seen_next.pictures:
                self._watch.take_in(look)
            self._translator.take_in_colours(seen_next.colours)


def translate_folder(
    translator: Translator | str | Path,
    source: str | Path,
    output: str | Path,
    *,
    cluster: ClusterOptions | Cluster | None = None,
    quiet: bool = False,
    on_file: Callable[[Path], None] | None = None,
    **keywords: Unpack[TranslateKeywords],
) -> Written:
    """As :meth:`.Translator.translate_folder`, by the workers of a cluster: the same files, bit for bit at equal threads, and the same
    notes and failures.

    Args:
        translator: what translates, loaded from a place that all machines see; or that place.
        source: as there; all machines see it.
        output: as there; likewise.
        cluster: where the workers are and how many, or a cluster that is connected already; None starts them on this machine.
        quiet: as there.
        on_file: as there; files are done in any order.
        keywords: as there.

    Returns:
        As there.

    Raises:
        UserError: as there; or the cluster cannot do it, see :func:`.cluster.connected` and :meth:`.cluster.Cluster.check`.
        Missing: as there; or Ray is not installed.
        RunFailure: the cluster was lost.

    Example:
        >>> from transfigure.scale.cluster import ClusterOptions  # doctest: +SKIP
        >>> translate_folder("runs/street", "labels", "photos", cluster=ClusterOptions("auto", workers=16))  # doctest: +SKIP
    """
    if not isinstance(translator, Translator):
        translator = Translator.load(translator, quiet=quiet)
    translator = replace(translator, quiet=quiet or translator.quiet)
    model = SameTranslator.of(translator)
    work = translator.plan_folder(source, output, **keywords)
    if work.files:
        watch = translator._watch()
        with contextlib.ExitStack() as ended, contextlib.ExitStack() as held:
            joined = cluster if isinstance(cluster, Cluster) else held.enter_context(connected(cluster or ClusterOptions(), quiet))
            ended.callback(sweep_outputs, joined, {file.output.parent for file in work.files})  # also of workers that end with the block
            reads: list[str | Path] = [*model.files(), *plugin_files(), *work.files[0].picture.paths, *work.files[-1].picture.paths]
            joined.check(reads=reads, writes=[output])
            _translate(joined, model, translator, work, watch, on_file, quiet)
        translator._say_of(watch)
    return work.end()


def _translate(
    cluster: Cluster,
    model: SameTranslator,
    translator: Translator,
    work: FolderWork,
    watch: PictureWatch,
    on_file: Callable[[Path], None] | None,
    quiet: bool,
) -> None:
    sent = replace(work, files=[], written=Written())
    in_order, written, failed = InOrder(translator, watch), dict[int, Path](), dict[int, FileOutcome]()
    with contextlib.closing(_outcomes(cluster, model, sent, work.files)) as outcomes:
        first = [*itertools.islice(outcomes, 1)]  # until it is there the workers start, which says nothing of how long the others take
        for number, outcome in track(itertools.chain(first, outcomes), len(work.files), "translate", quiet=quiet):
            file = work.files[number]
            in_order.take(number, outcome.seen)
            if outcome.error is not None:
                failed[number] = outcome
                continue
            written[number] = file.output
            if on_file is not None:
                on_file(file.output)
    work.written.extend(written[number] for number in sorted(written))
    for number in sorted(failed):
        work.take_down(work.files[number], failed[number].error)


def sweep_outputs(cluster: Cluster, folders: Iterable[Path]) -> None:
    """Remove what workers of this machine that were killed have left unfinished; what others have in hand is locked."""
    for folder in folders if cluster.is_own else ():
        sweep(folder, grace=0.2)


def _outcomes(
    cluster: Cluster, model: SameTranslator, sent: FolderWork, files: Sequence[FileToTranslate]
) -> Generator[tuple[int, FileOutcome], None, None]:
    workers = FileWorkers(model, sent)
    with contextlib.closing(cluster.map(workers, files, what="translate the images")) as results:
        for number, outcome in results:
            if isinstance(outcome, Lost):
                outcome = FileOutcome(UserError(f"{files[number].picture.label}: {outcome.reason}"))  # noqa: PLW2901
            yield number, outcome
