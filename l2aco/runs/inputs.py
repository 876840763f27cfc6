"""inputs.npz: the entities of a run and everything fitted of what its model reads, so that no data set is needed to
build the model again. Arrays without pickles, each under the name of what it belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.data.features import feature_class
from l2aco.data.features.base import Feature, Listed
from l2aco.data.features.table import table_of
from l2aco.data.graph import KnowledgeGraph
from l2aco.entities import Entity, EntityKind
from l2aco.errors import DamagedError, L2aCoError, MismatchError
from l2aco.files import part_of, read_arrays, under, write_arrays
from l2aco.models.inputs import Inputs
from l2aco.models.vectors import Vectors

Array = np.ndarray[Any, np.dtype[Any]]
ROWS = ("train_drugs", "train_cells")
VECTORS = ("drug_vectors", "cell_vectors")
AGAIN = "Train the run again."
"""What is left to do where a file of a run is damaged."""


def save_inputs(inputs: Inputs, path: Path) -> None:
    """Write what `read_inputs` reads."""
    write_arrays(path, _arrays(inputs))


def _arrays(inputs: Inputs) -> dict[str, Array]:
    entities = {kind.value: [_entity(entity) for entity in inputs.entities(kind)] for kind in EntityKind}
    listed = [name for name, feature in inputs.fitted.items() if isinstance(feature, Listed)]
    stores = {name: list(getattr(inputs, name)) for name in VECTORS}
    facts = {
        "entities": entities,
        "features": list(inputs.features),
        "listed": listed,
        "versions": {name: feature.version for name, feature in inputs.fitted.items()},
        "stores": stores,
        "below": len(inputs.below),
    }
    described = json.dumps(facts, default=str)
    arrays: dict[str, Array] = {"described": np.frombuffer(described.encode(), dtype=np.uint8)}
    for name in inputs.features:
        arrays |= under(f"table/{name}", inputs.features[name].arrays())
        arrays |= under(f"state/{name}", inputs.fitted[name].state())
    if inputs.graph is not None:
        arrays |= under("graph", inputs.graph.arrays())
    for name in VECTORS:
        vectors: Mapping[str, Vectors] = getattr(inputs, name)
        for store in vectors:
            arrays |= under(f"{name}/{store}", vectors[store].arrays())
    arrays |= {name: getattr(inputs, name) for name in ROWS if getattr(inputs, name) is not None}
    for place, below in enumerate(inputs.below):
        arrays |= under(f"below/{place}", _arrays(below))
    return arrays


def read_inputs(path: Path) -> Inputs:
    """What `save_inputs` wrote; raises DamagedError where it cannot be read, MismatchError where a feature was computed
    otherwise then.

    A feature is looked up by its name in the registry: the file names no code.
    """
    arrays = read_arrays(path, remedy=AGAIN)
    with _damage_told(path):
        return _inputs(arrays)


def check_features(path: Path) -> None:
    """Raises MismatchError where a feature was computed otherwise then, and DamagedError, by what describes the inputs
    alone."""
    with _damage_told(path), np.load(path) as arrays:
        for described in (json.loads(arrays[name].tobytes()) for name in arrays.files if name.endswith("described")):
            for name in described["features"]:
                _class_of(name, described)


def _inputs(arrays: Mapping[str, Array]) -> Inputs:
    described = json.loads(arrays["described"].tobytes())
    entities = _entities(described)
    fitted = {name: _restored(name, described, arrays) for name in described["features"]}
    graph = part_of("graph", arrays)
    found = Inputs(
        drugs=entities[EntityKind.drug],
        cell_lines=entities[EntityKind.cell_line],
        graph=KnowledgeGraph.of_arrays(graph) if graph else None,
        features={name: table_of(part_of(f"table/{name}", arrays)) for name in described["features"]},
        fitted=fitted,
        drug_vectors=_vectors("drug_vectors", described, arrays),
        cell_vectors=_vectors("cell_vectors", described, arrays),
        train_drugs=arrays.get("train_drugs"),
        train_cells=arrays.get("train_cells"),
        below=[_inputs(part_of(f"below/{place}", arrays)) for place in range(described.get("below", 0))],
    )
    _check(found)
    return found


def _check(inputs: Inputs) -> None:
    """Raises ValueError where the parts are not of the same entities."""
    for kind, vectors, trained in (
        (EntityKind.drug, inputs.drug_vectors, inputs.train_drugs),
        (EntityKind.cell_line, inputs.cell_vectors, inputs.train_cells),
    ):
        ids = [entity.id for entity in inputs.entities(kind)]
        sizes = [len(one.known) for one in vectors.values()]
        sizes += [len(table.mask) for table in inputs.features.values() if table.kind is kind]
        if any(size != len(ids) for size in sizes):
            raise ValueError(f"what is known of each {kind.value} is of another number of them")
        if inputs.graph is not None and inputs.graph.nodes.get(kind.value) != ids:
            raise ValueError(f"the graph is of others than each {kind.value}")
        if trained is not None and (trained.dtype != np.int64 or not np.isin(trained, np.arange(len(ids))).all()):
            raise ValueError(f"the rows that were trained on are those of no {kind.value}")


def read_entities(path: Path) -> dict[EntityKind, list[Entity]]:
    """The entities alone, in a small part of the time."""
    with _damage_told(path), np.load(path, allow_pickle=False) as stored:
        return _entities(json.loads(stored["described"].tobytes()))


def _entities(described: Mapping[str, Any]) -> dict[EntityKind, list[Entity]]:
    return {
        kind: [
            Entity(row["id"], kind, row["name"], tuple(row["aliases"]), row["facts"])
            for row in described["entities"][kind.value]
        ]
        for kind in EntityKind
    }


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except MismatchError as error:
        raise MismatchError(error.message, where=path, remedy=AGAIN) from None
    except Exception as error:  # whatever zipfile, zlib, json and numpy find wrong with bytes
        what = error.message if isinstance(error, L2aCoError) else error or type(error).__name__
        raise DamagedError(f"cannot be read ({what})", where=path, remedy=AGAIN) from error


def _vectors(name: str, described: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Vectors]:
    return {store: Vectors.of_arrays(part_of(f"{name}/{store}", arrays)) for store in described["stores"][name]}


def _restored(name: str, described: Mapping[str, Any], arrays: Mapping[str, Array]) -> Feature:
    return _class_of(name, described).restore(part_of(f"state/{name}", arrays))


def _class_of(name: str, described: Mapping[str, Any]) -> type[Feature]:
    kind: type[Feature] = Listed if name in described["listed"] else feature_class(name)
    made = described.get("versions", {}).get(name, Feature.version)
    if made != kind.version:
        raise MismatchError(
            f"read {name} as another version of L2aCo computes it ({made}, not {kind.version}) and cannot predict"
        )
    return kind


def _entity(entity: Entity) -> dict[str, Any]:
    facts = dict(entity.facts)
    return {"id": entity.id, "name": entity.name, "aliases": list(entity.aliases), "facts": facts}
