"""Several stores of one encoder as one: their segments are linked, nothing is encoded and no vector is read but to be
compared with its checksum.

    embeddings/<store>.shards/00003-of-00016    what `l2aco embed --shard 3/16` makes: a store
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from l2aco.embeddings.store.manifest import PART_FOLDER, SHARDS, Part, check_file, repair_words
from l2aco.embeddings.store.store import EmbeddingStore
from l2aco.errors import DamagedError, InputError, MismatchError, UnknownNameError
from l2aco.files import atomic_folder
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace, names_in


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
    return EmbeddingStore.open(target)


def shards_of(name: str, workspace: Workspace) -> list[EmbeddingStore]:
    """The parts that `embed --shard` made for the store `name`, in order.

    Raises UnknownNameError where there are none, InputError where some are missing or of other divisions, MismatchError
    where one is not the part that its folder is called.
    """
    folder = workspace.child(workspace.embeddings, f"{name}{SHARDS}")
    found = {item: match for item in names_in(folder) if (match := PART_FOLDER.fullmatch(item))}
    if not found:
        known = [item.name.removesuffix(SHARDS) for item in workspace.embeddings.glob(f"*{SHARDS}")]
        raise UnknownNameError("store in shards", name, known, remedy="`l2aco embed --shard 1/16` makes the first.")
    counts = {int(match[2]) for match in found.values()}
    if len(counts) > 1:
        said = " and ".join(str(count) for count in sorted(counts))
        raise InputError(f"holds shards of divisions into {said}", where=folder, remedy="Remove those that are old.")
    count = counts.pop()
    numbers = {int(match[1]): item for item, match in found.items()}
    if over := [item for number, item in numbers.items() if not 1 <= number <= count]:
        raise InputError(f"there is no such part of {count:,}", where=folder / over[0], remedy="Remove the folder.")
    if missing := sorted(set(range(1, count + 1)) - set(numbers)):
        listed = ", ".join(map(str, missing[:10])) + (" ..." if len(missing) > 10 else "")
        raise InputError(
            f"lacks {len(missing):,} of {count:,} shards: {listed}",
            where=folder,
            remedy=f"Make them: l2aco embed --shard {missing[0]}/{count}",
        )
    profiles = name.rpartition("--")[0]
    stores = []
    for number in sorted(numbers):
        stores.append(EmbeddingStore.open(folder / numbers[number]))
        refuse_other_part(stores[-1], Part(set=profiles, number=number, of=count))
    return stores


def refuse_other_part(store: EmbeddingStore, part: Part) -> None:
    """Raise MismatchError unless the store was made of this part, whatever its folder is called."""
    held = store.manifest.part
    if held != part:
        said = "does not say which part of a set it holds" if held is None else f"holds {held}"
        raise MismatchError(f"{said}, and is called {part}", where=store.path, remedy=repair_words(store.path))


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
                raise DamagedError(message, where=source.path / file.path, remedy=repair_words(source.path))
