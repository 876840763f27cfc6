"""From measured rows to triples: unordered, distinct, labelled, everything that happened counted.

The order of things matters: self-pairs go first, then the two drugs are put in one order, then repeated
measurements are merged (mean score; where the source ships labels, or there are no scores, the majority label, ties
dropped), and only then the label rule is applied. Merging after labelling, or keeping the first measurement, gives
other labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.labels import UNLABELLED, LabelRule

if TYPE_CHECKING:
    import polars as pl

OUTLIER_SPREADS = 30.0
"""A score is flagged when it lies this many interquartile ranges outside the quartiles."""


@dataclass(frozen=True)
class Merged:
    """`table`: drug_a, drug_b, cell_line (ids), score, label, count, outlier; sorted. `report`: the counts.
    `replicates`: drug_a, drug_b, first, second (scores) of what was measured more than once. `rule`: as it was applied,
    quantiles as bounds of all merged scores."""

    table: pl.DataFrame
    report: dict[str, int]
    replicates: pl.DataFrame
    rule: LabelRule


def merge_rows(rows: pl.DataFrame, rule: LabelRule) -> Merged:
    """Merge rows with the columns drug_a, drug_b, cell_line (ids, never null) and score and/or label."""
    import polars as pl

    for name, kind in (("score", pl.Float64), ("label", pl.Int8)):
        column = pl.col(name).cast(kind) if name in rows.columns else pl.lit(None, dtype=kind).alias(name)
        rows = rows.with_columns(column)
    rows = rows.with_columns(pl.col("score").fill_nan(None))
    blank = rows["score"].is_null() & rows["label"].is_null()
    report = {"rows": len(rows), "unmeasured": int(blank.sum())}
    rows = rows.filter(~blank)
    own = rows["drug_a"] == rows["drug_b"]
    report["self_pairs"] = int(own.sum())
    rows = rows.filter(~own).select(
        pl.min_horizontal("drug_a", "drug_b").alias("drug_a"),
        pl.max_horizontal("drug_a", "drug_b").alias("drug_b"),
        "cell_line",
        "score",
        "label",
        (pl.col("drug_a") > pl.col("drug_b")).alias("swapped"),
    )
    merged = _grouped(rows)
    score = merged["score"].to_numpy().astype(np.float64)
    rule = rule.bounded(score)
    report |= _rule_conflicts(rows, rule)
    report["repeats"] = int(merged["count"].sum() - len(merged))
    report["repeats_swapped"] = int(merged["swaps"].sum())
    report["label_conflicts"] = int((merged["lowest"] != merged["highest"]).sum())
    label, ties = _labels(score, merged["vote"].to_numpy().astype(np.float64), rule)
    report["ties"] = ties
    report["unlabelled"] = int((label == UNLABELLED).sum()) - ties
    merged = merged.with_columns(pl.Series("label", label), pl.Series("outlier", _outliers(score)))
    twice = (pl.col("count") > 1) & pl.col("first").is_not_null() & pl.col("second").is_not_null()
    replicates = merged.filter(twice).select("drug_a", "drug_b", "first", "second")
    table = merged.filter(pl.col("label") != UNLABELLED).select(
        "drug_a", "drug_b", "cell_line", "score", "label", "count", "outlier"
    )
    report |= {
        "triples": len(table),
        "positives": int(table["label"].cast(pl.Int64).sum()),
        "outliers": int(table["outlier"].sum()),
        "drugs_with_triples": int(pl.concat([table["drug_a"], table["drug_b"]]).n_unique()),
        "cell_lines_with_triples": int(table["cell_line"].n_unique()),
    }
    return Merged(table=table, report=report, replicates=replicates, rule=rule)


def _grouped(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each triple, sorted by its ids: mean score, share of positive labels (vote), lowest and highest
    label, count, how many rows are in another order than the first (swaps), first and last score."""
    import polars as pl

    # Grouped and sorted by the numbers of the ids, which is several times faster than by their text.
    key = ("drug_a", "drug_b", "cell_line")
    drugs = pl.Enum(pl.concat([rows["drug_a"], rows["drug_b"]]).unique().sort())
    kinds = {"drug_a": drugs, "drug_b": drugs, "cell_line": pl.Enum(rows["cell_line"].unique().sort())}
    swapped = pl.col("swapped").sum().cast(pl.Int64)
    return (
        rows.with_columns(pl.col(column).cast(kind) for column, kind in kinds.items())
        .group_by(key)
        .agg(
            pl.col("score").mean(),
            pl.col("label").cast(pl.Float64).mean().alias("vote"),
            pl.col("label").min().alias("lowest"),
            pl.col("label").max().alias("highest"),
            pl.len().cast(pl.Int64).alias("count"),
            pl.when(pl.col("swapped").first())
            .then(pl.len().cast(pl.Int64) - swapped)
            .otherwise(swapped)
            .alias("swaps"),
            pl.col("score").first().alias("first"),
            pl.col("score").last().alias("second"),
        )
        .sort(key)
        .with_columns(pl.col(column).cast(pl.String) for column in key)
    )


def _rule_conflicts(rows: pl.DataFrame, rule: LabelRule) -> dict[str, int]:
    """How many labels that the source ships disagree with the score rule, and how many of them lie in its gap."""
    unknown = any(rows[column].null_count() == len(rows) for column in ("label", "score"))
    if unknown or not rule.tells_of_scores:
        return {}
    score = rows["score"].to_numpy().astype(np.float64)
    scored = _score_rule(rule).apply(score)
    shipped = rows["label"].fill_null(UNLABELLED).to_numpy()
    differ = (shipped != UNLABELLED) & (shipped != scored) & ~np.isnan(score)
    return {
        "shipped_labels_against_scores": int(differ.sum()),
        "shipped_labels_in_gap": int((differ & (scored == UNLABELLED)).sum()),
    }


def _score_rule(rule: LabelRule) -> LabelRule:
    """What labels a score alone: of shipped labels the gap that the source names, and nothing where it names none."""
    named = rule.kind == "shipped" and rule.tells_of_scores
    return rule.model_copy(update={"kind": "gap"}) if named else rule


def _labels(score: Any, vote: Any, rule: LabelRule) -> tuple[Any, int]:
    """int8 labels of merged rows, and how many were dropped as ties of labels that no score decides."""
    scored = _score_rule(rule).apply(score)
    voted = np.full(len(vote), UNLABELLED, dtype=np.int8)
    voted[vote > 0.5] = 1
    voted[vote < 0.5] = 0
    shipped_first = rule.kind == "shipped"
    use_vote = (voted != UNLABELLED) & (shipped_first | np.isnan(score))
    label = np.where(use_vote, voted, scored).astype(np.int8)
    undecided = np.isnan(score) | (not rule.tells_of_scores)
    ties = int(((vote == 0.5) & (label == UNLABELLED) & undecided).sum())
    return label, ties


def _outliers(score: Any) -> Any:
    known = score[~np.isnan(score)]
    if not len(known):
        return np.zeros(len(score), dtype=bool)
    low, high = np.quantile(known, [0.25, 0.75])
    reach = OUTLIER_SPREADS * max(high - low, np.finfo(np.float64).tiny)
    return (score < low - reach) | (score > high + reach)
