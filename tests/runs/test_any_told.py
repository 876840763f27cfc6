"""What is told of a cell line comes in files of anybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from any_bytes import feed, json_texts, mutated
from hypothesis import strategies as st

from l2aco.recommend.told import read_told


@pytest.mark.parametrize("name", ["told.json", "told.txt"])
def test_any_file_that_tells_of_a_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    def read(data: bytes) -> None:
        path.write_bytes(data)
        told = read_told(None, [path], None)
        assert isinstance(told.fields, dict) and (told.text is None or told.text.strip())

    texts = json_texts().map(lambda text: text.encode("utf-8", "surrogatepass"))
    feed(st.one_of(texts, mutated(b'{"doubling_time": 31.5, "TP53": true, "classes": {"EGFR": 3}}')), read)
