"""Splits: every promise of every setting, checked here by other code than the product's own check."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_for_tests import screen, write
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from l2aco.data.catalog import open_dataset
from l2aco.data.dataset import DataSet
from l2aco.data.info import split_rows
from l2aco.data.splits.make import check_split, make_split, num_folds
from l2aco.data.splits.spec import Split, SplitSpec
from l2aco.errors import DamagedError, UnknownNameError, UsageError
from l2aco.workspace import Workspace

SETTINGS = ("random", "long-tail", "novel-cell", "novel-donor", "novel-drug", "novel-pair", "novel-tissue")


def members(dataset: DataSet, rows: Any) -> list[tuple[frozenset[str], str]]:
    """Pair and cell line of each row, by id."""
    t = dataset.triples
    return [
        (
            frozenset((dataset.drugs[t.drug_a[r]].id, dataset.drugs[t.drug_b[r]].id)),
            dataset.cell_lines[t.cell_line[r]].id,
        )
        for r in rows
    ]


def assert_promises(dataset: DataSet, split: Split) -> None:
    spec = split.spec
    sides = [members(dataset, rows) for rows in (split.train, split.valid, split.test)]
    assert all(sides)
    triples = [set(side) for side in sides]
    assert sum(map(len, triples)) == sum(map(len, sides)) == len(set().union(*triples))
    lines = [{line for _, line in side} for side in sides]
    pairs = [{pair for pair, _ in side} for side in sides]
    tissue = {line.id: line.facts["tissue"] for line in dataset.cell_lines}
    if spec.setting in ("novel-cell", "novel-donor"):
        assert not (lines[0] & lines[1] or lines[0] & lines[2] or lines[1] & lines[2])
        assert set(split.held_out) == lines[2]
    if spec.setting == "novel-pair":
        assert not (pairs[0] & pairs[1] or pairs[0] & pairs[2] or pairs[1] & pairs[2])
    if spec.setting == "novel-tissue":
        found = [{tissue[line] for line in side} for side in lines]
        assert not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])
        assert found[2] == set(split.held_out)
    if spec.setting == "novel-drug":
        held, wanted = set(split.held_out), 2 if spec.both else 1
        assert all(len(pair & held) == wanted for pair in pairs[2])
        assert not any(pair & held for pair in pairs[0] | pairs[1])
        seen = set().union(*pairs[0])
        assert all(len(pair - seen) == wanted for pair in pairs[1] | pairs[2])
    if spec.setting == "long-tail":
        counts = {
            line: sum(1 for _, other in members(dataset, range(len(dataset.triples))) if other == line)
            for line in lines[2]
        }
        assert not lines[2] & lines[1]
        assert all(sum(1 for _, line in sides[0] if line == tested) <= spec.shots for tested in lines[2])
        if not spec.matched:
            assert all(count <= spec.tail for count in counts.values())


rows_strategy = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 8), st.integers(-2, 2)), min_size=60, max_size=160
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=rows_strategy,
    setting=st.sampled_from(SETTINGS),
    seed=st.integers(0, 3),
    fold=st.integers(0, 2),
    shots=st.integers(0, 4),
    both=st.booleans(),
)
def test_any_split_of_any_table_keeps_every_promise(
    workspace: Workspace, rows: Any, setting: str, seed: int, fold: int, shots: int, both: bool
) -> None:
    assume(len({frozenset(row[:2]) for row in rows if row[0] != row[1]}) > 8)
    dataset = write(workspace, rows)
    spec = SplitSpec(
        setting=setting, fold=fold, folds=3, seed=seed, shots=shots, tail=12, both=both and setting == "novel-drug"
    )
    try:
        split = make_split(dataset, spec)
    except UsageError:
        return  # too small to be divided so, and said so
    assert_promises(dataset, split)
    again = make_split(dataset, spec)
    assert all(np.array_equal(getattr(split, part), getattr(again, part)) for part in ("train", "valid", "test"))


@pytest.mark.parametrize("setting", ["random", "novel-cell", "novel-drug", "novel-pair"])
def test_the_folds_test_every_row_of_the_grouped_settings_once(workspace: Workspace, setting: str) -> None:
    dataset = screen(workspace)
    tested = np.concatenate([make_split(dataset, SplitSpec(setting=setting, fold=fold)).test for fold in range(5)])
    counts = np.bincount(tested, minlength=len(dataset.triples))
    if setting == "novel-drug":  # a pair of two held-out drugs of different folds is tested in both, of one fold never
        assert counts.max() == 2
    else:
        assert (counts == 1).all()


def test_every_tissue_is_a_fold(workspace: Workspace) -> None:
    dataset = screen(workspace)
    spec = SplitSpec(setting="novel-tissue")
    assert num_folds(dataset, spec) == 4
    held = [make_split(dataset, spec.model_copy(update={"fold": fold})).held_out for fold in range(4)]
    assert held == [["breast"], ["colon"], ["lung"], ["skin"]]
    shown = split_rows("small", {"setting": "novel-tissue"}, 0, workspace, check=False)[0]
    assert shown["train"] + shown["valid"] + shown["test"] + shown["left out"] == len(dataset.triples)
    with pytest.raises(UsageError, match="no fold 4"):
        make_split(dataset, SplitSpec(setting="novel-tissue", fold=4))


def test_too_few_groups_say_what_would_do(workspace: Workspace) -> None:
    def told(lines: int, folds: int, setting: str = "novel-cell") -> str:
        dataset = write(workspace, [(a, b, c, a - b + c) for a in range(4) for b in range(a) for c in range(lines)])
        try:
            return str(len(make_split(dataset, SplitSpec(setting=setting, folds=folds)).held_out))
        except UsageError as error:
            return str(error)

    assert "--setting random" in told(2, 2)
    for lines, folds in ((4, 5), (3, 2), (4, 1000)):
        assert f"Give --folds {lines}." in told(lines, folds)
        assert told(lines, lines) == "1", "what was said is right"


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--setting", "novel-cell", "--folds", 99), "Give --folds 12."),
        (("--setting", "novel-drug", "--folds", 99), "Give --folds 12."),
        (("--setting", "novel-pair", "--folds", 99), "Give --folds 91."),
        (("--fold", 5), "--fold of 0 to 4"),
        (("--setting", "novel-tissue", "--fold", 9), "--fold of 0 to 3"),
        (("--setting", "random", "--matched"), "--setting long-tail"),
        (("--setting", "long-tail"), "--setting"),
        (("--setting", "random", "--folds", 1000), "--folds"),
    ],
)
def test_a_split_that_cannot_be_names_the_option_to_change(
    workspace: Workspace, cli: Callable[..., Any], options: tuple[object, ...], remedy: str
) -> None:
    screen(workspace)
    assert remedy in cli("data", "split", "small", *options, code=2).stderr


def test_without_tissues_there_are_no_folds_to_show(workspace: Workspace, cli: Callable[..., Any]) -> None:
    table = "drug1,drug2,cell,score\nA,B,X,1\nA,C,Y,-1\n"
    (workspace.root / "s.csv").write_text(table)
    cli("data", "import", workspace.root / "s.csv", "--name", "bare")
    assert "needs three tissues" in cli("data", "split", "bare", "--setting", "novel-tissue", code=2).stderr
    error = cli("evaluate", "--dataset", "bare", "--setting", "novel-tissue", code=2).stderr
    assert "needs three tissues" in error and "--cell-lines" in error


def test_zero_shots_hide_the_tail_whole_and_the_matched_control_tests_head_lines(workspace: Workspace) -> None:
    dataset = screen(workspace)
    tail = make_split(dataset, SplitSpec(setting="S0", shots=0, tail=30))
    matched = make_split(dataset, SplitSpec(setting="S0", shots=0, tail=30, matched=True))
    lines = dataset.triples.cell_line
    assert not np.isin(lines[tail.train], lines[tail.test]).any()
    assert sorted(tail.held_out) == ["L09", "L10", "L11"]
    assert not set(matched.held_out) & set(tail.held_out)
    assert (
        np.sort(np.bincount(lines[matched.test])[-20:]).tolist()[-3:]
        == np.sort(np.bincount(lines[tail.test])).tolist()[-3:]
    )


def test_stratified_folds_spread_the_tissues(workspace: Workspace) -> None:
    dataset = screen(workspace)
    for fold in range(3):
        split = make_split(dataset, SplitSpec(fold=fold, folds=3, stratify="tissue"))
        tissues = [line.facts["tissue"] for line in dataset.cell_lines if line.id in split.held_out]
        assert sorted(tissues) == ["breast", "colon", "lung", "skin"]


def test_lines_of_one_donor_stay_together(workspace: Workspace, cli: Callable[..., Any]) -> None:
    lines = ["DLD1", "HCT-15", "SNB19", "U251", "KPL1", "MCF7", "A549", "HCT116", "PC3", "T47D"]
    rows = [f"D{drug},D{drug + 1},{line},{(drug + at) % 5 - 2}" for at, line in enumerate(lines) for drug in range(6)]
    (workspace.root / "s.csv").write_text("\n".join(["drug1,drug2,cell,score", *rows]))
    cli("data", "import", workspace.root / "s.csv", "--name", "donors")
    dataset = open_dataset("donors", workspace)
    held = [set(make_split(dataset, SplitSpec(setting="novel-donor", fold=fold)).held_out) for fold in range(5)]
    name = {line.id: line.name for line in dataset.cell_lines}
    sides = [{name[line] for line in fold} for fold in held]
    assert sorted(line for side in sides for line in side) == sorted(lines)
    for one, other in zip(lines[:6:2], lines[1:6:2], strict=True):
        assert any({one, other} <= side for side in sides)
    assert "no donor" in cli("data", "split", "donors", "--setting", "novel-donor", "--check").stdout


def test_names_and_aliases_are_the_same_setting() -> None:
    assert SplitSpec(setting="s1") == SplitSpec(setting="Novel_Cell") == SplitSpec(setting="novel-cell")
    assert SplitSpec(setting="S0").setting == "long-tail"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"setting": "novl-cell"}, UnknownNameError),
        ({"fold": 5}, UsageError),
        ({"both": True}, UsageError),
        ({"setting": "random", "matched": True}, UsageError),
    ],
)
def test_specs_that_make_no_sense_are_refused(values: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        SplitSpec(**values)


def plant(split: Split, **sides: Any) -> Split:
    return Split(
        split.spec,
        split.hash,
        *(sides.get(part, getattr(split, part)) for part in ("train", "valid", "test")),
        held_out=split.held_out,
    )


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    "leak",
    [
        lambda s: plant(s, train=np.append(s.train, s.test[0])),
        lambda s: plant(s, valid=np.append(s.valid, s.train[0])),
        lambda s: plant(s, test=np.append(s.test, s.test[0])),
        lambda s: plant(s, test=np.append(s.test, 10**6)),
    ],
    ids=["test row trains", "training row validates", "test row twice", "row that is not there"],
)
def test_a_planted_leak_is_found_in_every_setting(
    workspace: Workspace, setting: str, leak: Callable[[Split], Split]
) -> None:
    dataset = screen(workspace)
    split = make_split(dataset, SplitSpec(setting=setting, tail=30, shots=3))
    check_split(dataset, split)
    with pytest.raises(DamagedError, match="leaks"):
        check_split(dataset, leak(split))


@pytest.mark.parametrize(
    "setting", ["novel-cell", "novel-donor", "novel-pair", "novel-tissue", "novel-drug", "long-tail"]
)
def test_moving_one_test_row_to_training_is_a_leak_of_its_group(workspace: Workspace, setting: str) -> None:
    dataset = screen(workspace)
    split = make_split(dataset, SplitSpec(setting=setting, tail=30, shots=3))
    moved = plant(split, train=np.append(split.train, split.test[:4]), test=split.test[4:])
    with pytest.raises(DamagedError, match="leaks"):
        check_split(dataset, moved)


def test_one_measurement_under_two_rows_is_a_leak(workspace: Workspace) -> None:
    dataset = screen(workspace)
    split = make_split(dataset, SplitSpec(setting="random"))
    copied = {name: getattr(dataset.triples, name).copy() for name in ("drug_a", "drug_b", "cell_line")}
    for column in copied.values():
        column[split.test[0]] = column[split.train[0]]
    dataset.__dict__["triples"] = dataclasses.replace(dataset.triples, **copied)
    with pytest.raises(DamagedError, match="1 unordered triples are on both the training and the test side"):
        check_split(dataset, split)


def test_a_stored_split_that_was_changed_or_cut_off_is_refused(workspace: Workspace) -> None:
    dataset = screen(workspace)
    split = make_split(dataset, SplitSpec())
    path = next((dataset.path / "splits").glob("*.npz"))
    good = path.read_bytes()
    np.savez(path, train=np.append(split.train, split.test[:1]), valid=split.valid, test=split.test[1:])
    with pytest.raises(DamagedError, match="not the split"):
        make_split(dataset, SplitSpec())
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(DamagedError, match="cannot be read"):
        make_split(dataset, SplitSpec())
    path.unlink()
    assert np.array_equal(make_split(dataset, SplitSpec()).test, split.test)


def test_a_stored_split_says_what_it_is(workspace: Workspace) -> None:
    dataset = screen(workspace)
    split = make_split(dataset, SplitSpec(seed=3))
    stored = json.loads(next((dataset.path / "splits").glob("*.json")).read_text())
    assert stored["spec"]["setting"] == "novel-cell"
    assert stored["spec"]["seed"] == 3
    assert stored["hash"] == split.hash
    assert stored["held_out"] == split.held_out


@pytest.mark.parametrize(
    ("values", "name", "rows"),
    [
        ({"setting": "random"}, "54029342918026be", "3d6d2a6139ec5928"),
        ({"setting": "long-tail"}, "b5e0cb60a26af25b", "80bef5d127da33e9"),
        ({"setting": "novel-cell"}, "2681419e49c66171", "2020daaea6756024"),
        ({"setting": "novel-drug"}, "d3cafeaebcb9c42b", "327696862b4d165c"),
        ({"setting": "novel-pair"}, "995ae6fbeea44e1d", "58afdc4948a3281a"),
        ({"setting": "novel-tissue"}, "4704d6a8975cf213", "4aefb7c850efc699"),
    ],
)
def test_splits_of_earlier_versions_are_found_and_made_again_alike(
    workspace: Workspace, values: dict[str, Any], name: str, rows: str
) -> None:
    dataset = screen(workspace)
    split = make_split(dataset, SplitSpec(**values, tail=30, shots=3))
    stored = json.loads((dataset.path / "splits" / f"{name}.json").read_text())
    assert split.hash == stored["hash"] and stored["rows_hash"].startswith(rows)


def test_other_data_or_another_seed_is_another_split(workspace: Workspace, tmp_path: Path) -> None:
    first, second = screen(workspace), screen(Workspace(tmp_path / "other"), seed=1)
    hashes = {
        make_split(first, SplitSpec()).hash,
        make_split(second, SplitSpec()).hash,
        make_split(first, SplitSpec(seed=1)).hash,
    }
    assert len(hashes) == 3
