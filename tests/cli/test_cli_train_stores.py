"""Which vectors `l2aco train` reads: the store it takes, what it lacks, and what is refused."""

from __future__ import annotations

import shutil

import pytest

from l2aco.runs.run import list_runs, open_run

QUICK = ("--backbone", "GCN", "--set", "epochs=2")


def test_alone_it_needs_no_store(lab, cli):
    shutil.rmtree(lab.embeddings)
    assert "no profile vectors" in cli("train", *QUICK, "--align", "none").stderr
    assert open_run(None, lab).spec.store == ()


def test_without_a_store_it_names_the_ways_out(lab, cli):
    shutil.rmtree(lab.embeddings)
    error = cli("train", *QUICK, code=1).stderr
    assert "l2aco profile --llm reference" in error and "l2aco embed" in error and "--align none" in error
    assert not list(lab.runs.glob("demo*"))


def test_with_profiles_that_are_not_embedded_it_says_embed(lab, cli):
    shutil.rmtree(lab.embeddings)
    cli("profile", "--llm", "reference")
    error = cli("train", *QUICK, code=1).stderr
    assert "Embed the profiles of reference: l2aco embed" in error


def test_the_store_follows_llm_and_encoder(lab, cli):
    shutil.copytree(lab.embeddings / "reference--toy", lab.embeddings / "qwen--toy")
    cli("train", *QUICK, "--llm", "reference")
    assert open_run(None, lab).spec.store == ("reference--toy",)
    error = cli("train", *QUICK, "--llm", "gpt-5", code=1).stderr
    assert "no embedding store of LLM 'gpt-5'" in error and "reference--toy" in error


def test_a_store_that_is_not_what_the_other_options_say_is_refused(lab, cli):
    for more in (("--llm", "qwen"), ("--encoder", "bge-large")):
        error = cli("train", *QUICK, "--store", "reference--toy", *more, code=2).stderr
        assert "reference--toy is not of" in error and more[1] in error
    cli("train", "--backbone", "GCN", "--set", "epochs=1", "--store", "reference--toy", "--llm", "reference")


@pytest.mark.parametrize("backbone", ["Forest", "MatchMaker"])
def test_a_panel_that_is_asked_for_is_read_beside_a_store_of_text(lab, cli, backbone):
    epochs = () if backbone == "Forest" else ("--set", "epochs=1")
    cli("train", "--backbone", backbone, "--cell-features", "panel", *epochs)
    assert open_run(None, lab).spec.store == ("reference--toy", "reference-panel--fields")


@pytest.mark.parametrize("asked", [("--align", "infonce"), ("--fusion", "concat"), ("--set", "impute=true")])
def test_who_is_aligned_with_nothing_refuses_an_aligner(lab, cli, asked):
    for backbone in ("Forest", "Mixed"):
        error = cli("train", "--backbone", backbone, *asked, code=2).stderr
        assert f"{backbone} is fitted at once" in error and "has no align." in error
    cli("train", "--backbone", "Logistic", "--align", "none")


def test_who_is_fitted_at_once_refuses_missing_vectors_where_it_is_told_to(lab, cli):
    from l2aco.embeddings.store.store import open_store

    open_store("reference--toy", lab).delete(where={"id": "A375"})
    read = ("train", "--backbone", "Logistic", "--cell-features", "profile")
    assert "A375" in cli(*read, "--set", "align.missing=refuse", code=1).stderr
    cli(*read)


def test_a_store_that_nothing_reads_is_said(lab, cli):
    said = cli("train", *QUICK, "--align", "none", "--store", "reference--toy").stderr
    assert "reference--toy is not used" in said and "--fusion" in said
    assert "not used" not in cli("train", *QUICK, "--align", "none").stderr


def test_nothing_is_said_of_vectors_that_are_not_read(lab, cli):
    from l2aco.embeddings.store.store import open_store

    open_store("reference--toy", lab).delete(where={"kind": "drug"})
    for backbone in ("Mixed", "MatchMaker --align none --cell-features profile --set epochs=1"):
        said = cli("train", "--backbone", *backbone.split(), "--store", "reference--toy").stderr
        assert "have no vector" not in said and "mean vector" not in said
    run = open_run("MatchMaker", lab)
    assert not run.predictor().inputs.drug_vectors and run.predictor().inputs.cell_vectors
    said = cli("train", "--backbone", "Mixed", "--setting", "novel-drug", "--store", "reference--toy").stderr
    assert "40 of 40 drugs" in said and "have no vector in reference--toy: nothing is known of them there" in said


def test_what_several_runs_have_in_common_is_said_once(lab, cli):
    from l2aco.embeddings.store.store import open_store

    open_store("reference--toy", lab).delete(where={"id": "A375"})
    result = cli("train", *QUICK, "--seeds", 2)
    assert result.stderr.count("mean vector") == 1 and result.stderr.count("training GCN on demo") == 2


def test_a_store_that_lacks_entities_is_imputed_or_refused_by_flag(lab, cli):
    from l2aco.embeddings.store.store import open_store

    open_store("reference--toy", lab).delete(where={"id": "A375"})
    result = cli("train", *QUICK)
    assert "1 of" in result.stderr and "mean vector" in result.stderr
    error = cli("train", *QUICK, "--set", "align.missing=refuse", code=1).stderr
    assert "the store lacks 1 of" in error and "A375" in error


def test_nan_vectors_are_refused(lab, cli, monkeypatch):
    import numpy as np

    from l2aco.embeddings.store.store import EmbeddingStore

    read = EmbeddingStore.vectors_of_ids

    def broken(self, kind, ids, **more):
        vectors, mask = read(self, kind, ids, **more)
        vectors[2] = np.nan
        return vectors, mask

    monkeypatch.setattr(EmbeddingStore, "vectors_of_ids", broken)
    assert "not finite" in cli("train", *QUICK, code=1).stderr
    assert list_runs(lab) == []


def test_an_llm_is_not_taken_for_another_whose_name_begins_alike(lab, cli):
    from small_stores import some_vectors

    from l2aco.data.catalog import open_dataset
    from l2aco.embeddings.store.segments import StoreRecord
    from l2aco.embeddings.store.store import EmbeddingStore, open_store

    def store_of(llm, folder):
        dataset = open_dataset("demo", lab)
        records = [
            StoreRecord(item.kind.value, item.id, item.name, f"about {item.name}", llm=llm)
            for item in (*dataset.drugs, *dataset.cell_lines)
        ]
        store = EmbeddingStore.create(lab.embeddings / folder, open_store("reference--toy", lab).encoder)
        store.upsert(records, some_vectors(len(records)))

    store_of("gpt-5-mini", "gpt-5-mini--toy")
    assert "no embedding store of LLM 'gpt-5'" in cli("train", *QUICK, "--llm", "gpt-5", code=1).stderr
    store_of("gpt-5", "gpt-5-other--toy")
    cli("train", "--backbone", "GCN", "--set", "epochs=1", "--llm", "gpt-5")
    assert open_run(None, lab).spec.store == ("gpt-5-other--toy",)


def test_the_llm_of_the_settings_chooses_the_store(lab, cli):
    import os

    from l2aco.embeddings.find import choose_store
    from l2aco.workspace import Workspace

    shutil.copytree(lab.embeddings / "reference--toy", lab.embeddings / "qwen--toy")
    os.utime(lab.embeddings / "qwen--toy" / "manifest.json", (0, 0))
    assert choose_store(Workspace(lab.root)).name == "reference--toy"
    (lab.root / "l2aco.toml").write_text('llm = "qwen"\n')
    assert choose_store(Workspace(lab.root)).name == "qwen--toy"


def test_a_store_of_a_newcomer_is_not_taken_for_training(lab, cli):
    """`recommend --cell BT-20 --llm MODEL` leaves the newest store, which knows nobody of the data set."""
    from small_stores import SPEC, some_records, some_vectors

    from l2aco.embeddings.store.store import EmbeddingStore

    EmbeddingStore.create(lab.embeddings / "qwen--test", SPEC).upsert(some_records([0]), some_vectors(1))
    for backbone in ("GCN", "Mixed"):
        epochs = ("--set", "epochs=1") if backbone == "GCN" else ()
        cli("train", "--backbone", backbone, *epochs)
        assert open_run(backbone, lab).spec.store == ("reference--toy",)


def test_a_control_that_nothing_reads_is_refused(lab, cli):
    error = cli("train", *QUICK, "--align", "none", "--vectors", "shuffled", code=2).stderr
    assert "shuffled" in error and "fusion" in error
    for reads in (("--align", "none", "--offset", "mixed"), ("--backbone", "Mixed")):
        error = cli("train", *reads, "--store", "none", "--vectors", "random", code=2).stderr
        assert "control of vectors that nothing reads" in error


def test_vectors_are_found_by_name_where_ids_differ(lab, cli, tmp_path):
    from l2aco.data.catalog import open_dataset
    from l2aco.runs.knowledge import load_knowledge

    demo = open_dataset("demo", lab)
    triples = demo.triples
    rows = [
        f"X{triples.drug_a[n]},X{triples.drug_b[n]},{demo.cell_lines[triples.cell_line[n]].name.lower()},{n % 5 - 2}"
        for n in range(len(triples))
    ]
    (tmp_path / "s.csv").write_text("drug1,drug2,cell,score\n" + "\n".join(rows) + "\n")
    table = "\n".join(f"X{row},{drug.name}" for row, drug in enumerate(demo.drugs))
    (tmp_path / "drugs.csv").write_text("id,name\n" + table + "\n")
    cli("data", "import", tmp_path / "s.csv", "--name", "other", "--drugs", tmp_path / "drugs.csv")
    other = open_dataset("other", lab)
    assert not {drug.id for drug in other.drugs} & {drug.id for drug in demo.drugs}
    found, known = (load_knowledge(["reference--toy"], dataset, lab)[0] for dataset in (other, demo))
    assert found.drug_mask.all() and found.cell_mask.all()
    place = {drug.name: row for row, drug in enumerate(demo.drugs)}
    for row, drug in enumerate(other.drugs):
        assert (found.drug_vectors[row] == known.drug_vectors[place[drug.name]]).all()
