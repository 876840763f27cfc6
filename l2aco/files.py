"""How bytes are written and read: whole or not at all, with checksums."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from l2aco.bounds import read_whole
from l2aco.errors import DamagedError, InputError, LockedError, UsageError, in_file
from l2aco.locks import WriterLock, refuse_link

Spec = TypeVar("Spec", bound=BaseModel)

MAX_NAME = 200
"""Bytes; with what is put around a name while it is written, a file system takes 255."""


def is_name(text: str) -> bool:
    """Whether a file or folder may be called so: it leads nowhere else, is not hidden, and every system takes it."""
    return (
        0 < len(text.encode(errors="replace")) <= MAX_NAME
        and not text.startswith(".")
        and text == text.strip()
        and not any(char in "/\\" or unicodedata.category(char) in ("Cc", "Cs") for char in text)
    )


def child(folder: Path, name: str) -> Path:
    """`folder/name`, the one way from a name that somebody gave to a path; raises UsageError unless `is_name(name)`."""
    if not is_name(name):
        raise UsageError(
            f"{name[:MAX_NAME]!r} cannot be a name here", remedy="Use letters, digits, '.', '_' and '-', no slashes."
        )
    return folder / name


def inside(folder: Path, path: str) -> Path:
    """`folder/path` for a relative path of plain names, as a manifest of ours has them; raises UsageError."""
    for name in path.split("/"):
        folder = child(folder, name)
    return folder


def refuse_folder(path: Path) -> None:
    """Raises UsageError where a file is to be written and a folder has its name."""
    if path.is_dir():
        raise UsageError("is a folder", where=path, remedy="Name a file.")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; it replaces `path` only when the block ends well.

    The bytes are on disk before the name changes, so that a reader or a crash sees the old file or the
    new one.
    """
    refuse_folder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial_path(path) as partial:
        yield partial
        _sync(partial)
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
        _sync(path.parent)


@contextlib.contextmanager
def partial_path(path: Path) -> Iterator[Path]:
    """Yields an empty file beside `path`, for what is needed to write it; gone when the block ends."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields an empty temporary folder; it becomes `path` only when the block ends well.

    With `replace`, an existing folder is moved aside first and removed afterwards; without, an existing one raises
    UsageError, also one that appears meanwhile, and so does a link. One process at a time makes a folder of a name,
    another gets LockedError. What killed processes left beside `path` goes first; a folder that one had moved aside
    comes back.
    """
    if path.is_file():
        raise UsageError("is a file", where=path, remedy="Name a folder.")
    refuse_link(path)
    _sweep(path.parent)
    making = path.with_name(f".{path.name}.partial")
    with WriterLock(making, f"the folder {path.name}"):
        new, old = making / "new", making / "old"
        try:
            _settle(making, path)
            _refuse_existing(path, replace)
            new.mkdir()
            yield new
            (new / WriterLock.FILE).unlink(missing_ok=True)  # of what was written there, and is not held any more
            for file in new.rglob("*"):
                _sync(file)
            _refuse_existing(path, replace)
            if path.exists():
                os.replace(path, old)
            os.replace(new, path)
            _sync(path.parent)
        finally:
            _settle(making, path)
            shutil.rmtree(making, ignore_errors=True)


def _refuse_existing(path: Path, replace: bool) -> None:
    if path.exists() and not replace:
        raise UsageError(
            "exists already", where=path, remedy="Choose another name, or pass --force where there is one."
        )


def _sweep(folder: Path) -> None:
    """Remove what killed processes left of folders that they were making in `folder`: our lock is there, and free."""
    for making in folder.glob(".*.partial"):
        if not making.is_symlink() and (making / WriterLock.FILE).is_file():
            with contextlib.suppress(LockedError), WriterLock(making, making.name):
                _settle(making, making.with_name(making.name[1 : -len(".partial")]))
                shutil.rmtree(making, ignore_errors=True)


def _settle(making: Path, path: Path) -> None:
    """What was moved aside becomes `path` again where nothing took its place; the rest goes."""
    old = making / "old"
    if old.exists() and not path.exists():
        os.replace(old, path)
    for left in (making / "new", old):
        shutil.rmtree(left, ignore_errors=True)


def require_there(path: Path, remedy: str | None = None) -> None:
    """Raises InputError where nothing is at a path that a user gave."""
    if not path.exists():
        raise InputError("no such file or folder", where=path, remedy=remedy)


def files_in(folder: Path) -> list[str]:
    """The paths, inside the folder, of everything in it that is no folder, links not followed."""
    return sorted(
        str((Path(place) / name).relative_to(folder))
        for place, folders, files in os.walk(folder)
        for name in [*files, *(name for name in folders if (Path(place) / name).is_symlink())]
    )


def refuse_others(folder: Path, ours: Callable[[str], bool], writer: str) -> None:
    """Before a folder is replaced: raises UsageError where it holds a file (by its path inside) that is not `ours`."""
    if others := [name for name in files_in(folder) if not ours(name)]:
        raise UsageError(
            f"holds {len(others)} files that {writer} did not write, such as {others[0]}",
            where=folder,
            remedy="Choose another name, or remove the folder yourself.",
        )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically, keys in the order given; see `plain`."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """`value` for JSON, which has no NaN and no infinity: they become null. Arrays and sets become lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_nan(value: Any) -> Any:
    """What `read_json` gave, with NaN where JSON has null."""
    if isinstance(value, dict):
        return {key: with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_nan(item) for item in value]
    return math.nan if value is None else value


def read_json(path: Path, remedy: str | None = None) -> Any:
    """Read JSON that L2aCo wrote; raises DamagedError with file, line and `remedy` when it is none, or too large."""
    try:
        return parse_json(read_whole(path))
    except InputError as error:
        raise DamagedError(error.message, where=path, remedy=remedy) from None
    except FileNotFoundError:
        raise DamagedError("is missing", where=path, remedy=remedy) from None
    except (ValueError, OSError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DamagedError(f"is not readable JSON ({error})", where=f"{path}{line}", remedy=remedy) from None


def parse_json(data: str | bytes) -> Any:
    """The value of JSON in UTF-8; raises ValueError for anything that could not be written as such again.

    That is also half a surrogate pair, which JSON can spell and no text can hold, and what is nested too deep.
    """
    try:
        value = json.loads(data if isinstance(data, str) else data.decode("utf-8"))
        if "\\u" in data if isinstance(data, str) else b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """An .npz without pickles, whole or not at all."""
    import numpy as np

    with atomic_path(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def read_arrays(path: Path, *, remedy: str | None = None) -> dict[str, Any]:
    """The arrays of an .npz that L2aCo wrote, none of which is a pickle; raises DamagedError."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception as error:  # whatever zipfile, zlib and numpy find wrong with bytes
        raise DamagedError(f"cannot be read ({error or type(error).__name__})", where=path, remedy=remedy) from None


def refuse_not_finite(arrays: Mapping[str, Any]) -> None:
    """Raises ValueError with the name of the first array of numbers that holds NaN or an infinity."""
    import numpy as np

    for name, array in arrays.items():
        if np.asarray(array).dtype.kind in "fc" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite")


def under(name: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a part, called `name/...` among those of the whole."""
    return {f"{name}/{key}": array for key, array in arrays.items()}


def part_of(name: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """What `under` put among these."""
    return {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}


def read_toml(path: Path) -> dict[str, Any]:
    """Read TOML that a user wrote; raises InputError with the place when it is none, or too large."""
    try:
        return tomllib.loads(read_whole(path).decode("utf-8-sig"))
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except IsADirectoryError:
        raise InputError("is a folder, and a TOML file is needed", where=path) from None
    except RecursionError:
        raise InputError("is nested too deep", where=path) from None
    except ValueError as error:  # not TOML, not UTF-8, or a number too long for Python
        raise InputError(f"is not valid TOML: {error}", where=path, remedy=_toml_remedy(str(error))) from None


def _toml_remedy(said: str) -> str | None:
    if twice := re.search(r"Cannot declare \((.+?),?\) twice", said):
        name = ".".join(part.strip(" '\"") for part in twice[1].split(","))
        return f"A table of which there are several begins with [[{name}]] each time; any other stands once."
    return 'Text stands in quotes: name = "value".' if "Invalid value" in said else None


def write_toml(path: Path, value: dict[str, Any]) -> None:
    """Write TOML atomically; entries that are None are left out."""
    import tomli_w

    write_text(path, tomli_w.dumps(_without_none(value)))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value]
    return value


def load_spec(kind: type[Spec], path: Path) -> Spec:
    """Read a frozen spec from TOML; raises InputError that names the key, or else the file."""
    try:
        return checked_spec(kind, read_toml(path))
    except UsageError as error:
        raise in_file(error, path) from None


def checked_spec(kind: type[Spec], values: Mapping[str, Any]) -> Spec:
    """A spec of what a user said; raises UsageError that names the key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UsageError(describe_validation(error)) from None


def describe_validation(error: ValidationError) -> str:
    """What is wrong, each with the key it is about; of a check of ours its own sentence alone."""
    return "; ".join(_worded(item) for item in error.errors(include_url=False))


def _worded(item: Mapping[str, Any]) -> str:
    said = str(item["ctx"]["error"]) if item["type"] == "value_error" else str(item["msg"])
    for pydantic, ours in (("a valid tuple", "a list"), ("Tuple should", "List should"), (" after validation", "")):
        said = said.replace(pydantic, ours)  # no file knows tuples
    key = ".".join(str(part) for part in item["loc"])
    if item["type"] == "tuple_type" and isinstance(item["input"], dict):
        said += f": each of its tables begins with [[{key}]]"
    return f"{key}: {said}" if key else said


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stable_hash(value: Any, length: int = 64) -> str:
    """Hex SHA-256 of the canonical JSON of `value` (sorted keys), cut to `length` characters."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return sha256_bytes(text.encode())[:length]
