"""What things are called: folding, the bundled synonyms, and names that are truly near."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from l2aco.data.known import reference_entities
from l2aco.entities import Entity, EntityIndex, EntityKind, key_of_id, unknown_entity
from l2aco.names.fold import normalise_name
from l2aco.names.near import NearNames
from l2aco.names.synonyms import Known, name_key, name_of_id, read_table

DRUG, LINE = EntityKind.drug, EntityKind.cell_line
TABLE = {kind: list(read_table(kind)) for kind in EntityKind}
written = st.sampled_from([(kind, known) for kind in EntityKind for known in TABLE[kind]])


@given(st.text(min_size=1).filter(str.strip), st.sampled_from(EntityKind))
def test_folding_twice_is_folding_once(name: str, kind: EntityKind) -> None:
    once = normalise_name(name, kind)
    assert once and normalise_name(once, kind) == once
    assert name_key(name_key(name, kind), kind) == name_key(name, kind)


@pytest.mark.parametrize("kind", EntityKind)
def test_no_name_of_the_table_stands_in_it_twice(kind: EntityKind) -> None:
    owners: dict[str, str] = {}
    for known in TABLE[kind]:
        for name in (known.name, *known.ids, *known.synonyms):
            assert owners.setdefault(normalise_name(name, kind), name) == name
            assert name == name.strip() != ""


@pytest.mark.parametrize("kind", EntityKind)
def test_every_main_name_is_its_own_and_every_other_leads_to_it(kind: EntityKind) -> None:
    for known in TABLE[kind]:
        main = normalise_name(known.name, kind)
        assert {name_key(name, kind) for name in (known.name, *known.ids, *known.synonyms)} == {main}
        assert all(name_of_id(id_, kind) == known.name for id_ in known.ids)


@given(written, st.data())
def test_case_hyphens_and_salts_change_nothing(entry: tuple[EntityKind, Known], data: st.DataObject) -> None:
    kind, known = entry
    assume(known.name != "Calcium")  # a salt word that is all there is
    name = data.draw(st.sampled_from([known.name, *known.synonyms]))
    change = data.draw(st.sampled_from([str.upper, str.lower, lambda text: text.replace("-", " "), "  {} ".format]))
    changed = change(name) + (" hydrochloride" if kind is DRUG and name[-1].isalnum() else "")
    assert name_key(changed, kind) == name_key(name, kind)


def test_the_reference_profiles_keep_their_ids_and_names_apart() -> None:
    """The table makes one of two reference profiles only where both are of one drug."""
    for kind in EntityKind:
        known = EntityIndex(kind, reference_entities())
        assert known.collisions == []
        for entity in known.entities:
            assert known.find(entity.name) == known.find(entity.id) == entity
    ids = {entity.id: entity for entity in reference_entities()}
    assert {"DB02546", "DB07232", "DB07101"} <= ids.keys()
    assert "ONEIL:ABT-888" in ids["DB07232"].aliases and "ONEIL:ABT-888" not in ids


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("Vorinostat", "DB02546"),
        ("Zolinza", "DB02546"),
        ("SAHA", "DB02546"),
        ("Capecitabine", "DB01101"),
        ("Niraparib", "ONEIL:MK-4827"),
        ("Fluorouracil", "DB00544"),
        ("Azacitidine", "DB00928"),
        ("Enzalutamide", "DB08899"),
        ("veliparib", "DB07232"),
        ("ABT 888", "DB07232"),
        ("Adavosertib", "ONEIL:AZD1775"),
        ("MK-1775", "ONEIL:AZD1775"),
        ("Dactolisib", "ONEIL:BEZ-235"),
        ("Mitomycin C", "ONEIL:MITOMYCINE"),
        ("Taxol", "DB01229"),
        ("Ara-C", "DB00987"),
        ("Bosutinib (SKI-606)", "DB06616"),
        ("Erlotinib (OSI-774)", "DB00530"),
        ("Tarceva", "DB00530"),
        ("NSC 740", "DB00563"),
    ],
)
def test_the_names_of_a_drug_find_its_reference_profile(name: str, id_: str) -> None:
    found = EntityIndex(DRUG, reference_entities()).find(name)
    assert found is not None and found.id == id_


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("A549/ATCC", "A549"),
        ("A549_LUNG", "A549"),
        ("ACH-000681", "A549"),
        ("CVCL_0023", "A549"),
        ("HL-60(TB)", "HL60"),
        ("786-0", "786O"),
        ("LOX IMVI", "LOXIMVI"),
        ("MDA-MB-231/ATCC", "MDAMB231"),
        ("U-251", "U251MG"),
        ("MSTO-211H", "MSTO"),
        ("H460", "NCIH460"),
        ("K562_HAEMATOPOIETIC_AND_LYMPHOID_TISSUE", "K562"),
    ],
)
def test_the_names_of_a_line_find_its_reference_profile(name: str, id_: str) -> None:
    found = EntityIndex(LINE, reference_entities()).find(name)
    assert found is not None and found.id == id_


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("Trifluridine (tipiracil)", "Trifluridine", DRUG),
        ("Olaparib (Rucaparib)", "Olaparib", DRUG),
        ("Interferon (alpha)", "Interferon (beta)", DRUG),
        ("PLX4720", "PLX4032", DRUG),
        ("(+)-Vorinostat", "Vorinostat", DRUG),
        ("potassium bromide", "potassium chloride", DRUG),
        ("zinc sulfate", "zinc acetate", DRUG),
        ("gallium nitrate", "gallium chloride", DRUG),
        ("lithium citrate", "Citrate", DRUG),
        ("TT_THYROID", "TT_OESOPHAGUS", LINE),
        ("TT", "t.t", LINE),
        ("KM-H2", "KMH-2", LINE),
        ("NCI/ADR-RES", "OVCAR-8", LINE),
        ("LNCaP clone FGC", "LNCaP", LINE),
        ("NCI-H322M", "NCI-H322", LINE),
        ("COLO 320DM", "COLO 320HSR", LINE),
    ],
)
def test_what_is_another_keeps_a_key_of_its_own(one: str, other: str, kind: EntityKind) -> None:
    assert name_key(one, kind) != name_key(other, kind)


@pytest.mark.parametrize(
    ("typed", "near", "kind"),
    [
        ("Nilotinb", ["NILOTINIB"], DRUG),
        ("erlotinb", ["ERLOTINIB HYDROCHLORIDE"], DRUG),
        ("5-fluorouracyl", [], DRUG),  # nobody here is called 5-fluorouracil
        ("HTC116", ["HCT116"], LINE),
        ("MFC-7", ["MCF7"], LINE),
        ("LOVOO", ["LOVO"], LINE),
        ("HCC1954", [], LINE),
        ("BT-20", [], LINE),
        ("BT-21", [], LINE),
        ("HCC15", [], LINE),
        ("SK-MEL-29", [], LINE),
        ("Apatinib", [], DRUG),
        ("ribociclib", [], DRUG),
    ],
)
def test_only_a_slip_of_the_pen_is_near(typed: str, near: list[str], kind: EntityKind) -> None:
    assert EntityIndex(kind, reference_entities()).near.of(typed) == near


@given(written, written)
def test_no_known_name_is_near_another(one: tuple[EntityKind, Known], other: tuple[EntityKind, Known]) -> None:
    assert NearNames(one[0], [other[1].name]).of(one[1].name) == []


def test_an_unknown_entity_is_answered_without_silly_names() -> None:
    said = str(unknown_entity("cell line", "HCC1954", reference_entities()))
    assert "Did you mean" not in said
    assert "Did you mean HCT116?" in str(unknown_entity("cell line", "HTC116", reference_entities()))


def test_an_index_finds_by_synonym_last_and_by_the_registry_among_several() -> None:
    index = EntityIndex(
        DRUG, [Entity("1", DRUG, "Zolinza"), Entity("DB02546", DRUG, "SAHA"), Entity("2", DRUG, "Vorinostat")]
    )
    assert [index.resolve(name).id for name in ("zolinza", "saha", "vorinostat")] == ["1", "DB02546", "2"]
    assert index.resolve("MK-0683").id == "DB02546"
    assert [{entity.id for entity in group} for group in index.collisions] == [{"1", "2", "DB02546"}]


@pytest.mark.parametrize(
    ("entity", "other"),
    [
        (Entity("DB00205", DRUG, "Pyrimethamine"), "CD 437"),
        (Entity("DB00205", DRUG, "DB00205"), "CD 437"),
        (Entity("DB03796", DRUG, "Palmitic acid"), "CLINDAMYCIN PALMITATE HCL"),
        (Entity("HT29", LINE, "HCT-116"), "HT29"),
        (Entity("DB00205", DRUG, "CD-437"), None),
        (Entity("DB00205", DRUG, "Pyrimethamine", ("CD 437",)), None),
        (Entity("DB00530", DRUG, "Tarceva"), None),
        (Entity("DB00530", DRUG, "DB00530"), None),
        (Entity("A549", LINE, "A549/ATCC"), None),
        (Entity("X1", DRUG, "Pyrimethamine"), None),
    ],
)
def test_an_id_with_another_name_is_not_matched(entity: Entity, other: str | None) -> None:
    index = EntityIndex(entity.kind, reference_entities())
    assert index.misnamed(entity) == other
    if other is not None:
        assert index.match(entity) is None


@given(st.sampled_from(reference_entities()))
def test_an_entity_is_never_contradicted_by_itself(entity: Entity) -> None:
    index = EntityIndex(entity.kind, reference_entities())
    same = Entity(entity.id, entity.kind, entity.name, entity.aliases)
    assert index.match(same) == entity
    key = key_of_id(entity)
    assert key is None or index.find(entity.id) == entity


def test_the_table_is_read_once_and_not_by_help() -> None:
    code = (
        "import sys; from l2aco.cli.main import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "assert not {'rapidfuzz', 'polars'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_tables_say_where_they_are_from() -> None:
    from importlib.resources import files

    for kind in EntityKind:
        text = files("l2aco.names").joinpath(f"{kind}s.tsv").read_text(encoding="utf-8")
        head = " ".join(line for line in text.splitlines() if line.startswith("#"))
        assert "public facts" in head
    assert len(list(chain.from_iterable(TABLE.values()))) > 700
