"""Distances between two sets of features: Fréchet, kernel (squared maximum mean discrepancy), and nearest-neighbour shares.

Features are ``[N, D]``, one row per image, reckoned in float64; values are plain floats. The order of the rows changes nothing. A
feature that is not finite makes every value NaN: no other number would be true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_AT_ONCE = 1 << 24  # entries of a kernel or distance matrix in memory at a time: 128 MB, where 50,000 images squared are 20 GB


def covariance(x: Tensor) -> Tensor:
    """The unbiased covariance of features ``[N, D]``: ``[D, D]``, sums over N - 1.

    Raises:
        ValueError: fewer than 2 rows.
    """
    _check(x, x, 2)
    centred = x.double() - x.double().mean(0)
    return centred.T @ centred / (len(x) - 1)


def frechet(x: Tensor, y: Tensor) -> float:
    """The squared Fréchet distance between Gaussians fitted to two sets: |m1 - m2|^2 + Tr(S1) + Tr(S2) - 2 Tr((S1 S2)^(1/2)).

    With S1 = A^T A and S2 = B^T B for any A and B, the last trace is the sum of the singular values of A B^T. So no root of a matrix
    is taken, nothing imaginary is thrown away, and sets of fewer images than features need no care: A is then the centred features
    themselves, and else the triangle of their QR decomposition.

    Args:
        x: features of one set, ``[N, D]``.
        y: of the other, ``[M, D]``.

    Returns:
        At least 0.

    Raises:
        ValueError: fewer than 2 rows, or other columns in x than in y.

    Source: Heusel et al. 2017, equation 6; the distance itself is Dowson and Landau 1982.
    """
    x, y = _check(x, y, 2)
    return _frechet(x.mean(0), _factor(x), y.mean(0), _factor(y))


def frechet_from_moments(m1: Tensor, s1: Tensor, m2: Tensor, s2: Tensor) -> float:
    """:func:`frechet` from two means ``[D]`` and two covariances ``[D, D]``.

    Raises:
        ValueError: shapes that do not fit each other.
    """
    if m1.ndim != 1 or m1.shape != m2.shape or not s1.shape == s2.shape == (len(m1), len(m1)):
        raise ValueError(f"means [D] and covariances [D, D]: got {', '.join(str(tuple(t.shape)) for t in (m1, s1, m2, s2))}")
    return _frechet(m1.double(), _root(s1.double()), m2.double(), _root(s2.double()))


def _frechet(m1: Tensor, a: Tensor, m2: Tensor, b: Tensor) -> float:
    """From means and factors of the covariances: ``a.T @ a`` and ``b.T @ b``."""
    product = a @ b.T
    if not product.isfinite().all():
        return math.nan
    distance = (m1 - m2).square().sum() + a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(product).sum()
    return float(distance.clamp(min=0))


def _factor(x: Tensor) -> Tensor:
    """The smallest A with A^T A the covariance: N rows or D, whichever is less."""
    n, d = x.shape
    centred = (x - x.mean(0)) / math.sqrt(n - 1)
    return centred if n <= d else torch.linalg.qr(centred, mode="r")[1]


def _root(s: Tensor) -> Tensor:
    """A with A^T A = s. What rounding left of eigenvalues that are zero is zero again: its root would be 100 million times larger."""
    if not s.isfinite().all():
        return torch.full_like(s, math.nan)
    values, vectors = torch.linalg.eigh(s)
    noise = len(s) * torch.finfo(s.dtype).eps * values.abs().amax()
    root: Tensor = (vectors * values.where(values > noise, 0).sqrt()).T
    return root


def kid(x: Tensor, y: Tensor) -> tuple[float, float]:
    """The unbiased squared maximum mean discrepancy of two sets, with the kernel k(a, b) = (a.b / D + 1)^3, and its standard error.

    mean_(i != j) k(x_i, x_j) + mean_(i != j) k(y_i, y_j) - 2 mean_(i, j) k(x_i, y_j), over all pairs. Bińkowski et al. average the
    same over random subsets of 1,000 images: ours has the same expectation without the noise of the drawing. It can be negative.

    The standard error is the delete-one jackknife's, in closed form from the rows' sums. Sets of one size are taken as pairs, and x_i
    left out together with y_i, which is right whether or not they depend on each other; else each set has its own jackknife, and
    the variances add. Where x_i depends on y_i, the N terms k(x_i, y_i) among the N^2 lower the value by 2 / N of what they exceed
    the others.

    Args:
        x: features of one set, ``[N, D]``.
        y: of the other, ``[M, D]``.

    Returns:
        The value, and its standard error: NaN for sets of 2, from which none can be left out.

    Raises:
        ValueError: fewer than 2 rows, or other columns in x than in y.

    Source: Bińkowski et al. 2018, section 4; Gretton et al. 2012, equation 3; Efron and Tibshirani 1993, chapter 11.
    """
    x, y = _check(x, y, 2)
    (xx, _), (yy, _), (xy, yx) = _kernel_sums(x, x), _kernel_sums(y, y), _kernel_sums(x, y)
    xx, yy = xx - _kernel_at(x, x), yy - _kernel_at(y, y)
    n, m = len(x), len(y)
    within_x, within_y, across = xx.sum(), yy.sum(), xy.sum()

    value = _mmd(within_x, within_y, across, n, m)
    if min(n, m) < 3:
        return float(value), math.nan
    if n == m:
        left = _mmd(within_x - 2 * xx, within_y - 2 * yy, across - xy - yx + _kernel_at(x, y), n - 1, n - 1)
        return float(value), math.sqrt(_jackknife_variance(left))
    without_x = _mmd(within_x - 2 * xx, within_y, across - xy, n - 1, m)
    without_y = _mmd(within_x, within_y - 2 * yy, across - yx, n, m - 1)
    return float(value), math.sqrt(_jackknife_variance(without_x) + _jackknife_variance(without_y))


def _mmd(within_x: Tensor, within_y: Tensor, across: Tensor, n: int, m: int) -> Tensor:
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * across / (n * m)


def _jackknife_variance(left: Tensor) -> float:
    return (len(left) - 1) * float((left - left.mean()).square().mean())


def _kernel_sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The kernel matrix's sums over each row and over each column."""
    over_rows, over_columns = [], x.new_zeros(len(y))
    for rows in _blocks(x, len(y)):
        kernel = (rows @ y.T / x.shape[1] + 1) ** 3
        over_rows.append(kernel.sum(1))
        over_columns += kernel.sum(0)
    return torch.cat(over_rows), over_columns


def _kernel_at(x: Tensor, y: Tensor) -> Tensor:
    """The diagonal of the kernel matrix."""
    return ((x * y).sum(1) / x.shape[1] + 1) ** 3


def prdc(x: Tensor, y: Tensor, k: int) -> dict[str, float]:
    """Shares of images that lie in the balls of the other set. A ball reaches from an image to the k-th nearest other of its own set.

    * ``precision``: of generated images, those in any real ball.
    * ``recall``: of real images, those in any generated ball.
    * ``density``: the real balls around a generated image, on average, over k; above 1 where generated images crowd.
    * ``coverage``: of real balls, those with a generated image inside.

    An image exactly on the rim is inside for precision and recall, as their equation 1 says, and outside for density and coverage, as in
    their authors' program (whose precision and recall are strict too): so a copy of the real set has a density of 1. Distances equal
    up to rounding count as equal.

    Args:
        x: features of generated images, ``[N, D]``.
        y: of real images, ``[M, D]``.
        k: which neighbour, from 1.

    Raises:
        ValueError: k is less than 1, a set has no k-th neighbour, or other columns in x than in y.

    Source: Kynkäänniemi et al. 2019, equations 1 and 2; Naeem et al. 2020, equations 5 to 8.
    """
    if k < 1:
        raise ValueError(f"k is {k}: the nearest neighbour is number 1")
    x, y = _check(x, y, k + 1)
    if not (x.isfinite().all() and y.isfinite().all()):
        return dict.fromkeys(("precision", "recall", "density", "coverage"), math.nan)
    middle = y.mean(0)  # distances are the same from anywhere, and rounding is least from here
    x, y = x - middle, y - middle
    x_reach, y_reach = _reach(x, k), _reach(y, k)

    in_real, balls, start = 0, 0, 0
    in_generated, covered = (torch.zeros(len(y), dtype=torch.bool, device=y.device) for _ in range(2))
    for rows in _blocks(x, len(y)):
        apart, rounding = _squared_distances(rows, y)
        in_real += int((apart <= y_reach + rounding).any(1).sum())
        in_generated |= (apart <= x_reach[start : start + len(rows), None] + rounding).any(0)
        inside = apart < y_reach - rounding
        balls += int(inside.sum())
        covered |= inside.any(0)
        start += len(rows)
    return {
        "precision": in_real / len(x),
        "recall": int(in_generated.sum()) / len(y),
        "density": balls / (k * len(x)),
        "coverage": int(covered.sum()) / len(y),
    }


def _reach(x: Tensor, k: int) -> Tensor:
    """The squared distance of each row to the k-th nearest other row."""
    reach: list[Tensor] = []
    start = 0
    for rows in _blocks(x, len(x)):
        apart, _ = _squared_distances(rows, x)
        apart[:, start : start + len(rows)].fill_diagonal_(math.inf)
        reach.append(apart.kthvalue(k, dim=1).values)
        start += len(rows)
    return torch.cat(reach)


def _squared_distances(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Between all rows of x and all of y; and what rounding may have done to each, with a margin."""
    lengths = x.square().sum(1)[:, None] + y.square().sum(1)
    return (lengths - 2 * x @ y.T).clamp_(min=0), 1e-13 * lengths


def _blocks(x: Tensor, columns: int) -> Sequence[Tensor]:
    """Rows of x, so many at a time that a matrix of them by ``columns`` fits."""
    return torch.split(x, max(1, _AT_ONCE // columns))


def _check(x: Tensor, y: Tensor, least: int) -> tuple[Tensor, Tensor]:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or x.shape[1] == 0:
        raise ValueError(f"two sets of features [N, D] and [M, D]: got {tuple(x.shape)} and {tuple(y.shape)}")
    if min(len(x), len(y)) < least:
        raise ValueError(f"sets of at least {least} images: got {len(x)} and {len(y)}")
    return x.double(), y.double()
