"""Pictures of a data set: the long tail of lines and drugs, label balance, scores, coverage by the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.pictures import legend, new_picture, save_picture

NAMED = 5
"""Points with a name, of those that stand apart most."""


def plot_dataset(dataset: DataSet, folder: Path) -> list[Path]:
    """Write PNG and SVG files, a column wide, into `folder` and return their paths; scores and graph where there."""
    triples = dataset.triples
    drugs = np.bincount(np.concatenate([triples.drug_a, triples.drug_b]), minlength=len(dataset.drugs))
    cells = np.bincount(triples.cell_line, minlength=len(dataset.cell_lines))
    title = dataset.name + (" (SIMULATED)" if dataset.simulated else "")
    made = [
        _tail(folder / "rows_per_cell_line.png", cells, "cell lines", title),
        _tail(folder / "rows_per_drug.png", drugs, "drugs", title),
        _balance(folder / "label_balance.png", dataset, cells, title),
    ]
    scores = triples.score[~np.isnan(triples.score)]
    if len(scores):
        made.append(_scores(folder / "scores.png", scores, title))
    if dataset.graph is not None:
        made.append(_degrees(folder / "graph_degrees.png", dataset, title))
    return [path for paths in made for path in paths]


def _tail(path: Path, counts: Any, what: str, title: str) -> list[Path]:
    figure, axes = _axes(f"{title}: triples per {what[:-1]}")
    used = np.sort(counts[counts > 0])[::-1]
    axes.bar(np.arange(len(used)), used, width=1.0)
    axes.axhline(100, color="black", linewidth=0.8, linestyle="--", label="100 triples")
    legend(axes)
    axes.set(
        xlabel=f"{what}, most measured first ({np.sum(used <= 100)} with at most 100)", ylabel="triples", yscale="log"
    )
    return save_picture(figure, path)


def _balance(path: Path, dataset: DataSet, cells: Any, title: str) -> list[Path]:
    positives = np.bincount(dataset.triples.cell_line, dataset.triples.label, minlength=len(cells))
    used = np.flatnonzero(cells)
    order = used[np.argsort(-cells[used], kind="stable")]
    figure, axes = _axes(f"{title}: share of synergistic triples per cell line")
    share, usual = positives[order] / cells[order], float(dataset.triples.label.mean())
    axes.scatter(cells[order], share, s=8, label="a cell line")
    named: list[Any] = []
    for row in np.argsort(-np.abs(share - usual), kind="stable"):
        if len(named) == NAMED or any(abs(share[row] - other) < 0.05 for other in named):
            continue
        named.append(share[row])
        name = dataset.cell_lines[order[row]].name
        axes.annotate(name, (cells[order[row]], share[row]), xytext=(3, 2), textcoords="offset points", fontsize=6)
    axes.axhline(usual, color="black", linewidth=0.8, linestyle="--", label=f"all triples ({usual:.2f})")
    legend(axes)
    axes.set(xlabel="triples of the cell line", ylabel="share synergistic", xscale="log", ylim=(-0.03, 1.03))
    return save_picture(figure, path)


def _scores(path: Path, scores: Any, title: str) -> list[Path]:
    low, high = np.quantile(scores, [0.001, 0.999])
    figure, axes = _axes(f"{title}: scores (the middle 99.8%)")
    axes.hist(scores[(scores >= low) & (scores <= high)], bins=120)
    axes.set(xlabel="synergy score", ylabel="triples")
    return save_picture(figure, path)


def _degrees(path: Path, dataset: DataSet, title: str) -> list[Path]:
    graph = dataset.graph
    assert graph is not None
    figure, axes = _axes(f"{title}: edges per node of the knowledge graph")
    for kind in graph.nodes:
        degree = np.sort(graph.degree(kind))[::-1]
        axes.plot(np.linspace(0, 100, len(degree)), degree + 1, label=f"{kind} ({len(degree):,})")
    axes.set(xlabel="% of the nodes, most connected first", ylabel="edges + 1", yscale="log")
    legend(axes)
    return save_picture(figure, path)


def _axes(title: str) -> tuple[Any, Any]:
    figure, (axes,) = new_picture(title=title)
    return figure, axes
