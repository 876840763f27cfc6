"""ESPF: frequent substructures of SMILES, learned as byte pairs (Huang et al. 2019, arXiv:1911.06446)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from l2aco.data.features.base import Array, Feature
from l2aco.data.features.molecules import SMILES, canonical
from l2aco.data.features.table import FeatureTable
from l2aco.entities import Entity, EntityKind

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

LENGTH = 50
MERGES = 2000
MIN_FREQUENCY = 3
JOINT = "\u241f"
"""Marks a piece that does not end a SMILES; the library's own mark, @@, is chirality in SMILES."""
UNKNOWN = "?"
"""Stands for the pieces that no drug of training has."""


class Substructures(Feature):
    """int64 (drugs, 50): numbers of the first 50 pieces of each canonical SMILES, 0 where there are no more.

    Piece number i is `columns[i - 1]`; the first is `UNKNOWN`. Pieces are learned on the SMILES of training drugs.
    """

    kind = EntityKind.drug
    brought_by = SMILES
    learns = True

    def __init__(self, codes: str, columns: tuple[str, ...]) -> None:
        self.codes, self.columns = codes, columns

    @classmethod
    def fit(cls, dataset: DataSet, rows: Array | None = None) -> Self:
        from subword_nmt.learn_bpe import learn_bpe

        drugs = dataset.drugs if rows is None else [dataset.drugs[row] for row in np.unique(rows)]
        texts = [text for drug in drugs if (text := canonical(drug))]
        codes = io.StringIO()
        if any(len(text) > 1 for text in texts):  # the library asks for a pair
            with contextlib.redirect_stderr(io.StringIO()):  # it draws a progress bar of its own
                learn_bpe(io.StringIO("\n".join(texts)), codes, MERGES, min_frequency=MIN_FREQUENCY)
        cutter = _cutter(codes.getvalue())
        return cls(codes.getvalue(), (UNKNOWN, *sorted({piece for text in texts for piece in _pieces(cutter, text)})))

    def of(self, entities: Sequence[Entity]) -> FeatureTable:
        cutter = _cutter(self.codes)
        number = {piece: place for place, piece in enumerate(self.columns, start=1)}
        texts = [canonical(drug) for drug in entities]
        values = np.zeros((len(texts), LENGTH), dtype=np.int64)
        for row, text in enumerate(texts):
            found = [number.get(piece, 1) for piece in _pieces(cutter, text)] if text else []
            values[row, : len(found)] = found
        return FeatureTable(EntityKind.drug, values, np.array([bool(text) for text in texts], dtype=bool), self.columns)

    def state(self) -> dict[str, Array]:
        return {"codes": np.array(self.codes), "columns": np.array(self.columns, dtype=np.str_)}

    @classmethod
    def restore(cls, state: Mapping[str, Array]) -> Self:
        return cls(str(state["codes"]), tuple(state["columns"].tolist()))


def _cutter(codes: str) -> Any:
    from subword_nmt.apply_bpe import BPE

    if len(codes.splitlines()) < 2:  # nothing is frequent, which the library does not read
        codes = f"#version: 0.2\n{JOINT} {JOINT}\n"
    return BPE(io.StringIO(codes), separator=JOINT)


def _pieces(cutter: Any, smiles: str) -> list[str]:
    return [piece.removesuffix(JOINT) for piece in cutter.segment_tokens([smiles])][:LENGTH]
