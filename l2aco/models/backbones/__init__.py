"""The registry of backbones: one file each, loaded when it is asked for."""

from __future__ import annotations

from l2aco.registry import Entry, Registry

_HERE = "l2aco.models.backbones"


def _entry(name: str, module: str, summary: str, requires: tuple[str, ...], year: str) -> Entry:
    facts = {"requires": requires, "published": year}
    return Entry(name=name, target=f"{_HERE}.{module}:{name}", summary=summary, facts=facts)


backbones = Registry(
    "backbone",
    "l2aco.backbones",
    (
        _entry(
            "GCN", "gcn", "one graph convolution over the whole knowledge graph", ("graph",), "Kipf and Welling 2017"
        ),
        _entry(
            "HGAT", "hgat", "graph attention per relation, summed over relations", ("graph",), "Velickovic et al. 2018"
        ),
    ),
)
