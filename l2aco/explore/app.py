"""The application: an address in, a page out. Only the form of recommendations is sent anything; none of it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from l2aco.errors import L2aCoError, UnknownNameError
from l2aco.explore.page import Document, Note, Page
from l2aco.explore.pages import page_of, recommend
from l2aco.explore.render import DOCUMENT_POLICY, assets, render

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from l2aco.explore.site import Site

FIELDS = 20


def make_app(site: Site) -> Starlette:
    """The application without its guard; see `guard.Guard`."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    def show(request: Request) -> Response:
        path = request.path_params["path"] or "index.html"
        if path in assets():
            content, kind = assets()[path]
            return _response(content, kind)
        try:
            found = page_of(site, path, request.query_params)
        except L2aCoError as error:
            found = wrong(path, error)
        return _answer(found)

    async def rank(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        form = await request.form(max_fields=FIELDS, max_files=0)
        given = {name: value for name, value in form.items() if isinstance(value, str)}
        return _answer(await run_in_threadpool(recommend.answer, site, given))

    return Starlette(routes=[Route("/recommend.html", rank, methods=["POST"]), Route("/{path:path}", show)])


def wrong(path: str, error: L2aCoError) -> Page:
    """What stands in the place of a page that is not there, or cannot be read."""
    missing = isinstance(error, UnknownNameError)
    title = "There is no such page" if missing else "This cannot be shown"
    return Page(path, title, notes=[Note(str(error), alarm=True)], status=404 if missing else 500)


def _answer(found: Page | Document) -> Response:
    if isinstance(found, Document):
        policy = f"sandbox; {DOCUMENT_POLICY}; frame-ancestors 'none'"
        return _response(found.html, "text/html", headers={"content-security-policy": policy})
    return _response(render(found, live=True)[0], "text/html", found.status)


def _response(content: Any, kind: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import Response

    return Response(content, status, headers, media_type=kind)
