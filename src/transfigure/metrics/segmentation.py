"""Segmentation: does a photo show what its labels say, and does a label map say what its photo shows?

The FCN-score of Isola et al. 2017: a network that was trained on real photos names the class of every generated pixel, and its classes
are counted against the labels that the photo was generated from. A translator that draws label maps needs no network: its colours are
decoded and counted against the true labels.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..data import pixels
from ..errors import Skipped, UserError
from ..features.extractors import in_colour
from ..registry import register
from .direction import Better
from .interval import bootstrap_of_sums
from .metric import TARGET_ITSELF, AccumulatedMetric, Interval, MetricContext, State
from .palettes import IGNORE, Palette, load_palette
from .segmenters import open_segmenter

FAR, STRANGE_SHARE = 60.0, 0.2
"""Drawn label maps are doubted if more than this share of their pixels is farther than this (of 255, in RGB) from every colour."""

REAL_PHOTOS = "real photos"
"""The bound of the FCN-score: what the segmenter makes of the real photos; the last row of the paper's tables."""


def confusion(truth: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """How often each class was taken for each.

    Args:
        truth: class indices of any shape; :data:`~.palettes.IGNORE` is left out.
        prediction: the same shape, from 0 to ``classes - 1`` wherever truth counts.
        classes: K.

    Returns:
        int64 ``[K, K]``: rows are the truth, columns the prediction.

    Raises:
        ValueError: the shapes differ, or a class is out of range.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth and prediction must have one shape: got {tuple(truth.shape)} and {tuple(prediction.shape)}")
    counted = truth != IGNORE
    rows, columns = truth[counted].long(), prediction[counted].long()
    if len(rows) and not 0 <= min(int(rows.min()), int(columns.min())) <= max(int(rows.max()), int(columns.max())) < classes:
        raise ValueError(f"classes must lie from 0 to {classes - 1}: got {int(rows.max())} in truth and {int(columns.max())} in prediction")
    return torch.bincount(rows * classes + columns, minlength=classes * classes).reshape(classes, classes)


def scores(matrix: Tensor, absent: Literal["zero", "skip"] = "zero") -> dict[str, float]:
    """The three FCN-scores of a confusion matrix n, where t is the sum of a row and p that of a column.

    Pixel accuracy: sum_i n_ii / sum_i t_i. Class accuracy: mean_i n_ii / t_i. Class IoU: mean_i n_ii / (t_i + p_i - n_ii).

    Args:
        matrix: ``[K, K]``, rows are the truth.
        absent: ``zero``: every quotient has 1e-12 below the line, as in the paper's own evaluation, so a class that does not occur is 0
            in the means over all K; ``skip``: quotients of 0 by 0 are left out of the means.

    Returns:
        ``pixel_accuracy``, ``class_accuracy`` and ``class_iou``, in [0, 1].
    """
    counts = matrix.double()
    right, truth, predicted = counts.diag(), counts.sum(1), counts.sum(0)
    least = 1e-12 if absent == "zero" else 0.0
    return {
        "pixel_accuracy": float(right.sum() / (counts.sum() + least)),
        "class_accuracy": float((right / (truth + least)).nanmean()),
        "class_iou": float((right / (truth + predicted - right + least)).nanmean()),
    }


@register("metric", "fcn_score", needs="labels")
class FCNScore(AccumulatedMetric):
    """FCN-score: how much of a label map a segmentation network finds again in the photo made from it, or how right drawn labels are.

    One K x K matrix n counts over all images how often class i was taken for j; t and p are its row and column sums. Pixel accuracy:
    sum n_ii / sum t_i. Class accuracy: mean of n_ii / t_i. Class IoU: mean of n_ii / (t_i + p_i - n_ii). Labels are never resized: the
    network's classes are brought to their size by nearest neighbour. Real photos through the same network are the score to reach.

    Blind to everything that leaves classes as they are: blur, colour and artefacts count only as far as they mislead this one network
    (a label map shown as a photo can score well), and scores from two networks cannot be compared.

    Source: Isola et al. 2017, section 4.1 and table 1 (table 6 for drawn labels); Long et al. 2015, section 5, for the three scores.

    Args:
        segmenter: a file that train_segmenter wrote, an .onnx file, or module:function (from Python, an open one too); empty for
            translators that draw label maps.
        palette: of the label maps: facades, cityscapes, synthetic or a JSON file (from Python, a Palette too); empty takes that of the
            segmenter.
        absent: classes that do not occur count as zero in the means, as in the paper, or are left out (skip).

    Raises:
        Skipped: neither a segmenter nor a palette is given.
        UserError: one of them cannot be used, or they have different numbers of classes.

    Attributes:
        labels_from: which side's label file ``context.labels`` must hold: the ``source`` of generated photos, or the ``target``.
    """

    name = "fcn_score"
    takes_mask = True
    label = "FCN-score"
    better: ClassVar[Better] = "higher"
    needs = "labels"
    values: ClassVar = {"pixel_accuracy": "Pixel accuracy", "class_accuracy": "Class accuracy", "class_iou": "Class IoU"}
    bounded_by: ClassVar[tuple[str, ...]] = ()

    def __init__(self, segmenter: str = "", palette: str = "", absent: Literal["zero", "skip"] = "zero") -> None:
        super().__init__()
        if segmenter == "" and palette == "":
            raise Skipped(
                "it compares with label maps: give --segmenter FILE for translators that make photos of labels, "
                "or --palette NAME for translators that draw label maps"
            )
        if absent not in ("zero", "skip"):
            raise UserError(f"absent is {absent!r}: choose zero or skip")
        self.absent = absent
        self.segmenter = open_segmenter(segmenter) if segmenter != "" else None
        self.labels_from: Literal["source", "target"] = "target" if self.segmenter is None else "source"
        self.palette = self._palette(palette)
        self._strange = self._pixels = 0
        if self.segmenter is not None and self.segmenter.classes not in (None, len(self.palette.classes)):
            raise UserError(
                f"the segmenter {self.segmenter.name} knows {self.segmenter.classes} classes and the palette {self.palette.name} "
                f"{len(self.palette.classes)}: give the palette of the label maps that it was trained on"
            )

    def accumulate(self, prediction: Tensor, target: Tensor, context: MetricContext) -> Tensor:
        """Two confusion matrices per image, ``[N, 2, K, K]``: of the prediction, and of the target in its place."""
        if context.labels is None:
            raise Skipped("there are no label maps for these images: it needs the label files that the photos belong to")
        if len(context.labels) != len(prediction):
            raise ValueError(f"{len(prediction)} images need as many label maps: got {len(context.labels)}")
        classes = len(self.palette.classes)
        truths = [torch.from_numpy(self.palette.decode(labels)) for labels in context.labels]
        if context.mask is not None:
            truths = [
                torch.where(_resized(mask[0].cpu().to(torch.uint8), *truth.shape) > 0, truth, IGNORE)
                for truth, mask in zip(truths, context.mask)
            ]
        matrices = []
        levels = context.levels or (None, None)
        found = self._classes(prediction, levels[0])
        self._count_strange(prediction, found)
        for classified in (found, self._classes(target, levels[1])):
            if (largest := int(classified.max())) >= classes:
                raise UserError(f"the segmenter returns class {largest}, and the palette {self.palette.name} has {classes} classes")
            matrices.append([confusion(truth, _resized(one, *truth.shape), classes) for truth, one in zip(truths, classified)])
        return torch.stack([torch.stack(pair) for pair in zip(*matrices)])

    def reset(self) -> None:
        """Forget everything taken in."""
        super().reset()
        self._strange = self._pixels = 0

    def state(self) -> State:
        """The confusion matrices of every image; ``pixels`` that were decoded, and how many of them are ``strange`` to the palette."""
        return super().state() | {"strange": self._strange, "pixels": self._pixels}

    def merge(self, state: State) -> None:
        """Put another's confusion matrices behind these; they are whole numbers, and are summed over all images at once."""
        super().merge(state)
        self._strange += state["strange"]
        self._pixels += state["pixels"]

    def compute_from(self, total: Tensor) -> dict[str, float]:
        """The scores of the predictions."""
        return scores(total[0], self.absent)

    def class_scores(self) -> dict[str, tuple[float, Interval]]:
        """The IoU of each class that occurs in the labels or in the predictions, n_ii / (t_i + p_i - n_ii), and its interval."""

        def each(total: Tensor) -> dict[str, float]:
            counts = total[0].double()
            quotients = counts.diag() / (counts.sum(1) + counts.sum(0) - counts.diag())
            return dict(zip(map(str, range(len(quotients))), quotients.tolist()))

        found = each(self._total())
        intervals = bootstrap_of_sums(self.states, each)
        return {
            name: (found[str(at)], intervals[str(at)]) for at, name in enumerate(self.palette.classes) if found[str(at)] == found[str(at)]
        }

    def compute(self) -> dict[str, float]:
        """The three scores over all images."""
        values = super().compute()
        if not self._total().any():
            raise Skipped(f"no pixel of these label maps has a class of the palette {self.palette.name}")
        return values

    def bounds(self) -> dict[str, dict[str, float]]:
        """The scores of the targets: real photos through the segmenter, or true label maps at the size that is compared."""
        return {TARGET_ITSELF if self.segmenter is None else REAL_PHOTOS: scores(self._total()[1], self.absent)} if self.states else {}

    def facts(self) -> dict[str, str]:
        """The segmenter, its file, the palette, and what is resized how."""
        found = {"palette": f"{self.palette.name}, {len(self.palette.classes)} classes", "absent": self.absent}
        if self.segmenter is None:
            return {"resize": "classes to the size of the labels, nearest", **found}
        weights = {"weights": self.segmenter.sha256} if self.segmenter.sha256 else {}
        fed = f"{self.segmenter.preprocessing}; " if self.segmenter.preprocessing else ""
        return {"network": self.segmenter.name, **weights, "resize": f"{fed}classes to the size of the labels, nearest", **found}

    def caution(self) -> str:
        """What is decoded may be no label map; and classes that occur nowhere lower the means."""
        if self._pixels and self._strange / self._pixels > STRANGE_SHARE:
            share = self._strange / self._pixels
            return f"{share:.0%} of the generated pixels are far from every colour of the palette: are these label maps?"
        if not self.states or self.absent == "skip":
            return ""
        total = self._total()[0]
        missing = int((total.sum(1) == 0).sum())
        known = len(self.palette.classes)
        return f"{missing} of {known} classes are in none of these label maps and count as 0 in the means" if missing else ""

    def _classes(self, images: Tensor, levels: tuple[float, float] | None) -> Tensor:
        if self.segmenter is not None:
            return self.segmenter(in_colour(images, self.label))
        if images.shape[1] not in (1, 3):
            raise Skipped(f"{self.label} reads label maps in grey or colour, and these have {images.shape[1]} channels")
        return self.palette.decode_tensor(images, levels)

    def _count_strange(self, images: Tensor, classes: Tensor) -> None:
        """Count the pixels of would-be label maps that are none of the palette's colours, by far."""
        if self.segmenter is None and self.palette.colours is not None and images.shape[1] == 3:
            colours = torch.from_numpy(self.palette.colours).float()[classes].permute(0, 3, 1, 2)
            away = ((images.float() + 1) * 127.5 - colours).square().sum(1).sqrt()
            self._strange += int((away > FAR).sum())
            self._pixels += away.numel()

    def _palette(self, palette: object) -> Palette:
        if isinstance(palette, Palette):
            return palette
        if palette != "":
            return load_palette(str(palette))
        assert self.segmenter is not None
        if self.segmenter.palette is None:
            raise UserError(f"the segmenter {self.segmenter.name} does not say which colour is which class: give --palette as well")
        return self.segmenter.palette

    def _total(self) -> Tensor:
        return torch.stack(self.states).sum(0)


def _resized(classes: Tensor, height: int, width: int) -> Tensor:
    """``[h, w]`` at another size, by nearest neighbour."""
    return torch.from_numpy(pixels.resize(classes[..., None].numpy(), height, width, "nearest")[..., 0])
