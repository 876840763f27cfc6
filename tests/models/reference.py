"""Every graph backbone as it is written on paper: the whole graph, PyG's own layers or dense algebra, the plain head.

`hidden(model)` gives the hidden vectors of all drugs, then of all cell lines, from the model's own parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GATConv, HANConv, RGCNConv, SAGEConv

from l2aco.models.alignment import Aligner
from l2aco.models.kg.blocks import distinct, with_self_loops


def hidden(model: Aligner) -> Tensor:
    return OF_BACKBONE[type(model.backbone).__name__](model.backbone)


def whole_embeddings(backbone: Any, counts: dict[str, int]) -> dict[str, Tensor]:
    """The learned rows in tables over all nodes; rows outside the receptive field are random, to no effect."""
    field, x = backbone.field, {}
    for kind, count in counts.items():
        x[kind] = torch.randn(count, backbone.config.embedding)
        if kind in field.embeddings:
            x[kind] = x[kind].index_copy(0, torch.from_numpy(field.nodes[kind]), field.embeddings[kind])
    return x


def gcn(backbone: Any) -> Tensor:
    """D^-1/2 (A + I) D^-1/2 X W, dense."""
    count = backbone.graph.num_nodes
    adjacency = torch.eye(count)
    edges = backbone.graph.edge_index()
    adjacency[edges[1], edges[0]] = 1.0
    scale = adjacency.sum(1).rsqrt()
    return homogeneous(
        backbone, lambda conv, x: (scale[:, None] * adjacency * scale) @ x @ conv.lin.weight.T + conv.bias
    )


def sage(backbone: Any) -> Tensor:
    edges = torch.from_numpy(distinct(backbone.graph.edge_index(), backbone.graph.num_nodes))
    return homogeneous(backbone, lambda conv, x: SAGEConv.forward(conv, x, edges))


def gat(backbone: Any) -> Tensor:
    edges = torch.from_numpy(with_self_loops(backbone.graph.edge_index(), backbone.graph.num_nodes))
    return homogeneous(backbone, lambda conv, x: GATConv.forward(conv, x, edges))


def homogeneous(backbone: Any, layer: Any) -> Tensor:
    """The layers over all nodes alike."""
    graph = backbone.graph
    x = whole_embeddings(backbone, {"node": graph.num_nodes})["node"]
    for number, conv in enumerate(backbone.convs):
        x = layer(conv, F.relu(x) if number else x)
    rows = [graph.offset(kind) + np.arange(len(graph.nodes[kind])) for kind in ("drug", "cell_line")]
    return x[torch.from_numpy(np.concatenate(rows))]


def hgat(backbone: Any) -> Tensor:
    """One GATConv a relation over all nodes of its types, summed."""

    def layer(number: int, x: dict[str, Tensor]) -> dict[str, Tensor]:
        convs, own = backbone.convs[number], backbone.own[number]
        out = {kind: own[kind](x[kind]) for kind in own}
        for (source, name, target), pairs in backbone.graph.edges.items():
            key = f"{source}-{name}-{target}"
            if target in out and key in convs:
                size = (len(x[source]), len(x[target]))
                given = (x[source], x[target]), torch.from_numpy(pairs)
                out[target] = out[target] + GATConv.forward(convs[key], *given, size=size)
        return out

    return relational(backbone, layer)


def rgcn(backbone: Any) -> Tensor:
    """RGCNConv over all types stacked."""
    graph = backbone.graph
    edges = [
        torch.from_numpy(pairs + np.array([[graph.offset(source)], [graph.offset(target)]]))
        for (source, _, target), pairs in graph.edges.items()
    ]
    kinds = torch.cat([torch.full((pairs.shape[1],), number) for number, pairs in enumerate(edges)])

    def layer(number: int, x: dict[str, Tensor]) -> dict[str, Tensor]:
        out = RGCNConv.forward(backbone.convs[number], torch.cat(list(x.values())), torch.cat(edges, dim=1), kinds)
        return dict(zip(x, out.split([len(values) for values in x.values()]), strict=True))

    return relational(backbone, layer)


def han(backbone: Any) -> Tensor:
    """HANConv over all nodes of the types that lead somewhere, each with a map of its own input."""

    def layer(number: int, x: dict[str, Tensor]) -> dict[str, Tensor]:
        own = backbone.own[number]
        x = {kind: values for kind, values in x.items() if number or kind in backbone.field.embeddings}
        edges = {
            relation: torch.from_numpy(pairs)
            for relation, pairs in backbone.graph.edges.items()
            if relation[0] in x and relation[2] in x
        }
        received = HANConv.forward(backbone.convs[number], x, edges)
        return {
            kind: own[kind](x[kind]) + (0 if received[kind] is None else received[kind]) for kind in x if kind in own
        }

    return relational(backbone, layer, between=lambda values: values)


def relational(backbone: Any, layer: Any, between: Any = F.relu) -> Tensor:
    """The layers over all types."""
    x = whole_embeddings(backbone, {kind: len(ids) for kind, ids in backbone.graph.nodes.items()})
    for number in range(backbone.config.layers):
        x = layer(number, {kind: between(values) for kind, values in x.items()} if number else x)
    return torch.cat([x["drug"], x["cell_line"]])


OF_BACKBONE = {"GCN": gcn, "SAGE": sage, "KGNN": sage, "GAT": gat, "HGAT": hgat, "RGCN": rgcn, "HAN": han}


def head(ours: Any, drug: Tensor, cell: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The pair head: concatenate, map, both orders; then what the pair does together."""
    first, second, pair = ours.drug.weight.split([2 * ours.hidden, 2 * ours.hidden, ours.hidden])
    line, context = ours.cell.weight.split([2 * ours.hidden, ours.hidden])
    line_bias, context_bias = ours.cell.bias.split([2 * ours.hidden, ours.hidden])

    def ordered(one: Tensor, other: Tensor) -> Tensor:
        x = torch.cat([drug[one], drug[other], cell[c]], dim=1) @ torch.cat([first, second, line], dim=1).T + line_bias
        gate, skip = x.chunk(2, dim=1)
        return F.relu(gate) + skip

    mean = (ordered(a, b) + ordered(b, a)) / 2
    joint = (drug[a] @ pair.T) * (drug[b] @ pair.T) * (1 + torch.tanh(cell[c] @ context.T + context_bias))
    of_mean, of_joint = ours.out.weight.split(ours.hidden, dim=1)
    return (mean @ of_mean.T + joint @ of_joint.T + ours.out.bias).squeeze(1)
