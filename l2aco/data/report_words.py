"""What the counts of an import are called."""

from __future__ import annotations

REPORT_WORDS = {
    "rows": "rows read",
    "nothing_said": "rows of a single drug without a score skipped before",
    "unmeasured": "rows without score or label skipped",
    "self_pairs": "self-pairs dropped",
    "repeats": "repeated measurements merged",
    "repeats_swapped": "of these in swapped order",
    "label_conflicts": "repeats whose shipped labels differ",
    "shipped_labels_against_scores": "shipped labels that disagree with the score rule",
    "shipped_labels_in_gap": "of these with a score in the gap",
    "ties": "ties dropped",
    "unlabelled": "triples without a label, or in the gap of the label rule, dropped",
    "triples": "triples kept",
    "positives": "of these synergistic",
    "outliers": "scores flagged as outliers",
    "drugs_with_triples": "drugs with triples",
    "cell_lines_with_triples": "cell lines with triples",
    "protein_self_pairs": "self-pairs of the protein network dropped",
    "graph_rows": "rows of the extra graph",
    "graph_rows_about_others": "of these about drugs or cell lines that are not here",
    "graph_edges_added": "edges added from it",
    "triples_in_several": "triples in several of the data sets",
    "triples_labelled_differently": "of these with different labels",
    "scores_left_out": "scores left out, for want of one rule on all",
    "drugs_with_several_names": "drug ids with several names",
}
LEFT_OUT = ("nothing_said", "unmeasured", "self_pairs", "ties", "unlabelled")
"""Of these, what becomes no triple."""
