"""GCN: graph convolution over the knowledge graph (Kipf and Welling, ICLR 2017).

Differs from the published code: every node has a self-loop (without it a drug is only the weighted sum of its
targets, and drugs with the same targets are one), and the head does not depend on the order of the drugs.
`faithful` restores both. One layer by default, as published; weights D^-1/2 (A + I) D^-1/2 of the whole graph.

Shapes: node embeddings (N, 128) -> convolution (Nd + Nc, 64) -> ReLU, dropout -> linear (Nd + Nc, 64).
"""

from __future__ import annotations

import numpy as np
from torch import nn

from l2aco.models.kg.backbone import HomogeneousBackbone, StackConfig
from l2aco.models.kg.blocks import symmetric_normalisation, with_self_loops
from l2aco.models.kg.convs import BlockGCNConv


class GCN(HomogeneousBackbone):
    """See the module."""

    Config = StackConfig
    citation = "Kipf and Welling. Semi-supervised classification with graph convolutional networks. ICLR 2017."

    def edges(self, edges: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        if not self.config.faithful:
            edges = with_self_loops(edges, count)
        return edges, symmetric_normalisation(edges, count)

    def conv(self, source: int, width: int) -> nn.Module:
        return BlockGCNConv(source, width)
