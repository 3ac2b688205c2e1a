"""Two folders of images against each other, whoever made them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data import images
from ..data.batch import chunks
from ..data.files import check_writable_folder, list_images
from ..data.pairing import listed, match
from ..data.pixels import NATURAL_RANGE, Array, to_tensor
from ..errors import UserError
from ..features import weights as weight_files
from ..metrics.metric import MetricContext
from ..metrics.statistics import Statistics
from ..progress import say, track
from .choice import Choice
from .evaluate import BATCH, PALETTE_IMAGES, alike, every, with_labels
from .panels import keep_panels, spread
from .result import Evaluation, Scores, as_target, table_rows
from .schema import OF_FILES, Facts
from .unpaired import Sets, compare_sets


@dataclass(frozen=True)
class _Files:
    """Files that belong together: a generated image, its target, and what else is known of it."""

    name: str
    generated: Path
    target: Path
    source: Path | None = None
    labels: Path | None = None


def evaluate_folders(
    generated: str | Path,
    target: str | Path,
    *,
    source: str | Path | None = None,
    labels: str | Path | None = None,
    unpaired: bool = False,
    metrics: Sequence[str] | None = None,
    require: Sequence[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    segmenter: Any = None,
    palette: Any = None,
    weights: Mapping[str, str | Path] | None = None,
    out: str | Path | None = None,
    value_range: tuple[float, float] | None = None,
    alpha: images.Alpha = "refuse",
    quiet: bool = False,
) -> Evaluation:
    """Score a folder of generated images against a folder of targets, whoever made them; nothing is resized.

    Args:
        generated: folder of generated images.
        target: folder of what they should be, paired by name as two-folder data is; or a file of stored statistics (``.npz``).
        source: folder of sources, for the bound of copying them.
        labels: folder of label maps for the FCN-score, of any size; default: the sources, or without a segmenter the targets.
        unpaired: the folders are two sets without correspondence, of any lengths and sizes: only distributions are compared.
        metrics, require, options, segmenter, palette, weights: as for :func:`.evaluate.evaluate`.
        out: a folder for ``evaluation.json``, ``per_image.csv`` and pictures; ``transfigure report`` makes a page of it.
        value_range: the values that count as black and white, for files that do not use their type's full range; not for sources of
            another depth than the targets.
        alpha: what to do with transparency, see ``images.read``.
        quiet: no progress and no notes.

    Raises:
        UserError: a folder is missing or empty, an image has no partner, cannot be read, or differs from its partner in size or channels.
        Missing: a required metric cannot be computed.
    """
    started = time.monotonic()
    choice = Choice.of(metrics, require, options)
    stored = Path(target).suffix.lower() == ".npz"
    about = Facts(
        data=f"{generated} against {target}" + (", unpaired" if unpaired or stored else ""),
        resize="none",
        checkpoint=OF_FILES,
        model=str(generated),
        value_range="" if value_range is None else f"{value_range[0]:g} to {value_range[1]:g}",
    )
    with weight_files.explicit(weights or {}):
        if unpaired or stored:
            for flag, given in (("labels", labels), ("segmenter", segmenter), ("palette", palette)):
                if given is not None:
                    raise UserError(f"--{flag} needs pairs: leave it out, or leave out --unpaired and give --target a folder")
            sets = Sets(
                list_images(Path(generated)),
                Statistics.load(Path(target)) if stored else list_images(Path(target)),
                list_images(Path(source)) if source is not None else None,
            )
            _prepare(out)
            result = compare_sets(choice, sets, about, value_range, alpha, quiet)
        else:
            photos = segmenter is not None or bool(choice.options.get("fcn_score", {}).get("segmenter"))
            files = _matched(generated, target, source, labels, photos, quiet)
            _prepare(out)
            some = files[:: every(len(files), PALETTE_IMAGES)]
            choice = with_labels(choice, segmenter, palette, lambda _: (images.read(one.labels, alpha) for one in some if one.labels))
            result = _compare_pairs(choice, files, about, value_range, alpha, quiet)
            if out is not None:
                keep_panels(result, Path(out), spread(result.names), _pictures_of(files, alpha), quiet)
    result.about.seconds = round(time.monotonic() - started, 2)
    if out is not None:
        result.save(Path(out))
    return result


def _prepare(out: str | Path | None) -> None:
    if out is not None:
        check_writable_folder(Path(out))


def _compare_pairs(
    choice: Choice,
    files: Sequence[_Files],
    about: Facts,
    value_range: tuple[float, float] | None,
    alpha: images.Alpha,
    quiet: bool,
) -> Evaluation:
    scores, copied = Scores(choice), Scores(choice, "source copied")
    read = (_read(one, value_range, alpha) for one in track(files, len(files), "evaluate", quiet=quiet))
    for chunk in chunks(read, BATCH, lambda one: (alike(one.target), None if one.copied is None else one.copied.shape, one.levels)):
        names = [one.name for one in chunk]
        prediction, truth = torch.stack([one.generated for one in chunk]), torch.stack([one.target for one in chunk])
        answers = [one.copied for one in chunk if one.copied is not None]
        source = torch.stack(answers) if answers else None
        labels = [one.labels for one in chunk if one.labels is not None]
        known = labels if len(labels) == len(chunk) else None
        scores.update(prediction, truth, names, MetricContext(source, labels=known, levels=chunk[0].levels))
        if source is not None:
            copied.update(source, truth, names)
    about.options = choice.option_values()
    rows = table_rows(choice, scores, {"source copied": copied}, about, quiet)
    return Evaluation(rows, about, scores=scores.per_image(), names=[one.name for one in files])


def _pictures_of(files: Sequence[_Files], alpha: images.Alpha) -> Callable[[str], dict[str, Array]]:
    by_name = {one.name: one for one in files}

    def pictures_of(name: str) -> dict[str, Array]:
        one = by_name[name]
        sides = {"source": one.source, "generated": one.generated, "target": one.target}
        return {side: images.read(path, alpha) for side, path in sides.items() if path is not None}

    return pictures_of


@dataclass(frozen=True, eq=False)
class _Pictures:
    name: str
    generated: Tensor
    target: Tensor
    copied: Tensor | None
    labels: Array | None
    levels: tuple[tuple[float, float], tuple[float, float]]


def _read(files: _Files, value_range: tuple[float, float] | None, alpha: images.Alpha) -> _Pictures:
    """One pair, each file decoded once."""
    made, wanted = images.read(files.generated, alpha), images.read(files.target, alpha)
    if made.shape != wanted.shape:
        (height, width, channels), (high, wide, layers) = made.shape, wanted.shape
        raise UserError(
            f"{files.generated} is {width}x{height} with {channels} channel{'s' * (channels > 1)} but {files.target} is "
            f"{wide}x{high} with {layers}: bring them to one size and kind first, nothing is resized here"
        )
    if value_range is not None and {made.dtype.name, wanted.dtype.name} == {"uint8", "uint16"}:
        raise UserError(
            f"{files.generated} is {made.dtype} but {files.target} is {wanted.dtype}: one value range cannot be right for both, "
            "so save them with one depth, or leave the range out"
        )
    truth = to_tensor(wanted, value_range, str(files.target))
    given = images.read(files.source, alpha) if files.source is not None else None
    copied = None
    if given is not None and given.shape[:2] == wanted.shape[:2]:
        # the range is that of the images that are compared; a source of another depth is taken at its own full range
        limits = value_range if given.dtype == wanted.dtype or given.dtype.kind == "f" else None
        copied = as_target(to_tensor(given, limits, str(files.source)), truth.shape[0])
    decoded = {files.target: wanted, files.source: given}
    labels = None
    if files.labels is not None:
        known = decoded.get(files.labels)
        labels = known if known is not None else images.read(files.labels, alpha)
    black_and_white = value_range or NATURAL_RANGE[made.dtype.name], value_range or NATURAL_RANGE[wanted.dtype.name]
    return _Pictures(files.name, to_tensor(made, value_range, str(files.generated)), truth, copied, labels, black_and_white)


def _matched(
    generated: str | Path, target: str | Path, source: str | Path | None, labels: str | Path | None, photos: bool, quiet: bool
) -> list[_Files]:
    """Every generated file with its partners in the other folders."""
    given = {"generated": generated, "target": target, "source": source, "labels": labels}
    folders = {name: Path(folder) for name, folder in given.items() if folder is not None}
    files = {name: list_images(folder) for name, folder in folders.items()}
    partners = {other: _partners(folders, files, other, quiet) for other in folders if other != "generated"}
    label_maps = partners.get("labels") or partners.get("source" if photos else "target")
    return [
        _Files(
            file.relative_to(folders["generated"]).with_suffix("").as_posix(),
            file,
            partners["target"][index],
            partners["source"][index] if "source" in partners else None,
            label_maps[index] if label_maps else None,
        )
        for index, file in enumerate(files["generated"])
    ]


def _partners(folders: dict[str, Path], files: dict[str, list[Path]], other: str, quiet: bool) -> list[Path]:
    """For every generated file its partner in another folder."""
    mine, theirs = ([file.relative_to(folders[name]).as_posix() for file in files[name]] for name in ("generated", other))
    pairing = match(mine, theirs)
    found = {a: files[other][b] for a, b, _ in pairing.pairs}
    if len(found) < len(mine) or (other == "target" and pairing.only_b):
        lonely = [mine[index] for index in range(len(mine)) if index not in found] or list(pairing.only_b)
        where, elsewhere = ("generated", other) if len(found) < len(mine) else (other, "generated")
        raise UserError(
            f"{len(lonely)} of the images in {folders[where]} have no partner of the same name in {folders[elsewhere]} "
            f"({listed(lonely)}): scores over a part would mislead, so complete the folders first, or compare them as sets with --unpaired"
        )
    if not quiet:
        for note in pairing.notes(str(folders["generated"]), str(folders[other])):
            say(f"note: {note}")
    return [found[index] for index in range(len(mine))]
