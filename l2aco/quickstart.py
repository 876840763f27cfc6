"""The whole pipeline on the simulated demo: profiles, vectors, a suite of models beside their controls, a ranked list.

The suite `quickstart` trains a mixed-effects model with and without what a language model knows of cell lines, and a
graph backbone alone, aligned to profiles, to the same profiles shuffled between entities, and to random vectors. The
last two carry no knowledge, so only what the true profiles add beyond both is owed to what the language model wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from l2aco.data.catalog import DEMO, open_or_simulate
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    from l2aco.bench.report import Report
    from l2aco.recommend.recommendation import Recommendation

SUITE = "quickstart"
ENCODER = "minilm"
BEST = "Mixed + panel"
"""The arm that ranks pairs."""


@dataclass(frozen=True)
class Quickstart:
    """`report`: of the suite, saved in the first of `places`."""

    report: Report
    recommendation: Recommendation
    places: dict[str, Path]


def quickstart(workspace: Workspace, progress: Progress = Silent()) -> Quickstart:
    """Run it in `workspace`; what an earlier call finished is used again."""
    from l2aco.bench.execute import run_suite
    from l2aco.bench.report import make_report
    from l2aco.bench.suite import load_suite
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
    embed_profiles(EmbedSpec(sets=("reference",), encoder=ENCODER), workspace, progress)
    outcome = run_suite(load_suite(SUITE), workspace, progress)
    report = make_report(outcome, workspace, "l2aco quickstart")
    report.save(workspace.bench / SUITE)
    shown = next(run for cell, run in outcome.runs if cell.arm == BEST)
    places = {
        "report": workspace.bench / SUITE / "report.html",
        "data": dataset.path,
        "profiles": workspace.profiles / "reference",
        "embeddings": workspace.embeddings,
        "runs": workspace.runs,
        "run that ranked": shown.path,
    }
    return Quickstart(report, rank_pairs(shown, shown.manifest["held_out"][0]), places)
