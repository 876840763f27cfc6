"""Ids against the names beside them, and one entity under several spellings: in imports, splits and look-ups."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from l2aco.data.catalog import open_dataset
from l2aco.data.dataset import DataSet
from l2aco.data.known import with_known_ids
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import SplitSpec
from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.find import find_entity, misnamed_in, vectors_of
from l2aco.embeddings.store.segments import StoreRecord
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.entities import Entity, EntityKind
from l2aco.profiles.sets import open_profile_set
from l2aco.workspace import Workspace

Cli = Callable[..., Any]
HEAD = "drug_a,drug_b,cell_line,score\n"
IDT = HEAD + "DB00205,DB03796,A549,1\nDB00205,DB00530,A549,-1\n"
IDS = "id,name,smiles\nDB00205,Pyrimethamine,CCc1nc(N)nc(N)c1-c1ccc(Cl)cc1\nDB03796,Palmitic acid,CCCCCC(=O)O\n"


def imported(cli: Cli, workspace: Workspace, text: str, *options: object, **files: str) -> tuple[DataSet, str]:
    """The data set of a table, and what the import said; `files` are written beside it and given by their option."""
    (workspace.root / "s.csv").write_text(text)
    for option, content in files.items():
        (workspace.root / f"{option}.csv").write_text(content)
        options = (*options, f"--{option.replace('_', '-')}", workspace.root / f"{option}.csv")
    said = cli("data", "import", workspace.root / "s.csv", "--name", "mine", "--force", *options).stderr
    return open_dataset("mine", workspace), " ".join(said.split())


def profiled(dataset: DataSet, workspace: Workspace) -> dict[str, str | None]:
    """The name that the reference profile of each drug has."""
    reference = open_profile_set("reference", workspace)
    found = {drug.id: reference.find(drug) for drug in dataset.drugs}
    return {id_: record.entity_name if record else None for id_, record in found.items()}


def test_an_id_with_another_name_is_reported_and_its_profile_not_used(cli: Cli, workspace: Workspace) -> None:
    dataset, said = imported(cli, workspace, IDT, drugs=IDS)
    assert "DB00205 'Pyrimethamine' is 'CD 437' in the reference profiles" in said
    assert "--trust-ids" in said and "--aliases" in said
    assert profiled(dataset, workspace) == {
        "DB00205": None,
        "DB03796": None,
        "DB00530": "ERLOTINIB HYDROCHLORIDE",
    }
    said = cli("profile", "--llm", "reference", code=0).stderr
    assert "Pyrimethamine (there DB00205 is CD 437)" in " ".join(said.split())


def test_the_user_decides_for_all_ids_or_for_one(cli: Cli, workspace: Workspace) -> None:
    trusted, _ = imported(cli, workspace, IDT, "--trust-ids", drugs=IDS)
    assert profiled(trusted, workspace)["DB00205"] == "CD 437"
    assert profiled(trusted, workspace)["DB03796"] == "CLINDAMYCIN PALMITATE HCL"
    one, _ = imported(cli, workspace, IDT, drugs=IDS, aliases="alias,id\nCD 437,DB00205\n")
    assert profiled(one, workspace)["DB00205"] == "CD 437"
    assert profiled(one, workspace)["DB03796"] is None
    assert one.manifest["resolution"]["drugs"]["aliases_unused"] == []


def test_an_id_without_a_name_is_what_its_registry_says(cli: Cli, workspace: Workspace) -> None:
    dataset, said = imported(cli, workspace, IDT)
    assert "DB00205 is 'CD 437' in the reference profiles and 'Pyrimethamine' in its registry" in said
    assert profiled(dataset, workspace)["DB00205"] is None


def test_names_of_an_id_that_are_synonyms_do_not_disagree(cli: Cli, workspace: Workspace) -> None:
    names = "id,name\nDB00530,Tarceva\nDB00188,PS-341\nDB01101,capecitabine\nDB00205,CD437\n"
    text = HEAD + "DB00530,DB00188,A549,1\nDB00530,DB01101,A549,-1\nDB00205,DB00188,A549,1\n"
    dataset, said = imported(cli, workspace, text, drugs=names)
    assert "'Tarceva'" not in said and "in the reference profiles" not in said
    assert None not in profiled(dataset, workspace).values()


def test_facts_of_another_drug_are_not_attached_by_its_id(cli: Cli, workspace: Workspace) -> None:
    text = HEAD + "Gefitinib,B,A549,1\nGefitinib,C,A549,-1\n"
    dataset, _ = imported(cli, workspace, text, drugs="id,name,smiles\nDB00317,Palmitic acid,CCC\n")
    drug = next(drug for drug in dataset.drugs if drug.id == "DB00317")
    assert "smiles" not in drug.facts
    unused = dataset.manifest["resolution"]["drugs"]["facts_unused"]
    assert unused == ["DB00317 'Palmitic acid' (here 'Gefitinib')"]


def test_the_case_of_ids_that_are_not_what_they_are_called(cli: Cli, workspace: Workspace, shared: Path) -> None:
    tables = shared / "cases" / "tables"
    cli("data", "import", tables / "idt.csv", "--name", "idt", "--drugs", tables / "ids.csv")
    assert profiled(open_dataset("idt", workspace), workspace)["DB00205"] is None


def store_of(workspace: Workspace, *drugs: tuple[str, str]) -> EmbeddingStore:
    encoder = EncoderSpec(name="toy", runtime="toy", model="toy", dimension=2, window=64)
    store = EmbeddingStore.create(workspace.root / "embeddings" / "own--toy", encoder)
    records = [StoreRecord(kind="drug", id=id_, name=name, text=name, set="own", llm="fake") for id_, name in drugs]
    store.upsert(records, np.eye(2, dtype=np.float32)[: len(records)])
    return store


def test_a_vector_of_another_name_is_not_taken_by_its_id(workspace: Workspace) -> None:
    store = store_of(workspace, ("DB00205", "CD 437"), ("DB00530", "Erlotinib"))
    asked = [
        Entity("DB00205", EntityKind.drug, "Pyrimethamine"),
        Entity("DB00205", EntityKind.drug, "CD437"),
        Entity("x", EntityKind.drug, "Tarceva"),
        Entity("DB00530", EntityKind.drug, "DB00530"),
    ]
    vectors, mask = vectors_of(store, EntityKind.drug, asked)
    assert mask.tolist() == [False, True, True, True] and not vectors[0].any()
    assert misnamed_in(store, EntityKind.drug, asked) == ["DB00205 'Pyrimethamine' (there 'CD 437')"]
    assert find_entity(store, "OSI-774").id == "DB00530"


def test_what_is_left_is_listed_by_name_with_the_nearest(cli: Cli, workspace: Workspace) -> None:
    _, said = imported(cli, workspace, HEAD + "Nilotinb,Foo,HTC116,1\nNilotinib,Foo,HCC1954,-1\n")
    assert "No reference profile is of these drugs: Nilotinb (near NILOTINIB); Foo." in said
    assert "No reference profile is of these cell lines: HTC116 (near HCT116); HCC1954." in said


LINES = ("A549", "HT-29", "MCF7", "PC-3", "K-562", "T-47D", "RKO", "LOVO")


def screen() -> str:
    """SK-MEL-28 under one spelling in a few rows and under another in many, beside other lines."""
    lines = {"SK-MEL-28": 12, "SKMEL28": 80, **dict.fromkeys(LINES, 120)}
    rows = [
        f"D{n % 12},E{n // 12},{line},{(n % 3) - 1}"
        for number, (line, count) in enumerate(lines.items())
        for n in range(number % 2, count + number % 2)
    ]
    return HEAD + "\n".join(rows) + "\n"


def test_one_line_under_two_spellings_is_one(cli: Cli, workspace: Workspace) -> None:
    dataset, said = imported(cli, workspace, screen())
    assert len(dataset.cell_lines) == 1 + len(LINES)
    assert "Names of one cell line: SKMEL28 -> SK-MEL-28. --keep-apart takes them as two." in said


@pytest.mark.parametrize(
    ("setting", "more"),
    [
        ("random", {}),
        ("long-tail", {"tail": 92, "shots": 5}),
        ("novel-cell", {}),
        ("novel-pair", {}),
        ("novel-drug", {}),
    ],
)
def test_what_is_kept_apart_is_never_on_two_sides_of_a_split(
    cli: Cli, workspace: Workspace, setting: str, more: dict[str, Any]
) -> None:
    dataset, _ = imported(cli, workspace, screen(), "--keep-apart")
    assert len(dataset.cell_lines) == 2 + len(LINES)
    triples = dataset.triples
    name = np.array(["SKMEL28" if "28" in line.id else line.id for line in dataset.cell_lines])[triples.cell_line]
    key = [f"{a} {b} {c}" for a, b, c in zip(triples.drug_a, triples.drug_b, name, strict=True)]
    for fold in range(5 if setting != "long-tail" else 1):
        split = make_split(dataset, SplitSpec(setting=setting, fold=fold, **more))
        sides = [{key[row] for row in rows} for rows in split.sides.values()]
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
        if setting == "novel-cell":
            lines = [set(name[rows]) for rows in split.sides.values()]
            assert sum(map(len, lines)) == len(set(name))
            assert {"SK-MEL-28", "SKMEL28"} <= set(split.held_out) or "SKMEL28" not in lines[2]
    assert "under any of its names" in cli("data", "split", "mine", "--check", "--json").stdout


def test_drugs_that_are_kept_apart_are_new_together(cli: Cli, workspace: Workspace) -> None:
    names = ["ABT-888", "veliparib", *(f"D{n}" for n in range(10))]
    rows = [f"{a},{b},{line},{i - 3}" for i, a in enumerate(names) for b in names[:i] for line in LINES]
    dataset, _ = imported(cli, workspace, HEAD + "\n".join(rows) + "\n", "--keep-apart")
    both = {drug.id for drug in dataset.drugs if drug.name in ("ABT-888", "veliparib")}
    assert len(both) == 2
    for fold in range(3):
        split = make_split(dataset, SplitSpec(setting="novel-drug", fold=fold, folds=3))
        assert both <= set(split.held_out) or not both & set(split.held_out)


def test_a_split_of_before_that_leaks_is_made_again(cli: Cli, workspace: Workspace) -> None:
    """Names are no part of the triples: the hash of a split says which entities are called alike where some are."""
    apart, _ = imported(cli, workspace, screen(), "--keep-apart")
    renamed = screen().replace("SKMEL28", "Other")
    first = make_split(apart, SplitSpec()).hash
    shutil.rmtree(workspace.root / "data" / "mine")
    other, _ = imported(cli, workspace, renamed)
    assert make_split(other, SplitSpec()).hash != first


def test_two_names_in_a_list_of_entities_are_one(workspace: Workspace) -> None:
    line = EntityKind.cell_line
    listed = [Entity(name, line, name) for name in ("BT-20", "BT20", "CVCL_0178", "HT-29", "ACH-000552", "QQ-1", "QQ1")]
    found, renamed = with_known_ids(listed, workspace)
    assert [entity.id for entity in found] == ["BT-20", "HT29", "QQ-1"]
    assert "BT20 = BT-20" in renamed and "CVCL_0178 = BT-20" in renamed
    contradicting = [
        Entity("QQ-1", line, "QQ-1", (), {"tissue": "skin"}),
        Entity("QQ1", line, "QQ1", (), {"tissue": "lung"}),
    ]
    assert len(with_known_ids(contradicting, workspace)[0]) == 2


@pytest.mark.parametrize("case", ["names.csv", "inn.csv"])
def test_the_cases_of_names_find_their_profiles(cli: Cli, workspace: Workspace, shared: Path, case: str) -> None:
    said = cli("data", "import", shared / "cases" / "tables" / case, "--name", "mine").stderr
    resolution = open_dataset("mine", workspace).manifest["resolution"]
    left = {name.partition(" (")[0] for kind in resolution.values() for name in kind["left"]}
    strange = {"β-Lapachone", "1-(4-chlorophenyl), 3-methyl", '5\'-Fluoro "special"', "DB00205", "NCI/ADR-RES"}
    salts = {"potassium bromide", "potassium chloride"}
    assert left == (strange | salts if case == "names.csv" else set())
    assert all(name in said for name in left)
