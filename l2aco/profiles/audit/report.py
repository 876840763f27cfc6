"""The audit of a profile set: every check, as rows of a table and as a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from l2aco.entities import Entity, EntityKind
from l2aco.profiles.audit.duplicates import Group, find_groups
from l2aco.profiles.audit.leakage import Leakage, check_leakage
from l2aco.profiles.audit.panel import ENOUGH, Panel, check_panels
from l2aco.profiles.audit.targets import TargetAgreement, check_targets
from l2aco.profiles.audit.wording import Wording, check_wording
from l2aco.profiles.numbers import has_text
from l2aco.profiles.sets import ProfileSet, open_profile_set

_EXAMPLES = 5


@dataclass(frozen=True)
class Known:
    """What a data set knows, in plain values: its entities, and the gene symbols of its drugs' targets.

    `entities` are those that a profile is wanted for.
    """

    name: str
    entities: Sequence[Entity] = ()
    targets: Mapping[str, set[str]] = field(default_factory=dict)
    symbols: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Audit:
    """What was found. `faults` are the findings that `--strict` does not forgive."""

    set_name: str
    profiles: int
    failures: int
    wanted: Mapping[str, int]
    missing: Mapping[str, Sequence[str]]
    """Names by kind; not of a kind that nobody was asked for."""
    wording: Wording
    alike: Sequence[Group]
    leakage: Leakage
    targets: TargetAgreement | None
    panels: Sequence[Panel] = ()

    def rows(self) -> list[dict[str, Any]]:
        """The table: check, result, judgement (`ok`, `look`, `fault` or empty for plain facts) and details."""
        return [
            *self._coverage_rows(),
            *self._wording_rows(),
            *self._panel_rows(),
            *self._leakage_rows(),
            *self._target_rows(),
        ]

    @property
    def faults(self) -> list[str]:
        return [row["check"] for row in self.rows() if row["verdict"] == "fault"]

    def _coverage_rows(self) -> list[dict[str, Any]]:
        rows = [_row("profiles", self.profiles), _fault("recorded failures", self.failures)]
        for kind, wanted in self.wanted.items():
            if (missing := self.missing.get(kind)) is None:
                rows.append(_row(f"coverage, {kind}", "not asked", "", f"its profiles are of others, none of {wanted}"))
                continue
            verdict = "fault" if missing else "ok"
            covered = f"{wanted - len(missing)} of {wanted}"
            rows.append(_row(f"coverage, {kind}", covered, verdict, _examples(missing)))
        return rows

    def _wording_rows(self) -> list[dict[str, Any]]:
        wording = self.wording
        rows = [
            _fault("refusals", len(wording.refusals), _examples(wording.refusals)),
            _fault("cut off", len(wording.cut_off), _examples(wording.cut_off)),
            _fault("empty text fields", len(wording.empty_fields), _examples(wording.empty_fields)),
            _row("hedged", wording.hedged, "", _examples(f"{word} {n}" for word, n in wording.hedges.most_common())),
            _row("confidence", ", ".join(f"{n} {word}" for word, n in wording.confidence.most_common())),
        ]
        for kind, (low, middle, high) in wording.words.items():
            rows.append(_row(f"words, {kind}", f"{low} to {high}, median {middle}"))
        rows.append(_look("length out of line", len(wording.out_of_line), _examples(wording.out_of_line)))
        repeats = sum(len(group.names) - 1 for group in self.alike)
        groups = _examples(f"{_together(group.names)} {group.similarity:.2f}" for group in self.alike)
        rows.append(_fault("near-duplicates", repeats, groups))
        return rows

    def _panel_rows(self) -> list[dict[str, Any]]:
        rows = []
        for panel in self.panels:
            size = panel.profiles, len(panel.amounts) + len(panel.words)
            missing = [f"{panel.missing:,} of {size[0] * size[1]:,} left out"] if panel.missing else []
            words = [f"{name}: of {number} words" for name, number in panel.words.items()]
            rows += [
                _row(f"numbers, {panel.kind}", f"{size[0]:,} x {size[1]}", "", "; ".join([*missing, *words])),
                _fault(f"out of range, {panel.kind}", len(panel.broken), _examples(panel.broken)),
                _look(f"constant columns, {panel.kind}", len(panel.constant), _examples(panel.constant)),
                self._alike_row(panel),
            ]
        return rows

    @staticmethod
    def _alike_row(panel: Panel) -> dict[str, Any]:
        check, alike = f"same numbers, {panel.kind}", panel.alike
        if alike is None:
            why = f"{len(panel.amounts)} amounts: below {ENOUGH}, two may be the same by chance"
            return _row(check, "not looked at", "", why)
        return _look(check, len(alike), _examples(map(_together, alike)))

    def _leakage_rows(self) -> list[dict[str, Any]]:
        leaks = self.leakage
        words = _examples(f"{name}: ...{place}..." for name, _, place in leaks.combination)
        named = _examples(f"{name}: {word}" for name, word, _ in leaks.data_sets)
        return [
            _fault("words of combinations", len(leaks.combination), words),
            _fault("data sets of combinations", len(leaks.data_sets), named),
            *self._named_rows(),
        ]

    def _named_rows(self) -> list[dict[str, Any]]:
        leaks, names = self.leakage, ("drug profiles that name other drugs", "cell-line profiles that name drugs")
        if not self.wanted.get(EntityKind.drug):
            return [_row(name, "not looked at", "", "--dataset says whose drugs") for name in names]
        others = _examples(f"{name}: {word}" for name, word, _ in leaks.drug_names)
        counts = leaks.drugs_naming_others, leaks.cell_lines_naming_drugs
        return [_row(name, count, "", more) for name, count, more in zip(names, counts, (others, ""), strict=True)]

    def _target_rows(self) -> list[dict[str, Any]]:
        found = self.targets
        if found is None:
            return []
        share = found.drugs_with_a_hit / found.drugs
        return [
            _row("targets: drugs compared", found.drugs, "", f"{found.unmapped} claims name no gene of the graph"),
            _row("targets: precision", round(found.precision, 3), "", f"{found.both} of {found.claimed} claims"),
            _row("targets: precision by chance", round(found.chance, 3)),
            _row("targets: recall", round(found.recall, 3), "", f"{found.both} of {found.known} edges"),
            _row("targets: drugs with a hit", round(share, 3), "", "without: " + _examples(found.disagreeing)),
        ]


def audit_set(profiles: ProfileSet | str, known: Known | None = None) -> Audit:
    """Run every check over a set; with `known`, also coverage, targets and the names of a data set's drugs.

    Reads the set as a stream, once for each check.
    """
    profiles = open_profile_set(profiles)
    known = known or Known("")
    wanted: dict[str, int] = {}
    missing: dict[str, list[str]] = {}
    for entity in known.entities:
        wanted[entity.kind.value] = wanted.get(entity.kind.value, 0) + 1
        if entity.kind in profiles.schemas:
            absent = missing.setdefault(entity.kind.value, [])
            if profiles.find(entity) is None:
                absent.append(entity.name)
    drugs = [item for item in known.entities if item.kind is EntityKind.drug]
    worded = [kind for kind, schema in profiles.schemas.items() if has_text(schema)]
    return Audit(
        set_name=profiles.name,
        profiles=len(profiles),
        failures=sum(1 for _ in profiles.failures()),
        wanted=wanted,
        missing=missing,
        wording=check_wording(profiles.records()),
        alike=find_groups(record for record in profiles.records() if record.kind in worded),
        leakage=check_leakage(
            profiles.records(), [(drug.id, (drug.name, *drug.aliases)) for drug in drugs], profiles.schemas
        ),
        targets=check_targets(profiles.records(), known.targets, known.symbols),
        panels=check_panels(profiles),
    )


def _row(check: str, result: Any, verdict: str = "", details: str = "") -> dict[str, Any]:
    return {"check": check, "result": result, "verdict": verdict, "details": details}


def _fault(check: str, number: int, details: str = "") -> dict[str, Any]:
    return _row(check, number, "fault" if number else "ok", details)


def _look(check: str, number: int, details: str = "") -> dict[str, Any]:
    return _row(check, number, "look" if number else "ok", details)


def _together(names: Sequence[str], most: int = 3) -> str:
    return " / ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _examples(items: Iterable[str]) -> str:
    listed = list(items)
    return "; ".join(listed[:_EXAMPLES]) + (f"; and {len(listed) - _EXAMPLES} more" if len(listed) > _EXAMPLES else "")
