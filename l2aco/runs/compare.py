"""Runs side by side: the settings in which they differ, and their test metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from l2aco.runs.evaluate import result_row
from l2aco.runs.run import Run, open_run


def compare_runs(runs: Sequence[Run | str]) -> list[dict[str, Any]]:
    """One row a run: its id, every setting that is not the same in all of them, and the metrics.

    `same_test` says whether the test rows and their labels are those of the first run: only then do the numbers
    compare.
    """
    opened = [open_run(run) for run in runs]
    flat = [flatten(run.spec.model_dump(mode="json")) for run in opened]
    names = list(dict.fromkeys(name for spec in flat for name in spec))
    differing = [name for name in names if len({repr(spec.get(name)) for spec in flat}) > 1]
    tested = [run.tested() for run in opened]
    rows = []
    for run, spec, rows_of_test in zip(opened, flat, tested, strict=True):
        metrics = result_row(run.id, run.metrics["test"])
        rows.append(
            {
                "run": metrics.pop("model"),
                "same_test": rows_of_test.equals(tested[0]),
                "auroc": metrics.pop("auroc"),
                **{name: spec.get(name) for name in differing},
                **metrics,
            }
        )
    return rows


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one level of dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
