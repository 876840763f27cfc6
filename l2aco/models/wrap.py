"""Make a backbone of a torch module that was not written for L2aCo. See docs/backbones.md for an example."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import create_model
from torch import Tensor, nn

import l2aco
from l2aco.data.features.table import GraphTable, Table
from l2aco.entities import EntityKind
from l2aco.errors import InputError, L2aCoError, UsageError
from l2aco.models.base import Backbone, Tables
from l2aco.models.config import BackboneConfig
from l2aco.models.inputs import Inputs
from l2aco.models.molecules import Molecules, batched

Make = Callable[..., nn.Module]
Encode = Callable[[nn.Module, Any], Tensor]
Score = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
LIBRARIES = tuple(str(Path(module.__file__ or ".").parent) for module in (torch, np, l2aco))


class WrappedModule(Backbone):
    """What `wrap_module` fills in."""

    encodes_all = False
    unread = "it is given zeros, or no atoms, of them"
    drug_feature: ClassVar[str]
    cell_feature: ClassVar[str]
    make: ClassVar[Make]
    encode_drug: ClassVar[Encode]
    encode_cell: ClassVar[Encode]
    score_module: ClassVar[Score]

    def __init__(self, inputs: Inputs, config: BackboneConfig) -> None:
        super().__init__(inputs, config)
        own = {name: getattr(config, name) for name in type(config).model_fields.keys() - BackboneConfig.model_fields}
        with _blamed(type(self).make, type(self).__name__):
            self.module = type(self).make(inputs, **own)
        self.read_drug = Given(self._feature(inputs, EntityKind.drug, self.drug_feature))
        self.read_cell = Given(self._feature(inputs, EntityKind.cell_line, self.cell_feature))
        first = torch.zeros(1, dtype=torch.int64)
        with torch.no_grad():
            tables = self.eval().encode(first, first)
        self.train()
        self.drug_width, self.cell_width = tables.drug.shape[-1], tables.cell.shape[-1]
        self.shapes = tables.drug.shape[1:], tables.cell.shape[1:]

    def _feature(self, inputs: Inputs, kind: EntityKind, name: str) -> Table:
        table = inputs.features[name]
        if table.kind is not kind:
            which = "drug_feature" if kind is EntityKind.drug else "cell_feature"
            raise UsageError(
                f"{type(self).__name__}: {which} = '{name}' is of the other kind", remedy="Change both in wrap_module."
            )
        return table

    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        return Tables(
            self._encoded("encode_drug", self.read_drug(drugs), self.num_drugs if drugs is None else len(drugs), 0),
            self._encoded("encode_cell", self.read_cell(cells), self.num_cells if cells is None else len(cells), 1),
        )

    def newcomers(self, inputs: Inputs, usual: Tables) -> tuple[Tables, Tensor, Tensor]:
        (drug, of_drugs), (cell, of_cells) = (
            read.newcomers(inputs.features[name])
            for read, name in ((self.read_drug, self.drug_feature), (self.read_cell, self.cell_feature))
        )
        tables = Tables(
            self._encoded("encode_drug", drug, inputs.num_drugs, 0),
            self._encoded("encode_cell", cell, inputs.num_cells, 1),
        )
        return tables, of_drugs, of_cells

    def _encoded(self, name: str, given: Any, count: int, kind: int) -> Tensor:
        """(count, ...) of what a kind of entity has."""
        if not count:  # of no rows, many a module cannot say the shape
            return self.read_cell.like.new_zeros(0, *self.shapes[kind])
        encode = getattr(type(self), name)
        with _blamed(encode, type(self.module).__name__):
            h = encode(self.module, given)
        shape = tuple(h.shape) if isinstance(h, Tensor) else type(h).__name__
        if not isinstance(h, Tensor) or h.dim() < 2 or len(h) != count:
            raise _wrong(encode, self.module, f"{name} must give ({count}, d) for {count} rows, not {shape}")
        return h

    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        first, second, line = tables.drug[a], tables.drug[b], tables.cell[c]
        logits = self._logits(first, second, line)
        return logits if self.config.faithful else (logits + self._logits(second, first, line)) / 2

    def _logits(self, first: Tensor, second: Tensor, line: Tensor) -> Tensor:
        score = type(self).score_module
        with _blamed(score, type(self.module).__name__):
            logits = score(self.module, first, second, line)
        if not isinstance(logits, Tensor) or logits.numel() != len(line):
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise _wrong(score, self.module, f"score must give one logit a triple, ({len(line)},), not {shape}")
        return logits.reshape(len(line))

    def measured(self) -> tuple[Tensor, Tensor]:
        return self.read_drug.known, self.read_cell.known


class Given(nn.Module):
    """A feature as a foreign module gets it: rows of numbers as floats, of tokens (int64) as they are, molecules as a
    `models.molecules.MoleculeBatch`."""

    values: Tensor
    like: Tensor

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.known = torch.from_numpy(table.mask)
        self.molecules = Molecules(table) if isinstance(table, GraphTable) else None
        values = torch.zeros(0) if isinstance(table, GraphTable) else _numbers(table.values)
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("like", torch.zeros(0, dtype=torch.get_default_dtype()), persistent=False)

    def forward(self, rows: Tensor | None) -> Any:
        """Of the entities at `rows`; None: of all."""
        if self.molecules is not None:
            return self.molecules.batch(rows, self.like)
        return self.values if rows is None else self.values[rows]

    def newcomers(self, table: Table) -> tuple[Any, Tensor]:
        """Of others, and bool (n,): who has any."""
        known = torch.from_numpy(table.mask)
        if isinstance(table, GraphTable):
            return batched(table, np.arange(len(known)), self.like), known
        return _numbers(table.values).to(self.values), known


def wrap_module(
    make: Make,
    *,
    drug_feature: str,
    cell_feature: str,
    encode_drug: Encode,
    encode_cell: Encode,
    score: Score,
    citation: str = "unpublished",
) -> type[Backbone]:
    """A backbone class around the module that `make(inputs, ...)` returns; what `make` has beside `inputs`, with a
    default, are hyper-parameters (`--set`).

    `encode_drug(module, x)` and `encode_cell(module, x)` turn features of n entities into representations (n, d), or
    (n, V, d) where V views of an entity are aligned; x is (n, ...) numbers, int64 tokens, or of `molecule_graphs` a
    `MoleculeBatch`. `score(module, h_a, h_b, h_c)` turns those of B triples into logits (B,). The module keeps its own
    mathematics, except that the logit is the mean over the two orders of the drugs, unless `faithful`. Rows without a
    feature are zero, and have no atoms. What the module raises is an InputError that names its class and line.
    """
    named = _name_of(make)
    given = {
        "Config": _config(make),
        "requires": frozenset({drug_feature, cell_feature}),
        "citation": citation,
        "drug_feature": drug_feature,
        "cell_feature": cell_feature,
        "make": staticmethod(make),
        "encode_drug": staticmethod(encode_drug),
        "encode_cell": staticmethod(encode_cell),
        "score_module": staticmethod(score),
    }
    return type(named if named.isidentifier() else "Wrapped", (WrappedModule,), given)


def _name_of(make: Make) -> str:
    return getattr(getattr(make, "func", make), "__name__", type(make).__name__)


def _config(make: Make) -> type[BackboneConfig]:
    """The hyper-parameters of `make`: its parameters behind the first, each of the type of its default."""
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(make).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty:
            raise UsageError(
                f"{_name_of(make)}: the hyper-parameter '{parameter.name}' has no default",
                where=_place(make),
                remedy=f"Give it one: {parameter.name}=...; the first parameter is the inputs.",
            )
        if hasattr(BackboneConfig, parameter.name) or parameter.name in BackboneConfig.model_fields:
            raise UsageError(
                f"{_name_of(make)}: a hyper-parameter cannot be called '{parameter.name}', as every backbone has it",
                where=_place(make),
                remedy="Call it otherwise.",
            )
        fields[parameter.name] = type(parameter.default), parameter.default
    return create_model("Config", __base__=BackboneConfig, **fields) if fields else BackboneConfig


@contextmanager
def _blamed(function: Callable[..., Any], name: str) -> Iterator[None]:
    """What fails inside is an InputError that names a class and the line of its author's code."""
    try:
        yield
    except (L2aCoError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        frames = [
            frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(LIBRARIES)
        ]
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else _place(function)
        said = (str(error) or "nothing more").splitlines()[0]
        raise InputError(f"{name} failed: {type(error).__name__}: {said}", where=where) from error


def _wrong(function: Callable[..., Any], module: nn.Module, message: str) -> InputError:
    return InputError(f"{type(module).__name__}: {message}", where=_place(function))


def _place(function: Any) -> str | None:
    """File and line where a function or class is written."""
    code = getattr(inspect.unwrap(getattr(function, "__init__", function)), "__code__", None)
    code = getattr(function, "__code__", code)
    return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def _numbers(values: Any) -> Tensor:
    found = torch.as_tensor(values)
    return found if found.dtype == torch.int64 else found.to(torch.get_default_dtype())
