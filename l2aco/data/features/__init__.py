"""What is known of a drug or cell line apart from its triples: one file a family, fitted once."""

from __future__ import annotations

from l2aco.data.features.compute import (
    FEATURES,
    brought_features,
    feature_class,
    fit_feature,
    has_feature,
    kind_of,
    table_in,
)

__all__ = ["FEATURES", "brought_features", "feature_class", "fit_feature", "has_feature", "kind_of", "table_in"]
