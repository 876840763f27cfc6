"""Logits of a cheap model for the rows of a split, none of which is scored by a model that knows its label; and how
much of a network is added to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2aco.data.splits import SETTINGS
from l2aco.data.triples import Triples
from l2aco.metrics import auroc, by_group
from l2aco.models.backbones.mixed import Mixed
from l2aco.models.offset import fit_offset
from l2aco.models.out_of_fold import Scorer, out_of_fold
from l2aco.progress import Progress
from l2aco.training.prepare import Setup


@dataclass(frozen=True)
class Offset:
    """train, valid, test: float64 logits of the split's rows; those of training rows by models that knew nothing of
    what each of them holds out, those of validation rows by a model of the training rows, those of test rows by
    `model`, which has taken up the validation rows."""

    model: Mixed
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def make_offset(setup: Setup, progress: Progress) -> Offset | None:
    """What `spec.offset` asks for. What the model chose beforehand (variances and the level, some ten numbers) it chose
    on all training rows, and keeps in each fold; coefficients, kernels and the scaling of the target are those of the
    fold."""
    spec, split, triples = setup.spec, setup.split, setup.dataset.triples
    if spec.offset == "none":
        return None
    setting = str(spec.split.setting)
    train = triples.take(split.train)
    model = fit_offset(spec.offset, setting, setup.inputs.below[0], train, spec.seed, progress)
    groups = SETTINGS.load(setting)().groups(setup.dataset)[split.train]
    with progress.task("out-of-fold logits", unit="folds") as advance:

        def fit(part: Triples) -> Scorer:
            advance(1)
            return model.anew(part).logits

        of_train = out_of_fold(fit, train, groups, seed=spec.seed)
    whole = model.refit(triples.take(split.valid))
    return Offset(whole, of_train, _logits(model, triples.take(split.valid)), _logits(whole, triples.take(split.test)))


def _logits(model: Mixed, triples: Triples) -> np.ndarray:
    return model.logits(triples.drug_a, triples.drug_b, triples.cell_line)


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
PARTS = 10
"""Of validation rows, where what the setting holds out tells no groups apart that have both labels."""


def choose_share(label: np.ndarray, below: np.ndarray, network: np.ndarray, groups: np.ndarray) -> float:
    """How much of the network's logits (n,) is added to those of the cheap model, `below` (n,): the least of `SHARES`
    whose AUROC within `groups`, int64 (n,), is less than one standard error over groups below the best.

    label (n,): of validation rows. They have stopped the network, which so looks better on them than it is; what is in
    doubt therefore goes to the cheap model.
    """
    parts = _with_both(label, groups)
    if len(parts) < 2:
        parts = _with_both(label, np.arange(len(label)) % PARTS)
    if len(parts) < 2:
        return 1.0
    aurocs = [[auroc(label[part], (below + share * network)[part]) for part in parts] for share in SHARES]
    best = int(np.mean(aurocs, axis=1).argmax())
    lost = np.subtract(aurocs[best], aurocs)
    doubt = lost.std(axis=1, ddof=1) / np.sqrt(len(parts))
    return SHARES[int(np.flatnonzero(lost.mean(axis=1) <= doubt)[0])]


def _with_both(label: np.ndarray, groups: np.ndarray) -> list[np.ndarray]:
    """The rows of every group that has rows of both labels."""
    return [part for part in by_group(groups) if 0 < label[part].sum() < len(part)]
