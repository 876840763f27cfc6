"""What a store is, for people: one line of a list, or everything about one."""

from __future__ import annotations

from typing import Any

from l2aco.embeddings.store.store import EmbeddingStore


def summarise(store: EmbeddingStore) -> dict[str, Any]:
    """What a list of stores says about each."""
    manifest = store.manifest
    return {
        "store": store.name,
        "records": len(store),
        "dimension": store.dimension,
        "encoder": store.encoder.name,
        "index": manifest.index.kind if manifest.index else "flat",
        "generation": manifest.generation,
        "written": manifest.created_at,
    }


def describe(store: EmbeddingStore) -> dict[str, Any]:
    """The facts of a store, in the order in which one wants to read them."""
    manifest = store.manifest
    counts = manifest.counts
    return {
        "store": store.name,
        "records": len(store),
        **{name: counts[name] for name in ("kind", "set", "llm", "long") if name in counts},
        "encoder": manifest.encoder.name,
        "model": manifest.encoder.model,
        "revision": manifest.encoder.revision,
        "pooling": manifest.encoder.pooling,
        "window": manifest.encoder.window,
        "longer_texts": manifest.encoder.long,
        "dimension": manifest.dimension,
        "metric": manifest.metric,
        "normalised": manifest.normalised,
        "precision": sorted({segment.precision for segment in manifest.segments}),
        "index": manifest.index.model_dump(exclude={"file"}) if manifest.index else "flat (exact)",
        "generation": manifest.generation,
        "written": manifest.created_at,
        "segments": len(manifest.segments),
        "replaced_or_deleted_rows": manifest.dead_rows,
        "bytes": manifest.bytes,
    }
