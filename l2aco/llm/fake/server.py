"""The fake model behind the OpenAI chat API on a loopback port, with the faults of real servers on demand.

It answers what `fake_answer` says. Each fault happens with its own probability, chosen by a seeded generator:
see `FAULTS`. `GET /stats` tells how many calls came, and how many questions were answered more than once.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Self

from l2aco.errors import UsageError
from l2aco.llm.addresses import CHAT
from l2aco.llm.fake.engine import fake_answer, fake_seed
from l2aco.llm.tokens import count_tokens

FAULTS = {
    "rate-limit": "HTTP 429 with Retry-After",
    "error": "HTTP 500 that repeats the request's headers, as careless servers do",
    "hang": "no answer at all",
    "cut-body": "the connection ends in the middle of the body",
    "invalid-json": "prose instead of JSON",
    "wrong-schema": "JSON that lacks what the schema requires",
    "length": "an answer cut off at max_tokens",
    "refusal": "a refusal",
    "empty": "an empty answer",
}
_HANG_S = 600.0


class FakeServer:
    """Serves on 127.0.0.1 in a thread of its own while the `with` block lasts; `url` is its base URL.

    `formats` are the kinds of response_format it accepts (`json_schema`, `json_object`); it refuses others with
    HTTP 400. `slow_start_s` is how long it answers 503 at first.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        delay_s: float = 0.0,
        faults: Mapping[str, float] | None = None,
        formats: tuple[str, ...] = ("json_schema", "json_object"),
        retry_after_s: float = 0.05,
        slow_start_s: float = 0.0,
        seed: int = 0,
    ) -> None:
        if unknown := set(faults or {}) - set(FAULTS):
            raise UsageError(f"unknown fault {', '.join(sorted(unknown))}", remedy=f"Known: {', '.join(FAULTS)}.")
        self.port = port
        self.delay_s = delay_s
        self.faults = dict(faults or {})
        self.formats = formats
        self.retry_after_s = retry_after_s
        self.ready_at = time.monotonic() + slow_start_s
        self.calls = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.happened: Counter[str] = Counter()
        self.answered: Counter[int] = Counter()
        self._chance = random.Random(seed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve, daemon=True)
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def serve(self) -> None:
        """Serve until the block ends, or for ever where there is none."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()

    def stats(self) -> dict[str, Any]:
        """What has happened so far."""
        return {
            "calls": self.calls,
            "answered": sum(self.answered.values()),
            "questions": len(self.answered),
            "answered_twice": sum(number > 1 for number in self.answered.values()),
            "most_in_flight": self.most_in_flight,
            "faults": dict(self.happened),
        }

    def pick_fault(self) -> str | None:
        """The fault of the next call, or None."""
        point = self._chance.random()
        for fault, share in self.faults.items():
            point -= share
            if point < 0:
                self.happened[fault] += 1
                return fault
        return None


class _Connection(asyncio.Protocol):
    """One keep-alive connection; requests on it come one after the other."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.buffer = b""
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        for task in self.tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        length = int(headers.get("content-length", "0"))
        if headers.get("transfer-encoding", "").lower() == "chunked":
            if not rest.endswith(b"0\r\n\r\n"):
                return
            length = len(rest)
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        method, path, *_ = lines[0].split(" ")
        task = asyncio.get_running_loop().create_task(self.answer(method, path, headers, rest[:length]))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        server = self.server
        models = {"data": [{"id": "fake", "object": "model"}]}
        told = {"/stats": server.stats, "/v1/models": lambda: models, "/health": dict}
        place = path.partition("?")[0]
        if method == "GET" and place in told:
            self.send(200, told[place]())
            return
        if (method, place) != ("POST", f"/v1{CHAT}"):
            self.fail(404, f"there is no {method} {place} here, only POST /v1{CHAT} and GET {', '.join(told)}")
            return
        try:
            question = json.loads(body)
        except ValueError:
            self.fail(400, "the body is no JSON")
            return
        server.calls += 1
        server.in_flight += 1
        server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            if server.delay_s:
                await asyncio.sleep(server.delay_s)
            await self.complete(headers, question)
        finally:
            server.in_flight -= 1

    async def complete(self, headers: dict[str, str], question: dict[str, Any]) -> None:
        server = self.server
        wanted = question.get("response_format", {"type": "text"})
        if time.monotonic() < server.ready_at:
            self.fail(503, "the model is still being loaded")
        elif wanted["type"] not in ("text", *server.formats):
            server.happened[f"{wanted['type']} refused"] += 1
            self.fail(400, f"response_format {wanted['type']} is not supported")
        else:
            fault = server.pick_fault()
            if fault == "rate-limit":
                self.fail(429, "too many requests", {"Retry-After": str(server.retry_after_s)})
            elif fault == "error":
                self.fail(500, f"internal error while handling {headers}")
            elif fault == "hang":
                await asyncio.sleep(_HANG_S)
            else:
                self.reply(question, wanted, fault)

    def reply(self, question: dict[str, Any], wanted: dict[str, Any], fault: str | None) -> None:
        messages = question["messages"]
        schema = wanted.get("json_schema", {}).get("schema") or _schema_in_words(messages)
        sampling: dict[str, Any] = {
            name: question[name] for name in ("temperature", "top_p", "seed") if name in question
        }
        seed = fake_seed(messages, sampling)
        text, reason, refusal = json.dumps(fake_answer(schema, seed)), "stop", None
        if fault == "invalid-json":
            text = "Here is the profile that you asked for: it is quite good."
        elif fault == "wrong-schema":
            text = '{"unexpected": true}'
        elif fault == "length":
            text, reason = text[: len(text) // 2], "length"
        elif fault == "refusal":
            text, refusal = "", "I'm sorry, but I can't help with that."
        elif fault == "empty":
            text = ""
        elif fault is None:
            self.server.answered[seed] += 1
        tokens = {
            "prompt_tokens": sum(count_tokens(message["content"]) for message in messages),
            "completion_tokens": count_tokens(text),
        }
        message = {"role": "assistant", "content": text, "refusal": refusal}
        self.send(
            200,
            {
                "id": f"fake-{seed}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": question["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": reason}],
                "usage": {**tokens, "total_tokens": sum(tokens.values())},
            },
            cut=fault == "cut-body",
        )

    def fail(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.send(status, {"error": {"message": message, "type": "fake", "code": None}}, headers)

    def send(self, status: int, value: Any, headers: Mapping[str, str] | None = None, *, cut: bool = False) -> None:
        body = json.dumps(value).encode()
        lines = [f"HTTP/1.1 {status} Fake", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {text}" for name, text in (headers or {}).items()]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        if not self.transport.is_closing():
            self.transport.write(head + (body[: len(body) // 2] if cut else body))
            if cut:
                self.transport.close()


def _schema_in_words(messages: list[dict[str, str]]) -> dict[str, Any]:
    """The schema that an instruction ends with, for requests without a response_format."""
    for message in messages:
        start = message["content"].find('{"type": "object"')
        if start >= 0:
            value, _ = json.JSONDecoder().raw_decode(message["content"][start:])
            return dict(value)
    return {"type": "object", "properties": {"text": {"type": "string"}}}
