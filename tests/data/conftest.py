"""The real data, each source imported once for the whole test run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from l2aco.data.dataset import DataSet
from l2aco.data.importing import ImportSpec, import_dataset
from l2aco.workspace import Workspace


@pytest.fixture(scope="session")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], DataSet]:
    """`real("deepdds")`: the data set of that folder below the shared data; SMILES of DrugCombDB come along."""
    workspace = Workspace(tmp_path_factory.mktemp("real"))
    made: dict[str, DataSet] = {}

    def get(folder: str) -> DataSet:
        if folder not in made:
            smiles = shared / "data" / "curated" / "drugcombdb_smiles.csv"
            spec = ImportSpec(
                path=shared / "data" / folder,
                name=folder.replace("/", "-"),
                drugs=smiles if folder.endswith("DrugCombDB") else None,
            )
            made[folder] = import_dataset(spec, workspace)
        return made[folder]

    return get
