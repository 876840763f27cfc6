"""Whatever lies in the folder of a run, it is read, or refused in one message."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from any_bytes import altered_json, arrays, dumps, feed, frames, json_texts, kept, mutated
from hypothesis import strategies as st
from pydantic import BaseModel

from l2aco.data.splits.spec import SplitSpec
from l2aco.embeddings.spec import EmbedSpec
from l2aco.entities import EntityKind
from l2aco.errors import DamagedError, L2aCoError
from l2aco.files import checked_spec, sha256_bytes
from l2aco.profiles.spec import ProfileSpec
from l2aco.runs.compare import compare_runs
from l2aco.runs.ensemble import MEMBERS
from l2aco.runs.evaluate import better_naive, comparison, evaluate_run, group_rows, summarise
from l2aco.runs.keep import export_run, import_runs
from l2aco.runs.run import Run, list_runs, open_run, run_rows
from l2aco.runs.spec import TrainSpec
from l2aco.training.ensemble import make_ensemble
from l2aco.training.train import train
from l2aco.workspace import Workspace

Broken = Callable[..., Path]
SMALL: dict[str, Any] = {"config": {"hidden": 8, "out": 8}, "epochs": 1}
SPECS: dict[str, dict[str, Any]] = {
    "GCN": {"backbone": "GCN", **SMALL},
    "MLP": {"backbone": "MLP", **SMALL},
    "Mixed": {"backbone": "Mixed"},
    "offset": {"backbone": "MLP", "offset": "mixed", **SMALL},
}


@pytest.fixture(scope="module")
def sound(lab_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Runs of a graph, of features, of a model that is fitted at once, and of a network that stands on one."""
    root = tmp_path_factory.mktemp("runs") / "lab"
    shutil.copytree(lab_folder, root)
    return {name: train(TrainSpec(store=["reference--toy"], **spec), Workspace(root)) for name, spec in SPECS.items()}


@pytest.fixture
def broken(sound: dict[str, Run], workspace: Workspace) -> Broken:
    """`broken(backbone, {file: bytes}, manifest)`: a copy of a run with these files, and a manifest that knows them."""
    root = workspace.runs / "a"
    copies: dict[str, Callable[[], None]] = {}

    def make(backbone: str, files: dict[str, bytes], manifest: Any = None) -> Path:
        if backbone not in copies:
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(sound[backbone].path, root)
            copies.clear()
            copies[backbone] = kept(root)
        copies[backbone]()
        value = json.loads((root / "manifest.json").read_text()) if manifest is None else manifest
        for name, data in files.items():
            (root / name).write_bytes(data)
            value["files"][name] = sha256_bytes(data)
        (root / "manifest.json").write_text(value if isinstance(value, str) else dumps(value))
        return root

    return make


def look(root: Path) -> None:
    """What the commands do with a run without its model."""
    workspace = Workspace(root.parents[1])
    run_rows(workspace)
    run = open_run("a", workspace)
    comparison(run, run.metrics)
    for name in ("stratum", "tissue"):
        group_rows(run.metrics["test"], name)
    better_naive(run)
    summarise([run, run])
    compare_runs([run, run])
    for kind in EntityKind:
        run.counts(kind)
    run.history  # noqa: B018
    run.environment  # noqa: B018


LOOKS: dict[str, Callable[[Run], object]] = {
    "environment.json": lambda run: run.environment,
    "spec.toml": lambda run: run_rows(run.workspace) and run.spec,
    "history.csv": lambda run: run.history,
    "predictions.parquet": lambda run: run.tested(),
    "entities.parquet": lambda run: [run.counts(kind) for kind in EntityKind],
}
"""The one thing that the commands do with a file that nothing else of a run depends on."""


def look_at(root: Path, name: str) -> None:
    """At a file that the manifest vouches for."""
    LOOKS[name](open_run("a", Workspace(root.parents[1])))


def use(root: Path) -> None:
    """What the commands do with it and its model."""
    look(root)
    ask(root)
    evaluate_run(open_run("a", Workspace(root.parents[1])))


def ask(root: Path) -> None:
    """The model alone: it gives numbers for rows, or says what is wrong with it."""
    run = open_run("a", Workspace(root.parents[1]))
    for kind in EntityKind:
        run.entities(kind)
    predictor = run.predictor()
    few = np.arange(min(5, *(len(predictor.entities(kind)) for kind in EntityKind)))
    assert np.isfinite(predictor.predict_rows(few, few[::-1], few)).all()
    predictor.expected_rows(few, few[::-1], few)


def test_the_runs_of_these_tests_are_sound(broken: Broken) -> None:
    for name in SPECS:
        use(broken(name, {}))


def test_any_manifest(broken: Broken) -> None:
    feed(json_texts(), lambda text: look(broken("MLP", {}, text)))


def test_a_manifest_with_anything_in_its_places(broken: Broken, sound: dict[str, Run]) -> None:
    feed(altered_json(sound["MLP"].manifest), lambda value: look(broken("MLP", {}, value)))


def test_metrics_with_anything_in_their_places(broken: Broken, sound: dict[str, Run]) -> None:
    valid = json.loads((sound["MLP"].path / "metrics.json").read_text())
    few = {**valid, "test": {**valid["test"], "per_cell_line": {}}}
    either = altered_json(few).map(dumps) | json_texts()
    feed(either, lambda text: look(broken("MLP", {"metrics.json": text.encode()})))


SPECS_OF_USERS = [
    (
        TrainSpec,
        {**SPECS["offset"], "store": ["a"], "split": {"setting": "random", "fold": 1}, "align": {"loss": "none"}},
    ),
    (SplitSpec, {"setting": "random", "fold": 1, "folds": 5, "seed": 3}),
    (EmbedSpec, {"sets": ["a"], "encoder": "minilm"}),
    (ProfileSpec, {"llm": "fake", "prompt": "plain", "seed": 1}),
]


@pytest.mark.parametrize(("kind", "valid"), SPECS_OF_USERS, ids=[kind.__name__ for kind, _ in SPECS_OF_USERS])
def test_a_spec_with_anything_in_its_places(kind: type[BaseModel], valid: dict[str, Any]) -> None:
    checked_spec(kind, valid)
    feed(altered_json(valid), lambda value: checked_spec(kind, value), len(SPECS_OF_USERS))


@pytest.mark.parametrize(
    "name", ["environment.json", "spec.toml", "history.csv", "predictions.parquet", "entities.parquet"]
)
def test_files_with_any_bytes(broken: Broken, sound: dict[str, Run], name: str) -> None:
    valid = (sound["MLP"].path / name).read_bytes()
    feed(mutated(valid), lambda data: look_at(broken("MLP", {name: data}), name))


@pytest.mark.parametrize("name", ["predictions.parquet", "entities.parquet"])
def test_parquet_of_any_columns(broken: Broken, sound: dict[str, Run], name: str) -> None:
    table = pl.read_parquet(sound["MLP"].path / name)

    def read(frame: pl.DataFrame) -> None:
        other = frame.with_columns(table[column] for column in table.columns if len(frame) == len(table))
        for made in (frame, other.with_columns(frame[column] for column in frame.columns[:1])):
            stream = io.BytesIO()
            made.write_parquet(stream)
            look_at(broken("MLP", {name: stream.getvalue()}), name)

    feed(frames(table.columns, len(table)), read, files=2)


MODELS = [
    ("GCN", "inputs.npz"),
    ("MLP", "inputs.npz"),
    ("MLP", "model.safetensors"),
    ("Mixed", "model.npz"),
    ("offset", "offset.npz"),
]
FILES = [name for _, name in MODELS]


@pytest.mark.parametrize(("backbone", "name"), MODELS)
def test_models_with_any_bytes(broken: Broken, sound: dict[str, Run], backbone: str, name: str) -> None:
    valid = (sound[backbone].path / name).read_bytes()
    feed(mutated(valid), lambda data: ask(broken(backbone, {name: data})), len(MODELS))


@pytest.mark.parametrize(("backbone", "name"), [(model, file) for model, file in MODELS if file.endswith(".npz")])
def test_npz_of_any_arrays(broken: Broken, sound: dict[str, Run], backbone: str, name: str) -> None:
    with np.load(sound[backbone].path / name) as stored:
        valid = {part: stored[part] for part in stored.files}

    def read(change: tuple[str, Any]) -> None:
        stream = io.BytesIO()
        np.savez(stream, **{**valid, change[0]: change[1]})
        ask(broken(backbone, {name: stream.getvalue()}))

    feed(st.tuples(st.sampled_from(sorted(valid)), arrays(40, 3)), read, FILES.count(name))


@pytest.mark.parametrize(("backbone", "name"), [("Mixed", "model.npz"), ("offset", "offset.npz")])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_no_number_that_is_none_is_ever_ranked(
    broken: Broken, sound: dict[str, Run], backbone: str, name: str, wrong: float
) -> None:
    with np.load(sound[backbone].path / name) as stored:
        valid = {part: stored[part] for part in stored.files}
    numbers = [part for part, array in valid.items() if array.dtype.kind == "f" and array.size]
    for part in numbers:
        stream = io.BytesIO()
        changed = valid[part].copy()
        changed.reshape(-1)[0] = wrong
        np.savez(stream, **{**valid, part: changed})
        if part.endswith("_scale") and wrong == np.inf:  # a column that tells nobody apart
            continue
        with pytest.raises(DamagedError):
            ask(broken(backbone, {name: stream.getvalue()}))


def test_weights_and_calibrations_that_are_no_numbers_are_refused(
    broken: Broken, sound: dict[str, Run], cli: Callable[..., Any]
) -> None:
    from safetensors.numpy import load, save

    weights = load((sound["MLP"].path / "model.safetensors").read_bytes())
    for name in weights:
        changed = {**weights, name: np.full_like(weights[name], np.nan)}
        with pytest.raises(DamagedError, match="finite"):
            ask(broken("MLP", {"model.safetensors": save(changed)}))
    assert "not finite" in cli("recommend", "--cell", "A375", code=1).stderr
    metrics = json.loads((sound["MLP"].path / "metrics.json").read_text())
    metrics["calibration"]["slope"] = None  # which stands for NaN
    with pytest.raises(DamagedError, match=r"slope.*finite"):
        ask(broken("MLP", {"metrics.json": json.dumps(metrics).encode()}))


def test_any_archive_of_runs(sound: dict[str, Run], workspace: Workspace) -> None:
    path = workspace.root / "run.zip"
    export_run(sound["Mixed"], path)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        shutil.rmtree(workspace.runs, ignore_errors=True)
        try:
            import_runs(path, workspace)
        except L2aCoError:
            assert not list_runs(workspace)
            raise

    read(path.read_bytes())
    feed(mutated(path.read_bytes()), read)


def test_any_members_of_an_ensemble(broken: Broken, sound: dict[str, Run], workspace: Workspace) -> None:
    members = [sound["Mixed"], sound["MLP"]]
    made = make_ensemble(members, members[0].workspace)
    for run in members:
        shutil.copytree(run.path, workspace.runs / run.id)
    valid = json.loads((made.path / MEMBERS).read_text())

    def read(text: str) -> None:
        ask(broken("ensemble", {MEMBERS: text.encode()}))

    sound["ensemble"] = made
    try:
        read(dumps(valid))
        for wrong in ([], {}, valid[:1], [{**member, "weight": "much"} for member in valid], [{"run": "x"}]):
            with pytest.raises(DamagedError) as told:
                read(dumps(wrong))
            assert "l2aco ensemble" in str(told.value.remedy) and MEMBERS in str(told.value.where)
        feed(altered_json(valid).map(dumps) | json_texts(), read)
    finally:
        del sound["ensemble"]
