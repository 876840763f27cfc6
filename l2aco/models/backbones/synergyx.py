"""SynergyX: pieces of molecules and tokens of cell lines that attend to each other (Guo et al. 2024).

A drug is the sequence of at most 50 frequent pieces of its SMILES (ESPF), embedded; a cell line what `cell_features`
names, one table or several joined by +: tables with the same columns (genes) are the channels of one stack of
convolutions, which makes tokens of them, and any other table has a stack of its own. Drug and line attend to each
other, each to itself, then the drugs to each other and the line as either drug left it to the line as the other did.

Differs from the paper and its code: a drug in a cell line is worked out once a step, however many rows hold it; keys
that are padding are masked (the code adds the mask of the asking sequence, so that padding is read, and cell tokens
are hidden by their place), and padding counts as nothing in the flattened sequence; hidden units of the head's first
layer are averaged over both orders; half the width, half the channels, at most `tokens` of a line, narrower dense
layers; no weights of attention are dropped; cross-entropy of labels instead of the squared error of scores.
`faithful` restores padding, order, widths, dropout and all tokens, not the masks. What the code builds and never
calls (two more encoders) is left out.

Shapes: pieces (Nd, 50) -> (Nd, 50, 32); genes (Nc, G, channels) -> (Nc, T, 32); drugs in lines (P, 50, 32) and
(P, T, 32); of every row's drugs (2B, ...) -> flattened, dense (2B, 128) each -> both (B, 512) -> 128 -> 64 -> (B,).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from l2aco.data.features.substructures import LENGTH
from l2aco.data.features.table import FeatureTable
from l2aco.models.base import Backbone, Tables
from l2aco.models.config import CELL_FEATURES, FeatureConfig
from l2aco.models.dropout import Dropout
from l2aco.models.inputs import Inputs
from l2aco.models.reading import Reading, cell_reading
from l2aco.models.recipe import Recipe
from l2aco.models.towers import Unread, dense, stand_in

KERNEL, POOLS = 16, (2, 2, 6)
UNUSED = 2
"""Rows of the embedding that no drug of training reads: padding, and pieces that training does not hold."""


class SynergyX(Backbone):
    """See the module."""

    citation = "Guo et al. SynergyX: a multi-modality mutual attention network. Brief. Bioinform. 2024."
    requires = frozenset({"substructures"})
    uses = frozenset(CELL_FEATURES)
    encodes_all = False
    recipe = Recipe(batch_size=512, learning_rate=1e-3, weight_decay=1e-5, epochs=60, patience=12)
    recipe_faithful = Recipe(batch_size=128, learning_rate=1e-4, weight_decay=1e-5, epochs=500, patience=50)

    class Config(FeatureConfig):
        published: ClassVar[Mapping[str, Any]] = {"width": 64, "heads": 8, "channels": 8, "tokens": 4096, "out": 2560}
        width: int = Field(default=32, ge=1)
        """Of pieces and tokens. The paper's 64 of three omics, which `faithful` takes where no other is given."""
        heads: int = Field(default=4, ge=1)
        channels: int = Field(default=4, ge=1)
        """Of the first convolution; each of the next two has twice as many."""
        tokens: int = Field(default=36, ge=1)
        """Of a cell line, at most: what 954 genes give. More are brought down to so many maxima."""
        out: int = Field(default=128, ge=4)
        """Width behind the flattened sequences (paper: 2560)."""
        dropout: float = Field(default=0.1, ge=0, lt=0.5)
        """Behind attention; twice that behind convolutions and dense layers. `faithful` drops weights of attention too,
        which takes twice the time."""

        @model_validator(mode="after")
        def _heads_share_the_width(self) -> Self:
            if self.width % self.heads:
                raise ValueError(f"heads = {self.heads} do not divide width = {self.width}")
            return self

    config: Config

    def __init__(self, inputs: Inputs, config: Config) -> None:
        super().__init__(inputs, config)
        self.drug_width = self.cell_width = config.width
        self.pieces = Pieces(inputs.features["substructures"], config)
        self.lines = CellTokens(cell_reading(inputs, config), inputs, config)
        self.of_drugs = Unread(self.pieces.known, config.width)
        self.of_cells = Unread(self.lines.known, config.width)
        self.meeting = Meeting(config)
        self.drug_self, self.drug_pair = DrugEncoder(config), DrugEncoder(config)
        self.line_self, self.line_pair = LineEncoder(config), LineEncoder(config)
        self.head = SequenceHead(self.lines.count, config)

    def encode(self, drugs: Tensor | None = None, cells: Tensor | None = None) -> Tables:
        codes = self.pieces.codes if drugs is None else self.pieces.codes.index_select(0, drugs)
        drug = self.of_drugs(self.pieces(codes), drugs)
        return Tables(drug, self.of_cells(self.lines(cells), cells), {"drug_mask": _there(codes)})

    def pool(self, tables: Tables) -> tuple[Tensor, Tensor]:
        """The mean over the pieces of a drug, and over the tokens of a line."""
        there = tables.extra["drug_mask"].unsqueeze(2).to(tables.drug.dtype)
        drug = (tables.drug * there).sum(1, keepdim=True) / there.sum(1, keepdim=True)
        return drug, tables.cell.mean(1, keepdim=True)

    def score(self, tables: Tables, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        both, at = torch.cat([a * len(tables.cell) + c, b * len(tables.cell) + c]).unique(return_inverse=True)
        drug, line = both // len(tables.cell), both % len(tables.cell)
        there = tables.extra["drug_mask"].index_select(0, drug)
        there = there[:, : LENGTH if self.config.faithful or not len(both) else int(there.sum(1).max())]
        pieces = tables.drug.index_select(0, drug)[:, : there.shape[1]]
        pieces, tokens = self.meeting(pieces, there, tables.cell.index_select(0, line))
        pieces, tokens = self.drug_self(pieces, pieces, there), self.line_self(tokens, tokens)
        swapped = at.view(2, len(a)).flip(0).flatten()
        pieces = self.drug_pair(pieces[at], pieces[swapped], there[swapped])
        tokens = self.line_pair(tokens[at], tokens[swapped])
        return self.head(pieces if self.config.faithful else pieces * there[at].unsqueeze(2), tokens)

    def measured(self) -> tuple[Tensor, Tensor]:
        """Drugs with a SMILES, cell lines of which something is read."""
        return self.of_drugs.known.cpu(), self.of_cells.known.cpu()

    def newcomers(self, inputs: Inputs, usual: Tables) -> tuple[Tables, Tensor, Tensor]:
        table = inputs.features["substructures"]
        codes = torch.from_numpy(table.values).to(self.pieces.codes)
        drug_known, (line, cell_known) = torch.from_numpy(table.mask), self.lines.newcomers(inputs)
        drug = stand_in(drug_known, self.pieces(codes), usual.drug)
        tables = Tables(drug, stand_in(cell_known, line, usual.cell), {"drug_mask": _there(codes)})
        return tables, drug_known, cell_known


def _there(codes: Tensor) -> Tensor:
    """Bool (n, 50): which places hold a piece; the first does of a drug without any, whatever stands for it."""
    there = codes > 0
    return there.index_fill(1, torch.zeros(1, dtype=torch.int64, device=codes.device), True)


class Pieces(nn.Module):
    """The pieces of molecules, int64 (Nd, 50), as vectors of what each is and where it stands."""

    codes: Tensor

    def __init__(self, table: FeatureTable, config: Any) -> None:
        super().__init__()
        self.register_buffer("codes", torch.from_numpy(table.values), persistent=False)
        self.known = torch.from_numpy(table.mask)
        self.what = nn.Embedding(UNUSED + max(len(table.columns) - 1, 0), config.width)
        self.where = nn.Embedding(LENGTH, config.width)
        self.norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)
        with torch.no_grad():
            self.what.weight[:UNUSED] = 0

    def forward(self, codes: Tensor) -> Tensor:
        """(n, 50, d) of codes (n, 50)."""
        return self.dropout(self.norm(self.what(codes) + self.where.weight))


class CellTokens(nn.Module):
    """What is read of cell lines, convolved to `count` tokens of each: a stack for all tables with the same columns."""

    def __init__(self, reading: Reading, inputs: Inputs, config: Any) -> None:
        super().__init__()
        self.reading = reading
        stacks, self.known = self._stacked(inputs)
        for number, values in enumerate(stacks):
            self.register_buffer(f"values_{number}", values, persistent=False)
        most = max(1, config.tokens // len(stacks))
        made = [Stack(values.shape[1], values.shape[2], most, config) for values in stacks]
        self.stacks = nn.ModuleList(made)
        self.count = sum(stack.count for stack in made)

    def forward(self, rows: Tensor | None) -> Tensor:
        """(n, T, d) of the lines at `rows`; None: of all."""
        stacks = [getattr(self, f"values_{number}") for number in range(len(self.stacks))]
        return self._tokens(stacks if rows is None else [values.index_select(0, rows) for values in stacks])

    def newcomers(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """The same of other lines, and bool (n,): of whom anything is read."""
        stacks, known = self._stacked(inputs)
        like: Any = self.values_0
        return self._tokens([values.to(like) for values in stacks]), known

    def _tokens(self, stacks: list[Tensor]) -> Tensor:
        return torch.cat([stack(values) for stack, values in zip(self.stacks, stacks, strict=True)], dim=1)

    def _stacked(self, inputs: Inputs) -> tuple[list[Tensor], Tensor]:
        """(n, channels, G) of all tables with the same G columns, and bool (n,): who is in any."""
        tables = [part.of(inputs) for part in self.reading.parts]
        alike: dict[Any, list[Tensor]] = {}
        for number, table in enumerate(tables):
            values = torch.from_numpy(table.values).to(torch.get_default_dtype())
            values = values.unsqueeze(1) if values.dim() == 2 else values.flatten(2).transpose(1, 2)
            values = values if values.shape[2] else values.new_zeros(*values.shape[:2], 1)  # a graph without any
            alike.setdefault(table.columns or number, []).append(values)
        known = torch.stack([torch.from_numpy(table.mask) for table in tables]).any(0)
        return [torch.cat(values, dim=1) for values in alike.values()], known


class Stack(nn.Module):
    """Three convolutions over columns, maxima behind each, to at most `most` tokens.

    Where columns do not suffice for the published kernels and maxima, those are as wide as what is there.
    """

    def __init__(self, channels: int, columns: int, most: int, config: Any) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, pool in enumerate(POOLS):
            width, kernel = config.channels * 2**number, min(KERNEL, columns)
            columns = columns - kernel + 1
            pool = min(pool, columns)
            columns //= pool
            layers += [nn.Conv1d(channels, width, kernel), nn.ReLU(), Dropout(2 * config.dropout), nn.MaxPool1d(pool)]
            channels = width
        del layers[-2]
        self.convolutions = nn.Sequential(*layers)
        self.count = min(columns, most)
        if columns > most:
            self.convolutions.append(nn.AdaptiveMaxPool1d(most))
        self.out = nn.Linear(channels, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, count, d) of x (n, channels, columns)."""
        return (
            self.out(self.convolutions(x).transpose(1, 2))
            if len(x)
            else x.new_zeros(0, self.count, self.out.out_features)
        )


class Attention(nn.Module):
    """What x finds among keys, added to it and normalised."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.heads, self.rate = config.heads, config.dropout if config.faithful else 0.0
        self.query, self.key, self.value, self.out = (nn.Linear(config.width, config.width) for _ in range(4))
        self.norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)

    def forward(self, x: Tensor, keys: Tensor, there: Tensor | None = None) -> Tensor:
        """(n, t, d) of x (n, t, d), keys (n, s, d) and bool (n, s): which keys there are (None: all)."""
        q, k, v = (
            layer(of).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, of in ((self.query, x), (self.key, keys), (self.value, keys))
        )
        mask = None if there is None else there[:, None, None, :]
        rate = self.rate if self.training else 0.0
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate)
        return self.norm(x + self.dropout(self.out(found.transpose(1, 2).flatten(2))))


class DrugEncoder(nn.Module):
    """Attention of pieces to keys and a dense block, each added and normalised."""

    def __init__(self, config: Any, *, attends: bool = True) -> None:
        super().__init__()
        self.attention = Attention(config) if attends else None
        self.block = dense((config.width, 2 * config.width, config.width))
        self.norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)

    def forward(self, x: Tensor, keys: Tensor | None = None, there: Tensor | None = None) -> Tensor:
        """(n, t, d) of pieces x (n, t, d) and keys (n, s, d); without attention, of pieces that have attended."""
        h = x if self.attention is None or keys is None else self.attention(x, keys, there)
        return self.norm(h + self.dropout(self.block(h)))


class LineEncoder(nn.Module):
    """Normalised tokens, their attention to keys added, and a dense block of that, added too."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(config.width), Attention(config)
        self.block = dense((config.width, 2 * config.width, config.width), config.dropout)

    def forward(self, x: Tensor, keys: Tensor) -> Tensor:
        """(n, t, d) of tokens x (n, t, d) and keys (n, s, d), which are tokens too."""
        return self.attended(self.norm(x), self.norm(keys))

    def attended(self, x: Tensor, keys: Tensor, there: Tensor | None = None) -> Tensor:
        """The same of normalised tokens, and any keys."""
        x = x + self.attention(x, keys, there)
        return x + self.block(self.norm(x))


class Meeting(nn.Module):
    """A drug and a cell line attend to each other, by one attention."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.line, self.drug = LineEncoder(config), DrugEncoder(config, attends=False)

    def forward(self, pieces: Tensor, there: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Pieces (n, L, d), of which `there` (n, L) are, and tokens (n, T, d) after they have met."""
        tokens = self.line.norm(tokens)
        return self.drug(self.line.attention(pieces, tokens)), self.line.attended(tokens, pieces, there)


class SequenceHead(nn.Module):
    """Flattened sequences of either drug in the line, dense layers, a logit."""

    def __init__(self, tokens: int, config: Any) -> None:
        super().__init__()
        self.symmetric, rate = not config.faithful, 2 * config.dropout
        self.drug, self.line = (nn.Linear(count * config.width, config.out) for count in (LENGTH, tokens))
        self.dropout = Dropout(rate)
        hidden = (2 if config.faithful else 1) * config.out
        self.first = nn.Linear(4 * config.out, hidden)
        self.rest = dense((hidden, hidden // 2, 1), rate)

    def forward(self, pieces: Tensor, tokens: Tensor) -> Tensor:
        """Logits (B,) of pieces (2B, L, d) and tokens (2B, T, d), those of the first drugs first."""
        flat = pieces.flatten(1)
        drug = F.linear(flat, self.drug.weight[:, : flat.shape[1]], self.drug.bias)
        both = self.dropout(F.relu(torch.cat([self.line(tokens.flatten(1)), drug], dim=1)))
        of_first, of_second = (F.linear(both, weight) for weight in self.first.weight.chunk(2, dim=1))
        hidden = F.relu(of_first.chunk(2)[0] + of_second.chunk(2)[1] + self.first.bias)
        if self.symmetric:
            hidden = (hidden + F.relu(of_first.chunk(2)[1] + of_second.chunk(2)[0] + self.first.bias)) / 2
        return self.rest(self.dropout(hidden)).squeeze(-1)
