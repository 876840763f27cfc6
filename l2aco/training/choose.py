"""Which data set, backbone and embedding store a run takes when it does not name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from l2aco.errors import InputError, UsageError
from l2aco.files import sha256_file
from l2aco.models.backbones import backbones
from l2aco.models.estimator import Estimator
from l2aco.models.recipe import Recipe
from l2aco.models.spec import AlignSpec
from l2aco.runs.spec import TrainSpec

if TYPE_CHECKING:
    from l2aco.embeddings.store.store import EmbeddingStore
    from l2aco.workspace import Workspace

DEMO = "demo"
BACKBONE = "HGAT"
WITHOUT_GRAPH = "MLP"
READ_AT_ONCE = ("vectors", "draw", "missing")
"""Settings of the aligner that also say what a predictor reads that is fitted at once."""
PANEL = "reference-panel"
"""The bundled knowledge that needs no encoder."""


def complete(spec: TrainSpec, workspace: Workspace) -> TrainSpec:
    """The spec with data set, backbone, store and device filled in from the settings and what there is.

    Raises UnknownNameError for names that nothing answers to, UsageError where there is more than one choice
    and no reason to prefer one, and InputError where vectors are needed and there is no store.
    """
    settings = workspace.settings
    dataset = choose_dataset(spec.dataset, workspace)
    found: dict[str, object] = {
        "dataset": dataset,
        "backbone": choose_backbone(spec.backbone, dataset, workspace),
        "device": settings.device if spec.device == "auto" else spec.device,
    }
    from l2aco.models.assemble import parse_config

    kind = backbones.load(str(found["backbone"]))
    config = parse_config(kind, spec.config)
    reads = config.reads_vectors
    if issubclass(kind, Estimator):
        if unread := [name for name in Recipe.model_fields if getattr(spec, name) is not None]:
            raise UsageError(
                f"{found['backbone']} is fitted at once and has no {', '.join(unread)}",
                remedy=f"Leave that out; `l2aco backbones {found['backbone']}` shows its settings.",
            )
        if spec.offset != "none":
            raise UsageError(
                f"an offset is for networks to stand on, and {found['backbone']} is fitted at once",
                remedy="Leave out --offset, or name another --backbone.",
            )
        kept = {name: getattr(spec.align, name) for name in READ_AT_ONCE}
        found["align"] = AlignSpec(loss="none", standardise=False, **kept)
        stores = _stores_at_hand(spec, dataset, workspace) if reads else ()
    elif reads or spec.align.active:
        panel_alone = config.reads_panel and not (spec.align.active or spec.store or spec.llm or spec.encoder)
        stores = () if panel_alone else _named_stores(spec, dataset, workspace)
    else:
        stores = _stores_at_hand(spec, dataset, workspace) if spec.offset == "mixed" else ()
    if config.reads_panel and not spec.store:
        stores = _with_numbers(stores, dataset, workspace)
    if spec.align.vectors != "profiles" and not stores:
        raise UsageError(
            f"vectors = {spec.align.vectors} is a control of vectors that nothing reads",
            remedy="Leave out --vectors, or let --align, --fusion, --offset or --cell-features profile read a --store.",
        )
    found |= {"store": stores, "llm": None, "encoder": None}
    return spec.model_copy(update=found)


def read_by(spec: TrainSpec, workspace: Workspace) -> list[Any]:
    """What stands behind the names in a complete spec: the hash of the data set, and of the manifest of each store."""
    from l2aco.data.catalog import open_dataset

    stores = [sha256_file(workspace.embeddings / store / "manifest.json") for store in spec.store or ()]
    return [open_dataset(str(spec.dataset), workspace).hash, stores]


def check_names(options: Mapping[str, Any], workspace: Workspace) -> None:
    """Raises UnknownNameError for a name among `options` that nothing answers to, before anything heavy is loaded."""
    from l2aco.data.catalog import open_dataset
    from l2aco.embeddings.find import check_store_words
    from l2aco.embeddings.store.store import open_store

    if (backbone := options.get("backbone")) is not None:
        backbones.get(backbone)
    if (dataset := options.get("dataset")) is not None and dataset.casefold() != DEMO:
        open_dataset(dataset, workspace)
    for store in options.get("store") or ():
        open_store(store, workspace)
    check_store_words(workspace, llm=options.get("llm"), encoder=options.get("encoder"))


def choose_dataset(name: str | None, workspace: Workspace) -> str:
    """`name`, else the setting, else the only imported data set, else the demo, which is simulated on its first use."""
    from l2aco.data.catalog import list_datasets, open_or_simulate

    name = name or workspace.settings.dataset
    if name is not None:
        return open_or_simulate(name, workspace).name
    imported = [dataset.name for dataset in list_datasets(workspace) if dataset.name != DEMO]
    if len(imported) > 1:
        raise UsageError(
            f"there are {len(imported)} data sets: {', '.join(imported)}",
            remedy='Name one with --dataset, or in l2aco.toml: dataset = "' + imported[0] + '"',
        )
    return imported[0] if imported else open_or_simulate(DEMO, workspace).name


def choose_backbone(name: str | None, dataset: str, workspace: Workspace) -> str:
    """`name`, else the setting, else what fits the data set: without a knowledge graph, one that needs none."""
    from l2aco.data.catalog import open_dataset

    name = name or workspace.settings.backbone
    if name is None:
        name = BACKBONE if open_dataset(dataset, workspace).has_graph else WITHOUT_GRAPH
    return backbones.get(name).name


def _knows(dataset: str, workspace: Workspace) -> Callable[[EmbeddingStore], bool]:
    """Whether a store holds anybody of the data set: one of a newcomer that was asked about does not."""
    from l2aco.data.catalog import open_dataset
    from l2aco.embeddings.find import vectors_of
    from l2aco.entities import EntityKind

    held = open_dataset(dataset, workspace)
    return lambda store: any(vectors_of(store, kind, held.entities(kind))[1].any() for kind in EntityKind)


def _named_stores(spec: TrainSpec, dataset: str, workspace: Workspace) -> tuple[str, ...]:
    """The stores that the spec names, else the one that it describes."""
    from l2aco.embeddings.find import choose_store

    try:
        if spec.store:
            return tuple(choose_store(workspace, name, llm=spec.llm, encoder=spec.encoder).name for name in spec.store)
        suits = _knows(dataset, workspace)
        return (choose_store(workspace, None, llm=spec.llm, encoder=spec.encoder, suits=suits).name,)
    except InputError as error:
        ways = f"{error.remedy} Or train the backbone alone: --align none."
        raise InputError(f"{error.message}, and alignment needs one", where=error.where, remedy=ways) from None


def _with_numbers(stores: tuple[str, ...], dataset: str, workspace: Workspace) -> tuple[str, ...]:
    """These stores and, where none of them holds numbers, those at hand that do, else the bundled panel."""
    from l2aco.embeddings.embed import store_of_set
    from l2aco.embeddings.find import stores_of_sets
    from l2aco.embeddings.store.store import open_store

    if any(open_store(name, workspace).encoder.columns for name in stores):
        return stores
    knows = _knows(dataset, workspace)
    numbers = (store for store in stores_of_sets(workspace) if store.encoder.columns)
    at_hand = tuple(store.name for store in numbers if knows(store))
    return (*stores, *(at_hand or (store_of_set(PANEL, workspace),)))


def _stores_at_hand(spec: TrainSpec, dataset: str, workspace: Workspace) -> tuple[str, ...]:
    """What a backbone reads that takes all the knowledge it gets: the stores named or described, else the newest one of
    every profile set that knows anybody of the data set, but those of the fake, else the bundled panel."""
    from l2aco.embeddings.embed import store_of_set
    from l2aco.embeddings.find import choose_store, stores_of_sets

    if spec.store is not None:
        return tuple(choose_store(workspace, name).name for name in spec.store)
    if spec.llm is not None or spec.encoder is not None:
        return _named_stores(spec, dataset, workspace)
    at_hand = tuple(store.name for store in filter(_knows(dataset, workspace), stores_of_sets(workspace)))
    return at_hand or (store_of_set(PANEL, workspace),)
