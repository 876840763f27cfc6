"""From profiles to vectors: embed what is new, reuse what was embedded before, drop what is gone.

A store `<set>--<encoder>` mirrors its profile set. Work is committed every few seconds, so that a run that is
killed loses at most that; a run with nothing to do loads no model.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.embeddings.by_ray import RayEncoder
from l2aco.embeddings.encoders.base import Encoder, EncodingInterrupted, PartlyEncodedError
from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.encoders.table import DEFAULT_ENCODER, encoder_table, make_encoder, resolve_encoder
from l2aco.embeddings.spec import EmbedSpec
from l2aco.embeddings.store.manifest import MANIFEST, SHARDS, Part
from l2aco.embeddings.store.merge import refuse_other_part
from l2aco.embeddings.store.segments import IDENTITY, StoreRecord, records_frame
from l2aco.embeddings.store.store import EmbeddingStore, list_stores
from l2aco.errors import InputError, MismatchError, PartlyDoneError
from l2aco.locks import refuse_link
from l2aco.profiles.numbers import has_text
from l2aco.profiles.record import ProfileRecord
from l2aco.profiles.sets import ProfileSet, list_profile_sets, open_profile_set
from l2aco.progress import Advance, Progress, Silent, default
from l2aco.workspace import Workspace

COMMIT_SECONDS = 5.0
"""Half of what a user may lose, since no two batches take the same time."""
FIRST_TEXTS, FEWEST_TEXTS, MOST_TEXTS = 8, 1, 8192
LONG_JOB_SECONDS = 60.0


NUMBERS = "fields"
"""The encoder of sets that hold numbers alone."""


@dataclass
class EmbedReport:
    """What embedding one profile set came to. `encoded` texts went through the model, `reused` had a vector."""

    set: str
    store: str
    encoder: str
    records: int = 0
    unchanged: int = 0
    added: int = 0
    replaced: int = 0
    deleted: int = 0
    encoded: int = 0
    reused: int = 0
    long: int = 0
    seconds: float = 0.0
    cost_usd: float | None = None


def embed_profiles(
    spec: EmbedSpec, workspace: Workspace | str | Path | None = None, progress: Progress | None = None
) -> list[EmbedReport]:
    """Bring the store of every chosen profile set up to date; one report a set.

    Raises UnavailableError where the encoder can be had nowhere, MismatchError where a store of that name holds
    vectors of another encoder, InputError for an empty profile. Nothing is half-written. Raises PartlyDoneError once
    all sets are through, where an encoder gave vectors for some texts only.
    """
    workspace = Workspace.at(workspace)
    progress = progress or default()
    encoder_spec = resolve_encoder(spec.encoder or workspace.settings.encoder or DEFAULT_ENCODER, workspace.settings)
    encoder = make_encoder(
        encoder_spec,
        device=spec.device or workspace.settings.device,
        precision=spec.precision,
        budget_usd=spec.budget_usd,
    )
    if spec.executor:
        encoder = RayEncoder(encoder, spec.ray_address)
    numbers = make_encoder(resolve_encoder(NUMBERS, workspace.settings))
    reports: list[EmbedReport] = []
    lost: list[str] = []
    failure: PartlyEncodedError | None = None
    for item in _chosen_sets(spec, workspace, progress):
        chosen = encoder if spec.encoder or _holds_text(item) else numbers
        embedding = _Embedding(spec, item, chosen, workspace, progress)
        reports.append(embedding.run())
        if embedding.failure is not None:
            failure = embedding.failure
            lost.append(f"{embedding.missing:,} profiles of {item.name}")
    if failure is not None:
        message = f"{', '.join(lost)} got no vector: {failure.message}"
        raise PartlyDoneError(message, where=failure.where, remedy=failure.remedy)
    return reports


def store_of_set(name: str, workspace: Workspace, progress: Progress = Silent(), *, encoder: str | None = None) -> str:
    """The store of a profile set that was written last by an encoder that is no control, or that of `encoder`. A set of
    numbers alone is embedded where it has none, since that takes a second and no model; raises InputError where another
    set has none."""
    made = [store for store in list_stores(workspace, Silent()) if len(store) and store.name.startswith(f"{name}--")]
    if encoder is None and (own := [store for store in made if not store.encoder.control]):
        return max(own, key=lambda store: (store.manifest.created_at, store.name)).name
    if f"{name}--{encoder}" in [store.name for store in made]:
        return f"{name}--{encoder}"
    if _holds_text(open_profile_set(name, workspace)):
        how = f" --encoder {encoder}" if encoder else ""
        raise InputError(f"the profile set {name} is not embedded", remedy=f"Make its store: l2aco embed {name}{how}")
    progress.say(f"embedding the numbers of {name}")
    return embed_profiles(EmbedSpec(sets=(name,), encoder=encoder), workspace)[0].store


def _holds_text(profiles: ProfileSet) -> bool:
    """Whether there is something for a text encoder to read; a set of numbers alone goes to `fields`."""
    schemas = profiles.schemas.values()
    return not schemas or any(has_text(schema) for schema in schemas)


def _chosen_sets(spec: EmbedSpec, workspace: Workspace, progress: Progress) -> list[ProfileSet]:
    if spec.sets:
        return [open_profile_set(name, workspace) for name in spec.sets]
    if own := list_profile_sets(workspace, bundled=False):
        return own
    progress.say("This workspace has no profile set: embedding the bundled set 'reference'.")
    return [open_profile_set("reference", workspace)]


def store_record(record: ProfileRecord, set_name: str) -> StoreRecord:
    """The part of a profile record that a store keeps."""
    prompt = f"{record.prompt_name}@{record.prompt_version}" if record.prompt_name else None
    return StoreRecord(
        kind=str(record.kind),
        id=record.entity_id,
        name=record.entity_name,
        text=record.text,
        aliases=tuple(record.aliases),
        set=set_name,
        key=record.key,
        llm=record.llm,
        prompt=prompt,
        sample=record.sample,
        fields=record.fields,
    )


@dataclass
class _Plan:
    """Which records need a row, how much text that is, and which are gone from the set; all by identity.

    Places would not do: set and store may be added to, and compacted, by others before the plan is carried out.
    """

    todo: set[tuple[Any, ...]] = field(default_factory=set)
    characters: int = 0
    gone: list[tuple[Any, ...]] = field(default_factory=list)


class _Embedding:
    """One profile set on its way into its store."""

    def __init__(
        self, spec: EmbedSpec, profiles: ProfileSet, encoder: Encoder, workspace: Workspace, progress: Progress
    ) -> None:
        self.spec = spec
        self.profiles = profiles
        self.encoder = encoder.for_set(profiles.name, profiles.schemas)
        self.workspace = workspace
        self.progress = progress
        name = f"{profiles.name}--{encoder.spec.name}"
        self.path = workspace.child(workspace.embeddings, name if self.part is None else name + SHARDS)
        refuse_link(self.path)
        if self.part is not None:
            self.path /= self.part.folder
            name = f"{self.path.parent.name}/{self.path.name}"
            refuse_link(self.path)
        self.store = self._open()
        self.report = EmbedReport(profiles.name, name, encoder.spec.name)
        self.missing = 0
        """How many profiles got no vector; `failure` is of the last batch that had such."""
        self.failure: PartlyEncodedError | None = None

    def _open(self) -> EmbeddingStore | None:
        if not (self.path / MANIFEST).exists() and not (self.path / "generations").exists():
            return None
        store = EmbeddingStore.open(self.path)
        check_encoder(store, self.encoder.spec)
        if self.part is not None:
            refuse_other_part(store, self.part)
        return store

    @property
    def part(self) -> Part | None:
        """Of the set, where it is not embedded whole."""
        shard = self.spec.shard
        return None if shard is None else Part(set=self.profiles.name, number=shard.number, of=shard.of)

    def run(self) -> EmbedReport:
        started = time.perf_counter()
        plan = self._plan()
        if plan.todo:
            self._embed(plan)
        elif self.spec.shard and self.store is None:
            self._create()  # a part of nothing is a part
        if self.store is not None:
            if plan.gone:
                self.report.deleted = self.store.delete_records(plan.gone)
            self.store.optimise("flat" if self.spec.shard else self.spec.index, self.progress)
            self.report.long = int(self.store.manifest.counts.get("long", 0))
        self.report.seconds = time.perf_counter() - started
        return self.report

    def _records(self) -> Iterator[StoreRecord]:
        records: Iterator[ProfileRecord] = self.profiles.records()
        if self.spec.shard:
            own = self.spec.shard.of_rows(len(self.profiles))
            records = islice(records, own.start, own.stop)
        return (store_record(record, self.profiles.name) for record in records)

    def _create(self) -> EmbeddingStore:
        self.store = EmbeddingStore.create(
            self.path, self.encoder.spec, index=self.spec.index or "auto", part=self.part
        )
        return self.store

    def _plan(self) -> _Plan:
        """Compare the set with the store, reading the set as a stream."""
        plan = _Plan()
        known: dict[tuple[Any, ...], str] = {}
        if self.store is not None:
            frame = self.store.records().select("hash", *IDENTITY)
            known = {row[1:]: row[0] for row in frame.iter_rows()}
        for record in self._records():
            self.report.records += 1
            if known.pop(record.identity, None) == record.hash:
                self.report.unchanged += 1
                continue
            records_frame([record])  # refuses an empty profile before anything is encoded
            plan.todo.add(record.identity)
            plan.characters += len(record.text)
        plan.gone = list(known)
        return plan

    def _embed(self, plan: _Plan) -> None:
        wanted = (record for record in self._records() if record.identity in plan.todo)
        left = set(plan.todo)
        siblings = [
            store
            for store in list_stores(self.workspace, self.progress)
            if store.encoder.fingerprint == self.encoder.spec.fingerprint
        ]
        size, told = FIRST_TEXTS, False
        label = f"{self.profiles.name} with {self.encoder.spec.name}"
        with (
            self.progress.task(label, total=len(plan.todo), unit="profiles") as advance,
            self._saying_what_is_kept(plan),
        ):
            while batch := list(islice(wanted, size)):
                started = time.perf_counter()
                encoded = self._write(batch, siblings, advance)
                left.difference_update(record.identity for record in batch)
                if not encoded:
                    size = MOST_TEXTS
                    continue
                seconds = time.perf_counter() - started
                if not told:
                    told = True
                    self._say_how_long(seconds, sum(len(item.text) for item in batch), plan)
                size = int(min(max(COMMIT_SECONDS * encoded / seconds, FEWEST_TEXTS), MOST_TEXTS))
        if left:
            raise PartlyDoneError(
                f"{len(left):,} of {len(plan.todo):,} profiles were not there any more: the set was changed meanwhile",
                where=self.profiles.path,
                remedy="What is embedded is kept. Run the same command again.",
            )

    @contextmanager
    def _saying_what_is_kept(self, plan: _Plan) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            kept = self.report.added + self.report.replaced
            self.progress.say(f"{kept:,} of {len(plan.todo):,} profiles are embedded and kept.")
            raise

    def _write(self, batch: list[StoreRecord], siblings: list[EmbeddingStore], advance: Advance) -> int:
        """Vectors for a batch, reused or encoded, and one commit; returns how many texts were encoded."""
        vectors = np.zeros((len(batch), self.encoder.spec.dimension), dtype=np.float32)
        ready, long = self._reuse(batch, vectors, siblings)
        todo = np.flatnonzero(~ready)
        advance(int(ready.sum()))
        interrupted: EncodingInterrupted | None = None
        if len(todo):
            try:
                vectors[todo] = self.encoder.encode_records([batch[n] for n in todo], progress=_Within(self, advance))
            except PartlyEncodedError as error:  # the others go on without these texts
                self.failure, vectors[todo] = error, error.vectors
            except EncodingInterrupted as error:
                interrupted, vectors[todo] = error, error.vectors
            long[todo[list(self.encoder.stats.long)]] = True
            if self.encoder.stats.cost_usd is not None:
                self.report.cost_usd = (self.report.cost_usd or 0.0) + self.encoder.stats.cost_usd
        missing = len(batch) - self._commit(batch, vectors, long)
        if interrupted is not None:
            raise interrupted
        self.report.encoded += len(todo) - missing
        self.report.reused += int(ready.sum())
        self.missing += missing
        return len(todo)

    def _commit(self, batch: list[StoreRecord], vectors: np.ndarray, long: np.ndarray) -> int:
        """Put a batch into the store, less those that got no vector: their rows are NaN. Returns how many got one."""
        got = np.flatnonzero(~np.isnan(vectors[:, 0]))
        store = self.store or self._create()
        marked = [batch[place].marked_long() if long[place] else batch[place] for place in got]
        done = store.upsert(marked, vectors[got], precision=self.encoder.used_precision)
        self.report.added += done.added
        self.report.replaced += done.replaced
        return len(got)

    def _reuse(
        self, batch: list[StoreRecord], vectors: np.ndarray, siblings: list[EmbeddingStore]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Copy the vectors of texts that this encoder has met before; bool (n,): found, longer than the window."""
        import polars as pl

        ready, long = np.zeros(len(batch), dtype=bool), np.zeros(len(batch), dtype=bool)
        if self.encoder.spec.columns:  # numbers are of the fields, whatever the text says
            return ready, long
        wanted = pl.DataFrame({"text_sha256": [record.text_sha256 for record in batch]}).with_row_index("place")
        own = [] if self.store is None else [self.store]
        for store in own + [item for item in siblings if item.path != self.path]:
            known = store.records().select("row", "text_sha256", "long").unique("text_sha256", keep="first")
            found = wanted.filter(~pl.Series(ready)).join(known, on="text_sha256", how="inner")
            places = found["place"].to_numpy()
            vectors[places] = store.rows(found["row"].to_numpy())
            long[places] = found["long"].to_numpy()
            ready[places] = True
        return ready, long

    def _say_how_long(self, seconds: float, characters: int, plan: _Plan) -> None:
        """Once, after the first batch: what the rest will take, and which encoder of the table would be sooner."""
        total = seconds * plan.characters / max(characters, 1)
        spec = self.encoder.spec
        if total < LONG_JOB_SECONDS:
            return
        line = f"{len(plan.todo):,} profiles will take about {_duration(total)} with {spec.name}"
        faster = [
            other
            for other in encoder_table()
            if other.megaparameters and spec.megaparameters and other.megaparameters < spec.megaparameters / 2
        ]
        if faster and spec.megaparameters:
            other = min(faster, key=lambda item: item.megaparameters or 0)
            sooner = total * (other.megaparameters or 0) / spec.megaparameters
            line += f"; {other.name} would take about {_duration(sooner)}"
        self.progress.say(line + ". What is done is kept every few seconds.")


class _Within:
    """The progress that an encoder sees: its texts count towards the set's bar."""

    def __init__(self, embedding: _Embedding, advance: Advance) -> None:
        self._embedding, self._advance = embedding, advance

    @contextmanager
    def task(self, label: str, total: int | None = None, unit: str = "") -> Iterator[Advance]:
        yield self._advance

    def say(self, text: str) -> None:
        self._embedding.progress.say(text)


def check_encoder(store: EmbeddingStore, spec: EncoderSpec) -> None:
    """Raise MismatchError unless the store holds vectors of this very encoder."""
    if store.encoder.fingerprint == spec.fingerprint:
        return
    ours, theirs = store.encoder.model_dump(), spec.model_dump()
    names = ("model", "revision", "dimension", "window", "pooling", "passage_instruction", "long", "base_url")
    differ = ", ".join(
        f"{name} {ours[name]!r} there, {theirs[name]!r} here" for name in names if ours[name] != theirs[name]
    )
    raise MismatchError(
        f"the store holds vectors of another encoder ({differ})",
        where=store.path,
        remedy="Vectors of two encoders cannot be compared: move the store away, or give the encoder another name.",
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
