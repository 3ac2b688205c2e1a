"""What a translator's pictures are made of, beside the targets: which frequencies, and which colours.

A score says how far; the spectrum and the histograms say in what. A blur ends early, a pattern of up-convolutions is a bump at the end,
and an output that hedges is narrow in a and b.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...data.channels import not_colour
from ...data.dataset import PairDataset
from ...data.files import write_json
from ...errors import UserError
from ...evaluation.held_out import held_out, read
from ...evaluation.scorer import as_written
from ...metrics.colour import LabHistogram
from ...progress import track
from ...translation.translator import Translator

PICTURES = 64
"""Test pairs that are looked at: a mean spectrum hardly changes with more."""

FILE = "evaluation/pictures.json"

_LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
"""Red, green and blue in the luminance (ITU-R BT.601), as where a colour picture is turned to grey."""

_HISTOGRAM = LabHistogram()


def radial_spectrum(images: Tensor) -> tuple[Tensor, Tensor]:
    """Power of the luminance by spatial frequency, averaged over directions and images.

    P(f) = mean |F(w (x - m))|^2 / sum w^2 over the frequencies of a ring about f, of width 1 / min(H, W), with F the discrete Fourier
    transform, w a Hann window and m the mean under it. By Parseval's theorem the mean of P over all frequencies is the variance of the
    luminance, and so images of any size compare: white noise of variance s^2 has s^2 in every ring but the first two: the mean takes
    all of ring 0 and, as the window smears it over its neighbours, about three tenths of ring 1.

    The window is there because opposite borders of a picture do not meet. To the Fourier transform that is an edge, whose power falls
    only with f^2 and hides what a blur has taken. The price: the outermost pixels count little.

    Args:
        images: ``[N, C, H, W]`` in [-1, 1]; three channels are red, green and blue, of any other number the mean is taken.

    Returns:
        The middle of each ring in cycles per pixel, from 0 to the Nyquist frequency 0.5 (just below it if the shorter side is odd), and
        the power there, ``[min(H, W) // 2 + 1]`` float64 each.

    Raises:
        ValueError: not four dimensions, or no pixels.

    Source: Durall, Keuper and Keuper 2020, "Watch your up-convolution", who integrate over angles; window and scale are ours.
    """
    if images.ndim != 4 or images.numel() == 0:
        raise ValueError(f"a spectrum is of images [N, C, H, W] with at least one pixel: got {tuple(images.shape)}")
    values = images.detach().cpu().double()
    grey = torch.einsum("nchw,c->nhw", values, _LUMA) if values.shape[1] == 3 else values.mean(1)
    height, width = grey.shape[1:]
    window = _hann(height)[:, None] * _hann(width)
    mean = (grey * window).sum((1, 2), keepdim=True) / window.sum()
    power = torch.fft.fft2((grey - mean) * window).abs().square().mean(0) / window.square().sum()
    frequency = torch.hypot(*torch.meshgrid(_frequencies(height), _frequencies(width), indexing="ij"))
    inside, side = frequency <= 0.5, min(height, width)
    ring = (frequency[inside] * side).round().long().clamp(max=side // 2)  # 0.5 of an odd side is where two rings meet
    return torch.arange(side // 2 + 1, dtype=torch.float64) / side, ring.bincount(power[inside]) / ring.bincount()


def lab_histograms(images: Tensor) -> dict[str, Tensor]:
    """How many pixels of all images have which L, a and b, in the bins of the metric ``lab_histogram``.

    Args:
        images: ``[N, 3, H, W]`` in [-1, 1].

    Returns:
        Counts, one dimension each; :func:`lab_edges` says of what.

    Raises:
        ValueError: not three channels.
    """
    return dict(zip("Lab", _HISTOGRAM.by_channel(_HISTOGRAM.counts(images).sum(0)), strict=True))


def lab_edges() -> dict[str, Tensor]:
    """Where the bins of :func:`lab_histograms` begin and end: one more than there are bins."""
    return dict(zip("Lab", _HISTOGRAM.edges(), strict=True))


def examine(translator: Translator, pairs: PairDataset, limit: int = PICTURES, quiet: bool = False) -> dict[str, Any]:
    """The spectrum and the colours of what a translator makes of some pairs, beside those of the targets.

    Generated pictures are rounded to the model's file type first, so this is about the files it writes. The noise is that of the
    translator's own seed: twice the same call is twice the same output.

    Args:
        translator: what makes the pictures.
        pairs: without jitter (see ``evaluation.held_out``).
        limit: at most so many of them, spread evenly over all.
        quiet: no progress.

    Returns:
        ``images``: how many; ``spectrum``: ``frequency`` in cycles per pixel, and the power of ``generated`` and ``target`` there;
        ``lab``: for ``L``, ``a`` and ``b`` the ``edges`` of the bins, and the share of pixels in each of ``generated`` and ``target``,
        or None if the targets are not in colour.

    Raises:
        UserError: no pairs, a limit below 1, or a picture that cannot be used.
        RunFailure: what the translator makes is not finite.
    """
    if limit < 1 or not len(pairs):
        raise UserError(f"{min(limit, len(pairs))} pictures have neither a spectrum nor colours: give at least 1")
    chosen = copy.copy(pairs)  # the same reading of fewer records; read() goes round the cache, which counts by position
    chosen.records = [pairs.records[index] for index in _evenly(len(pairs), limit)]
    domain = translator.config.target
    powers: dict[str, list[Tensor]] = {"generated": [], "target": []}
    counts: dict[str, list[dict[str, Tensor]]] = {"generated": [], "target": []}
    photos = domain.encoding == "values" and domain.channels == 3 and not not_colour(3, domain.names, domain.dtype)
    frequency, coloured = torch.empty(0), domain.encoding == "ab" or photos
    for pair, _ in track(read(chosen), len(chosen), "pictures", quiet=quiet):
        fake = as_written(translator.translate_tensor(pair.source[None])[0], domain, pair.source)
        target = pair.target if domain.encoding == "values" else as_written(pair.target, domain, pair.source)
        for side, image in (("generated", fake), ("target", target)):
            frequency, power = radial_spectrum(image[None])
            powers[side].append(power)
            if coloured:
                counts[side].append(lab_histograms(image[None]))
    spectrum = {side: torch.stack(found).mean(0).tolist() for side, found in powers.items()}
    lab = None
    if coloured:
        lab = {
            channel: {"edges": edges.tolist(), **{side: _shares([each[channel] for each in found]) for side, found in counts.items()}}
            for channel, edges in lab_edges().items()
        }
    return {"images": len(chosen), "spectrum": {"frequency": frequency.tolist(), **spectrum}, "lab": lab}


def write_pictures(run: str | Path, limit: int = PICTURES, quiet: bool = False) -> Path:
    """Examine a run's translator on the pairs it was not trained on, and write ``evaluation/pictures.json`` there.

    Args:
        run: a run directory with a model.
        limit: at most so many pairs.
        quiet: no progress.

    Returns:
        The file, which is written whole or not at all.

    Raises:
        UserError: no model there, or the data it was trained on are no longer where they were.
        RunFailure: what the translator makes is not finite, or the disk is full.
    """
    run = Path(run)
    translator = Translator.load(run)
    try:
        pairs = held_out(translator, None, None, {}).pairs
    except UserError as error:
        raise UserError(f"the test pairs of {run} cannot be found again: {error}") from error
    write_json(run / FILE, examine(translator, pairs, limit, quiet))
    return run / FILE


def _hann(size: int) -> Tensor:
    """Sampled at the middles of pixels, so that no pixel has a weight of 0, and a single one has 1."""
    return torch.sin(torch.pi * (torch.arange(size, dtype=torch.float64) + 0.5) / size).square()


def _frequencies(size: int) -> Tensor:
    """In cycles per pixel, in the order of the transform."""
    frequencies: Tensor = torch.fft.fftfreq(size, dtype=torch.float64)
    return frequencies


def _evenly(n: int, limit: int) -> list[int]:
    """At most ``limit`` of n positions, from the first to the last."""
    count = min(n, limit)
    return [round(index * (n - 1) / max(1, count - 1)) for index in range(count)]


def _shares(counts: list[Tensor]) -> list[float]:
    total = torch.stack(counts).sum(0)
    shares: list[float] = (total / total.sum()).tolist()
    return shares
