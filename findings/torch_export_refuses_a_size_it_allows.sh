#!/usr/bin/env bash
# torch 2.13.0: a program that torch.export made for heights of 8 h, with h from 1 on, refuses the height 8.
#
# Guessed: with torch.export.Dim(min=1) the size 8 x 8 is among those that the program takes.
# Seen: a small U-Net (three halvings, three doublings, one concatenation) is exported with heights and widths 8 h and 8 w, both with min=1,
# without a word. Its range constraints say 8 for the least height and 2 for the least h. At 8 x 8, where the innermost map is 1 x 1, its
# module raises "Guard failed: ... // 8 != 1"; without guards (module(check_guards=False)) it computes what the network computes. A U-Net is
# often trained at the very size at which its bottleneck is 1 x 1.
# Fails if the size is taken, or if the program computes something else without guards.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy
"$place/venv/bin/python" - <<'EOF'
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(inside, outside, 4, 2, 1) for inside, outside in ((3, 4), (4, 8), (8, 8)))
        self.up = nn.ModuleList(nn.ConvTranspose2d(inside, outside, 4, 2, 1) for inside, outside in ((8, 8), (16, 4), (4, 3)))

    def forward(self, x):
        first = self.down[0](x)
        second = self.down[1](first.relu())
        third = self.down[2](second.relu())
        x = self.up[0](third.relu())
        return self.up[2](self.up[1](torch.cat([second, x], 1).relu()).relu())


torch.manual_seed(0)
net = Net().eval()
tall, wide = torch.export.Dim("tall", min=1), torch.export.Dim("wide", min=1)
program = torch.export.export(net, (torch.zeros(1, 3, 24, 32),), dynamic_shapes=({2: 8 * tall, 3: 8 * wide},))
least = {str(symbol): int(limits.lower) for symbol, limits in program.range_constraints.items()}
print("torch", torch.__version__, "- least sizes that the program states:", least)

with torch.no_grad():
    larger, smallest = torch.rand(1, 3, 16, 24), torch.rand(1, 3, 8, 8)
    assert (program.module()(larger) - net(larger)).abs().max() < 1e-6
    try:
        program.module()(smallest)
        raise SystemExit("the size 8 x 8 is taken now: the behaviour has changed")
    except AssertionError as error:
        print("8 x 8 with guards:", error)
        assert "Guard failed" in str(error)
    difference = float((program.module(check_guards=False)(smallest) - net(smallest)).abs().max())
print(f"8 x 8 without guards: {difference:.1e} from the network")
assert difference < 1e-6
EOF
