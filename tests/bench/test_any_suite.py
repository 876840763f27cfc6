"""Whatever a suite or what is written down of its runs says, it is read, or refused in one message."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomli_w
from any_bytes import altered_json, feed, json_texts, json_values, mutated

from l2aco.bench.execute import Index
from l2aco.bench.suite import cells, load_suite
from l2aco.errors import L2aCoError
from l2aco.workspace import Workspace

SUITE = """
title = "x"
dataset = ["demo"]
settings = ["novel-cell"]
seeds = [0]
folds = 2
naive = ["pair mean"]

[[arms]]
name = "one"
profiles = ["reference"]
draws = 2
spec.backbone = "MLP"
spec.epochs = 1
spec.align.vectors = "shuffled"

[[models]]
name = "third"
spec.backbone = "Mixed"

[[arms]]
name = "{model}, shuffled"
spec.config.knowledge = "none"

[[arms]]
name = "other"
spec.backbone = "Mixed"
spec.config.knowledge = "none"

[[claims]]
text = "better"
arm = "one"
over = ["other", "pair mean"]
"""


def use(lab: Workspace, data: bytes) -> None:
    (lab.root / "mine.toml").write_bytes(data)
    cells(load_suite(str(lab.root / "mine.toml")), lab)


def test_any_suite(lab: Workspace) -> None:
    use(lab, SUITE.encode())

    def read(value: Any) -> None:
        try:
            text = tomli_w.dumps(value)
        except Exception:  # TOML cannot say it
            return
        use(lab, text.encode(errors="replace"))

    feed(altered_json(tomllib.loads(SUITE)) | json_values(), read)


@pytest.mark.parametrize("config", [False, 7, ["engine"], "engine"])
def test_a_config_that_is_no_table_is_refused_by_name(lab: Workspace, config: object) -> None:
    suite = tomllib.loads(SUITE)
    suite["arms"][-1]["spec"]["config"] = config
    with pytest.raises(L2aCoError, match="config"):
        use(lab, tomli_w.dumps(suite).encode())


def test_any_bytes_of_a_suite(lab: Workspace) -> None:
    feed(mutated(SUITE.encode()), lambda data: use(lab, data))


def test_anything_that_is_written_down_of_a_cell(lab: Workspace) -> None:
    (lab.root / "mine.toml").write_text(SUITE)
    cell = cells(load_suite(str(lab.root / "mine.toml")), lab)[-1]
    index = Index(lab)
    folder = lab.runs / ".cells"
    folder.mkdir(parents=True)
    path = folder / f"{index._key(cell)}.json"

    def read(text: str) -> None:
        path.write_text(text)
        assert index.find(cell) is None

    feed(json_texts(), read)
