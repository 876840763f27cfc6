"""Whatever people bring to `l2aco data import`, it is read or refused in one message, and nothing is half-written."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from any_bytes import altered_json, dumps, feed, frames, json_texts, mutated
from excel import table_cells, write_excel
from hypothesis import strategies as st
from layouts import LAYOUTS, TABLE, VECTORS, laid_out

from l2aco.data.catalog import open_dataset
from l2aco.data.features import brought_features, table_in
from l2aco.data.importing import ImportSpec, import_dataset
from l2aco.data.info import import_report
from l2aco.entities import Entity, EntityKind, read_entities
from l2aco.errors import InputError
from l2aco.runs.measured import read_measured
from l2aco.runs.pairs import read_pairs
from l2aco.workspace import Workspace

CELLS = st.sampled_from(
    [
        *(
            "A",
            "B",
            "C",
            "X",
            "",
            "NaN",
            "1",
            "0",
            "-2.5",
            "1e999",
            "inf",
            "5.0",
            "True",
            '"',
            '"a,b"',
            "ü",
            "\\N",
            " ",
        ),
        *("CC(=O)O", "DB00001", "ACH-000001", "1,5", "x" * 300, "drug", "cell line", "targets", "A375", "[1 2]", "{0}"),
    ]
)


def sheets(header: str) -> st.SearchStrategy[bytes]:
    """CSV of these columns, or some of them and others, with any cells."""
    columns = header.split(",")
    names = st.just(columns) | st.lists(st.sampled_from([*columns, "row", "", "A", "kind"]), min_size=1, max_size=8)
    width = len(columns)
    rows = st.lists(st.lists(CELLS, min_size=width - 1, max_size=width + 1), max_size=6)
    separators = st.sampled_from([",", ",", ",", ";", "\t"])

    def text(given: tuple[list[str], list[list[str]], str, str]) -> bytes:
        names, rows, separator, end = given
        return end.join(separator.join(row) for row in [names, *rows]).encode()

    return st.tuples(names, rows, separators, st.sampled_from(["\n", "\r\n", "\n\n"])).map(text)


def anything_for(name: str, text: str) -> st.SearchStrategy[bytes]:
    if name.endswith(".json"):
        other = altered_json(json.loads(text)).map(dumps) | json_texts()
        return mutated(text.encode()) | other.map(lambda value: value.encode(errors="surrogatepass"))
    return mutated(text.encode()) | sheets(text.partition("\n")[0])


def brings(workspace: Workspace, path: Path, source: str | None = None, **more: Any) -> None:
    """An import, which leaves a data set that can be used, or none."""
    spec = ImportSpec(path=path, name="small", source=source, replace=True, **more)
    shutil.rmtree(workspace.data, ignore_errors=True)
    try:
        import_dataset(spec, workspace)
    except BaseException:
        assert not workspace.data.exists() or not list(workspace.data.iterdir())
        raise
    dataset = open_dataset("small", workspace)
    import_report(dataset), dataset.triples, dataset.graph
    for name in brought_features(dataset):
        table_in(dataset, name)


@pytest.mark.parametrize("source", LAYOUTS)
def test_the_layouts_of_these_tests_are_sound(workspace: Workspace, source: str) -> None:
    brings(workspace, laid_out(workspace.root / "in", source, {}))
    assert open_dataset("small", workspace).manifest["source"] == source


@pytest.mark.parametrize(("source", "name"), [(source, name) for source, files in LAYOUTS.items() for name in files])
def test_any_file_of_a_layout(workspace: Workspace, source: str, name: str) -> None:
    def read(data: bytes) -> None:
        brings(workspace, laid_out(workspace.root / "in", source, {name: data}), source)

    feed(anything_for(name, LAYOUTS[source][name]), read, files=len(LAYOUTS[source]))


def test_any_parquet_and_excel_of_triples(workspace: Workspace) -> None:
    write_excel(workspace.root / "v.xlsx", table_cells([line.split(",") for line in TABLE.splitlines()]))
    valid = (workspace.root / "v.xlsx").read_bytes()
    columns = ["drug_a", "drug_b", "cell_line", "score", "label"]

    def read(given: bytes | pl.DataFrame) -> None:
        path = workspace.root / ("t.xlsx" if isinstance(given, bytes) else "t.parquet")
        path.write_bytes(given) if isinstance(given, bytes) else given.write_parquet(path)
        brings(workspace, path)

    feed(mutated(valid) | frames(columns, 4), read)


BESIDE = {
    "drugs": "name,smiles,aliases,pubchem_cid\nA,CC,a;b,1\n",
    "cell_lines": "name,tissue,depmap_id\nX,skin,ACH-000001\n",
    "aliases": "alias,id,kind\nA,B,drug\n",
    "graph": "relation,x_id,x_type,y_id,y_type\ntargets,A,drug,7,gene\n",
    "features": "line,g1,g2\nX,1,2\nY,3,4\n",
}


@pytest.mark.parametrize("role", BESIDE)
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_anything_beside_a_table(workspace: Workspace, role: str, suffix: str) -> None:
    if suffix == ".json" and role != "features":
        pytest.skip("JSON is a feature")
    header = BESIDE[role].partition("\n")[0]
    path, screen = workspace.root / f"b{suffix}", laid_out(workspace.root / "in", "table", {})
    strategies: dict[str, st.SearchStrategy[Any]] = {
        ".csv": mutated(BESIDE[role].encode()) | sheets(header),
        ".parquet": frames(header.split(","), 3),
        ".json": anything_for(".json", VECTORS),
    }

    def read(given: Any) -> None:
        given.write_parquet(path) if suffix == ".parquet" else path.write_bytes(given)
        brings(workspace, screen, **{role: {"f": path} if role == "features" else path}, add_entities=True)

    feed(strategies[suffix], read, files=len(BESIDE))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".parquet"])
def test_any_table_of_entities_or_pairs(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    columns = "name,kind,id,aliases,drug_a,drug_b,cell_line,score,label"

    class Everybody:
        run = SimpleNamespace(metrics={"training": {"target": "score"}})

        def resolve(self, kind: EntityKind, name: str) -> Entity:
            return Entity(name, kind, name)

    def read_measurements(path: Path) -> object:
        return read_measured(path, Everybody())  # type: ignore[arg-type]

    def read(given: Any) -> None:
        given.write_parquet(path) if suffix == ".parquet" else path.write_bytes(given)
        for reader in (read_entities, lambda path: read_entities(path, EntityKind.drug), read_pairs, read_measurements):
            with suppress(InputError):
                reader(path)  # type: ignore[operator]

    strategy = frames(columns.split(","), 3) if suffix == ".parquet" else sheets(columns) | mutated(TABLE.encode())
    feed(strategy, read, files=2)
