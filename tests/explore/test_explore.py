"""The pages of a workspace, through a server on the loopback and in a real browser where there is one."""

from __future__ import annotations

import csv
import http.client
import json
import posixpath
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import pytest
from screen import fits, listened, serious
from small_stores import profile, write_set
from typer.testing import CliRunner

from l2aco.cli.main import app
from l2aco.entities import Entity, EntityKind
from l2aco.explore.catalogue import Catalogue, Known
from l2aco.explore.export import MARK
from l2aco.explore.serve import Served, prepare
from l2aco.files import sha256_file
from l2aco.profiles import sets
from l2aco.recommend.asked import Only
from l2aco.recommend.lines import across
from l2aco.recommend.rank import open_desk, rank_pairs
from l2aco.recommend.told import Told
from l2aco.runs.run import best_run, open_run
from l2aco.workspace import Workspace

SOME = 20
"""Pages of drugs and cell lines that are asked for; an export holds all."""
MARKUP = '<script>alert("x")</script>'
IMAGE = "<img src=x onerror=alert(2)>"
OUTSIDE = "../../../etc/passwd"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with everything in it, names that would be markup or paths among it, and no bundled sets."""
    root = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("L2ACO_CONFIG", str(root / "none.toml"))
        patch.delenv("L2ACO_WORKSPACE", raising=False)
        mixed = ("train", "--dataset", "demo", "--backbone", "Mixed", "--set", "draws=4")
        _cli("embed", "reference-panel")
        _cli(*mixed)
        _cli(*mixed, "--vectors", "shuffled")
        with (root / "own.csv").open("w", newline="") as stream:
            rows = [(MARKUP, OUTSIDE, IMAGE, 12), ("Erlotinib", OUTSIDE, IMAGE, -3), ("Erlotinib", MARKUP, "A375", 1)]
            csv.writer(stream).writerows([("drug_a", "drug_b", "cell_line", "score"), *rows])
        _cli("data", "import", "own.csv", "--name", "own")
        workspace = Workspace(root)
        _history(open_run("shuffled", workspace).path)
        said = [profile("A375", f"Said here: {MARKUP}"), replace(profile(OUTSIDE, "x", "drug"), entity_name=IMAGE)]
        write_set(workspace, "first", said)
        write_set(workspace, "second", [profile("A375", "Said there")])
        shutil.copytree(sets.BUNDLED / "reference-panel", root / "profiles" / "reference-panel")
        _report(root / "bench" / f"<b>{MARKUP[8:15]}")
        empty = tmp_path_factory.mktemp("empty")
        patch.setattr(sets, "BUNDLED", empty)
        yield workspace


def _cli(*arguments: str) -> None:
    result = CliRunner().invoke(app, [*arguments])
    assert result.exit_code == 0, result.output


def _history(run: Path) -> None:
    """What a network would have left of its epochs."""
    (run / "history.csv").write_text("epoch,loss,valid_auroc\n0,0.7,0.5\n1,0.6,0.55\n2,nan,0.6\n")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"]["history.csv"] = sha256_file(run / "history.csv")
    (run / "manifest.json").write_text(json.dumps(manifest))


def _report(folder: Path) -> None:
    """What somebody calls a report."""
    folder.mkdir(parents=True)
    words = "<!doctype html><html lang=en><title>Mine</title><style>h1{color:teal}</style><main><h1>Mine</h1></main>"
    (folder / "report.html").write_text(words + '<script>document.title = "obeyed"</script>')


@pytest.fixture(scope="module")
def served(world: Workspace) -> Iterator[Served]:
    found = prepare(world)
    thread = threading.Thread(target=found.run)
    thread.start()
    while not found.server.started:
        time.sleep(0.01)
    yield found
    found.server.should_exit = True
    thread.join(timeout=10)
    assert not thread.is_alive()


class Asked:
    """Requests without a browser; `cookie` is what the token was exchanged for."""

    def __init__(self, address: str) -> None:
        self.address, split = address, urlsplit(address)
        self.host, self.token = split.netloc, split.query.partition("=")[2]
        self.cookie = f"l2aco-{split.port}={self.token}"

    def __call__(
        self, path: str, *, body: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, str, http.client.HTTPMessage]:
        link = http.client.HTTPConnection(self.host, timeout=60)
        sent = None if body is None else urlencode(body)
        form = {} if body is None else {"Content-Type": "application/x-www-form-urlencoded"}
        link.request("GET" if body is None else "POST", path, sent, {"Cookie": self.cookie, **form, **headers})
        answer = link.getresponse()
        text = answer.read().decode()
        link.close()
        return answer.status, text, answer.headers


@pytest.fixture(scope="module")
def ask(served: Served) -> Asked:
    return Asked(served.address)


class Links(HTMLParser):
    """Where a page leads, and the rows of its tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.ids: set[str] = set()
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.found |= {str(values[name]) for name in ("href", "src") if name in values}
        self.ids |= {str(values["id"])} if "id" in values else set()
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


@pytest.fixture(scope="module")
def pages(ask: Asked) -> dict[str, str]:
    """Every page that is reached from home, by path, and of drugs and cell lines some."""
    found: dict[str, str] = {}
    entities = 0
    waiting = ["/index.html"]
    while waiting:
        path = waiting.pop()
        if path.startswith(("/drug/", "/cell-line/")) and not any(word in path for word in ("A375", "script", "img")):
            entities += 1
            if entities > SOME:
                continue
        status, html, _ = ask(path)
        assert status == 200, (path, html)
        found[path] = html
        if not path.startswith("/report/"):
            new = {urljoin(path, link).partition("#")[0].partition("?")[0] for link in Links(html).found}
            waiting += sorted(new - {*found, *waiting, "/style.css", "/sort.js", "data:,"})
    return found


def kinds_of(pages: dict[str, str]) -> list[str]:
    """A page of each kind, a hostile one where there is one."""
    found: dict[str, str] = {}
    for path in sorted(pages, key=lambda path: ("A375" not in path and "onerror" not in path, path)):
        found.setdefault(posixpath.dirname(path) if path.count("/") > 1 else path, path)
    return list(found.values())


def test_who_has_no_token_is_refused(ask: Asked) -> None:
    for path in ("/", "/index.html", "/style.css", "/nothing"):
        for cookie in ("", "x", ask.cookie[:-1], ask.cookie + "x"):
            status, text, headers = ask(path, Cookie=cookie)
            assert (status, "l2aco explore" in text) == (403, True)
            assert headers["Content-Security-Policy"]
        assert ask(f"{path}?token=wrong", Cookie="")[0] == 403
    assert ask("/recommend.html", body={"cell": "A375"}, Cookie="")[0] == 403


def test_the_token_becomes_a_cookie_and_leaves_the_address(ask: Asked) -> None:
    for path in ("/runs.html", "//evil.example/runs.html"):
        status, _, headers = ask(f"{path}?token={ask.token}", Cookie="")
        place = urlsplit(urljoin(ask.address, headers["Location"]))
        assert (status, place.netloc, place.query) == (303, ask.host, "")
        kept = headers["Set-Cookie"]
        assert kept.startswith(ask.cookie) and "HttpOnly" in kept and "samesite=strict" in kept.casefold()


def test_another_host_or_origin_is_refused(ask: Asked) -> None:
    port = ask.host.partition(":")[2]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil.example:{port}"):
        assert ask("/index.html", Host=host)[0] == 421
        assert ask(f"/?token={ask.token}", Host=host)[0] == 421
    assert ask("/index.html", Host=f"localhost:{port}")[0] == 200
    assert ask("/recommend.html", body={"cell": "A375"}, Origin="http://evil.example")[0] == 403
    assert ask("/recommend.html", body={"cell": "A375"}, Origin="null")[0] == 403


def test_it_listens_on_this_machine_alone(served: Served) -> None:
    assert served.socket.getsockname()[0] == "127.0.0.1"


def test_every_page_that_is_linked_is_there(pages: dict[str, str]) -> None:
    kinds = {path.split("/")[1] for path in pages if path.count("/") > 1}
    assert kinds == {"set", "store", "data", "drug", "cell-line", "run", "suite", "report"}
    for path, html in pages.items():
        of = Links(html)
        assert {link[1:] for link in of.found if link.startswith("#")} <= of.ids, path


def test_no_page_asks_for_anything_from_outside(pages: dict[str, str], ask: Asked) -> None:
    for path in kinds_of(pages):
        _status, html, headers = ask(path)
        policy = headers["Content-Security-Policy"]
        assert policy.partition(";")[0].strip() in ("default-src 'none'", "sandbox")
        assert headers["Referrer-Policy"] == "same-origin" and headers["X-Content-Type-Options"] == "nosniff"
        assert not [link for link in Links(html).found if urlsplit(link).scheme not in ("", "data")]


def test_names_and_texts_are_shown_and_not_obeyed(pages: dict[str, str]) -> None:
    ours = {path: html for path, html in pages.items() if not path.startswith("/report/")}
    assert not [path for path, html in ours.items() if MARKUP in html or IMAGE in html]
    assert all("passwd" not in path or path.count("/") == 2 for path in pages)
    shown = "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;"
    assert any(path.startswith("/cell-line/A375") and f"Said here: {shown}" in html for path, html in pages.items())


def test_what_there_is_not_is_one_sentence(ask: Asked) -> None:
    for path in (
        "/nothing.html",
        "/run/x.html",
        "/drug/%2e%2e%2fpasswd.html",
        "/../l2aco.toml",
        "/runs-99.html",
        "/%00",
    ):
        status, html, _ = ask(path)
        assert (status, "Traceback" in html) == (404, False), path


def test_an_entity_has_its_profiles_side_by_side_neighbours_and_record(pages: dict[str, str]) -> None:
    (html,) = (html for path, html in pages.items() if path.startswith("/cell-line/A375"))
    assert html.count('class="side"') == 1 and "Said there" in html
    assert 'class="bar' in html and "reference-panel--fields" in html
    assert [row[0] for row in Links(html).rows if row[0] in ("demo", "own")] == ["demo", "own"]


def test_a_run_stands_beside_naive_predictors_and_controls_and_says_simulated(
    pages: dict[str, str], world: Workspace
) -> None:
    runs = {path: html for path, html in pages.items() if path.startswith("/run/")}
    assert len(runs) == 2 and all("SIMULATED" in html and "pair mean" in html for html in runs.values())
    control = next(html for path, html in runs.items() if "shuffled" in path)
    profiles = next(html for path, html in runs.items() if "shuffled" not in path)
    for html in (control, profiles):
        assert {"profiles", "shuffled"} <= {row[0] for row in Links(html).rows}
    assert "This is a control" in control and "This is a control" not in profiles
    assert "polyline" in control and "3 epochs" in control and "It was fitted at once" in profiles


def test_a_map_has_a_point_and_a_row_for_everybody(pages: dict[str, str]) -> None:
    (html,) = (html for path, html in pages.items() if path.startswith("/store/"))
    assert html.count("<title>") == 1 + 79 + 83
    assert len({row[0] for row in Links(html).rows if len(row) == 2}) >= 79 + 83


def test_search_finds_names_slips_and_synonyms(ask: Asked) -> None:
    for text, name in (("erlotinb", "Erlotinib"), ("Tarceva", "Erlotinib"), ("a 375", "A375"), ("onerror", IMAGE)):
        _, html, _ = ask(f"/search.html?q={quote(text)}")
        assert name.casefold() in {row[0].casefold() for row in Links(html).rows if row}, text
    assert "Nobody is called so" in ask("/search.html?q=qqqqqqqq")[1]
    assert ask(f"/search.html?q={quote(MARKUP)}")[0] == 200


def test_search_for_a_name_that_several_have_finds_all() -> None:
    lines = [Entity(id_, EntityKind.cell_line, name) for id_, name in (("a", "HT-29"), ("b", "HT29"), ("c", "KELLY"))]
    found = Catalogue([Known(one) for one in lines]).search("ht 29")
    assert {one.entity.name for one in found} == {"HT-29", "HT29"}


def test_runs_are_filtered_by_words(ask: Asked) -> None:
    _, html, _ = ask("/runs.html?runs=mixed+shuffled")
    assert [row[0] for row in Links(html).rows if "demo-" in row[0]] and "1 of 2 runs" in html


@pytest.mark.parametrize("told", [{}, {"description": "x"}, {"set": "reference-panel"}], ids=["known", "text", "set"])
def test_the_form_gives_what_python_gives(ask: Asked, world: Workspace, told: dict[str, str]) -> None:
    run = best_run(world)
    status, html, _ = ask("/recommend.html", body={"cell": "A375", "top": "5", **told}, Origin=f"http://{ask.host}")
    if told:  # the run reads numbers, and knows this line
        assert status == 400 and 'class="simulated"' in html
        return
    found = rank_pairs(run, "A375", top=5)
    rows = [row for row in Links(html).rows if row[0].isdecimal()]
    assert status == 200 and len(rows) == 5
    for row, pair in zip(rows, found.pairs, strict=True):
        assert row[1:3] == [pair.drug_a, pair.drug_b] and pair.as_row()["synergy"] in row
    assert not [note for note in found.notes if note not in unescape(html)]
    reasons = [text for pair in found.pairs for text in (*pair.reasons.supports, *pair.reasons.against)]
    assert reasons and not [text for text in reasons if text not in unescape(html)]


def test_several_lines_stand_beside_each_other(ask: Asked, world: Workspace) -> None:
    status, html, _ = ask("/recommend.html", body={"cell": "A375; MCF7", "top": "4"})
    desk = open_desk(best_run(world), ["A375", "MCF7"])
    lists = [desk.recommend(line, 4) for line in desk.lines]
    beside = across(desk, 4).rows()
    rows = Links(html).rows
    assert status == 200 and ["drug a", "drug b", "A375", "MCF7"] in rows
    shown = [row for row in rows if row[0] in {first for first, *_ in beside} and len(row) == 4]
    assert [[one[:4] for one in row[2:]] for row in shown] == [[f"{x:.2f}" for x in row[4:]] for row in beside]
    for found in lists:
        assert f"Pairs for {found.cell_line}" in html and not [
            note for note in found.notes if note not in unescape(html)
        ]


def test_names_with_commas_between_them_are_answered_with_semicolons(ask: Asked) -> None:
    status, html, _ = ask("/recommend.html", body={"cell": "MCF7, T47D"})
    assert status == 400 and "Several names stand with semicolons between them" in html


def test_the_form_chooses_pairs_as_python_does(ask: Asked, world: Workspace) -> None:
    asked = {"drugs": "Erlotinib", "pairs": "all", "diverse": "yes", "min_triples": "3", "pool": "all", "held_out": "y"}
    _, html, _ = ask("/recommend.html", body={"cell": "A375", **asked})
    only = Only("all", min_triples=3, unmeasured=False, diverse=True)
    found = rank_pairs(best_run(world), "A375", drugs=["Erlotinib"], only=only, held_out=True)
    assert " rows that the run's split kept for tests are taken up too" in unescape(html)
    rows = [row for row in Links(html).rows if row[0].isdecimal()]
    assert rows and [row[1:3] for row in rows] == [[pair.drug_a, pair.drug_b] for pair in found.pairs]


def test_a_new_line_is_ranked_by_the_profile_that_a_set_has_of_it(ask: Asked, world: Workspace) -> None:
    record = sets.open_profile_set("reference-panel", world)
    new = next(one for one in record.records() if one.kind == "cell_line" and one.entity_name not in _trained(world))
    status, html, _ = ask("/recommend.html", body={"cell": new.entity_name, "set": "reference-panel", "top": "3"})
    found = rank_pairs(best_run(world), new.entity_name, top=3, told=Told(fields=dict(new.fields)))
    rows = [row for row in Links(html).rows if row[0].isdecimal()]
    assert status == 200
    assert [row[1:3] for row in rows] == [[pair.drug_a, pair.drug_b] for pair in found.pairs]


def _trained(world: Workspace) -> set[str]:
    return {line.name for line in best_run(world).entities(EntityKind.cell_line)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"cell": ""},
        {"cell": "no such line"},
        {"cell": MARKUP},
        {"cell": " ; "},
        {"cell": "A375; no such line"},
        {"cell": "A375; New", "description": "x"},
        {"cell": "A375", "top": "0"},
        {"cell": "A375", "top": "a"},
        {"cell": "A375", "run": "../.."},
        {"cell": "A375", "drugs": "Erlotinib\nErlotinib"},
        {"cell": "A375", "set": OUTSIDE},
        {"cell": "A375", "pool": "own.csv"},
        {"cell": "A375", "classes": MARKUP},
        {"cell": "New", "description": "x" * 250_000},
    ],
    ids=lambda wrong: " ".join(wrong),
)
def test_a_wrong_form_says_what_is_wrong(ask: Asked, wrong: dict[str, str]) -> None:
    status, html, _ = ask("/recommend.html", body=wrong)
    assert status == 400 and 'class="simulated"' in html and MARKUP not in html


def test_nothing_is_written(ask: Asked, world: Workspace, pages: dict[str, str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.root.rglob("*")}
    ask("/recommend.html", body={"cell": "A375"})
    ask("/search.html?q=skin")
    for path in kinds_of(pages):
        ask(path)
    assert {path: path.stat().st_mtime_ns for path in world.root.rglob("*")} == before


def test_what_changes_on_disk_changes_on_the_pages(ask: Asked, world: Workspace) -> None:
    path = "/" + next(link for link in Links(ask("/index.html")[1]).found if link.startswith("set/second"))
    write_set(world, "second", [profile("A375", "Said there"), profile("SAID-ANEW", "x")])
    assert "SAID-ANEW" in ask(path)[1] and "SAID-ANEW" in ask("/cell-lines.html")[1]


def test_what_is_damaged_says_so_and_the_rest_is_there(ask: Asked, world: Workspace) -> None:
    run = open_run("shuffled", world)
    manifest = json.loads((run.path / "manifest.json").read_text())
    kept = (run.path / "metrics.json").read_bytes()
    (run.path / "metrics.json").write_text("{}")
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    _, home, _ = ask("/runs.html")
    assert "Left out" in home and "Mixed" in home
    (run.path / "metrics.json").write_bytes(kept)
    (run.path / "manifest.json").write_text(json.dumps(manifest, indent=1))
    assert "Left out" not in ask("/runs.html")[1]


@pytest.fixture(scope="module")
def exported(world: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export in the place of an earlier one."""
    folder = tmp_path_factory.mktemp("exports") / "out"
    folder.mkdir()
    (folder / MARK).touch()
    (folder / "old.html").touch()
    _cli("explore", "--export", str(folder), "--workspace", str(world.root), "--quiet")
    assert not (folder / "old.html").exists()
    return folder


def test_exported_links_all_resolve(exported: Path) -> None:
    files = set(exported.rglob("*.html"))
    assert len(files) > 100 and not list(exported.rglob("recommend.html"))
    for path in files:
        text = path.read_text()
        assert "Content-Security-Policy" in text[:200] and "<form" not in text and "cannot be shown" not in text
        if path.parent.name == "report":
            continue
        for link in Links(text).found - {"data:,"}:
            target = path.parent / link.partition("#")[0] if not link.startswith("#") else path
            assert target.is_file() and target.resolve().is_relative_to(exported.resolve()), (path, link)


def test_an_export_replaces_nothing_of_others(world: Workspace, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    result = CliRunner().invoke(app, ["explore", "--export", str(tmp_path), "--workspace", str(world.root)])
    assert result.exit_code == 2 and (tmp_path / "mine.txt").read_text() == "mine"


def test_a_report_that_leads_out_of_the_workspace_is_none(world: Workspace, ask: Asked, tmp_path: Path) -> None:
    _report(tmp_path / "elsewhere")
    link = world.bench / "linked"
    link.symlink_to(tmp_path / "elsewhere")
    try:
        assert "linked" not in ask("/suites.html")[1]
    finally:
        link.unlink()


def test_without_the_extra_it_says_how_to_get_it(
    world: Workspace, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "l2aco[explore]" in cli("explore", "--workspace", world.root, code=1).output


def test_who_is_quicker_than_the_server_waits(world: Workspace) -> None:
    """The address is printed before the first page can be answered."""
    found = prepare(world)
    with found.socket:
        socket.create_connection(found.socket.getsockname(), timeout=10).close()


def test_a_port_that_is_taken_is_said(served: Served, cli: Callable[..., Any], world: Workspace) -> None:
    port = served.socket.getsockname()[1]
    assert str(port) in cli("explore", "--workspace", world.root, "--port", port, code=2).output


@pytest.fixture
def tab(browser: Any, ask: Asked) -> Iterator[Any]:
    """A phone's window that came by the printed address; nothing is on its console by the end."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    opened = context.new_page()
    said = listened(opened, but="sandboxed")
    opened.goto(ask.address)
    yield opened
    context.close()
    assert not said


def test_pages_fit_a_phone_and_axe_finds_nothing_serious(tab: Any, ask: Asked, pages: dict[str, str]) -> None:
    asked = [*(path for path in kinds_of(pages) if not path.startswith("/report/")), "/search.html?q=erlotinb"]
    for at, path in enumerate([*asked, "/recommend.html"]):
        tab.emulate_media(color_scheme="dark" if at % 2 else "light")
        tab.goto(f"http://{ask.host}{path}")
        assert fits(tab), path
        assert not serious(tab), path


def test_a_report_looks_as_it_likes_and_runs_nothing(tab: Any, ask: Asked, pages: dict[str, str]) -> None:
    path = next(path for path in pages if path.startswith("/report/"))
    tab.goto(f"http://{ask.host}{path}")
    assert tab.title() == "Mine"
    assert tab.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(0, 128, 128)"


def test_the_form_by_keyboard(tab: Any, ask: Asked) -> None:
    tab.goto(f"http://{ask.host}/recommend.html")
    tab.locator("main input[name=cell]").focus()
    tab.keyboard.type("A375")
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="Pairs for A375").wait_for()
    assert tab.locator("table a").count() >= 20


@pytest.mark.parametrize("width", [390, 1280])
def test_the_form_of_several_lines_by_keyboard(tab: Any, ask: Asked, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 844})
    tab.goto(f"http://{ask.host}/recommend.html")
    tab.locator("main input[name=cell]").focus()
    tab.keyboard.type("A375; MCF7")
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="Probability of synergy in each line").wait_for()
    assert tab.locator("main input[name=cell]").input_value() == "A375; MCF7"
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        assert fits(tab) and not serious(tab)


def test_exported_pages_work_from_the_disk(browser: Any, exported: Path) -> None:
    opened = browser.new_page()
    opened.goto((exported / "index.html").as_uri())
    opened.get_by_role("link", name="Cell lines", exact=True).click()
    assert opened.locator("th button").count() > 0  # the script is there
    assert opened.evaluate("getComputedStyle(document.querySelector('table')).borderCollapse") == "collapse"
    opened.goto(next((exported / "report").iterdir()).as_uri())
    assert opened.title() == "Mine"
    opened.close()
