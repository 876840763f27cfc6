"""What is said for and against a pair."""

from __future__ import annotations

from types import SimpleNamespace

from l2aco.entities import Entity, EntityKind
from l2aco.recommend.alone import Effects
from l2aco.recommend.facts import Facts
from l2aco.recommend.reasons import reasons_of
from l2aco.recommend.record import Record
from l2aco.recommend.told import Told
from l2aco.workspace import Workspace


def test_two_drugs_of_one_name_are_two(lab: Workspace) -> None:
    run = SimpleNamespace(spec=SimpleNamespace(store=(), dataset="demo"), workspace=lab)
    one, other = (Entity(id_, EntityKind.drug, "NEW", facts={"targets": [id_]}) for id_ in ("a", "b"))
    line = Entity("x", EntityKind.cell_line, "x")
    facts = Facts(run)
    told = {
        "facts": facts,
        "effects": Effects(run, facts, Told()),
        "record": Record(run),
        "near": (),
        "trained": {},
        "parts": {},
        "unsure": False,
    }
    assert reasons_of(one, other, line, **told).about == ("NEW: targets a.", "NEW: targets b.")
