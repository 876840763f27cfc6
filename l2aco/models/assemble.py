"""From a backbone's name and an alignment spec to one module that the training loop can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import ValidationError

from l2aco.errors import InputError, UsageError
from l2aco.files import describe_validation
from l2aco.models.alignment import Aligner
from l2aco.models.backbones import backbones
from l2aco.models.base import Backbone, Inputs
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import prepare_vectors

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet


def build_model(
    backbone: str,
    config: Mapping[str, Any],
    dataset: DataSet,
    align: AlignSpec,
    *,
    drug_vectors: np.ndarray | None = None,
    drug_mask: np.ndarray | None = None,
    cell_vectors: np.ndarray | None = None,
    cell_mask: np.ndarray | None = None,
    train_drugs: np.ndarray | None = None,
    train_cells: np.ndarray | None = None,
    seed: int = 0,
) -> Aligner:
    """A backbone over `dataset` with its aligner, initialised from `seed`.

    `config` holds hyper-parameters of the backbone. `drug_vectors` (Nd, D) and `cell_vectors` (Nc, D) are the
    profile vectors in the order of the data set's entities, with bool masks of the rows that have one (None:
    all); `train_drugs` and `train_cells` the rows of the entities that occur in training triples.

    Raises UnknownNameError for an unknown backbone, UsageError for a bad hyper-parameter, InputError where
    the data set lacks what the backbone requires or vectors are missing or not finite.
    """
    cls: type[Backbone] = backbones.load(backbone)
    settings = parse_config(cls, config)
    inputs = load_inputs(cls, dataset, train_drugs=train_drugs, train_cells=train_cells)
    vectors = {}
    if align.active:
        for kind, entities, values, mask, train in (
            ("drug", dataset.drugs, drug_vectors, drug_mask, train_drugs),
            ("cell_line", dataset.cell_lines, cell_vectors, cell_mask, train_cells),
        ):
            vectors[kind] = prepare_vectors(entities, values, mask, align, seed=seed, train=train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = cls(inputs, settings)
        return Aligner(
            model,
            align,
            drug_vectors=vectors.get("drug"),
            cell_vectors=vectors.get("cell_line"),
            train_drugs=train_drugs,
            train_cells=train_cells,
        )


def parse_config(cls: type[Backbone], config: Mapping[str, Any]) -> Any:
    """The backbone's validated hyper-parameters; raises UsageError that names the wrong one."""
    try:
        return cls.Config.model_validate(dict(config))
    except ValidationError as error:
        known = ", ".join(cls.Config.model_fields)
        raise UsageError(
            f"{cls.__name__}: {describe_validation(error)}", remedy=f"Its hyper-parameters are {known}."
        ) from None


def load_inputs(
    cls: type[Backbone],
    dataset: DataSet,
    *,
    train_drugs: np.ndarray | None = None,
    train_cells: np.ndarray | None = None,
) -> Inputs:
    """Bring what `cls.requires` names, and what the data set has of `cls.uses`; raises InputError for a missing one."""
    graph = None
    if "graph" in cls.requires:
        graph = dataset.graph
        if graph is None:
            raise InputError(
                f"{cls.__name__} needs a knowledge graph, and the data set has none",
                where=dataset.name,
                remedy="`--backbone MLP` needs none; `l2aco data import ... --graph FILE` brings one (docs/data.md).",
            )
    names = (cls.requires - {"graph"}) | {name for name in cls.uses if dataset.has_feature(name)}
    features = {name: dataset.feature(name) for name in sorted(names)}
    return Inputs(
        dataset=dataset,
        num_drugs=len(dataset.drugs),
        num_cells=len(dataset.cell_lines),
        graph=graph,
        features=features,
        train_drugs=train_drugs,
        train_cells=train_cells,
    )
