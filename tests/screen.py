"""What a page is like in a real browser: whether it fits, what it says on its console, what axe finds in it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def listened(tab: Any, but: str | None = None) -> list[str]:
    """What comes on the console from now on, without lines that hold `but`; errors and dialogs among it."""
    said: list[str] = []
    tab.on("console", lambda message: None if but and but in message.text else said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    return said


def fits(tab: Any) -> bool:
    """Whether nothing stands beyond the right edge of the page as it is with its style sheet."""
    tab.wait_for_load_state()
    return bool(tab.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def open_all(tab: Any) -> None:
    """Whatever is folded, unfolded."""
    tab.evaluate("for (const more of document.querySelectorAll('details')) more.open = true")


def serious(tab: Any) -> list[tuple[str, str]]:
    """What axe finds serious or critical, with all unfolded: the rule, and an element."""
    tab.wait_for_load_state()
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    open_all(tab)
    tab.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text())
    found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
