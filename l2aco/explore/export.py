"""The pages as plain files: every page that is reached by links, from home on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from l2aco.errors import L2aCoError, UsageError
from l2aco.explore.app import wrong
from l2aco.explore.page import HOME, Document
from l2aco.explore.pages import page_of
from l2aco.explore.render import assets, harmless, render
from l2aco.explore.site import Site
from l2aco.files import atomic_folder, files_in, inside, refuse_others
from l2aco.progress import Progress, Silent
from l2aco.workspace import Workspace

MARK = ".l2aco-explore"


def export(workspace: Workspace, folder: Path, progress: Progress = Silent()) -> int:
    """Write the pages of a workspace into `folder`, in the place of an earlier export; returns how many.

    Raises UsageError where `folder` holds anything else.
    """
    if folder.exists() or folder.is_symlink():
        refuse_others(folder, _ours(folder), "l2aco explore")
    site, written = Site(workspace, live=False), 0
    with atomic_folder(folder, replace=True) as partial, progress.task("pages", unit="pages") as advance:
        (partial / MARK).touch()
        for path, content in _pages(site):
            target = inside(partial, path)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
            written += 1
            advance(1, path)
        for path, (text, _) in assets().items():
            inside(partial, path).write_text(text, encoding="utf-8")
    return written


def _ours(folder: Path) -> Callable[[str], bool]:
    if not folder.is_dir() or folder.is_symlink():
        raise UsageError("is no folder", where=folder, remedy="Choose another --export.")
    made = (folder / MARK).is_file() or not files_in(folder)
    return lambda name: made and (name in (MARK, *assets()) or name.endswith(".html"))


def _pages(site: Site) -> Iterator[tuple[str, bytes]]:
    seen, waiting = {HOME}, [HOME]
    while waiting:
        path = waiting.pop()
        try:
            found = page_of(site, path, {})
        except L2aCoError as error:
            found = wrong(path, error)
        if isinstance(found, Document):
            yield path, harmless(found.html)
            continue
        html, links = render(found, live=False)
        yield path, html.encode()
        new = sorted(links - seen)
        seen.update(new)
        waiting += new
