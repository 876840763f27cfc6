"""The board of finished suites: groups of models that cannot be told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from any_bytes import altered_json, dumps, feed, json_texts
from hypothesis import strategies as st

from l2aco.bench.board import boards, markdown
from l2aco.bench.finished import FORMAT
from l2aco.files import write_json

LINES, PER_LINE = 30, 40


def finished(folder: Path, name: str, seeds: tuple[int, ...], noise: dict[str, float], draws: int = 1) -> Path:
    """A suite whose models see what is true through so much noise, each its own; the same rows in all suites."""
    parts = []
    for seed in seeds:
        random = np.random.default_rng(seed)
        truth = random.normal(size=LINES * PER_LINE)
        line = np.repeat(np.arange(LINES), PER_LINE)
        columns = {"seed": seed, "fold": 0, "group": line, "cell_line": [f"L{at}" for at in line], "line": line}
        columns |= {"pair": np.tile(np.arange(PER_LINE), LINES), "label": (truth > 0).astype(int), "score": truth}
        for at, (model, much) in enumerate(noise.items()):
            own = np.random.default_rng([at, seed, len(name)])
            columns[model] = truth + much * own.normal(size=len(truth))
        parts.append(pl.DataFrame({"dataset": "d", "setting": "novel-cell", **columns}))
    folder.mkdir(parents=True)
    pl.concat(parts).write_parquet(folder / "predictions.parquet")
    rows = [{"model": model, "draws": draws if model.startswith("control") else 1} for model in noise]
    origin = {"date": "2026-01-02T03:04:05", "commit": "abc", "command": "make it", "datasets": {"d": "0" * 64}}
    table = {"dataset": "d", "setting": "novel-cell", "simulated": True, "rows": rows}
    report = {
        "format": FORMAT,
        "suite": {"name": name, "naive": ["pair mean"]},
        "provenance": origin,
        "tables": [table],
    }
    write_json(folder / "report.json", report)
    return folder


def test_what_cannot_be_told_apart_shares_a_group(cli: Any, tmp_path: Path) -> None:
    noise = {"good": 1.0, "as good": 1.0, "pair mean": 6.0, "control": 1.0}
    one = finished(tmp_path / "one", "one", (0, 1), noise, draws=3)
    other = finished(tmp_path / "other", "other", (1, 2), {"worse": 3.0, "pair mean": 6.0})
    lonely = finished(tmp_path / "lonely", "lonely", (9,), {"elsewhere": 1.5})
    board, alone = json.loads(cli("bench", "board", one, other, lonely, "--json").stdout)
    groups = {(place["suite"], place["model"]): place["group"] for place in board["places"]}
    assert groups["one", "good"] == groups["one", "as good"] == 1
    assert groups["other", "worse"] == 2
    assert groups["naive", "pair mean"] == 3
    assert len(groups) == 4
    assert [place["group"] for place in board["places"]] == [1, 1, 2, 3]
    assert board["seeds"] == [0, 1, 2]
    assert alone["seeds"] == [9]
    assert [place["model"] for place in alone["places"]] == ["elsewhere"]
    behind = next(place["behind"] for place in board["places"] if place["model"] == "worse")
    assert 0 < behind["low"] < behind["value"] < behind["high"]


def test_the_best_is_one_of_those_with_the_most_splits(tmp_path: Path) -> None:
    """Else one that has run on an easy split alone would lead, and all others be measured there."""
    one = finished(tmp_path / "one", "one", (0, 1), {"good": 1.0, "worse": 3.0})
    lucky = finished(tmp_path / "lucky", "lucky", (1,), {"ahead": 0.3, "behind": 4.0})
    (board,) = boards([one, lucky])
    assert board.places[0].behind is None and board.places[0].model == "good"
    ahead = next(place for place in board.places if place.model == "ahead")
    assert ahead.auroc > board.places[0].auroc and ahead.splits == 1
    assert ahead.group == 1 and ahead.behind is not None and ahead.behind.high < 0
    assert next(place for place in board.places if place.model == "behind").group > 1


def test_the_board_as_markdown(cli: Any, tmp_path: Path) -> None:
    folder = finished(tmp_path / "one", "one", (0,), {"a|b": 1.0, "worse": 4.0})
    cli("bench", "board", folder, "-o", tmp_path / "board.md")
    text = (tmp_path / "board.md").read_text()
    assert "## d, novel-cell, seeds 0 (SIMULATED)" in text
    assert "| 1 | a\\|b | one |" in text
    assert "| 2026-01-02 | abc | make it |" in text


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "report.json").unlink(), "holds no report.json"),
        (lambda folder: write_json(folder / "report.json", {"format": 0}), "another version"),
        (lambda folder: (folder / "predictions.parquet").write_bytes(b"?"), "predictions.parquet"),
        (lambda folder: (folder / "predictions.parquet").unlink(), "predictions.parquet"),
    ],
)
def test_a_folder_that_is_no_report(cli: Any, tmp_path: Path, harm: Any, words: str) -> None:
    folder = finished(tmp_path / "one", "one", (0,), {"good": 1.0})
    harm(folder)
    found = cli("bench", "board", folder, code=None)
    assert found.exit_code in (1, 2)
    assert words in found.stderr
    assert "Traceback" not in found.output


def test_any_report(tmp_path: Path) -> None:
    """Also where names, numbers and rows are not those that were written."""
    folder = finished(tmp_path / "one", "one", (0,), {"good": 1.0, "pair mean": 6.0})
    path = folder / "report.json"
    told = json.loads(path.read_text())

    def read(text: str) -> None:
        path.write_bytes(text.encode(errors="surrogatepass"))
        markdown(boards([folder]))

    feed(altered_json(told).map(dumps) | json_texts(), read)


def test_any_predictions(tmp_path: Path) -> None:
    folder = finished(tmp_path / "one", "one", (0,), {"good": 1.0, "pair mean": 6.0})
    path = folder / "predictions.parquet"
    table = pl.read_parquet(path)[:60]
    value = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=3), st.booleans())

    def read(change: tuple[str, Any]) -> None:
        name, wrong = change
        table.with_columns(pl.lit(wrong).alias(name)).write_parquet(path)
        markdown(boards([folder]))

    feed(st.tuples(st.sampled_from(table.columns), value), read)
