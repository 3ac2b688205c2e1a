"""A loss of your own: one function with a ``@register`` line.

Train with it, and list its options:

    transfigure train examples/tiny.yaml --out runs/loss --plugins examples/loss.py \
        --objective.terms '[{loss: l1, weight: 100}, {loss: gradient_difference, weight: 10, power: 2}]'
    transfigure list loss --plugins examples/loss.py
"""

from torch import Tensor

from transfigure import Batch, register


@register("loss", "gradient_difference")
def gradient_difference(batch: Batch, power: float = 1.0) -> Tensor:
    """The difference of steps between neighbouring pixels: E[||dy| - |dG(x)||^power], so that edges are as strong as the target's.

    Blind to everything that does not change from pixel to pixel, such as the overall colour: use it beside ``l1``.

    Source: Mathieu, Couprie and LeCun 2016, "Deep multi-scale video prediction beyond mean square error", equation 6.

    Args:
        power: exponent of the differences.
    """
    # batch.source, batch.target and batch.fake are [N, C, H, W] in [-1, 1]; a loss returns one number.
    errors = [(batch.target.diff(dim=dim).abs() - batch.fake.diff(dim=dim).abs()).abs() for dim in (-2, -1)]
    return sum(((error**power).sum() for error in errors), batch.fake.new_zeros(())) / batch.fake.numel()
