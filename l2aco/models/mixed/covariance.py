"""The covariance of the training rows as an operator: V = noise I + sum of variance x (left side x right side).

A left side gathers rows into a table of (groups, lines) and spreads such a table back; the right side is a small matrix
over lines. Nothing of the size rows x rows, or rows x coefficients, is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from l2aco.models.mixed.terms import NOISE, Term

Array = np.ndarray[Any, np.dtype[Any]]
LARGEST_TABLE = 20_000_000
"""Entries of a (groups, lines) table that is held dense; pairs beyond that keep to their own rows."""
CHUNK = 65_536
RIGHT_HAND = 25_000_000
"""Numbers of a table with all its right-hand sides at a time (200 MB)."""


@dataclass(frozen=True)
class Rows:
    """n measurements as int64 (n,): drugs a and b of `drugs`, cell line c of `lines`, each counted from 0."""

    a: Array
    b: Array
    c: Array
    drugs: int
    lines: int

    def __len__(self) -> int:
        return len(self.c)

    @cached_property
    def pair_keys(self) -> Array:
        """int64 (n,): one number for each unordered pair."""
        return np.minimum(self.a, self.b) * np.int64(self.drugs) + np.maximum(self.a, self.b)


class Right:
    """A matrix over lines: diagonal x I + factor factor', (lines, r); dense where that is no more work."""

    def __init__(self, diagonal: float, factor: Array) -> None:
        self.diagonal, self.factor = diagonal, factor
        lines, rank = factor.shape
        self.dense = factor @ factor.T + diagonal * np.eye(lines) if 3 * rank > lines else None

    def times(self, table: Array) -> Array:
        """(groups, lines, m) from (groups, lines, m)."""
        if self.dense is not None:
            return self.dense @ table
        return self.diagonal * table + self.factor @ (self.factor.T @ table)

    def entries(self, one: Array, other: Array) -> Array:
        """(k,): the entries between lines `one` and `other` (k,)."""
        if self.dense is not None:
            return self.dense[one, other]
        found = np.empty(len(one))
        for start in range(0, len(one), CHUNK):
            some = slice(start, start + CHUNK)
            found[some] = np.einsum("kr,kr->k", self.factor[one[some]], self.factor[other[some]])
        return found + self.diagonal * (one == other)


class Left:
    """A left side: `groups` of rows, each with a place in a table (groups, lines)."""

    def __init__(self, spread: sparse.csr_array, groups: int, lines: int) -> None:
        self.forth, self.groups, self.lines = spread, groups, lines
        self.back = sparse.csr_array(spread.T)

    def table(self, x: Array) -> Array:
        """(groups, lines, m): the sums of x (n, m) over the rows of each place."""
        return (self.back @ x).reshape(self.groups, self.lines, -1)

    def rows(self, table: Array) -> Array:
        """(n, m): what the table (groups, lines, m) says of each row."""
        return self.forth @ table.reshape(self.groups * self.lines, -1)

    def apply(self, right: Right, x: Array) -> Array:
        """(left x right) x, (n, m)."""
        return self.rows(right.times(self.table(x)))

    def spread(self, coefficients: Array, phi: Array | None) -> Array:
        """(n, m) of the effects with `coefficients` (groups, r, m) on phi (lines, r); None: each line its own."""
        return self.rows(coefficients if phi is None else phi @ coefficients)

    def collect(self, x: Array, phis: Sequence[Array | None]) -> Iterator[Array]:
        """(groups, r, m) for each phi: the adjoint of `spread`."""
        table = self.table(x)
        return (table if phi is None else phi.T @ table for phi in phis)


class DrugKernel(Left):
    """Drugs that share by psi (drugs, q): the table of the drugs, seen through psi."""

    def __init__(self, drug: Left, psi: Array) -> None:
        self.drug, self.psi, self.groups, self.lines = drug, psi, psi.shape[1], drug.lines

    def table(self, x: Array) -> Array:
        return np.tensordot(self.psi.T, self.drug.table(x), 1)

    def rows(self, table: Array) -> Array:
        return self.drug.rows(np.tensordot(self.psi, table, 1))


class Partner(Left):
    """A slope of each drug on its partner's psi (drugs, q): groups are drug x direction."""

    def __init__(self, rows: Rows, psi: Array) -> None:
        self.of, self.psi, self.lines = rows, psi, rows.lines
        self.groups = rows.drugs * psi.shape[1]
        ends = np.concatenate([rows.a * rows.lines + rows.c, rows.b * rows.lines + rows.c])
        partners = np.concatenate([rows.b, rows.a])
        self.order = np.argsort(ends, kind="stable")
        self.partner = partners[self.order]
        self.starts = np.searchsorted(ends[self.order], np.arange(rows.drugs * rows.lines + 1))

    def table(self, x: Array) -> Array:
        n, drugs, q = len(self.of), self.of.drugs, self.psi.shape[1]
        shape = (drugs * self.lines, drugs)
        columns = [
            sparse.csr_array((column[self.order % n], self.partner, self.starts), shape=shape) @ self.psi
            for column in x.T
        ]
        found = np.stack(columns, axis=-1).reshape(drugs, self.lines, q, -1)
        return np.moveaxis(found, 2, 1).reshape(self.groups, self.lines, -1)

    def rows(self, table: Array) -> Array:
        of, q = self.of, self.psi.shape[1]
        slopes = np.moveaxis(table.reshape(of.drugs, q, self.lines, -1), 2, 1)
        out = np.empty((len(of), table.shape[-1]))
        for column in range(out.shape[1]):
            slope = np.ascontiguousarray(slopes[..., column])
            out[:, column] = np.einsum("nq,nq->n", slope[of.a, of.c], self.psi[of.b])
            out[:, column] += np.einsum("nq,nq->n", slope[of.b, of.c], self.psi[of.a])
        return out


class PartnerEverywhere(Left):
    """`Partner` with slopes that are the same in every line: it needs to know pairs only."""

    def __init__(self, rows: Rows, psi: Array) -> None:
        keys, group = np.unique(rows.pair_keys, return_inverse=True)
        self.forth = _places(len(rows), [group], len(keys))
        self.back = sparse.csr_array(self.forth.T)
        pairs = Rows(keys // rows.drugs, keys % rows.drugs, np.zeros_like(keys), rows.drugs, 1)
        self.slopes = Partner(pairs, psi)
        self.groups, self.lines = self.slopes.groups, 1

    def table(self, x: Array) -> Array:
        return self.slopes.table(self.back @ x)

    def rows(self, table: Array) -> Array:
        return self.forth @ self.slopes.rows(table)

    def apply(self, right: Right, x: Array) -> Array:
        return right.factor[0] @ right.factor[0] * self.rows(self.table(x))

    def spread(self, coefficients: Array, phi: Array | None) -> Array:
        return self.rows(coefficients)

    def collect(self, x: Array, phis: Sequence[Array | None]) -> Iterator[Array]:
        return iter([self.table(x)] * len(phis))


class SparsePairs(Left):
    """Pairs, where a table of pairs x lines would be too large: rows meet only rows of their pair."""

    def __init__(self, rows: Rows) -> None:
        keys, self.group = np.unique(rows.pair_keys, return_inverse=True)
        self.c, self.groups, self.lines = rows.c, len(keys), rows.lines
        order = np.argsort(self.group, kind="stable")
        size = np.bincount(self.group, minlength=self.groups)
        begin = np.cumsum(size) - size
        reach = size[self.group]
        self.starts = np.concatenate([[0], np.cumsum(reach)])
        within = np.arange(self.starts[-1]) - np.repeat(self.starts[:-1], reach)
        self.mate = order[within + np.repeat(begin[self.group], reach)].astype(np.int32)
        self.order, self.begin = order, np.append(begin, len(rows))
        self.shape = (self.groups, self.lines)

    def apply(self, right: Right, x: Array) -> Array:
        kept = getattr(self, "_kept", None)
        if kept is None or kept[0] is not right:
            n = len(self.c)
            mine = np.repeat(self.c, np.diff(self.starts))
            block = sparse.csr_array((right.entries(mine, self.c[self.mate]), self.mate, self.starts), shape=(n, n))
            self._kept = kept = (right, block)
        return kept[1] @ x

    def spread(self, coefficients: Array, phi: Array | None) -> Array:
        assert phi is not None  # a pair has no part of its own in a line: that is the noise
        out = np.empty((len(self.c), coefficients.shape[2]))
        for start in range(0, len(self.c), CHUNK):
            some = slice(start, start + CHUNK)
            out[some] = np.einsum("nrm,nr->nm", coefficients[self.group[some]], phi[self.c[some]])
        return out

    def collect(self, x: Array, phis: Sequence[Array | None]) -> Iterator[Array]:
        for phi in phis:
            assert phi is not None
            # one row of ones and lines a pair, filled with x, times phi
            tables = [
                sparse.csr_array((column[self.order], self.c[self.order], self.begin), self.shape) for column in x.T
            ]
            yield np.stack([table @ phi for table in tables], axis=-1)


class Covariance:
    """All left sides over these rows, and the right sides.

    phi: by line kernel, (lines, r). psi: by drug kernel, (drugs, q). terms: which effects there are.
    """

    def __init__(self, rows: Rows, terms: Sequence[Term], phi: Mapping[str, Array], psi: Mapping[str, Array]) -> None:
        self.of, self.terms = rows, tuple(terms)
        self.phi: dict[str, Array | None] = {"one": np.ones((rows.lines, 1)), "own": None, **phi}
        self.left = {name: self._left(name, psi) for name in dict.fromkeys(term.left for term in terms)}

    def _left(self, name: str, psi: Mapping[str, Array]) -> Left:
        rows, kind, kernel = self.of, *name.partition(":")[::2]
        n = len(rows)
        if kind == "all":
            return Left(_places(n, [rows.c], rows.lines), 1, rows.lines)
        if kind == "pair":
            keys, group = np.unique(rows.pair_keys, return_inverse=True)
            if len(keys) * rows.lines > LARGEST_TABLE:
                return SparsePairs(rows)
            return Left(_places(n, [group * rows.lines + rows.c], len(keys) * rows.lines), len(keys), rows.lines)
        if kind == "partner":
            everywhere = all(term.right == "one" for term in self.terms if term.left == name)
            return (PartnerEverywhere if everywhere else Partner)(rows, psi[kernel])
        ends = [rows.a * rows.lines + rows.c, rows.b * rows.lines + rows.c]
        drug = Left(_places(n, ends, rows.drugs * rows.lines), rows.drugs, rows.lines)
        return DrugKernel(drug, psi[kernel]) if kernel else drug

    def at(self, variances: Mapping[str, float]) -> Operator:
        """V for these variances, by the terms' names and `noise`."""
        return Operator(self, variances)

    def one(self, term: Term, x: Array) -> Array:
        """(n, m): the covariance of this term alone, at variance 1, times x (n, m)."""
        phi = self.phi[term.right]
        right = Right(1.0, np.zeros((self.of.lines, 0))) if phi is None else Right(0.0, phi)
        return self.left[term.left].apply(right, x)

    def forms(self, x: Array) -> dict[str, float]:
        """By term, and for the noise: the mean over the columns of x' V_term x, x (n, m)."""
        sums = dict.fromkeys([*map(str, self.terms), NOISE], 0.0)
        for some in self.portions(x.shape[1]):
            for name, left in self.left.items():
                terms = [term for term in self.terms if term.left == name]
                parts = left.collect(x[:, some], [self.phi[term.right] for term in terms])
                for term, part in zip(terms, parts, strict=True):
                    sums[str(term)] += float(np.einsum("grm,grm->", part, part))
        sums[NOISE] = float(np.sum(x**2))
        return {name: value / x.shape[1] for name, value in sums.items()}

    def draw(self, rng: np.random.Generator, variances: Mapping[str, float], count: int) -> Array:
        """(n, count) draws of all effects and the noise: their covariance is V."""
        out = rng.standard_normal((len(self.of), count)) * np.sqrt(variances[NOISE])
        for term in self.terms:
            left, phi = self.left[term.left], self.phi[term.right]
            for some in self.portions(count):
                shape = (left.groups, self.rank(term), len(range(count)[some]))
                out[:, some] += left.spread(rng.standard_normal(shape) * np.sqrt(variances[str(term)]), phi)
        return out

    def rank(self, term: Term) -> int:
        """Coefficients of each group."""
        phi = self.phi[term.right]
        return self.of.lines if phi is None else int(phi.shape[1])

    def diagonal(self, term: Term) -> float:
        """Mean over lines of the right side's diagonal."""
        phi = self.phi[term.right]
        return 1.0 if phi is None else float(np.mean(np.sum(phi**2, axis=1)))

    def portions(self, columns: int) -> list[slice]:
        """Right-hand sides, so many at a time that their tables stay small."""
        largest = max(left.groups * left.lines for left in self.left.values() if not isinstance(left, SparsePairs))
        step = max(1, RIGHT_HAND // max(largest, len(self.of)))
        return [slice(start, start + step) for start in range(0, columns, step)]


class Operator:
    """V x for x (n, m)."""

    def __init__(self, covariance: Covariance, variances: Mapping[str, float]) -> None:
        self.covariance, self.variances = covariance, dict(variances)
        self.noise = variances[NOISE]
        self.right: dict[str, Right] = {}
        for name in covariance.left:
            own, factors = 0.0, [np.zeros((covariance.of.lines, 0))]
            for term in (term for term in covariance.terms if term.left == name):
                phi, variance = covariance.phi[term.right], variances[str(term)]
                if phi is None:
                    own += variance
                else:
                    factors.append(phi * np.sqrt(variance))
            self.right[name] = Right(own, np.concatenate(factors, axis=1))

    def __call__(self, x: Array) -> Array:
        out = self.noise * x
        for some in self.covariance.portions(x.shape[1]):
            for name, left in self.covariance.left.items():
                out[:, some] += left.apply(self.right[name], x[:, some])
        return out


def _places(n: int, ends: Sequence[Array], size: int) -> sparse.csr_array:
    """(n, size): each row's ones, one for each of its places."""
    places = np.stack(ends, axis=1).astype(np.int32 if size < 2**31 else np.int64)
    starts = np.arange(n + 1, dtype=places.dtype) * len(ends)
    return sparse.csr_array((np.ones(places.size), places.ravel(), starts), shape=(n, size))
