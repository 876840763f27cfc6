"""Grades of a panel against measured response: how much pharmacology the language model knows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.columns import refuse_repeats
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError, UsageError
from l2aco.profiles.audit.compare import spearman
from l2aco.profiles.numbers import numbers_of
from l2aco.profiles.record import NOT_EMBEDDED
from l2aco.profiles.sets import ProfileSet
from l2aco.tables import read_raw

if TYPE_CHECKING:
    import numpy as np

Grades = dict[str, tuple[str, Mapping[str, float | None]]]
_FEWEST_LINES = 5
STRENGTH = "strength"
"""The field of a drug that says how far it acts like its class; at 0 the class is merely the nearest."""


@dataclass(frozen=True)
class Response:
    """Spearman's correlation, over cell lines, of the grade of a drug's class with minus the drug's response.

    `by_drug` holds class, drug and correlation; NaN where a side is constant.
    """

    lines: int
    unknown_lines: int
    drugs: int
    unknown_drugs: int
    by_drug: list[tuple[str, str, float]]

    def rows(self) -> list[dict[str, Any]]:
        """One row a class, the best first, and one of all: the median over its drugs."""
        import statistics

        classes: dict[str, list[float]] = {}
        for name, _, value in self.by_drug:
            classes.setdefault(name, []).extend([value] if value == value else [])
        rows = [
            {"class": name, "drugs": len(values), "spearman": statistics.median(values) if values else float("nan")}
            for name, values in classes.items()
        ]
        rows.sort(key=lambda row: -row["spearman"] if row["spearman"] == row["spearman"] else 2.0)  # type: ignore[operator]
        every = [value for values in classes.values() for value in values]
        middle = statistics.median(every) if every else float("nan")
        return [*rows, {"class": "all", "drugs": len(every), "spearman": middle}]


def check_response(profiles: ProfileSet, path: Path) -> Response:
    """Compare a set's grades with a table of measured single-drug response: a row a drug, a column a cell line.

    The first column names the drugs, the header the lines (ids, names or aliases); the smaller a value (IC50, AUC,
    viability), the more sensitive the line. Empty cells are not measured. Raises UsageError where the set does not
    grade classes of drugs, InputError where the table cannot be read, knows none of its drugs or lines, or tells of one
    twice.
    """
    class_field, grade_field, words = _grading(profiles)
    table = read_raw(path)
    drugs, *lines = table.frame.columns
    grades = _grades(profiles, grade_field, lines)
    known = [line for line in lines if line in grades]
    of_lines = [grades[line][0] if line in grades else "" for line in lines]
    refuse_repeats("columns", lines, of_lines, lambda column: f"{path}:1")
    measured = table.matrix(known, words="row")
    by_drug: list[tuple[str, str, float]] = []
    unknown = 0
    names = [str(name or "") for name in table.frame[drugs]]
    records = [profiles.find(Entity(name, EntityKind.drug, name)) if name else None for name in names]
    refuse_repeats("rows", names, [record.entity_id if record else "" for record in records], table.where)
    for row, (name, record) in enumerate(zip(names, records, strict=True)):
        drug_class = record.fields.get(class_field) if record is not None else None
        if record is None or drug_class not in words or record.fields.get(STRENGTH) == 0:
            unknown += 1
            continue
        ours = _column(grades, known, f"{grade_field}.{drug_class}")
        by_drug.append((drug_class, name, spearman(ours, -measured[row])))
    if not by_drug or len(known) < _FEWEST_LINES:
        raise InputError(
            f"{len(by_drug)} of its {len(table)} rows are drugs with a class here, and {len(known)} of its "
            f"{len(lines)} columns cell lines with grades: too few to compare",
            where=path,
            remedy="A row is a drug, a column a cell line; the first column names the drugs.",
        )
    return Response(len(known), len(lines) - len(known), len(by_drug), unknown, by_drug)


def _grading(profiles: ProfileSet) -> tuple[str, str, list[str]]:
    """The field with a drug's class, the cell lines' group of grades that has these classes, and the classes."""
    fields = {kind: schema["properties"] for kind, schema in profiles.schemas.items()}
    for name, choice in fields.get(EntityKind.drug, {}).items():
        words = choice.get("enum")
        for group, item in fields.get(EntityKind.cell_line, {}).items():
            common = [word for word in words or () if word in (item.get("properties") or {})]
            if name != NOT_EMBEDDED and common:
                return name, group, common
    raise UsageError(
        f"profile set {profiles.name} has no classes of drugs with grades of the cell lines for them",
        remedy="Make one with --prompt panel, or look at reference-panel.",
    )


def _grades(profiles: ProfileSet, field: str, lines: list[str]) -> Grades:
    """The id and the numbers of the first profile of each line that the set knows, by the table's name for it; without
    those that break the schema, which is a finding of its own."""
    found: Grades = {}
    schema = {"properties": {field: profiles.schemas[EntityKind.cell_line]["properties"][field]}}
    for line in lines:
        record = profiles.find(Entity(line, EntityKind.cell_line, line))
        if record is not None:
            with contextlib.suppress(InputError):
                found[line] = record.entity_id, numbers_of(record.fields, schema)
    return found


def _column(grades: Grades, lines: list[str], column: str) -> np.ndarray:
    import numpy as np

    return np.array([grades[line][1][column] for line in lines], dtype=np.float64)
