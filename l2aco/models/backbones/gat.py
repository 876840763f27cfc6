"""GAT: multi-head attention on the knowledge graph without its types (Velickovic et al., ICLR 2018).

Differs from the published code: every node attends to itself too, and the head does not depend on the order of
the drugs; `faithful` restores both.

Shapes: node embeddings (N, 128) -> 4 heads x 16 (Nd + Nc, 64) -> ReLU, dropout -> linear (Nd + Nc, 64).
"""

from __future__ import annotations

import numpy as np
from torch import nn

from l2aco.models.kg.backbone import AttentionConfig, HomogeneousBackbone
from l2aco.models.kg.blocks import with_self_loops
from l2aco.models.kg.convs import BlockGATConv


class GAT(HomogeneousBackbone):
    """See the module."""

    citation = "Velickovic et al. Graph attention networks. ICLR 2018."

    Config = AttentionConfig
    config: AttentionConfig

    def edges(self, edges: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        return (edges if self.config.faithful else with_self_loops(edges, count)), None

    def conv(self, source: int, width: int) -> nn.Module:
        config = self.config
        return BlockGATConv(source, width, config.heads, config.attention_dropout)
