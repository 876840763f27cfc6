"""Pages to HTML. Everything is escaped by the templates; links are relative, so that the same page is a file too."""

from __future__ import annotations

import posixpath
from functools import cache
from typing import TYPE_CHECKING

from l2aco.explore.page import Page
from l2aco.templating import environment

if TYPE_CHECKING:
    from jinja2 import Environment

STYLE, SCRIPT = "style.css", "sort.js"
POLICY = "default-src 'none'; style-src {own}; script-src {own}; img-src data:; form-action {form}; base-uri 'none'"
LIVE_POLICY = POLICY.format(own="'self'", form="'self'") + "; frame-ancestors 'none'"
FILE_POLICY = POLICY.format(own="'self' file:", form="'none'")
"""Of exported pages, which no server sends."""
DOCUMENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'"
"""Of somebody's finished page: it may look as it likes, and load, send and run nothing."""
MENU = (
    ("index.html", "Workspace"),
    ("drugs.html", "Drugs"),
    ("cell-lines.html", "Cell lines"),
    ("runs.html", "Runs"),
    ("suites.html", "Suites"),
)
LIVE_MENU = (*MENU, ("recommend.html", "Recommend"))


@cache
def _templates() -> Environment:
    return environment("l2aco.explore")


def render(page: Page, *, live: bool) -> tuple[str, set[str]]:
    """The HTML of a page, and the paths of the pages that it links to. `live`: with forms, and no policy of its own."""
    links: set[str] = set()
    here = posixpath.dirname(page.path)

    def to(path: str) -> str:
        file, _, query = path.partition("?")
        links.add(file)
        return posixpath.relpath(file, here or ".") + (f"?{query}" if query else "")

    html = (
        _templates()
        .get_template(page.template)
        .render(page=page, to=to, live=live, menu=LIVE_MENU if live else MENU, policy=None if live else FILE_POLICY)
    )
    return html, links - {STYLE, SCRIPT}


@cache
def assets() -> dict[str, tuple[str, str]]:
    """Content and type by path: the style of the house with what else is here, and its script that sorts tables."""
    read = _templates().get_template
    return {
        STYLE: (read("house.css").render() + read("explore.css").render(), "text/css"),
        SCRIPT: (read("tables.js").render(), "text/javascript"),
    }


def harmless(html: bytes) -> bytes:
    """A finished page as a file: a browser takes the policy that stands before all else in it."""
    return f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{DOCUMENT_POLICY}">\n'.encode() + html
