"""The aligner: any backbone, grounded in profile vectors, as one module that gives logits and extra losses.

`h` is a backbone's representation of an entity, `e` its profile vector, `g` an adapter from the vector's
dimension to the backbone's width, one for each kind of entity. The loss pulls the pooled views of h towards
g(e); the fusion feeds g(e) to the score. See docs/design/alignment.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from l2aco.errors import InputError
from l2aco.models.base import Backbone, Output, Tables
from l2aco.models.inputs import Inputs
from l2aco.models.losses import alignment_loss, chosen_entities, mean_of, symmetric_kl
from l2aco.models.numbers import NumbersHead
from l2aco.models.recipe import Recipe
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Vectors, side_by_side


class Step(NamedTuple):
    """The entities that one training step encodes (None: all), and its triples in their rows."""

    drugs: Tensor | None
    cells: Tensor | None
    a: Tensor
    b: Tensor
    c: Tensor


class Aligner(nn.Module):
    """A backbone with its adapters, alignment losses and fusion.

    `forward(a, b, c)` is a training step's half: logits for int64 rows (B,) of the data set's drugs and cell
    lines, and weighted losses `align_drug`, `align_cell`, `align_pair`, `consistency` over distinct entities.
    `tables()` and `score(tables, a, b, c)` are for evaluation: call `eval()` first.
    """

    def __init__(
        self,
        backbone: Backbone,
        spec: AlignSpec | None = None,
        inputs: Inputs | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.spec = (spec or AlignSpec(loss="none")).for_backbone(backbone.fusion)
        self.train_drugs = None if inputs is None else inputs.train_drugs
        self.train_cells = None if inputs is None else inputs.train_cells
        self.drug: KindAdapter | None = None
        self.cell: KindAdapter | None = None
        self.numbers = nn.ModuleDict()
        """Of the kinds whose stores hold numbers, where the loss is regression."""
        if self.spec.loss == "regression":
            self.numbers.update(self._heads(inputs))
        elif self.spec.active:
            if inputs is None or not inputs.drug_vectors or not inputs.cell_vectors:
                raise InputError(
                    "alignment needs vectors of drugs and of cell lines, and no store brings both",
                    remedy="Profile and embed them (l2aco profile, l2aco embed), or train with --align none.",
                )
            measured = backbone.measured() or (None, None)
            of_drugs = backbone.drug_width, inputs.train_drugs, measured[0]
            of_cells = backbone.cell_width, inputs.train_cells, measured[1]
            self.drug = KindAdapter(self.spec.for_kind("drug"), inputs.drug_vectors, *of_drugs)
            self.cell = KindAdapter(self.spec.for_kind("cell"), inputs.cell_vectors, *of_cells)

    def _heads(self, inputs: Inputs | None) -> dict[str, NumbersHead]:
        kinds = {}
        if inputs is not None:
            kinds["drug"] = inputs.drug_vectors, self.backbone.drug_width, inputs.train_drugs
            kinds["cell"] = inputs.cell_vectors, self.backbone.cell_width, inputs.train_cells
        found = {
            kind: NumbersHead(self.spec, vectors, width, train)
            for kind, (vectors, width, train) in kinds.items()
            if NumbersHead.can_learn(vectors, train)
        }
        if not found:
            raise InputError(
                "align = regression predicts numbers, and no store of the run tells training entities apart by any",
                remedy="Embed a panel (l2aco embed reference-panel) and name its store, such as "
                "--store reference-panel--fields; for stores of text there is --align infonce.",
            )
        return found

    @property
    def recipe(self) -> Recipe:
        """How the backbone is trained where nothing else is asked for."""
        return self.backbone.default_recipe(faithful=self.backbone.config.faithful)

    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> Output:
        """Logits (P, B) and weighted losses for rows a, b, c (B,)."""
        step = self._step(a, b, c)
        logits: list[Tensor] = []
        parts: dict[str, list[Tensor]] = {}
        encoded = None
        for _ in range(self.backbone.passes if self.training else 1):
            if encoded is None or self.backbone.stochastic_encode:
                encoded = self.backbone.encode(step.drugs, step.cells)
            tables = self._masked(encoded)
            fused = self._fused(tables, step.drugs, step.cells)
            logits.append(self.backbone.score(fused, step.a, step.b, step.c))
            for name, value in self._alignment(tables, step, logits[-1]).items():
                parts.setdefault(name, []).append(value)
        losses = {name: mean_of(values) for name, values in parts.items()}
        if len(logits) > 1:
            pairs = [symmetric_kl(one, other) for one, other in combinations(logits, 2)]
            losses["consistency"] = self.backbone.consistency_weight * mean_of(pairs)
        return Output(torch.stack(logits), losses)

    def tables(self, chunk: int = 4096) -> Tables:
        """The fused representations of every entity, for `score`. Evaluation only."""
        self._refuse_training()
        if self.backbone.encodes_all:
            return self._fused(self.backbone.encode(), None, None)
        none = torch.empty(0, dtype=torch.int64, device=next(self.backbone.parameters()).device)
        drugs = torch.arange(self.backbone.num_drugs, device=none.device).split(chunk)
        cells = torch.arange(self.backbone.num_cells, device=none.device).split(chunk)
        of_drugs = [self._fused(self.backbone.encode(rows, none), rows, none) for rows in drugs]
        of_cells = [self._fused(self.backbone.encode(none, rows), none, rows) for rows in cells]
        extra = {
            name: torch.cat([part.extra[name] for part in (of_drugs if name.startswith("drug") else of_cells)])
            for name in of_drugs[0].extra
        }
        return Tables(torch.cat([part.drug for part in of_drugs]), torch.cat([part.cell for part in of_cells]), extra)

    def newcomers(self, inputs: Inputs) -> Tables:
        """The fused representations of entities that the model was not built with, to stand behind `tables()`.

        One of whom the backbone reads nothing, but whose profile vector is known, is represented by the adapted vector,
        brought to the usual length where the loss has taught the adapter a direction alone. Evaluation only.
        """
        self._refuse_training()
        known = self.backbone.encode()
        drug, cell = _mean_row(known.drug, self.train_drugs), _mean_row(known.cell, self.train_cells)
        extra = {
            name: _mean_row(table, self.train_drugs if name.startswith("drug") else self.train_cells)
            for name, table in known.extra.items()
        }
        tables, drug_read, cell_read = self.backbone.newcomers(inputs, Tables(drug, cell, extra))
        if self.drug is None or self.cell is None:
            return tables
        return tables.with_representations(
            self.drug.of_newcomers(tables.drug, inputs.drug_vectors, drug_read, _mean_length(known.drug)),
            self.cell.of_newcomers(tables.cell, inputs.cell_vectors, cell_read, _mean_length(known.cell)),
        )

    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """Logits (B,) for rows of `tables()`. Evaluation only."""
        self._refuse_training()
        return self.backbone.score(tables, a, b, c)

    def spread(self) -> dict[str, float]:
        """How far the normalised g(e) of a kind lie apart, sqrt(1 - |mean|^2): near 1 where they differ, near 0
        where a trainable adapter has collapsed (l2 and sce can)."""
        with torch.no_grad():
            adapters = {"drug": self.drug, "cell": self.cell}
            return {name: adapter.spread() for name, adapter in adapters.items() if adapter is not None}

    def _refuse_training(self) -> None:
        if self.training:
            raise RuntimeError("call eval() first: dropout and masking belong to training")

    def _step(self, a: Tensor, b: Tensor, c: Tensor) -> Step:
        """Which entities a step encodes: where `encode` costs what its rows cost, those of the step and of the loss.

        A backbone that encodes all of them at once is spared those that a small step does not read. In a larger step
        hardly any are left out; a GPU would be waited for.
        """
        backbone = self.backbone
        beyond = self.spec.active and self.spec.scope != "batch"
        small = a.device.type == "cpu" and 2 * len(a) < backbone.num_drugs and not beyond
        # compiled, all steps have one shape
        if torch.compiler.is_compiling() or (backbone.encodes_all and not small):
            return Step(None, None, a, b, c)
        more_drugs, more_cells = (
            [teacher.within.nonzero()[:, 0]] if teacher is not None and beyond else []
            for teacher in (self._teacher("drug"), self._teacher("cell"))
        )
        drugs, of_drugs = torch.cat([a, b, *more_drugs]).unique(return_inverse=True)
        cells, of_cells = torch.cat([c, *more_cells]).unique(return_inverse=True)
        count = len(a)
        return Step(drugs, cells, of_drugs[:count], of_drugs[count : 2 * count], of_cells[:count])

    def _teacher(self, kind: Literal["drug", "cell"]) -> KindAdapter | NumbersHead | None:
        """What the alignment loss of a kind is computed by."""
        if kind in self.numbers:
            return cast(NumbersHead, self.numbers[kind])
        return self.drug if kind == "drug" else self.cell

    def _masked(self, tables: Tables) -> Tables:
        rate = self.spec.mask_features
        if not rate:
            return tables
        drug, cell = (F.dropout(table, rate, self.training) for table in (tables.drug, tables.cell))
        return tables.with_representations(drug, cell)

    def _fused(self, tables: Tables, drugs: Tensor | None, cells: Tensor | None) -> Tables:
        if self.drug is None or self.cell is None:
            return tables
        return tables.with_representations(self.drug.fuse(tables.drug, drugs), self.cell.fuse(tables.cell, cells))

    def _alignment(self, tables: Tables, step: Step, logits: Tensor) -> dict[str, Tensor]:
        if self.spec.loss == "none":
            return {}
        if self.spec.loss == "kl":
            assert self.drug is not None and self.cell is not None
            drug = self.drug.replace(tables.drug, step.drugs)
            cell = self.cell.replace(tables.cell, step.cells)
            semantic = self.backbone.score(tables.with_representations(drug, cell), step.a, step.b, step.c)
            weight = (self.spec.weight_drug + self.spec.weight_cell) / 2
            known_drug, known_cell = self.drug.known_at(step.drugs), self.cell.known_at(step.cells)
            known = known_drug[step.a] & known_drug[step.b] & known_cell[step.c]
            return {"align_pair": weight * symmetric_kl(logits, semantic, known)}
        drugs, cells = self.backbone.pool(tables)
        found = {}
        if (of_drugs := self._teacher("drug")) is not None:
            found["align_drug"] = self.spec.weight_drug * of_drugs.loss(drugs, step.drugs, torch.cat([step.a, step.b]))
        if (of_cells := self._teacher("cell")) is not None:
            found["align_cell"] = self.spec.weight_cell * of_cells.loss(cells, step.cells, step.c)
        return found


class KindAdapter(nn.Module):
    """One kind of entity: its vectors, its adapter, and what is made of both."""

    vectors: Tensor
    known: Tensor
    within: Tensor
    """Bool (n,): which entities the loss is over, where they are encoded."""
    unmeasured: Tensor

    def __init__(
        self,
        spec: AlignSpec,
        vectors: Mapping[str, Vectors],
        width: int,
        train: np.ndarray | None,
        measured: Tensor | None,
    ) -> None:
        super().__init__()
        self.spec = spec
        values, has_one = side_by_side(vectors.values())
        known = torch.from_numpy(has_one)
        self.register_buffer("vectors", torch.from_numpy(values), persistent=False)
        self.register_buffer("known", known, persistent=False)
        within = known.clone()
        if spec.scope == "train":
            if train is None:
                raise ValueError("scope train needs the rows of the entities in training")
            within &= torch.zeros_like(known).scatter(0, torch.as_tensor(train, dtype=torch.int64), True)
        self.register_buffer("within", within, persistent=False)
        self.register_buffer(
            "unmeasured", torch.zeros_like(known) if measured is None else ~measured.cpu(), persistent=False
        )
        self.adapter = _adapter(spec.adapter, values.shape[1], width)
        self.mix: nn.Linear | None = nn.Linear(2 * width, width) if spec.fusion in ("gate", "concat") else None

    def adapted(self, rows: Tensor | None) -> Tensor:
        """g(e) (n, d) of the entities at `rows` (None: all)."""
        return self.adapter(self.vectors if rows is None else self.vectors.index_select(0, rows))

    def known_at(self, rows: Tensor | None) -> Tensor:
        """Bool (n,): which of the entities at `rows` have a vector."""
        return self.known if rows is None else self.known.index_select(0, rows)

    def loss(self, views: Tensor, rows: Tensor | None, seen: Tensor) -> Tensor:
        """The alignment loss of views (n, V, d) of the entities at `rows`; `seen`: local rows of the batch."""
        views, at = chosen_entities(views, rows, seen, self.within, self.spec.scope)
        if not len(at):
            return views.sum() * 0.0
        return alignment_loss(views, self.adapted(at), self.spec)

    def replace(self, h: Tensor, rows: Tensor | None) -> Tensor:
        """g(e) in the shape of `h`."""
        return _like(self.adapted(rows), h).expand_as(h)

    def fuse(self, h: Tensor, rows: Tensor | None) -> Tensor:
        """What the score reads in the place of `h` (n, ..., d)."""
        spec = self.spec
        imputes = spec.impute or (spec.modality_dropout > 0 and self.training)
        if spec.fusion == "none" and not imputes:
            return h
        g = self.replace(h, rows)
        if imputes:
            gone = self.unmeasured if rows is None else self.unmeasured[rows]
            gone = gone if spec.impute else torch.zeros_like(gone)
            if self.training and spec.modality_dropout > 0:
                gone = gone | (torch.rand(len(h), device=h.device) < spec.modality_dropout)
            h = torch.where(_like(gone.unsqueeze(-1), h), g, h)
        return self._mixed(h, g)

    def of_newcomers(self, h: Tensor, vectors: Mapping[str, Vectors], read: Tensor, length: Tensor) -> Tensor:
        """What the score reads of entities with representations h (n, ..., d) and these vectors; `read` (n,): of whom
        the backbone read something; `length`: of the usual representation."""
        device = self.vectors.device
        values, known = (torch.from_numpy(array).to(device) for array in side_by_side(vectors.values()))
        g = _like(self.adapter(values), h).expand_as(h)
        if self.spec.loss != "none" or self.imputes:
            direction_alone = self.spec.loss in ("infonce", "l2", "sce") and not self.imputes
            told = F.normalize(g, dim=-1) * length if direction_alone else g
            silent = ~read.to(device) & known
            h = torch.where(_like(silent.unsqueeze(-1), h), told, h)
        return self._mixed(h, g)

    @property
    def imputes(self) -> bool:
        """Whether training has seen adapted vectors in the place of representations."""
        return self.spec.impute or self.spec.modality_dropout > 0

    def _mixed(self, h: Tensor, g: Tensor) -> Tensor:
        if self.spec.fusion == "add":
            return h + g
        if self.mix is None:
            return h
        mixed = self.mix(torch.cat([h, g], dim=-1))
        return mixed if self.spec.fusion == "concat" else g + mixed.sigmoid() * (h - g)

    def spread(self) -> float:
        """See `Aligner.spread`."""
        g = F.normalize(self.adapted(None), dim=-1)
        return float(g.std(dim=0, correction=0).square().sum().sqrt())


def _mean_row(table: Tensor, rows: np.ndarray | None) -> Tensor:
    """(1, ..., d): the mean over rows of a table, None being all."""
    chosen = table if rows is None else table[torch.as_tensor(rows, device=table.device)]
    return chosen.mean(dim=0, keepdim=True) if chosen.is_floating_point() else chosen[:1]


def _mean_length(table: Tensor) -> Tensor:
    """The mean norm of representations (n, ..., d)."""
    return table.norm(dim=-1).mean()


def _like(values: Tensor, h: Tensor) -> Tensor:
    """(n, d) with axes of length one between, so that it broadcasts against `h` (n, ..., d)."""
    return values.reshape(len(values), *[1] * (h.dim() - 2), values.shape[-1])


def _adapter(kind: str, source: int, width: int) -> nn.Module:
    if kind == "linear":
        return nn.Linear(source, width)
    return nn.Sequential(nn.Linear(source, width), nn.GELU(), nn.Linear(width, width))
