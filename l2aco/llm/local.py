"""Small models in this process, through transformers: for where there is no vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Self

from l2aco.errors import UnavailableError
from l2aco.llm.catalog import Model
from l2aco.llm.options import EngineOptions
from l2aco.llm.request import Message, Reply
from l2aco.llm.structured import in_words


class TransformersEngine:
    """Generates one answer at a time in a thread of its own. The schema goes into the prompt, in words.

    Slow, and without structured decoding: meant for models of up to about two billion parameters. Raises
    UnavailableError when the model is neither in the cache nor reachable.
    """

    endpoint = "transformers"

    def __init__(self, model: Model, options: EngineOptions) -> None:
        self.model = model
        self.options = options
        self._turn = asyncio.Lock()
        self._generator: Any = None
        self._tokenizer: Any = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._load)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._generator = self._tokenizer = None

    def _load(self) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.options.say(f"Loading {self.model.model}")
        settings: dict[str, Any] = {
            "revision": self.model.revision or "main",
            "trust_remote_code": self.model.trust_remote_code,
        }
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self.model.model, **settings)
            self._generator = AutoModelForCausalLM.from_pretrained(self.model.model, dtype="auto", **settings)
        except (OSError, ValueError) as error:
            raise UnavailableError(
                f"{self.model.model} cannot be loaded: {str(error).splitlines()[0]}",
                remedy="Name a local folder as transformers:FOLDER, or a model in the Hugging Face cache.",
            ) from None
        if self.model.chat_template:
            self._tokenizer.chat_template = self.model.chat_template
        self._generator.eval()

    async def ask(self, messages: tuple[Message, ...], schema: Mapping[str, Any], sampling: Mapping[str, Any]) -> Reply:
        """One answer; calls wait for each other."""
        first, *others = messages
        told = [{**first, "content": f"{first['content']}\n\n{in_words(schema)}"}, *others]
        async with self._turn:
            return await asyncio.to_thread(self._generate, told, dict(sampling))

    def _generate(self, messages: list[Message], sampling: dict[str, Any]) -> Reply:
        import torch

        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        inputs = self._tokenizer(text, return_tensors="pt", add_special_tokens=False)
        limit = sampling["max_tokens"]
        temperature = sampling.get("temperature", 0.0)
        choice: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None}
        if temperature > 0:
            torch.manual_seed(sampling.get("seed", 0))
            choice = {"do_sample": True, "temperature": temperature, "top_p": sampling.get("top_p", 1.0)}
        with torch.inference_mode():
            output = self._generator.generate(
                **inputs, max_new_tokens=limit, pad_token_id=self._tokenizer.eos_token_id, **choice
            )
        prompt = inputs["input_ids"].shape[1]
        written = output[0, prompt:]
        reason = "length" if len(written) >= limit else "stop"
        return Reply(self._tokenizer.decode(written, skip_special_tokens=True), reason, prompt, len(written))
