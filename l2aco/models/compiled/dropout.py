"""Dropout whose mask costs little on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from l2aco.models.compiled.compile import array, compiled, for_cpu

_STEPS = 256
_LARGE = 2**16
"""Elements from which on one compiled pass takes less time than a few operations of torch."""


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


def relu_dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """`dropout` of ReLU(x); on a CPU in one pass over x, and one over its gradient, where x is large."""
    if training and rate and x.numel() >= _LARGE and for_cpu(x):
        return _ReluDropout.apply(x, rate)  # type: ignore[no-any-return]
    return dropout(F.relu(x), rate, training)


class _ReluDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:  # type: ignore[override]
        cut, ctx.scale = byte_cut(rate)
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        _relu_dropout(array(x).ravel(), random_bytes(x.numel()).numpy(), cut, ctx.scale, out.numpy().ravel())
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (out,) = ctx.saved_tensors
        to_x = torch.empty_like(out)
        _back(array(out).ravel(), array(grad).ravel(), ctx.scale, to_x.numpy().ravel())
        return to_x, None


@compiled
def _relu_dropout(x: Any, drawn: Any, cut: int, scale: float, out: Any) -> None:
    zero, factor = x.dtype.type(0), x.dtype.type(scale)
    for place in range(len(x)):
        # so asked that NaN stays NaN
        out[place] = zero if x[place] <= zero or drawn[place] < cut else x[place] * factor


@compiled
def _back(out: Any, grad: Any, scale: float, to_x: Any) -> None:
    zero, factor = out.dtype.type(0), out.dtype.type(scale)
    for place in range(len(out)):
        to_x[place] = grad[place] * factor if out[place] > zero else zero


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
