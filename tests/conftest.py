"""Fixtures for every test: a fresh workspace, the real data where it is at hand, the command line in-process."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from screen import BROWSER
from typer.testing import CliRunner

from l2aco.workspace import Workspace

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests marked long")


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C as at a terminal; property tests of 200 examples, 10,000 with --long, and no clock that load breaks."""
    from hypothesis import HealthCheck, settings

    # A shell that puts this in the background has us ignore Ctrl-C, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    examples = 10_000 if config.getoption("--long") else 200
    quiet = list(HealthCheck)
    settings.register_profile("house", max_examples=examples, deadline=None, suppress_health_check=quiet, database=None)
    settings.load_profile("house")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="long: runs under `make test-long`"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real public data; see docs/development.md for its layout."""
    folder = Path(os.environ.get("L2ACO_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}: set L2ACO_SHARED to the folder that holds data/graphsynergy")
    return folder


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's own configuration would stand; not that of whoever runs the tests."""
    path = tmp_path_factory.mktemp("configuration") / "config.toml"
    monkeypatch.setenv("L2ACO_CONFIG", str(path))
    return path


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace that is also the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("L2ACO_WORKSPACE", raising=False)
    yield Workspace(tmp_path)


@pytest.fixture
def cli() -> Callable[..., Any]:
    """`cli("profile", "--llm", "fake")` runs the command in this process and returns typer's result."""
    from l2aco.cli.main import app

    def run(*arguments: object, code: int | None = 0) -> Any:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if code is not None:
            unexpected = result.exception if not isinstance(result.exception, SystemExit) else None
            assert result.exit_code == code, f"exit {result.exit_code}\n{result.output}\n{unexpected!r}"
        return result

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real one, where there is one; not for a session, since its loop would be in the way of others."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the simulated demo and a store `reference--toy` of 16-d vectors for all its entities."""
    import numpy as np

    from l2aco.data.catalog import open_or_simulate
    from l2aco.embeddings.encoders.spec import EncoderSpec
    from l2aco.embeddings.store.segments import StoreRecord
    from l2aco.embeddings.store.store import EmbeddingStore

    folder = tmp_path_factory.mktemp("lab")
    dataset = open_or_simulate("demo", Workspace(folder))
    entities = [*dataset.drugs, *dataset.cell_lines]
    vectors = np.random.default_rng(0).standard_normal((len(entities), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    encoder = EncoderSpec(name="toy", runtime="hash", model="toy", dimension=16, window=512)
    store = EmbeddingStore.create(folder / "embeddings" / "reference--toy", encoder)
    store.upsert([StoreRecord(item.kind.value, item.id, item.name, f"about {item.name}") for item in entities], vectors)
    return folder


@pytest.fixture
def lab(lab_folder: Path, workspace: Workspace) -> Workspace:
    """A copy of `lab_folder` that a test may break; it is also the current folder."""
    import shutil

    shutil.copytree(lab_folder, workspace.root, dirs_exist_ok=True)
    return Workspace(workspace.root)


@pytest.fixture
def apart() -> Callable[..., str]:
    """`apart("embed", "--executor", "ray")` runs the command in a process of its own, which Ray may take with it when
    it goes, and returns what it printed."""

    def run(*arguments: object) -> str:
        command = [sys.executable, "-c", "from l2aco.cli.main import app; app()", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Ray of two workers on this machine, which lets in whoever knows its token."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(16))
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    quiet = "include_dashboard=False, log_to_driver=False, logging_level='ERROR'"
    code = f"import ray; print(ray.init(num_cpus=2, {quiet}).address_info['address'], flush=True); input()"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as head:
        assert head.stdout is not None
        yield head.stdout.readline().strip()
        head.communicate("\n")
