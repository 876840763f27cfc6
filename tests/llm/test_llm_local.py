"""The transformers engine, with a tiny model that the test makes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from l2aco.errors import UnavailableError
from l2aco.llm.catalog import resolve_model
from l2aco.llm.local import TransformersEngine
from l2aco.llm.options import EngineOptions
from l2aco.llm.request import Reply

QUESTION = ({"role": "system", "content": "a b"}, {"role": "user", "content": "c d"})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of one layer that knows ten words."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = {word: number for number, word in enumerate("<unk> <eos> a b c d e f g h".split())}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>")
    fast.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(words), eos_token_id=None, **shape)).save_pretrained(folder)
    return folder


def answers(folder: Path, **sampling: Any) -> list[Reply]:
    async def run() -> list[Reply]:
        async with TransformersEngine(resolve_model(f"transformers:{folder}"), EngineOptions()) as engine:
            return list(await asyncio.gather(*(engine.ask(QUESTION, {"type": "object"}, sampling) for _ in range(2))))

    return asyncio.run(run())


def test_it_answers_and_counts(tiny: Path) -> None:
    one, two = answers(tiny, max_tokens=7, temperature=0.0)
    assert one == two
    assert one.tokens_in > 4
    assert one.tokens_out == 7
    assert one.finish_reason == "length"
    assert one.text


def test_the_seed_decides_where_chance_does(tiny: Path) -> None:
    texts = [answers(tiny, max_tokens=12, temperature=1.5, seed=seed)[0].text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_model_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be loaded"):
        answers(tmp_path, max_tokens=1)
