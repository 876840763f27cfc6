"""AUROC of every backbone: alone, aligned, and aligned to vectors that know nothing, beside the naive predictors.

    python benchmarks/quality/backbones.py --dataset drugcombdb --store reference--minilm

One fold and one seed of each setting, with the backbones' default recipes but for the epochs (`EPOCHS`, the same for
all models of a row) and the patience: some four hours of one CPU core on DrugCombDB. Every run stays in the
workspace and is not trained again, so that the command goes on where it was stopped, and two processes may share the
work (`--backbones GCN,HGAT`); given once more for all of them, it prints the tables.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import time
from itertools import product
from typing import Any

import torch

from l2aco.data.splits.spec import SplitSpec
from l2aco.models.spec import AlignSpec
from l2aco.runs.spec import TrainSpec
from l2aco.training.train import train
from l2aco.workspace import Workspace

EPOCHS = {"GCN": 100, "SAGE": 30, "KGNN": 30, "GAT": 60, "HGAT": 60, "RGCN": 20, "HAN": 20, "MLP": 120}
"""At most: fewer where an epoch takes long."""
PATIENCE = 12
SETTINGS = "random,novel-cell,novel-drug"
VARIANTS: dict[str, dict[str, Any]] = {
    "alone": {"loss": "none"},
    "aligned, batch": {},
    "aligned, all": {"scope": "all"},
    "shuffled": {"vectors": "shuffled"},
    "random vectors": {"vectors": "random"},
}
NAIVE = ("pair mean", "pair + cell mean", "partner mean", "profile kNN over cell lines", "profile kNN over drugs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", default=".")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--backbones", default=",".join(EPOCHS))
    parser.add_argument("--settings", default=SETTINGS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dropout", type=float, help="Of all backbones, instead of their defaults.")
    given = parser.parse_args()
    names, settings = given.backbones.split(","), given.settings.split(",")
    found = {cell: metrics(*cell, given) for cell in product(settings, names, VARIANTS)}
    print(where(given))
    for setting in settings:
        print(f"\n### {setting}\n\n" + table(setting, names, found))


def metrics(setting: str, backbone: str, variant: str, given: argparse.Namespace) -> dict[str, Any]:
    """What the run of one cell of the tables saved."""
    align = AlignSpec(**VARIANTS[variant])
    spec = TrainSpec(
        dataset=given.dataset,
        backbone=backbone,
        config={} if given.dropout is None else {"dropout": given.dropout},
        split=SplitSpec(setting=setting),
        align=align,
        store=given.store if align.active else None,
        epochs=EPOCHS[backbone],
        patience=PATIENCE,
        seed=given.seed,
    )
    run = train(spec, Workspace(given.workspace), reuse=True)
    values, facts = run.metrics["test"]["pooled"], run.metrics["training"]
    print(f"{run.id}: {values['auroc']:.3f} after {facts['epochs']} epochs, {facts['seconds']:.0f} s", flush=True)
    return run.metrics


def table(setting: str, names: list[str], found: dict[tuple[str, str, str], dict[str, Any]]) -> str:
    """Backbones by variants, and the naive predictors of the same rows."""
    naive = {row["model"]: row["auroc"] for row in found[setting, names[0], "aligned, batch"]["baselines"]}
    known = ", ".join(f"{name} {naive[name]:.3f}" for name in NAIVE if naive.get(name, 0.5) != 0.5)
    lines = [f"Naive: {known}.", "", "| backbone | epochs | " + " | ".join(VARIANTS) + " |"]
    lines.append("|---" * (len(VARIANTS) + 2) + "|")
    for backbone in names:
        values = [found[setting, backbone, variant]["test"]["pooled"]["auroc"] for variant in VARIANTS]
        lines.append(f"| {backbone} | {EPOCHS[backbone]} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return "\n".join(lines)


def where(given: argparse.Namespace) -> str:
    """What was run, on what machine, commit and date."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return (
        f"{given.dataset}, fold 0, seed {given.seed}; "
        f"{os.cpu_count()} CPU cores, {platform.machine()}, torch {torch.__version__}, commit {commit.stdout.strip()}, "
        f"{time.strftime('%Y-%m-%d')}"
    )


if __name__ == "__main__":
    main()
