"""The server: on this machine alone, under a token that is made anew each time."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from l2aco.errors import UnavailableError, UsageError
from l2aco.explore.site import Site
from l2aco.workspace import Workspace

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Served:
    """A server that is ready to run: `server.run(sockets=[socket])` ends by an interrupt, or `server.should_exit`."""

    server: uvicorn.Server
    socket: socket.socket
    address: str
    """With the token: for the one who started it."""

    def run(self) -> None:
        """Serve until it is ended; the port is free afterwards."""
        try:
            self.server.run(sockets=[self.socket])
        finally:
            self.socket.close()


def prepare(workspace: Workspace, port: int = 0) -> Served:
    """A server of the pages of a workspace on a port of the loopback, any free one for 0.

    Raises UnavailableError where the extra is missing, UsageError where the port is taken.
    """
    try:
        import python_multipart  # noqa: F401
        import uvicorn

        from l2aco.explore.app import make_app
        from l2aco.explore.guard import Guard

        app = make_app(Site(workspace))
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"the package {error.name} is not installed, which the pages are served by",
            remedy="Install it with: pip install 'l2aco[explore]'. Without it: l2aco explore --export FOLDER",
        ) from None
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((LOOPBACK, port))
        taken.listen()  # who reads the address and is quick waits, and is not refused
    except OSError as error:
        taken.close()
        raise UsageError(
            f"port {port} cannot be had ({error.strerror})", remedy="Choose another --port, or leave it out."
        ) from None
    number = taken.getsockname()[1]
    token = secrets.token_urlsafe(32)
    guarded = Guard(app, token, (f"{LOOPBACK}:{number}", f"localhost:{number}"))
    config = uvicorn.Config(
        guarded,
        log_level="error",
        access_log=False,  # it would hold the token
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
    )
    return Served(uvicorn.Server(config), taken, f"http://{LOOPBACK}:{number}/?token={token}")
