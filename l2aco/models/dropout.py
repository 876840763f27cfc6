"""Dropout whose mask costs little on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_STEPS = 256


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Zero each element with probability `rate` and scale the rest so that the mean stays; exact in expectation.

    On a CPU, torch draws one random number an element, which costs more than the layer around it. Here one random
    byte decides an element, so that the rate is rounded to 1/256 (1/2 and 1/4 are exact). Seeded by
    `torch.manual_seed` like any other.
    """
    if not training or rate == 0:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    cut, scale = byte_cut(rate)
    return x * (random_bytes(*x.shape) >= cut).to(x.dtype).mul_(scale)


def random_bytes(*shape: int) -> Tensor:
    """Uniform uint8 of this shape."""
    count = torch.Size(shape).numel()
    drawn = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
    return drawn.view(torch.uint8)[:count].view(shape)


def byte_cut(rate: float) -> tuple[int, float]:
    """Random bytes below the first number drop their element, of the rest each is multiplied by the second."""
    cut = min(max(round(rate * _STEPS), 1), _STEPS - 1)
    return cut, _STEPS / (_STEPS - cut)


class Dropout(nn.Dropout):
    """`dropout` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)
