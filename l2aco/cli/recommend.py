"""`l2aco recommend`"""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Mount the verb."""
