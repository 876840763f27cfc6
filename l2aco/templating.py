"""Pages that need nothing else: the templates of a room beside those of the house; all that stands in data is text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def environment(room: str) -> Environment:
    """Of the templates in the folder `templates` of a package; the parts in that of the house can be used in all."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader([PackageLoader(room), PackageLoader("l2aco")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
