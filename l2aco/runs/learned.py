"""What a network has learned of each drug and cell line, as vectors for maps and for other people's models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.entities import EntityKind
from l2aco.errors import UsageError
from l2aco.files import atomic_path
from l2aco.models.backbones import backbones
from l2aco.runs.ensemble import ENSEMBLE

if TYPE_CHECKING:
    import polars as pl

    from l2aco.runs.run import Run


def learned_vectors(run: Run | str, device: str = "auto") -> pl.DataFrame:
    """The polars table kind, id, name, vector (list of float32): drugs and cell lines in the run's order.

    A vector is what the run's score reads of an entity, profiles that are fused into it included; its length is that of
    the kind. Raises UsageError where the model is fitted at once and learns no vectors.
    """
    import polars as pl

    from l2aco.runs.run import open_run

    run = open_run(run)
    if run.spec.backbone == ENSEMBLE:
        raise UsageError("an ensemble has no vectors of its own", remedy="Name one of its members.")
    from l2aco.models.estimator import Estimator

    if issubclass(backbones.load(str(run.spec.backbone)), Estimator):
        raise UsageError(
            f"{run.spec.backbone} is fitted at once and learns no vectors",
            remedy="Name a run of a network, or export what it read: l2aco store export.",
        )
    from l2aco.runs.network import Network

    scorer = run.predictor(device).scorer
    assert isinstance(scorer, Network)
    frames = [
        pl.DataFrame(
            {
                "kind": kind.value,
                "id": [entity.id for entity in run.entities(kind)],
                "name": [entity.name for entity in run.entities(kind)],
                "vector": pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32)),
            }
        )
        for kind, vectors in scorer.learned().items()
    ]
    return pl.concat(frames)


def write_learned(run: Run, path: Path, *, device: str = "auto", replace: bool = False) -> dict[str, int]:
    """`learned_vectors` as Parquet, written atomically; returns the vectors' length by kind."""
    if path.exists() and not replace:
        raise UsageError("exists already", where=path, remedy="Name another file, or pass --force to replace it.")
    found = learned_vectors(run, device)
    with atomic_path(path) as partial:
        found.write_parquet(partial)
    return {kind.value: len(found.filter(kind=kind.value)["vector"][0]) for kind in EntityKind}
