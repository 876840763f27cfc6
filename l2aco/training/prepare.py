"""From a spec to everything that a fit or a prediction needs: data, split, vectors, model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.dataset import DataSet, open_dataset
from l2aco.data.splits import Split, make_split
from l2aco.entities import EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.models.assemble import ScoringModel, build_model
from l2aco.progress import Progress, Silent
from l2aco.training.choose import complete
from l2aco.training.spec import Recipe, TrainSpec

if TYPE_CHECKING:
    from l2aco.workspace import Workspace


@dataclass(frozen=True)
class Knowledge:
    """Profile vectors for the entities of a data set, in their order; zero rows where the mask is False.

    `drug_vectors` (Nd, D) and `cell_vectors` (Nc, D) float32, `drug_mask` (Nd,) and `cell_mask` (Nc,) bool.
    """

    store: str
    encoder: str
    drug_vectors: np.ndarray
    drug_mask: np.ndarray
    cell_vectors: np.ndarray
    cell_mask: np.ndarray

    @property
    def hash(self) -> str:
        """Hex SHA-256 of the vectors and masks: what a run depends on, whatever else the store holds."""
        digest = hashlib.sha256()
        for array in (self.drug_vectors, self.drug_mask, self.cell_vectors, self.cell_mask):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def arguments(self) -> dict[str, np.ndarray]:
        """Keyword arguments of `build_model`."""
        names = ("drug_vectors", "drug_mask", "cell_vectors", "cell_mask")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Setup:
    """What a complete spec leads to. `spec` holds every value that was chosen, `recipe` those of optimisation."""

    spec: TrainSpec
    recipe: Recipe
    dataset: DataSet
    split: Split
    knowledge: Knowledge | None
    model: ScoringModel


def prepare(spec: TrainSpec, workspace: Workspace, progress: Progress = Silent()) -> Setup:
    """Complete the spec, load what it names and build the untrained model from its seed."""
    given = spec.store or spec.llm or spec.encoder
    spec = complete(spec, workspace)
    if given is not None and spec.store is None:
        progress.say(f"{given} is not used: neither --align nor --fusion reads profile vectors")
    assert spec.dataset is not None and spec.backbone is not None
    dataset = open_dataset(spec.dataset, workspace)
    split = make_split(dataset, spec.split)
    knowledge = load_knowledge(spec.store, dataset, workspace) if spec.store is not None else None
    if knowledge is not None:
        _report_missing(knowledge, dataset, progress)
    triples = dataset.triples
    train = split.train
    model = build_model(
        spec.backbone,
        spec.config,
        dataset,
        spec.align,
        train_drugs=np.union1d(triples.drug_a[train], triples.drug_b[train]),
        train_cells=np.unique(triples.cell_line[train]),
        seed=spec.seed,
        **(knowledge.arguments() if knowledge is not None else {}),
    )
    _report_unmeasured(model, dataset, progress)
    recipe = spec.recipe(model.optimizer_defaults)
    config = model.backbone.config.model_dump(mode="json", exclude_none=True)
    if recipe.compile and "neighbours" in config:
        raise UsageError(
            "compile and neighbours do not go together: every step of sampled neighbours has other shapes",
            remedy="Leave one of them out.",
        )
    spec = spec.model_copy(update={**recipe.model_dump(), "config": config, "align": model.spec})
    return Setup(spec, recipe, dataset, split, knowledge, model)


def load_knowledge(store_name: str, dataset: DataSet, workspace: Workspace) -> Knowledge:
    """The vectors of a data set's entities out of the store; raises InputError where it has none of a kind."""
    from l2aco.embeddings.find import vectors_of
    from l2aco.embeddings.store import open_store

    store = open_store(store_name, workspace)
    found: dict[str, Any] = {}
    for prefix, kind, entities in (
        ("drug", EntityKind.drug, dataset.drugs),
        ("cell", EntityKind.cell_line, dataset.cell_lines),
    ):
        vectors, mask = vectors_of(store, kind, entities)
        if not mask.any():
            raise InputError(
                f"the store {store.name} holds none of the {len(entities)} {prefix} entities of {dataset.name}",
                remedy="Profile and embed them (l2aco profile, l2aco embed), or name another store with --store.",
            )
        found |= {f"{prefix}_vectors": vectors, f"{prefix}_mask": mask}
    return Knowledge(store=store.name, encoder=store.encoder.name, **found)


def _report_missing(knowledge: Knowledge, dataset: DataSet, progress: Progress) -> None:
    for lacking in _lacking(dataset, knowledge.drug_mask, knowledge.cell_mask):
        progress.say(
            f"{lacking} have no vector in {knowledge.store}: they take the mean vector and are left out of alignment "
            "(--set align.missing=refuse to stop instead)"
        )


def _report_unmeasured(model: ScoringModel, dataset: DataSet, progress: Progress) -> None:
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
