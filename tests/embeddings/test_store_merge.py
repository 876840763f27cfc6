"""Shards embedded apart become one store, by links, equal to the store that is embedded at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small_stores import WORDS, profile, some_records, some_vectors, write_set

from l2aco.embeddings.embed import embed_profiles
from l2aco.embeddings.encoders.local import LocalEncoder
from l2aco.embeddings.spec import EmbedSpec
from l2aco.embeddings.store.merge import merge_stores
from l2aco.embeddings.store.repair import verify
from l2aco.embeddings.store.store import EmbeddingStore, list_stores, open_store
from l2aco.errors import DamagedError, MismatchError, UsageError
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
LINES = [profile(f"C{number:02d}", f"braf melanoma {WORDS[number % len(WORDS)]} line {number}") for number in range(23)]


def test_shards_merge_into_what_is_embedded_at_once(
    cli: Cli, tiny_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tiny_workspace, "one", LINES)
    for number in (3, 1, 2):
        told = json.loads(cli("embed", "one", "--shard", f"{number}/3", "--json").stdout)
        assert told[0]["encoded"] in (7, 8)
    assert list_stores(tiny_workspace) == [], "a part is no store that is chosen by default"
    cli("store", "merge", "-o", "one--tiny")
    merged = open_store("one--tiny", tiny_workspace)
    assert verify(merged.path) == []
    with monkeypatch.context() as nothing_is_encoded:
        nothing_is_encoded.setattr(LocalEncoder, "_ready", None)
        assert json.loads(cli("embed", "one", "--json").stdout)[0]["unchanged"] == 23
    merged.path.rename(tiny_workspace.root / "merged")
    merged = EmbeddingStore.open(tiny_workspace.root / "merged")
    embed_profiles(EmbedSpec(sets=("one",)), tiny_workspace)
    whole = open_store("one--tiny", tiny_workspace)
    assert merged.records(text=True).equals(whole.records(text=True))
    assert merged.manifest.counts == whole.manifest.counts
    every = np.arange(23)
    np.testing.assert_allclose(merged.rows(every), whole.rows(every), atol=1e-6)


def test_a_shard_goes_on_and_keeps_to_its_part(cli: Cli, tiny_workspace: Workspace) -> None:
    write_set(tiny_workspace, "one", LINES[:20])
    cli("embed", "one", "--shard", "1/2")
    write_set(tiny_workspace, "one", LINES)
    told = json.loads(cli("embed", "one", "--shard", "1/2", "--json").stdout)[0]
    assert (told["encoded"], told["unchanged"], told["deleted"]) == (1, 10, 0)


def test_what_is_missing_is_named(cli: Cli, tiny_workspace: Workspace) -> None:
    write_set(tiny_workspace, "one", LINES[:2])
    for number in (1, 4):
        cli("embed", "one", "--shard", f"{number}/4")
    assert "lacks 2 of 4 shards: 2, 3" in cli("store", "merge", "-o", "one--tiny", code=1).output
    for number in (2, 3):
        cli("embed", "one", "--shard", f"{number}/4")
    assert json.loads(cli("store", "merge", "-o", "one--tiny", "--json").stdout)["records"] == 2
    assert "exists already" in cli("store", "merge", "-o", "one--tiny", code=2).output
    cli("embed", "one", "--shard", "1/2")
    assert "divisions into 2 and 4" in cli("store", "merge", "-o", "one--tiny", code=1).output
    assert "one--tiny" in cli("store", "merge", "-o", "one--tinny", code=2).output
    for wrong in ("0/2", "3/2", "two", "1/2/3"):
        cli("embed", "one", "--shard", wrong, code=2)


def test_a_part_is_what_it_was_made_of_and_not_what_its_folder_is_called(cli: Cli, tiny_workspace: Workspace) -> None:
    write_set(tiny_workspace, "one", LINES)
    shards = tiny_workspace.embeddings / "one--tiny.shards"
    for number in (1, 2):
        cli("embed", "one", "--shard", f"{number}/3")
    shutil.copytree(shards / "00001-of-00003", shards / "00003-of-00003")
    told = cli("store", "merge", "-o", "one--tiny", code=1).stderr
    assert "holds part 1 of 3 of one, and is called part 3 of 3 of one" in told
    assert "l2aco embed one --encoder tiny --shard 3/3" in told
    assert "holds part 1" in cli("embed", "one", "--shard", "3/3", code=1).stderr
    (shards / "00003-of-00003").rename(shards / "00004-of-00003")
    assert "no such part of 3" in cli("store", "merge", "-o", "one--tiny", code=1).stderr
    shutil.rmtree(shards / "00004-of-00003")
    cli("embed", "one", "--shard", "3/3")
    shards.rename(shards.with_name("two--tiny.shards"))
    assert "of one, and is called part 1 of 3 of two" in cli("store", "merge", "-o", "two--tiny", code=1).stderr
    shards.with_name("two--tiny.shards").rename(shards)
    assert not (tiny_workspace.embeddings / "one--tiny").exists()
    assert json.loads(cli("store", "merge", "-o", "one--tiny", "--json").stdout)["records"] == 23


def test_the_advice_for_a_damaged_part_can_be_followed(cli: Cli, tiny_workspace: Workspace) -> None:
    write_set(tiny_workspace, "one", LINES)
    for number in (1, 2):
        cli("embed", "one", "--shard", f"{number}/2")
    part = tiny_workspace.embeddings / "one--tiny.shards" / "00002-of-00002"
    file = part / EmbeddingStore.open(part).manifest.segments[0].vectors.path
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    told = cli("store", "merge", "-o", "one--tiny", code=1).stderr
    assert f"Remove the folder {part}" in " ".join(told.split())
    shutil.rmtree(part)
    cli("embed", "one", "--encoder", "tiny", "--shard", "2/2")
    assert "l2aco embed one --encoder tiny --shard 2/2" in " ".join(told.split())
    cli("store", "merge", "-o", "one--tiny")


def test_the_last_of_two_counts_and_the_dead_stay_dead(make_store: Callable[..., EmbeddingStore]) -> None:
    first, second = make_store(10, name="first"), make_store(0, name="second")
    first.delete_records([some_records([3])[0].identity])
    newer = some_vectors(4, seed=1)
    second.upsert(some_records(range(8, 12), text="newer"), newer)
    second.delete_records([some_records([9])[0].identity])
    merged = merge_stores([first, second], first.path.with_name("merged"))
    assert sorted(merged.records()["id"]) == sorted(f"E{n}" for n in (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11))
    found = dict(zip(merged.records(text=True)["id"], merged.records(text=True)["text"], strict=True))
    assert found["E9"] == "text of 9"
    assert found["E8"] == "newer"
    np.testing.assert_array_equal(merged.vectors("cell_line", ["E8", "E10"])[0], newer[[0, 2]])
    first.delete(kind="drug")
    first.compact()
    assert len(EmbeddingStore.open(merged.path)) == 11, "a store of links does not change with those it was made of"
    assert verify(merged.path) == []


def test_other_encoders_and_damage_are_refused(make_store: Callable[..., EmbeddingStore]) -> None:
    first, wide = make_store(4, name="first"), make_store(4, 8, name="wide")
    target = first.path.with_name("merged")
    with pytest.raises(MismatchError):
        merge_stores([first, wide], target)
    file = first.path / first.manifest.segments[0].vectors.path
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedError):
        merge_stores([wide, first][1:], target)
    assert not target.exists()
    with pytest.raises(UsageError):
        merge_stores([wide], wide.path)
