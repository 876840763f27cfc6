"""Where triples come from: one file per layout, found by looking at the folder."""

from __future__ import annotations

from l2aco.registry import Entry, Registry

SOURCES = Registry(
    "data source",
    "l2aco.sources",
    (
        Entry(
            "graphsynergy",
            "l2aco.data.sources.graphsynergy:GraphSynergy",
            "folder with drug_combinations.csv, drug_protein.csv, cell_protein.csv and a protein network",
        ),
    ),
)
