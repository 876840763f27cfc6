"""Alignment losses between representations and adapted profile vectors, the consistency of passes, and the loss of a
score beside its label.

Each alignment loss takes `h` (U, d) and `target` (U, d), one row for each *distinct* entity: an entity that
occurs ten times in a batch is one row here, so that it is never its own negative and infonce costs O(U^2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from l2aco.models.spec import AlignSpec


def infonce(h: Tensor, target: Tensor, *, temperature: float, symmetric: bool = False) -> Tensor:
    """Cross-entropy of every entity towards its own vector among all (van den Oord et al. 2018)."""
    h, target = F.normalize(torch.cat([h, target]), dim=-1).split(len(h))
    logits = h @ target.T / temperature
    own = torch.arange(len(h), device=h.device)
    loss = F.cross_entropy(logits, own)
    return (loss + F.cross_entropy(logits.T, own)) / 2 if symmetric else loss


def l2(h: Tensor, target: Tensor) -> Tensor:
    """Mean squared distance of the normalised rows, 2 - 2 cos."""
    return (F.normalize(h, dim=-1) - F.normalize(target, dim=-1)).square().sum(-1).mean()


def sce(h: Tensor, target: Tensor, *, gamma: float) -> Tensor:
    """Scaled cosine error, mean (1 - cos)^gamma (Hou et al. 2022, GraphMAE)."""
    return (1 - F.cosine_similarity(h, target, dim=-1)).clamp_min(0).pow(gamma).mean()


def alignment_loss(views: Tensor, target: Tensor, spec: AlignSpec) -> Tensor:
    """The loss of `spec` between every view (U, V, d) and the vectors (U, d), averaged over views."""
    parts = []
    for h in views.unbind(1):
        if spec.loss == "infonce":
            parts.append(infonce(h, target, temperature=spec.temperature, symmetric=spec.symmetric))
        elif spec.loss == "l2":
            parts.append(l2(h, target))
        else:
            parts.append(sce(h, target, gamma=spec.gamma))
    return mean_of(parts)


def chosen_entities(
    views: Tensor, rows: Tensor | None, seen: Tensor, within: Tensor, scope: str
) -> tuple[Tensor, Tensor]:
    """Those of views (n, V, d) of the entities at `rows` (None: all) that a loss is over, and their rows.

    seen: local rows of the batch; within: bool, whom the loss may be over, of all entities.
    """
    at = rows
    if at is None:
        at = seen.unique() if scope == "batch" else within.nonzero()[:, 0]
        views = views[at]
    inside = within[at]
    # usually all are, and taking them out again would cost as much as the loss
    return (views, at) if inside.all() else (views[inside], at[inside])


def mean_of(losses: Sequence[Tensor]) -> Tensor:
    """The mean of scalars; nothing is computed for a single one."""
    return losses[0] if len(losses) == 1 else torch.stack(list(losses)).mean()


def symmetric_kl(logits: Tensor, other: Tensor, within: Tensor | None = None) -> Tensor:
    """Mean of KL(p||q) and KL(q||p) of the Bernoulli predictions of two logits (B,), averaged over the batch, or over
    those `within` it (bool, B); 0 where there are none.

    The sum of both is (p - q)(logit p - logit q), which never overflows.
    """
    both = (logits.sigmoid() - other.sigmoid()) * (logits - other) / 2
    return both.mean() if within is None else (both * within).sum() / within.sum().clamp_min(1)


def correlation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - r of Pearson between each row of logits (P, B) and the target (B,) where it is not NaN, averaged over rows; r
    is 0 where fewer than two are known.

    That is half the mean squared error of both, standardised within the batch, so it asks for no scale and no shift of
    the logits: those are for the cross-entropy of the label to say.
    """
    known = ~target.isnan()
    count = known.sum().clamp_min(1)

    def centred(values: Tensor) -> Tensor:
        held = torch.where(known, values, 0.0)
        return torch.where(known, values - held.sum(dim=-1, keepdim=True) / count, 0.0)

    x, y = centred(logits), centred(target)
    return (1 - F.cosine_similarity(x, y.expand_as(x), dim=1, eps=1e-6)).mean()
