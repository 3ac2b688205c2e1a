"""Which metrics: names, requirements, options, each refused with one sentence."""

from __future__ import annotations

import pytest

from transfigure import registry
from transfigure.errors import UserError
from transfigure.evaluation.collection import MetricChoice, options_from_flags


def test_names_in_their_order_without_repetition() -> None:
    assert MetricChoice.of(["ssim", "l1 ", "ssim"]).metrics == ("ssim", "l1")
    everything = MetricChoice.of().metrics
    assert everything[:4] == ("l1", "psnr", "ssim", "ms_ssim")
    assert sorted(everything) == registry.names("metric")


def test_what_is_required_is_chosen() -> None:
    choice = MetricChoice.of(["l1"], ["fid"])
    assert choice.metrics == ("l1", "fid")
    assert choice.require == ("fid",)


@pytest.mark.parametrize(("metrics", "require"), [(["sim"], ()), (["l1"], ["ssmi"])], ids=str)
def test_an_unknown_name_is_refused(metrics: list[str], require: list[str]) -> None:
    with pytest.raises(UserError, match="did you mean 'ssim'"):
        MetricChoice.of(metrics, require)


def test_an_empty_choice_is_refused() -> None:
    with pytest.raises(UserError, match="no metric is chosen"):
        MetricChoice.of([])


def test_options_are_typed() -> None:
    choice = MetricChoice.of(None, (), {"prdc": {"neighbours": "3"}, "fid": {"resize": "clean"}})
    assert choice.options == {"prdc": {"neighbours": 3}, "fid": {"resize": "clean"}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fid": {"resise": "clean"}}, "metric.fid.resise .*did you mean 'resize'"),
        ({"fid": {"resize": "cleanly"}}, "metric.fid.resize cannot be 'cleanly': it takes one of tf1, clean"),
        ({"prdc": {"neighbours": "many"}}, "a whole number"),
        ({"fdi": {"resize": "clean"}}, "no metric named 'fdi'"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options: dict[str, dict[str, str]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        MetricChoice.of(None, (), options)


def test_an_option_of_a_metric_that_is_not_chosen_is_refused() -> None:
    with pytest.raises(UserError, match="fid, which is not chosen"):
        MetricChoice.of(["l1"], (), {"fid": {"resize": "clean"}})


def test_flags_become_options() -> None:
    flags = {"metric.fid.resize": "clean", "metric.prdc.neighbours": "3"}
    assert options_from_flags(flags) == {"fid": {"resize": "clean"}, "prdc": {"neighbours": "3"}}
    for bad in ("metric.fid", "metric.fid.a.b"):
        with pytest.raises(UserError, match=r"write --metric\.NAME\.OPTION VALUE"):
            options_from_flags({bad: "x"})
