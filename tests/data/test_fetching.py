"""Fetch: pinned, checked, resumed, cached; tested against a server on this machine that breaks connections."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from any_bytes import feed, mutated

from l2aco.data import fetch
from l2aco.data.download import download
from l2aco.data.fetch import FetchSpec, fetch_dataset, public_datasets, unpack
from l2aco.errors import DamagedError, InputError, LockedError, UnavailableError, UnknownNameError
from l2aco.locks import WriterLock
from l2aco.progress import Silent
from l2aco.workspace import Workspace

FILES = {
    "drug_combinations.csv": (
        b"Drug1,Drug2,cell,drug1_db,drug2_db,synergy\na,b,X,DB00001,DB00002,1\na,c,X,DB00001,DB00003,-1\n"
    ),
    "drug_protein.csv": b"drug,protein\nDB00001,10\n",
    "cell_protein.csv": b"GeneSym,source_desc,protein,cell,Tissue,target_id,weight\nG,na,10,X,lung,-666,1\n",
}


class Server(ThreadingHTTPServer):
    """Serves `files`; sends at most `cut` bytes of a body and then breaks the connection, `cuts` times."""

    files: dict[str, bytes]
    cut, cuts, busy, sent, endless = 0, 0, 0, 0, False
    asked: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        body = self.server.files.get(self.path.partition("?")[0].strip("/"))
        if self.server.busy:
            self.server.busy -= 1
            self.send_error(503)
            return
        if body is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(body):
            self.send_error(416)
            return
        if self.server.endless:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while self.server.endless:
                    self.wfile.write(b"x" * 65_536)
                    self.server.sent += 65_536
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        piece = body[start:]
        if self.server.cuts:
            self.server.cuts -= 1
            piece = piece[: self.server.cut]
            self.close_connection = True
        self.wfile.write(piece)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(("127.0.0.1", 0), Handler)
    found.files, found.asked = dict(FILES), []
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.endless = False
    found.shutdown()
    found.server_close()
    thread.join(timeout=5)


@pytest.fixture
def pinned(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A public data set `tiny` whose files the server has; returns the server's address."""
    address = f"http://127.0.0.1:{server.server_address[1]}"
    entry = {
        "title": "tiny",
        "source": "graphsynergy",
        "folder": "tiny",
        "base": address,
        "terms": "none",
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in FILES.items()
        },
    }
    monkeypatch.setattr(fetch, "public_datasets", lambda: {"tiny": entry})
    monkeypatch.setenv("L2ACO_CACHE", str(tmp_path / "cache"))
    return address


def test_files_are_fetched_checked_and_imported_and_then_come_from_the_cache(
    pinned: str, server: Server, workspace: Workspace
) -> None:
    (dataset,) = fetch_dataset(FetchSpec(public="TINY"), workspace)
    assert len(dataset.triples) == 2
    assert len(server.asked) == 3
    fetch_dataset(FetchSpec(public="tiny", name="again"), workspace)
    assert len(server.asked) == 3


def test_a_connection_that_breaks_off_is_taken_up_where_it_stopped(
    pinned: str, server: Server, workspace: Workspace
) -> None:
    server.cut, server.cuts = 40, 2
    (dataset,) = fetch_dataset(FetchSpec(public="tiny"), workspace)
    assert len(dataset.triples) == 2
    ranges = [wanted for path, wanted in server.asked if path == "/drug_combinations.csv"]
    assert ranges == [None, "bytes=40-", "bytes=80-"]


def test_a_download_that_was_killed_goes_on_in_the_next_process(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "file.part"
    part.write_bytes(FILES["drug_combinations.csv"][:50])
    download(f"http://127.0.0.1:{server.server_address[1]}/drug_combinations.csv", part, 1_000, Silent())
    assert part.read_bytes() == FILES["drug_combinations.csv"]
    assert server.asked == [("/drug_combinations.csv", "bytes=50-")]
    download(f"http://127.0.0.1:{server.server_address[1]}/drug_combinations.csv", part, 1_000, Silent())
    assert part.read_bytes() == FILES["drug_combinations.csv"]


def test_a_busy_server_is_asked_again(pinned: str, server: Server, workspace: Workspace) -> None:
    server.busy = 2
    assert len(fetch_dataset(FetchSpec(public="tiny"), workspace)) == 1


@pytest.mark.parametrize("change", ["other", "cut"])
def test_a_file_that_is_not_the_pinned_one_imports_nothing(
    pinned: str, server: Server, workspace: Workspace, change: str
) -> None:
    whole = server.files["drug_protein.csv"]
    server.files["drug_protein.csv"] = whole[:-1] if change == "cut" else whole.replace(b"10", b"11")
    with pytest.raises(DamagedError, match="not the file that is pinned"):
        fetch_dataset(FetchSpec(public="tiny"), workspace)
    assert not workspace.data.exists()
    server.files["drug_protein.csv"] = whole
    assert len(fetch_dataset(FetchSpec(public="tiny"), workspace)) == 1


def test_a_server_without_end_is_left_after_the_bytes_that_are_pinned(
    pinned: str, server: Server, workspace: Workspace, tmp_path: Path
) -> None:
    server.endless = True
    with pytest.raises(DamagedError, match=f"more than the {len(FILES['drug_combinations.csv'])} bytes"):
        fetch_dataset(FetchSpec(public="tiny"), workspace)
    assert len(server.asked) == 1 and server.sent < 10 << 20
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file() and file.stat().st_size > 10_000]


def test_a_larger_file_than_the_pinned_one_is_not_kept(pinned: str, server: Server, workspace: Workspace) -> None:
    server.files["drug_protein.csv"] += b"DB00002,11\n" * 1_000
    with pytest.raises(DamagedError, match="more than the 24 bytes"):
        fetch_dataset(FetchSpec(public="tiny"), workspace)
    server.files["drug_protein.csv"] = FILES["drug_protein.csv"]
    assert len(fetch_dataset(FetchSpec(public="tiny"), workspace)) == 1


def test_a_part_that_is_too_long_begins_anew(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "file.part"
    part.write_bytes(b"x" * 2_000)
    download(f"http://127.0.0.1:{server.server_address[1]}/drug_combinations.csv", part, 1_000, Silent())
    assert part.read_bytes() == FILES["drug_combinations.csv"]


def test_two_that_fetch_the_same_do_not_write_into_one_file(
    pinned: str, server: Server, workspace: Workspace, tmp_path: Path
) -> None:
    with WriterLock(tmp_path / "cache" / "data" / "tiny", "another process's"):
        with pytest.raises(LockedError, match="cache of tiny is being written"):
            fetch_dataset(FetchSpec(public="tiny"), workspace)
    assert not server.asked
    assert len(fetch_dataset(FetchSpec(public="tiny"), workspace)) == 1


@pytest.mark.parametrize("fault", ["404", "nobody", "changed", "endless", "port"])
def test_the_secrets_of_an_address_are_told_nobody(
    pinned: str, server: Server, workspace: Workspace, cli: Any, tmp_path: Path, fault: str
) -> None:
    place = pinned.removeprefix("http://")
    if fault == "404":
        server.files.clear()
    elif fault == "changed":
        server.files["drug_combinations.csv"] = b"x" * 10
    elif fault == "endless":
        server.endless = True
    elif fault == "nobody":
        place = "127.0.0.1:9"
    else:
        place = "127.0.0.1:pass3"
    origin = f"http://me:pass1@{place}/?api_key=pass2"
    said = cli("data", "fetch", "tiny", "--from", origin, "--verbose", code=None)
    assert said.exit_code == 1 and "Error" in said.stderr
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    for secret in ("pass1", "pass2"):
        assert secret not in said.output and not any(secret.encode() in file.read_bytes() for file in kept)


def test_a_mirror_gets_the_query_of_its_address_for_every_file(
    pinned: str, server: Server, workspace: Workspace
) -> None:
    fetch_dataset(FetchSpec(public="tiny", origin=f"{pinned}/?token=abc"), workspace)
    assert sorted(path for path, _ in server.asked) == sorted(f"/{name}?token=abc" for name in FILES)


def release(path: Path, names: str) -> Path:
    """An archive like the paper's, with one data set for each of these letters."""
    part = "a\t0\tb\t1\tX\t3\t{}\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("datasets/kg/entities.dict", "0\tA\n1\tB\n3\tX\n")
        archive.writestr("datasets/kg/relations.dict", "0\tr\n")
        archive.writestr("datasets/kg/train_new.tsv", "A\tr\tB\n")
        for name in names:
            for split in ("train", "valid", "test"):
                archive.writestr(f"datasets/{name}/S1/{split}.txt", part.format(1))
    return path


def test_the_cache_keeps_nothing_of_an_earlier_archive(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L2ACO_CACHE", str(tmp_path / "cache"))
    first = FetchSpec(public="laco", origin=str(release(tmp_path / "one.zip", "de")))
    assert [dataset.name for dataset in fetch_dataset(first, workspace)] == ["laco-d", "laco-e"]
    later = FetchSpec(public="laco", name="new", origin=str(release(tmp_path / "two.zip", "e")))
    assert [dataset.name for dataset in fetch_dataset(later, workspace)] == ["new-e"]
    assert not list((tmp_path / "cache").rglob("d/S1"))


def test_an_archive_that_is_none_leaves_the_earlier_one(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L2ACO_CACHE", str(tmp_path / "cache"))
    fetch_dataset(FetchSpec(public="laco", origin=str(release(tmp_path / "one.zip", "d"))), workspace)
    (tmp_path / "two.zip").write_bytes((tmp_path / "one.zip").read_bytes()[:-40])
    with pytest.raises(InputError, match="not a zip"):
        fetch_dataset(FetchSpec(public="laco", name="b", origin=str(tmp_path / "two.zip")), workspace)
    assert list((tmp_path / "cache").rglob("d/S1"))


def test_a_place_that_does_not_answer_names_the_way_out(
    pinned: str, server: Server, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server.files["cell_protein.csv"]
    with pytest.raises(UnavailableError, match="answers 404"):
        fetch_dataset(FetchSpec(public="tiny"), workspace)
    with pytest.raises(UnavailableError, match=r"cannot be reached[\s\S]*--from"):
        fetch_dataset(FetchSpec(public="tiny", origin="http://127.0.0.1:9/nobody"), workspace)


def test_a_folder_is_checked_like_a_download(pinned: str, server: Server, workspace: Workspace) -> None:
    folder = workspace.root / "copy" / "tiny"
    folder.mkdir(parents=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    assert len(fetch_dataset(FetchSpec(public="tiny", origin=str(folder.parent)), workspace)) == 1
    (workspace.root / "other").mkdir()
    with pytest.raises(UnknownNameError, match="tiny"):
        fetch_dataset(FetchSpec(public="tinny"), workspace)
    assert server.asked == []


def test_a_changed_file_in_a_folder_is_refused(pinned: str, workspace: Workspace) -> None:
    for name, data in FILES.items():
        (workspace.root / name).write_bytes(data + b"\n" if name == "cell_protein.csv" else data)
    with pytest.raises(DamagedError, match=r"cell_protein\.csv: is not the file that is pinned"):
        fetch_dataset(FetchSpec(public="tiny", origin=str(workspace.root)), workspace)
    with pytest.raises(InputError, match="holds neither"):
        fetch_dataset(FetchSpec(public="tiny", origin=str(workspace.root / "data")), workspace)


def test_the_public_score_file_of_oneil_is_cut_to_the_pinned_columns(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("drug1,drug2,cell,score,nor,index\n5-FU,ABT-888,A375,-1.198505438,0.6,0\n")
    fetch._cut(path, public_datasets()["oneil"]["cut"]["scores_0_10.csv"]["columns"])
    assert path.read_text() == "drug_a,drug_b,cell,score\n5-FU,ABT-888,A375,-1.198505438\n"


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("../evil.txt", "x")
    with pytest.raises(InputError, match="leads out of its folder"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "evil.txt").exists()
    archive.write_text("no zip")
    with pytest.raises(InputError, match="not a zip archive"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["drugcombdb", "oncology-screen", "oneil", "drugcombdb-cid"])
def test_the_pinned_checksums_are_those_of_the_public_files(
    name: str, shared: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L2ACO_CACHE", str(workspace.root / "cache"))
    (dataset,) = fetch_dataset(FetchSpec(public=name, origin=str(shared / "data")), workspace)
    assert len(dataset.triples) > 4_000


def test_any_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("datasets/kg/entities.dict", "0\tA\n1\tB\n" * 20)
        opened.writestr("datasets/d/S1/train.txt", "a\t0\tb\t1\tX\t3\t1\n")
    valid = archive.read_bytes()

    def read(data: bytes) -> None:
        archive.write_bytes(data)
        with contextlib.suppress(OSError):  # a name that is too long for the disk
            unpack(archive, tmp_path / "inside" / "out")
        assert {path.name for path in tmp_path.iterdir()} <= {"a.zip", "inside"}

    feed(mutated(valid), read)
