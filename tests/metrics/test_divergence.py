"""Distances between sets of features: closed forms, other implementations of the same definitions, and hand-made examples."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from transfigure.metrics import divergence
from transfigure.metrics.divergence import covariance, frechet, frechet_from_moments, kid, prdc

FUNCTIONS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "frechet": frechet,
    "kid": kid,
    "prdc": lambda x, y: prdc(x, y, 3),
}


def normal(n: int, d: int, seed: int = 0, shift: float = 0.0, mixed: bool = True) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=random, dtype=torch.float64)
    return (x @ torch.randn(d, d, generator=random, dtype=torch.float64) / math.sqrt(d) if mixed else x) + shift


def exactly(mean: Tensor, cov: Tensor, n: int, seed: int = 0) -> Tensor:
    """Points whose sample mean and covariance are these, to rounding."""
    x = normal(n, len(mean), seed, mixed=False)
    x = torch.linalg.qr(x - x.mean(0))[0] * math.sqrt(n - 1)
    return x @ torch.linalg.cholesky(cov).T + mean


def numbers(value: object) -> list[float]:
    return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, tuple) else [value]  # type: ignore[list-item]


# Fréchet


def test_the_covariance_is_numpys() -> None:
    x = normal(30, 7, shift=100)
    np.testing.assert_allclose(covariance(x).numpy(), np.cov(x.numpy(), rowvar=False), rtol=1e-10)
    assert covariance(x.float()).dtype == torch.float64


@pytest.mark.parametrize(("n", "m"), [(5, 9), (5, 40), (40, 5), (50, 40)])
def test_the_distance_of_a_set_from_itself_moved_is_the_moves_square(n: int, m: int) -> None:
    x, shift = normal(n, 12), torch.linspace(-1, 2, 12).double()
    assert frechet(x, x) == pytest.approx(0, abs=1e-12)
    assert frechet(x, x + shift) == pytest.approx(float(shift @ shift), rel=1e-12)
    # Repeating every row changes the covariance by a known factor, and nothing else.
    repeated = x.repeat(m, 1)
    share = math.sqrt((n - 1) / n * len(repeated) / (len(repeated) - 1))
    assert frechet(x, repeated) == pytest.approx((share - 1) ** 2 * float(covariance(x).trace()), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [6, 60])
def test_a_set_scaled_about_its_mean(n: int) -> None:
    x = normal(n, 12, shift=3)
    scaled = (x - x.mean(0)) * 1.5 + x.mean(0)
    assert frechet(x, scaled) == pytest.approx(0.25 * float(covariance(x).trace()), rel=1e-12)


def test_gaussians_with_known_moments() -> None:
    """Covariances that commute have a closed form: the squared differences of their eigenvalues' roots."""
    a, b = torch.tensor([4.0, 1.0, 0.25, 9.0]).double(), torch.tensor([1.0, 1.0, 4.0, 0.01]).double()
    turn = torch.linalg.qr(normal(4, 4, mixed=False))[0]
    m1, m2 = torch.tensor([1.0, 0, 0, 2]).double(), torch.tensor([0.0, 0, 3, 2]).double()
    s1, s2 = turn @ a.diag() @ turn.T, turn @ b.diag() @ turn.T
    expected = 10 + float((a.sqrt() - b.sqrt()).square().sum())
    assert frechet_from_moments(m1, s1, m2, s2) == pytest.approx(expected, rel=1e-12)
    assert frechet(exactly(m1, s1, 50), exactly(m2, s2, 80, seed=1)) == pytest.approx(expected, rel=1e-10)


def test_in_one_dimension() -> None:
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [2.0], [3.0], [6.0]])
    expected = (1 - 3) ** 2 + (math.sqrt(2) - math.sqrt(14 / 3)) ** 2
    assert frechet(x, y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("d", [2, 17, 64])
def test_full_rank_agrees_with_scipy_and_torchmetrics(d: int) -> None:
    x, y = normal(3 * d, d), normal(4 * d, d, seed=1, shift=0.3)
    s1, s2 = covariance(x), covariance(y)
    root = scipy.linalg.sqrtm(s1.numpy() @ s2.numpy())
    moved = float((x.mean(0) - y.mean(0)).square().sum())
    assert frechet(x, y) == pytest.approx(moved + float(s1.trace() + s2.trace()) - 2 * np.trace(root).real, rel=1e-6)
    assert frechet(x, y) == pytest.approx(float(_compute_fid(x.mean(0), s1, y.mean(0), s2)), rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(10, 12), (10, 90), (90, 10), (32, 33), (90, 80)])
def test_points_and_moments_agree_whatever_the_rank(n: int, m: int) -> None:
    x, y = normal(n, 32), normal(m, 32, seed=1, shift=0.2)
    moments = (x.mean(0), covariance(x), y.mean(0), covariance(y))
    assert frechet(x, y) == pytest.approx(frechet_from_moments(*moments), rel=1e-6)
    assert frechet(x, y) == pytest.approx(float(_compute_fid(*moments)), rel=1e-5)


def test_rounding_never_makes_it_negative() -> None:
    sets = [normal(n, 8, seed=n) for n in range(4, 40)]
    assert min(frechet(x, x.flip(0)) for x in sets) == 0
    assert min(frechet_from_moments(x.mean(0), covariance(x), x.mean(0), covariance(x)) for x in sets) == 0


def test_too_few_images_make_it_too_large() -> None:
    few, many = (
        frechet(normal(40, 32), normal(40, 32, seed=0)[:20]),
        frechet(normal(4000, 32, mixed=False), normal(4000, 32, 1, mixed=False)),
    )
    assert few > 1 > many > 0


def test_a_covariance_that_is_none_by_rounding_counts_as_none() -> None:
    s = torch.diag(torch.tensor([1.0, 0.0, 0.0]).double())
    perturbed = s + 1e-17 * torch.ones(3, 3)
    unit = torch.eye(3).double()
    zero = torch.zeros(3).double()
    assert frechet_from_moments(zero, perturbed, zero, unit) == pytest.approx(2, rel=1e-12)
    assert frechet_from_moments(zero, zero.diag(), zero, unit) == pytest.approx(3, rel=1e-12)


# KID


@pytest.mark.parametrize(("n", "d"), [(2, 3), (30, 8), (25, 64)])
def test_kid_is_torchmetrics_on_all_images(n: int, d: int) -> None:
    x, y = normal(n, d), normal(n, d, seed=1, shift=0.5)
    assert kid(x, y)[0] == pytest.approx(float(poly_mmd(x, y)), rel=1e-6)


def test_kid_by_hand() -> None:
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [1.0], [-1.0]])
    within_x = 27.0  # (1 * 2 + 1)^3
    within_y = (1 + 1 + 0) / 3
    across = (1 + 8 + 0 + 1 + 27 - 1) / 6
    assert kid(x, y)[0] == pytest.approx(within_x + within_y - 2 * across, rel=1e-12)


def naive_error(x: Tensor, y: Tensor) -> float:
    def spread(left: list[float]) -> float:
        n = len(left)
        return (n - 1) / n * sum((value - sum(left) / n) ** 2 for value in left)

    def without(t: Tensor, i: int) -> Tensor:
        return torch.cat([t[:i], t[i + 1 :]])

    if len(x) == len(y):
        return math.sqrt(spread([kid(without(x, i), without(y, i))[0] for i in range(len(x))]))
    over_x = spread([kid(without(x, i), y)[0] for i in range(len(x))])
    return math.sqrt(over_x + spread([kid(x, without(y, i))[0] for i in range(len(y))]))


@pytest.mark.parametrize(("n", "m"), [(3, 3), (12, 12), (3, 20), (20, 7)])
def test_kids_error_is_the_leave_one_out_loops(n: int, m: int) -> None:
    x, y = normal(n, 5), normal(m, 5, seed=1, shift=0.4)
    assert kid(x, y)[1] == pytest.approx(naive_error(x, y), rel=1e-9)


@pytest.mark.parametrize("kind", ["unpaired", "as many", "pairs"])
def test_kids_error_is_its_spread_over_many_draws(kind: str) -> None:
    values, errors = [], []
    for draw in range(300):
        y = normal(60 if kind != "unpaired" else 40, 6, seed=draw, mixed=False)
        x = y + 0.5 * normal(60, 6, 1000 + draw, 0.4, mixed=False) if kind == "pairs" else normal(60, 6, 1000 + draw, 0.4, mixed=False)
        value, error = kid(x, y)
        values.append(value)
        errors.append(error)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(values), rel=0.15)


def test_kid_is_nought_on_average_for_one_distribution_and_its_subsets_mean_is_the_same() -> None:
    values = [kid(normal(40, 6, seed=i, mixed=False), normal(50, 6, seed=999 + i, mixed=False))[0] for i in range(300)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(300)
    assert min(values) < 0
    x, y = normal(80, 6, shift=0.3), normal(80, 6, seed=1)
    random = torch.Generator().manual_seed(0)
    draws = [poly_mmd(x[torch.randperm(80, generator=random)[:40]], y[torch.randperm(80, generator=random)[:40]]) for _ in range(600)]
    assert kid(x, y)[0] == pytest.approx(float(torch.stack(draws).mean()), abs=4 * float(torch.stack(draws).std()) / math.sqrt(600))


def test_two_images_have_a_kid_without_an_error() -> None:
    value, error = kid(normal(2, 4), normal(2, 4, seed=1))
    assert math.isfinite(value) and math.isnan(error)


# Precision, recall, density, coverage


def naive_prdc(x: Tensor, y: Tensor, k: int) -> dict[str, float]:
    def reach(points: Tensor) -> list[float]:
        return [sorted(float(torch.dist(p, q)) for j, q in enumerate(points) if j != i)[k - 1] for i, p in enumerate(points)]

    x_reach, y_reach = reach(x), reach(y)
    apart = [[float(torch.dist(p, q)) for q in y] for p in x]
    pairs = [(i, j) for i in range(len(x)) for j in range(len(y))]
    return {
        "precision": len({i for i, j in pairs if apart[i][j] <= y_reach[j]}) / len(x),
        "recall": len({j for i, j in pairs if apart[i][j] <= x_reach[i]}) / len(y),
        "density": sum(apart[i][j] < y_reach[j] for i, j in pairs) / (k * len(x)),
        "coverage": len({j for i, j in pairs if apart[i][j] < y_reach[j]}) / len(y),
    }


@pytest.mark.parametrize(("n", "m", "k"), [(20, 30, 1), (30, 20, 5), (12, 40, 3), (6, 6, 5)])
def test_prdc_is_the_loops(n: int, m: int, k: int) -> None:
    x, y = normal(n, 3, shift=0.4), normal(m, 3, seed=1)
    found = prdc(x, y, k)
    assert found == pytest.approx(naive_prdc(x, y, k), abs=1e-12)
    assert list(found) == ["precision", "recall", "density", "coverage"]


def test_distances_survive_an_offset_common_to_all() -> None:
    x, y = normal(30, 3, shift=0.4), normal(40, 3, seed=1)
    assert prdc(x + 1e7, y + 1e7, 3) == prdc(x, y, 3)


def line(*points: float) -> Tensor:
    return torch.tensor(points).double()[:, None]


def test_prdc_by_hand() -> None:
    # Real balls with k = 1: 0 +- 1, 1 +- 1, 5 +- 4. Generated balls: 0.5 +- 0.25, 0.75 +- 0.25, 20 +- 19.25.
    assert prdc(line(0.5, 0.75, 20), line(0, 1, 5), 1) == {
        "precision": 2 / 3,  # not 20
        "recall": 2 / 3,  # 1 and 5, in the wide ball of 20; 0 is in none
        "density": 4 / 3,  # 0.5 in two balls, 0.75 in two, 20 in none
        "coverage": 2 / 3,  # all but the ball of 5, whose rim at 1 no generated image reaches
    }


def test_the_rim_is_inside_for_precision_and_recall_only() -> None:
    # Real balls 0 +- 1 and 1 +- 1; generated 2 lies on the rim of the second, generated -1 of the first; generated balls reach 3.
    assert prdc(line(-1, 2), line(0, 1), 1) == {"precision": 1, "recall": 1, "density": 0, "coverage": 0}


@pytest.mark.parametrize("k", [1, 4])
def test_a_copied_set_scores_one_in_all_four(k: int) -> None:
    y = normal(40, 600) * 1e3 + 1e4  # far from the origin: distances must survive the rounding
    assert prdc(y.flip(0), y, k) == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}


def test_far_apart_and_collapsed_sets() -> None:
    y = normal(40, 8)
    assert set(prdc(y + 1000, y, 5).values()) == {0}
    one = y[:1].expand(40, 8) + 1e-3
    found = prdc(one, y, 5)
    assert found["precision"] == 1 and found["recall"] == 0 and found["coverage"] < 0.5


def test_one_outlier_raises_precision_but_hardly_density() -> None:
    y, noise = normal(100, 4, mixed=False), 100 + 10 * normal(100, 4, seed=1, mixed=False)
    with_outlier = torch.cat([y, torch.full((1, 4), 200.0).double()])
    clean, spoiled = prdc(noise, y, 3), prdc(noise, with_outlier, 3)
    assert clean["precision"] == 0 and spoiled["precision"] > 0.9
    assert spoiled["density"] < 0.5


# All of them


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("n", "m"), [(30, 30), (25, 40), (12, 9)])
def test_order_and_block_size_change_nothing(name: str, n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(n, 16), normal(m, 16, seed=1, shift=0.3)
    value = numbers(FUNCTIONS[name](x, y))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(5))
    other = order if n == m else torch.randperm(m, generator=torch.Generator().manual_seed(6))
    assert numbers(FUNCTIONS[name](x[order], y[other])) == pytest.approx(value, rel=1e-9)
    assert numbers(FUNCTIONS[name](x[order], y))[0] == pytest.approx(value[0], rel=1e-9)  # pairing touches only KID's error
    for at_once in (1, 7 * m, 64):
        monkeypatch.setattr(divergence, "_AT_ONCE", at_once)
        assert numbers(FUNCTIONS[name](x, y)) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_single_precision_is_lifted_and_the_features_are_left_alone(name: str) -> None:
    x, y = normal(20, 4).float(), normal(20, 4, seed=1).float()
    before = x.clone(), y.clone()
    assert numbers(FUNCTIONS[name](x, y)) == numbers(FUNCTIONS[name](x.double(), y.double()))
    assert torch.equal(x, before[0]) and torch.equal(y, before[1])
    assert all(type(value) is float for value in numbers(FUNCTIONS[name](x, y)))


@pytest.mark.parametrize("name", ["frechet", "kid"])
@pytest.mark.parametrize("n", [10, 40])
def test_constant_columns_add_nothing_but_their_difference(name: str, n: int) -> None:
    x, y = normal(n, 8), normal(n, 8, seed=1)
    wide_x, wide_y = torch.cat([x, torch.zeros(n, 8)], 1), torch.cat([y, torch.zeros(n, 8)], 1)
    if name == "frechet":
        assert frechet(wide_x, wide_y) == pytest.approx(frechet(x, y), rel=1e-10)
        assert frechet(wide_x + 2, wide_y) == pytest.approx(frechet(x + 2, y) + 8 * 4, rel=1e-10)
        moments = (wide_x.mean(0), covariance(wide_x), wide_y.mean(0), covariance(wide_y))
        assert frechet_from_moments(*moments) == pytest.approx(frechet(x, y), rel=1e-10 if n > 8 else 1e-6)
    else:
        assert kid(wide_x, wide_y)[0] == pytest.approx(kid(x / math.sqrt(2), y / math.sqrt(2))[0], rel=1e-10)


def test_sets_without_any_spread() -> None:
    same, other = torch.full((10, 6), 0.3), torch.full((12, 6), 0.5)
    assert frechet(same, same[:5]) == 0
    assert frechet(same, other) == pytest.approx(6 * 0.2**2, rel=1e-6)
    value, error = kid(same, other)
    expected = (0.3 * 0.3 + 1) ** 3 + (0.5 * 0.5 + 1) ** 3 - 2 * (0.3 * 0.5 + 1) ** 3
    assert (value, error) == pytest.approx((expected, 0), abs=1e-6)
    assert prdc(same, same, 3) == {"precision": 1, "recall": 1, "density": 0, "coverage": 0}  # balls without a radius: all is rim
    assert set(prdc(same, other, 3).values()) == {0}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("n", [6, 30])
def test_features_that_are_not_finite_make_no_number(name: str, bad: float, n: int) -> None:
    x = normal(n, 10)
    x[2, 3] = bad
    for pair in ((x, normal(n, 10, 1)), (normal(n, 10, 1), x), (x, normal(n + 1, 10, 1))):
        assert all(math.isnan(value) for value in numbers(FUNCTIONS[name](*pair)))


def test_moments_that_are_not_finite_make_no_number() -> None:
    m, s = torch.zeros(3).double(), torch.eye(3).double()
    assert math.isnan(frechet_from_moments(m, s * math.nan, m, s))
    assert math.isnan(frechet_from_moments(m * math.nan, s, m, s))


def test_what_cannot_be_compared_is_refused() -> None:
    for call in FUNCTIONS.values():
        with pytest.raises(ValueError, match="features"):
            call(normal(9, 4), normal(9, 5))
        with pytest.raises(ValueError, match="features"):
            call(torch.zeros(9, 2, 2), torch.zeros(9, 2, 2))
        with pytest.raises(ValueError, match="at least"):
            call(normal(9, 4), normal(1, 4))
    with pytest.raises(ValueError, match="at least 2"):
        covariance(normal(1, 4))
    with pytest.raises(ValueError, match="at least 5"):
        prdc(normal(4, 4), normal(9, 4), 4)
    with pytest.raises(ValueError, match="nearest neighbour is number 1"):
        prdc(normal(4, 4), normal(9, 4), 0)
    with pytest.raises(ValueError, match="means"):
        frechet_from_moments(torch.zeros(3), torch.eye(3), torch.zeros(4), torch.eye(4))
