"""Adam, as a training uses it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from ..recipe import Training


class Adam(optim.Adam):
    """PyTorch's Adam, without the import of its compiler.

    ``torch.optim`` wraps these methods so that ``torch.compile`` leaves them alone, and the first call of any of them imports
    ``torch._dynamo`` and what that needs, sympy among it: 828 modules, a second and some 80 MB for each training that compiles nothing
    (torch 2.13.0). Below are the same methods without the wrapper; where there is none, they are what they were.
    """

    add_param_group = inspect.unwrap(optim.Adam.add_param_group)
    load_state_dict = inspect.unwrap(optim.Adam.load_state_dict)
    state_dict = inspect.unwrap(optim.Adam.state_dict)
    zero_grad = inspect.unwrap(optim.Adam.zero_grad)
    _step = inspect.unwrap(optim.Adam.step)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; ``closure``, if given, is called first with gradients, and its value returned."""
        return self._step(closure)


def adam(networks: Sequence[nn.Module], learning_rate: float, training: Training) -> Adam:
    """One Adam for some networks, with the paper's momentum (Isola et al. 2017, section 3.3: 2e-4, 0.5, 0.999).

    A fused kernel unless the recipe says not.

    The fused kernel does the same arithmetic in another order: its results differ in the last bits, and it is what makes a CPU step
    about a fifth faster.
    """
    parameters = [parameter for network in networks for parameter in network.parameters()]
    optimizer = Adam(parameters, lr=learning_rate, betas=training.betas, fused=training.fused, foreach=False)
    optimizer.register_load_state_dict_pre_hook(_keep_settings)
    optimizer.register_load_state_dict_post_hook(_lay_out_as_weights)
    return optimizer


def _keep_settings(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """The state with the optimizer's own settings: what is loaded are moments.

    A saved state says more: its learning rate, betas and kernel (``fused``) would take the place of those that the recipe asks for.
    """
    own = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    groups = [{**group, **settings} for group, settings in zip(state_dict["param_groups"], own, strict=True)]
    return {**state_dict, "param_groups": groups}


def _lay_out_as_weights(optimizer: Optimizer) -> None:
    """Give loaded moments the memory layout of their weights.

    A run begun on a CPU (NCHW) may go on on a GPU (NHWC), and moments keep the layout they were saved in. The fused kernel goes through
    memory in order: on a GPU it refuses moments of another layout, and on a CPU it silently pairs them with the wrong weights.
    """
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
