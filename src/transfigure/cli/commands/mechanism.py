"""Experiments on how translation by the adversarial loss alone works."""

from __future__ import annotations

import argparse
from typing import Any

from ...errors import UserError, did_you_mean
from . import ablate

GROUP = ablate.GROUP
RECIPE_FLAGS = ablate.RECIPE_FLAGS
add_arguments = ablate.add_arguments


def run(options: argparse.Namespace, overrides: dict[str, Any]) -> int:
    """Run an experiment on how translation by the adversarial loss alone works."""
    from ...studies.ablation.grid import shipped

    known = shipped("mechanisms")
    if options.grid not in known:
        raise UserError(f"there is no experiment {options.grid!r}{did_you_mean(options.grid, known)}")
    options.grid = str(known[options.grid])
    return ablate.run(options, overrides)
