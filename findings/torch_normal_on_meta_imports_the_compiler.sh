#!/usr/bin/env bash
# Drawing normal numbers into a tensor on the meta device imports torch's compiler: 800 modules and a second, for nothing.
#
# Guessed: the meta device is the cheap way to ask a network for its shapes (names and sizes of weights, memory of a forward pass) before
# anything is allocated; initialisation there does nothing.
# Seen (torch 2.13.0, CPU): `torch.empty(3, 4, device="meta").normal_()`, which is what nn.init.normal_ and so every GAN's usual
# initialisation calls, imports more than 500 modules, torch._dynamo and torch._inductor among them, in about a second of CPU time on the
# first call. nn.Linear's own initialisation (uniform) imports next to none. So a command line that outlines a network on "meta" before it
# loads weights waits longer than for the weights: leave out the initialisation there.
# Fails if the import goes away (or comes to the uniform one too).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'PY'
import sys, time, torch

def cost(call):
    modules, start = len(sys.modules), time.process_time()
    call()
    return len(sys.modules) - modules, time.process_time() - start

uniform = cost(lambda: torch.nn.Linear(3, 4, device="meta"))
normal = cost(lambda: torch.empty(3, 4, device="meta").normal_())
compiler = [name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules]
print(f"torch {torch.__version__}: uniform (nn.Linear) on meta {uniform[0]} modules, {uniform[1]:.2f} s")
print(f"normal_ on meta {normal[0]} modules, {normal[1]:.2f} s; imported: {', '.join(compiler)}")
assert uniform[0] < 50 < 500 < normal[0] and compiler, "this has changed"
PY
