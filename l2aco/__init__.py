"""L2aCo: LLM knowledge profiles for drug-combination research.

The pipeline, in order, with the package that holds each stage:

1. `entities`    drugs and cell lines, and how a name finds its entity
2. `profiles`    a language model (`llm`) writes a structured profile of every entity
3. `embeddings`  an encoder turns profiles into vectors, and a FAISS store keeps them
4. `data`        drug-combination triples, knowledge graph, features, splits that cannot leak
5. `models`      backbones that represent drugs and cell lines, and the aligner that grounds them in profiles
6. `training`    the one training loop, runs and their evaluation
7. `recommend`   a cell line in, ranked drug pairs out

Public names load on first use, so that `import l2aco` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "open": "l2aco.opening",
    "Workspace": "l2aco.workspace",
    "Entity": "l2aco.entities",
    "EntityKind": "l2aco.entities",
    "ProfileSpec": "l2aco.profiles.spec",
    "generate_profiles": "l2aco.profiles.generate",
    "ProfileSet": "l2aco.profiles.sets",
    "audit_set": "l2aco.profiles.audit.report",
    "EmbedSpec": "l2aco.embeddings.spec",
    "embed_profiles": "l2aco.embeddings.embed",
    "EmbeddingStore": "l2aco.embeddings.store.store",
    "search_text": "l2aco.embeddings.find",
    "search_entity": "l2aco.embeddings.find",
    "ImportSpec": "l2aco.data.importing",
    "import_dataset": "l2aco.data.importing",
    "DataSet": "l2aco.data.dataset",
    "table_in": "l2aco.data.features.compute",
    "SplitSpec": "l2aco.data.splits.spec",
    "make_split": "l2aco.data.splits.make",
    "TrainSpec": "l2aco.runs.spec",
    "train": "l2aco.training.train",
    "TuneSpec": "l2aco.training.tune",
    "tune": "l2aco.training.tune",
    "make_ensemble": "l2aco.training.ensemble",
    "Run": "l2aco.runs.run",
    "evaluate_run": "l2aco.runs.evaluate",
    "evaluate_naive": "l2aco.runs.evaluate",
    "compare_runs": "l2aco.runs.compare",
    "learned_vectors": "l2aco.runs.learned",
    "export_run": "l2aco.runs.keep",
    "import_runs": "l2aco.runs.keep",
    "rank_pairs": "l2aco.recommend.rank",
    "rank_lines": "l2aco.recommend.rank",
    "Recommendation": "l2aco.recommend.recommendation",
    "L2aCoError": "l2aco.errors",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'l2aco' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
