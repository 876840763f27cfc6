"""Write the numbers of docs/data.md from the public files themselves.

    python docs/data_numbers.py [PLACE] [--check]

PLACE is a local copy of the public files (what `l2aco data fetch --from` takes); without it they are fetched. With
--check nothing is written, and the exit code is 1 where the page is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.fetch import FetchSpec, fetch_dataset
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import SplitSpec
from l2aco.metrics import compute
from l2aco.runs.naive import predict_naive
from l2aco.workspace import Workspace

PAGE = Path(__file__).parent / "data.md"
MARKS = "<!-- numbers: python docs/data_numbers.py -->\n", "<!-- end of numbers -->\n"
NAMES = ("drugcombdb", "oncology-screen", "oneil", "drugcombdb-cid")
ROWS = {
    "rows": "rows read",
    "self_pairs": "self-pairs dropped",
    "repeats": "repeated measurements merged",
    "repeats_swapped": "of these in swapped order",
    "shipped_labels_against_scores": "shipped labels against the score rule",
    "shipped_labels_in_gap": "of these in the gap",
    "ties": "ties dropped",
    "triples": "triples",
    "positives": "of these synergistic",
    "outliers": "scores flagged as outliers",
    "drugs_with_triples": "drugs with triples",
    "cell_lines_with_triples": "cell lines with triples",
}
SETTINGS = ("novel-cell", "novel-drug", "random")


def tables(datasets: dict[str, DataSet]) -> Iterator[str]:
    """The generated part of the page, line by line."""
    yield "| | " + " | ".join(datasets) + " |"
    yield "|---|" + "---|" * len(datasets)
    for key, words in ROWS.items():
        cells = [dataset.manifest["report"].get(key) for dataset in datasets.values()]
        yield f"| {words} | " + " | ".join("" if cell is None else f"{cell:,}" for cell in cells) + " |"
    for key in ("drugs", "cell_lines", "nodes", "edges"):
        words = {
            "drugs": "drugs known",
            "cell_lines": "cell lines known",
            "nodes": "graph nodes",
            "edges": "directed edges",
        }[key]
        yield f"| {words} | " + " | ".join(f"{d.manifest['counts'][key]:,}" for d in datasets.values()) + " |"
    graph = datasets["drugcombdb"].graph
    assert graph is not None
    nodes = ", ".join(f"{len(ids):,} {kind}" for kind, ids in graph.nodes.items())
    yield f"\nThe graph of DrugCombDB: {nodes}; {datasets['drugcombdb'].manifest['report']['protein_self_pairs']:,} self-pairs of the protein network dropped.\n"  # noqa: E501
    yield "Noise: what one measurement of DrugCombDB tells of its repeat (95% interval over drug pairs).\n"
    noise = datasets["drugcombdb"].manifest["replicates"]
    yield f"| measured twice | {noise['triples']:,} triples of {noise['pairs']} drug pairs, {noise['identical_scores']} with identical scores |"  # noqa: E501
    yield "|---|---|"
    for key, words in {
        "correlation": "correlation of the scores",
        "label_agreement": "labels agree",
        "auroc_first_from_second": "AUROC of the second score for the first label",
        "auroc_second_from_first": "AUROC of the first score for the second label",
    }.items():
        low, high = noise[f"{key}_interval"]
        yield f"| {words} | {noise[key]:.3f} ({low:.3f} to {high:.3f}) |"
    yield "\nNaive predictors, mean AUROC of 5 folds, seed 0 (those that say the same of every row are left out).\n"
    yield (
        "| predictor | "
        + " | ".join(f"{name}, {setting}" for name in ("drugcombdb", "oneil") for setting in SETTINGS)
        + " |"
    )
    yield "|---|" + "---|" * (2 * len(SETTINGS))
    columns = [baselines(datasets[name], setting) for name in ("drugcombdb", "oneil") for setting in SETTINGS]
    for predictor in dict.fromkeys(name for column in columns for name in column):
        cells = [f"{column[predictor]:.3f}" if predictor in column else "" for column in columns]
        if any(cells):
            yield f"| {predictor} | " + " | ".join(cells) + " |"


def baselines(dataset: DataSet, setting: str) -> dict[str, float]:
    """Mean AUROC by predictor over the folds."""
    found: dict[str, list[float]] = {}
    for fold in range(5):
        split = make_split(dataset, SplitSpec(setting=setting, fold=fold))
        for name, probabilities in predict_naive(dataset, split).items():
            if np.ptp(probabilities) > 1e-9:
                auroc = compute(dataset.triples.label[split.test], probabilities, names=["auroc"])["auroc"]
                found.setdefault(name, []).append(auroc)
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", nargs="?")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        datasets = {name: fetch_dataset(FetchSpec(public=name, origin=options.place), workspace)[0] for name in NAMES}
        text = "\n".join(tables(datasets)) + "\n"
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.escape(MARKS[0]) + ".*?" + re.escape(MARKS[1])
    new = re.sub(pattern, lambda _: f"{MARKS[0]}\n{text}\n{MARKS[1]}", page, flags=re.DOTALL)
    if options.check:
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
