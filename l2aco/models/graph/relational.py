"""The receptive field of a graph with typed nodes and relations, as a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from torch import nn

from l2aco.data.graph import KnowledgeGraph
from l2aco.models.graph.backbone import CELL, DRUG, embedding_rows
from l2aco.models.graph.blocks import Block, Layer, Relation, receptive_field


class RelationalField(nn.Module):
    """Blocks by layer and relation, and the learned embeddings of the first layer's inputs by node type."""

    def __init__(
        self, graph: KnowledgeGraph, relations: Mapping[Relation, np.ndarray], layers: int, width: int
    ) -> None:
        super().__init__()
        counts = {kind: len(ids) for kind, ids in graph.nodes.items()}
        targets = {kind: np.arange(counts[kind]) for kind in (DRUG, CELL)}
        self.layers: list[Layer]
        self.layers, self.nodes = receptive_field(counts, relations, targets, layers)
        self._blocks = nn.ModuleList(
            nn.ModuleDict({self.name(relation): block for relation, block in layer.blocks.items()})
            for layer in self.layers
        )
        self.embeddings = nn.ParameterDict(
            {kind: embedding_rows(counts[kind], width, rows) for kind, rows in self.nodes.items() if len(rows)}
        )

    @staticmethod
    def name(relation: Relation) -> str:
        """A relation as a key of a module dictionary."""
        return "-".join(relation).replace(".", "_")

    def blocks(self, number: int) -> Iterator[tuple[Relation, Block]]:
        """The relations of one layer with their blocks."""
        yield from self.layers[number].blocks.items()
