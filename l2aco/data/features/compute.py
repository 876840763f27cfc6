"""Features by name: brought by a source, or computed once from facts and the graph and cached by content."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from l2aco.data.features.base import AUTO, ONE_HOT, PANEL, PROFILE, Array, Feature, Listed, how_to_bring
from l2aco.data.features.table import FeatureTable, Table, load_table, save_table
from l2aco.entities import EntityKind
from l2aco.errors import DamagedError, UnknownNameError, UsageError
from l2aco.files import atomic_path, stable_hash
from l2aco.registry import Entry, Registry

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

_HERE = "l2aco.data.features"
FEATURES = Registry(
    "feature",
    "l2aco.features",
    (
        Entry("morgan", f"{_HERE}.molecules:Morgan", "drugs: 1,024-bit Morgan fingerprint, radius 2"),
        Entry("atom_pair", f"{_HERE}.molecules:AtomPair", "drugs: 1,024-bit hashed atom-pair fingerprint"),
        Entry("descriptors", f"{_HERE}.molecules:MolecularDescriptors", "drugs: RDKit's 2-D descriptors"),
        Entry(
            "molecule_graphs",
            f"{_HERE}.molecule_graphs:MoleculeGraphs",
            "drugs: atoms (78 features) and bonds",
            facts={"numbers": False},
        ),
        Entry(
            "substructures",
            f"{_HERE}.substructures:Substructures",
            "drugs: 50 frequent pieces of SMILES (ESPF)",
            facts={"numbers": False},
        ),
        Entry(
            "smiles_model",
            f"{_HERE}.smiles_model:SmilesModel",
            "drugs: vectors of a chemical language model, smiles_model:MODEL",
            facts={"argument": True},
        ),
        Entry("tissue", f"{_HERE}.cells:Tissue", "cell lines: one-hot tissue"),
        Entry(
            "cell_proteins",
            f"{_HERE}.cells:CellProteins",
            "cell lines: over- and under-expressed proteins, signed",
            facts={"graph": True},
        ),
        Entry(
            "response",
            f"{_HERE}.response:Response",
            "cell lines: measured response to single drugs, brought by --features response=FILE",
            facts={"brought": True},
        ),
    ),
    bases=("l2aco.data.features.base:Feature",),
)


def fit_feature(dataset: DataSet, name: str, training: Mapping[EntityKind, Array | None] | None = None) -> Feature:
    """The feature called `name`, fitted on the entities at the rows in `training` (None: all); raises UnknownNameError.

    A feature that the source brought (`features/<name>.npz`, such as `expression`) wins over a computed one.
    """
    if name in brought_features(dataset):
        table = table_in(dataset, name)
        assert isinstance(table, FeatureTable)
        return Listed(name, [entity.id for entity in dataset.entities(table.kind)], table)
    kind: type[Feature] = _entry(dataset, name).load()
    _, colon, argument = name.partition(":")
    if colon:
        return kind.restore({"model": np.array(argument)})
    return kind.fit(dataset, (training or {}).get(kind.kind))


def table_in(dataset: DataSet | str, name: str, fitted: Feature | None = None) -> Table:
    """The feature called `name` of every drug or every cell line of the data set, as `fitted` (None: on all of them).

    A computed one is cached in `features/cache/`, by the content of the data set, the version of the feature and what
    was learned; a damaged cache is made again.
    """
    from l2aco.data.catalog import open_or_simulate

    dataset = open_or_simulate(dataset)
    if name in brought_features(dataset):
        path = dataset.file(f"features/{name}.npz")
        brought = load_table(path)
        if not isinstance(brought, FeatureTable) or len(brought.mask) != len(dataset.entities(brought.kind)):
            raise DamagedError("is no feature of these drugs or cell lines", where=path)
        return brought
    entry = _entry(dataset, name)
    learned = None
    kind: type[Feature] = entry.load()
    if kind.learns:
        fitted = fitted or fit_feature(dataset, name)
        learned = {part: array.tolist() for part, array in fitted.state().items()}
    key = stable_hash([kind.version, entry.name, entry.target, dataset.hash, learned], 16)
    path = dataset.path / "features" / "cache" / f"{entry.name}-{key}.npz"
    if path.exists():
        with suppress(DamagedError):
            kept = load_table(path)
            if len(kept.mask) == len(dataset.entities(kept.kind)):
                return kept
        path.unlink()
    fitted = fitted or fit_feature(dataset, name)
    table = fitted.of(dataset.entities(fitted.kind))
    with atomic_path(path) as partial:
        save_table(table, partial)
    return table


def feature_class(name: str) -> type[Feature]:
    """Of a computed feature, whatever stands behind a colon."""
    kind: type[Feature] = FEATURES.load(name.partition(":")[0])
    return kind


def _entry(dataset: DataSet, name: str) -> Entry:
    base, colon, _ = name.partition(":")
    if base in FEATURES and bool(FEATURES.get(base).facts.get("argument")) >= bool(colon):
        return FEATURES.get(base)
    raise UnknownNameError(
        "feature",
        name,
        [*brought_features(dataset), *(entry.name for entry in FEATURES), PROFILE, PANEL, ONE_HOT],
        remedy=f"'{dataset.name}' came without it; {how_to_bring(name)}",
    )


def has_feature(dataset: DataSet, name: str) -> bool:
    """Whether `fit_feature` gives one: the source brought it, or it can be computed."""
    if name in brought_features(dataset):
        return True
    if name not in FEATURES:
        return False
    facts = FEATURES.get(name).facts
    return not facts.get("brought") and (dataset.has_graph or not facts.get("graph"))


def check_brought(name: str) -> None:
    """Raises UsageError for a name under which no table of numbers can be brought."""
    numbers = name not in FEATURES or FEATURES.get(name).facts.get("numbers", True)
    if name.casefold() in (AUTO, PROFILE, PANEL, ONE_HOT) or not numbers:
        what = (
            "stands for something else in --cell-features and --drug-features" if numbers else "is no table of numbers"
        )
        raise UsageError(f"no feature can be brought as '{name}': that {what}", remedy="Give it another name.")


def kind_of(name: str) -> EntityKind | None:
    """Whose feature it is that is called so; None for a name that is known to nobody here."""
    return FEATURES.load(name).kind if name in FEATURES else None


def brought_features(dataset: DataSet) -> list[str]:
    """The features that the source brought."""
    return [file[len("features/") : -len(".npz")] for file in dataset.manifest["files"] if file.startswith("features/")]
