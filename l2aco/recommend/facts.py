"""What profiles and data say of drugs and cell lines: class, targets, pathways, approval, sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from l2aco.entities import Entity
from l2aco.errors import DamagedError
from l2aco.progress import Progress, Silent
from l2aco.recommend.told import AS_TOLD

if TYPE_CHECKING:
    from l2aco.profiles.record import ProfileRecord
    from l2aco.profiles.sets import ProfileSet
    from l2aco.runs.run import Run

NOT_APPROVED = re.compile(
    r"\bnone\b|\bno approved|\bnot approved|pre-?clinical|research|investigat|\btrials?\b|withdrawn|discontinued|"
    r"abandoned|development ended|experimental|\btool\b|\bphase\b|studied|supplement|dietary",
    re.IGNORECASE,
)
"""What stands with an indication that is none for which a drug may be given today."""
SAYS_YES = frozenset({"yes", "true", "1", "approved"})


@dataclass(frozen=True)
class DrugFacts:
    """drug_class: in the words of a profile, else of the data. group: what counts as the same class in one list.
    approved: None where nothing says so or otherwise."""

    drug_class: str | None = None
    group: str | None = None
    targets: tuple[str, ...] = ()
    pathways: tuple[str, ...] = ()
    approved: bool | None = None
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The fields of its profiles, by set."""

    def is_of_class(self, word: str) -> bool:
        """Whether the class, or the panel's name of it, holds `word`."""
        said = " ".join(part for part in (self.drug_class, self.group) if part)
        return _folded(word) in _folded(said)

    def hits(self, target: str) -> bool:
        return _folded(target) in {_folded(one) for one in self.targets}


class Facts:
    """What is said of entities by the profile sets of a run's stores, and by the others of a workspace where these say
    nothing; never by those of no language model."""

    def __init__(self, run: Run, progress: Progress = Silent()) -> None:
        self.run, self.progress = run, progress
        self._drugs: dict[str, DrugFacts] = {}

    @cached_property
    def sets(self) -> list[ProfileSet]:
        from l2aco.profiles.sets import list_profile_sets

        first = [name.partition("--")[0] for name in self.run.spec.store or ()]
        found = [one for one in list_profile_sets(self.run.workspace, progress=self.progress) if not _is_fake(one)]
        return sorted(found, key=lambda one: (one.name not in first, one.name))

    def profiles(self, entity: Entity) -> Iterator[tuple[str, ProfileRecord]]:
        """By set, of those that know the entity."""
        for one in list(self.sets):
            try:
                record = one.find(entity)
            except DamagedError as error:
                self.progress.say(f"left out: {error}")
                self.sets.remove(one)
                continue
            if record is not None:
                yield one.name, record

    def of_drug(self, drug: Entity) -> DrugFacts:
        if drug.id not in self._drugs:
            self._drugs[drug.id] = self._of_drug(drug)
        return self._drugs[drug.id]

    def _of_drug(self, drug: Entity) -> DrugFacts:
        fields = {name: dict(record.fields) for name, record in self.profiles(drug)}
        said = _first(fields, "drug_class") or drug.facts.get("drug_class") or drug.facts.get("class")
        short = _first(fields, "sensitivity_class") or (re.split(r"[(;,]", str(said))[0].strip() if said else None)
        brought = drug.facts.get("targets", ())
        targets = [brought] if isinstance(brought, str) else list(brought)
        return DrugFacts(
            drug_class=str(said) if said else None,
            group=short,
            targets=tuple(dict.fromkeys([*(_first(fields, "primary_targets") or ()), *targets])),
            pathways=tuple(_first(fields, "pathways") or ()),
            approved=_approved(drug, fields),
            fields=fields,
        )

    def grade(self, line: Entity, drug: Entity, told: Mapping[str, Any]) -> tuple[str, float] | None:
        """The source and the grade of the expected effect of the drug alone on the line (-3 to 3, against the average
        line), by the fields that were told of it, else by a profile set; None where no profile of numbers says."""
        group = _first(self.of_drug(drug).fields, "sensitivity_class")
        for name, fields in [(AS_TOLD, told), *((name, record.fields) for name, record in self.profiles(line))]:
            grades = fields.get("sensitivity")
            grade = grades.get(group) if isinstance(grades, dict) else None
            if isinstance(grade, int | float):
                return name, float(grade)
        return None

    def confidence(self, entity: Entity) -> str | None:
        """The lowest that a profile of it states of itself."""
        order = ("low", "medium", "high")
        said = {str(record.fields.get("confidence")) for _, record in self.profiles(entity)}
        return next((one for one in order if one in said), None)

    def sentences(self, line: Entity, drugs: Sequence[Entity], most: int = 2) -> list[str]:
        """Sentences of the line's profile that name a drug, a target, or the class of a drug asked for."""
        words = {word for drug in drugs for word in self._words(drug)}
        found = []
        for name, record in self.profiles(line):
            for key, value in record.fields.items():
                if key != "confidence" and isinstance(value, str):
                    found += [
                        f"{sentence} ({name}, {key.replace('_', ' ')})"
                        for sentence in re.split(r"(?<=[.;])\s+", value)
                        if words & _words(sentence)
                    ]
        return list(dict.fromkeys(found))[:most]

    def _words(self, drug: Entity) -> set[str]:
        known = self.of_drug(drug)
        of_class = {word for word in _words(known.group or "") if len(word) > 3} - COMMON
        return {*of_class, *(target.casefold() for target in known.targets), drug.name.casefold()}


COMMON = frozenset("inhibitor inhibitors agent agents drug poison kinase with selective inert multi stabiliser".split())
"""Words of classes that tell nothing."""


def _approved(drug: Entity, fields: dict[str, dict[str, Any]]) -> bool | None:
    for name in ("approved", "approval", "status", "groups"):
        if (said := drug.facts.get(name)) is not None:
            return bool({part.strip().casefold() for part in re.split(r"[;|,]", str(said))} & SAYS_YES)
    indications = _first(fields, "indications")
    if indications is None:
        return None
    listed = [str(one) for one in indications]  # what opens the list may hold for all of it ("investigational: ...")
    return not NOT_APPROVED.match(listed[0]) and any(not NOT_APPROVED.search(one) for one in listed)


def _first(fields: dict[str, dict[str, Any]], name: str) -> Any:
    return next((said[name] for said in fields.values() if said.get(name)), None)


def _is_fake(one: ProfileSet) -> bool:
    from l2aco.embeddings.find import NO_LLM

    return one.manifest.get("llm") in NO_LLM


def _folded(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.casefold()))
