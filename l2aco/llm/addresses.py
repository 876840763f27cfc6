"""Addresses of servers: what can be one, where it leads, and that no key stands in it."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

from l2aco.errors import UsageError
from l2aco.llm.keys import names_a_secret

_ALLOWED = re.compile(r"[\w.~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII)
CHAT = "/chat/completions"


def check_address(url: str) -> None:
    """Raise UsageError where `url` is no base URL of a server, or holds a key, which would be written down."""
    parts = _split(url)
    if parts is None:
        shown = url.partition("?")[0].rpartition("@")[2][:100]
        raise UsageError(f"'{shown}' is no address of a server, such as http://localhost:8000/v1")
    named = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if parts.username or parts.password or parts.fragment or any(map(names_a_secret, named)):
        raise UsageError(
            f"keys do not stand in addresses, which are written down ({origin(url)})",
            remedy="Leave it out of the address: export L2ACO_API_KEY=...",
        )


def _split(url: str) -> SplitResult | None:
    """The parts of an address that every program would read alike; None where there is doubt."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and _ALLOWED.fullmatch(url)
    except ValueError:
        return None
    return parts if good else None


def origin(url: str) -> str:
    """`scheme://host:port` in lower case, the port where it is not the usual one; empty where `url` is no address."""
    parts = _split(url)
    if parts is None:
        return ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = parts.port in (None, {"http": 80, "https": 443}[parts.scheme])
    return f"{parts.scheme}://{host}" + ("" if usual else f":{parts.port}")


def is_loopback(url: str) -> bool:
    """Whether an address leads to this machine."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def base_of(url: str) -> tuple[str, dict[str, str]]:
    """What calls are made under: the address without a slash at its end or the path of a call, and its query."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix(CHAT).rstrip("/")
    return parts._replace(path=path, query="").geturl(), dict(parse_qsl(parts.query, keep_blank_values=True))
