"""Who is called so, and whose profile is near to these words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from l2aco.entities import Entity, EntityKind
from l2aco.errors import L2aCoError
from l2aco.explore.catalogue import Catalogue
from l2aco.explore.page import Note, Page, Part, Section, bar, cell, grid, listed
from l2aco.explore.site import Notes, Site

if TYPE_CHECKING:
    from l2aco.embeddings.encoders.spec import EncoderSpec
    from l2aco.embeddings.store.store import EmbeddingStore

MOST_CHARACTERS = 2000
NEAREST = 15


def page(site: Site, _: str, query: Mapping[str, str]) -> Page:
    """Names first, since that is what is mostly meant; then what the stores say, where their encoder is here."""
    notes = Notes()
    text = query.get("q", "").strip()[:MOST_CHARACTERS]
    sections = []
    if text:
        everybody = site.catalogue(notes)
        rows = [
            {
                "name": cell(one.entity.name, one.path),
                "kind": one.entity.kind.value.replace("_", " "),
                "id": one.entity.id,
                "also called": list(one.aliases)[:5] or None,
            }
            for one in everybody.search(text)
        ]
        sections.append(Section("By name", listed("Called so, or nearly so", rows, "Nobody is called so.")))
        sections.append(Section("By profile", _by_profile(site, text, everybody, notes)))
    title = f"Search: {text[:80]}" if text else "Search"
    return Page("search.html", title, sections, notes.shown(), values={"q": text})


def _by_profile(site: Site, text: str, everybody: Catalogue, notes: Notes) -> list[Part]:
    found: list[Part] = []
    reasons = []
    for store in site.stores(notes).values():
        if store.encoder.columns:
            continue  # numbers are no words
        try:
            encoder = local_encoder(site, store)
            with site.heavy:
                vector = encoder.encode([text], query=True)[0]
            hits = store.search(vector, 2 * NEAREST)
        except L2aCoError as error:
            reasons.append(Note(f"{store.name}: {error.message}"))
            continue
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for hit in hits:
            known = everybody.find(Entity(hit.id, EntityKind(hit.kind), hit.name))
            rows.setdefault(
                (hit.kind, hit.id),
                {
                    "name": cell(hit.name, known.path if known else None),
                    "kind": hit.kind.replace("_", " "),
                    "cosine": bar(hit.score, 0, 1, f"{hit.score:.3f}"),
                    "profile": hit.text[:160] + ("…" if len(hit.text) > 160 else ""),
                },
            )
        found += grid(f"{store.name}: profiles that are nearest to these words", list(rows.values())[:NEAREST])
    return [*found, *reasons] or [Note("There is no store of texts: l2aco embed makes one.")]


def local_encoder(site: Site, store: EmbeddingStore) -> Any:
    """The encoder of a store, kept once it is loaded. Raises UnavailableError where nobody knows it, where its model is
    not on this machine, or where it would send the text elsewhere."""
    from l2aco.embeddings.encoders.table import make_encoder
    from l2aco.embeddings.encoders.trust import trusted_encoder

    settings = site.workspace.settings
    spec = trusted_encoder(store.encoder, settings)
    _check_local(spec)
    return site.kept(("encoder", store.path), spec.fingerprint, lambda: make_encoder(spec, device=settings.device))


def _check_local(spec: EncoderSpec) -> None:
    from l2aco.embeddings.encoders.fetch import is_here
    from l2aco.embeddings.encoders.spec import API
    from l2aco.errors import UnavailableError

    if spec.runtime == API:
        raise UnavailableError(f"its encoder {spec.name} is a service; nothing is sent from here")
    if not is_here(spec):
        raise UnavailableError(f"its encoder {spec.name} is not on this machine")
