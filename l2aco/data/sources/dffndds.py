"""The layout of ChemicalX and DFFNDDS (Xu et al. 2023, doi:10.1186/s13321-023-00690-3): triples by PubChem CID.

Public files: sorachel/DFFNDDS, folder drugcombdb/.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.bounds import check_bytes
from l2aco.data.features.table import FeatureRows
from l2aco.data.labels import LabelRule
from l2aco.data.sources.base import ReadOptions, SourceData, safe_file
from l2aco.entities import Entity, EntityKind
from l2aco.errors import InputError
from l2aco.files import parse_json
from l2aco.tables import MAX_CELL, read_table

DRUGS = "drug_set.json"
TRIPLES = "labeled_triples*.csv"
CONTEXTS = "context_set*.json"


class Dffndds:
    """Reads the folder; the expression of contexts may be missing, which is said in the notes."""

    roles = ()

    def recognises(self, path: Path) -> bool:
        return (path / DRUGS).is_file() and any(path.glob(TRIPLES))

    def read(self, path: Path, options: ReadOptions) -> SourceData:
        import polars as pl

        file = _only(path, TRIPLES)
        assert file is not None
        table = read_table(
            file,
            {
                "drug_a": ("drug_1", "drug1"),
                "drug_b": ("drug_2", "drug2"),
                "cell_line": ("context",),
                "label": ("label",),
            },
        )
        table.require("drug_a", "drug_b", "cell_line", "label")
        rows = table.frame.with_columns(
            *(table.whole_numbers(role).cast(pl.String) for role in ("drug_a", "drug_b")), table.labels()
        )
        used = sorted(pl.concat([rows["drug_a"], rows["drug_b"]]).unique())
        lines = sorted(rows["cell_line"].unique())
        known = read_json_table(safe_file(path, DRUGS))
        drugs = [_drug(cid, known.get(cid, {})) for cid in used]
        notes = []
        without = sum("smiles" not in drug.facts for drug in drugs)
        if without:
            notes.append(f"{without} drugs have no SMILES in {DRUGS}.")
        features = {}
        contexts = _only(path, CONTEXTS)
        if contexts is None:
            notes.append(f"No {CONTEXTS} there: the cell lines have no expression; everything else is imported.")
        else:
            features["expression"] = read_vectors(safe_file(path, contexts.name), EntityKind.cell_line)
        return SourceData(
            drugs=drugs,
            cell_lines=[Entity(line, EntityKind.cell_line, line) for line in lines],
            rows=rows.select("drug_a", "drug_b", "cell_line", "label"),
            label_rule=LabelRule(kind="shipped"),
            features=features,
            report={"drugs_without_smiles": without},
            notes=notes,
            named=frozenset({EntityKind.cell_line}),
        )


def read_json_table(path: Path) -> dict[str, Any]:
    """A JSON object of objects or vectors by id, whole numbers as ids without the .0 that pandas gives them; raises
    InputError with the line."""
    check_bytes(path, path.stat().st_size)
    try:
        found = parse_json(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text (byte {error.start})", where=path) from None
    except json.JSONDecodeError as error:
        raise InputError(f"is not JSON ({error.msg})", where=f"{path}:{error.lineno}") from None
    except ValueError as error:  # a number of 5,000 digits, lists 100,000 deep, half a pair of surrogates
        raise InputError(f"is not JSON of a data set ({error})", where=path) from None
    if not isinstance(found, dict) or not found:
        raise InputError("is not a JSON object of entries by id", where=path)
    return {re.sub(r"^(\d+)\.0+$", r"\1", key.strip()): value for key, value in found.items()}


def read_vectors(path: Path, kind: EntityKind) -> FeatureRows:
    """A JSON object of equally long vectors of numbers by entity id."""
    found = read_json_table(path)
    try:
        with np.errstate(over="ignore"):  # becomes infinite, which is refused below
            values = np.array(list(found.values()), dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        raise InputError("holds vectors of different lengths, or something that is no number", where=path) from None
    if values.ndim != 2 or not np.isfinite(values).all():
        raise InputError("does not hold one vector of finite numbers for each entry", where=path)
    return FeatureRows(kind, list(found), values)


def _drug(cid: str, known: Any) -> Entity:
    facts: dict[str, Any] = {"xrefs": {"pubchem": cid}}
    smiles = known.get("smiles") if isinstance(known, dict) else None
    if isinstance(smiles, str) and 0 < len(smiles) <= MAX_CELL:
        facts["smiles"] = smiles
    return Entity(cid, EntityKind.drug, f"CID {cid}", facts=facts)


def _only(folder: Path, pattern: str) -> Path | None:
    """The one file of this name pattern, or None; raises InputError where there are several."""
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise InputError(f"holds several of {pattern} ({names})", where=folder, remedy="Leave one in the folder.")
    return safe_file(folder, found[0].name) if found else None
