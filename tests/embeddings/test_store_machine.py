"""The store against a dict, under random upserts, deletes, compactions and reopenings."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from small_stores import SPEC, some_records

from l2aco.embeddings.store.repair import verify
from l2aco.embeddings.store.store import EmbeddingStore

numbers = st.integers(0, 12)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.store = EmbeddingStore.create(self.root / "store", SPEC)
        self.model: dict[str, tuple[str, np.ndarray]] = {}

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(chosen=st.lists(numbers, min_size=1, max_size=5, unique=True), seed=st.integers(0, 1000))
    def upsert(self, chosen, seed):
        vectors = np.random.default_rng(seed).normal(size=(len(chosen), 16)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        report = self.store.upsert(some_records(chosen, text=f"text {seed}"), vectors)
        assert report.replaced == sum(f"E{number}" in self.model for number in chosen)
        assert report.added + report.replaced == len(chosen)
        self.model |= {f"E{number}": (f"text {seed}", row) for number, row in zip(chosen, vectors, strict=True)}

    @rule(number=numbers)
    def delete(self, number):
        assert self.store.delete(where={"id": f"E{number}"}) == (f"E{number}" in self.model)
        self.model.pop(f"E{number}", None)

    @rule()
    def compact(self):
        self.store.compact()
        assert self.store.manifest.total == len(self.model)

    @rule()
    def optimise(self):
        self.store.optimise()

    @rule()
    def reopen(self):
        self.store = EmbeddingStore.open(self.store.path)

    @invariant()
    def holds_what_the_dict_holds(self):
        frame = self.store.records(text=True)
        assert dict(frame.select("id", "text").iter_rows()) == {key: text for key, (text, _) in self.model.items()}
        assert len(self.store) == frame.height == self.store.manifest.counts["records"]
        for kind in ("drug", "cell_line"):
            ids = frame.filter(kind=kind)["id"].to_list()
            table, mask = self.store.vectors(kind, ids)
            assert mask.all()
            for id_, row in zip(ids, table, strict=True):
                np.testing.assert_allclose(row, self.model[id_][1], atol=1e-6)

    @invariant()
    def finds_the_nearest(self):
        query = np.linspace(-1, 1, 16)
        hits = self.store.search(query, k=3)
        scores = sorted((float(row @ query) for _, row in self.model.values()), reverse=True)[:3]
        assert np.allclose([hit.score for hit in hits], np.array(scores) / np.linalg.norm(query), atol=1e-5)

    @invariant()
    def verifies(self):
        assert verify(self.store.path) == []


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=12, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
