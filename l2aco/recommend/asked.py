"""Which pairs are asked for: of which drugs, of which classes and targets; drugs that nobody screened among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from l2aco.entities import Entity, EntityKind, read_entities
from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.recommend.facts import Facts

if TYPE_CHECKING:
    from l2aco.runs.newcomers import Acquaintances

POOLS = ("measured", "all", "approved")


@dataclass(frozen=True)
class Only:
    """Of all pairs, those that are asked for.

    pool: the drugs to choose from: `measured` (in any combination of the run's data set; the default), `all` that the
    run knows, `approved` of those measured, or a table of drugs, new ones among them (name, smiles, ...). classes,
    targets: at most two words; each has to be met by a drug of the pair, two by one each. smiles: of the drugs named
    that nobody knows, in their order. unmeasured: leave out what was measured in the line (None: wherever pairs are not
    named one by one). diverse: one pair of any two classes.
    """

    pool: str | Path | None = None
    classes: Sequence[str] = ()
    targets: Sequence[str] = ()
    min_triples: int = 0
    smiles: Sequence[str] = ()
    unmeasured: bool | None = None
    diverse: bool = False

    def check(self) -> None:
        """Raises UsageError for more words than a pair has drugs."""
        if len(self.classes) + len(self.targets) > 2:
            raise UsageError(
                f"a pair has two drugs, and there are {len(self.classes) + len(self.targets)} classes and targets",
                remedy="Name two at most.",
            )


@dataclass(frozen=True)
class Pairs:
    """The pairs (one, other), int64 (n,) places in `drugs`; named: whether they were named one by one."""

    drugs: Sequence[Entity]
    one: np.ndarray
    other: np.ndarray
    named: bool

    def take(self, kept: np.ndarray) -> Pairs:
        return Pairs(self.drugs, self.one[kept], self.other[kept], self.named)

    def keys(self) -> np.ndarray:
        """int64 (n,): one number for each pair."""
        return np.asarray(self.one * len(self.drugs) + self.other)


def listed_drugs(only: Only) -> list[Entity]:
    """The drugs that a table of `only` brings, none where there is no table. Raises InputError for who is no drug, and
    for what is no structure."""
    listed = [] if only.pool is None or only.pool in POOLS else read_entities(Path(only.pool), EntityKind.drug)
    for one in listed:
        if one.kind is not EntityKind.drug:
            raise InputError(f"{one.name} is no drug", where=only.pool)
        _check_structure(one)
    return listed


def new_drugs(names: Sequence[str], only: Only, acquaintances: Acquaintances) -> list[Entity]:
    """The drugs named whose structure is given. Raises UsageError where there are more or fewer structures than unknown
    names, InputError for what is no structure."""
    unknown = [name for name in names if only.smiles and _unknown(name, acquaintances)]
    if len(unknown) != len(only.smiles):
        raise UsageError(
            f"there are {len(only.smiles)} --smiles for {len(unknown)} drugs that the run does not know",
            remedy="Give the structure of each new --drug, in their order; known drugs need none.",
        )
    given = [
        Entity(name, EntityKind.drug, name, facts={"smiles": text})
        for name, text in zip(unknown, only.smiles, strict=True)
    ]
    for drug in given:
        _check_structure(drug)
    return given


def asked_pairs(
    acquaintances: Acquaintances,
    facts: Facts,
    names: Sequence[str],
    only: Only,
    listed: Sequence[Entity],
    trained: Mapping[str, int],
) -> Pairs:
    """The pairs of the drugs called `names`, and of a pool, that are `listed` where it is a table: one name alone
    stands for all pairs of it, several without a pool for the pairs among them. trained: training triples by drug.
    Raises UnknownNameError, and InputError where no pair is left."""
    only.check()
    named = list({drug.id: drug for drug in (acquaintances.resolve(EntityKind.drug, name) for name in names)}.values())
    if len(names) > 1 and len(named) < 2:
        raise InputError("a pair needs two different drugs", remedy="Name at least two.")
    among = len(named) > 1 and only.pool is None
    pool = [] if among else _pool(acquaintances, only, listed, facts)
    drugs = sorted({drug.id: drug for drug in (*named, *pool)}.values(), key=lambda drug: drug.id)
    drugs = [drug for drug in drugs if trained.get(drug.id, 0) >= only.min_triples]
    if len(drugs) < 2:
        raise InputError(
            f"{len(drugs)} of the drugs have {only.min_triples:,} training triples or more; a pair needs two",
            remedy="Lower --min-triples, or name other drugs.",
        )
    one, other = (places.ravel() for places in np.triu_indices(len(drugs), k=1))
    pairs = Pairs(drugs, one, other, among)
    if named and not among:
        wanted = np.isin([drug.id for drug in drugs], [drug.id for drug in named])
        pairs = pairs.take(np.flatnonzero(wanted[one] | wanted[other]))
    pairs = _met(pairs, facts, only)
    if not len(pairs.one):
        raise InputError("no pair is left", remedy="Lower --min-triples, or ask for fewer things at once.")
    return pairs


def _pool(acquaintances: Acquaintances, only: Only, listed: Sequence[Entity], facts: Facts) -> list[Entity]:
    run = acquaintances.run
    if only.pool is not None and only.pool not in POOLS:
        return [acquaintances.resolve(EntityKind.drug, drug.id) for drug in listed]
    if only.pool == "all":
        return run.entities(EntityKind.drug)
    counts = run.counts(EntityKind.drug)
    measured = set(counts.filter(counts["triples"] > 0)["id"].to_list())
    drugs = [drug for drug in run.entities(EntityKind.drug) if drug.id in measured]
    return [drug for drug in drugs if facts.of_drug(drug).approved] if only.pool == "approved" else drugs


def _met(pairs: Pairs, facts: Facts, only: Only) -> Pairs:
    """Those in which every class and target is met, two by one drug each."""
    known = [facts.of_drug(drug) for drug in pairs.drugs] if only.classes or only.targets else []
    asked = [("class", word, [drug.is_of_class(word) for drug in known]) for word in only.classes]
    asked += [("target", word, [drug.hits(word) for drug in known]) for word in only.targets]
    for what, word, met in asked:
        if not any(met):
            classes, targets = {one.group for one in known if one.group}, {hit for one in known for hit in one.targets}
            said = classes if what == "class" else targets
            raise UnknownNameError(f"{what} of the drugs", word, sorted(said))
    masks = [np.array(met) for _, _, met in asked]
    if not masks:
        return pairs
    first, second = masks[0], masks[-1]
    kept = (first[pairs.one] & second[pairs.other]) | (second[pairs.one] & first[pairs.other])
    if len(masks) == 1:
        kept = first[pairs.one] | first[pairs.other]
    return pairs.take(np.flatnonzero(kept))


def _unknown(name: str, acquaintances: Acquaintances) -> bool:
    try:
        acquaintances.resolve(EntityKind.drug, name)
    except UnknownNameError:
        return True
    return False


def _check_structure(drug: Entity) -> None:
    from l2aco.data.features.molecules import molecule

    text = drug.facts.get("smiles")
    if text is not None and molecule(drug) is None:
        raise InputError(f"'{text}', given as the structure of {drug.name}, is no SMILES")
