"""Drawings of a report: a curve or a cloud of every model."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.bench.details import Details
from l2aco.bench.known import Map

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#0b0c0d"
"""Becomes currentColor, so that a page may be dark."""
COLOURS = ("#2f7fc1", "#d55e00", "#0a9a73", "#c76a9f", "#b8860b", "#6d6fd0")
"""Told apart by most people, on white and on black."""
MARKERS = "osD^vP"
STEPS = 5
"""Of the curve of the long tail."""
WIDTH = 5.0
"""Inches: legible on a phone."""


def figure_of(height: float, width: float = WIDTH) -> tuple[Figure, Any]:
    """A figure and its axes; inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def long_tail(found: Details, models: list[str]) -> Figure:
    """AUROC within a line by its triples."""
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, axes = figure_of(4.2)
    handles: list[Any] = []
    triples = np.array([line.triples for line in found.lines])
    bins = np.searchsorted(np.geomspace(triples.min(), triples.max(), STEPS + 1)[1:-1], triples)
    for model, colour, marker in zip(models, COLOURS, MARKERS, strict=False):
        value = np.array([line.auroc[model] for line in found.lines])
        known = np.isfinite(value)
        axes.scatter(triples[known], value[known], s=12, color=colour, marker=marker, alpha=0.4, linewidths=0)
        steps = [known & (bins == step) for step in range(STEPS)]
        mean = [(triples[at].mean(), value[at].mean()) for at in steps if at.any()]
        handles += axes.plot(*np.reshape(mean, (-1, 2)).T, color=colour, marker=marker, markersize=5)
    axes.axhline(0.5, color=INK, linewidth=0.8, linestyle=":")
    axes.set(xscale="log", xlabel="triples of the cell line", ylabel="AUROC within the line")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    _legend(figure, handles, models)
    return figure


def calibration(found: Details, models: list[str]) -> Figure:
    """Promised and found, by tenths of the rows."""
    figure, axes = figure_of(4.6)
    handles: list[Any] = []
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for model, colour, marker in zip(models, COLOURS, MARKERS, strict=False):
        bins = [(one.predicted, one.observed) for one in found.calibration if one.model == model]
        handles += axes.plot(*np.transpose(bins), color=colour, marker=marker, markersize=4)
    axes.set(xlabel="predicted probability", ylabel="share that was synergistic", xlim=(0, 1), ylim=(0, 1))
    _legend(figure, handles, models)
    return figure


def line_calibration(found: Details, models: list[str]) -> Figure:
    """Promised and found, by cell line."""
    figure, axes = figure_of(4.6)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    handles = []
    for model, colour, marker in zip(models, COLOURS, MARKERS, strict=False):
        marks = [(line.predicted[model], line.positive) for line in found.lines if model in line.predicted]
        handles.append(axes.scatter(*np.transpose(marks), s=14, color=colour, marker=marker, alpha=0.7, linewidths=0))
    axes.set(xlabel="mean probability of a line", ylabel="share that was synergistic", xlim=(0, 1), ylim=(0, 1))
    _legend(figure, handles, models)
    return figure


def first_pairs(found: Details, models: list[str]) -> Figure:
    """Precision by the length of the list."""
    marks = {model: [(float(one.k), one.precision) for one in found.ranking if one.model == model] for model in models}
    figure, axes = _curves(marks)
    axes.set(xscale="log", xlabel="first pairs of a line", ylabel="share of synergies")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return figure


def abstention(found: Details, models: list[str]) -> Figure:
    """Error by coverage."""
    marks = {model: [(one.coverage, one.error) for one in found.coverage if one.model == model] for model in models}
    figure, axes = _curves(marks)
    axes.set(xlabel="share of the rows that is answered", ylabel="share of wrong answers")
    return figure


def _curves(marks: dict[str, list[tuple[float, float]]]) -> tuple[Figure, Any]:
    figure, axes = figure_of(4.2)
    known = {model: values for model, values in marks.items() if values}
    handles: list[Any] = []
    for values, colour, marker in zip(known.values(), COLOURS, MARKERS, strict=False):
        handles += axes.plot(*np.transpose(values), color=colour, marker=marker, markersize=4)
    _legend(figure, handles, list(known))
    return figure, axes


def plane(found: Map) -> Figure:
    """Entities by their vectors, the largest tissues or classes in colours."""
    figure, axes = figure_of(4.6)
    groups, points = np.array(found.groups, dtype=object), np.transpose([found.x, found.y])
    largest = [name for name, _ in Counter(filter(None, found.groups)).most_common(len(COLOURS))]
    others = ~np.isin(groups, largest)
    handles, names = [], []
    if others.any():
        axes.scatter(*points[others].T, s=8, color="#888888", alpha=0.5, linewidths=0)
    for name, colour, marker in zip(largest, COLOURS, MARKERS, strict=False):
        handles.append(axes.scatter(*points[groups == name].T, s=16, color=colour, marker=marker, linewidths=0))
        names.append(name)
    axes.set(xlabel="first direction", ylabel="second direction", xticks=[], yticks=[])
    _legend(figure, handles, names)
    return figure


def _legend(figure: Figure, handles: list[Any], models: list[str]) -> None:
    figure.legend(handles, models, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
