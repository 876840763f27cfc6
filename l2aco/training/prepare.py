"""From a spec to everything that a fit or a prediction needs: data, split, vectors, model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from l2aco.data.catalog import open_dataset
from l2aco.data.dataset import DataSet
from l2aco.data.features.response import RESPONSE, origin
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import Split
from l2aco.entities import EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.models.alignment import Aligner
from l2aco.models.assemble import build_model, load_inputs, parse_config, with_vectors
from l2aco.models.backbones import backbones
from l2aco.models.base import Backbone
from l2aco.models.config import BackboneConfig
from l2aco.models.estimator import Estimator
from l2aco.models.inputs import Inputs
from l2aco.models.offset import inputs_of_offset, offset_config
from l2aco.models.recipe import Recipe
from l2aco.models.vectors import Knowledge
from l2aco.progress import Progress, Silent
from l2aco.runs.knowledge import load_knowledge
from l2aco.runs.spec import TrainSpec
from l2aco.training.choose import complete

if TYPE_CHECKING:
    from l2aco.workspace import Workspace

PATIENT = 2
"""On an offset, where a network gets no better for many epochs before it does (docs/lab.md), patience is at least the
epochs divided by this."""


@dataclass(frozen=True)
class Setup:
    """What a complete spec leads to. `spec` holds every value that was chosen; `recipe` those of optimisation and
    `model` the untrained model, where `kind` is a network."""

    spec: TrainSpec
    kind: type[Backbone] | type[Estimator]
    dataset: DataSet
    split: Split
    knowledge: Sequence[Knowledge]
    inputs: Inputs
    recipe: Recipe | None = None
    model: Aligner | None = None


def prepare(spec: TrainSpec, workspace: Workspace, progress: Progress = Silent()) -> Setup:
    """Complete the spec, load what it names and build an untrained network from its seed."""
    given = spec.store or spec.llm or spec.encoder
    spec = complete(spec, workspace)
    if given and not spec.store:
        named = given if isinstance(given, str) else ", ".join(given)
        progress.say(f"{named} is not used: neither --align nor --fusion nor --offset mixed reads profile vectors")
    kind: type[Backbone] | type[Estimator] = backbones.load(str(spec.backbone))
    if issubclass(kind, Estimator):
        config = {**kind.defaults_for(str(spec.split.setting)), **spec.config}
        spec = spec.model_copy(update={"config": config})
    dataset = open_dataset(str(spec.dataset), workspace)
    split = make_split(dataset, spec.split)
    _check_rows(dataset, split)
    knowledge = load_knowledge(spec.store or (), dataset, workspace, progress)
    config = parse_config(kind, spec.config)
    for known in knowledge:
        _report_missing(known, dataset, spec, config, progress)
    triples, train = dataset.triples, split.train
    inputs = load_inputs(
        kind,
        dataset,
        spec.config,
        train_drugs=np.union1d(triples.drug_a[train], triples.drug_b[train]),
        train_cells=np.unique(triples.cell_line[train]),
    )
    setting = str(spec.split.setting)
    if spec.offset != "none":
        below = inputs_of_offset(spec.offset, setting, inputs, spec.align, knowledge, seed=spec.seed)
        inputs = replace(inputs, below=[below])
    kinds = [each for each in EntityKind if spec.align.active or config.vectors_of(each)]
    inputs = with_vectors(inputs, spec.align, knowledge, seed=spec.seed, kinds=kinds)
    setup = Setup(spec, kind, dataset, split, knowledge, inputs)
    setup = _of_estimator(setup, kind) if issubclass(kind, Estimator) else _of_network(setup)
    for each in EntityKind:
        _report_unread(setup, config, each, progress)
    return setup


def _check_rows(dataset: DataSet, split: Split) -> None:
    """Raises InputError where nothing can be learned: no rows to train on or to validate, or one class only."""
    for name, rows in (("training", split.train), ("validation", split.valid)):
        if not len(rows):
            raise InputError(
                f"the split leaves no {name} rows", remedy="Choose another setting or fold, or fewer folds."
            )
    label = dataset.triples.label[split.train]
    if label.min() == label.max():
        which = "positive" if label.any() else "negative"
        raise InputError(
            f"all {len(label):,} training rows are {which}: there is nothing to tell apart",
            where=f"the data set {dataset.name}",
            remedy="Choose another fold or setting, or another label rule when importing the data set.",
        )


def _of_estimator(setup: Setup, kind: type[Estimator]) -> Setup:
    spec = setup.spec
    config = parse_config(kind, spec.config).model_dump(mode="json", exclude_none=True)
    return replace(setup, spec=spec.model_copy(update={"config": config}))


def _of_network(setup: Setup) -> Setup:
    spec = setup.spec
    model = build_model(str(spec.backbone), spec.config, setup.inputs, spec.align, seed=spec.seed)
    recipe = spec.recipe(model.recipe)
    if spec.offset != "none" and spec.patience is None and not model.backbone.config.faithful:
        recipe = recipe.model_copy(update={"patience": max(recipe.patience, recipe.epochs // PATIENT)})
    config = model.backbone.config.model_dump(mode="json", exclude_none=True)
    if recipe.compile and "neighbours" in config:
        raise UsageError(
            "compile and neighbours do not go together: every step of sampled neighbours has other shapes",
            remedy="Leave one of them out.",
        )
    spec = spec.model_copy(update={**recipe.model_dump(), "config": config, "align": model.spec})
    return replace(setup, spec=spec, recipe=recipe, model=model)


def response_origin(setup: Setup) -> str | None:
    """Where the response was measured that the model reads; None where it reads none."""
    return origin(setup.dataset) if RESPONSE in setup.inputs.features else None


def _report_missing(
    knowledge: Knowledge, dataset: DataSet, spec: TrainSpec, config: BackboneConfig, progress: Progress
) -> None:
    """Who has no vector in a store, of the kinds whose vectors are read there."""
    align, refuse = spec.align, "(--set align.missing=refuse to stop instead)"
    aligned = align.active and (align.loss != "regression" or bool(knowledge.columns))
    if align.loss == "regression" and not aligned:
        progress.say(f"{knowledge.store} holds text and no numbers: regression leaves it out")
    reads = [config] if spec.offset == "none" else [config, offset_config(spec.offset, str(spec.split.setting))]
    what_then = "nothing is known of them there"
    if aligned:
        left_out = "" if align.loss == "none" else " and are left out of alignment"
        what_then = f"they take the mean vector{left_out} {refuse}"
    for kind, mask in ((EntityKind.drug, knowledge.drug_mask), (EntityKind.cell_line, knowledge.cell_mask)):
        read = aligned or any(each.vectors_of(kind) for each in reads)
        if read and (lacking := _lacking(dataset, kind, mask)):
            progress.say(f"{lacking} have no vector in {knowledge.store}: {what_then}")


def _report_unread(setup: Setup, config: BackboneConfig, kind: EntityKind, progress: Progress) -> None:
    """Who has nothing of what the model reads of a kind; `_report_missing` tells it where that is vectors alone."""
    inputs = setup.inputs
    tables = {name: table.mask for name, table in inputs.features.items() if table.kind is kind and config.sees(kind)}
    usual = () if config.asked(kind) else config.usual(kind)
    by_id = "one_hot" in config.asked(kind) or bool(usual and tables.keys().isdisjoint(usual))
    names, masks = list(dict.fromkeys([*tables, *(usual if by_id else ())])), list(tables.values())
    if "graph" in setup.kind.requires and setup.model is not None:
        measured = setup.model.backbone.measured()
        masks += [] if measured is None else [measured[kind is EntityKind.cell_line].numpy()]
        names += [] if measured is None else ["graph"]
    if not names:
        return
    if config.vectors_of(kind):
        vectors = inputs.drug_vectors if kind is EntityKind.drug else inputs.cell_vectors
        masks += [known.known for known in vectors.values()]
        names.append("profile vectors")
    nobody = np.zeros(len(inputs.entities(kind)), dtype=bool)
    if lacking := _lacking(setup.dataset, kind, np.logical_or.reduce([nobody, *masks])):
        then = Estimator.unread if by_id else setup.kind.unread
        read = f"what {setup.spec.backbone} reads of them ({', '.join(names)})"
        progress.say(f"{lacking} have nothing of {read}: {then}")


def _lacking(dataset: DataSet, kind: EntityKind, mask: np.ndarray) -> str:
    """How many and which of the entities with triples a mask (n,) leaves out; empty where none."""
    triples, entities = dataset.triples, dataset.entities(kind)
    of_drugs = np.concatenate([triples.drug_a, triples.drug_b])
    there = np.unique(of_drugs if kind is EntityKind.drug else triples.cell_line)
    names = [entities[row].name for row in there if not mask[row]]
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} of {len(there)} {kind.value.replace('_', ' ')}s ({shown})" if names else ""
