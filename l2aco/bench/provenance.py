"""Where a report comes from: the command, the code, the data and the machine. All else in it is the same each time."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import l2aco
from l2aco.bench.execute import Outcome
from l2aco.files import sha256_file, stable_hash
from l2aco.runs.environment import describe_machine
from l2aco.workspace import Workspace


@dataclass(frozen=True)
class Provenance:
    """`commit`: of the checkout that ran, with -dirty where it was changed; None where L2aCo was installed. Hashes are
    of the content: data sets by name, splits by what they are, vectors by their stores, predictions from elsewhere by
    their arms. `suite`: which of those of its name, as `Suite.origin`."""

    command: str
    date: str
    commit: str | None
    machine: dict[str, Any]
    datasets: dict[str, str]
    splits: dict[str, str]
    vectors: dict[str, str]
    predictions: dict[str, str]
    suite: str

    def facts(self) -> list[tuple[str, str]]:
        """What and its value, in words; the splits as one hash of them all."""
        packages = ", ".join(f"{name} {version}" for name, version in self.machine["packages"].items() if version)
        return [
            ("command", self.command),
            ("date", self.date),
            ("commit", self.commit or "installed, not a checkout"),
            *((f"data set {name}", value) for name, value in self.datasets.items()),
            *((f"vectors of {name}", value) for name, value in self.vectors.items()),
            *((f"predictions of {name}", value) for name, value in self.predictions.items()),
            (f"{len(self.splits)} splits together", stable_hash(self.splits)),
            ("machine", f"{self.machine['platform']}, {self.machine['cpu_count']} CPU cores"),
            ("versions", f"python {self.machine['python']}, {packages}"),
        ]


def provenance(outcome: Outcome, workspace: Workspace, command: str) -> Provenance:
    """Of a suite that has run."""
    datasets, splits, vectors = {}, {}, {}
    for cell, run in outcome.runs:
        dataset, setting, seed, fold = cell.where
        datasets[dataset] = str(run.manifest["dataset_hash"])
        splits[f"{dataset}, {setting}, seed {seed}, fold {fold}"] = str(run.manifest["split_hash"])
        if run.spec.store:
            vectors[", ".join(run.spec.store)] = str(run.manifest["vectors_hash"])
    return Provenance(
        command,
        datetime.now(UTC).isoformat(timespec="seconds"),
        commit_of(Path(l2aco.__file__).parents[1]),
        describe_machine(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)),
        dict(sorted(datasets.items())),
        dict(sorted(splits.items())),
        dict(sorted(vectors.items())),
        {arm.name: sha256_file(arm.predictions) for arm in outcome.suite.arms if arm.predictions is not None},
        outcome.suite.origin(workspace),
    )


def commit_of(folder: Path) -> str | None:
    """The commit that a checkout stands at; None where it is none, or where there is no git."""
    if (folder / ".git").exists():
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        with suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return None
