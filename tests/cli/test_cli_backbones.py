"""`l2aco backbones`"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from l2aco.models.backbones import backbones


def test_the_list_names_every_backbone_with_needs_and_citation(cli: Any) -> None:
    rows = json.loads(cli("backbones", "--json").stdout)
    assert [row["name"] for row in rows] == [entry.name for entry in backbones]
    assert {"GCN", "SAGE", "KGNN", "GAT", "HGAT", "HAN", "RGCN"} <= {row["name"] for row in rows}
    assert next(row for row in rows if row["name"] == "HAN")["needs"] == ["graph", "morgan"]
    assert all(row["citation"] and row["summary"] for row in rows)


def test_one_backbone_shows_its_hyper_parameters(cli: Any) -> None:
    shown = json.loads(cli("backbones", "hgat", "--json").stdout)
    assert shown["name"] == "HGAT" and "Attention" in shown["citation"].title()
    assert {"layers", "heads", "faithful", "kernels"} <= {row["parameter"] for row in shown["parameters"]}
    assert shown["training"] == {"batch_size": 2048, "learning_rate": 0.003, "epochs": 120}
    assert "heads" in cli("backbones", "HGAT").stdout


def test_an_unknown_backbone_gets_the_nearest(cli: Any) -> None:
    assert "HGAT" in cli("backbones", "HGATT", code=2).output


def test_the_list_loads_no_torch() -> None:
    run = "from l2aco.cli.main import app; app(['backbones'], standalone_mode=False)"
    code = f"{run}; import sys; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.splitlines()[-1] == "False"
