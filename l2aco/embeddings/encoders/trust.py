"""Whose word counts. A store, or a folder's l2aco.toml, may come from anybody: what it says of an encoder is data.

A store is searched by the encoder of this installation or of the user that makes the same vectors. An address
that neither has named gets no text without the user's `--trust`, and never a key.
"""

from __future__ import annotations

from l2aco.embeddings.encoders.spec import API, RUNTIMES, UNKNOWN, EncoderSpec
from l2aco.embeddings.encoders.table import installed_like, section_like
from l2aco.errors import UnavailableError
from l2aco.workspace import Settings, user_settings, user_settings_path


def trusted_encoder(said: EncoderSpec, settings: Settings | None = None, *, trust: bool = False) -> EncoderSpec:
    """The encoder that makes vectors like those of `said`, which a store names.

    It is taken from the table, from installed packages, from the user's own configuration, and, if it runs on this
    machine, from `settings`. Raises UnavailableError where none of these knows it. With `trust` what settings and store
    say counts; a class that a store names is not imported even then.
    """
    if said.runtime == UNKNOWN:
        raise UnavailableError(
            "the encoder of these vectors is not known",
            remedy="Import them again with --encoder NAME to search by text; --entity works without.",
        )
    own = user_settings()
    if known := installed_like(said) or section_like(said, own):
        return known
    of_folder = section_like(said, settings or own)
    if of_folder is not None and (trust or of_folder.runtime != API):
        return of_folder
    if trust and said.runtime in RUNTIMES:
        return said
    at = f" at {said.base_url}" if said.base_url else ""
    write = f"write [encoders.{said.name}] into your own configuration, {user_settings_path()}"
    first = "Pass --trust if you know where the store comes from"
    if said.runtime not in RUNTIMES:
        first = "Install the package that brings it"
    raise UnavailableError(
        f"the store names an encoder that nobody here knows: {said.name} ({said.runtime}, {said.model}{at})",
        remedy=f"{first}, or {write}; --entity works without.",
    )


def is_named(url: str) -> bool:
    """Whether the user's own configuration has an encoder at this address: only there `L2ACO_API_KEY` is sent."""
    own = (entry.get("base_url") for entry in user_settings().encoders.values())
    return url.rstrip("/") in {str(address).rstrip("/") for address in own if address}
