"""How l2aco starts, waits for, watches and stops a server, with a stand-in for vLLM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from l2aco.errors import UnavailableError
from l2aco.files import read_json, write_json, write_toml
from l2aco.llm.catalog import Model, resolve_model
from l2aco.llm.fake.server import FakeServer
from l2aco.llm.kept import find_server, keep_server
from l2aco.llm.options import EngineOptions
from l2aco.llm.vllm import VllmEngine, vllm_command
from l2aco.workspace import Settings, user_settings_path

STAND_IN = """
import os, sys, time, subprocess
flags = sys.argv[1:]
print("flags:", *flags, flush=True)
if "--never" in flags:
    open("child.pid", "w").write(str(os.getpid())); time.sleep(600)
if "--die" in flags:
    print("ValueError: the model is too large", os.environ.get("HF_TOKEN"), flush=True); sys.exit(3)
open("token", "w").write(os.environ["VLLM_API_KEY"])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("child.pid", "w").write(str(child.pid))
from l2aco.llm.fake.server import FakeServer
time.sleep(0.3)
FakeServer(port=int(flags[flags.index("--port") + 1])).serve()
"""


NO_COMMAND = ("/no/such/python",)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("L2ACO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    return (sys.executable, str(tmp_path / "stand_in.py"))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().split()[2] != "Z"


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def engine(command: tuple[str, ...], folder: Path, said: list[str], **changes: Any) -> VllmEngine:
    model = changes.pop(
        "model", Model(alias="m", engine="vllm", model="owner/m", context=512, serve=["--dtype", "auto"])
    )
    return VllmEngine(model, EngineOptions(vllm_command=command, folder=folder, say=said.append, **changes))


def test_it_is_started_used_and_stopped_with_its_children(command: tuple[str, ...], ask: Any, tmp_path: Path) -> None:
    said: list[str] = []
    server = engine(command, tmp_path / "server", said)
    assert ask(20, engine=server).answered == 20
    assert any("Starting vLLM for owner/m" in line for line in said)
    assert "vLLM is ready" in said
    flags = (tmp_path / "server" / "server.log").read_text().splitlines()[0]
    for flag in ("--model owner/m", "--host 127.0.0.1", "--max-model-len 512", "--dtype auto"):
        assert flag in flags
    assert gone(int((tmp_path / "child.pid").read_text()))


def test_it_is_stopped_when_the_work_fails(command: tuple[str, ...], ask: Any, tmp_path: Path) -> None:
    class Broken(VllmEngine):
        async def ask(self, *_: Any) -> Any:
            raise ZeroDivisionError

    model = Model(alias="m", engine="vllm", model="owner/m")
    with pytest.raises(ZeroDivisionError):
        ask(1, engine=Broken(model, EngineOptions(vllm_command=command, folder=tmp_path)))
    assert gone(int((tmp_path / "child.pid").read_text()))


def profile_job(folder: Path, command: tuple[str, ...], **entry: Any) -> subprocess.Popen[str]:
    """`l2aco profile` of many names with a server that it starts."""
    model = {"engine": "vllm", "model": "owner/m", **entry}
    write_toml(user_settings_path(), {"vllm_command": list(command), "llms": {"m": model}})
    (folder / "names.txt").write_text("\n".join(f"name {number}" for number in range(5000)))
    arguments = ["profile", "--llm", "m", "--entities", "names.txt", "--kind", "drug", "--concurrency", "4", "-q"]
    return subprocess.Popen(
        [sys.executable, "-c", "from l2aco.cli.main import app; app()", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)


def test_it_is_stopped_on_ctrl_c(command: tuple[str, ...], tmp_path: Path) -> None:
    process = profile_job(tmp_path, command)
    wait_for(tmp_path / "profiles" / "m" / "journal.jsonl")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert gone(int((tmp_path / "child.pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_it_ends_when_the_job_is_killed(command: tuple[str, ...], tmp_path: Path) -> None:
    process = profile_job(tmp_path, command, serve=["--never"])
    wait_for(tmp_path / "child.pid")
    server = int((tmp_path / "child.pid").read_text())
    assert alive(server)
    process.kill()
    process.communicate(timeout=60)
    assert gone(server)


def test_the_last_words_of_a_server_that_dies_are_shown(command: tuple[str, ...], ask: Any, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        ask(1, engine=engine(command, tmp_path, [], vllm_flags=("--die",)))
    assert "ended with code 3" in str(caught.value)
    assert "the model is too large" in str(caught.value)


def test_a_server_that_never_gets_ready_is_stopped(
    command: tuple[str, ...], ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2aco.llm.vllm.START_LIMIT_S", 1.0)
    with pytest.raises(UnavailableError, match="did not become ready"):
        ask(1, engine=engine(command, tmp_path, [], vllm_flags=("--never",)))
    assert gone(int((tmp_path / "child.pid").read_text()))


def test_a_command_that_is_not_there_is_one_clear_error(ask: Any, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be started"):
        ask(1, engine=engine(NO_COMMAND, tmp_path, []))


def kept_record(cache: Path) -> Path:
    (path,) = (cache / "servers").iterdir()
    assert path.stat().st_mode & 0o077 == path.parent.stat().st_mode & 0o077 == 0
    return path


def test_a_kept_server_serves_the_next_run_too(command: tuple[str, ...], ask: Any, tmp_path: Path, cache: Path) -> None:
    said: list[str] = []
    assert ask(3, engine=engine(command, tmp_path / "server", said, keep_server=True)).answered == 3
    pid = read_json(kept_record(cache))["pid"]
    try:
        assert alive(pid)
        assert any(f"kill {pid}" in line for line in said)
        second = engine(NO_COMMAND, tmp_path / "another folder", said)
        assert ask(5, engine=second).answered == 2
        assert alive(pid)
        with pytest.raises(UnavailableError, match="cannot be started"):
            ask(9, engine=engine(NO_COMMAND, tmp_path, said, vllm_flags=("--other",)))
    finally:
        os.killpg(pid, signal.SIGKILL)
    assert gone(pid)
    with pytest.raises(UnavailableError, match="cannot be started"):
        ask(9, engine=engine(NO_COMMAND, tmp_path, said))


@pytest.mark.parametrize("change", [{"started": "1"}, {"pid": 1}, {"port": "80"}, {"started": ""}, {"more": 1}])
def test_a_server_that_is_not_the_one_that_was_started_is_not_asked(change: dict[str, Any], cache: Path) -> None:
    keep_server("x", 80, "token", os.getpid())
    assert find_server("x") is not None
    path = kept_record(cache)
    write_json(path, {**read_json(path), **change})
    assert find_server("x") is None


@pytest.mark.parametrize("pid", [1, os.getpid()], ids=["init", "own"])
def test_what_lies_in_a_set_names_no_server(ask: Any, tmp_path: Path, pid: int) -> None:
    with FakeServer() as other:
        write_json(tmp_path / "set" / ".server.json", {"url": other.url, "pid": pid, "model": "owner/m"})
        with pytest.raises(UnavailableError, match="cannot be started"):
            ask(1, engine=engine(NO_COMMAND, tmp_path / "set", []))
        assert other.calls == 0


def test_the_server_gets_a_token_of_its_own_and_no_proxy_sees_it(
    command: tuple[str, ...], ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L2ACO_API_KEY", "sk-for-another-server")
    with FakeServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        assert ask(2, engine=engine(command, tmp_path / "server", [])).answered == 2
        assert proxy.calls == 0
    token = (tmp_path / "token").read_text()
    assert len(token) > 20 and "sk-" not in token


def test_a_log_takes_the_place_of_a_link(command: tuple[str, ...], ask: Any, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    for name in ("server.log", "chat_template.jinja"):
        (tmp_path / f"mine {name}").write_text("mine")
        (tmp_path / "server" / name).symlink_to(tmp_path / f"mine {name}")
    model = Model(alias="m", engine="vllm", model="owner/m", chat_template="{{ messages }}")
    assert ask(1, engine=engine(command, tmp_path / "server", [], model=model)).answered == 1
    assert {path.read_text() for path in tmp_path.glob("mine *")} == {"mine"}


def test_a_key_in_the_last_words_is_not_shown(
    command: tuple[str, ...], ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted0123456789")
    with pytest.raises(UnavailableError) as caught:
        ask(1, engine=engine(command, tmp_path, [], vllm_flags=("--die",)))
    assert "[key]" in str(caught.value) and "hf_planted" not in str(caught.value)


def test_traps_of_a_model_become_flags(command: tuple[str, ...], ask: Any, tmp_path: Path) -> None:
    baichuan = resolve_model("Baichuan2-chat")
    ask(1, engine=engine(command, tmp_path / "server", [], model=baichuan))
    flags = (tmp_path / "server" / "server.log").read_text().splitlines()[0]
    assert "--trust-remote-code" in flags
    template = Path(flags.split("--chat-template ")[1].split()[0])
    assert "<reserved_106>" in template.read_text()


def test_the_chat_template_of_baichuan_renders_a_conversation() -> None:
    import jinja2

    messages = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": "A"},
    ]
    template = jinja2.Template(resolve_model("Baichuan2-chat").chat_template or "")
    assert template.render(messages=messages, add_generation_prompt=True) == (
        "S<reserved_106>U<reserved_107>A<reserved_107>"
    )


def test_where_the_command_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2ACO_VLLM_COMMAND", "/opt/python -m 'vllm server'")
    assert vllm_command(None) == ("/opt/python", "-m", "vllm server")
    assert vllm_command(Settings(vllm_command=["a", "b"])) == ("a", "b")
    monkeypatch.delenv("L2ACO_VLLM_COMMAND")
    monkeypatch.setattr("l2aco.llm.vllm.has_gpu", lambda: False)
    assert vllm_command(None) is None
