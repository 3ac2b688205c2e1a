"""Two folders of images against each other, whoever made them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data import images
from ..data.files import check_writable_folder, list_images
from ..data.pairing import listed, match
from ..data.pixels import to_tensor
from ..errors import UserError
from ..progress import say, track
from .result import Evaluation, Scores, as_target, metric_names, table_rows


def evaluate_folders(
    generated: str | Path,
    target: str | Path,
    *,
    source: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    out: str | Path | None = None,
    value_range: tuple[float, float] | None = None,
    alpha: images.Alpha = "refuse",
    quiet: bool = False,
) -> Evaluation:
    """Score a folder of generated images against a folder of targets, whoever made them; nothing is resized.

    Args:
        generated: folder of generated images.
        target: folder of what they should be; paired by name as two-folder data is.
        source: folder of sources, for the bound of copying them.
        metrics: registered names; None is every metric that needs nothing but the images.
        out: a folder for ``evaluation.json`` and ``per_image.csv``.
        value_range: the values that count as black and white, for files that do not use their type's full range.
        alpha: what to do with transparency, see ``images.read``.
        quiet: no progress and no notes.

    Raises:
        UserError: a folder is missing or empty, an image has no partner, cannot be read, or differs from its partner in size or channels.
    """
    started = time.monotonic()
    chosen = metric_names(metrics)
    folders = {"generated": Path(generated), "target": Path(target)} | ({"source": Path(source)} if source is not None else {})
    files = {name: list_images(folder) for name, folder in folders.items()}
    partners = {other: _partners(folders, files, other, quiet) for other in folders if other != "generated"}
    if out is not None:
        check_writable_folder(Path(out))
    scores, copied = Scores(chosen), Scores(chosen)
    labels = []
    for index, file in enumerate(track(files["generated"], len(files["generated"]), "evaluate", quiet=quiet)):
        label = file.relative_to(folders["generated"]).with_suffix("").as_posix()
        made, wanted = images.read(file, alpha), images.read(partners["target"][index], alpha)
        _check_alike(made, wanted, file, partners["target"][index])
        labels.append(label)
        truth = to_tensor(wanted, value_range, str(partners["target"][index]))
        scores.update(to_tensor(made, value_range, str(file)), truth, label)
        if "source" in partners:
            given = partners["source"][index]
            copy = as_target(to_tensor(images.read(given, alpha), value_range, str(given)), truth.shape[0])
            if copy is not None and copy.shape == truth.shape:
                copied.update(copy, truth, label)
    result = Evaluation(
        table_rows(scores, {"source copied": copied}),
        scores.per_image(),
        labels,
        {
            "split": f"{folders['generated']} against {folders['target']}",
            "resize": "none",
            "checkpoint": "files",
            "model": str(folders["generated"]),
        },
    )
    result.about["seconds"] = round(time.monotonic() - started, 2)
    if out is not None:
        result.save(Path(out))
    return result


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
            f"({listed(lonely)}): scores over a part would mislead, so complete the folders first"
        )
    if not quiet:
        for note in pairing.notes(str(folders["generated"]), str(folders[other])):
            say(f"note: {note}")
    return [found[index] for index in range(len(mine))]


def _check_alike(made: Any, wanted: Any, file: Path, partner: Path) -> None:
    if made.shape != wanted.shape:
        raise UserError(
            f"{file} is {made.shape[1]}x{made.shape[0]} with {made.shape[2]} channel{'s' * (made.shape[2] > 1)} but {partner} is "
            f"{wanted.shape[1]}x{wanted.shape[0]} with {wanted.shape[2]}: bring them to one size and kind first, nothing is resized here"
        )
