"""What a file may hold that comes from anybody, and the promise of everything that reads one.

def test_any_manifest(tmp_path):
    def read(value):
        (tmp_path / "manifest.json").write_text(value)
        open_it(tmp_path)

    feed(json_texts(), read)
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from l2aco.errors import L2aCoError


def feed(strategy: st.SearchStrategy[Any], read: Callable[[Any], object], files: int = 1) -> None:
    """`read` as many values as the settings say, 200 or 10,000: it succeeds or raises L2aCoError. Where one reader
    takes several `files`, each in a test of its own, they share the number."""

    @settings(max_examples=-(-settings.default.max_examples // files))
    @given(strategy)
    def one(value: Any) -> None:
        with suppress(L2aCoError):
            read(value)

    one()


def kept(root: Path) -> Callable[[], None]:
    """What puts everything in the folder back as it is now, in a fraction of the time of another copy."""
    pristine = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def put_back() -> None:
        for path in root.rglob("*"):
            if path.is_file() and path not in pristine:
                path.unlink()
        for path, data in pristine.items():
            if not path.is_file() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)

    return put_back


@functools.cache  # here and below: to make a strategy takes longer than to draw from it
def json_values(leaves: int = 12) -> st.SearchStrategy[Any]:
    """Anything that JSON can say, huge numbers, NaN and lone surrogates included."""
    texts = st.text(max_size=12) | st.sampled_from(
        ["", "\ud800", "\0", "../../x", "/etc/passwd", "NaN", "1e999", "[red]"]
    )
    numbers = st.integers() | st.floats() | st.sampled_from([0, -1, 2**31, 2**63, 10**30, 1e308])
    base = st.none() | st.booleans() | numbers | texts
    return st.recursive(
        base,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=leaves,
    )


class _Long(str):
    """Told in short where a test fails."""

    def __repr__(self) -> str:
        return f"<{self[:6]}... of {len(self):,} characters>"


DEEP = [_Long("[" * 100_000), _Long("[" * 100_000 + "]" * 100_000), _Long('{"a":' * 50_000), _Long("1" * 5_000)]
"""JSON that is nested deeper than a stack is high, and a number that is too long."""


def json_texts() -> st.SearchStrategy[str]:
    """JSON, nonsense, and JSON that no parser takes."""
    return json_values().map(dumps) | st.sampled_from([*DEEP, "", "null", "[]"]) | st.text(max_size=40)


def dumps(value: Any) -> str:
    """JSON as Python writes it: NaN stands as NaN, a lone surrogate as an escape."""
    return json.dumps(value)


CHANGES = st.sampled_from(["replace", "replace", "remove", "add"])
NEW_NAMES = st.text(max_size=8)


@st.composite
def altered_json(draw: st.DrawFn, valid: Any) -> Any:
    """A valid value with one to three of its parts replaced by anything, taken out, or joined by another."""
    value = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        holders = list(_holders(value))
        if not holders:
            return draw(json_values())
        holder, key = holders[draw(st.integers(0, len(holders) - 1))]
        how = draw(CHANGES)
        if how == "replace":
            holder[key] = draw(json_values())
        elif how == "remove":
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw(NEW_NAMES)] = draw(json_values())
        else:
            holder.append(draw(json_values()))
    return value


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(places):
        yield value, key
        yield from _holders(item)


@functools.cache
def some_bytes(size: int = 300) -> st.SearchStrategy[bytes]:
    """Any bytes, and beginnings of files that readers know."""
    heads = st.sampled_from(
        [b"", b"PAR1", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00", b"PK\x03\x04", b"IxFI", b"\x80\x04"]
    )
    return st.builds(bytes.__add__, heads, st.binary(max_size=size))


DAMAGES = st.sampled_from(["flip", "flip", "flip", "write", "cut", "double", "insert", "end"])


@st.composite
def mutated(draw: st.DrawFn, valid: bytes) -> bytes:
    """A valid file with bits flipped, pieces overwritten, cut out, doubled or put in; or any bytes."""
    if draw(st.integers(0, 19)) == 0:
        return draw(some_bytes())
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        size = draw(st.integers(1, 40))
        how = draw(DAMAGES)
        if how == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "write":
            data[at : at + size] = draw(st.binary(min_size=size, max_size=size))
        elif how == "cut":
            del data[at : at + size]
        elif how == "double":
            data[at:at] = data[at : at + size]
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=size))
        else:
            del data[at:]
    return bytes(data)


KINDS = st.sampled_from(["<f4", "<f4", "<f4", ">f4", "<f8", "<i8", "<i8", "?", "<c8", "<U3", "V4", "M8[s]", "<f2"])


@st.composite
def arrays(draw: st.DrawFn, rows: int, columns: int) -> np.ndarray:
    """An array of any type and shape, often of (rows, columns)."""
    kind = draw(KINDS)
    shapes = [
        (rows, columns),
        (rows, columns),
        (columns, rows),
        (rows,),
        (),
        (0, columns),
        (rows, 0),
        (rows, columns, 1),
    ]
    shape = shapes[draw(st.integers(0, len(shapes) - 1))]
    values = np.random.default_rng(draw(st.integers(0, 9))).integers(-3, 100, shape)
    array = values.astype(kind) if kind[0] != "V" else np.zeros(shape, kind)
    return np.asfortranarray(array) if draw(st.booleans()) else array


def frames(columns: Sequence[str], rows: int) -> st.SearchStrategy[Any]:
    """Polars tables with some of `columns`, others, of any type, with nulls, of about `rows` rows."""
    import polars as pl

    some = st.lists(st.sampled_from(list(columns)), unique=True)
    others = st.lists(st.text(max_size=5).filter(lambda name: name.isprintable()), max_size=2)
    heights = st.sampled_from([rows, rows, rows, 0, rows + 1])

    @st.composite
    def table(draw: st.DrawFn) -> Any:
        names = (draw(some) if draw(st.booleans()) else list(columns)) + draw(others)
        height = draw(heights)
        return pl.DataFrame({name: draw(_column(height)) for name in dict.fromkeys(names)}, strict=False)

    return table()


@functools.cache
def _column(height: int) -> st.SearchStrategy[Any]:
    import polars as pl

    def of(values: st.SearchStrategy[Any], kind: Any = None) -> st.SearchStrategy[Any]:
        few = min(height, 5)  # drawn; a column of them again and again breaks a reader as well
        return st.lists(values, min_size=few, max_size=few).map(
            lambda items: pl.Series((items * height)[:height], dtype=kind, strict=False)
        )

    words = st.sampled_from(["drug", "cell_line", "E1", "", "{}", "[]", "{", "null", "a|b", "\0", "[" * 2000])
    return st.one_of(
        of(words, pl.String),
        of(words, pl.String),
        of(st.none() | words, pl.String),
        of(st.integers(-5, 5), pl.Int64),
        of(st.none() | st.booleans(), pl.Boolean),
        of(st.floats(), pl.Float64),
        of(st.binary(max_size=4), pl.Binary),
        of(st.lists(st.integers(0, 3), max_size=2), pl.List(pl.Int64)),
    )
