"""Logits of a cheap model for the rows of a split, none of which is scored by a model that knows its label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from l2aco.data.splits import SETTINGS
from l2aco.data.triples import Triples
from l2aco.models.backbones.mixed import Mixed
from l2aco.models.offset import fit_offset
from l2aco.models.out_of_fold import Scorer, out_of_fold
from l2aco.progress import Progress
from l2aco.training.prepare import Setup


@dataclass(frozen=True)
class Offset:
    """model: fitted to the training rows alone. train, valid, test: float64 logits of the split's rows; those of
    training rows by models that knew nothing of what each of them holds out."""

    model: Mixed
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def make_offset(setup: Setup, progress: Progress) -> Offset | None:
    """What `spec.offset` asks for. What the model chose beforehand (variances, some ten numbers) it chose on all
    training rows, and keeps in each fold; coefficients, kernels and the scaling of the target are those of the fold."""
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
    valid, test = (_logits(model, triples.take(rows)) for rows in (split.valid, split.test))
    return Offset(model, of_train, valid, test)


def _logits(model: Mixed, triples: Triples) -> np.ndarray:
    return model.logits(triples.drug_a, triples.drug_b, triples.cell_line)
