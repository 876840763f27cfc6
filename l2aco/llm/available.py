"""Whether a model can run here, without trying it."""

from __future__ import annotations

import importlib.util
import os

from l2aco.errors import InputError
from l2aco.llm.catalog import BUNDLED, Model
from l2aco.llm.engine import engines
from l2aco.llm.vllm import vllm_command
from l2aco.workspace import Settings


def why_not(model: Model, settings: Settings | None = None) -> str | None:
    """What is missing for `model` to run without further options, or None."""
    if model.engine != BUNDLED and model.engine not in engines:
        return f"there is no engine '{model.engine}'"
    if model.engine == "openai" and model.key and not os.environ.get(model.key):
        return f"{model.key} is not set"
    if model.engine == "openai" and not model.base_url:
        return "no address: add base_url to its entry"
    if model.engine == "vllm":
        try:
            if vllm_command(settings) is None:
                return "no vLLM with a GPU, and no vllm_command; or use --base-url"
        except InputError as error:
            return error.message
    if model.engine == "transformers" and importlib.util.find_spec("transformers") is None:
        return "transformers is not installed"
    return None
