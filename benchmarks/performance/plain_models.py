"""The paper's procedure, plainly: the peer that `train.py` measures against.

Every step runs DGL's layers over the whole graph, every sample brings its two drugs, cell line, label and the
profile vectors of its three entities, and a DataLoader collates them. The mathematics are those of our models with
their own weights, so that outputs and gradients can be compared before anything is timed.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from l2aco.models.alignment import Aligner
from l2aco.models.base import Tables
from l2aco.models.kg.blocks import distinct, with_self_loops
from l2aco.models.kg.dgl_sums import load_dgl
from l2aco.models.losses import symmetric_kl


class Samples(Dataset[tuple[Any, ...]]):
    """One triple a sample, with the vectors of its entities."""

    def __init__(self, rows: np.ndarray, triples: Any, drug_vectors: np.ndarray, cell_vectors: np.ndarray) -> None:
        self.rows, self.triples = rows, triples
        self.drug_vectors, self.cell_vectors = drug_vectors, cell_vectors

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[Any, ...]:
        row = self.rows[place]
        a, b = int(self.triples.drug_a[row]), int(self.triples.drug_b[row])
        c = int(self.triples.cell_line[row])
        vectors = (self.drug_vectors[a], self.drug_vectors[b], self.cell_vectors[c])
        return a, b, c, np.float32(self.triples.label[row]), *vectors


class PlainModel(nn.Module):
    """The head on the concatenated representations of every sample, and the alignment loss."""

    def __init__(self, ours: Aligner, head: nn.Module) -> None:
        super().__init__()
        self.drop, self.head = nn.Dropout(ours.backbone.config.dropout), head
        self.aligned = ours.drug is not None
        self.fused = ours.spec.fusion == "add"
        if ours.drug is not None and ours.cell is not None:
            self.drug_adapter, self.cell_adapter = _copy(ours.drug.adapter), _copy(ours.cell.adapter)

    def represented(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The representations (B, d) of every sample's drugs and cell line."""
        raise TypeError("a subclass says how")

    def forward(self, a: Tensor, b: Tensor, c: Tensor, vectors: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (B,) and the alignment loss; `vectors` (B, D) of the samples' drugs and cell lines."""
        first, second, line = self.represented(a, b, c)
        if not self.aligned:
            return self.head(first, second, line, self.drop), first.new_zeros(())
        of_a, of_b, of_c = self.drug_adapter(vectors[0]), self.drug_adapter(vectors[1]), self.cell_adapter(vectors[2])
        loss = infonce(torch.cat([a, b]), torch.cat([first, second]), torch.cat([of_a, of_b]))
        loss = loss + infonce(c, line, of_c)
        if self.fused:
            first, second, line = first + of_a, second + of_b, line + of_c
        return self.head(first, second, line, self.drop), loss


class PlainHead(nn.Module):
    """The pair head, sample by sample."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        double, single = 2 * ours.hidden, ours.hidden
        first, second, pair = ours.drug.weight.split([double, double, single])
        (line, context), biases = ours.cell.weight.split([double, single]), ours.cell.bias.split([double, single])
        of_hidden, of_joint = ours.out.weight.split(single, dim=1)
        self.inner = _linear(torch.cat([first, second, line], dim=1), biases[0])
        self.pair, self.context = _linear(pair), _linear(context, biases[1])
        self.out, self.joint = _linear(of_hidden, ours.out.bias), _linear(of_joint)

    def forward(self, first: Tensor, second: Tensor, line: Tensor, drop: nn.Module) -> Tensor:
        def block(one: Tensor, other: Tensor) -> Tensor:
            gate, skip = self.inner(torch.cat([one, other, line], dim=1)).chunk(2, dim=1)
            return F.relu(gate) + skip

        hidden = (block(first, second) + block(second, first)) / 2
        joint = self.pair(first) * self.pair(second) * (1 + torch.tanh(self.context(line)))
        return (self.out(drop(hidden)) + self.joint(drop(joint))).squeeze(1)


def infonce(rows: Tensor, h: Tensor, g: Tensor) -> Tensor:
    """Over the distinct entities among `rows`, each by its first sample."""
    _, inverse = rows.unique(return_inverse=True)
    place = torch.arange(len(rows) - 1, -1, -1)
    first = torch.empty(int(inverse.max()) + 1, dtype=torch.int64).scatter_(0, inverse.flip(0), place)
    logits = F.normalize(h[first], dim=1) @ F.normalize(g[first], dim=1).T / 0.07
    return F.cross_entropy(logits, torch.arange(len(first)))


class PlainGraph(PlainModel):
    """The whole graph every step."""

    def __init__(self, ours: Aligner) -> None:
        backbone = ours.backbone
        super().__init__(ours, PlainHead(backbone.head))
        self.linear = nn.Linear(64, 64)
        self.linear.load_state_dict(backbone.linear.state_dict())
        self.counts = {kind: len(ids) for kind, ids in backbone.graph.nodes.items()}
        self.starts = {kind: backbone.graph.offset(kind) for kind in self.counts}

    def represented(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        drug, cell = (self.linear(self.drop(F.relu(hidden))) for hidden in self.represent())
        return drug[a], drug[b], cell[c]

    def represent(self) -> tuple[Tensor, Tensor]:
        raise TypeError("a subclass says how")


class PlainMolecules(PlainModel):
    """DeepDDS as its code goes: the two molecules of every sample side by side through PyTorch Geometric's layers, and
    the cell line of every sample through its own."""

    def __init__(self, ours: Aligner) -> None:
        from torch_geometric.nn import GATConv

        backbone: Any = ours.backbone
        super().__init__(ours, PlainTripleHead(backbone.head))
        self.table, self.values = backbone.molecules.table, backbone.read.values
        self.convs = nn.ModuleList()
        for conv in backbone.molecule.convs:
            self.convs.append(GATConv(conv.in_channels, conv.out_channels, heads=conv.heads, dropout=conv.dropout))
            self.convs[-1].load_state_dict(conv.state_dict())
        self.dense, self.cell = _copy(backbone.molecule.dense), copy.deepcopy(backbone.cell)

    def represented(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.molecule(a), self.molecule(b), self.cell(self.values[c])

    def molecule(self, rows: Tensor) -> Tensor:
        from torch_geometric.nn import global_max_pool

        atoms, bonds, owner = map(torch.from_numpy, self.table.batch(rows.numpy()))
        x = atoms.to(self.values.dtype)
        for conv in self.convs:
            x = self.drop(F.elu(conv(x, bonds)))
        return F.relu(self.dense(global_max_pool(x, owner, len(rows))))


class PlainTripleHead(nn.Module):
    """DeepDDS's head, sample by sample."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.first, self.rest = _copy(ours.first), copy.deepcopy(ours.rest)

    def forward(self, first: Tensor, second: Tensor, line: Tensor, drop: nn.Module) -> Tensor:
        orders = (first, second), (second, first)
        hidden = [F.relu(self.first(torch.cat([*drugs, line], dim=1))) for drugs in orders]
        return self.rest(drop((hidden[0] + hidden[1]) / 2)).squeeze(1)


class PlainSequences(nn.Module):
    """DFFNDDS and SynergyX as their code goes: what is read of either drug and of the line of every sample, through
    copies of our layers; padding goes along, and both passes of R-drop run."""

    def __init__(self, ours: Aligner) -> None:
        super().__init__()
        self.model = copy.deepcopy(ours.backbone)
        self.aligned = ours.drug is not None
        if ours.drug is not None and ours.cell is not None:
            self.drug_adapter, self.cell_adapter = _copy(ours.drug.adapter), _copy(ours.cell.adapter)

    def forward(self, a: Tensor, b: Tensor, c: Tensor, vectors: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (B,) of the first pass; what aligning the views, and holding the passes together, adds to the loss."""
        tables = self.model.encode(a, c), self.model.encode(b, c[:0])
        drugs, line = Tables(torch.cat([one.drug for one in tables]), tables[0].cell), tables[0].cell
        there = torch.cat([one.extra["drug_mask"] for one in tables]) if tables[0].extra else None
        passes = [self.scored(drugs, there) for _ in range(self.model.passes if self.training else 1)]
        loss = line.new_zeros(())
        if len(passes) > 1:
            loss = self.model.consistency_weight * symmetric_kl(*passes)
        if not self.aligned:
            return passes[0], loss
        of_a, of_b, of_c = self.drug_adapter(vectors[0]), self.drug_adapter(vectors[1]), self.cell_adapter(vectors[2])
        extra = {} if there is None else {"drug_mask": there}
        seen, cells = self.model.pool(Tables(drugs.drug, line, extra))
        views = [infonce(torch.cat([a, b]), h, torch.cat([of_a, of_b])) for h in seen.unbind(1)]
        return passes[0], loss + torch.stack(views).mean() + infonce(c, cells[:, 0], of_c)

    def scored(self, tables: Tables, there: Tensor | None) -> Tensor:
        """Logits (B,) of drugs (2B, ...), the first ones first, and cell lines (B, ...)."""
        model: Any = self.model
        count = len(tables.cell)
        if there is None:
            rows = torch.arange(count)
            return model.score(tables, rows, rows + count, rows)
        pieces, tokens = model.meeting(tables.drug, there, torch.cat([tables.cell, tables.cell]))
        pieces, tokens = model.drug_self(pieces, pieces, there), model.line_self(tokens, tokens)
        other = [x.roll(count, 0) for x in (pieces, there, tokens)]
        pieces = model.drug_pair(pieces, other[0], other[1]) * there.unsqueeze(2)
        return model.head(pieces, model.line_pair(tokens, other[2]))


class PlainHomogeneous(PlainGraph):
    """GraphConv or SAGEConv of DGL over all nodes."""

    def __init__(self, ours: Aligner) -> None:
        super().__init__(ours)
        dgl = load_dgl()
        backbone = ours.backbone
        count = backbone.graph.num_nodes
        edges = distinct(backbone.graph.edge_index(), count)
        sage = hasattr(backbone.convs[0], "lin_l")
        edges = edges if sage else with_self_loops(edges, count)
        self.graph = dgl.graph((torch.from_numpy(edges[0]), torch.from_numpy(edges[1])), num_nodes=count)
        self.embedding = nn.Embedding(count, backbone.config.embedding)
        with torch.no_grad():
            self.embedding.weight[torch.from_numpy(backbone.field.nodes["node"])] = backbone.field.embeddings["node"]
        self.layers = nn.ModuleList(_dgl_layer(dgl, conv) for conv in backbone.convs)

    def represent(self) -> tuple[Tensor, Tensor]:
        x = self.embedding.weight
        for number, layer in enumerate(self.layers):
            x = layer(self.graph, self.drop(F.relu(x)) if number else x)
        drug, cell = self.starts["drug"], self.starts["cell_line"]
        return x[drug : drug + self.counts["drug"]], x[cell : cell + self.counts["cell_line"]]


class PlainRelational(PlainGraph):
    """A GATConv of DGL for every relation of the whole graph, summed."""

    def __init__(self, ours: Aligner) -> None:
        super().__init__(ours)
        dgl = load_dgl()
        backbone: Any = ours.backbone
        edges = {
            (source, "-".join((source, name, target)), target): (torch.from_numpy(pairs[0]), torch.from_numpy(pairs[1]))
            for (source, name, target), pairs in backbone.graph.edges.items()
        }
        self.graph = dgl.heterograph(edges, num_nodes_dict=self.counts)
        width = backbone.config.embedding
        self.embeddings = nn.ParameterDict({kind: torch.randn(count, width) for kind, count in self.counts.items()})
        with torch.no_grad():
            for kind, rows in backbone.field.nodes.items():
                if kind in backbone.field.embeddings:
                    self.embeddings[kind][torch.from_numpy(rows)] = backbone.field.embeddings[kind]
        gat = dgl.nn.pytorch.GATConv
        self.layers = nn.ModuleDict(
            {name: gat(width, 16, 4, allow_zero_in_degree=True) for _, name, _ in self.graph.canonical_etypes}
        )
        for name, conv in backbone.convs[0].items():
            self.layers[name].fc.weight.data.copy_(conv.lin.weight.data)
            self.layers[name].attn_l.data.copy_(conv.att_src.data)
            self.layers[name].attn_r.data.copy_(conv.att_dst.data)
            self.layers[name].bias.data.copy_(conv.bias.data)
        self.own = nn.ModuleDict({kind: _copy(layer) for kind, layer in backbone.own[0].items()})

    def represent(self) -> tuple[Tensor, Tensor]:
        out = {kind: layer(self.embeddings[kind]) for kind, layer in self.own.items()}
        for source, name, target in self.graph.canonical_etypes:
            inputs = (self.embeddings[source], self.embeddings[target])
            message = self.layers[name](self.graph[source, name, target], inputs).flatten(1)
            out[target] = out[target] + message if target in out else message
        return out["drug"], out["cell_line"]


def _dgl_layer(dgl: Any, conv: Any) -> nn.Module:
    layers = dgl.nn.pytorch
    if hasattr(conv, "lin_l"):
        layer = layers.SAGEConv(conv.in_channels, conv.out_channels, "mean")
        layer.fc_neigh.weight.data.copy_(conv.lin_l.weight.data)
        layer.fc_self.weight.data.copy_(conv.lin_r.weight.data)
        bias = layer.bias if getattr(layer, "bias", None) is not None else layer.fc_self.bias
        bias.data.copy_(conv.lin_l.bias.data)
        return layer
    layer = layers.GraphConv(conv.in_channels, conv.out_channels, norm="both")
    layer.weight.data.copy_(conv.lin.weight.data.T)
    layer.bias.data.copy_(conv.bias.data)
    return layer


def _copy(layer: nn.Module) -> nn.Linear:
    return _linear(layer.weight, layer.bias)


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A layer of its own with these values."""
    copied = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    copied.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return copied
