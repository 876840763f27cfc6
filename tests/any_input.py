"""What files may hold that nobody of us wrote, as strategies: any JSON, any bytes, true files with one thing wrong."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

texts = st.text(st.characters(exclude_categories=()), max_size=8)  # halves of surrogate pairs too
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    texts,
    st.sampled_from(["", "../../x", "\x1b[2J"]),
)
any_json = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


@st.composite
def nearly(draw: st.DrawFn, whole: Any) -> Any:
    """`whole` with one of its places left out, or holding anything."""
    value = copy.deepcopy(whole)
    inner, last = value, None
    while isinstance(inner, dict | list) and inner and (last is None or draw(st.booleans())):
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        holder, last = inner, draw(st.sampled_from(keys))
        inner = holder[last]
    if last is None:
        return draw(any_json)
    if draw(st.booleans()):
        del holder[last]
    else:
        holder[last] = draw(any_json)
    return value


@st.composite
def torn(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes: anything, or `whole` cut, with some of its bytes changed, or said twice."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    data = bytearray(whole)
    for place in draw(st.lists(st.integers(0, len(whole) - 1), max_size=3)):
        data[place] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))] + draw(st.sampled_from([b"", b"\0", b"\n", whole])))
