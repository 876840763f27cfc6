"""How many tokens a text has, without the model's tokenizer."""

from __future__ import annotations

import re
from functools import lru_cache

_PIECES = re.compile(r"\w+|[^\w\s]")
_LETTERS_A_TOKEN = 5.5


@lru_cache(maxsize=64)  # the instructions are the same in every request
def count_tokens(text: str) -> int:
    """An estimate from the words and signs of a text.

    A byte-pair tokenizer spends one token on a short word and more on a long or rare one. Real counts come
    with every answer; this one is for plans and for answers of servers that do not count.
    """
    return sum(1 + int(len(piece) / _LETTERS_A_TOKEN) for piece in _PIECES.findall(text))
