"""A tiny BERT as an encoder, and stores of random vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from small_stores import SPEC, save_bert, some_records, some_vectors, tiny_settings

from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.workspace import Workspace


@pytest.fixture(scope="session")
def tiny_bge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("models") / "tiny-bge-en")


@pytest.fixture
def tiny_workspace(workspace: Workspace, tiny_bge: Path) -> Workspace:
    (workspace.root / "l2aco.toml").write_text(tiny_settings(tiny_bge))
    return Workspace(workspace.root)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., EmbeddingStore]:
    """`make_store(rows)` is a store of random unit vectors; row n is entity n."""

    def make(rows: int, dimension: int = 16, name: str = "store") -> EmbeddingStore:
        spec = SPEC.model_copy(update={"dimension": dimension})
        store = EmbeddingStore.create(tmp_path / name, spec)
        store.upsert(some_records(range(rows)), some_vectors(rows, dimension))
        return store

    return make
