"""Names, synonyms, aliases, cross references, merges, extra graphs: nothing becomes one silently."""

from __future__ import annotations

from typing import Any

import pytest

from l2aco.data.catalog import open_or_simulate
from l2aco.data.dataset import DataSet
from l2aco.data.importing import ImportSpec, import_dataset
from l2aco.data.known import entities_with_targets, gather_entities, known_entities
from l2aco.data.merging import merge_datasets
from l2aco.data.splits.make import make_split
from l2aco.data.splits.spec import SplitSpec
from l2aco.errors import InputError, L2aCoError, UsageError
from l2aco.workspace import Workspace

HEAD = "drug_a,drug_b,cell_line,score\n"


def load(workspace: Workspace, text: str, name: str = "d", files: dict[str, str] | None = None, **more: Any) -> DataSet:
    """Import a table; `files` are written beside it, and given to the spec under their names."""
    path = workspace.root / f"{name}.csv"
    path.write_text(HEAD + text)
    for role, content in (files or {}).items():
        more[role] = workspace.root / f"{name}-{role}.csv"
        more[role].write_text(content)
    return import_dataset(ImportSpec(path=path, name=name, **more), workspace)


def test_names_find_the_reference_ids_and_the_report_says_how(workspace: Workspace) -> None:
    dataset = load(workspace, "Bortezomib,Erlotinib HCl,HT-29,1\nDB00188,Nobody-1,mcf7,-1\n")
    assert {drug.id for drug in dataset.drugs} == {"DB00188", "DB00530", "Nobody-1"}
    report = dataset.manifest["resolution"]["drugs"]
    assert "Erlotinib HCl -> DB00530 ERLOTINIB HYDROCHLORIDE" in report["guessed"]
    assert any("Nobody-1" in item for item in report["left"])
    assert any("otherwise" in note and "Erlotinib HCl -> DB00530" in note for note in dataset.manifest["notes"])
    assert {line.id for line in dataset.cell_lines} == {"HT29", "MCF7"}


def test_two_names_of_one_drug_are_one_and_the_import_says_so(workspace: Workspace) -> None:
    dataset = load(workspace, "Erlotinib,B,X,1\nErlotinib hydrochloride,B,X,-1\nOctreotide,DB00104,X,1\n")
    assert {drug.id for drug in dataset.drugs} == {"DB00530", "DB00104", "B"}
    assert len(dataset.triples) == 1
    assert dataset.manifest["report"]["self_pairs"] == 1
    assert any("Erlotinib hydrochloride -> Erlotinib" in note for note in dataset.manifest["notes"])


def test_two_names_of_one_drug_are_kept_apart_where_somebody_says_so(workspace: Workspace) -> None:
    dataset = load(workspace, "Erlotinib,B,X,1\nErlotinib hydrochloride,B,X,-1\n", keep_apart=True)
    assert len(dataset.triples) == 2
    report = dataset.manifest["resolution"]["drugs"]
    assert len(report["left"]) == 2  # B, and the second of the two
    assert any("(like DB00530)" in item for item in report["left"])
    assert len(report["alike_but_apart"]) == 1


def test_one_name_in_several_spellings_is_one_entity_and_sits_on_one_side_of_a_split(workspace: Workspace) -> None:
    spellings = ("Line{0}", "line{0}", "LINE{0}", "\uff2cine{0}")
    text = "".join(
        f"{'Drug  A' if n % 2 else 'drug a'},D{n},{spellings[n % 4].format(line)},{(-1) ** n}\n"
        for line in range(8)
        for n in range(12)
    )
    dataset = load(workspace, text)
    assert len(dataset.cell_lines) == 8
    assert {(drug.name, *drug.aliases) for drug in dataset.drugs if "a" in drug.name} == {("drug a", "Drug  A")}
    assert len(dataset.manifest["resolution"]["cell_lines"]["spellings_joined"]) == 24
    split = make_split(dataset, SplitSpec(setting="novel-cell"))
    sides = [
        {dataset.cell_lines[row].name.casefold() for row in dataset.triples.cell_line[part]}
        for part in (split.train, split.valid, split.test)
    ]
    assert sum(map(len, sides)) == 8


def test_spellings_become_one_before_repeats_are_merged(workspace: Workspace) -> None:
    dataset = load(workspace, "Abc,B,X,1\nabc,B,x,3\nABC,b,\uff38,-1\nabc,Abc,X,9\n")
    assert dataset.triples.score.tolist() == [1.0]
    report = dataset.manifest["report"]
    assert (report["repeats"], report["self_pairs"]) == (2, 1)


@pytest.mark.parametrize(
    ("files", "against"),
    [
        ({"cell_lines": "name,tissue\nQQ-1,skin\nQQ1,lung\n"}, "skin and lung"),
        ({"cell_lines": "name,depmap_id\nQQ-1,ACH-000001\nQQ1,ACH-000002\n"}, "depmap ACH-000001 and ACH-000002"),
        ({"aliases": "alias,id\nQQ-1,one\nQQ1,two\n"}, None),
    ],
)
def test_what_is_alike_and_contradicts_stays_apart_and_is_named(
    workspace: Workspace, files: dict[str, str], against: str | None
) -> None:
    dataset = load(workspace, "A,B,QQ-1,1\nA,C,QQ1,-1\n", files=files)
    assert len(dataset.cell_lines) == 2
    if against is not None:
        note = next(note for note in dataset.manifest["notes"] if "'QQ-1' and 'QQ1'" in note)
        assert against in note and "--aliases" in note


@pytest.mark.parametrize(
    ("first", "second", "drugs"), [("CCO", "OCC", 3), ("CCO", "[Na+].CC[O-]", 3), ("CCO", "CCN", 4)]
)
def test_structures_contradict_by_what_they_are_and_not_by_how_they_are_written(
    workspace: Workspace, first: str, second: str, drugs: int
) -> None:
    files = {"drugs": f"name,smiles\nQoo 12,{first}\nQOO-12,{second}\n"}
    dataset = load(workspace, "Qoo 12,B,X,1\nQOO-12,C,X,-1\n", files=files)
    assert len(dataset.drugs) == drugs


def test_salts_that_are_all_there_is_are_no_salts_of_one_drug(workspace: Workspace) -> None:
    dataset = load(workspace, "potassium bromide,B,X,1\npotassium chloride,B,X,-1\nzinc sulfate,Zinc acetate,X,1\n")
    assert len(dataset.drugs) == 5


def test_an_alias_table_makes_them_one(workspace: Workspace) -> None:
    aliases = "alias,id,kind\nErlotinib,DB00530,drug\nErlotinib hydrochloride,DB00530,drug\nX,HT29,cell line\n"
    text = "Erlotinib,B,X,1\nB,Erlotinib hydrochloride,X,-2\n"
    dataset = load(workspace, text, files={"aliases": aliases})
    assert len(dataset.triples) == 1
    assert dataset.triples.score.tolist() == [-0.5]
    assert dataset.manifest["report"]["repeats_swapped"] == 1
    drug = next(drug for drug in dataset.drugs if drug.id == "DB00530")
    assert {drug.name, *drug.aliases} == {"Erlotinib", "Erlotinib hydrochloride"}
    assert [line.id for line in dataset.cell_lines] == ["HT29"]


def test_an_alias_with_two_ids_is_refused(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="gives 'A' two ids"):
        load(workspace, "A,B,X,1\n", files={"aliases": "alias,id\nA,one\nA,two\n"})


def test_entity_tables_bring_facts_and_unknown_rows_are_reported_or_added(workspace: Workspace) -> None:
    drugs = "id,name,smiles,chembl_id,clinical phase\nA,Alpha,CCO,CHEMBL25,4\nZ,Zeta,CCN,,1\n"
    dataset = load(workspace, "A,B,X,1\nA,C,X,-1\n", files={"drugs": drugs})
    alpha = dataset.drugs[0]
    assert (alpha.name, alpha.facts["smiles"], alpha.facts["xrefs"]) == ("Alpha", "CCO", {"chembl": "CHEMBL25"})
    assert dataset.manifest["resolution"]["drugs"]["facts_unused"] == ["Z"]
    more = load(workspace, "A,B,X,1\nA,C,X,-1\n", "e", files={"drugs": drugs}, add_entities=True)
    assert [drug.id for drug in more.drugs] == ["A", "B", "C", "Z"]
    assert more.drugs[3].facts["smiles"] == "CCN"


def test_facts_may_come_by_id_alone(workspace: Workspace) -> None:
    files = {"drugs": "id,smiles\nDB00188,CCO\n", "cell_lines": "id,tissue\nHT29,colon\n"}
    dataset = load(workspace, "Bortezomib,B,HT-29,1\nBortezomib,C,HT-29,-1\n", files=files)
    drug = next(drug for drug in dataset.drugs if drug.id == "DB00188")
    assert (drug.name, drug.facts["smiles"]) == ("Bortezomib", "CCO")
    line = dataset.cell_lines[0]
    assert (line.id, line.name, line.facts["tissue"]) == ("HT29", "HT-29", "colon")


def test_facts_of_the_very_name_come_before_those_of_a_name_like_it(workspace: Workspace) -> None:
    drugs = "name,smiles,phase\nQoo sodium,[Na+].CCO,4\nQoo,CCO,\n"
    dataset = load(workspace, "Qoo,B,X,1\nQoo,C,X,-1\n", files={"drugs": drugs})
    drug = next(drug for drug in dataset.drugs if drug.id == "Qoo")
    assert (drug.name, dict(drug.facts)) == ("Qoo", {"smiles": "CCO"})
    report = dataset.manifest["resolution"]["drugs"]
    assert (report["described"], report["facts_unused"]) == (1, ["Qoo sodium (like Qoo)"])


def test_an_id_of_a_public_registry_is_a_cross_reference_by_its_shape(workspace: Workspace) -> None:
    lines = "name,depmap_id\nX,ACH-000425\n"
    dataset = load(workspace, "A,B,X,1\nA,C,X,-1\n", files={"cell_lines": lines})
    assert dataset.cell_lines[0].facts["xrefs"] == {"depmap": "ACH-000425"}


def test_data_sets_that_share_entities_are_merged_and_conflicts_listed(workspace: Workspace) -> None:
    one = load(workspace, "A,B,X,3\nA,C,X,-1\nA,D,X,2\n", "one")
    two = load(workspace, "B,A,X,-1\nA,C,X,-2\nE,B,Y,5\n", "two")
    merged = merge_datasets([one, two], "both", workspace)
    assert merged.triples.score.tolist() == [1.0, -1.5, 2.0, 5.0]
    assert merged.triples.count.tolist() == [2, 2, 1, 1]
    report = merged.manifest["report"]
    assert (report["triples_in_several"], report["triples_labelled_differently"]) == (2, 1)
    assert merged.manifest["conflicts"] == ["A + B in X"]
    assert [part["hash"] for part in merged.manifest["merged"]] == [one.hash, two.hash]


def test_different_label_rules_merge_by_vote_and_drop_ties(workspace: Workspace) -> None:
    one = load(workspace, "A,B,X,3\nA,C,X,-1\n", "one")
    two = load(workspace, "A,B,X,5\nA,C,X,20\nA,D,X,20\n", "two", label=">= 10, <= 5")
    merged = merge_datasets([one, two], "both", workspace)
    assert [(merged.drugs[b].id) for b in merged.triples.drug_b] == ["D"]
    assert merged.manifest["report"]["ties"] == 2


def test_a_merge_keeps_triples_that_have_a_label_and_no_score(workspace: Workspace) -> None:
    def write(name: str, drug: str) -> DataSet:
        path = workspace.root / f"{name}.csv"
        path.write_text(f"{HEAD.strip()},label\n{drug},B,X,5,1\n{drug},C,X,,1\n{drug},D,X,,0\n{drug},E,X,-3,0\n")
        return import_dataset(ImportSpec(path=path, name=name, label="> 0"), workspace)

    merged = merge_datasets([write("one", "A"), write("two", "Z")], "both", workspace)
    assert merged.triples.label.tolist() == [1, 1, 0, 0, 1, 1, 0, 0]
    report = merged.manifest["report"]
    assert (report["unmeasured"], report["scores_left_out"]) == (0, 4)


def test_a_merge_takes_quantiles_once(workspace: Workspace) -> None:
    rule = "top 25%, bottom 25%"
    one = load(workspace, "".join(f"A,D{n:02d},X,{n}\n" for n in range(20)), "one", label=rule)
    two = load(workspace, "".join(f"Z,D{n:02d},X,{n + 100}\n" for n in range(20)), "two", label=rule)
    merged = merge_datasets([one, two], "both", workspace)
    assert len(merged.triples) == len(one.triples) + len(two.triples) == 20
    assert merged.triples.label.sum() == 10


@pytest.mark.parametrize(
    ("bound", "low", "high"), [("1500000", 1499999, 1500001), ("0.12345675", 0.1234567, 0.1234568)]
)
def test_a_merge_keeps_the_rule_to_the_last_digit(workspace: Workspace, bound: str, low: float, high: float) -> None:
    parts = [
        load(workspace, f"{drug},B,X,{low}\n{drug},C,X,{high}\n", name, label=f"> {bound}")
        for drug, name in (("A", "one"), ("Z", "two"))
    ]
    merged = merge_datasets(parts, "both", workspace)
    assert merged.triples.label.tolist() == [0, 1, 0, 1]
    assert merged.triples.score.tolist() == [low, high, low, high]


def test_a_merge_joins_by_name_and_cross_reference_unless_it_is_told_not_to(workspace: Workspace) -> None:
    described = "id,name,pubchem_cid\n{0},{0},\n{1},Alpha,2244\nB,B,\n"
    one = load(workspace, "A1,B,X,3\nA1,C,X,-3\n", "one", files={"drugs": described.format("C", "A1")})
    two = load(workspace, "A2,B,X,3\nA2,C,Y,-3\n", "two", files={"drugs": described.format("C", "A2")})
    joined, apart = (
        merge_datasets([one, two], "joined", workspace),
        merge_datasets([one, two], "apart", workspace, keep_apart=True),
    )
    assert (len(apart.triples), len(joined.triples)) == (4, 3)
    assert joined.manifest["resolution"]["drugs"]["joined_by_name"] == ["two: A2 -> A1"]
    assert "two: A2 -> A1" in joined.manifest["notes"][0]


def test_a_merge_joins_synonyms_and_keeps_apart_what_contradicts(workspace: Workspace) -> None:
    files = {"cell_lines": "name,tissue\nQQ-1,skin\nSK-MEL-2,skin\nZ,lung\n"}
    one = load(workspace, "ABT-888,B,QQ-1,3\nABT-888,C,SK-MEL-2,-3\nB,C,Z,1\n", "one", files=files, keep_apart=True)
    files = {"cell_lines": "name,tissue\nQQ1,lung\nSKMEL2,Skin Cancer\nY,skin\n"}
    two = load(workspace, "Veliparib,B,QQ1,3\nveliparib,C,SKMEL2,-3\nB,C,Y,1\n", "two", files=files)
    merged = merge_datasets([one, two], "both", workspace)
    assert {drug.id for drug in merged.drugs} == {"DB07232", "B", "C"}
    assert {line.id for line in merged.cell_lines} == {"QQ-1", "QQ1", "SKMEL2", "Y", "Z"}
    assert merged.manifest["resolution"]["cell_lines"]["alike_but_apart"] == ["two: QQ1 and QQ-1 (lung and skin)"]


def test_a_merge_says_where_one_id_has_two_names(workspace: Workspace) -> None:
    one = load(workspace, "1,B,X,3\n1,C,X,-3\n", "one", files={"drugs": "id,name\n1,Alpha\n"})
    two = load(workspace, "1,B,X,3\n1,C,Y,-3\n", "two", files={"drugs": "id,name\n1,Omega\n"})
    merged = merge_datasets([one, two], "both", workspace)
    assert merged.manifest["resolution"]["drugs"]["ids_with_other_names"] == ["two: 1 'Omega', before 'Alpha'"]


def test_a_merge_of_one_is_no_merge(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="two data sets"):
        merge_datasets([load(workspace, "A,B,X,3\nA,C,X,-1\n")], "both", workspace)


KG = """relation,display_relation,x_index,x_id,x_type,x_name,x_source,y_index,y_id,y_type,y_name,y_source
drug_protein,target,0,DB00530,drug,Erlotinib,DrugBank,1,1956,gene/protein,EGFR,NCBI
drug_protein,target,1,1956,gene/protein,EGFR,NCBI,0,DB00530,drug,Erlotinib,DrugBank
indication,indication,0,14312,drug,Bortezomib,X,2,5061,disease,lung cancer,MONDO
indication,indication,0,DB99999,drug,Nobody,DrugBank,2,5061,disease,lung cancer,MONDO
"""


def test_a_primekg_like_table_joins_the_graph(workspace: Workspace) -> None:
    dataset = load(workspace, "Erlotinib,Bortezomib,HT29,1\nErlotinib,Other,HT29,-1\n", files={"graph": KG})
    graph = dataset.graph
    assert graph is not None
    edges = {
        (relation, graph.nodes[source][a], graph.nodes[target][b])
        for (source, relation, target), pairs in graph.forward()
        for a, b in pairs.T
    }
    assert edges == {("drug_protein", "DB00530", "1956"), ("indication", "5061", "DB00188")}
    assert graph.nodes["drug"] == [drug.id for drug in dataset.drugs]
    assert graph.num_edges == 4
    forward, inverse = (
        graph.edges["drug", "drug_protein", "protein"],
        graph.edges["protein", "rev_drug_protein", "drug"],
    )
    assert inverse.tolist() == forward[::-1].tolist() == [[0], [graph.nodes["drug"].index("DB00530")]]
    named = graph.edge_index() - graph.offset("protein")
    assert [0, graph.nodes["drug"].index("DB00530") - graph.offset("protein")] in named.T.tolist()
    report = dataset.manifest["report"]
    assert (report["graph_rows"], report["graph_rows_about_others"], report["graph_edges_added"]) == (4, 1, 2)
    assert graph.degree("cell_line").tolist() == [0]


def test_a_graph_table_without_types_is_refused(workspace: Workspace) -> None:
    with pytest.raises(L2aCoError, match="has no column 'x_type'"):
        load(workspace, "A,B,X,1\nA,C,X,-1\n", files={"graph": "relation,x_id,y_id\nr,A,B\n"})


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_what_any_data_set_tells_of_somebody_is_told(names: tuple[str, str], workspace: Workspace) -> None:
    """Whichever of them is listed first; of what both tell, the first counts, and a simulated one tells nothing."""
    lines = "id,name,tissue,depmap\nA375,A375,skin,ACH-000219\n"
    load(workspace, "A,B,A375,1\nA,C,A375,-1\n", names[0], files={"cell_lines": lines})
    load(workspace, "A,B,A375,1\nA,C,A375,-1\n", names[1])
    screen = open_or_simulate("demo", workspace)
    (line,) = (one for one in gather_entities(workspace, kind="cell_line") if one.id == "A375")
    assert line.facts == {"tissue": "skin", "xrefs": {"depmap": "ACH-000219"}}
    (known,) = (one for one in known_entities(workspace) if one.key == line.key)
    assert known.facts == line.facts
    shared = next(one for one in entities_with_targets(screen) if one.facts.get("targets"))
    load(workspace, f"{shared.name},B,A375,1\n{shared.name},C,A375,-1\n", "c")
    (drug,) = (one for one in gather_entities(workspace, kind="drug") if one.id == shared.id)
    assert "targets" not in drug.facts


def test_an_id_that_is_somebody_elses_elsewhere_tells_nothing_of_the_first(workspace: Workspace) -> None:
    """As where each data set counts its drugs."""
    for name, called, smiles in (("a", "lapatinib", ""), ("b", "cisplatin", "N.N.Cl[Pt]Cl")):
        drugs = f"id,name,smiles\n7,{called},{smiles}\n"
        load(workspace, "7,B,A375,1\n7,C,A375,-1\n", name, files={"drugs": drugs})
    (drug,) = (one for one in gather_entities(workspace, kind="drug") if one.id == "7")
    assert (drug.name, drug.aliases, drug.facts) == ("lapatinib", (), {})


def test_what_two_data_sets_tell_is_the_firsts_and_a_name_is_anybodys(workspace: Workspace) -> None:
    for name, called, phase in (("a", "CID99999999", 1), ("b", "newdrug", 2)):
        drugs = f"id,name,phase\nCID99999999,{called},{phase}\n"
        load(workspace, "CID99999999,B,A375,1\nCID99999999,C,A375,-1\n", name, files={"drugs": drugs})
    (drug,) = (one for one in gather_entities(workspace, kind="drug") if one.id == "CID99999999")
    assert (drug.name, drug.facts["phase"]) == ("newdrug", "1")
