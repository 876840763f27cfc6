"""Features by name: brought by a source, or computed once from facts and the graph and cached by content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from l2aco.data.features.table import FeatureTable, GraphTable, load_feature
from l2aco.errors import DamagedError, UnknownNameError
from l2aco.files import atomic_path, stable_hash
from l2aco.registry import Entry, Registry

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

VERSION = 1
_HERE = "l2aco.data.features"
FEATURES = Registry(
    "feature",
    "l2aco.features",
    (
        Entry("morgan", f"{_HERE}.molecules:morgan", "drugs: 1,024-bit Morgan fingerprint, radius 2"),
        Entry("atom_pair", f"{_HERE}.molecules:atom_pair", "drugs: 1,024-bit hashed atom-pair fingerprint"),
        Entry("descriptors", f"{_HERE}.molecules:descriptors", "drugs: RDKit's 2-D descriptors"),
        Entry("molecule_graphs", f"{_HERE}.molecule_graphs:molecule_graphs", "drugs: atoms (78 features) and bonds"),
        Entry("substructures", f"{_HERE}.substructures:substructures", "drugs: 50 frequent pieces of SMILES (ESPF)"),
        Entry("tissue", f"{_HERE}.cells:tissue", "cell lines: one-hot tissue"),
        Entry(
            "cell_proteins", f"{_HERE}.cells:cell_proteins", "cell lines: over- and under-expressed proteins, signed"
        ),
    ),
)


def compute_feature(dataset: DataSet, name: str) -> FeatureTable | GraphTable:
    """The feature of every drug or cell line of the data set; raises UnknownNameError.

    A feature that the source brought (`features/<name>.npz`, such as `expression`) wins. A computed one is cached in
    `features/cache/`, by the content of the data set and the version of the code; a damaged cache is made again.
    """
    brought = f"features/{name}.npz"
    if brought in dataset.manifest["files"]:
        return load_feature(dataset.file(brought))
    if name not in FEATURES:
        raise UnknownNameError(
            "feature",
            name,
            [*brought_features(dataset), *(entry.name for entry in FEATURES)],
            remedy=f"'{dataset.name}' came without it; `l2aco data import --features {name}=FILE` brings one.",
        )
    entry = FEATURES.get(name)
    key = stable_hash([VERSION, entry.name, entry.target, dataset.hash], 16)
    path = dataset.path / "features" / "cache" / f"{entry.name}-{key}.npz"
    if path.exists():
        try:
            return load_feature(path)
        except DamagedError:
            path.unlink()
    table: FeatureTable | GraphTable = entry.load()(dataset)
    with atomic_path(path) as partial:
        table.save(partial)
    return table


def brought_features(dataset: DataSet) -> list[str]:
    """The features that the source brought."""
    return [file[len("features/") : -len(".npz")] for file in dataset.manifest["files"] if file.startswith("features/")]
