"""The bytes of an address: no more of them than are expected, taken up where they broke off, no secret told."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from l2aco.errors import DamagedError, UnavailableError, UsageError
from l2aco.progress import Progress

ATTEMPTS = 4


def under(base: str, file: str) -> str:
    """The address of a file below `base`, whose query (a token, say) goes with it."""
    parts = _split(base)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{quote(file)}").geturl()


def told(url: str) -> str:
    """An address for people: without the parts that may hold a name, a password or a key."""
    parts = _split(url)
    query = "?..." if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise UsageError("--from names no address", remedy="Write it as https://host/path.") from None


def download(url: str, part: Path, limit: int, progress: Progress) -> None:
    """Bytes of `url` into `part`, going on after what is there already; raises UnavailableError, and DamagedError for
    more than `limit` bytes.

    A connection that breaks off is taken up again where it stopped, four attempts in all.
    """
    import httpx
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    retrying = Retrying(
        retry=retry_if_exception_type((httpx.TransportError, _BusyError)),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.2, max=5),
        reraise=True,
    )
    try:
        with httpx.Client(follow_redirects=True, timeout=30) as client:
            retrying(_stream, client, url, part, limit, progress)
    except (httpx.HTTPError, httpx.InvalidURL, _BusyError) as error:
        raise UnavailableError(
            f"cannot be reached ({_reason(error, url)})",
            where=told(url),
            remedy="Try again, the download goes on where it stopped; or give a folder or mirror with --from.",
        ) from None


class _BusyError(Exception):
    """The server asks for patience."""


def _reason(error: Exception, url: str) -> str:
    parts = urlsplit(url)
    text = str(error) or type(error).__name__
    for secret in filter(None, (url, parts.query, parts.netloc.rpartition("@")[0])):
        text = text.replace(secret, "...")
    return text


def _stream(client: Any, url: str, part: Path, limit: int, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have > limit:
        part.unlink()
        have = 0
    headers = {"Accept-Encoding": "identity"}  # so that a range counts the bytes of the file
    if have:
        headers["Range"] = f"bytes={have}-"
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == 416:  # nothing after what is there: it is whole
            return
        if answer.status_code == 429 or answer.status_code >= 500:
            raise _BusyError(f"the server answers {answer.status_code}")
        if answer.status_code not in (200, 206):
            raise UnavailableError(f"the server answers {answer.status_code}", where=told(url))
        resumed = answer.status_code == 206
        length = answer.headers.get("content-length", "")
        have = have if resumed else 0
        total = int(length) + have if length.isdecimal() else None
        with part.open("ab" if resumed else "wb") as stream, progress.task(part.stem, total, "B") as advance:
            advance(have)
            for piece in answer.iter_raw():
                have += len(piece)
                if have > limit:
                    break
                stream.write(piece)
                advance(len(piece))
    if have > limit:
        part.unlink()
        raise DamagedError(
            f"sends more than the {limit:,} bytes of the file that is pinned",
            where=told(url),
            remedy="It is another file. Give a folder or another mirror with --from. Nothing was imported.",
        )
