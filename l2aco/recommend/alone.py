"""What a drug does by itself to a cell line: as it was measured, else as a panel expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.catalog import open_dataset
from l2aco.data.features import brought_features, table_in
from l2aco.data.features.response import RESPONSE
from l2aco.data.features.table import FeatureTable
from l2aco.entities import Entity, EntityIndex, EntityKind
from l2aco.errors import UnknownNameError
from l2aco.recommend.facts import Facts
from l2aco.recommend.told import AS_TOLD, Told

if TYPE_CHECKING:
    from l2aco.runs.run import Run

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Alone:
    """measured: whether `value` was measured (log IC50, AUC, log fold change, as it was published: the lower, the more
    sensitive the line), or is a panel's grade (-3 to 3, against the average line: the higher, the more sensitive).
    source: the data set, the profile set, or that it was told. higher, others: how many of the other lines that were
    measured have a higher value."""

    value: float
    measured: bool
    source: str
    higher: int = 0
    others: int = 0

    @property
    def short(self) -> str:
        """For a table; a grade begins with ~ and a sign."""
        return f"{self.value:.3g}" if self.measured else f"~{self.value:+.1f}"

    def sentence(self, drug: str, line: str) -> str:
        """Of the drug and the line called so."""
        if not self.measured:
            return (
                f"Expected effect of {drug} alone on {line}: {self.value:+.1f}, from -3 to 3 against the average "
                f"line ({self.source})."
            )
        beside = f", lower than in {self.higher} of {self.others} other lines" if self.others else ""
        return (
            f"Measured effect of {drug} alone on {line}: {self.value:.4g}{beside} ({self.source}; the lower, the more "
            "sensitive)."
        )


class Effects:
    """Of single drugs on a line: by what its facts bring of measured response, else by that in the data set of a run,
    else by the grades that `told` has of it, or the profile sets of `facts`."""

    def __init__(self, run: Run, facts: Facts, told: Told) -> None:
        self.run, self.facts, self._told = run, facts, told
        self._found: dict[tuple[str, str], Alone | None] = {}

    def of(self, drug: Entity, line: Entity) -> Alone | None:
        """None where nothing says."""
        key = (drug.id, line.id)
        if key not in self._found:
            self._found[key] = self._measured(drug, line) or self._expected(drug, line)
        return self._found[key]

    def informed(self, line: Entity) -> Entity:
        """`line` with the response that was told of it, the drugs called as the data set calls them."""
        response = self._response.renamed(self._told.response)
        return replace(line, facts={**line.facts, RESPONSE: response}) if response else line

    def _measured(self, drug: Entity, line: Entity) -> Alone | None:
        values = self._response.of(drug)
        own = self._response.lines.get(line.id)
        others = values if own is None else np.delete(values, own)
        value, source = np.nan if own is None else values[own], f"response in {self.run.spec.dataset}"
        if told := line.facts.get(RESPONSE):
            value, source = _Response([line.id], [*told], np.array([[*told.values()]])).of(drug)[0], AS_TOLD
        if not np.isfinite(value):
            return None
        return Alone(float(value), True, source, int((others > value).sum()), int(np.isfinite(others).sum()))

    def _expected(self, drug: Entity, line: Entity) -> Alone | None:
        grade = self.facts.grade(line, drug, self._told.fields)
        return None if grade is None else Alone(grade[1], False, grade[0])

    @cached_property
    def _response(self) -> _Response:
        with suppress(UnknownNameError):
            dataset = open_dataset(str(self.run.spec.dataset), self.run.workspace)
            if RESPONSE in brought_features(dataset):
                table = table_in(dataset, RESPONSE)
                assert isinstance(table, FeatureTable)
                return _Response([line.id for line in dataset.cell_lines], table.columns, table.measured())
        return _Response([], [], np.zeros((0, 0)))


class _Response:
    """Of lines to drugs, called as a table calls them: float (lines, drugs), NaN where nothing was measured."""

    def __init__(self, lines: Sequence[str], drugs: Sequence[str], values: Array) -> None:
        self.lines = {line: row for row, line in enumerate(lines)}
        self._values = values
        self._column = {drug: column for column, drug in enumerate(drugs)}
        self._index = EntityIndex(EntityKind.drug, [Entity(drug, EntityKind.drug, drug) for drug in drugs])

    def renamed(self, others: Mapping[str, float]) -> dict[str, float]:
        """The same by the names of this table, where it has one for a name."""
        found = {name: self._index.match(Entity(name, EntityKind.drug, name)) for name in others}
        return {name if here is None else here.id: others[name] for name, here in found.items()}

    def of(self, drug: Entity) -> Array:
        """float64 (lines,): to the drug."""
        found = self._index.match(drug)
        return np.full(len(self.lines), np.nan) if found is None else self._values[:, self._column[found.id]]
