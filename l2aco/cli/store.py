"""`l2aco store`"""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Mount the verb."""
