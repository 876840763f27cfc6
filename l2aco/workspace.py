"""Where everything lies: paths and settings.

A workspace is a folder. Beside the user's own files it holds `profiles/<set>/`, `embeddings/<store>/`,
`data/<data set>/`, `runs/<id>/`, the user's `prompts/`, and the optional settings file `l2aco.toml`.
Nothing in L2aCo builds such a path by hand.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from l2aco.errors import InputError, UnknownNameError, UsageError
from l2aco.files import describe_validation, read_toml

SETTINGS_FILE = "l2aco.toml"


class Settings(BaseModel):
    """What a user does not want to repeat; the keys of l2aco.toml."""

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


class Workspace:
    """A folder that holds a user's profiles, stores, data sets and runs."""

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root or os.environ.get("L2ACO_WORKSPACE") or ".").expanduser().resolve()
        if self.root.exists() and not self.root.is_dir():
            raise UsageError("the workspace is a file", where=self.root, remedy="Name a folder with --workspace.")
        self.settings = self._read_settings()

    def _read_settings(self) -> Settings:
        path = self.root / SETTINGS_FILE
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

    def child(self, folder: Path, name: str) -> Path:
        """`folder/name`; raises UsageError when the name would lead out of the folder."""
        if not name or name != Path(name).name or name.startswith("."):
            raise UsageError(
                f"'{name}' cannot be a name here", remedy="Use letters, digits, '.', '_' and '-', no slashes."
            )
        return folder / name


def names_in(folder: Path, marker: str = "manifest.json") -> list[str]:
    """The sub-folders of `folder` that hold `marker`, sorted; none when the folder is missing."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and (path / marker).exists())


def bundled(kind: str) -> Path:
    """The folder of package data `kind` ("prompts" or "profiles"), in a wheel or in a source checkout."""
    package = Path(__file__).parent
    packed = package / "_bundled" / kind
    return packed if packed.is_dir() else package.parent / kind


def user_cache() -> Path:
    """The folder for downloads and other things that can be made again (`L2ACO_CACHE` overrides)."""
    if override := os.environ.get("L2ACO_CACHE"):
        return Path(override)
    from platformdirs import user_cache_path

    return user_cache_path("l2aco")
