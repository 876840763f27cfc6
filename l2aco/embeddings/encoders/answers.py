"""The body of an answer of an embeddings API: vectors, or what was wrong instead."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2aco.llm.keys import Mask
from l2aco.llm.refusals import Refused, reason_of, said_in
from l2aco.llm.request import CallFailed, Reason
from l2aco.llm.tokens import count_tokens


@dataclass(frozen=True)
class Vectors:
    """`rows` float32 (n, D), D as the server has it, NaN where a text got no vector; `odd` says why there are such."""

    rows: np.ndarray
    tokens: int
    odd: str = ""


def read_vectors(content: bytes, texts: Sequence[str], mask: Mask) -> Vectors:
    """The vectors of the texts that were sent, in their order. Raises CallFailed where the body holds none, or an
    error."""
    try:
        value = json.loads(content)
        if isinstance(value, Mapping) and value.get("error"):  # its own code counts, not the status of success
            said = said_in(0, value["error"], mask)
            raise Refused(reason_of(said), said)
        placed = _placed(value["data"], len(texts))
        rows = {place: _row(item.get("embedding")) for place, item in placed.items()}
        tokens = _tokens(value.get("usage")) or sum(map(count_tokens, texts))  # a budget must count
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CallFailed(Reason.broken_response, f"the body holds no vectors ({mask(repr(error))[:200]})") from None
    sizes = {row.size for row in rows.values() if row is not None}
    if len(sizes) != 1:
        raise CallFailed(Reason.broken_response, "the vectors are of several sizes" if sizes else "it holds no vector")
    table = np.full((len(texts), sizes.pop()), np.nan, dtype=np.float32)
    for place, row in rows.items():
        if row is not None:
            table[place] = row
    norms = np.linalg.norm(table, axis=1)
    good = np.isfinite(norms) & (norms > 0)
    table[~good] = np.nan
    return Vectors(table, tokens, "" if good.all() else _oddity(rows, norms, len(texts)))


def _tokens(usage: Any) -> int:
    """Tokens sent, as the server counts them; 0 where it does not. Nothing but the texts is in the total."""
    told = [usage.get(name) for name in ("prompt_tokens", "total_tokens")] if isinstance(usage, Mapping) else []
    return next((int(count) for count in told if isinstance(count, int | float) and 1 <= count < 1e12), 0)


def _placed(data: Any, texts: int) -> dict[int, Mapping[str, Any]]:
    """Each item by the place of its text. Without any index the order counts."""
    items = list(data)
    if texts == 1 and len(items) == 1:
        return {0: items[0]}
    places = [item.get("index") for item in items]
    if places == [None] * texts:
        return dict(enumerate(items))
    if not all(type(place) is int and 0 <= place < texts for place in places):
        raise ValueError("an index that belongs to no text")
    if len(set(places)) < len(places):  # text by text it is clear
        raise CallFailed(Reason.rejected, "the answer does not say which vector is of which text")
    return dict(zip(places, items, strict=True))


def _row(value: Any) -> np.ndarray | None:
    if value is None:
        return None
    row = np.frombuffer(base64.b64decode(value), "<f4") if isinstance(value, str) else np.asarray(value, np.float32)
    if row.ndim != 1 or not row.size:
        raise ValueError("a vector that is none")
    return row


def _oddity(rows: Mapping[int, np.ndarray | None], norms: np.ndarray, texts: int) -> str:
    if len(rows) < texts:
        return f"it answered {len(rows)} of {texts} texts"
    if any(row is None for row in rows.values()):
        return "it answered null in place of a vector"
    return "it answered a vector of zeros" if (norms == 0).any() else "it answered a vector that is not finite"
