"""How long a text may be for a model behind an API: counted where its tokenizer is at hand, else found out.

A text is sent whole unless it is known to be too long. What the server refuses for its length is shortened, by
the numbers in the refusal, until it is taken.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.llm.tokens import count_tokens

SHORTEST = 16
"""Letters: a shorter text was not refused for its length."""
_OF_LENGTH = re.compile(
    r"token|context|length|longer|too (long|large|big)|exceed|maximum|characters|truncat", re.IGNORECASE
)


def is_of_length(refusal: str) -> bool:
    """Whether a refusal speaks of a text's length."""
    return bool(_OF_LENGTH.search(refusal))


def shorter(text: str, refusal: str, window: int) -> int:
    """How many letters of a text to try next, after such a refusal."""
    numbers = [int(number) for number in re.findall(r"\b\d{2,7}\b", re.sub(r"^HTTP \d+", "", refusal))]
    if len(numbers) > 1 and 0.01 < min(numbers) / max(numbers) < 1:
        share = 0.95 * min(numbers) / max(numbers)
    else:
        share = min(0.75, window / max(count_tokens(text), 1))
    return whole_words(text, int(len(text) * share))


def whole_words(text: str, letters: int) -> int:
    """`letters`, or the end of the word before."""
    end = text.rfind(" ", letters // 2, letters)
    return end if end > 0 else letters


def window_ends(text: str, spec: EncoderSpec) -> list[int] | None:
    """Where each window of a text ends, in letters; None where the model's tokenizer is not at hand."""
    tokenizer = _tokenizer(spec.model, spec.revision)
    if tokenizer is None:
        return None
    coded = tokenizer.encode(text)
    ends = [end for (_, end), special in zip(coded.offsets, coded.special_tokens_mask, strict=True) if not special]
    size = max(spec.window - sum(coded.special_tokens_mask), 1)
    return [*ends[size - 1 : len(ends) - 1 : size], len(text)]


@cache
def _tokenizer(model: str, revision: str | None) -> Any:
    """The tokenizer of a folder or of a Hugging Face model in the local cache; nothing is downloaded."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    path: Any = Path(model).expanduser() / "tokenizer.json"
    if not path.is_file():
        try:
            path = try_to_load_from_cache(model, "tokenizer.json", revision=revision)
        except HFValidationError:
            return None
    if not isinstance(path, str | Path):
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception:  # another version's file: then the server decides
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
