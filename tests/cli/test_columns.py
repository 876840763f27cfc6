"""Tables on a narrow terminal: whatever they hold, a column that is shown is shown whole."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from l2aco.cli.columns import GAP, fitting, least_width, widths
from l2aco.cli.shell import Shell

NAMES = st.lists(st.from_regex(r"[a-z]{1,12}( [a-z]{1,12}){0,2}", fullmatch=True), min_size=1, max_size=12, unique=True)
CELLS = st.from_regex(r"[a-z0-9:.-]{1,20}", fullmatch=True)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    heads = draw(NAMES)
    return [{head: draw(CELLS) for head in heads} for _ in range(draw(st.integers(1, 3)))]


@given(tables(), st.integers(40, 120))
def test_columns_that_are_chosen_have_room_for_all_they_hold(rows: list[dict[str, str]], width: int) -> None:
    chosen = fitting(rows, width)
    found = widths(rows, chosen, width)
    assert sum(found.values()) + GAP * (len(chosen) - 1) <= width
    assert all(found[key] >= least_width(key, [row[key] for row in rows]) for key in chosen)


def test_as_many_numbers_as_fit_are_printed_to_the_last(monkeypatch) -> None:
    """Long heads over short numbers: what makes room is the head, never a number."""
    row = {"drug_a": "TAMOXIFEN", "drug_b": "BEZ-235", "cell_line": "A375", "synergistic": True, "calibrated": 0.592,
           "expected": 0.614, "expected_low": -0.296, "expected_high": 1.25, "probability": 0.341}  # fmt: skip
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True, color_system=None, highlight=False)
    monkeypatch.setattr(Shell, "out", console)
    shell = Shell()
    shell.table([row])
    printed = screen.getvalue()
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert printed.splitlines()[-1].split() == [
        "TAMOXIFEN", "BEZ-235", "A375", "yes", "0.592", "0.614", "-0.296", "1.250"
    ]  # fmt: skip
