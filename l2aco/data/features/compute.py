"""Features by name: brought by a source, or computed once from facts and the graph and cached by content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from l2aco.data.features.table import FeatureTable
from l2aco.errors import UnknownNameError
from l2aco.registry import Entry, Registry
from l2aco.workspace import atomic_path, stable_hash

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

VERSION = 1
FEATURES = Registry(
    "feature",
    "l2aco.features",
    (
        Entry("morgan", "l2aco.data.features.molecules:morgan", "1,024-bit Morgan fingerprint, radius 2"),
        Entry("tissue", "l2aco.data.features.cells:tissue", "one-hot tissue of the cell line"),
        Entry("cell_proteins", "l2aco.data.features.cells:cell_proteins", "signed over- and under-expressed proteins"),
    ),
)


def compute_feature(dataset: DataSet, name: str) -> FeatureTable:
    """The feature of every drug or cell line of the data set; raises UnknownNameError.

    A feature that the source brought (`features/<name>.npz`) wins. A computed one is cached in
    `features/cache/`, by the content of the data set and the version of the code.
    """
    brought = f"features/{name}.npz"
    if brought in dataset.manifest["files"]:
        return FeatureTable.load(dataset.file(brought))
    if name not in FEATURES:
        here = [file[9:-4] for file in dataset.manifest["files"] if file.startswith("features/")]
        raise UnknownNameError(
            "feature", name, [*here, *(entry.name for entry in FEATURES)], remedy=f"'{dataset.name}' came without it."
        )
    entry = FEATURES.get(name)
    key = stable_hash([VERSION, entry.name, dataset.hash], 16)
    path = dataset.path / "features" / "cache" / f"{entry.name}-{key}.npz"
    if path.exists():
        return FeatureTable.load(path)
    table: FeatureTable = entry.load()(dataset)
    with atomic_path(path) as partial:
        table.save(partial)
    return table
