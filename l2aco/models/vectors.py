"""Profile vectors as the aligner takes them: checked, completed, or replaced by a control."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from l2aco.entities import Entity
from l2aco.errors import InputError
from l2aco.models.spec import AlignSpec


@dataclass(frozen=True)
class Knowledge:
    """What a store holds of a data set's entities, in their order; zero rows where the mask is False.

    `drug_vectors` (Nd, D) and `cell_vectors` (Nc, D) float32, `drug_mask` (Nd,) and `cell_mask` (Nc,) bool, either of
    which may be False for all. `columns` names the D dimensions where the store holds numbers.
    """

    store: str
    encoder: str
    drug_vectors: NDArray[np.float32]
    drug_mask: NDArray[np.bool_]
    cell_vectors: NDArray[np.float32]
    cell_mask: NDArray[np.bool_]
    columns: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """Hex SHA-256 of the vectors and masks: what a run depends on, whatever else the store holds."""
        digest = hashlib.sha256()
        for array in (self.drug_vectors, self.drug_mask, self.cell_vectors, self.cell_mask):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Vectors:
    """`values` float32 (n, D), every row finite; `known` bool (n,) is False where a row was imputed.

    `centre` (D,): what was taken away before rows were brought to one length, None where nothing was; `absent` (D,):
    the row of an entity without a vector. `columns` names the dimensions of a store of numbers; a store of embeddings
    has none.
    """

    values: NDArray[np.float32]
    known: NDArray[np.bool_]
    centre: NDArray[np.float32] | None
    absent: NDArray[np.float32]
    columns: tuple[str, ...] = ()

    @property
    def with_gaps(self) -> NDArray[np.float64]:
        """float64 (n, D): the values, all NaN of whom there is no vector."""
        return np.where(self.known[:, None], self.values, np.nan).astype(np.float64)

    def arrays(self) -> dict[str, np.ndarray]:
        """What `of_arrays` makes them of again; it raises KeyError or ValueError where they are none's."""
        centre = {} if self.centre is None else {"centre": self.centre}
        columns = np.array(self.columns, dtype=np.str_)
        return {"values": self.values, "known": self.known, "absent": self.absent, "columns": columns, **centre}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        values, known, absent = arrays["values"], arrays["known"], arrays["absent"]
        width = (values.shape[1],) if values.ndim == 2 else ()
        rows = [values, absent, arrays.get("centre", absent)]
        if known.shape != values.shape[:1] or known.dtype != bool or any(row.dtype != np.float32 for row in rows):
            raise ValueError("the profile vectors are not one row of numbers for each entity")
        columns = tuple(arrays["columns"].tolist())
        wrong = np.isinf(values) if columns else ~np.isfinite(values)  # a number may be unknown
        if any(row.shape != width for row in rows[1:]) or wrong.any():
            raise ValueError("the profile vectors are not of one length, or not finite")
        return cls(values, known, arrays.get("centre"), absent, columns)

    def of(self, others: Sequence[np.ndarray | None]) -> Self:
        """The vectors (D,) of other entities as these were made, None being no vector. Raises InputError for another
        dimension and values that are not finite."""
        width = self.values.shape[1]
        for vector in others:
            wrong = np.isinf if self.columns else lambda found: ~np.isfinite(found)
            if vector is not None and (vector.shape != (width,) or wrong(vector).any()):
                raise InputError(f"a profile vector must be {width} finite numbers, not of shape {vector.shape}")
        known = np.array([vector is not None for vector in others], dtype=bool)
        raw = [np.zeros(width) if vector is None else vector for vector in others]
        values = np.array(raw, dtype=np.float32).reshape(len(known), width)
        if self.centre is not None:
            values = _directions(np.nan_to_num(values - self.centre))
        return replace(self, values=np.where(known[:, None], values, self.absent).astype(np.float32), known=known)


def side_by_side(vectors: Iterable[Vectors]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The vectors of the same entities in several stores as one (n, D1 + D2 + ...), and who is known to any of them."""
    several = list(vectors)
    return (
        np.concatenate([one.values for one in several], axis=1),
        np.logical_or.reduce([one.known for one in several]),
    )


def prepare_vectors(
    entities: Sequence[Entity],
    values: np.ndarray,
    mask: np.ndarray | None,
    align: AlignSpec,
    *,
    seed: int,
    train: np.ndarray | None = None,
    columns: tuple[str, ...] = (),
) -> Vectors:
    """The vectors (n, D) of `entities`, all of one kind, after checks, imputation, control and standardisation.

    `train`: int64 rows of the entities in training triples, whose mean is the centre (None: all).

    Rows whose `mask` is False take the mean of the others, scaled to their mean length (the centre, zero, once
    standardised), or raise InputError with `missing="refuse"`. `vectors="shuffled"` permutes the known rows, `"random"`
    draws directions; both depend on `seed`, `align.draw` and the kind alone. Raises InputError for values that are not
    finite.
    """
    if not entities:
        raise InputError("has no entities to align", remedy="Import a data set with drugs and cell lines.")
    kind = entities[0].kind.value
    plural = kind.replace("_", " ") + "s"
    values = np.asarray(values, dtype=np.float32)
    known = np.ones(len(values), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if values.ndim != 2 or len(values) != len(entities) or known.shape != (len(values),):
        raise InputError(
            f"{len(entities)} {plural} need vectors of shape ({len(entities)}, D); "
            f"these are {values.shape} with a mask of {known.shape}"
        )
    wrong = np.isinf(values) if columns else ~np.isfinite(values)  # a number may be unknown
    bad = np.flatnonzero(known & wrong.any(axis=1))
    if len(bad):
        raise InputError(
            f"the vectors of {len(bad)} {plural} are not finite ({_names(entities, bad)})",
            remedy="Embed them again: l2aco store verify finds the damaged rows.",
        )
    if not known.any():
        raise InputError(
            f"the store holds none of the {len(entities)} {plural}",
            remedy="Profile and embed the entities of this data set, or name another store.",
        )
    absent = _absent(entities, values, known, align, plural)
    values = np.where(known[:, None], values, absent)
    values = _control(values, known, align, kind, seed)
    if not align.standardise or align.loss == "regression":  # which standardises each column
        return Vectors(values, known, None, absent, columns)
    centre = _centre(values, known, train)
    centred = np.nan_to_num(np.where(known[:, None], values - centre, 0.0)).astype(np.float32)
    return Vectors(_directions(centred), known, centre, np.zeros_like(absent), columns)


def _absent(
    entities: Sequence[Entity], values: NDArray[np.float32], known: NDArray[np.bool_], align: AlignSpec, plural: str
) -> NDArray[np.float32]:
    """(D,): the mean of the known rows, scaled to their mean length; refused where somebody needs it and may not."""
    absent = np.flatnonzero(~known)
    if len(absent) and align.missing == "refuse":
        raise InputError(
            f"the store lacks {len(absent)} of {len(entities)} {plural} ({_names(entities, absent)})",
            remedy="Profile and embed them, or let them be imputed: missing = impute.",
        )
    mean = _mean(values[known])
    length = np.linalg.norm(np.nan_to_num(values[known]), axis=1).mean()
    return mean * (length / max(float(np.linalg.norm(mean)), 1e-12))


def _control(
    values: NDArray[np.float32], known: NDArray[np.bool_], align: AlignSpec, kind: str, seed: int
) -> NDArray[np.float32]:
    if align.vectors == "profiles":
        return values
    generator = np.random.default_rng([seed, align.draw, len(kind)])
    values = values.copy()
    if align.vectors == "shuffled":
        rows = np.flatnonzero(known)
        values[rows] = values[generator.permutation(rows)]
        return values
    drawn = generator.standard_normal(values.shape).astype(np.float32)
    drawn[np.isnan(values)] = 0.0  # what is unknown stays so
    lengths = np.linalg.norm(np.nan_to_num(values), axis=1, keepdims=True)
    drawn *= lengths / np.maximum(np.linalg.norm(drawn, axis=1, keepdims=True), 1e-12)
    return np.where(np.isnan(values), np.nan, drawn)


def _centre(values: NDArray[np.float32], known: NDArray[np.bool_], train: np.ndarray | None) -> NDArray[np.float32]:
    """The mean of the training entities: one never seen changes nothing for the others."""
    chosen = known.copy()
    if train is not None:
        chosen &= np.isin(np.arange(len(values)), train)
    return _mean(values[chosen if chosen.any() else known])


def _mean(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(D,): of each column where it is known, 0 where it nowhere is."""
    known = ~np.isnan(rows)
    if known.all():
        return rows.mean(axis=0)
    total = np.where(known, rows, 0.0).sum(axis=0)
    return (total / np.maximum(known.sum(axis=0), 1)).astype(np.float32)


def _directions(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every row with a mean square of one a component, or zero. Profiles of one kind share most of their direction;
    what tells them apart is what is left without the centre."""
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred * (np.sqrt(centred.shape[1]) / np.maximum(length, 1e-12)).astype(np.float32)


def _names(entities: Sequence[Entity], rows: np.ndarray, limit: int = 5) -> str:
    return ", ".join(entities[row].name for row in rows[:limit]) + (", ..." if len(rows) > limit else "")
