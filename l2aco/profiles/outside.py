"""Requests out, answers in: any engine may do the work, and what it writes goes through our checks into the set.

DIR/requests.json                    which set, how many requests
DIR/requests-00001-of-00008.jsonl    one request a line, as OpenAI's Batch API and vLLM's run-batch read them
DIR/anything-else.jsonl              answers, as these write them
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from l2aco.entities import Entity
from l2aco.errors import InputError, UsageError
from l2aco.files import atomic_folder, read_json, write_json
from l2aco.llm.asked import Asked
from l2aco.llm.batch_ledger import refuse_open
from l2aco.llm.catalog import BUNDLED as BUNDLED_ENGINE
from l2aco.llm.intake import Intake, Outcome
from l2aco.llm.journal import Journal
from l2aco.llm.keys import make_mask
from l2aco.llm.lines import read_answer, request_line
from l2aco.llm.report import RunReport
from l2aco.llm.request import UNANSWERED, Request
from l2aco.llm.runner import Recording
from l2aco.llm.ways import Way
from l2aco.profiles.generate import begin_set, put_in_order
from l2aco.profiles.job import Job, plan_job, refuse_other
from l2aco.profiles.sets import MANIFEST, ProfileSet, open_profile_set, refuse_foreign
from l2aco.profiles.spec import ProfileSpec
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace

NOTE = "requests.json"
_OURS = "requests-*.jsonl"
MOST_LINES = 50_000
"""Of a file that OpenAI's Batch API takes."""


@dataclass(frozen=True)
class RequestsReport:
    """What was written: `written` requests, of them `repairs` that ask for a broken answer again, and `waiting` that
    had been written before and are not answered yet."""

    set: str
    folder: Path
    shards: int
    requested: int
    finished: int
    written: int
    repairs: int
    waiting: int
    longest: int
    """Lines of the longest shard."""


@dataclass
class AnswersReport:
    """What became of the lines of the answer files. `refused` are the custom ids that nobody asked for, `broken` the
    places (file:line) of what is no answer; `left` requests are still not answered."""

    set: ProfileSet
    profiles: int
    counts: Counter[Outcome]
    run: RunReport
    files: int
    left: int
    refused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def write_requests(
    spec: ProfileSpec,
    entities: Iterable[Entity],
    workspace: Workspace,
    folder: Path,
    *,
    shards: int = 1,
    progress: Progress | None = None,
) -> RequestsReport:
    """Write what the set `spec.set_name` lacks into `folder`, which must be new, as `shards` files of equal length.

    Raises UsageError where the folder is there, or where a model or a way of asking takes more than files.
    """
    progress = progress or Silent()
    job = outside_job(spec, workspace)
    entities = job.asked_of(entities, progress)
    name = spec.set_name or job.model.alias
    home = workspace.child(workspace.profiles, name)
    refuse_foreign(home)
    if folder.exists():
        raise UsageError("is there already", where=folder, remedy="Name a new folder for the requests.")
    with Journal(home, f"profile set '{name}'") as journal, Asked(home) as asked:
        refuse_open(home)
        begin_set(job, home, name)
        recording = Recording(
            job.requests(entities),
            journal,
            to_record=job.record,
            to_failure=job.failure,
            cost=job.model.cost,
            retry_failed=spec.retry_failed,
        )
        intake = Intake(recording, asked, job.asked, job.again, job.model)
        files = _Shards(shards, intake, Way.of_files(job.model))
        with (
            atomic_folder(folder) as partial,
            progress.task(f"Writing requests of {name}", unit="requests") as advance,
        ):
            with files.opened(partial):
                asked.add(files.write(recording.missing(), advance))
            note = {"format": 1, "set": name, "model": job.model.model, "requests": files.written, "shards": shards}
            write_json(partial / NOTE, note)
    finished = recording.report.before
    requested = files.written + finished + recording.report.failed_before
    return RequestsReport(
        name, folder, shards, requested, finished, files.written, files.repairs, files.waiting, files.longest
    )


class _Shards:
    """Deals requests out over files."""

    def __init__(self, shards: int, intake: Intake, way: Way) -> None:
        self.shards = shards
        self.intake = intake
        self.way = way
        self.written = self.repairs = self.waiting = 0
        self._files: list[Any] = []

    @property
    def longest(self) -> int:
        return -(-self.written // self.shards)

    @contextlib.contextmanager
    def opened(self, folder: Path) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            names = (f"requests-{number:05d}-of-{self.shards:05d}.jsonl" for number in range(1, self.shards + 1))
            self._files = [stack.enter_context((folder / name).open("wb")) for name in names]
            yield

    def write(self, requests: Iterable[Request], advance: Any) -> Iterator[dict[str, Any]]:
        """Write each request into the next shard; yields the lines of asked.jsonl."""
        for request in requests:
            turn, messages = self.intake.turn(request)
            body = self.way.body(self.intake.model, messages, request.schema, request.sampling)
            self._files[self.written % self.shards].write(request_line(request.key, turn, body))
            self.written += 1
            self.repairs += turn > 1
            self.waiting += turn == 1 and request.key in self.intake.asked
            advance(1)
            yield self.intake.to_asked(request, turn)


def take_answers(
    folder: Path, workspace: Workspace, *, set_name: str | None = None, progress: Progress | None = None
) -> AnswersReport:
    """Take the answers in the .jsonl files of `folder` into the set whose requests lie there.

    Requests themselves are passed over. Each answer is checked as that of a call; one that does not fit is asked for
    again by the next `write_requests`. Raises InputError where there is no answer file, UsageError where the set was
    made in another way meanwhile.
    """
    progress = progress or Silent()
    profiles = open_profile_set(set_name or _set_of(folder), workspace)
    if profiles.is_bundled:
        raise UsageError(f"profile set '{profiles.name}' is not one of this workspace")
    files = sorted(path for path in folder.rglob("*.jsonl") if path.is_file() and not path.match(_OURS))
    if not files:
        raise InputError("holds no file of answers (.jsonl)", where=folder)
    job = outside_job(_spec_of(profiles), workspace)
    mask = make_mask()
    refused: list[str] = []
    broken: list[str] = []
    with Journal(profiles.path, f"profile set '{profiles.name}'") as journal, Asked(profiles.path) as asked:
        refuse_other(job, ProfileSet(profiles.path))
        recording = Recording((), journal, to_record=job.record, to_failure=job.failure, cost=job.model.cost)
        intake = Intake(recording, asked, job.asked, job.again, job.model)
        with progress.task(f"Taking answers into {profiles.name}", unit="answers") as advance:
            for place, line in _lines(files):
                try:
                    answer = read_answer(line, mask)
                except ValueError:
                    broken.append(place)
                    continue
                if intake.take(answer) is Outcome.foreign:
                    refused.append(mask(answer.custom_id[:200]))
                advance(1, recording.report.note())
        journal.sync()
        asked.forget(lambda key: key in journal)
        count = put_in_order(journal, job, profiles.name)
        left = asked.count(lambda key: journal.failed(key) in (None, *UNANSWERED))
    return AnswersReport(
        ProfileSet(profiles.path), count, intake.counts, recording.report, len(files), left, refused, broken
    )


def outside_job(spec: ProfileSpec, workspace: Workspace) -> Job:
    """The job of a spec whose answers come in files; raises UsageError where they cannot."""
    job = plan_job(spec, workspace)
    if job.model.engine == BUNDLED_ENGINE:
        raise UsageError(f"the profiles of {job.model.alias} are ready made: nobody is asked for them")
    if spec.pieces:
        raise UsageError("a profile in pieces takes several calls, and files hold one", remedy="Leave out --pieces.")
    return job


def existing_spec(name: str, workspace: Workspace) -> dict[str, Any]:
    """The spec of the workspace's own set called `name`, as plain values; empty where there is none."""
    folder = workspace.child(workspace.profiles, name)
    return dict(ProfileSet(folder).manifest.get("spec") or {}) if (folder / MANIFEST).exists() else {}


def _spec_of(profiles: ProfileSet) -> ProfileSpec:
    try:
        return ProfileSpec.model_validate(profiles.manifest.get("spec") or {})
    except ValueError:
        raise UsageError(f"profile set '{profiles.name}' does not say how it was made: it was imported") from None


def _set_of(folder: Path) -> str:
    note = folder / NOTE
    if not note.exists():
        raise UsageError("does not say which set its answers are for", where=folder, remedy="Name it with --set.")
    value = read_json(note)
    name = value.get("set") if isinstance(value, dict) else None
    if not isinstance(name, str):
        raise InputError("does not say which set its answers are for", where=note, remedy="Name it with --set.")
    return name


def _lines(files: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """(file:line, text) of every line that is not empty."""
    for path in files:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield f"{path}:{number}", line
