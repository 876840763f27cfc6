"""SAGE: three mean-aggregator GraphSAGE layers over the knowledge graph (Hamilton et al., NeurIPS 2017).

Differs from the published code: the head does not depend on the order of the drugs; `faithful` restores that.

Shapes: node embeddings (N, 128) -> three layers of 64 over ever fewer nodes -> (Nd + Nc, 64) -> ReLU, dropout ->
linear (Nd + Nc, 64).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from torch import nn

from l2aco.models.kg.backbone import HomogeneousBackbone, StackConfig
from l2aco.models.kg.blocks import mean_weights
from l2aco.models.kg.convs import BlockSAGEConv


class SAGE(HomogeneousBackbone):
    """See the module."""

    citation = "Hamilton, Ying and Leskovec. Inductive representation learning on large graphs. NeurIPS 2017."

    class Config(StackConfig):
        layers: int = Field(default=3, ge=1)

    def edges(self, edges: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        return edges, mean_weights(edges, count)

    def conv(self, source: int, width: int) -> nn.Module:
        return BlockSAGEConv(source, width)
