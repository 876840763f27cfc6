"""What is known of a drug or cell line apart from its triples: one file per family, computed once."""

from __future__ import annotations

from l2aco.data.features.compute import FEATURES, brought_features, compute_feature

__all__ = ["FEATURES", "brought_features", "compute_feature"]
