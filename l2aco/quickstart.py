"""The whole pipeline on the simulated demo: profiles, vectors, models with and without them, a ranked list.

Every fold of the novel-cell setting is trained four times: the backbone alone, aligned to the profiles, aligned to
the same profiles shuffled between entities, and aligned to random vectors. The last two carry no knowledge, so only
what the true profiles add beyond both is owed to what the language model wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.data.catalog import DEMO, open_or_simulate
from l2aco.files import write_text
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    from l2aco.recommend.recommendation import Recommendation
    from l2aco.runs.run import Run
    from l2aco.runs.spec import TrainSpec

FOLDS = 5
ENCODER = "minilm"
BACKBONE = "HGAT"
BARE, PROFILES = f"{BACKBONE} alone", f"{BACKBONE} + profiles"
SHUFFLED, RANDOM = f"{BACKBONE} + shuffled profiles", f"{BACKBONE} + random vectors"
NAIVE = ("drug mean", "pair mean", "additive mean")
SHOWN = ("auroc", "auprc", "macro_auroc")


@dataclass(frozen=True)
class Quickstart:
    """`rows`: mean test metrics over the folds, one row a model; `verdict`: what they say, in one sentence."""

    rows: list[dict[str, Any]]
    verdict: str
    recommendation: Recommendation
    places: dict[str, Path]


def quickstart(workspace: Workspace, progress: Progress = Silent()) -> Quickstart:
    """Run it in `workspace`; what an earlier call finished is used again."""
    from l2aco.embeddings.embed import embed_profiles
    from l2aco.embeddings.spec import EmbedSpec
    from l2aco.profiles.generate import generate_profiles
    from l2aco.profiles.spec import ProfileSpec
    from l2aco.recommend.rank import rank_pairs

    dataset = open_or_simulate(DEMO, workspace)
    counts = dataset.manifest["counts"]
    progress.say(
        f"SIMULATED demo data: {counts['triples']:,} triples of {counts['drugs']} drugs and "
        f"{counts['cell_lines']} cell lines, graph of {counts['nodes']} nodes."
    )
    generate_profiles(ProfileSpec(llm="reference"), [*dataset.drugs, *dataset.cell_lines], workspace, progress)
    embed_profiles(EmbedSpec(encoder=ENCODER), workspace, progress)
    runs = _train(workspace, progress)
    first = runs[PROFILES][0]
    held_out = first.manifest["held_out"][0]
    found = Quickstart(
        rows=_table(runs),
        verdict=_verdict(runs),
        recommendation=rank_pairs(first, held_out),
        places={
            "report": workspace.root / "report.md",
            "data": dataset.path,
            "profiles": workspace.profiles / "reference",
            "embeddings": workspace.embeddings / f"reference--{ENCODER}",
            "runs": workspace.runs,
            "best run to look at": first.path,
        },
    )
    write_text(found.places["report"], _report(found))
    return found


def specs() -> dict[str, list[TrainSpec]]:
    """The runs of the quickstart, one list of folds a model."""
    from l2aco.data.splits.spec import SplitSpec
    from l2aco.models.spec import AlignSpec
    from l2aco.runs.spec import TrainSpec

    aligned: dict[str, Any] = {"loss": "infonce", "fusion": "gate"}
    recipe: dict[str, Any] = {"batch_size": 512, "epochs": 40, "patience": 10, "learning_rate": 3e-3}
    choices = {
        BARE: [AlignSpec(loss="none")] * FOLDS,
        RANDOM: [AlignSpec(**aligned, vectors="random", draw=fold) for fold in range(FOLDS)],
        SHUFFLED: [AlignSpec(**aligned, vectors="shuffled", draw=fold) for fold in range(FOLDS)],
        PROFILES: [AlignSpec(**aligned)] * FOLDS,
    }
    return {
        name: [
            TrainSpec(
                dataset=DEMO,
                backbone=BACKBONE,
                split=SplitSpec(setting="novel-cell", fold=fold, folds=FOLDS),
                align=align,
                store=f"reference--{ENCODER}" if align.active else None,
                **recipe,
            )
            for fold, align in enumerate(folds)
        ]
        for name, folds in choices.items()
    }


def _train(workspace: Workspace, progress: Progress) -> dict[str, list[Run]]:
    from l2aco.training.train import train

    planned = specs()
    runs: dict[str, list[Run]] = {name: [] for name in planned}
    with progress.task("training", total=sum(map(len, planned.values())), unit="runs") as advance:
        for name, folds in planned.items():
            for fold, spec in enumerate(folds):
                advance(0, f"{name}, fold {fold}")
                runs[name].append(train(spec, workspace, reuse=True))
                advance(1)
    return runs


def _table(runs: dict[str, list[Run]]) -> list[dict[str, Any]]:
    naive: dict[str, list[dict[str, Any]]] = {}
    for run in runs[BARE]:
        for row in run.metrics["baselines"]:
            if row["model"] in NAIVE:
                naive.setdefault(row["model"], []).append(row)
    own = {
        name: [{**run.metrics["test"]["pooled"], "macro_auroc": run.metrics["test"]["macro"]["auroc"]} for run in folds]
        for name, folds in runs.items()
    }
    return [{"model": name, **_mean(rows)} for name, rows in {**naive, **own}.items()]


def _mean(rows: list[dict[str, Any]]) -> dict[str, float]:
    import numpy as np

    return {name: float(np.mean([row[name] for row in rows])) for name in SHOWN}


def _auroc(runs: list[Run]) -> list[float]:
    return [run.metrics["test"]["pooled"]["auroc"] for run in runs]


def _verdict(runs: dict[str, list[Run]]) -> str:
    parts = []
    for other, name in ((SHUFFLED, "shuffled ones"), (RANDOM, "random vectors"), (BARE, "none at all")):
        gains = [a - b for a, b in zip(_auroc(runs[PROFILES]), _auroc(runs[other]), strict=True)]
        mean, better = sum(gains) / len(gains), sum(gain > 0 for gain in gains)
        direction = "more" if mean > 0 else "less"
        parts.append(f"{abs(mean):.3f} AUROC {direction} than {name} (better in {better} of {len(gains)} folds)")
    return f"On this SIMULATED data the true profiles score {'; '.join(parts)}."


def _report(found: Quickstart) -> str:
    head = "| model | AUROC | AUPRC | AUROC within a line |\n| --- | --- | --- | --- |"
    body = "\n".join(
        f"| {row['model']} | " + " | ".join(f"{row[name]:.3f}" for name in SHOWN) + " |" for row in found.rows
    )
    pairs = "\n".join(
        f"{pair.rank}. {pair.drug_a} + {pair.drug_b}: {pair.probability:.3f}" for pair in found.recommendation.pairs
    )
    return (
        "# L2aCo quickstart: SIMULATED data\n\n"
        "Real names, invented measurements: nothing here says anything about a real drug.\n\n"
        f"Cell lines never seen in training, mean of {FOLDS} folds:\n\n{head}\n{body}\n\n{found.verdict}\n\n"
        f"## Top pairs\n\n{found.recommendation.caption}\n\n{pairs}\n"
    )
