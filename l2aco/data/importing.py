"""Import: a folder or table that somebody has becomes a data set, or nothing at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from l2aco.data.catalog import check_new_name
from l2aco.data.dataset import DataSet
from l2aco.data.extras import add_feature, add_graph
from l2aco.data.features.compute import check_brought
from l2aco.data.features.response import RESPONSE
from l2aco.data.labels import LabelRule
from l2aco.data.resolution import describe_drugs_and_lines
from l2aco.data.sources import SOURCES
from l2aco.data.sources.base import ReadOptions, Source, SourceData
from l2aco.data.write import write_dataset
from l2aco.entities import Entity
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.files import child, require_there
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

    from l2aco.data.features.table import FeatureRows


TURNED, ENOUGH = 0.3, 20
"""Where so many rows have both, a score whose AUROC for the label is below means less synergy where it is more."""


class ImportSpec(BaseModel):
    """What to import, and how it is to be read.

    path: a file or folder. name: of the new data set. source: a layout of `l2aco.data.sources`, found by looking
    where None. label: a label rule as text (`LabelRule.parse`), the source's own where None. drugs, cell_lines:
    entity tables with more facts (SMILES, xrefs); with add_entities, who is new in them is added. aliases: a table
    of name and id. keep_apart: names that fold alike or are synonyms stay two entities. trust_ids: what is known under
    an id is taken for it, whatever the name beside it says. features: feature tables by name.
    same_screen: the feature `response` was measured in the screen that the scores come from. graph: a table of typed
    edges. columns: own column names by role. replace: an existing data set of this name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path
    name: str
    source: str | None = None
    label: str | None = None
    drugs: Path | None = None
    cell_lines: Path | None = None
    add_entities: bool = False
    aliases: Path | None = None
    keep_apart: bool = False
    trust_ids: bool = False
    features: dict[str, Path] = {}
    same_screen: bool = False
    graph: Path | None = None
    columns: dict[str, str] = {}
    allow_pickle: bool = False
    replace: bool = False


def import_dataset(
    spec: ImportSpec, workspace: Workspace | str | Path | None = None, progress: Progress | None = None
) -> DataSet:
    """Read, resolve, merge and write `data/<name>/`; raises InputError with file and line, leaving nothing behind."""
    workspace = Workspace.at(workspace)
    progress = progress or Silent()
    path = spec.path.expanduser()
    require_there(path, "`l2aco data fetch` gets the public ones.")
    check_new_name(spec.name, workspace, replace=spec.replace)
    for feature in spec.features:
        child(path, feature)
        check_brought(feature)
    if spec.same_screen and RESPONSE not in spec.features:
        raise UsageError("--same-screen says where the response comes from", remedy="Add --features response=FILE.")
    label = LabelRule.parse(spec.label) if spec.label else None
    name, source = find_source(path, spec.source)
    _check_roles(name, source, spec.columns)
    with progress.task(f"reading {path.name}"):
        data = source.read(path, ReadOptions(columns=spec.columns, allow_pickle=spec.allow_pickle))
    _check_labels(spec, label, data, source)
    data, resolution = describe_drugs_and_lines(
        data,
        aliases=spec.aliases,
        drug_table=spec.drugs,
        cell_table=spec.cell_lines,
        add_entities=spec.add_entities,
        keep_apart=spec.keep_apart,
        trust_ids=spec.trust_ids,
    )
    report = {**data.report, **_second_rows(data.features)}
    for feature, file in spec.features.items():
        data = add_feature(data, feature, file, allow_pickle=spec.allow_pickle)
    if spec.graph:
        data = add_graph(data, spec.graph)
    data = replace(data, notes=[*data.notes, *_unreadable_smiles(data.drugs)])
    for note in data.notes:
        progress.say(note)
    with progress.task("merging and writing"):
        return write_dataset(
            spec.name,
            workspace,
            drugs=data.drugs,
            cell_lines=data.cell_lines,
            rows=data.rows,
            label_rule=label or data.label_rule,
            graph_nodes=data.graph_nodes,
            graph_edges=data.graph_edges,
            gene_symbols=data.gene_symbols,
            features=data.features,
            splits=data.splits,
            repeats=data.repeats,
            extra={
                "source": name,
                "report": {**report, **data.report},
                "resolution": resolution,
                "notes": data.notes,
                **({"same_screen": spec.same_screen} if RESPONSE in data.features else {}),
            },
            replace=spec.replace,
        )


def _check_labels(spec: ImportSpec, label: LabelRule | None, data: SourceData, source: Source) -> None:
    """Raises InputError where the rows lack what the rule, if one was given, is about, or contradict it."""
    _check_direction(spec.path, label or data.label_rule, data.rows)
    if label is None:
        return
    needed = "label" if label.kind == "shipped" else "score"
    if not _has(data.rows, needed):
        named = f", or name their column with --columns {needed}=NAME." if needed in source.roles else "."
        raise InputError(
            f"brings no {needed}s for --label '{spec.label}'", where=spec.path, remedy=f"Leave --label out{named}"
        )


def _check_direction(path: Path, label: LabelRule, rows: pl.DataFrame) -> None:
    """Raises InputError where labels say synergy where scores are low: models take a high score for synergy."""
    from l2aco.metrics import compute

    if label.kind != "shipped" or not {"label", "score"} <= {*rows.columns}:
        return
    both = rows.drop_nulls(["label", "score"])
    if len(both) < ENOUGH or both["label"].n_unique() < 2:
        return
    told = compute(both["label"].to_numpy(), both["score"].to_numpy(), names=["auroc"])["auroc"]
    if told < TURNED:
        raise InputError(
            f"its scores are lower where its labels say synergy (AUROC of the score for the label: {told:.2f})",
            where=path,
            remedy="Scores must grow with synergy: turn their sign (1 - combination index), or name no score column.",
        )


def _unreadable_smiles(drugs: Iterable[Entity]) -> list[str]:
    """A note of the SMILES that RDKit cannot read: their drugs have no fingerprint."""
    from l2aco.data.features.molecules import molecule

    wrong = [drug.name for drug in drugs if drug.facts.get("smiles") and molecule(drug) is None]
    shown = ", ".join(wrong[:5]) + (", ..." if len(wrong) > 5 else "")
    return [f"{len(wrong)} SMILES cannot be read, and give no fingerprint: {shown}."] if wrong else []


def _check_roles(name: str, source: Source, columns: Iterable[str]) -> None:
    for role in columns:
        if not source.roles:
            raise UsageError(f"the columns of {name} have fixed names", remedy="Leave --columns out.")
        if role not in source.roles:
            raise UnknownNameError("column role", role, source.roles)


def _second_rows(features: Mapping[str, FeatureRows]) -> dict[str, int]:
    """How many rows of the source's features are not used, an earlier one being of the same entity."""
    return {f"{name}_second_rows_unused": len(found.ids) - len(set(found.ids)) for name, found in features.items()}


def _has(rows: pl.DataFrame, column: str) -> bool:
    return column in rows.columns and rows[column].null_count() < len(rows)


def _folders(path: Path) -> list[Path]:
    return sorted(found for found in path.iterdir() if found.is_dir()) if path.is_dir() else []


def find_source(path: Path, name: str | None) -> tuple[str, Source]:
    """The source called `name`, else the first whose layout is found at `path`; raises InputError."""
    if name is not None:
        entry = SOURCES.get(name)
        return entry.name, entry.load()()
    for entry in SOURCES:
        source = entry.load()()
        if source.recognises(path):
            return entry.name, source
    if path.suffix.casefold() in (".gz", ".bz2", ".xz", ".zst", ".zip"):
        raise InputError("is packed", where=path, remedy="Unpack it first.")
    if inside := [found for found in _folders(path) if any(entry.load()().recognises(found) for entry in SOURCES)]:
        raise InputError("holds data sets in its folders", where=path, remedy=f"Import one of them: {inside[0]}")
    layouts = "; ".join(f"{entry.name} ({entry.summary})" for entry in SOURCES)
    raise InputError("is no layout that is known", where=path, remedy=f"Known: {layouts}. Name one with --source.")
