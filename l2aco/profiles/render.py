"""Prompt templates, rendered where they can do no harm.

A template of a workspace may come from anybody. Jinja's sandbox lets it see its data and nothing else; and because a
loop or a long number can hold a process up or fill its memory from inside any sandbox, it is rendered by a helper
process that the system ends when it takes too much. Templates that ship with L2aCo are rendered in this process.
"""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

MOST_CHARACTERS = 200_000
"""In one message; no model of the catalog reads more."""
CPU_SECONDS = 2
MEMORY = 1 << 30
_HELPER = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from l2aco.profiles.render import serve; serve()"


class NotRendered(Exception):  # noqa: N818  (the caller says where, and makes an InputError of it)
    """Why a template gave no text."""


def render(texts: Sequence[str], values: Mapping[str, Any], *, trusted: bool) -> list[str]:
    """Each text rendered with `values`, plain data, and stripped; raises NotRendered.

    A name that `values` lack is an error, a fact of the entity that is not known is empty. Without trust the helper
    renders, which may take 2 seconds of a processor and 1 GB.
    """
    plain = json.dumps({"texts": list(texts), "values": values}, default=str)
    return _render(**json.loads(plain)) if trusted else _helper.render(plain)


def _render(texts: list[str], values: dict[str, Any]) -> list[str]:
    entity = values.get("entity", {})
    values = {**values, "entity": {**entity, "facts": _Facts(entity.get("facts", {}))}}
    return [_one(_compiled(text), values) for text in texts]


class _Facts(dict[str, Any]):
    """Facts of an entity; one that is not known is empty, so that templates can ask for any."""

    def __missing__(self, key: str) -> str:
        return ""


@functools.lru_cache(maxsize=64)
def _compiled(text: str) -> Any:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    try:
        return environment.from_string(text)
    except Exception as error:  # whatever a compiler says of a text that anybody may have written
        raise NotRendered(f"is not a valid template ({_why(error)})") from None


def _one(template: Any, values: Mapping[str, Any]) -> str:
    pieces, length = [], 0
    try:
        for piece in template.generate(values):
            pieces.append(piece)
            length += len(piece)
            if length > MOST_CHARACTERS:
                raise NotRendered(f"makes more than {MOST_CHARACTERS:,} characters")
        return "".join(pieces).strip()
    except NotRendered:
        raise
    except Exception as error:  # an expression of a template may raise anything: 1 / 0
        raise NotRendered(f"cannot be rendered ({_why(error)})") from None


def _why(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:300]


class _Helper:
    """The process that renders what may come from anybody; started when it is needed, and anew where it was ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def render(self, question: str) -> list[str]:
        """The texts of a question as `render` writes it."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(question + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = ""
            if not line.endswith("\n"):
                process.kill()
                process.communicate()
                raise NotRendered(f"was given up: it takes more than {CPU_SECONDS} seconds or {MEMORY >> 30} GB")
        answer = json.loads(line)
        if "wrong" in answer:
            raise NotRendered(answer["wrong"])
        return list(answer["texts"])

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            path = json.dumps([folder for folder in sys.path if folder])  # never the current folder
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _HELPER, path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
            )
        return self._process


_helper = _Helper()


def serve() -> None:
    """The helper's life: a question a line, an answer a line, until the input ends."""
    import resource

    with contextlib.suppress(ValueError, OSError):  # where a system has no such limit, the other one holds
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    for line in sys.stdin:
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS, hard))
        try:
            answer: dict[str, Any] = {"texts": _render(**json.loads(line))}
        except NotRendered as problem:
            answer = {"wrong": str(problem)}
        print(json.dumps(answer), flush=True)
