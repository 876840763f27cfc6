"""Which data set, backbone and embedding store a run takes when it does not name them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.training.spec import TrainSpec

if TYPE_CHECKING:
    from l2aco.embeddings.store import EmbeddingStore
    from l2aco.workspace import Workspace

DEMO = "demo"
BACKBONE = "HGAT"
WITHOUT_GRAPH = "MLP"


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
    if spec.align.active:
        store = choose_store(workspace, name=spec.store, llm=spec.llm, encoder=spec.encoder)
        found |= {"store": store.name, "llm": None, "encoder": None}
    else:
        found |= {"store": None, "llm": None, "encoder": None}
    return spec.model_copy(update=found)


def choose_dataset(name: str | None, workspace: Workspace) -> str:
    """`name`, else the setting, else the only imported data set, else the demo."""
    from l2aco.data.dataset import list_datasets, open_dataset

    name = name or workspace.settings.dataset
    if name is not None:
        return open_dataset(name, workspace).name
    imported = [dataset.name for dataset in list_datasets(workspace) if dataset.name != DEMO]
    if len(imported) > 1:
        raise UsageError(
            f"there are {len(imported)} data sets: {', '.join(imported)}",
            remedy='Name one with --dataset, or in l2aco.toml: dataset = "' + imported[0] + '"',
        )
    return imported[0] if imported else DEMO


def choose_backbone(name: str | None, dataset: str, workspace: Workspace) -> str:
    """`name`, else the setting, else what fits the data set: without a knowledge graph, one that needs none."""
    from l2aco.data.dataset import open_dataset
    from l2aco.models.backbones import backbones

    name = name or workspace.settings.backbone
    if name is None:
        name = BACKBONE if open_dataset(dataset, workspace).has_graph else WITHOUT_GRAPH
    return backbones.get(name).name


def choose_store(
    workspace: Workspace, *, name: str | None = None, llm: str | None = None, encoder: str | None = None
) -> EmbeddingStore:
    """The store called `name`; else the newest of `llm` and `encoder`, where those of the settings come first
    and those of `fake` profiles last.

    Raises UsageError where `name` is a store of something else than `llm` and `encoder`.
    """
    from l2aco.embeddings.store import list_stores, open_store

    wanted = " and ".join(f"{what} '{value}'" for what, value in (("LLM", llm), ("encoder", encoder)) if value)
    if name is not None:
        named = open_store(name, workspace)
        if not _fits(named, llm, encoder, workspace):
            raise UsageError(f"the store {named.name} is not of {wanted}", remedy="Leave one of the two out.")
        return named
    stores = list_stores(workspace)
    if not stores:
        raise InputError("there is no embedding store, and alignment needs one", remedy=_way_to_a_store(workspace))
    fitting = [store for store in stores if _fits(store, llm, encoder, workspace)]
    if not fitting:
        raise InputError(
            f"no embedding store of {wanted}",
            remedy=f"There are {', '.join(store.name for store in stores)}. Name one with --store, or make one with "
            f"`l2aco profile{f' --llm {llm}' if llm else ''}` and `l2aco embed`.",
        )
    settings = workspace.settings

    def rank(store: EmbeddingStore) -> tuple[bool, bool, bool, float]:
        real = not store.name.casefold().startswith("fake")
        written = (store.path / "manifest.json").stat().st_mtime
        of_llm = _fits(store, settings.llm, None, workspace)
        return real, of_llm, _fits(store, None, settings.encoder, workspace), written

    return max(fitting, key=rank)


def _fits(store: EmbeddingStore, llm: str | None, encoder: str | None, workspace: Workspace) -> bool:
    """Whether a store called `<profile set>--<encoder>` is of this encoder and holds profiles of this LLM (any set of
    it), or of a set of that name."""
    profiles, _, used = store.name.casefold().partition("--")
    if encoder is not None and used != encoder.casefold():
        return False
    if llm is None:
        return True
    written_by = {name.casefold() for name in store.manifest.counts.get("llm", {})}
    return not {profiles, *written_by}.isdisjoint(_names_of(llm, workspace))


def _names_of(llm: str, workspace: Workspace) -> set[str]:
    """How an LLM may be called in a store: as the user does, and by its alias."""
    from l2aco.llm.catalog import resolve_model

    names = {llm.casefold()}
    with suppress(UnknownNameError):  # `reference` is a set of profiles and no model
        names.add(resolve_model(llm, workspace.settings).alias.casefold())
    return names


def _way_to_a_store(workspace: Workspace) -> str:
    from l2aco.profiles.sets import list_profile_sets

    alone = "Or train the backbone alone: --align none."
    if made := list_profile_sets(workspace, bundled=False):
        return f"Embed the profiles of {', '.join(item.name for item in made)}: l2aco embed. {alone}"
    return f"Make one: l2aco profile --llm reference, then l2aco embed --encoder minilm. {alone}"
