"""The folder of a finished suite may come from anybody."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2aco.errors import DamagedError
from l2aco.explore.page import Document, Page
from l2aco.explore.pages import page_of, suites
from l2aco.explore.render import harmless, render
from l2aco.explore.site import Site
from l2aco.workspace import Workspace


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("suites")
    (folder / "bench" / "one").mkdir(parents=True)
    (folder / "bench" / "one" / "report.html").touch()
    return Site(Workspace(folder))


@given(
    html=st.binary(), told=st.binary() | st.sampled_from([b"{}", b'{"format": 1}', b"[]", b"null", b'{"format": NaN}'])
)
def test_any_report_and_anything_that_is_told_of_it(site: Site, html: bytes, told: bytes) -> None:
    ((slug, folder),) = site.suites().items()
    (folder / "report.html").write_bytes(html)
    (folder / "report.json").write_bytes(told)
    shown = page_of(site, f"report/{slug}.html", {})
    assert isinstance(shown, Document) and shown.html == html
    assert harmless(html).startswith(b"<!doctype html><meta http-equiv") and harmless(html).endswith(html)
    page = page_of(site, f"suite/{slug}.html", {})
    assert isinstance(page, Page) and f"report/{slug}.html" in render(page, live=False)[1]


def test_a_slug_is_a_name_of_any_file_system(tmp_path: Path) -> None:
    from l2aco.explore.page import slug

    names = ["../x", "..", "", "a/b", "A" * 500, "\0", "\ud800", "con", "ä", "-", "<b>", "a b", "a-b"]
    found = [slug("kind", name) for name in names]
    assert len(set(found)) == len(names)
    for one in found:
        (tmp_path / f"{one}.html").touch()
    assert len(list(tmp_path.iterdir())) == len(names)


def test_whatever_a_page_stumbles_over_is_that_page_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that lets something through is a fault; it stops neither the server nor an export."""

    def stumble(*_: object) -> None:
        raise TypeError("a list, and a mapping was thought of")

    monkeypatch.setattr(suites, "open_finished", stumble)
    (slug,) = site.suites()
    with pytest.raises(DamagedError, match="a mapping was thought of"):
        page_of(site, f"suite/{slug}.html", {})
    assert isinstance(page_of(site, f"report/{slug}.html", {}), Document)


def test_a_folder_that_is_called_like_a_report_is_none(tmp_path: Path) -> None:
    (tmp_path / "bench" / "one" / "report.html").mkdir(parents=True)
    assert not Site(Workspace(tmp_path)).suites()
