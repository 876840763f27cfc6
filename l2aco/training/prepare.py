"""From a spec to everything that a fit or a prediction needs: data, split, vectors, model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from l2aco.data.catalog import open_dataset
from l2aco.data.dataset import DataSet
from l2aco.data.features.response import RESPONSE, origin
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import Split
from l2aco.errors import UsageError
from l2aco.models.alignment import Aligner
from l2aco.models.assemble import build_model, load_inputs, parse_config, with_vectors
from l2aco.models.backbones import backbones
from l2aco.models.base import Backbone
from l2aco.models.estimator import Estimator
from l2aco.models.inputs import Inputs
from l2aco.models.offset import inputs_of_offset
from l2aco.models.recipe import Recipe
from l2aco.models.vectors import Knowledge
from l2aco.progress import Progress, Silent
from l2aco.runs.knowledge import load_knowledge
from l2aco.runs.spec import TrainSpec
from l2aco.training.choose import complete

if TYPE_CHECKING:
    from l2aco.workspace import Workspace


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
    knowledge = load_knowledge(spec.store or (), dataset, workspace, progress)
    for known in knowledge:
        _report_missing(known, dataset, progress, aligned=not issubclass(kind, Estimator))
        if spec.align.loss == "regression" and not known.columns:
            progress.say(f"{known.store} holds text and no numbers: regression leaves it out")
    triples, train = dataset.triples, split.train
    inputs = load_inputs(
        kind,
        dataset,
        spec.config,
        train_drugs=np.union1d(triples.drug_a[train], triples.drug_b[train]),
        train_cells=np.unique(triples.cell_line[train]),
    )
    if spec.offset != "none":
        inputs = replace(inputs, below=[inputs_of_offset(inputs, spec.align, knowledge, seed=spec.seed)])
    if spec.align.active or parse_config(kind, spec.config).reads_vectors:
        inputs = with_vectors(inputs, spec.align, knowledge, seed=spec.seed)
    setup = Setup(spec, kind, dataset, split, knowledge, inputs)
    return _of_estimator(setup, kind) if issubclass(kind, Estimator) else _of_network(setup, progress)


def _of_estimator(setup: Setup, kind: type[Estimator]) -> Setup:
    spec = setup.spec
    config = parse_config(kind, spec.config).model_dump(mode="json", exclude_none=True)
    return replace(setup, spec=spec.model_copy(update={"config": config}))


def _of_network(setup: Setup, progress: Progress) -> Setup:
    spec = setup.spec
    model = build_model(str(spec.backbone), spec.config, setup.inputs, spec.align, seed=spec.seed)
    _report_unmeasured(model, setup.dataset, progress)
    recipe = spec.recipe(model.recipe)
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


def _report_missing(knowledge: Knowledge, dataset: DataSet, progress: Progress, *, aligned: bool) -> None:
    what_then = "nothing is known of them there"
    if aligned:
        what_then = (
            "they take the mean vector and are left out of alignment (--set align.missing=refuse to stop instead)"
        )
    for lacking in _lacking(dataset, knowledge.drug_mask, knowledge.cell_mask):
        progress.say(f"{lacking} have no vector in {knowledge.store}: {what_then}")


def _report_unmeasured(model: Aligner, dataset: DataSet, progress: Progress) -> None:
    masks = model.backbone.measured()
    if masks is not None:
        reads = ", ".join(sorted(name.replace("_", " ") for name in model.backbone.requires))
        for lacking in _lacking(dataset, masks[0].numpy(), masks[1].numpy()):
            progress.say(
                f"{lacking} have nothing of what {type(model.backbone).__name__} reads ({reads}): it knows them by "
                "their ids alone"
            )


def _lacking(dataset: DataSet, drug_mask: np.ndarray, cell_mask: np.ndarray) -> Iterator[str]:
    """For each kind, how many and which of the entities with triples a mask (n,) leaves out."""
    triples = dataset.triples
    for what, entities, mask, rows in (
        ("drugs", dataset.drugs, drug_mask, np.concatenate([triples.drug_a, triples.drug_b])),
        ("cell lines", dataset.cell_lines, cell_mask, triples.cell_line),
    ):
        measured = np.unique(rows)
        if names := [entities[row].name for row in measured if not mask[row]]:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            yield f"{len(names)} of {len(measured)} {what} ({shown})"
