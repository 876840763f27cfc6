"""Whatever lies in a file of a data set or a split, it is read, or refused in one message."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from any_bytes import altered_json, arrays, dumps, feed, frames, json_texts, kept, mutated
from datasets_for_tests import entities, write
from hypothesis import strategies as st

from l2aco.cli.complete import completer
from l2aco.data.catalog import list_datasets, open_dataset
from l2aco.data.dataset import DataSet
from l2aco.data.export import MARK, export_dataset
from l2aco.data.features import brought_features, table_in
from l2aco.data.features.table import FeatureRows
from l2aco.data.info import describe_dataset, import_report
from l2aco.data.merging import merge_datasets
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import SplitSpec
from l2aco.entities import EntityKind
from l2aco.files import sha256_bytes, stable_hash
from l2aco.runs.evaluate import SHOWN, mean_row, naive_baselines
from l2aco.workspace import Workspace

Feed = Callable[..., None]
ROWS = [(a, b, c, (a * b + c) % 5 - 2) for a in range(6) for b in range(a) for c in range(6)]


@pytest.fixture(autouse=True)
def no_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled profiles, which no test here is about, are searched by `data info` for every entity."""
    monkeypatch.setattr("l2aco.profiles.sets.list_profile_sets", lambda *_, **__: [])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """A data set with everything that one can have."""
    workspace = Workspace(tmp_path_factory.mktemp("sound"))
    lines = [line.id for line in entities(40, "L", EntityKind.cell_line)]
    parts = {"train": range(40), "valid": range(40, 60), "test": range(60, 80)}
    table = pl.DataFrame(
        {column: [f"{letter}{row[place]:02d}" for row in ROWS] for place, (column, letter) in enumerate(ENDS.items())}
    )
    return write(
        workspace,
        [*ROWS, *ROWS[:9]],
        graph_nodes={"protein": ["1", "2"]},
        graph_edges={("drug", "targets", "protein"): (["D00", "D01"], ["1", "2"])},
        gene_symbols={"1": "EGFR", "2": "TP53"},
        features={
            "expression": FeatureRows(EntityKind.cell_line, lines, np.ones((40, 3), np.float32), ("a", "b", "c"))
        },
        splits={"novel-cell": {part: table[list(rows)] for part, rows in parts.items()}},
        extra={"source": "table", "resolution": {"drugs": {"matched": ["a -> b"]}}, "notes": ["a note"]},
    )


ENDS = {"drug_a": "D", "drug_b": "D", "cell_line": "L"}
Broken = Callable[..., Path]


@pytest.fixture
def broken(sound: DataSet, workspace: Workspace) -> Broken:
    """`broken({path: bytes}, manifest)`: a copy of the data set with these files, and a manifest that knows them."""
    root = workspace.data / "small"

    shutil.copytree(sound.path, root)
    put_back = kept(root)

    def make(files: dict[str, bytes], manifest: Any = None) -> Path:
        put_back()
        value = json.loads((root / "manifest.json").read_text()) if manifest is None else manifest
        for path, data in files.items():
            (root / path).write_bytes(data)
            value["files"][path] = sha256_bytes(data)
        (root / "manifest.json").write_text(value if isinstance(value, str) else dumps(value))
        return root

    return make


def use(root: Path) -> None:
    """What the commands do with a data set."""
    workspace = Workspace(root.parents[1])
    list_datasets(workspace)
    dataset = open_dataset("small", workspace)
    import_report(dataset)
    describe_dataset(dataset, workspace)
    for name in brought_features(dataset):
        table_in(dataset, name)
    for setting in ("novel-cell", "random", "novel-tissue"):
        make_split(dataset, SplitSpec(setting=setting))


def test_the_data_set_of_these_tests_is_sound(broken: Broken, sound: DataSet) -> None:
    use(broken({}))
    assert {Path(name).parts[0] for name in sound.manifest["files"]} == {
        *("entities.parquet", "triples.parquet", "graph.npz", "gene_symbols.parquet", "features", "released"),
    }


def test_any_manifest(broken: Broken) -> None:
    feed(json_texts(), lambda text: use(broken({}, text)))


def test_a_manifest_with_anything_in_its_places(broken: Broken, sound: DataSet) -> None:
    feed(altered_json(sound.manifest), lambda value: use(broken({}, value)))


FILES = ["entities.parquet", "triples.parquet", "gene_symbols.parquet", "graph.npz", "features/expression.npz"]


@pytest.mark.parametrize("name", [*FILES, "released/novel-cell.npz"])
def test_files_with_any_bytes(broken: Broken, sound: DataSet, name: str) -> None:
    valid = (sound.path / name).read_bytes()
    feed(mutated(valid), lambda data: use(broken({name: data})))


@pytest.mark.parametrize("name", FILES[:3])
def test_parquet_of_any_columns(broken: Broken, sound: DataSet, name: str) -> None:
    table = pl.read_parquet(sound.path / name)

    def read(frame: pl.DataFrame) -> None:
        other = frame.with_columns(table[column] for column in table.columns if len(frame) == len(table))
        for made in (frame, other.with_columns(frame[column] for column in frame.columns[:1])):
            stream = io.BytesIO()
            made.write_parquet(stream)
            use(broken({name: stream.getvalue()}))

    feed(frames(table.columns, len(table)), read, files=3)


@pytest.mark.parametrize("name", [*FILES[3:], "released/novel-cell.npz"])
def test_npz_of_any_arrays(broken: Broken, sound: DataSet, name: str) -> None:
    with np.load(sound.path / name) as stored:
        valid = {part: stored[part] for part in stored.files}

    def read(change: tuple[str, Any]) -> None:
        stream = io.BytesIO()
        np.savez(stream, **{**valid, change[0]: change[1]})
        use(broken({name: stream.getvalue()}))

    feed(st.tuples(st.sampled_from(sorted(valid)), arrays(40, 3)), read)


def test_an_index_of_a_graph_with_anything_in_its_places(broken: Broken, sound: DataSet) -> None:
    with np.load(sound.path / "graph.npz") as stored:
        valid = {part: stored[part] for part in stored.files}

    def read(index: Any) -> None:
        stream = io.BytesIO()
        np.savez(stream, **{**valid, "index": np.frombuffer(dumps(index).encode(), dtype=np.uint8)})
        use(broken({"graph.npz": stream.getvalue()}))

    feed(altered_json(json.loads(valid["index"].tobytes())), read)


def stored_split(sound: DataSet) -> Path:
    return next((sound.path / "splits").glob("*.npz"), None) or _made(sound)


def _made(sound: DataSet) -> Path:
    make_split(sound, SplitSpec(setting="random"))
    return stored_split(sound)


def test_split_files_of_anything(broken: Broken, sound: DataSet) -> None:
    path = stored_split(sound)
    described = json.loads(path.with_suffix(".json").read_text())
    with np.load(path) as stored:
        parts = {part: stored[part] for part in stored.files}

    def read(given: tuple[bytes | None, Any, tuple[str, Any]]) -> None:
        data, value, change = given
        root = broken({}) / "splits"
        root.mkdir(exist_ok=True)
        changed = {**parts, change[0]: change[1]}
        hashes = [sha256_bytes(changed[part].astype("<i8", casting="unsafe").tobytes()) for part in parts]
        (root / path.name).with_suffix(".json").write_text(
            dumps(value).replace(described["rows_hash"], stable_hash(hashes))
        )
        if data is None:
            with (root / path.name).open("wb") as stream:
                np.savez(stream, **changed)
        else:
            (root / path.name).write_bytes(data)
        make_split(open_dataset("small", Workspace(root.parents[2])), SplitSpec(setting="random"))

    numbers = arrays(len(parts["train"]), 3).filter(lambda array: array.dtype.kind in "iufb")
    change = st.tuples(st.sampled_from(sorted(parts)), numbers)
    value = st.just(described) | altered_json(described)
    feed(st.tuples(st.none() | mutated(path.read_bytes()), value, change), read)


KEPT = [{**dict.fromkeys(SHOWN, 0.5), "model": "pair mean", "macro_auroc": None, "rows": 9, "cell_lines": 2}]


def test_anything_in_what_is_kept_beside_a_split(sound: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SplitSpec(setting="random")
    split = make_split(sound, spec)
    predicted = {"pair mean": np.linspace(0, 1, len(split.test))}  # what they predict takes most of the time
    monkeypatch.setattr("l2aco.runs.naive.predict_naive", lambda *_: predicted)
    computed = naive_baselines(sound, split)
    (path,) = (sound.path / "naive").iterdir()

    def read(text: str) -> None:
        path.write_text(text)
        for row in naive_baselines(sound, split):
            mean_row(row["model"], [row])
            assert -1 <= row["auroc"] <= 1 or np.isnan(row["auroc"])

    feed(altered_json(KEPT).map(dumps) | json_texts(), read)
    path.unlink()
    assert repr(naive_baselines(sound, split)) == repr(computed)


def test_a_kept_feature_with_anything_in_it_is_made_again(sound: DataSet) -> None:
    made = table_in(sound, "tissue")
    (path,) = (sound.path / "features" / "cache").glob("tissue-*.npz")
    valid = path.read_bytes()
    with np.load(path) as stored:
        parts = {part: stored[part] for part in stored.files}

    def read(given: bytes | tuple[str, Any]) -> None:
        if isinstance(given, bytes):
            path.write_bytes(given)
        else:
            with path.open("wb") as stream:
                np.savez(stream, **{**parts, given[0]: given[1]})
        assert len(table_in(sound, "tissue").mask) == len(made.mask)

    feed(mutated(valid) | st.tuples(st.sampled_from(sorted(parts)), arrays(40, 3)), read)


def test_what_is_exported_and_merged_survives(sound: DataSet, tmp_path: Path) -> None:
    export_dataset(sound, tmp_path / "out")
    merged = merge_datasets([sound, sound], "both", Workspace(tmp_path))
    assert len(merged.triples) == len(sound.triples)


def test_what_a_shell_completes_of_any_data_set(broken: Broken, sound: DataSet) -> None:
    valid = (sound.path / "entities.parquet").read_bytes()

    context: Any = SimpleNamespace(params={"workspace": None})
    assert len(completer("drug")(context, "d")) == len(sound.drugs)

    def read(data: bytes) -> None:
        broken({"entities.parquet": data})
        assert isinstance(completer("drug")(context, ""), list)

    feed(mutated(valid), read)


def test_any_mark_of_an_export(sound: DataSet, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "own.txt").write_text("mine")

    def read(text: str) -> None:
        (tmp_path / "out" / MARK).write_text(text)
        export_dataset(sound, tmp_path / "out", replace=True)

    feed(json_texts(), read)
    assert (tmp_path / "out" / "own.txt").read_text() == "mine"
