"""What does a translator preserve, and what is novel? All measures, over held-out sources, in one result.

On any data: how much of the sources' layout is left, how far the outputs belong to the target domain, and which part of the input each
part of the output depends on. On a world whose factors are known, also what became of each of them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import torch
from torch import Tensor

from ...data.batch import chunks
from ...data.dataset import PairDataset
from ...data.files import to_json_values
from ...data.ownership import check_outputs
from ...data.pairs import Picture, Record
from ...errors import UserError, printable
from ...evaluation.evaluate import stride
from ...evaluation.held_out import HeldOut, held_out, raise_for_all
from ...evaluation.scorer import as_written
from ...networks.model_file import describe_checkpoint
from ...progress import say, track
from ...recipe import Data, stabilisers
from ...translation.translator import Translator
from ...worlds.shapes.dataset import FACTORS, ShapesPicture, draw_scene
from .attribution import input_gradients, locality
from .factors import FactorResult, analyze_factors
from .measure import Measure
from .measures import ImageSets, measures
from .novel import nearest_training
from .probes import LabelledPictures, Probes, agreement, load_probes, train_probes

IMAGES = 500
"""At most so many held-out images of each domain are looked at, and twice as many training images, evenly spread."""
SCENES, FIRST_SCENE, STEPS = 6000, 5 * 10**6, 4000
"""Probes are trained for so many steps on so many scenes of the same world, which are in no split: three minutes of one core at 64
pixels."""
MAPPED, GRID = 16, 4
"""So many sources, evenly spread, are asked which of their pixels each cell of a grid of so many by so many depends on."""
EXAMPLES = 8


@dataclass(frozen=True)
class Attribution:
    """Which input an output region depends on, for a few sources.

    Attributes:
        share: of the dependence that lies in the region or next to it, the mean over regions and sources; NaN if there is none at all.
        uniform: the same if every region depended on the whole image alike.
        examples: per source that is shown, ``[R, H, W]`` maps of sum 1, and ``[R, H, W]`` masks of the regions.
        sources: how many were asked.
    """

    share: float
    uniform: float
    examples: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    sources: int = 0


@dataclass
class Analysis:
    """The result of an analysis.

    Attributes:
        about: data, model, checkpoint, numbers of images and other facts.
        measures: preserved, then novel.
        attribution: which input the output depends on.
        factors: what became of each known factor; empty where none are known.
        accuracy: of the probes that read them, on held-out real pictures: factor to ``{"source": ..., "target": ...}``.
        examples: names of some sources, and their pictures as ``source``, ``output``, ``second`` (of the other training) and ``nearest``
            (the training target most like the output), each ``[N, C, H, W]`` in [-1, 1].
    """

    about: dict[str, Any]
    measures: list[Measure]
    attribution: Attribution
    factors: list[FactorResult] = field(default_factory=list)
    accuracy: dict[str, dict[str, float]] = field(default_factory=dict)
    examples: tuple[list[str], dict[str, Tensor]] = field(default_factory=lambda: ([], {}))

    def value(self, name: str) -> float:
        """Of a measure by its name; NaN if there is none."""
        return next((measure.value for measure in self.measures if measure.name == name), float("nan"))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what is not a number is None."""
        values = {
            **self.about,
            "measures": [dataclasses.asdict(measure) for measure in self.measures],
            "where": {"share": self.attribution.share, "uniform": self.attribution.uniform},
            "factors": [result.to_dict() for result in self.factors],
            "probe_accuracy": self.accuracy,
        }
        stored: dict[str, Any] = to_json_values(values)
        return stored

    def table(self) -> str:
        """For a terminal."""
        lines = [["measure", "value", "95 % interval", "identity", "random target", "of"]]
        for measure in self.measures:
            interval = "-" if measure.interval is None else f"[{measure.interval[0]:.3f}, {measure.interval[1]:.3f}]"
            bounds = [f"{measure.bounds[name]:.3f}" if name in measure.bounds else "-" for name in ("identity", "random target")]
            lines.append([measure.label, f"{measure.value:.3f}", interval, *bounds, measure.note])
        near, even = self.attribution.share, self.attribution.uniform
        place = f"{near:.0%} lies in its own place or beside it ({even:.0%} if it were spread evenly)"
        text = f"{_columns(lines)}\n\nof what a part of an output depends on, {place}"
        if self.factors:
            head = [["factor", "of", "probe", "preserved", "generated", "what became of it"]]
            head += [
                [
                    one.name,
                    one.role,
                    _accuracies(self.accuracy.get(one.name, {})),
                    f"{one.preserved:.2f}",
                    f"{one.generated:.2f}",
                    one.outcome,
                ]
                for one in self.factors
            ]
            text += "\n\n" + _columns(head)
        return text


@dataclass(frozen=True, eq=False)
class AnalysisOptions:
    """How an analysis looks.

    Attributes:
        limit: held-out images of each domain that are looked at.
        seed: of random targets, classifier, probes and resampling.
        probes: that can read the world's factors, if they are known; None trains them on pictures of the training images' world.
    """

    limit: int = IMAGES
    seed: int = 0
    probes: Probes | None = None


def analyze(
    model: Translator | str | Path,
    data: str | Path | Data | None = None,
    *,
    split: str | None = None,
    second: Translator | str | Path | None = None,
    checkpoint: Literal["last", "best"] = "last",
    overrides: dict[str, Any] | None = None,
    options: AnalysisOptions | None = None,
    quiet: bool = False,
) -> Analysis:
    """Say what a translator preserves of its sources and what is novel in its outputs.

    Args:
        model: a translator, or a run or model directory.
        data: unpaired domains or pairs (whose pairing is not used); None is the data of the model's own recipe.
        split: as in ``evaluate``.
        second: another training of the same recipe, for the agreement of both.
        checkpoint: of a run.
        overrides: dotted data keys that replace the recipe's.
        options: how many images are looked at, with which seed and probes.
        quiet: no progress.

    Raises:
        UserError: no model, no data, or images that do not fit the model.
    """
    started = time.monotonic()
    options = options or AnalysisOptions()
    translator = model if isinstance(model, Translator) else Translator.load(model, checkpoint=checkpoint)
    other = second if isinstance(second, Translator) or second is None else Translator.load(second, checkpoint=checkpoint)
    for one in (translator, other):
        if one is not None and one.is_exported:
            raise UserError(f"{one.origin} is an exported file, whose inside cannot be looked at: give the run or model it was made from")
    config = translator.config
    if odd := [
        f"{side}s as {one.encoding}" for side, one in (("source", config.source), ("target", config.target)) if one.encoding != "values"
    ]:
        raise UserError(
            f"this model has {' and '.join(odd)}, and an analysis compares the values of sources and outputs: score it with  "
            "transfigure evaluate"
        )
    found = held_out(translator, data, split, overrides or {}, quiet)
    if found.training is None:
        raise UserError(f"{found.section.path or 'the data'} has no training images: an analysis compares with both domains' own images")
    for note in [] if quiet else found.notes:
        say(f"note: {note}")
    sources, targets, names = domains_of(found.pairs, options.limit, "read held-out", quiet)
    for note in [] if quiet else found.pairs.notes():
        say(f"note: {note}")
    train_sources, train_targets, _ = domains_of(found.training, 2 * options.limit, "read training", quiet)
    if min(len(sources), len(targets)) < 2:
        raise UserError(f"{found.section.path or 'the data'} has one {found.split} image in a domain: an analysis needs two, better 100")
    outputs = _outputs(translator, sources, "translate", quiet)
    again = None if other is None else _outputs(other, sources, "translate again", quiet)
    same = _same(found)
    images = ImageSets(sources, outputs, targets, train_sources, train_targets, again)
    measured = measures(images, seed=options.seed, same_domain=same, quiet=quiet)
    factors, accuracy = _factors(found, images, options, quiet)
    shown = list(range(0, len(sources), stride(len(sources), EXAMPLES)))[:EXAMPLES]
    nearest = nearest_training(outputs[shown], train_targets, targets).indices
    pictures = {"source": sources[shown], "output": outputs[shown], "nearest": train_targets[nearest]}
    if again is not None:
        pictures["second"] = again[shown]
    attribution = _attribution(translator, sources, shown, quiet)
    about: dict[str, Any] = {
        "split": found.split,
        "data": str(found.section.path or found.section.kind),
        "direction": found.section.direction,
        "model": str(translator.origin or "in memory"),
        "second": None if other is None else str(other.origin or "in memory"),
        "checkpoint": describe_checkpoint(translator.config.checkpoint),
        "stabilisers": ", ".join(stabilisers(translator.config.recipe or {})) or "none",
        "inference": dataclasses.asdict(translator.inference),
        "sources": len(sources),
        "targets": len(targets),
        "training_sources": len(train_sources),
        "training_targets": len(train_targets),
        "same_domain": same,
        "seed": options.seed,
        "traced": attribution.sources,
    }
    about["seconds"] = round(time.monotonic() - started, 2)
    return Analysis(about, measured, attribution, factors, accuracy, ([names[index] for index in shown], pictures))


def world_probes(records: Sequence[Record], seed: int = 0, quiet: bool = False) -> Probes | None:
    """Probes trained on fresh pictures of the world that these are of, if its factors are known; None for any other data."""
    if not _known(records):
        return None
    shown = records[0].a
    assert isinstance(shown, ShapesPicture)
    scenes = [draw_scene(index, shown.scene.seed) for index in range(FIRST_SCENE, FIRST_SCENE + SCENES)]

    def draw(domain: Literal["A", "B"]) -> LabelledPictures:
        drawn = [ShapesPicture(scene, domain, shown.size) for scene in scenes]
        return LabelledPictures(_drawn(drawn, f"draw {domain}", quiet), _values(drawn), domain)

    return train_probes(draw("A"), draw("B"), FACTORS, seed=seed, steps=STEPS, quiet=quiet)


def read_probes(
    file: str | Path,
    translator: Translator,
    data: str | Path | Data | None = None,
    *,
    split: str | None = None,
    overrides: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Probes | None:
    """The probes of a file; if there is none yet, they are trained on the data's own world and kept in it.

    Raises:
        UserError: the file holds something else.
    """
    if Path(file).exists():
        return load_probes(file)
    check_outputs([Path(file)])
    training = held_out(translator, data, split, overrides or {}).training
    probes = None if training is None else world_probes(training.records, quiet=quiet)
    if probes is None:
        raise UserError(
            f"--probes {file}: this data does not tell what is in its pictures, so nothing can be trained to read it: leave it out"
        )
    probes.save(file)
    return probes


# ---- images ---------------------------------------------------------------------------------------------------------------


def domains_of(dataset: PairDataset, limit: int, what: str = "read", quiet: bool = False) -> tuple[Tensor, Tensor, list[str]]:
    """The distinct sources and targets of a data set without jitter, at most ``limit`` of each, evenly spread, and the sources' names."""
    records = dataset.records
    sides = []
    for labels in ([record.a.label for record in records], [record.b.label for record in records]):
        first = list({label: index for index, label in reversed(list(enumerate(labels)))}.values())[::-1]
        sides.append(sorted(first)[:: stride(len(first), limit)])
    wanted = sorted({*sides[0], *sides[1]})
    try:
        pairs = {index: dataset[index] for index in track(wanted, len(wanted), what, "image", quiet=quiet)}
    except UserError:
        raise_for_all(dataset)
        raise
    sources, targets = [pairs[index].source for index in sides[0]], [pairs[index].target for index in sides[1]]
    return torch.stack(sources), torch.stack(targets), [records[index].name for index in sides[0]]


def _outputs(translator: Translator, sources: Tensor, what: str, quiet: bool) -> Tensor:
    outputs: list[Tensor] = []
    for chunk in chunks(track(sources, len(sources), what, "image", quiet=quiet), 8, lambda source: source.shape):
        made = zip(translator.translate_tensor(torch.stack(chunk)), chunk)
        outputs += [as_written(image, translator.config.target, source) for image, source in made]
    return torch.stack(outputs)


def _same(found: HeldOut) -> bool:
    """Whether source and target are one domain."""
    return all(record.a.label == record.b.label for record in found.pairs.records) or _one_folder(found.section)


def _one_folder(section: Data) -> bool:
    options = section.options
    return section.kind in ("unpaired", "shapes") and any(
        options.get(one) is not None and options.get(one) == options.get(other) for one, other in (("a", "b"), ("source", "target"))
    )


# ---- which input it depends on ----------------------------------------------------------------------------------------------


def _attribution(translator: Translator, sources: Tensor, shown: Sequence[int], quiet: bool) -> Attribution:
    """Of some sources evenly spread, and of those that are shown."""
    spread = range(0, len(sources), stride(len(sources), MAPPED))
    chosen = list(dict.fromkeys([*shown, *spread]))
    height, width = sources.shape[-2:]
    cells = torch.zeros(GRID * GRID, height, width)
    for cell in range(GRID * GRID):
        row, column = divmod(cell, GRID)
        cells[cell, row * height // GRID : (row + 1) * height // GRID, column * width // GRID : (column + 1) * width // GRID] = 1
    shares, uniform = [], 0.0
    examples: list[tuple[Tensor, Tensor]] = []
    for index in track(chosen, len(chosen), "trace", "image", quiet=quiet):
        maps = input_gradients(translator.generator, sources[index], cells, translator.inference)
        near = locality(maps, cells, margin=max(height, width) // (2 * GRID))
        shares.append(near.share)
        uniform = float(near.uniform.mean())
        if index in shown:
            examples.append((maps, cells))
    return Attribution(float(torch.cat(shares).nanmean()), uniform, examples, len(chosen))


# ---- known factors ----------------------------------------------------------------------------------------------------------


def _known(records: Sequence[Record]) -> bool:
    return bool(records) and all(isinstance(picture, ShapesPicture) for record in records[:1] for picture in (record.a, record.b))


def _drawn(shown: Sequence[ShapesPicture], what: str, quiet: bool) -> Tensor:
    read = [torch.from_numpy(picture.read()) for picture in track(shown, len(shown), what, "image", quiet=quiet)]
    return torch.stack(read).permute(0, 3, 1, 2).float() / 127.5 - 1


def _values(shown: Sequence[ShapesPicture]) -> dict[str, Tensor]:
    return {name: torch.tensor([picture.factors[name] for picture in shown], dtype=torch.float64) for name in shown[0].factors}


def _asked(pictures: Sequence[Picture], limit: int) -> list[ShapesPicture]:
    """Of which picture each tensor of :func:`domains_of` is."""
    distinct = list(dict.fromkeys(pictures))
    return distinct[:: stride(len(distinct), limit)]  # type: ignore[return-value]


def _labelled(images: Tensor, pictures: Sequence[Picture], limit: int) -> LabelledPictures:
    """The tensor of :func:`domains_of` with what its pictures show."""
    asked = _asked(pictures, limit)
    return LabelledPictures(images, _values(asked), asked[0].domain)


def shared_agreement(probes: Probes, dataset: PairDataset, outputs: Tensor, limit: int) -> float:
    """How much of the factors that both domains show is read from the outputs to a data set's sources: the mean over those factors.

    Args:
        probes: which can read them.
        dataset: pictures of a world whose factors are known.
        outputs: to the sources that ``domains_of(dataset, limit)`` gives.
        limit: as given there.
    """
    values = _values(_asked([record.a for record in dataset.records], limit))
    read = probes.read(outputs)
    both = [factor.name for factor in probes.factors if factor.owner == "both"]
    return fmean(max(0.0, float(agreement(read[name], values[name]).mean())) for name in both)


def _factors(
    found: HeldOut, images: ImageSets, options: AnalysisOptions, quiet: bool
) -> tuple[list[FactorResult], dict[str, dict[str, float]]]:
    records, targets = found.pairs.records, images.targets
    if not _known(records) or min(len(images.sources), len(targets)) < 8 or images.outputs.shape[1] != 3:
        return [], {}
    drawn, read = getattr(records[0].a, "size", 0), images.sources.shape[-1]
    if drawn != read:
        if not quiet:
            say(f"note: the pictures are drawn at {drawn} pixels and read at {read}: their factors are left out (set --data.size {read})")
        return [], {}
    assert found.training is not None
    readers = options.probes or world_probes(found.training.records, seed=options.seed, quiet=quiet)
    assert readers is not None
    sides = {
        "source": _labelled(images.sources, [record.a for record in records], options.limit),
        "target": _labelled(targets, [record.b for record in records], options.limit),
    }
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(options.seed))  # pairs are not to meet
    results = analyze_factors(
        readers, FACTORS, sides["source"], images.outputs, targets[order], target=sides["target"].domain, seed=options.seed
    )
    right = {side: readers.accuracy(labelled) for side, labelled in sides.items()}
    names = dict.fromkeys([*right["source"], *right["target"]])
    return results, {name: {side: accuracy[name] for side, accuracy in right.items() if name in accuracy} for name in names}


# ---- words ------------------------------------------------------------------------------------------------------------------


def _columns(lines: list[list[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(printable("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()) for line in lines)


def _accuracies(accuracy: dict[str, float]) -> str:
    return " / ".join(f"{value:.2f}" for value in accuracy.values()) or "-"
