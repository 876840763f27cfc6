"""Pictures for pages and papers: one look, PNG and SVG, in the widths of a journal's column and page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from l2aco.files import atomic_path

COLUMN, PAGE = 3.5, 7.2
"""Widths in inches: 89 and 183 mm, as Nature prints them."""
DPI = 200
SIZES: Any = {
    "font.size": 7.0,
    "axes.titlesize": 8.0,
    "legend.fontsize": 6.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "l2aco",
}


def new_picture(
    width: float = COLUMN, height: float = 2.6, *, panels: int = 1, title: str = ""
) -> tuple[Any, list[Any]]:
    """A figure and its `panels` side by side, type of 7 points, no frame above and on the right."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SIZES):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        axes = list(figure.subplots(1, panels, squeeze=False)[0])
        for one in axes:
            one.spines[["top", "right"]].set_visible(False)
        figure.suptitle(title, fontsize=SIZES["axes.titlesize"])
    return figure, axes


def legend(axes: Any) -> None:
    """A legend without a frame, in the size of the other words."""
    axes.legend(frameon=False, fontsize=SIZES["legend.fontsize"])


def save_picture(figure: Any, path: Path) -> list[Path]:
    """Write `path`, a .png, and the same as .svg beside it; returns both paths."""
    import matplotlib

    paths = [path, path.with_suffix(".svg")]
    with matplotlib.rc_context(SIZES):
        for one in paths:
            with atomic_path(one) as partial:
                form = one.suffix[1:]
                figure.savefig(partial, format=form, metadata={"Date": None} if form == "svg" else None)
    return paths
