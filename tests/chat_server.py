"""A chat server on loopback that answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any, Mapping[str, str]]
GOOD = json.dumps({"summary": "fine", "items": [], "level": "low"})
"""An answer that satisfies the schema of tests/llm/conftest.py."""


@contextmanager
def scripted(
    answer: Callable[[dict[str, Any], dict[str, str]], Answer], seen: list[str] | None = None
) -> Iterator[str]:
    """A server that answers each POST with `answer(body, headers) -> status, body, headers`, at the base URL that is
    yielded. A body that is text is sent as it is. `seen` collects the paths that are asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if seen is not None:
                seen.append(self.path)
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, value, headers = answer(body, {name.title(): text for name, text in self.headers.items()})
            data = (value if isinstance(value, str) else json.dumps(value)).encode()
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def completion(text: Any = GOOD, finish: str = "stop", usage: Any = None, **message: Any) -> dict[str, Any]:
    """The body of an answered call."""
    said = {"role": "assistant", "content": text, **message}
    return {"model": "m-exact", "choices": [{"message": said, "finish_reason": finish}], "usage": usage or {}}


def subject(body: Mapping[str, Any]) -> str:
    """The last message of a request."""
    return str(body["messages"][-1]["content"])
