"""The page of a line: whole in itself, hostile names as text, in a real browser where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from screen import fits, listened, open_all, serious

from l2aco.entities import Entity, EntityKind
from l2aco.recommend.alone import Alone
from l2aco.recommend.own import Neighbour
from l2aco.recommend.page import page, write_pages
from l2aco.recommend.reasons import Reasons
from l2aco.recommend.recommendation import RankedPair, Recommendation

HOSTILE = '<script>alert("x")</script> & "\'</style></table>'


def recommendation(name: str = "BT-20", drug: str = "ERLOTINIB", abstains: tuple[str, ...] = ()) -> Recommendation:
    pairs = [
        RankedPair(
            rank=rank,
            cell_line=name,
            drug_a=drug,
            drug_b=f"{drug} {rank}",
            drug_a_id="a",
            drug_b_id=f"b{rank}",
            probability=0.9 / rank,
            calibrated=0.9 / rank,
            low=0.8 / rank,
            high=1.0 / rank,
            measured=None,
            measured_score=None,
            elsewhere_synergistic=3,
            elsewhere_measured=4,
            near_synergistic=1,
            near_measured=2,
            training_a=5,
            training_b=1200,
            unsure=rank == 2,
            alone_a=Alone(-1.234, True, drug),
            alone_b=Alone(2.0, False, drug),
            reasons=Reasons((f"Synergistic in {drug}.",), ("Nobody measured it.",), (f"{drug}: a drug.",)),
        )
        for rank in range(1, 13)
    ]
    near = (Neighbour(Entity("T47D", EntityKind.cell_line, drug), 0.5),)
    return Recommendation(
        name, "run", False, pairs, True, None, neighbours=near, abstains=abstains, correlation=0.9, ranked=500
    )


def test_the_page_needs_nothing_else_and_holds_what_the_list_says() -> None:
    html = page(recommendation(abstains=("no line in training is like BT-20",)))
    assert "http" not in html.replace("http-equiv", "") and "<link" not in html and "src=" not in html
    for words in (
        "SIMULATED",
        "No list of its own",
        "12 of 500 pairs",
        "3 of 4",
        "Nobody measured it.",
        "0.45?",
        "-1.23 | ~+2.0",
    ):
        assert words in html


def test_hostile_names_stay_text() -> None:
    usual, html = (page(recommendation(name, name)) for name in ("x", HOSTILE))
    for tag in ("<script", "</style", "<table", "<details"):
        assert html.count(tag) == usual.count(tag)


def test_two_lines_never_share_a_file(tmp_path: Path) -> None:
    written = write_pages([recommendation("A/1"), recommendation("A 1"), recommendation("..")], tmp_path)
    assert [path.name for path in written] == ["A-1.html", "A-1-2.html", "line.html"]
    assert all(path.parent == tmp_path for path in written)


@pytest.mark.parametrize("name", ["BT-20", HOSTILE])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_screen_and_axe_finds_nothing_serious(browser: Any, tmp_path: Path, width: int, name: str) -> None:
    (path,) = write_pages([recommendation(name, name, ("nothing is known",))], tmp_path)
    tab = browser.new_page(viewport={"width": width, "height": 844})
    said = listened(tab)
    tab.goto(path.as_uri())
    open_all(tab)
    assert fits(tab)
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        assert not serious(tab)
    tab.close()
    assert not said
