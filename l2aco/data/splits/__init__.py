"""Splits that cannot leak: one object per setting says how it divides, what it promises, and how many folds it has."""

from __future__ import annotations

from l2aco.registry import Entry, Registry

_HERE = "l2aco.data.splits"
SETTINGS = Registry(
    "setting",
    "l2aco.splits",
    (
        Entry("random", f"{_HERE}.grouped:Random", "triples in any order"),
        Entry("long-tail", f"{_HERE}.long_tail:LongTail", "lines with few triples; some train", aliases=("S0",)),
        Entry("novel-cell", f"{_HERE}.grouped:NovelCell", "cell lines never seen in training", aliases=("S1",)),
        Entry("novel-donor", f"{_HERE}.grouped:NovelDonor", "cell lines of donors never seen in training"),
        Entry("novel-drug", f"{_HERE}.novel_drug:NovelDrug", "one drug, or both, never seen in training"),
        Entry("novel-pair", f"{_HERE}.grouped:NovelPair", "pairs of drugs never seen together in training"),
        Entry("novel-tissue", f"{_HERE}.grouped:NovelTissue", "lines of a tissue never seen in training"),
    ),
    bases=("l2aco.data.splits.setting:Setting",),
)
