"""What drugs and cell lines are called: how a name folds, which names are one entity's, which are merely near.

drugs.tsv and cell_lines.tsv hold the synonyms, with where they are from. A kind is written as in `EntityKind`.
"""
