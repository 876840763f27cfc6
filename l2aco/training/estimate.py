"""Fitting a backbone of the second kind, which knows no epochs."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from l2aco.data.triples import Triples
from l2aco.files import write_arrays
from l2aco.models.assemble import parse_config
from l2aco.models.estimator import Estimator
from l2aco.progress import Progress
from l2aco.runs.environment import describe_machine
from l2aco.training.prepare import Setup, response_origin
from l2aco.training.trained import Trained


def fit_estimator(kind: type[Estimator], setup: Setup, progress: Progress) -> Trained:
    """Fit on training rows, score the validation rows, by which intervals are made as wide as they must be, then take
    these up too before the test rows are scored: nothing else is left that they would have to choose."""
    triples, split = setup.dataset.triples, setup.split
    started = time.perf_counter()
    fitted = kind.fit(
        setup.inputs,
        parse_config(kind, setup.spec.config),
        triples.take(split.train),
        seed=setup.spec.seed,
        progress=progress,
    )
    valid = scored(fitted, triples.take(split.valid))
    whole = fitted.judged_on(triples.take(split.valid)).refit(triples.take(split.valid))
    seconds = round(time.perf_counter() - started, 3)
    screen = response_origin(setup)

    def write(folder: Path) -> None:
        write_arrays(folder / "model.npz", whole.arrays())

    return Trained(
        valid=valid,
        test=scored(whole, triples.take(split.test)),
        facts={"seconds": seconds, **whole.facts(), **({"response": screen} if screen else {})},
        environment=describe_machine(setup.spec.threads),
        write=write,
    )


def scored(estimator: Estimator, triples: Triples) -> np.ndarray:
    """float64 (n,): probabilities of the rows."""
    return estimator.probabilities(triples.drug_a, triples.drug_b, triples.cell_line)
