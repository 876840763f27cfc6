"""Writes profiles: the stage `profile`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from l2aco.entities import Entity
from l2aco.errors import L2aCoError, UnknownNameError, UsageError
from l2aco.files import atomic_folder, read_json, sha256_file, write_json
from l2aco.llm.asked import ASKED, Asked
from l2aco.llm.batch_ledger import Ledger, refuse_open
from l2aco.llm.batches import run_batches
from l2aco.llm.by_ray import run_by_ray
from l2aco.llm.catalog import BUNDLED as BUNDLED_ENGINE
from l2aco.llm.catalog import Model
from l2aco.llm.client import OpenAIEngine
from l2aco.llm.engine import Engine, engines
from l2aco.llm.intake import Intake
from l2aco.llm.journal import RECORDS, Journal
from l2aco.llm.options import EngineOptions, RunLimits
from l2aco.llm.report import RunReport
from l2aco.llm.request import Request
from l2aco.llm.runner import Recording, run_requests
from l2aco.llm.spent import Spent, spent_in
from l2aco.llm.vllm import vllm_command
from l2aco.profiles.job import Job, of_kinds, plan_job, refuse_other, set_name
from l2aco.profiles.sets import BUNDLED, MANIFEST, ProfileSet, opened, refuse_foreign
from l2aco.profiles.spec import ProfileSpec
from l2aco.progress import Advance, Progress, default
from l2aco.workspace import Workspace, names_in


@dataclass(frozen=True)
class ProfileReport:
    """What a job came to. `run` counts calls, tokens and dollars; None where nothing had to be asked."""

    set: ProfileSet
    profiles: int
    """Records in the set now."""
    requested: int
    covered: int
    """Requested profiles that the set holds."""
    missing: tuple[str, ...] = ()
    """Names of requested entities that a bundled set lacks, at most 20."""
    run: RunReport = field(default_factory=RunReport)

    @property
    def complete(self) -> bool:
        return self.covered >= self.requested


def generate_profiles(
    spec: ProfileSpec,
    entities: Iterable[Entity],
    workspace: Workspace | str | Path | None = None,
    progress: Progress | None = None,
) -> ProfileReport:
    """Write a profile of every entity into `profiles/<set>/`, asking only for those that are not there.

    `entities` may be a stream of any length. The bundled set `reference` is copied whole. Raises
    UnavailableError with the ways out where the model cannot be reached, LockedError where another process
    writes the same set, InputError where the prompt speaks of none of the entities; failures of single entities are
    counted in the report.
    """
    workspace = Workspace.at(workspace)
    progress = progress or default()
    job = plan_job(spec, workspace)
    entities = job.asked_of(entities, progress)
    length = len(entities) if isinstance(entities, Sized) else None
    if spec.limit is not None:
        entities = islice(entities, spec.limit)
        length = None if length is None else min(length, spec.limit)
    if job.model.engine == BUNDLED_ENGINE:
        return _install_bundled(job.model, entities, workspace, progress)
    name = set_name(job, workspace)
    folder = workspace.child(workspace.profiles, name)
    refuse_foreign(folder)
    if (folder / MANIFEST).exists():
        refuse_other(job, ProfileSet(folder))  # before a server is started for nothing
    if (folder / ASKED).exists() and not spec.batch:
        progress.say(f"Requests of '{name}' are out in files: what this run asks may be answered there, too.")
    engine = make_engine(job, workspace, folder, progress)
    counter = _Counter(list(entities) if spec.batch or spec.engine else entities)  # of batches there are several rounds
    total = None if length is None else length * spec.samples
    with Journal(folder, f"profile set '{name}'") as journal:
        begin_set(job, folder, name, total)
        try:
            with progress.task(f"{job.model.alias} writes profiles", total=total, unit="profiles") as advance:
                run = _run(job, counter, engine, journal, advance)
        except BaseException:
            with contextlib.suppress(L2aCoError, OSError):  # what ended the run is what should be read
                put_in_order(journal, job, name)
            raise
        count = put_in_order(journal, job, name)
    requested = (total or counter.seen * spec.samples) - run.repeated
    return ProfileReport(ProfileSet(folder), count, requested, run.before + run.answered, run=run)


def _run(job: Job, entities: Iterable[Entity], engine: Engine, journal: Journal, advance: Advance) -> RunReport:
    """Call by call, in batches, or by the workers of a cluster."""
    spec, limits = job.spec, _limits(job, journal.folder)
    if not spec.batch:
        refuse_open(journal.folder)
    if not (spec.batch or spec.engine):
        return run_requests(
            job.requests(entities),
            engine,
            journal,
            model=job.model,
            to_record=job.record,
            to_failure=job.failure,
            limits=limits,
            advance=advance,
        )
    if not isinstance(engine, OpenAIEngine):
        raise UsageError(f"{job.model.alias} is at no address", remedy="Name its server with --base-url.")
    recording = Recording(
        _Again(lambda: job.requests(entities)),
        journal,
        to_record=job.record,
        to_failure=job.failure,
        cost=job.model.cost,
        retry_failed=spec.retry_failed,
        advance=advance,
    )
    with Asked(journal.folder) as asked:
        intake = Intake(recording, asked, job.asked, job.again, job.model, whole_bill=True)
        if spec.batch:
            run = run_batches(engine, intake, Ledger(journal.folder), limits=limits, wait=spec.wait)
        else:
            run = run_by_ray(engine, intake, limits=limits, address=spec.ray_address)
        asked.forget(lambda key: key in journal)
    return run


class _Again:
    """An iterable that is made anew for each pass over it."""

    def __init__(self, make: Callable[[], Iterator[Request]]) -> None:
        self.make = make

    def __iter__(self) -> Iterator[Request]:
        return self.make()


def begin_set(job: Job, folder: Path, name: str, requested: int | None = None) -> None:
    """Write the manifest of a new set; of an old one it is checked first that it is of this job, and sound."""
    if (folder / MANIFEST).exists():
        known = ProfileSet(folder)
        refuse_other(job, known)
        known.check()
    _write_manifest(job, folder, name, requested=requested)


def put_in_order(journal: Journal, job: Job, name: str) -> int:
    """Merge the journal into records.jsonl and sign it; returns how many records there are."""
    _write_manifest(job, journal.folder, name, checksums={})  # readers compare none while the file is replaced
    count = journal.compact(lambda record: (record["kind"], record["entity_id"], record["sample"]))
    records = journal.folder / RECORDS
    checksums = {RECORDS: sha256_file(records)} if records.exists() else {}
    _write_manifest(job, journal.folder, name, count, checksums, spent=spent_in(journal.folder, job.model.cost))
    return count


class _Counter:
    """Counts what passes through."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self.entities = entities
        self.seen = 0

    def __iter__(self) -> Any:
        for number, entity in enumerate(self.entities, start=1):
            self.seen = max(self.seen, number)
            yield entity


def make_engine(job: Job, workspace: Workspace, folder: Path, progress: Progress) -> Engine:
    """The engine of a job's model, not yet entered. With base URLs any model is reached through the OpenAI API."""
    spec = job.spec
    name = "openai" if spec.base_urls else job.model.engine
    options = EngineOptions(
        base_urls=spec.base_urls or ((job.model.base_url,) if job.model.base_url else ()),
        concurrency=spec.concurrency,
        timeout_s=spec.call_timeout_s,
        delay_s=spec.delay_s,
        vllm_command=vllm_command(workspace.settings) if name == "vllm" else None,
        vllm_flags=spec.vllm_flags,
        keep_server=spec.keep_server,
        folder=folder,
        say=progress.say,
    )
    return engines.load(name)(job.model, options)


def _limits(job: Job, folder: Path) -> RunLimits:
    """Those of the spec. A budget counts what the set has cost before; what its batches did is in their ledger."""
    spec = job.spec
    usd, tokens = 0.0, 0
    if spec.budget_usd or spec.budget_tokens:
        spent = spent_in(folder, job.model.cost)
        usd, tokens = spent.usd or 0.0, spent.tokens_in + spent.tokens_out
        taken = Ledger(folder).taken
        if spec.batch:
            usd, tokens = max(0.0, usd - taken[0]), max(0, tokens - taken[1])
        else:
            usd, tokens = max(usd, taken[0]), max(tokens, taken[1])
    return RunLimits(
        concurrency=spec.concurrency,
        requests_per_minute=spec.requests_per_minute,
        tokens_per_minute=spec.tokens_per_minute,
        budget_usd=spec.budget_usd,
        budget_tokens=spec.budget_tokens,
        spent_usd=usd,
        spent_tokens=tokens,
        attempts=spec.attempts,
        break_after=spec.break_after,
        backoff_s=spec.backoff_s,
        retry_failed=spec.retry_failed,
    )


def _write_manifest(
    job: Job,
    folder: Path,
    name: str,
    count: int | None = None,
    checksums: dict[str, str] | None = None,
    requested: int | None = None,
    spent: Spent | None = None,
) -> None:
    path = folder / MANIFEST
    old = read_json(path) if path.exists() else {}
    write_json(
        path,
        {
            "format": 1,
            "name": name,
            "llm": job.model.alias,
            "model": job.model.model,
            "identity": job.identity,
            "records": old.get("records") if count is None else count,
            "requested": old.get("requested") if requested is None else requested,
            "spent": old.get("spent") if spent is None else asdict(spent),
            "created_at": old.get("created_at") or datetime.now(UTC).isoformat(timespec="seconds"),
            "spec": job.spec.model_dump(mode="json", exclude_defaults=True),
            "schemas": job.schemas,
            "sha256": old.get("sha256", {}) if checksums is None else checksums,
        },
    )


def _install_bundled(
    model: Model, entities: Iterable[Entity], workspace: Workspace, progress: Progress
) -> ProfileReport:
    """Copy a bundled set into the workspace, and say which of the entities it covers."""
    target = workspace.child(workspace.profiles, model.model)
    source = opened(BUNDLED, model.model)
    if source is None:
        raise UnknownNameError("bundled profile set", model.model, names_in(BUNDLED))
    entities = of_kinds(entities, source.schemas, f"profile set {source.name}", progress)
    refuse_foreign(target)
    try:
        with atomic_folder(target) as partial:
            for file in (MANIFEST, RECORDS):
                shutil.copyfile(source.path / file, partial / file)
    except UsageError:
        if not (target / MANIFEST).exists():  # else somebody was quicker
            raise
    installed = ProfileSet(target)
    requested, covered = 0, 0
    missing: list[str] = []
    for entity in entities:
        requested += 1
        if installed.find(entity) is not None:
            covered += 1
        elif len(missing) < 20:
            other = installed.misnamed(entity)
            missing.append(entity.name + (f" (there {entity.id} is {other})" if other else ""))
    return ProfileReport(installed, len(installed), requested, covered, tuple(missing))
