"""Where everything lies: paths and settings.

A workspace is a folder. Beside the user's own files it holds `profiles/<set>/`, `embeddings/<store>/`,
`data/<data set>/`, `runs/<id>/`, the user's `prompts/`, and the optional settings file `l2aco.toml`.
Nothing in L2aCo builds such a path by hand.

A folder may come from anybody. What decides which code runs stands in the user's own configuration alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.files import child, describe_validation, read_toml
from l2aco.shown import Shown

SETTINGS_FILE = "l2aco.toml"


class Settings(BaseModel):
    """What a user does not want to repeat; the keys of l2aco.toml and of the user's own configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    llm: str | None = None
    encoder: str | None = None
    dataset: str | None = None
    backbone: str | None = None
    device: str = "auto"
    vllm_command: list[str] | None = None
    """How to start vLLM's OpenAI server, e.g. ["/opt/vllm/bin/python", "-m", "vllm.entrypoints.openai.api_server"]."""
    llms: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """More entries of the LLM catalog, by alias."""
    encoders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """More entries of the encoder table, by name."""
    _untrusted: frozenset[str] = PrivateAttr(frozenset())

    @property
    def untrusted(self) -> list[str]:
        """Keys that were left out of these settings; see `require_trust`."""
        return sorted(self._untrusted)

    def require_trust(self, key: str) -> None:
        """Raise InputError where `key` (`vllm_command`, `llms.NAME`, `encoders.NAME`) was left out of these settings
        because it decides what code runs and stands in a folder's l2aco.toml."""
        if key.casefold() in self._untrusted:
            raise InputError(
                f"{key} decides what code runs, and a folder may come from anybody",
                where=SETTINGS_FILE,
                remedy=f"Write it into your own configuration, {user_settings_path()}, "
                "or pass --trust to a command that has it, if you know where this folder comes from.",
            )


class Workspace(Shown):
    """A folder that holds a user's profiles, stores, data sets and runs.

    `settings` are the user's own configuration and the folder's l2aco.toml together: single values of the folder come
    first, entries of [llms] and [encoders] that the user has are the user's. What decides which code runs is taken of
    the folder only with `trust`; see `Settings.require_trust`.
    """

    def __init__(self, root: str | Path | None = None, *, trust: bool = False) -> None:
        self.root = Path(root or os.environ.get("L2ACO_WORKSPACE") or ".").expanduser().resolve()
        if self.root.exists() and not self.root.is_dir():
            raise UsageError("the workspace is a file", where=self.root, remedy="Name a folder with --workspace.")
        self.settings = _together(user_settings(), _read_settings(self.root / SETTINGS_FILE), trust)

    @classmethod
    def at(cls, where: Workspace | str | Path | None) -> Workspace:
        """Itself, or the one of a folder; None: as `Workspace()`."""
        return where if isinstance(where, Workspace) else cls(where)

    def facts(self) -> dict[str, str]:
        """Where it is, and how much is in it."""
        held = {"profile sets": self.profiles, "stores": self.embeddings, "data sets": self.data, "runs": self.runs}
        return {"at": str(self.root), **{what: f"{len(names_in(path)):,}" for what, path in held.items()}}

    @property
    def profiles(self) -> Path:
        return self.root / "profiles"

    @property
    def prompts(self) -> Path:
        return self.root / "prompts"

    @property
    def embeddings(self) -> Path:
        return self.root / "embeddings"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def bench(self) -> Path:
        """Reports of suites."""
        return self.root / "bench"

    @staticmethod
    def child(folder: Path, name: str) -> Path:
        """`folder/name`; see `files.child`."""
        return child(folder, name)


def user_settings_path() -> Path:
    """The file of the user's own configuration (`L2ACO_CONFIG` names another)."""
    if override := os.environ.get("L2ACO_CONFIG"):
        return Path(override).expanduser()
    from platformdirs import user_config_path

    return user_config_path("l2aco") / "config.toml"


def user_settings() -> Settings:
    """The user's own configuration, which is trusted; empty where there is none. Raises InputError."""
    return _read_settings(user_settings_path())


def _read_settings(path: Path) -> Settings:
    if not path.exists():
        return Settings()
    try:
        return Settings.model_validate(read_toml(path))
    except ValidationError as error:
        unknown = [str(item["loc"][0]) for item in error.errors() if item["type"] == "extra_forbidden"]
        if unknown:
            hint = UnknownNameError("setting", unknown[0], Settings.model_fields)
            raise InputError(hint.message, where=path, remedy=hint.remedy) from None
        raise InputError(describe_validation(error), where=path) from None


def _together(own: Settings, folder: Settings, trust: bool) -> Settings:
    mine, others = own.model_dump(exclude_unset=True), folder.model_dump(exclude_unset=True)
    untrusted = set()
    if not trust and others.pop("vllm_command", None) and not own.vllm_command:
        untrusted.add("vllm_command")
    for table, runs_code in (("llms", _llm_runs_code), ("encoders", _encoder_runs_code)):
        named = {name.casefold() for name in mine.get(table, {})}
        entries = {name: entry for name, entry in others.get(table, {}).items() if name.casefold() not in named}
        refused = {name for name, entry in entries.items() if not trust and runs_code(entry)}
        untrusted |= {f"{table}.{name.casefold()}" for name in refused}
        kept = {name: entry for name, entry in entries.items() if name not in refused}
        others[table] = {**kept, **mine.get(table, {})}
    settings = Settings.model_validate({**mine, **others})
    settings._untrusted = frozenset(untrusted)
    return settings


def _llm_runs_code(entry: dict[str, Any]) -> bool:
    """Code of a model's repository, or any flag of vLLM, some of which name modules to import."""
    return bool(entry.get("trust_remote_code") or entry.get("serve"))


def _encoder_runs_code(entry: dict[str, Any]) -> bool:
    return ":" in str(entry.get("runtime", ""))


_CONTENTS = {
    "profiles": "records.jsonl",
    "embeddings": "generations",
    "data": "triples.parquet",
    "runs": "metrics.json",
}
"""What is never written before the manifest: by it a folder is known that has lost its own, and is damaged."""


def names_in(folder: Path, marker: str | None = None) -> list[str]:
    """The sub-folders of `folder` that hold `marker`, sorted; none when the folder is missing.

    Without a marker those with a manifest, and those that lost it: to open one of these raises DamagedError.
    """
    if not folder.is_dir():
        return []
    markers = [marker] if marker else ["manifest.json", *filter(None, [_CONTENTS.get(folder.name)])]
    found = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path.name for path in found if any((path / name).exists() for name in markers))


def bundled(kind: str) -> Path:
    """The folder of package data `kind` ("prompts", "profiles", "benchmarks/suites"), in a wheel or a checkout."""
    package = Path(__file__).parent
    packed = package / "_bundled" / kind
    return packed if packed.is_dir() else package.parent / kind


def shipped_suites() -> list[str]:
    """The names of the suites that come with L2aCo."""
    return sorted(path.stem for path in bundled("benchmarks/suites").glob("*.toml"))


def user_cache() -> Path:
    """The folder for downloads and other things that can be made again (`L2ACO_CACHE` overrides)."""
    if override := os.environ.get("L2ACO_CACHE"):
        return Path(override)
    from platformdirs import user_cache_path

    return user_cache_path("l2aco")
