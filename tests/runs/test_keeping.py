"""Runs that are moved, deleted and taken for their vectors, as people do it: by commands."""

from __future__ import annotations

import json
import zipfile

import polars as pl
import pytest

from l2aco.bounds import MAX_WHOLE
from l2aco.files import sha256_bytes, sha256_file
from l2aco.runs.run import list_runs, open_run
from l2aco.runs.spec import TrainSpec
from l2aco.training.ensemble import make_ensemble
from l2aco.training.train import train
from l2aco.workspace import Workspace

PAIR = ("--drug-a", "Gemcitabine", "--drug-b", "Erlotinib", "--cell", "A375", "--json")


@pytest.fixture
def kept(lab):
    """A workspace with a network, a mixed model, and the ensemble of the two."""
    network = train(TrainSpec(backbone="GCN", epochs=1, learning_rate=0.01), lab)
    mixed = train(TrainSpec(backbone="Mixed", store=()), lab)
    return lab, network, mixed, make_ensemble([network, mixed], lab)


def test_runs_move_and_go_with_what_they_need(kept, cli, tmp_path):
    lab, network, mixed, both = kept
    archive, there = tmp_path / "both.zip", tmp_path / "there"
    told = json.loads(cli("runs", "export", both.id, archive, "--json").stdout)
    assert set(told["runs"]) == {both.id, network.id, mixed.id}
    assert "exists already" in cli("runs", "export", both.id, archive, code=2).stderr
    cli("runs", "import", archive, "-w", there)
    here, moved = (json.loads(cli("predict", both.id, *PAIR, "-w", place).stdout) for place in (lab.root, there))
    assert here == moved, "without data set and stores"
    assert "here already" in cli("runs", "import", archive, "-w", there, code=2).stderr

    assert both.id in cli("runs", "delete", network.id, "--yes", code=2).stderr
    assert "--yes" in cli("runs", "delete", both.id, code=2).stderr
    cli("runs", "delete", both.id, network.id, "--yes")
    assert [run.id for run in list_runs(lab)] == [mixed.id]
    cli("runs", "import", archive)
    assert len(list_runs(lab)) == 3, "the one that is there stays"

    rows = json.loads(cli("runs", "list", "--json").stdout)
    assert len(rows) == 3 and all(row["differs"] == "" for row in rows), "nobody is called alike"
    again = cli("train", "--spec", network.path / "spec.toml")
    assert "is there already" in again.stderr and network.id in again.stdout

    output = tmp_path / "v.parquet"
    lengths = json.loads(cli("runs", "embed", network.id, "-o", output, "--json").stdout)["dimensions"]
    found = pl.read_parquet(output)
    assert {*found["kind"]} == {"drug", "cell_line"} and "A375" in found["name"].to_list()
    assert {len(vector) for vector in found.filter(kind="drug")["vector"]} == {lengths["drug"]}
    assert "learns no vectors" in cli("runs", "embed", mixed.id, code=2).stderr


def test_an_archive_that_is_none_leaves_nothing(kept, cli, tmp_path):
    lab, network, *_ = kept
    good, there = tmp_path / "good.zip", tmp_path / "there"
    cli("runs", "export", network.id, good)
    with zipfile.ZipFile(good) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}

    def refused(entries, code=1):
        bad = tmp_path / "bad.zip"
        with zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        error = cli("runs", "import", bad, "-w", there, code=code).stderr
        assert not list_runs(Workspace(there)) and not (tmp_path / "evil").exists()
        return error

    assert "no file of a run" in refused(files | {"../evil/x": b""})
    assert "no file of a run" in refused(files | {f"{network.id}/a/b": b""})
    assert "does not name" in refused(files | {f"{network.id}/more": b""})
    assert "checksum" in refused(files | {f"{network.id}/metrics.json": b"{}"})
    large = b"[" + b" " * MAX_WHOLE + b"]"  # a tenth of a percent of that, as it is packed
    assert f"more than {MAX_WHOLE:,} bytes" in refused(files | {f"{network.id}/manifest.json": large})
    assert "without its manifest" in refused({f"{network.id}/metrics.json": b"{}"})
    (tmp_path / "text.zip").write_text("no archive")
    assert "is no archive" in cli("runs", "import", tmp_path / "text.zip", "-w", there, code=1).stderr
    assert open_run(network.id, lab).id == network.id


def test_the_end_of_a_training_says_whether_knowledge_helped(lab, cli):
    first = cli("train", "--backbone", "GCN", "--set", "epochs=1", "-q")
    assert "SIMULATED" in first.stderr and "--align none" in first.stdout
    spec = next(iter(list_runs(lab))).path / "spec.toml"
    alone = cli("train", "--spec", spec, "--align", "none", "-q")
    assert "no knowledge" in alone.stdout
    told = json.loads(cli("train", "--spec", spec, "--json").stdout)["knowledge"]
    assert "with it" in told and "without" in told and "one split and one seed" in told
    assert len(list_runs(lab)) == 2
    cli("train", "--spec", spec, "--again", "-q")
    assert len(list_runs(lab)) == 3


def _forged(run, path, name, members=None, files=None):
    """An archive of a copy of `run` called `name`, with these members or names of files in its manifest."""
    manifest = json.loads((run.path / "manifest.json").read_text())
    data = {file: (run.path / file).read_bytes() for file in manifest["files"]}
    if members is not None:
        data["members.json"] = json.dumps(members).encode()
        manifest["files"]["members.json"] = sha256_bytes(data["members.json"])
    manifest["files"] |= files or {}
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in {**data, "manifest.json": json.dumps(manifest).encode()}.items():
            archive.writestr(f"{name}/{file}", content)


def test_a_run_from_anybody_takes_nothing_along_from_outside(kept, cli, tmp_path):
    """Neither by the names of its files nor by those of its members, and it is no part of itself."""
    lab, network, mixed, _ = kept
    bad, secret = tmp_path / "bad.zip", tmp_path / "secret"
    secret.write_text("what others shall not have")
    for name in (str(secret), f"../../../{secret.name}", "", ".hidden"):
        _forged(network, bad, "forged", files={name: sha256_file(secret)})
        assert "leads out" in cli("runs", "import", bad, code=1).stderr
    member = {"run": "forged", "manifest": "0" * 64, "weight": 0.5, "slope": 1.0, "intercept": 0.0}
    for wrong in ({}, {"run": f"../runs/{mixed.id}", "manifest": sha256_file(mixed.path / "manifest.json")}):
        _forged(network, bad, "forged", [member | wrong, member | wrong])
        cli("runs", "import", bad)
        assert "Error" in cli("runs", "export", "forged", tmp_path / "out.zip", code=1).stderr
        assert not (tmp_path / "out.zip").exists()
        cli("runs", "delete", "forged", "--yes")
    assert {run.id for run in list_runs(lab)} >= {network.id, mixed.id}


def test_a_damaged_ensemble_keeps_no_run_from_going(kept, cli, tmp_path):
    lab, network, mixed, both = kept
    cli("runs", "delete", both.id, "--yes")
    _forged(network, tmp_path / "bad.zip", "damaged", [])
    cli("runs", "import", tmp_path / "bad.zip")
    (lab.runs / f".deleted-{network.id}" / "left").mkdir(parents=True)
    cli("runs", "delete", network.id, "--yes")
    elsewhere = tmp_path / "elsewhere"
    mixed.path.rename(elsewhere)
    mixed.path.symlink_to(elsewhere)
    cli("runs", "delete", mixed.id, "--yes")
    assert (elsewhere / "manifest.json").is_file(), "the link goes, not what it leads to"
    assert [run.id for run in list_runs(lab)] == ["damaged"]
    assert not list(lab.runs.glob(".deleted-*"))
