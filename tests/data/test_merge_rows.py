"""Rows become triples: unordered, distinct, labelled after merging, everything counted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from datasets_for_tests import write
from hypothesis import given, settings
from hypothesis import strategies as st

from l2aco.data.labels import LabelRule
from l2aco.data.merge_rows import merge_rows
from l2aco.data.replicates import replicate_statistics
from l2aco.errors import UsageError
from l2aco.workspace import Workspace


def frame(
    *rows: tuple[Any, ...], columns: tuple[str, ...] = ("drug_a", "drug_b", "cell_line", "score")
) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=list(columns), orient="row")


def test_swapped_repeats_are_one_triple_with_the_mean_score_labelled_afterwards() -> None:
    rows = frame(("A", "B", "X", 3.0), ("B", "A", "X", -5.0), ("A", "B", "Y", 2.0), ("A", "A", "X", 9.0))
    merged = merge_rows(rows, LabelRule())
    assert merged.table.select("drug_a", "drug_b", "cell_line", "score", "label", "count").rows() == [
        ("A", "B", "X", -1.0, 0, 2),
        ("A", "B", "Y", 2.0, 1, 1),
    ]
    wanted = {"rows": 4, "self_pairs": 1, "repeats": 1, "repeats_swapped": 1, "triples": 2, "positives": 1}
    assert {key: merged.report[key] for key in wanted} == wanted
    assert merged.replicates.rows() == [("A", "B", 3.0, -5.0)]


def test_labels_alone_are_a_majority_vote_and_ties_are_dropped() -> None:
    columns = ("drug_a", "drug_b", "cell_line", "label")
    rows = frame(
        *[("A", "B", "X", 1), ("B", "A", "X", 1), ("A", "B", "X", 0)],
        *[("A", "C", "X", 1), ("A", "C", "X", 0)],
        columns=columns,
    )
    merged = merge_rows(rows, LabelRule(kind="shipped"))
    assert merged.table.select("drug_b", "label").rows() == [("B", 1)]
    assert (merged.report["ties"], merged.report["label_conflicts"]) == (1, 2)


def test_shipped_labels_win_over_scores_and_the_score_decides_their_ties() -> None:
    columns = ("drug_a", "drug_b", "cell_line", "score", "label")
    rows = frame(
        ("A", "B", "X", 20.0, 0),
        ("A", "C", "X", 30.0, 1),
        ("C", "A", "X", 30.0, 0),
        ("A", "D", "X", 5.0, 1),
        columns=columns,
    )
    merged = merge_rows(rows, LabelRule(kind="shipped", positive=10, negative=0))
    assert merged.table.select("drug_b", "label").rows() == [("B", 0), ("C", 1), ("D", 1)]
    assert merged.report["shipped_labels_against_scores"] == 3  # B, the second C, and D in the gap
    assert merged.report["shipped_labels_in_gap"] == 1


def test_rows_in_the_gap_are_dropped_and_counted() -> None:
    rows = frame(("A", "B", "X", 10.0), ("A", "C", "X", 0.0), ("A", "D", "X", 5.0), ("A", "E", "X", math.nan))
    merged = merge_rows(rows, LabelRule.parse(">= 10, <= 0"))
    assert merged.table.select("drug_b", "label").rows() == [("B", 1), ("C", 0)]
    assert (merged.report["unlabelled"], merged.report["unmeasured"]) == (1, 1)


def test_quantiles_take_the_ends_of_the_scores() -> None:
    label = LabelRule.parse("top 25%, bottom 50%").apply(np.arange(8.0))
    assert label.tolist() == [0, 0, 0, 0, -1, -1, 1, 1]


@pytest.mark.parametrize("text", ["> 0", "score >= 10, score <= 0", "top 25%, bottom 25%", "shipped", "> -1.5"])
def test_a_rule_reads_what_it_writes(text: str) -> None:
    rule = LabelRule.parse(text)
    assert LabelRule.parse(str(rule)) == rule


@pytest.mark.parametrize("text", ["", "= 0", ">= 0, <= 10", "top 80%, bottom 40%", "> zero"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no label rule"):
        LabelRule.parse(text)


def test_a_repeat_without_a_score_tells_nothing_of_the_noise() -> None:
    columns = ("drug_a", "drug_b", "cell_line", "score", "label")
    rows = [("A", f"D{n}", "X", score, 1) for n in range(6) for score in (float(n), n + 0.5)]
    blank = [("A", "E", "X", 5.0, 1), ("A", "E", "X", None, 1), ("A", "F", "X", None, 1), ("A", "F", "X", 5.0, 1)]
    merged = merge_rows(frame(*rows, *blank, columns=columns), LabelRule())
    assert len(merged.replicates) == 6
    assert replicate_statistics(merged.replicates, merged.rule)["correlation"] == 1.0


def test_repeats_are_labelled_by_the_quantiles_of_all_scores(workspace: Workspace) -> None:
    once = [(0, number, 0, float(number)) for number in range(1, 39)]
    # both measurements of each repeat lie in the top quarter of all scores, in halves of their own
    again = [(1, number, 1, score) for number in range(2, 10) for score in (100.0 + number, 110.0 - number)]
    dataset = write(workspace, [*once, *again], label_rule=LabelRule.parse("top 25%, bottom 25%"))
    assert dataset.manifest["replicates"]["label_agreement"] == 1.0
    assert dataset.manifest["label_rule"]["text"] == "top 25%, bottom 25%"


def test_one_absurd_score_is_flagged_and_kept() -> None:
    rows = frame(*[("A", "B", f"L{n}", float(n % 7)) for n in range(50)], ("A", "C", "L0", 620.9))
    merged = merge_rows(rows, LabelRule())
    assert merged.table.filter("outlier")["score"].to_list() == [620.9]


names = st.sampled_from("ABCDE")
measured = st.tuples(names, names, st.sampled_from("XYZ"), st.integers(-3, 3).map(float))


@settings(max_examples=150, deadline=None)
@given(st.lists(measured, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_of_drugs_changes_the_triples(rows: list[Any], random: Any) -> None:
    other = [(b, a, c, s) if random.random() < 0.5 else (a, b, c, s) for a, b, c, s in rows]
    random.shuffle(other)
    first, second = (merge_rows(frame(*found), LabelRule()).table for found in (rows, other))
    assert first.drop("score").equals(second.drop("score"))
    assert np.allclose(first["score"], second["score"])
    assert (first["drug_a"] < first["drug_b"]).all()
    assert first.select("drug_a", "drug_b", "cell_line").is_duplicated().sum() == 0
    own = sum(a == b for a, b, _, _ in rows)
    assert first["count"].sum() == len(rows) - own
