"""What a user meets in Python: one way in, things that say what they are, tables for polars."""

from __future__ import annotations

import pytest

import l2aco
from l2aco.errors import UnknownNameError
from l2aco.progress import default


def test_one_way_in_and_things_that_say_what_they_are(lab):
    run = l2aco.train(l2aco.TrainSpec(backbone="GCN", epochs=1), lab)
    workspace = l2aco.open(lab.root)
    assert "runs 1" in repr(workspace) and run.id not in repr(workspace) and "stores" in workspace._repr_html_()
    dataset = l2aco.open("demo", workspace)
    assert "SIMULATED" in repr(dataset) and "40" in dataset._repr_html_()
    triples = dataset.to_polars()
    assert len(triples) == len(dataset.triples) and "A375" in triples["cell_line"].to_list()
    for name in (run.id, "GCN", run.path):
        assert l2aco.open(name, workspace).id == run.id
    shown = repr(run)
    assert "SIMULATED" in shown and "AUROC" in shown and "pair mean" in run._repr_html_()
    assert {"probability", "label"} < set(run.to_polars().columns) and "ERLOTINIB" in run.to_polars()[
        "drug_a"
    ].to_list()
    found = l2aco.rank_pairs(run, "A375", top=3)
    assert "A375" in repr(found) and len(found.to_polars()) == 3 and "<table" in found._repr_html_()
    assert isinstance(l2aco.open("reference--toy", lab), l2aco.EmbeddingStore)
    assert isinstance(l2aco.open("reference", lab), l2aco.ProfileSet)
    with pytest.raises(UnknownNameError, match="nosuch"):
        l2aco.open("nosuch", lab)


def test_a_spec_shows_what_somebody_gave_it():
    spec = l2aco.TrainSpec(backbone="GCN", split={"setting": "novel-drug"})
    assert repr(spec) == "TrainSpec(backbone='GCN', split=SplitSpec(setting='novel-drug'))"
    assert "novel-drug" in spec._repr_html_()


def test_a_split_is_one_line(lab):
    split = l2aco.make_split("demo", l2aco.SplitSpec(fold=1))
    assert "novel-cell" in repr(split) and "fold 1" in repr(split) and f"{len(split.test):,} test" in repr(split)
    assert len(repr(split)) < 120


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: l2aco.TrainSpec(epoch=5), "epochs"),
        (lambda: l2aco.TrainSpec(align={"los": "contrastive"}), "loss"),
        (lambda: l2aco.SplitSpec(foldz=3), "fold or folds"),
    ],
)
def test_a_mistyped_name_of_a_spec_is_told_the_nearest(make, said):
    with pytest.raises(ValueError, match=f"did you mean {said}"):
        make()


def test_a_program_that_is_no_notebook_is_told_nothing(capsys):
    with default().task("work", total=1) as advance:
        advance(1)
    default().say("news")
    assert capsys.readouterr().out == ""
