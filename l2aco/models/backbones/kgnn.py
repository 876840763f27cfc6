"""KGNN: the SAGE stack whose representations take the adapted profile vector in (Lin et al., IJCAI 2020).

When it is aligned, its fusion is `add` (h + g(e)) unless another is asked for; alone it is SAGE. The original
KGNN samples neighbours and weighs relations by the user; the paper's version, followed here, is three
mean-aggregator GraphSAGE layers over the whole graph.
"""

from __future__ import annotations

from l2aco.models.backbones.sage import SAGE


class KGNN(SAGE):
    """See the module."""

    citation = "Lin et al. KGNN: knowledge graph neural network for drug-drug interaction prediction. IJCAI 2020."
    fusion = "add"
