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
        Entry(
            "deepdds",
            "l2aco.data.sources.deepdds:DeepDDS",
            "folder with new_labels_0_10.csv, scores_0_10.csv, smiles.csv, new_cell_features_954.csv",
        ),
        Entry(
            "dffndds",
            "l2aco.data.sources.dffndds:Dffndds",
            "folder with labeled_triples*.csv, drug_set.json, and optionally context_set*.json",
        ),
        Entry(
            "laco",
            "l2aco.data.sources.laco:LacoGraph",
            "the paper's release, datasets/<name> with S0/ and S1/ beside datasets/kg",
        ),
        Entry(
            "laco-deepdds",
            "l2aco.data.sources.laco_features:LacoDeepDDS",
            "the paper's release, DeepDDS/data/<name>",
        ),
        Entry(
            "laco-dffndds",
            "l2aco.data.sources.laco_features:LacoDffndds",
            "the paper's release, DFFNDDS/MyDataset",
        ),
        Entry(
            "laco-hansynergy",
            "l2aco.data.sources.laco_features:LacoHan",
            "the paper's release, HANSynergy/data/<name>/<set>",
        ),
        Entry("table", "l2aco.data.sources.table:Triples", "one CSV, TSV, Parquet or Excel file of triples"),
    ),
    bases=("l2aco.data.sources.base:Source",),
)
