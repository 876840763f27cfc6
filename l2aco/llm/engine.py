"""What a language model looks like to the runner, and which engines there are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from l2aco.llm.request import Message, Reply
from l2aco.registry import Entry, Registry


class Engine(AbstractAsyncContextManager["Engine"], Protocol):
    """One way to reach a language model. Entering it may start a server; leaving it stops what it started.

    An engine is made as `Engine(model, options)`, with a `catalog.Model` and `EngineOptions`.
    """

    endpoint: str
    """What kind of call it makes; part of a record's key."""

    async def ask(self, messages: tuple[Message, ...], schema: Mapping[str, Any], sampling: Mapping[str, Any]) -> Reply:
        """One call. Raises CallFailed; anything else is an error of the program and ends the run."""
        ...


engines = Registry(
    "engine",
    "l2aco.engines",
    (
        Entry("openai", "l2aco.llm.client:OpenAIEngine", "any OpenAI-compatible API or server"),
        Entry("vllm", "l2aco.llm.vllm:VllmEngine", "a vLLM server that L2aCo starts and stops", extra="vllm"),
        Entry("transformers", "l2aco.llm.local:TransformersEngine", "small models in this process"),
        Entry("echo", "l2aco.llm.echo:EchoEngine", "no model: the last message is the answer"),
        Entry("fake", "l2aco.llm.fake.engine:FakeEngine", "deterministic answers of the right shape"),
    ),
)
