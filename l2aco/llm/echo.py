"""No model at all: a prompt that holds its own answer, for controls that go the same way as answers of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from l2aco.llm.catalog import Model
from l2aco.llm.options import EngineOptions
from l2aco.llm.request import Message, Reply


class EchoEngine:
    """Answers with the last message."""

    endpoint = "echo"

    def __init__(self, model: Model, options: EngineOptions) -> None:
        self.model = model

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def ask(self, messages: tuple[Message, ...], schema: Mapping[str, Any], sampling: Mapping[str, Any]) -> Reply:
        """The last message, which takes no tokens."""
        return Reply(messages[-1]["content"], "stop", 0, 0, model=self.model.model)
