"""Whoever works through files of requests: a function that answers a line, and the Batch API on loopback around it.

The server speaks the protocol (files, batches, output and error files, pages) and keeps the bill. Faults come as a test
says; what is drawn depends on the custom id alone, so that a second run meets the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from l2aco.llm.fake.engine import fake_answer, fake_seed
from l2aco.llm.tokens import count_tokens


def chance(text: str) -> float:
    """A number in [0, 1) that a text determines."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48


def completion(body: Mapping[str, Any], broken: bool = False) -> dict[str, Any]:
    """The chat completion of a request's body: what the fake model says, or prose."""
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema") or {}
    text = json.dumps(fake_answer(schema, fake_seed(list(body["messages"]), {})))
    text = "Quite a good drug, I should say." if broken else text
    tokens_in = sum(count_tokens(message["content"]) for message in body["messages"])
    tokens_out = count_tokens(text)
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {
        "id": "c",
        "object": "chat.completion",
        "model": f"{body['model']}-exact",
        "choices": choices,
        "usage": usage,
    }


def answer_line(request: Mapping[str, Any], *, broken: bool = False) -> dict[str, Any]:
    """The line that answers one of a file of requests."""
    response = {"status_code": 200, "request_id": "r", "body": completion(request["body"], broken)}
    return {"id": "batch_req_1", "custom_id": request["custom_id"], "response": response, "error": None}


def refusal_line(request: Mapping[str, Any], status: int, message: str) -> dict[str, Any]:
    """A line of an error file."""
    response = {"status_code": status, "request_id": "r", "body": {"error": {"message": message, "code": None}}}
    return {"id": "batch_req_1", "custom_id": request["custom_id"], "response": response, "error": None}


def expired_line(request: Mapping[str, Any]) -> dict[str, Any]:
    """A line of a request that was not begun in time."""
    error = {"code": "batch_expired", "message": "This request could not be executed before the window expired."}
    return {"id": "batch_req_1", "custom_id": request["custom_id"], "response": None, "error": error}


class BatchApi:
    """The state of the server. `paid` counts answered requests by custom id, `tokens` what is on the bill.

    `broken` of the first answers are prose, `errors` of the requests meet HTTP 500; the batches of `expires` (by
    number, from 0) end half way, those of `cancelled` too, those of `invalid` are refused whole. Each
    batch takes `seconds`. `drops`: the numbers of HTTP calls that are done and not answered, the connection is cut.
    """

    def __init__(self, **faults: Any) -> None:
        self.broken: float = faults.pop("broken", 0.0)
        self.errors: float = faults.pop("errors", 0.0)
        self.expires: set[int] = faults.pop("expires", set())
        self.cancelled: set[int] = faults.pop("cancelled", set())
        self.invalid: dict[int, dict[str, Any]] = faults.pop("invalid", {})
        self.no_schema: bool = faults.pop("no_schema", False)
        self.seconds: float = faults.pop("seconds", 0.2)
        self.drops: set[int] = faults.pop("drops", set())
        self.hide_new: float = faults.pop("hide_new", 0.0)
        assert not faults, faults
        self.calls = 0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.paid: Counter[str] = Counter()
        self.tokens = [0, 0]
        self.uploads: list[int] = []
        self.keys: set[str] = set()
        self.lock = threading.RLock()

    def handle(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes, kind: str) -> Any:
        """The answer to a call: a JSON value, bytes, or (status, value)."""
        with self.lock:
            parts = path.removeprefix("/v1/").split("/")
            if (method, parts) == ("POST", ["files"]):
                return self._upload(body, kind)
            if (method, parts) == ("POST", ["batches"]):
                return self._create(json.loads(body))
            if (method, parts) == ("GET", ["batches"]):
                return self._list(query)
            if method == "GET" and parts[0] == "batches" and parts[1] in self.batches:
                return self._shown(self.batches[parts[1]])
            if method == "GET" and parts[0] == "files" and parts[-1] == "content" and parts[1] in self.files:
                return self.files[parts[1]]
            return 404, {"error": {"message": f"nothing at {method} {path}", "code": None}}

    def _upload(self, body: bytes, kind: str) -> dict[str, Any]:
        boundary = b"--" + kind.partition("boundary=")[2].strip('"').encode()
        for part in body.split(boundary):
            head, _, content = part.partition(b"\r\n\r\n")
            if b'name="file"' in head:
                data = content.removesuffix(b"\r\n")
                name = re.search(rb'filename="([^"]*)"', head)
                self.uploads.append(len(data))
                return self._file(data, name[1].decode() if name else "")
        raise AssertionError("an upload without a file")

    def _file(self, data: bytes, name: str = "answers.jsonl") -> dict[str, Any]:
        number = f"file-{len(self.files)}"
        self.files[number] = data
        shown = {"id": number, "object": "file", "bytes": len(data), "created_at": 1, "filename": name}
        return {**shown, "purpose": "batch", "status": "processed"}

    def _create(self, wanted: Mapping[str, Any]) -> Any:
        if wanted["input_file_id"] not in self.files or wanted["endpoint"] != "/v1/chat/completions":
            return 400, {"error": {"message": "no such file", "code": "invalid_request"}}
        number = len(self.batches)
        lines = self.files[wanted["input_file_id"]].splitlines()
        ids = [json.loads(line)["custom_id"] for line in lines]
        assert len(ids) == len(set(ids)), "custom ids are unique in a file"
        batch = {
            "id": f"batch_{number}",
            "object": "batch",
            "number": number,
            "born": time.monotonic(),
            "created_at": int(time.time()),
            "status": "in_progress",
            "endpoint": wanted["endpoint"],
            "completion_window": wanted["completion_window"],
            "input_file_id": wanted["input_file_id"],
            "metadata": wanted.get("metadata"),
            "request_counts": {"total": len(ids), "completed": 0, "failed": 0},
        }
        self.batches[batch["id"]] = batch
        return self._shown(batch)

    def _list(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        shown = [batch for batch in self.batches.values() if time.monotonic() - batch["born"] >= self.hide_new]
        ids = [batch["id"] for batch in reversed(shown)]
        start = ids.index(query["after"][0]) + 1 if "after" in query else 0
        page = ids[start : start + 2]  # pages are short here
        data = [self._shown(self.batches[one]) for one in page]
        more = start + 2 < len(ids)
        return {"object": "list", "data": data, "has_more": more, "last_id": page[-1] if page else None}

    def _shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        if batch["status"] == "in_progress" and time.monotonic() - batch["born"] > self.seconds:
            self._end(batch)
        return {name: value for name, value in batch.items() if name not in ("born", "number")}

    def _end(self, batch: dict[str, Any]) -> None:
        number = batch["number"]
        if number in self.invalid:
            batch.update(status="failed", errors={"object": "list", "data": [self.invalid[number]]})
            return
        requests = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        ended = {number in self.expires: "expired", number in self.cancelled: "cancelled"}.get(True, "completed")
        half = len(requests) // 2 if ended != "completed" else len(requests)
        good, bad = [], []
        for place, request in enumerate(requests):
            name = request["custom_id"]
            if place >= half:
                bad.append(expired_line(request) if ended == "expired" else None)
            elif self.no_schema and request["body"].get("response_format", {}).get("type") == "json_schema":
                words = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
                bad.append(refusal_line(request, 400, words))
            elif chance(f"error {number} {name}") < self.errors:
                bad.append(refusal_line(request, 500, "The server had an error"))
            else:
                good.append(answer_line(request, broken="-2" not in name and chance(name) < self.broken))
                self._bill(good[-1])
        batch["status"] = ended
        for what, lines in (("output_file_id", good[::-1]), ("error_file_id", [line for line in bad if line])):
            if lines:
                batch[what] = self._file("".join(json.dumps(line) + "\n" for line in lines).encode())["id"]
        batch["request_counts"] = {"total": len(requests), "completed": len(good), "failed": len(bad)}

    def _bill(self, line: Mapping[str, Any]) -> None:
        self.paid[line["custom_id"]] += 1
        usage = line["response"]["body"]["usage"]
        self.tokens[0] += usage["prompt_tokens"]
        self.tokens[1] += usage["completion_tokens"]


@contextmanager
def batch_server(**faults: Any) -> Iterator[tuple[str, BatchApi]]:
    """Serves while the block lasts; yields the base URL and the state."""
    api = BatchApi(**faults)

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                body = self.chunks()
            with api.lock:
                number = api.calls
                api.calls += 1
                api.keys.add(self.headers.get("Authorization", ""))
            parts = urlsplit(self.path)
            found = api.handle(
                self.command, parts.path, parse_qs(parts.query), body, self.headers.get("Content-Type", "")
            )
            if number in api.drops:
                self.close_connection = True
                self.connection.close()
                return
            status, value = found if isinstance(found, tuple) else (200, found)
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def chunks(self) -> bytes:
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        do_GET = do_POST = respond  # noqa: N815

        def log_message(self, *_: object) -> None:
            return None

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # a client that was killed
            return None

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", api
    finally:
        server.shutdown()
        server.server_close()
