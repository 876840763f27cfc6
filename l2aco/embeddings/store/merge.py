"""Several stores of one encoder as one: their segments are linked, nothing is encoded and no vector is read but to be
compared with its checksum.

    embeddings/<store>.shards/00003-of-00016    what `l2aco embed --shard 3/16` makes: a store
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from l2aco.embeddings.store.manifest import REPAIR, check_file
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.errors import DamagedError, InputError, MismatchError, UnknownNameError
from l2aco.files import atomic_folder
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace, names_in

SHARDS = ".shards"
_SHARD = re.compile(r"([0-9]{5})-of-([0-9]{5})")


def merge_stores(sources: Sequence[EmbeddingStore], target: Path, progress: Progress | None = None) -> EmbeddingStore:
    """Make the store `target` of all records of `sources`, in their order; of one that several hold the last counts.

    Raises MismatchError where they are of different encoders, DamagedError where a file of theirs is not as it was
    written, UsageError where the target exists; nothing is half-merged.
    """
    progress = progress or Silent()
    _refuse_others(sources)
    with atomic_folder(target) as folder:
        store = EmbeddingStore.create(folder, sources[0].encoder)
        with progress.task("merging", total=sum(len(source) for source in sources), unit="records") as advance:
            for source in sources:
                _refuse_damaged(source)
                store.adopt(source)
                advance(len(source))
        store.optimise(None, progress)
        (folder / ".writer.lock").unlink(missing_ok=True)
    return EmbeddingStore.open(target)


def shards_of(name: str, workspace: Workspace) -> list[EmbeddingStore]:
    """The parts that `embed --shard` made for the store `name`, in order.

    Raises UnknownNameError where there are none, InputError where some are missing or of other divisions.
    """
    folder = workspace.child(workspace.embeddings, f"{name}{SHARDS}")
    found = {item: match for item in names_in(folder) if (match := _SHARD.fullmatch(item))}
    if not found:
        known = [item.name.removesuffix(SHARDS) for item in workspace.embeddings.glob(f"*{SHARDS}")]
        raise UnknownNameError("store in shards", name, known, remedy="`l2aco embed --shard 1/16` makes the first.")
    counts = {int(match[2]) for match in found.values()}
    if len(counts) > 1:
        said = " and ".join(str(count) for count in sorted(counts))
        raise InputError(f"holds shards of divisions into {said}", where=folder, remedy="Remove those that are old.")
    count = counts.pop()
    if missing := sorted(set(range(1, count + 1)) - {int(match[1]) for match in found.values()}):
        listed = ", ".join(map(str, missing[:10])) + (" ..." if len(missing) > 10 else "")
        raise InputError(
            f"lacks {len(missing):,} of {count:,} shards: {listed}",
            where=folder,
            remedy=f"Make them: l2aco embed --shard {missing[0]}/{count}",
        )
    return [EmbeddingStore.open(folder / item) for item in sorted(found)]


def _refuse_others(sources: Sequence[EmbeddingStore]) -> None:
    first = sources[0]
    for source in sources[1:]:
        if source.encoder.fingerprint != first.encoder.fingerprint:
            raise MismatchError(
                f"holds vectors of {source.encoder.name} ({source.encoder.model}), and {first.name} those of "
                f"{first.encoder.name} ({first.encoder.model})",
                where=source.path,
                remedy="Merge stores of one encoder: vectors of two cannot be compared.",
            )


def _refuse_damaged(source: EmbeddingStore) -> None:
    for info in source.manifest.segments:
        for file in (info.vectors, info.records):
            if message := check_file(source.path, file, content=True):
                raise DamagedError(message, where=source.path / file.path, remedy=REPAIR.format(name=source.path.name))
