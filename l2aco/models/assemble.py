"""From a backbone's name and an alignment spec to one module that the training loop can run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from l2aco.data.features import fit_feature, has_feature, table_in
from l2aco.data.features.base import Feature, how_to_bring
from l2aco.entities import EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.files import describe_validation
from l2aco.models.alignment import Aligner
from l2aco.models.backbones import backbones
from l2aco.models.base import Backbone
from l2aco.models.estimator import Estimator
from l2aco.models.inputs import Inputs
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Knowledge, prepare_vectors

if TYPE_CHECKING:
    import numpy as np

    from l2aco.data.dataset import DataSet


def build_model(
    backbone: str | type[Backbone], config: Mapping[str, Any], inputs: Inputs, align: AlignSpec, *, seed: int = 0
) -> Aligner:
    """A backbone with its aligner over `inputs`, initialised from `seed`; `config`: hyper-parameters of the backbone.

    Raises UnknownNameError for an unknown backbone, UsageError for a bad hyper-parameter.
    """
    cls: type[Backbone] = backbones.load(backbone) if isinstance(backbone, str) else backbone
    settings = parse_config(cls, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Aligner(cls(inputs, settings), align, inputs)


def parse_config(cls: type[Backbone] | type[Estimator], config: Mapping[str, Any]) -> Any:
    """The backbone's validated hyper-parameters; raises UsageError that names the wrong one."""
    try:
        return cls.Config.model_validate(dict(config))
    except ValidationError as error:
        known = ", ".join(cls.Config.model_fields)
        raise UsageError(
            f"{cls.__name__}: {describe_validation(error)}", remedy=f"Its hyper-parameters are {known}."
        ) from None


def load_inputs(
    cls: type[Backbone] | type[Estimator],
    dataset: DataSet,
    config: Mapping[str, Any] = {},
    *,
    train_drugs: np.ndarray | None = None,
    train_cells: np.ndarray | None = None,
) -> Inputs:
    """What `cls.requires` names, and what `config` makes of those in `cls.uses` that the data set has, fitted on the
    entities at these rows; no vectors yet. Raises InputError for what is missing and for a feature that `config` names
    and no entity has, UnknownNameError for one that nobody knows."""
    graph = None
    if "graph" in cls.requires:
        graph = dataset.graph
        if graph is None:
            raise InputError(
                f"{cls.__name__} needs a knowledge graph, and the data set has none",
                where=dataset.name,
                remedy="`--backbone MLP` needs none; `l2aco data import ... --graph FILE` brings one (docs/data.md).",
            )
    settings = parse_config(cls, config)
    at_hand = [name for name in cls.uses if has_feature(dataset, name)]
    chosen = settings.features(at_hand, lambda name: bool(table_in(dataset, name).mask.any()))
    names = (cls.requires - {"graph"}) | chosen
    rows = {EntityKind.drug: train_drugs, EntityKind.cell_line: train_cells}
    fitted = {name: fit_feature(dataset, name, rows) for name in sorted(names)}
    features = {name: table_in(dataset, name, feature) for name, feature in fitted.items()}
    for name in (asked for kind in EntityKind for asked in settings.asked(kind)):
        if name in features and not features[name].mask.any():
            raise _of_nobody(name, fitted[name], dataset)
    return Inputs(
        drugs=dataset.drugs,
        cell_lines=dataset.cell_lines,
        graph=graph,
        features=features,
        fitted=fitted,
        train_drugs=train_drugs,
        train_cells=train_cells,
    )


def _of_nobody(name: str, feature: Feature, dataset: DataSet) -> InputError:
    kind = feature.kind.value.replace("_", " ")
    return InputError(
        f"none of the {len(dataset.entities(feature.kind)):,} {kind}s has the feature {name}, which is asked for",
        where=f"the data set {dataset.name}",
        remedy=f"Read something else of a {kind}; {how_to_bring(name, feature.brought_by)}",
    )


def with_vectors(
    inputs: Inputs,
    align: AlignSpec,
    knowledge: Sequence[Knowledge],
    *,
    seed: int = 0,
    kinds: Collection[EntityKind] = tuple(EntityKind),
) -> Inputs:
    """`inputs` with the profile vectors of its entities of these kinds out of every store, as `align` wants them.

    A store that knows none of a kind brings none of that kind. Raises InputError for vectors that are not finite.
    """
    drugs, lines = (
        {
            known.store: prepare_vectors(
                inputs.entities(kind), values(known), mask(known), align, seed=seed, train=train, columns=known.columns
            )
            for known in knowledge
            if kind in kinds and mask(known).any()
        }
        for kind, values, mask, train in (
            (EntityKind.drug, attrgetter("drug_vectors"), attrgetter("drug_mask"), inputs.train_drugs),
            (EntityKind.cell_line, attrgetter("cell_vectors"), attrgetter("cell_mask"), inputs.train_cells),
        )
    )
    return replace(inputs, drug_vectors=drugs, cell_vectors=lines)
