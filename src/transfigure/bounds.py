"""Numbers with bounds, for recipe keys and for the options of registered things: ``width: PositiveInt = 64``.

Whoever reads a recipe holds to them, and ``--help`` says them. To Python they are ``int`` and ``float``.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

PositiveInt = Annotated[int, Gt(0)]
Depth = Annotated[int, Ge(1), Le(16)]
"""Of halvings: 16 take an image of 65,536 pixels down to one."""
Layers = Annotated[int, Ge(1), Le(256)]
"""Of layers in a row, each of which costs time to build whatever its size."""
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]
"""From 0 to below 1: what is held out, a decay rate."""
Decay = Annotated[float, Gt(0), Lt(1)]
"""Between 0 and 1, neither included."""
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
