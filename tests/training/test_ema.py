"""The average of weights is the weighted mean of what it saw."""

from __future__ import annotations

import torch
from torch import nn

from transfigure.training.ema import EMA


def test_ema_is_the_weighted_mean_of_what_it_saw() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ema = EMA(network, 0.5)
    expected = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for update in range(1, 6):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1)
        network[1].running_mean += 3  # type: ignore[operator]
        ema.update(network)
        decay = min(0.5, (1 + update) / (10 + update))
        for name, parameter in network.named_parameters():
            expected[name] = decay * expected[name] + (1 - decay) * parameter.detach()
    for name, parameter in ema.generator.named_parameters():
        torch.testing.assert_close(parameter, expected[name])
    torch.testing.assert_close(ema.generator[1].running_mean, network[1].running_mean)  # type: ignore[index]
    assert not any(parameter.requires_grad for parameter in ema.generator.parameters())
    other = EMA(network, 0.5)
    other.load_state_dict(ema.state_dict())
    assert other.updates == 5
    torch.testing.assert_close(other.generator.state_dict(), ema.generator.state_dict())
