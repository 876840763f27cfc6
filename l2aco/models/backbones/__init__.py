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
        _entry("GCN", "gcn", "graph convolution", ("graph",), "Kipf and Welling 2017"),
        _entry("SAGE", "sage", "three mean-aggregator GraphSAGE layers", ("graph",), "Hamilton et al. 2017"),
        _entry("KGNN", "kgnn", "SAGE that takes profiles in (fusion add)", ("graph",), "Lin et al. 2020"),
        _entry("GAT", "gat", "multi-head attention on the untyped graph", ("graph",), "Velickovic et al. 2018"),
        _entry("HGAT", "hgat", "attention in every relation, summed", ("graph",), "Velickovic et al. 2018"),
        _entry(
            "HAN", "han", "hierarchical attention, five interacting fields", ("graph", "morgan"), "Wang et al. 2019"
        ),
        _entry("RGCN", "rgcn", "relational graph convolution", ("graph",), "Schlichtkrull et al. 2018"),
        _entry("Mixed", "mixed", "mixed-effects model over kernels of all that is known", (), "Henderson 1975"),
        _entry("Boosted", "boosted", "boosted trees over a mixed model and panels", (), "Friedman 2001"),
        _entry(
            "DeepDDS", "deepdds", "attention or convolutions over molecules", ("molecule_graphs",), "Wang et al. 2022"
        ),
        _entry(
            "MatchMaker",
            "matchmaker",
            "a network of drug and line, twice, then one of the pair",
            (),
            "Kuru et al. 2022",
        ),
        _entry(
            "DFFNDDS", "dffndds", "five views that interact by bits and by vectors", ("atom_pair",), "Xu et al. 2023"
        ),
        _entry(
            "SynergyX",
            "synergyx",
            "pieces of drugs and tokens of lines attend",
            ("substructures",),
            "Guo et al. 2024",
        ),
        _entry("Logistic", "logistic", "logistic regression on features, profiles or ids", (), "Cox 1958"),
        _entry("Forest", "forest", "random forest on features, profiles or ids", (), "Breiman 2001"),
        _entry(
            "GradientBoosting",
            "gradient_boosting",
            "histogram gradient boosting on features, profiles or ids",
            (),
            "Friedman 2001",
        ),
        _entry("MLP", "mlp", "fingerprints, tissue, expression; no graph", ("morgan", "tissue"), "Preuer et al. 2018"),
    ),
    bases=(
        "l2aco.models.estimator:Estimator",
        "l2aco.models.base:Backbone",
    ),
)
