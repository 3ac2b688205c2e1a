"""Does this machine compute the same bits as the one that wrote the stored files?

Training on a CPU is the same to the last bit wherever the same kernels run, and they differ between processors and versions of torch.
The digests below are of a small training in plain torch, of the kinds of layers that the stored networks have, and of some random
numbers. Where they are the stored ones, the stored results must be met exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def digest(tensors: Iterable[Tensor]) -> str:
    """SHA-256 over the bytes of tensors, with their types and shapes."""
    total = hashlib.sha256()
    for tensor in tensors:
        array = tensor.detach().cpu().contiguous().numpy()
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def random_numbers() -> str:
    """Digest of what the generators of torch draw from one seed, dropout's masks among it."""
    torch.manual_seed(0)
    return digest([torch.rand(33), torch.randn(33), torch.randperm(33), F.dropout(torch.ones(2, 8, 5, 5))])


def arithmetic() -> str:
    """Digest of a small network after three steps of fused Adam, one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 8, 4, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReflectionPad2d(1),
        nn.Conv2d(8, 8, 3),
        nn.InstanceNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 4, 2, 1),
        nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
        nn.ReflectionPad2d(3),
        nn.Conv2d(4, 3, 7),
        nn.Tanh(),
    )
    optimizer = torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), fused=True)
    states: list[Tensor] = []
    for size in (16, 32, 32):
        x, y = torch.rand(2, 2, 3, size, size) * 2 - 1
        fake = network(x)
        loss = F.l1_loss(fake, y) + F.binary_cross_entropy_with_logits(fake, y.clamp(0, 1)) + F.avg_pool2d(fake, 2).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        states += [fake, loss]
    torch.set_num_threads(threads)
    return digest([*states, *network.state_dict().values()])
