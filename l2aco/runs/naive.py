"""What a model must beat before it has learned anything: the naive predictors, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.features import brought_features, table_in
from l2aco.data.features.table import FeatureTable
from l2aco.data.splits.spec import Split
from l2aco.models.mixed.target import TargetName, usual_target
from l2aco.runs.naive_means import (
    CELL_WIDTH,
    DRUG_WIDTH,
    AdditiveMean,
    Array,
    CellMean,
    DrugMean,
    GlobalMean,
    PairAndCellMean,
    PairMean,
    PartnerMean,
    Predictor,
    Vectors,
    likeness,
)
from l2aco.runs.naive_scores import MixedWithoutKernels, PairMeanOfScores

VERSION = 4
"""Of the predictors: what was kept of another version is computed again."""
MEANS: dict[str, Callable[[], Predictor]] = {
    "global mean": GlobalMean,
    "drug mean": DrugMean,
    "cell mean": CellMean,
    "pair mean": PairMean,
    "additive mean": AdditiveMean,
    "pair + cell mean": PairAndCellMean,
    "partner mean": PartnerMean,
}


def naive_predictors(target: TargetName | None = "score") -> dict[str, Predictor]:
    """The predictors that read no vectors, by name, unfitted. target: what the rows tell apart (`usual_target`)."""
    found = {name: make() for name, make in MEANS.items()}
    if target == "score":
        found["pair mean of scores"] = PairMeanOfScores()
    if target is not None:
        found["mixed without kernels"] = MixedWithoutKernels(target)
    return found


def neighbours(
    cell_vectors: Mapping[str, Vectors] | None = None, drug_vectors: Mapping[str, Vectors] | None = None
) -> dict[str, Predictor]:
    """One kNN for every set of vectors given, unfitted.

    The names of the vectors ("profile", "expression", "fingerprint") lead those of the predictors:
    "profile kNN over cell lines", "fingerprint kNN over drugs".
    """
    found: dict[str, Predictor] = {}
    for name, vectors in (cell_vectors or {}).items():
        found[f"{name} kNN over cell lines"] = PairMean(weights=likeness(vectors, CELL_WIDTH))
    for name, vectors in (drug_vectors or {}).items():
        found[f"{name} kNN over drugs"] = PartnerMean(weights=likeness(vectors, DRUG_WIDTH))
    return found


def measured_vectors(dataset: DataSet) -> tuple[dict[str, Vectors], dict[str, Vectors]]:
    """Measured vectors of cell lines (expression, cell proteins) and drugs (fingerprint), where there are any."""
    cells: dict[str, Vectors] = {}
    drugs: dict[str, Vectors] = {}
    if "expression" in brought_features(dataset):
        cells["expression"] = _vectors(dataset, "expression", counted=True)
    if dataset.graph is not None:
        cells["cell-protein"] = _vectors(dataset, "cell_proteins")
    if any(drug.facts.get("smiles") for drug in dataset.drugs):
        drugs["fingerprint"] = _vectors(dataset, "morgan")
    known = [{name: found for name, found in kind.items() if found[1].any()} for kind in (cells, drugs)]
    return known[0], known[1]


def _vectors(dataset: DataSet, feature: str, *, counted: bool = False) -> Vectors:
    """Of a feature; of one that is `counted`, unless it has been through a logarithm, the logarithm."""
    table = table_in(dataset, feature)
    assert isinstance(table, FeatureTable)
    values = table.logged().values if counted and not table.signed else table.values
    return values, table.mask


def predictors_of(dataset: DataSet, split: Split) -> dict[str, Predictor]:
    """The predictors that read no vectors and can be fitted to the training and validation rows of a split."""
    triples, rows = dataset.triples, np.concatenate([split.train, split.valid])
    return naive_predictors(usual_target(triples.score[rows], triples.label[rows]))


def predict_naive(dataset: DataSet, split: Split) -> dict[str, Array]:
    """float64 (n test rows,) probabilities by predictor, in the order of `split.test`: those that read no vectors, and
    the neighbours by what was measured.

    Fitted on training and validation rows together: there is nothing that validation would have to choose.
    """
    return predictions({**predictors_of(dataset, split), **neighbours(*measured_vectors(dataset))}, dataset, split)


def predictions(predictors: Mapping[str, Predictor], dataset: DataSet, split: Split) -> dict[str, Array]:
    """float64 (n test rows,) of each, fitted to training and validation rows."""
    triples, rows = dataset.triples, np.concatenate([split.train, split.valid])
    asked = (triples.drug_a[split.test], triples.drug_b[split.test], triples.cell_line[split.test])
    return {name: predictor.fit(triples, rows).predict(*asked) for name, predictor in predictors.items()}
