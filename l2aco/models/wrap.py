"""Make a backbone of a torch module that was not written for L2aCo. See docs/backbones.md for an example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2aco.models.base import Backbone, Tables
from l2aco.models.config import BackboneConfig
from l2aco.models.inputs import Inputs

Encode = Callable[[nn.Module, Tensor], Tensor]
Score = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


class WrappedModule(Backbone):
    """What `wrap_module` fills in."""

    encodes_all = False
    drug_feature: ClassVar[str]
    cell_feature: ClassVar[str]
    make: ClassVar[Callable[[Inputs], nn.Module]]
    encode_drug: ClassVar[Encode]
    encode_cell: ClassVar[Encode]
    score_module: ClassVar[Score]

    def __init__(self, inputs: Inputs, config: BackboneConfig) -> None:
        super().__init__(inputs, config)
        self.module = type(self).make(inputs)
        for kind, name in (("drug", self.drug_feature), ("cell", self.cell_feature)):
            values = torch.as_tensor(inputs.features[name].values).to(torch.get_default_dtype())
            self.register_buffer(f"{kind}_inputs", values, persistent=False)
        self._masks = tuple(
            torch.as_tensor(inputs.features[name].mask) for name in (self.drug_feature, self.cell_feature)
        )
        first = torch.zeros(1, dtype=torch.int64)
        with torch.no_grad():
            tables = self.eval().encode(first, first)
        self.train()
        self.drug_width, self.cell_width = tables.drug.shape[-1], tables.cell.shape[-1]
        self.shapes = tables.drug.shape[1:], tables.cell.shape[1:]

    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        return self._encoded(_rows(self.drug_inputs, drugs), _rows(self.cell_inputs, cells))

    def newcomers(self, inputs: Inputs, usual: Tables) -> tuple[Tables, Tensor, Tensor]:
        tables = [inputs.features[name] for name in (self.drug_feature, self.cell_feature)]
        like: Any = self.drug_inputs
        drug, cell = (torch.as_tensor(table.values).to(like) for table in tables)
        known = [torch.as_tensor(table.mask) for table in tables]
        return self._encoded(drug, cell), known[0], known[1]

    def _encoded(self, drug: Tensor, cell: Tensor) -> Tables:
        kind = type(self)
        return Tables(  # of no rows, many a module cannot say the shape
            kind.encode_drug(self.module, drug) if len(drug) else drug.new_zeros(0, *self.shapes[0]),
            kind.encode_cell(self.module, cell) if len(cell) else cell.new_zeros(0, *self.shapes[1]),
        )

    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        first, second, line = tables.drug[a], tables.drug[b], tables.cell[c]
        logit = type(self).score_module
        logits = logit(self.module, first, second, line).reshape(len(a))
        if self.config.faithful:
            return logits
        return (logits + logit(self.module, second, first, line).reshape(len(a))) / 2

    def measured(self) -> tuple[Tensor, Tensor]:
        return self._masks[0], self._masks[1]


def wrap_module(
    make: Callable[[Inputs], nn.Module],
    *,
    drug_feature: str,
    cell_feature: str,
    encode_drug: Encode,
    encode_cell: Encode,
    score: Score,
    citation: str,
) -> type[Backbone]:
    """A backbone class around the module that `make(inputs)` returns.

    `encode_drug(module, x)` and `encode_cell(module, x)` turn feature rows (n, ...) into representations (n, d), or
    (n, V, d) where V views of an entity are aligned; `score(module, h_a, h_b, h_c)` turns those of B triples into
    logits (B,). The module keeps its own mathematics, except that the logit is the mean over the two orders of the
    drugs, unless `faithful`. Rows without a feature are zero.
    """
    given = {
        "requires": frozenset({drug_feature, cell_feature}),
        "citation": citation,
        "drug_feature": drug_feature,
        "cell_feature": cell_feature,
        "make": staticmethod(make),
        "encode_drug": staticmethod(encode_drug),
        "encode_cell": staticmethod(encode_cell),
        "score_module": staticmethod(score),
    }
    return type("Wrapped", (WrappedModule,), given)


def _rows(values: Any, rows: Tensor | None) -> Tensor:
    return values if rows is None else values[rows]
