"""Who is let in: whoever has the token, asking this machine by its own name. And what a browser may do with a page."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Collection
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any

from l2aco.explore.render import LIVE_POLICY

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HEADERS = {
    "content-security-policy": LIVE_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with none at all a browser's form is of the origin null
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
MOST_BYTES = 2_000_000
"""Of what a form may send."""


class Guard:
    """Stands before an application. A page of another name, which a browser was led to (DNS rebinding), is refused by
    its Host; one of another origin by the token, which is a cookie that no other site's request carries."""

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str]) -> None:
        self.app, self.token, self.hosts = app, token, hosts
        self.cookie = f"l2aco-{next(iter(hosts)).rpartition(':')[2]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.datastructures import Headers
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, RedirectResponse

        if scope["type"] != "http":
            return
        request, headers = Request(scope), Headers(scope=scope)
        asked = [value.casefold() for value in headers.getlist("host")]
        answer: Any = self.app
        if len(asked) != 1 or asked[0] not in self.hosts:
            answer = PlainTextResponse("This server answers to this machine's own name alone.", 421)
        elif request.method == "GET" and self._fits(request.query_params.get("token")):
            answer = RedirectResponse("/" + request.url.path.lstrip("/"), 303)
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        elif not self._fits(_cookie(headers, self.cookie)):
            answer = PlainTextResponse("Open the address that `l2aco explore` printed: its token is the key.", 403)
        elif request.method not in ("GET", "HEAD") and headers.get("origin") not in (None, f"http://{asked[0]}"):
            answer = PlainTextResponse("This was sent by a page of somebody else.", 403)
        elif not headers.get("content-length", "0").isdecimal() or int(headers.get("content-length", 0)) > MOST_BYTES:
            answer = PlainTextResponse(f"More than {MOST_BYTES:,} bytes are not read.", 413)
        await answer(scope, receive, _with_headers(send))

    def _fits(self, token: str | None) -> bool:
        return token is not None and hmac.compare_digest(token.encode(), self.token.encode())


def _cookie(headers: Any, name: str) -> str | None:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return None
    return jar[name].value if name in jar else None


def _with_headers(send: Send) -> Callable[[Any], Awaitable[None]]:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message["headers"]}
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in own]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sent
