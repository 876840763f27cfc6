"""A small good example of every layout that `l2aco data import` knows, file by file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

PARTS = ("train", "valid", "test")
TABLE = "drug_a,drug_b,cell_line,score\nA,B,X,1\nA,C,X,-1\nB,C,Y,2\n"
GRAPHSYNERGY = {
    "drug_combinations.csv": "Drug1,Drug2,cell,drug1_db,drug2_db,synergy\n"
    "a,b,X,DB00001,DB00002,1\na,c,X,DB00001,DB00003,-1\n",
    "drug_protein.csv": "drug,protein\nDB00001,10\n",
    "cell_protein.csv": "GeneSym,source_desc,protein,cell,Tissue,target_id,weight\nG,na,10,X,lung,-666,1\n",
    "protein-protein_network.csv": "protein_a,protein_b\n10,11\n",
}
DEEPDDS = {
    "new_labels_0_10.csv": "drug1,drug2,cell,label\nC,CC,X,1\nC,CCC,Y,0\n",
    "smiles.csv": "name,smile\na,C\nb,CC\nc,CCC\n",
    "scores_0_10.csv": "drug1,drug2,cell,score\na,b,X,12\na,c,Y,-1\n",
    "new_cell_features_954.csv": "gene_id,g1,g2\nt,t1,t2\nX,1,2\nY,3,4\n",
}
VECTORS = '{"X": [1.5, 2], "Y": [3, 4]}'
DFFNDDS = {
    "labeled_triples.csv": "drug_1,drug_2,context,label\n1,2,X,1\n2,3,Y,0\n",
    "drug_set.json": '{"1": {"smiles": "C", "features": [0, 1]}, "2": {"smiles": "CC"}}',
    "context_set.json": VECTORS,
}
LACO_PART = "a\t0\tb\t1\tX\t3\t1\na\t0\tc\t2\tX\t3\t0\n"
LACO = {
    "kg/entities.dict": "0\tA\n1\tB\n2\tC\n3\tX\n",
    "kg/relations.dict": "0\tr\n",
    "kg/train_new.tsv": "A\tr\tB\n",
    "d/S1/train.txt": LACO_PART,
    "d/S1/valid.txt": "b\t1\tc\t2\tX\t3\t0\n",
    "d/S1/test.txt": LACO_PART,
}
MAPS = {"cell_map.csv": "name,context,index\nX,X,0\nY,Y,1\n"}
LACO_DEEPDDS = {
    **MAPS,
    "filtered_updated_d.csv": "drug_a,drug_b,cell,synergy\na,b,X,1\na,c,Y,0\nb,c,X,0\n",
    "drug_map_with_smiles.csv": "name,processed_smiles,index\na,C,0\nb,CC,1\nc,CCC,2\n",
    "inductive/train_idx.txt": "0\n",
    "inductive/valid_idx.txt": "1\n",
    "inductive/test_idx.txt": "2\n",
}
LACO_DFFNDDS = {
    **MAPS,
    "merged_data.csv": "name,index\na,0\nb,1\nc,2\n",
    "drug_set.json": '{"0": {"smiles": "C"}}',
    "context_set_m.json": VECTORS,
    **{
        f"new-cell/db-{part}.csv": "drug_a,drug_b,cell,synergy\n0,1,0,1\n0,2,1,0\n"
        for part in ("train", "valid", "test")
    },
}
LACO_HAN = {
    "cid_smile.json": '{"1": "C"}',
    **{
        f"db-{part}_final.csv": "drug_1,drug_2,context,label\n1,2,X,1\n1,3,Y,0\n" for part in ("train", "valid", "test")
    },
}
LAYOUTS: dict[str, dict[str, str]] = {
    "graphsynergy": GRAPHSYNERGY,
    "deepdds": DEEPDDS,
    "dffndds": DFFNDDS,
    "laco": LACO,
    "laco-deepdds": LACO_DEEPDDS,
    "laco-dffndds": LACO_DFFNDDS,
    "laco-hansynergy": LACO_HAN,
    "table": {"t.csv": TABLE},
}


def laid_out(folder: Path, source: str, changes: Mapping[str, str | bytes]) -> Path:
    """The folder of a layout with some files changed."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in {**LAYOUTS[source], **changes}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return {"laco": folder / "d", "table": folder / "t.csv"}.get(source, folder)
