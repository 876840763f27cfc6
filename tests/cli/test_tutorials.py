"""The commands of the tutorials, in their order, on the simulated demo and with the fake language model."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from l2aco.profiles.sets import open_profile_set

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
INSTEAD = {
    "data fetch drugcombdb --yes": "data list",
    "--dataset drugcombdb": "--dataset demo",
    "--llm qwen": "--llm fake",
}
"""What the test has no network, no model and no hour for."""


def commands(page: Path) -> list[str]:
    return re.findall(r"^    l2aco (.+)$", page.read_text(), flags=re.M)


@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.stem)
def test_a_tutorial_can_be_followed(page, cli, workspace):
    fields = dict(open_profile_set("reference-panel", workspace).resolve("T47D", "cell_line").fields)
    (workspace.root / "bt20.json").write_text(json.dumps({"sensitivity": fields["sensitivity"]}))
    (workspace.root / "first_results.csv").write_text("drug_a,drug_b,cell_line,score\nErlotinib,Sorafenib,BT-20,12\n")
    followed = commands(page)
    assert followed
    for command in followed:
        for written, run in INSTEAD.items():
            command = command.replace(written, run)
        found = cli(*shlex.split(command))
        if command.startswith("recommend"):
            assert "Rank correlation with the list of a line of which nothing is known" in found.stderr.replace(
                "\n", " "
            )
            assert "elsewhere" in found.stdout
