"""Deterministic answers that satisfy any schema, made from the question alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Mapping
from typing import Any, Self

from l2aco.llm.catalog import Model
from l2aco.llm.options import EngineOptions
from l2aco.llm.request import Message, Reply
from l2aco.llm.tokens import count_tokens

_WORDS = (
    "alpha beta gamma delta kappa sigma omega north south river stone cloud amber cobalt violet silver copper "
    "signal pattern vector matrix lattice spiral anchor bridge garden harbour meadow summit valley forest"
).split()


class FakeEngine:
    """Answers like `fake_answer`, after `delay_s` seconds."""

    endpoint = "fake"

    def __init__(self, model: Model, options: EngineOptions) -> None:
        self.model = model
        self.delay_s = options.delay_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def ask(self, messages: tuple[Message, ...], schema: Mapping[str, Any], sampling: Mapping[str, Any]) -> Reply:
        """The answer, as JSON text."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        text = json.dumps(fake_answer(schema, fake_seed(list(messages), dict(sampling))))
        tokens_in = sum(count_tokens(message["content"]) for message in messages)
        return Reply(text, "stop", tokens_in, count_tokens(text), model=self.model.model)


def fake_seed(messages: list[Message], sampling: Mapping[str, Any]) -> int:
    """A number that the question determines."""
    text = json.dumps([messages, sampling], sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def fake_answer(schema: Mapping[str, Any], seed: int) -> Any:
    """A value that satisfies a JSON schema of objects, arrays, strings, enums, numbers and booleans."""
    return _value(schema, random.Random(seed))


def _value(schema: Mapping[str, Any], chance: random.Random) -> Any:
    if "enum" in schema:
        return chance.choice(schema["enum"])
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: _value(item, chance) for name, item in schema.get("properties", {}).items()}
    if kind == "array":
        low = schema.get("minItems", 1)
        count = chance.randint(low, max(low, min(3, schema.get("maxItems", 3))))
        return [_value(schema["items"], chance) for _ in range(count)]
    if kind == "string":
        text = "Fake: " + " ".join(chance.choices(_WORDS, k=8))
        most = schema.get("maxLength", len(text) + 1)
        return (text[: max(most - 1, 0)] + ".")[:most]  # a whole sentence, however short
    if kind == "boolean":
        return chance.random() < 0.5
    low = schema.get("minimum", 0)
    number = chance.randint(int(low), int(schema.get("maximum", low + 100)))
    return number if kind == "integer" else float(number)
