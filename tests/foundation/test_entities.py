"""Entities: names that differ only in writing meet, others do not, and bad files say where."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2aco.entities import Entity, EntityIndex, EntityKind, normalise_name, read_entities
from l2aco.errors import InputError, UnknownNameError

DRUG, LINE = EntityKind.drug, EntityKind.cell_line


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("HT-29", "ht29", LINE),
        ("NCI-H460", "NCIH460", LINE),
        ("Erlotinib Hydrochloride", "ERLOTINIB", DRUG),
        ("5-FU", "5 fu", DRUG),
        ("Naïve", "naive", DRUG),
        ("α-Lapachone", "alpha lapachone", DRUG),
        ("(−)-JQ1", "( - ) JQ-1", DRUG),
        ("(±)-JQ1", "(+/-)-JQ1", DRUG),
        ("5-氟尿嘧啶", "5 氟尿嘧啶", DRUG),
    ],
)
def test_spellings_of_one_entity_meet(one: str, other: str, kind: EntityKind) -> None:
    assert normalise_name(one, kind) == normalise_name(other, kind)


@pytest.mark.parametrize(("one", "other"), [("PC3", "PC9"), ("SK-MEL-2", "SK-MEL-28"), ("sodium", "")])
def test_different_entities_stay_apart(one: str, other: str) -> None:
    assert normalise_name(one, LINE) != normalise_name(other, LINE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("α-lapachone", "β-lapachone"),
        ("5-氮杂胞苷", "5-氟尿嘧啶"),
        ("(-)-JQ1", "(+)-JQ1"),
        ("(±)-JQ1", "(+)-JQ1"),
        ("(±)-JQ1", "(-)-JQ1"),
        ("(+)-JQ1", "JQ1"),
        ("Ёлка", "Галка"),
    ],
)
def test_different_compounds_stay_apart(one: str, other: str) -> None:
    index = EntityIndex(DRUG, [Entity("D1", DRUG, one)])
    assert index.find(other) is None


@given(st.text(min_size=1).filter(str.strip))
def test_normalising_is_idempotent_and_never_empty(name: str) -> None:
    once = normalise_name(name, LINE)
    assert once
    assert normalise_name(once, LINE) == once


def test_index_prefers_id_then_name_then_alias_and_reports_collisions() -> None:
    index = EntityIndex(
        DRUG,
        [
            Entity("D1", DRUG, "Imatinib", aliases=("Gleevec",)),
            Entity("D2", DRUG, "imatinib mesylate"),
            Entity("D3", DRUG, "Nilotinib"),
        ],
    )
    assert index.resolve("gleevec").id == "D1"
    assert index.resolve("D2").id == "D2"
    assert [{entity.id for entity in group} for group in index.collisions] == [{"D1", "D2"}]
    with pytest.raises(InputError, match="D1, D2"):
        index.resolve("Imatinib")
    with pytest.raises(UnknownNameError) as caught:
        index.resolve("Nilotinb")
    assert "Nilotinib" in str(caught.value)


def test_the_beginning_of_a_name_is_answered_with_whole_ones_and_a_stranger_with_names() -> None:
    index = EntityIndex(LINE, [Entity(f"ACH-{number}", LINE, name) for number, name in enumerate(("MCF7", "HCT116"))])
    for asked, expected in (("MCF", "Did you mean MCF7?"), ("ZR", "Known: HCT116, MCF7.")):
        with pytest.raises(UnknownNameError) as caught:
            index.resolve(asked)
        assert caught.value.remedy == expected


def test_reads_csv_with_bom_aliases_and_facts(tmp_path: Path) -> None:
    file = tmp_path / "entities.csv"
    file.write_bytes("﻿id,Name,Kind,aliases,tissue\nA375,A-375,cell line,A375;A 375,skin\n".encode())
    (entity,) = read_entities(file)
    assert entity == Entity("A375", LINE, "A-375", ("A375", "A 375"), {"tissue": "skin"})


def test_an_id_alone_is_the_name(tmp_path: Path) -> None:
    file = tmp_path / "entities.csv"
    file.write_text("drugbank_id,kind,smiles\nDB00188,drug,CCO\n")
    assert read_entities(file) == [Entity("DB00188", DRUG, "DB00188", (), {"smiles": "CCO"})]


def test_reads_txt_and_parquet_alike(tmp_path: Path) -> None:
    text, table = tmp_path / "names.txt", tmp_path / "names.parquet"
    text.write_text("MCF7\n\nT47D\n")
    pl.DataFrame({"name": ["MCF7", "T47D"]}).write_parquet(table)
    assert read_entities(text, LINE) == read_entities(table, LINE)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"),
        ("name,kind\n", "holds no rows"),
        ("smiles,kind\nCC,drug\n", "has no column 'name' or 'id'"),
        ("id,kind\nA,drug\n,drug\n", r":3: column 'id' is empty"),
        ("name,kind\nA,drug\n,drug\n", r"(?s):3: column 'name' is empty.*Fill it in, or take these rows out"),
        ("name,kind\nA,planet\n", r":2: 'planet' is no kind"),
        ("name\nA\n", r":2: says neither drug nor cell line"),
        ("name,kind\nA,drug\nB,drug\nA,drug\n", r":4: 'A' stands on line 2 already"),
        ("name,kind\nA,drug,x,y\n", r":2: has 4 columns, the header 2"),
    ],
)
def test_bad_files_say_where(tmp_path: Path, content: str, expected: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(InputError, match=expected):
        read_entities(file)


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "latin.csv"
    file.write_bytes("name,kind\nNaïve,drug\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_entities(file)
