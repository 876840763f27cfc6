"""An embeddings API as they are found: each manner answers as one or another real server does."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from werkzeug import Response

DIMENSION = 8
TOO_MANY = {
    "takes 32": (413, {"error": "batch size {n} > maximum allowed batch size 32", "error_type": "Validation"}),
    "takes 10": (400, {"error": {"message": "Value error, batch size is invalid, it should not be larger than 10."}}),
    "takes 7, says nothing": (422, {"detail": "unprocessable"}),
    "takes 1": (400, {"error": {"message": "input must be a string or an array with one item"}}),
}
MOST = {"takes 32": 32, "takes 10": 10, "takes 7, says nothing": 7, "takes 1": 1}
LETTERS = 600


def vector_of(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    row = np.random.default_rng(seed).normal(size=DIMENSION).astype("<f4")
    return row / np.linalg.norm(row)


def answer(texts: list[str], encoding: str | None = "base64") -> dict[str, Any]:
    rows = [vector_of(text) for text in texts]
    told = [base64.b64encode(row.tobytes()).decode() if encoding == "base64" else row.tolist() for row in rows]
    data = [{"index": place, "embedding": row} for place, row in enumerate(told)]
    return {"data": data[::-1], "usage": {"prompt_tokens": 10 * len(texts)}}  # an API need not keep the order


def _too_long(body: dict[str, Any], words: str) -> tuple[int, Any] | None:
    longest = max(map(len, body["input"]))
    return (400, {"error": {"message": words.format(n=longest // 4, m=LETTERS // 4)}}) if longest > LETTERS else None


def respond(manner: str, body: dict[str, Any]) -> tuple[int, Any]:
    """Status and body for a call."""
    texts, encoding = body["input"], body.get("encoding_format")
    if manner in MOST and len(texts) > MOST[manner]:
        status, value = TOO_MANY[manner]
        return status, json.loads(json.dumps(value).replace("{n}", str(len(texts))))
    if manner == "no base64" and encoding == "base64":
        return 400, {"error": {"message": "encoding_format base64 is not supported"}}
    if manner == "too long" and (refusal := _too_long(body, "Input is longer than the context")):
        return refusal
    if manner == "too long, counted" and (refusal := _too_long(body, "maximum context length is {m} tokens, not {n}")):
        return refusal
    value = answer(texts, "floats" if manner == "floats" else encoding)
    data = value["data"]
    last = next(item for item in data if item["index"] == len(texts) - 1)
    odd = {
        "null": lambda: last.update(embedding=None),
        "nan": lambda: last.update(embedding=[float("nan")] * DIMENSION),
        "zero": lambda: last.update(embedding=[0.0] * DIMENSION),
        "fewer": lambda: data.remove(last),
        "short": lambda: [item.update(embedding=[1.0] * (DIMENSION - 3)) for item in data],
        "all index 0": lambda: [item.update(index=0) for item in data],
        "no index": lambda: (data.reverse(), [item.pop("index") for item in data]),
        "overloaded with 200": lambda: (value.clear(), value.update(error={"message": "overloaded", "code": 429})),
        "key with 200": lambda: (value.clear(), value.update(error={"message": "invalid api key", "code": "401"})),
        "one bad text": lambda: None,
    }
    if manner == "one bad text" and "bad" in texts:
        return 400, {"error": {"message": "this input is not acceptable"}}
    if manner == "everything refused":
        return 400, {"error": {"message": "unknown parameter: input"}}
    odd.get(manner, lambda: None)()
    return 200, value


def serve(httpserver: Any, manner: str) -> Callable[[], list[list[str]]]:
    """Serve /v1/embeddings in this manner; the result tells the texts of every call so far."""
    seen: list[list[str]] = []

    def handle(request: Any) -> Response:
        body = json.loads(request.data)
        seen.append(body["input"])
        status, value = respond(manner, body)
        return Response(json.dumps(value), status=status, content_type="application/json")

    httpserver.expect_request("/v1/embeddings", method="POST").respond_with_handler(handle)
    return lambda: seen
