"""Which metrics, with which options, and which of them must not be missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError
from ..recipe import read_options
from ..registry import catalog, entry, names

FAMILIES = ("distortion", "perceptual", "distribution", "colour", "detail", "segmentation", "dependence")
"""The files of metrics in the order of the table; those of other files come last."""


@dataclass(frozen=True)
class Choice:
    """The metrics of an evaluation.

    Attributes:
        metrics: registered names, in the order of the table.
        require: those that end the evaluation if they have to be skipped.
        options: per metric, values for its options.
    """

    metrics: tuple[str, ...]
    require: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        metrics: Sequence[str] | None = None,
        require: Sequence[str] = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Choice:
        """Names and options, checked.

        Args:
            metrics: registered names; None is every metric there is.
            require: further names, that must not be skipped.
            options: ``{metric: {option: value}}``; texts are read as flags are.

        Raises:
            UserError: an unknown name or option, or a value of the wrong type.
        """
        must = _names(require)
        chosen = list(dict.fromkeys([*_names(metrics), *must])) if metrics is not None else in_table_order()
        if not chosen:
            raise UserError(f"no metric is chosen: name some of {', '.join(names('metric'))}, or leave the choice out")
        read: dict[str, dict[str, Any]] = {}
        for metric, given in (options or {}).items():
            entry("metric", metric)
            if metric not in chosen:
                raise UserError(f"an option is given for the metric {metric}, which is not chosen: add it to --metrics")
            read[metric] = read_options(f"metric.{metric}", "metric", metric, given)
        return cls(tuple(chosen), tuple(must), read)

    def with_option(self, metric: str, option: str, value: Any) -> Choice:
        """The same with one more option set, as it is."""
        return dataclasses.replace(self, options={**self.options, metric: {**self.options.get(metric, {}), option: value}})

    def option_values(self) -> dict[str, Any]:
        """The options that were set, as a reader needs them to make the numbers again; a thing that is no plain value by its name."""
        return {f"{metric}.{option}": _plain_value(value) for metric, given in self.options.items() for option, value in given.items()}


def _plain_value(value: Any) -> Any:
    plain = isinstance(value, str | int | float | bool | None)
    return value if plain else str(getattr(value, "name", getattr(value, "__name__", type(value).__name__)))


def in_table_order() -> list[str]:
    """Every registered metric, family by family, each family in the order of its file."""
    entries = [found for (kind, _), found in catalog().items() if kind == "metric"]
    family = {name: at for at, name in enumerate(FAMILIES)}
    return [found.name for found in sorted(entries, key=lambda found: family.get(found.module.rpartition(".")[2], len(family)))]


def options_from_flags(flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``{"metric.fid.resize": "clean"}`` as ``{"fid": {"resize": "clean"}}``.

    Raises:
        UserError: a key of another form.
    """
    options: dict[str, dict[str, Any]] = {}
    for key, value in flags.items():
        parts = key.split(".")
        if len(parts) != 3:
            raise UserError(f"--{key} is no metric's option: write --metric.NAME.OPTION VALUE, as --metric.fid.resize clean")
        options.setdefault(parts[1], {})[parts[2]] = value
    return options


def _names(wanted: Sequence[str] | None) -> list[str]:
    chosen = [name.strip() for name in wanted or ()]
    for name in chosen:
        entry("metric", name)
    return list(dict.fromkeys(chosen))
