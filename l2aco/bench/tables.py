"""The tables of a report."""

from __future__ import annotations

from collections.abc import Sequence

from l2aco.bench.details import Details
from l2aco.bench.known import Map
from l2aco.bench.scored import Scored
from l2aco.bench.table import Cell, Table, count, interval, number, text
from l2aco.bench.verdict import TITLES, Standing, Verdict


def where(scored: Scored) -> str:
    """Data set and setting, and that the data are made up where they are."""
    return f"{scored.dataset}, {scored.setting}" + (" (SIMULATED)" if scored.simulated else "")


def standings_table(scored: Scored, standings: Sequence[Standing]) -> Table:
    """Every measure of every predictor with its interval."""
    names = scored.measures
    rows = [
        [
            text(one.arm + (f" ({one.draws} draws)" if one.draws > 1 else "")),
            count(one.splits),
            *(interval(*one.values[name]) for name in names),
        ]
        for one in standings
    ]
    return Table(where(scored), ["model", "splits", *(TITLES[name] for name in names)], rows)


def differences_table(verdict: Verdict) -> Table:
    """The arm of a claim minus each rival."""
    rows = [
        [
            text(name),
            interval(one.value, one.low, one.high, "+.4f"),
            number(one.p, ".3g"),
            number(one.resolution, ".4f"),
        ]
        for name, one in verdict.over.items()
    ]
    measure = TITLES[verdict.claim.measure]
    title = f"{verdict.claim.arm}: {measure}, {verdict.dataset}, {verdict.setting}"
    return Table(title, ["minus", f"difference in {measure}", "p", "resolves"], rows)


def strata_table(scored: Scored, found: Details, models: Sequence[str]) -> Table:
    """AUROC of every predictor in parts of the rows."""
    rows = [
        [text(one.by), text(one.name), count(one.lines), count(one.rows), *_values(one.auroc, models)]
        for one in found.strata
    ]
    return Table(f"AUROC by stratum: {where(scored)}", ["by", "stratum", "lines", "rows", *models], rows)


def lines_table(scored: Scored, found: Details, models: Sequence[str]) -> Table:
    """AUROC of every predictor within every tested cell line."""
    rows = [[text(one.name), text(one.tissue), count(one.triples), *_values(one.auroc, models)] for one in found.lines]
    return Table(f"AUROC within cell lines: {where(scored)}", ["cell line", "tissue", "triples", *models], rows)


def calibration_table(scored: Scored, found: Details) -> Table:
    """What is promised and what is found, by tenths of the rows."""
    rows = [
        [text(one.model), count(one.rows), number(one.predicted), number(one.observed)] for one in found.calibration
    ]
    return Table(f"Calibration: {where(scored)}", ["model", "rows", "predicted", "observed"], rows)


def line_calibration_table(scored: Scored, found: Details, models: Sequence[str]) -> Table:
    """What is promised of every tested cell line, and what is found there."""
    rows = [
        [text(one.name), number(one.positive), *(number(one.predicted.get(model)) for model in models)]
        for one in found.lines
    ]
    return Table(f"Calibration of cell lines: {where(scored)}", ["cell line", "observed", *models], rows)


def ranking_table(scored: Scored, found: Details) -> Table:
    """Every predictor as a recommender."""
    rows = [
        [
            text(one.model),
            count(one.k),
            *(number(value) for value in (one.precision, one.recall, one.ndcg, one.enrichment)),
        ]
        for one in found.ranking
    ]
    columns = ["model", "first pairs", "precision", "recall", "NDCG", "enrichment"]
    return Table(f"The first pairs of a line: {where(scored)}", columns, rows)


def coverage_table(scored: Scored, found: Details) -> Table:
    """What abstaining buys."""
    rows = [
        [text(one.model), number(one.coverage, ".0%"), count(one.rows), number(one.error)] for one in found.coverage
    ]
    return Table(f"Abstention: {where(scored)}", ["model", "kept", "rows", "wrong"], rows)


def map_table(found: Map) -> Table:
    """Who lies where."""
    rows = [
        [text(name), text(group), number(x), number(y)]
        for name, group, x, y in zip(found.names, found.groups, found.x, found.y, strict=True)
    ]
    group = "tissue" if found.kind == "cell line" else "class"
    return Table(f"{found.store}: {found.kind}s in the plane", [found.kind, group, "first", "second"], rows)


def _values(auroc: dict[str, float], models: Sequence[str]) -> list[Cell]:
    return [number(auroc.get(model)) for model in models]
