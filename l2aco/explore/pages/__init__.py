"""The pages by their addresses. A pattern has one group: a number of a listing, or the slug of what is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from l2aco.entities import EntityKind
from l2aco.errors import DamagedError, L2aCoError, UnknownNameError
from l2aco.explore.page import Document, Page
from l2aco.explore.pages import datasets, entities, entity, home, profiles, recommend, run, runs, search, stores, suites
from l2aco.explore.site import Site

Query = Mapping[str, str]
Builder = Callable[[Site, str, Query], Page | Document]
SLUG, NUMBER = r"([A-Za-z0-9-]{1,80})", r"(?:-([1-9]\d{0,5}))?"
ROUTES: tuple[tuple[str, Builder], ...] = (
    (r"(index)\.html", home.page),
    (rf"drugs{NUMBER}\.html", partial(entities.page, kind=EntityKind.drug)),
    (rf"cell-lines{NUMBER}\.html", partial(entities.page, kind=EntityKind.cell_line)),
    (rf"drug/{SLUG}\.html", partial(entity.page, kind=EntityKind.drug)),
    (rf"cell-line/{SLUG}\.html", partial(entity.page, kind=EntityKind.cell_line)),
    (rf"set/{SLUG}\.html", profiles.page),
    (rf"store/{SLUG}\.html", stores.page),
    (rf"data/{SLUG}\.html", datasets.page),
    (rf"runs{NUMBER}\.html", runs.page),
    (rf"run/{SLUG}\.html", run.page),
    (r"(suites)\.html", suites.page),
    (rf"suite/{SLUG}\.html", suites.suite_page),
    (rf"report/{SLUG}\.html", suites.report),
)
LIVE: tuple[tuple[str, Builder], ...] = (
    (r"(search)\.html", search.page),
    (r"(recommend)\.html", recommend.page),
)
"""Only a server has them."""
MOST_SAID = 300


def page_of(site: Site, path: str, query: Query) -> Page | Document:
    """The page at this address; raises UnknownNameError where there is none, and L2aCoError for whatever is wrong with
    its subject: what lies in a workspace may come from anybody, and one oddity takes no other page with it."""
    for pattern, build in ROUTES + (LIVE if site.live else ()):
        if found := re.fullmatch(pattern, path):
            try:
                return build(site, found[1] or "", query)
            except L2aCoError:
                raise
            except Exception as error:
                raise DamagedError(f"holds what no page can show ({error!r})"[:MOST_SAID], where=path) from error
    raise UnknownNameError("page", path[:80], ())
