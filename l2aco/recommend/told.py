"""What is told of a cell line or drug that no profile set holds: a text, numbers, or what a language model writes now.

What is told becomes a vector, as the run's stores hold those of others, and nothing else: no word of it is obeyed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2aco.data.features.response import RESPONSE
from l2aco.entities import Entity
from l2aco.errors import InputError, L2aCoError, UsageError
from l2aco.files import parse_json
from l2aco.progress import Progress, Silent

if TYPE_CHECKING:
    from l2aco.embeddings.store.store import EmbeddingStore
    from l2aco.profiles.record import ProfileRecord
    from l2aco.profiles.sets import ProfileSet
    from l2aco.workspace import Workspace

MOST_CHARACTERS = 200_000
AS_TOLD = "as told"
"""The source of what was told."""


@dataclass(frozen=True)
class Told:
    """`text` in anybody's words; `fields` of a profile of numbers, such as the panel's; `llm` writes what lacks.
    response: what single drugs did to the line, measured, by the drugs' names."""

    text: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    llm: str | None = None
    response: Mapping[str, float] = field(default_factory=dict)

    @property
    def of_one(self) -> bool:
        """Whether something is told that can be true of one line alone."""
        return bool(self.text or self.fields or self.response)

    def __bool__(self) -> bool:
        return self.of_one or bool(self.llm)


def read_told(text: str | None, files: Sequence[Path], llm: str | None) -> Told:
    """A text or the name of a model from the command line, and files: JSON holds numbers, any other file text.

    Raises UsageError for a text that says nothing or is too long, and for two texts; InputError for a file that is not
    what it should be.
    """
    texts, fields = [] if text is None else [text], dict[str, Any]()
    for path in files:
        if not path.is_file() or path.stat().st_size > 4 * MOST_CHARACTERS:
            raise InputError(f"is no file, or one of more than {4 * MOST_CHARACTERS:,} bytes", where=path)
        try:
            content = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot be read ({error})", where=path) from None
        if path.suffix.lower() != ".json":
            texts.append(content)
            continue
        try:
            found = parse_json(content)
        except ValueError as error:
            raise InputError(f"is no JSON ({error})", where=path) from None
        if not isinstance(found, dict):
            raise InputError("holds no object of names and numbers", where=path)
        if all(value is None for value in found.values()):
            raise InputError("says nothing", where=path, remedy="Give the numbers that are known.")
        if twice := sorted({*found} & {*fields}):
            raise InputError(f"'{twice[0]}' is told twice", where=path, remedy="Keep it in one of the files.")
        fields |= found
    if llm == "reference":
        raise UsageError(
            "the reference profiles are looked up without being asked for",
            remedy="Name a model that writes, or tell what is known: --describe, --profile.",
        )
    if len(texts) > 1:
        raise UsageError("there are two descriptions", remedy="Give --describe or one --profile with text.")
    for one in texts:
        if not one.strip():
            raise UsageError("the description is empty", remedy="Say what is known of the cell line.")
        if len(one) > MOST_CHARACTERS:
            raise UsageError(f"the description has {len(one):,} characters; at most {MOST_CHARACTERS:,} are read")
    response = _response(fields.pop(RESPONSE), files) if RESPONSE in fields else {}
    return Told(texts[0] if texts else None, fields, llm, response)


def _response(said: Any, files: Sequence[Path]) -> dict[str, float]:
    """Numbers by the names of drugs; those that are not known are left out."""
    where = ", ".join(map(str, files))
    known = {name: value for name, value in said.items() if value is not None} if isinstance(said, dict) else {}
    for name, value in known.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"the {RESPONSE} to '{name}' is no number", where=where)
    if not known:
        raise InputError(f"'{RESPONSE}' holds no numbers of drugs", where=where, remedy='Write {"DRUG": NUMBER, ...}.')
    return known


def vectors_told(
    entity: Entity, told: Told, stores: Sequence[EmbeddingStore], workspace: Workspace, progress: Progress = Silent()
) -> dict[str, np.ndarray[Any, Any]]:
    """By store: float (D,) of `entity`, as `Predictor.admit` takes it. A store of numbers is told the fields that its
    profiles have; one for which nothing is told is left out.

    Raises InputError for a name that the profiles of no store know, for a number that they do not, and where what is
    told is of no use to any of them.
    """
    from l2aco.embeddings.find import vectors_of

    found, kind = {}, entity.kind.value
    numeric = [_set_of(store, workspace) for store in stores if store.encoder.columns and told.fields]
    if numeric:
        _refuse_unknown(told.fields, numeric, kind)
    for store in stores:
        if store.encoder.columns:
            own = _names(_set_of(store, workspace), kind) if told.fields else ()
            fields = {name: value for name, value in told.fields.items() if name in own}
            fields = fields or _written(entity, told, store, workspace, progress, lambda record: record.fields)
            if fields and np.isfinite(vector := _of_numbers(entity, fields, store, workspace)).any():
                found[store.name] = vector
        else:
            text = told.text or _written(entity, told, store, workspace, progress, lambda record: record.text)
            if text:
                found[store.name] = _of_text(text, store, workspace)
    for store in stores:
        given = told.fields if store.encoder.columns else told.text
        if given and store.name in found and vectors_of(store, entity.kind, [entity])[1].any():
            progress.say(f"What is told of {entity.name} takes the place of all that {store.name} holds of it.")
    read = {"numbers" if store.encoder.columns else "text" for store in stores}
    for kind, is_told in (("text", bool(told.text)), ("numbers", bool(told.fields))):
        if is_told and kind not in read:
            raise InputError(
                f"the run reads profiles of {' and '.join(sorted(read)) or 'no kind'}, not {kind} "
                f"({', '.join(store.name for store in stores) or 'no store'})",
                remedy="Give a --profile of that kind alone, or --llm, which writes what is needed.",
            )
    return found


def _of_text(text: str, store: EmbeddingStore, workspace: Workspace) -> np.ndarray[Any, Any]:
    from l2aco.embeddings.encoders.table import make_encoder
    from l2aco.embeddings.encoders.trust import trusted_encoder

    encoder = make_encoder(trusted_encoder(store.encoder, workspace.settings), device=workspace.settings.device)
    return np.asarray(encoder.encode([text])[0])


def _of_numbers(
    entity: Entity, fields: Mapping[str, Any], store: EmbeddingStore, workspace: Workspace
) -> np.ndarray[Any, Any]:
    from l2aco.embeddings.encoders.fields import numbers_in
    from l2aco.embeddings.encoders.table import make_encoder, resolve_encoder
    from l2aco.embeddings.store.segments import StoreRecord

    profiles = _set_of(store, workspace)
    _refuse_unknown(fields, [profiles], entity.kind.value)
    name = store.name.partition("--")[2]
    encoder = make_encoder(resolve_encoder(name, workspace.settings)).for_set(profiles.name, profiles.schemas)
    record = StoreRecord(kind=entity.kind.value, id=entity.id, name=entity.name, text="", fields=dict(fields))
    try:
        return np.asarray(numbers_in(encoder.encode_records([record]), len(store.encoder.columns))[0])
    except InputError as error:
        raise InputError(
            error.message.replace("the profile of", "what is told of", 1),
            remedy=f"`l2aco profiles show {profiles.name} NAME --json` shows the names and numbers of another line.",
        ) from None


def _names(profiles: ProfileSet, kind: str) -> Sequence[str]:
    """The fields that profiles of the set have."""
    return list(profiles.schemas.get(kind, {}).get("properties", ()))


def _refuse_unknown(fields: Iterable[str], sets: Sequence[ProfileSet], kind: str) -> None:
    """Raises InputError for a field that profiles of none of the sets have."""
    known = list(dict.fromkeys(name for profiles in sets for name in _names(profiles, kind)))
    if unknown := [name for name in fields if name not in known]:
        raise InputError(
            f"a profile of {' or '.join(dict.fromkeys(profiles.name for profiles in sets))} has no '{unknown[0]}'",
            remedy=f"It has {', '.join(known)}.",
        )


def _written(
    entity: Entity, told: Told, store: EmbeddingStore, workspace: Workspace, progress: Progress, part: Any
) -> Any:
    """What the language model writes now, as a profile of the kind that the store holds; kept as a set of its own."""
    from l2aco.profiles.generate import generate_profiles
    from l2aco.profiles.spec import ProfileSpec

    if told.llm is None:
        return None
    label = _prompt_of(_set_of(store, workspace), entity.kind.value, workspace)
    report = generate_profiles(ProfileSpec(llm=told.llm, prompt=label), [entity], workspace, progress)
    record: ProfileRecord | None = report.set.find(entity)
    if record is None:
        raise L2aCoError(
            f"{told.llm} wrote no profile of {entity.name}",
            where=report.set.path,
            remedy="`l2aco profiles show` tells why.",
        )
    return part(record)


def _prompt_of(profiles: ProfileSet, kind: str, workspace: Workspace) -> str | None:
    """The prompt that a set was written by; where that is not known, one that asks for the same fields."""
    from l2aco.profiles.prompt import list_prompts, load_templates

    if profiles.prompt_label is not None or kind not in profiles.schemas:
        return profiles.prompt_label
    wanted = set(profiles.schemas[kind]["properties"])
    for name, versions in list_prompts(workspace).items():
        template = load_templates(f"{name}@{versions[-1]}", workspace).get(kind)
        if template is not None and set(template.schema["properties"]) == wanted:
            return f"{name}@{versions[-1]}"
    return None


def _set_of(store: EmbeddingStore, workspace: Workspace) -> ProfileSet:
    from l2aco.profiles.sets import open_profile_set

    return open_profile_set(store.name.partition("--")[0], workspace)
