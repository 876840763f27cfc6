"""ESPF: frequent substructures of SMILES, learned as byte pairs (Huang et al. 2019, arXiv:1911.06446)."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import numpy as np

from l2aco.data.features.table import FeatureTable
from l2aco.entities import EntityKind

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

LENGTH = 50
MERGES = 2000
MIN_FREQUENCY = 3
JOINT = "\u241f"
"""Marks a piece that does not end a SMILES; the library's own mark, @@, is chirality in SMILES."""


def substructures(dataset: DataSet) -> FeatureTable:
    """int64 (drugs, 50): numbers of the first 50 pieces of each SMILES, 0 where there are no more.

    Piece number i is `columns[i - 1]`. The pieces are learned on the SMILES of all drugs of the data set, which are
    inputs and not labels.
    """
    from subword_nmt.apply_bpe import BPE
    from subword_nmt.learn_bpe import learn_bpe

    texts = [str(drug.facts.get("smiles") or "").strip() for drug in dataset.drugs]
    codes = io.StringIO()
    with contextlib.redirect_stderr(io.StringIO()):  # the library draws a progress bar of its own
        learn_bpe(io.StringIO("\n".join(text for text in texts if text)), codes, MERGES, min_frequency=MIN_FREQUENCY)
    codes.seek(0)
    cutter = BPE(codes, separator=JOINT)
    pieces = [[piece.removesuffix(JOINT) for piece in cutter.segment_tokens([text])] if text else [] for text in texts]
    columns = tuple(sorted({piece for found in pieces for piece in found[:LENGTH]}))
    number = {piece: place for place, piece in enumerate(columns, start=1)}
    values = np.zeros((len(texts), LENGTH), dtype=np.int64)
    for row, found in enumerate(pieces):
        values[row, : min(len(found), LENGTH)] = [number[piece] for piece in found[:LENGTH]]
    return FeatureTable(EntityKind.drug, values, np.array([bool(text) for text in texts], dtype=bool), columns)
