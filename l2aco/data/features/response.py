"""Measured response of cell lines to single drugs: the strongest side information there is, and the nearest to synergy.

A synergy score is computed from what two drugs do alone and together. Response of another screen (GDSC, PRISM, CTRP) is
knowledge of the line; response of the screen that the scores come from shares their plates, their normalisation and
their noise, and a line whose response is known there was not unseen. So its origin is said at import and goes along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from l2aco.data.features.base import Array, Listed, how_to_bring
from l2aco.entities import EntityKind
from l2aco.errors import InputError

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

RESPONSE = "response"


class Response(Listed):
    """float32 (lines, drugs): log IC50, AUC or log fold change as a screen of single drugs published them. A line
    without a measurement of a drug has the mean of that drug."""

    kind = EntityKind.cell_line

    @classmethod
    def fit(cls, dataset: DataSet, rows: Array | None = None) -> Self:
        raise InputError(
            f"'{dataset.name}' has no measured response",
            remedy=how_to_bring(RESPONSE),
        )


def origin(dataset: DataSet) -> str | None:
    """Which screen the response was measured in, as the import was told; None where there is none."""
    if (same := dataset.manifest.get("same_screen")) is None:
        return None
    return "the screen that the scores come from" if same else "another screen, as nothing else was said at import"
