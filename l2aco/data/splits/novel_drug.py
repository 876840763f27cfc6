"""The setting novel-drug: rows with one drug, or both, that training never sees."""

from __future__ import annotations

import numpy as np

from l2aco.data.dataset import DataSet
from l2aco.data.splits.setting import Array, Parts, Setting, generator, ids_of, leak
from l2aco.data.splits.spec import Split, SplitSpec
from l2aco.data.triples import distinct
from l2aco.entities import EntityKind
from l2aco.errors import UsageError


class NovelDrug(Setting):
    """Exactly one drug of every test row is unseen, its partner trains; with `both`, none is seen."""

    version = 2
    options = frozenset({"both"})
    held_out = EntityKind.drug

    def divide(self, dataset: DataSet, spec: SplitSpec) -> Parts:
        triples = dataset.united
        drugs = distinct(np.concatenate([triples.drug_a, triples.drug_b]))
        if len(drugs) < spec.folds + 2:
            raise UsageError(f"{len(drugs)} drugs are too few for {spec.folds} folds", remedy="Use fewer folds.")
        held = np.sort(generator(spec, 0).permutation(drugs)[spec.fold :: spec.folds])
        unseen = np.isin(triples.drug_a, held).astype(int) + np.isin(triples.drug_b, held)
        wanted = 2 if spec.both else 1
        test = np.flatnonzero(unseen == wanted)
        rest = np.flatnonzero(unseen == 0)
        target = len(test) // 2 if spec.both else spec.valid_share * len(rest)
        order = generator(spec, 1).permutation(np.setdiff1d(drugs, held))
        place = np.full(len(dataset.drugs), len(order))
        place[order] = np.arange(len(order))
        ends = np.sort([place[triples.drug_a[rest]], place[triples.drug_b[rest]]], axis=0)
        one, two = (np.cumsum(np.bincount(end, minlength=len(order))) for end in ends)
        reached = two if spec.both else one - two  # rows of the kind, were the first 1, 2, ... drugs held out
        enough = np.flatnonzero(reached >= max(target, 1))
        last = min(enough[0] if len(enough) else len(order), len(order) - 3)
        inside = np.sum(ends <= last, axis=0)
        train, valid = rest[inside == 0], rest[inside == wanted]
        trained = np.zeros(len(dataset.drugs), dtype=int)
        trained[triples.drug_a[train]] = trained[triples.drug_b[train]] = 1
        known = trained[triples.drug_a] + trained[triples.drug_b]  # the partner may be known to validation alone
        valid, test = (rows[known[rows] == 2 - wanted] for rows in (valid, test))
        return train, valid, test, ids_of(dataset, EntityKind.drug, held)

    def groups(self, dataset: DataSet) -> Array:
        return np.stack([dataset.united.drug_a, dataset.united.drug_b], axis=1)

    def check(self, dataset: DataSet, split: Split) -> list[str]:
        triples = dataset.united
        a, b = triples.drug_a, triples.drug_b
        held = np.isin([drug.id for drug in dataset.drugs], split.held_out)
        wanted = 2 if split.spec.both else 1
        before = np.concatenate([split.train, split.valid])
        if (held[a[before]] | held[b[before]]).any():
            raise leak(split, "a held-out drug is in training or validation")
        if (held[a[split.test]].astype(int) + held[b[split.test]] != wanted).any():
            raise leak(split, f"a test row has not {wanted} unseen drug{'s' if wanted == 2 else ''}")
        seen = np.zeros(len(dataset.drugs), dtype=bool)
        seen[a[split.train]] = seen[b[split.train]] = True
        for name, rows in (("validation", split.valid), ("test", split.test)):
            if (seen[a[rows]].astype(int) + seen[b[rows]] != 2 - wanted).any():
                known = "no drug" if split.spec.both else "exactly one drug"
                raise leak(split, f"not every {name} row has {known} of the training side")
        return [f"{'both drugs' if split.spec.both else 'exactly one drug'} of every test row unseen before"]
