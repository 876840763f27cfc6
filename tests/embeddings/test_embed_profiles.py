"""`embed_profiles`: only what is new is encoded, what is gone goes, and nothing is lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
from small_stores import WORDS, profile, write_set

from l2aco.embeddings import embed as embed_module
from l2aco.embeddings.embed import embed_profiles
from l2aco.embeddings.encoders.local import LocalEncoder
from l2aco.embeddings.encoders.table import load_encoder
from l2aco.embeddings.spec import EmbedSpec
from l2aco.embeddings.store.store import EmbeddingStore, list_stores, open_store
from l2aco.errors import DamagedError, InputError, MismatchError, PartlyDoneError, UnknownNameError
from l2aco.workspace import Workspace

LINES = [profile(f"C{number}", f"braf melanoma {WORDS[number]} line") for number in range(12)]
DRUGS = [profile(f"D{number}", f"kinase inhibitor {WORDS[number]}", kind="drug") for number in range(8)]


class News:
    """A progress that remembers what was said."""

    def __init__(self):
        self.lines, self.done = [], 0

    def say(self, text):
        self.lines.append(text)

    def task(self, label, total=None, unit=""):
        from contextlib import contextmanager

        def advance(done=1, note=""):
            self.done += done

        @contextmanager
        def bar():
            yield advance

        return bar()


class Meddler(News):
    """Somebody else, who acts once between the plan and its execution."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def task(self, *arguments, **more):
        act, self.act = self.act, lambda: None
        act()
        return super().task(*arguments, **more)


@pytest.fixture
def no_model(monkeypatch):
    """From here on, loading a model is an error."""

    def forbid():
        def refuse(*_):
            raise AssertionError("a model was loaded")

        monkeypatch.setattr(LocalEncoder, "_ready", refuse)

    return forbid


def test_every_set_gets_its_store_and_a_second_run_loads_no_model(tiny_workspace, no_model):
    write_set(tiny_workspace, "one", LINES + DRUGS)
    write_set(tiny_workspace, "two", LINES[:2])
    news = News()
    reports = embed_profiles(EmbedSpec(), tiny_workspace, news)
    assert [(report.store, report.records, report.added) for report in reports] == [
        ("one--tiny", 20, 20),
        ("two--tiny", 2, 2),
    ]
    assert news.done == 22
    store = open_store("one--TINY", tiny_workspace)
    table, mask = store.vectors("cell_line", [record.entity_id for record in LINES])
    assert mask.all()
    direct = load_encoder("tiny", tiny_workspace.settings).encode([record.text for record in LINES])
    np.testing.assert_allclose(table, direct, atol=1e-6)
    no_model()
    generations = [item.manifest.generation for item in list_stores(tiny_workspace)]
    again = embed_profiles(EmbedSpec(), tiny_workspace)
    assert [(report.encoded, report.unchanged) for report in again] == [(0, 20), (0, 2)]
    assert [item.manifest.generation for item in list_stores(tiny_workspace)] == generations


def test_only_what_changed_is_encoded(tiny_workspace):
    write_set(tiny_workspace, "one", LINES)
    embed_profiles(EmbedSpec(), tiny_workspace)
    changed = profile("C3", "something else about the lung")
    write_set(tiny_workspace, "one", [*LINES[:3], changed, *LINES[4:11], DRUGS[0]])
    (report,) = embed_profiles(EmbedSpec(), tiny_workspace)
    assert (report.encoded, report.added, report.replaced, report.deleted, report.unchanged) == (2, 1, 1, 1, 10)
    store = open_store("one--tiny", tiny_workspace)
    assert len(store) == 12
    assert store.vectors("cell_line", ["C3", "C11"])[1].tolist() == [True, False]
    assert store.records(text=True).filter(id="C3")["text"].item() == changed.text


def test_new_facts_about_an_unchanged_text_need_no_model(tiny_workspace, no_model):
    write_set(tiny_workspace, "one", LINES)
    embed_profiles(EmbedSpec(), tiny_workspace)
    no_model()
    write_set(tiny_workspace, "one", [profile("C0", LINES[0].text, llm="qwen"), *LINES[1:]])
    (report,) = embed_profiles(EmbedSpec(), tiny_workspace)
    assert (report.encoded, report.reused, report.replaced) == (0, 1, 1)
    assert open_store("one--tiny", tiny_workspace).manifest.counts["llm"] == {"qwen": 1, "test": 11}


def test_a_text_that_another_store_knows_is_not_encoded_again(tiny_workspace, no_model):
    write_set(tiny_workspace, "one", LINES)
    embed_profiles(EmbedSpec(), tiny_workspace)
    no_model()
    write_set(tiny_workspace, "copy", [profile(f"X{place}", item.text) for place, item in enumerate(LINES)])
    (report,) = embed_profiles(EmbedSpec(sets=("copy",)), tiny_workspace)
    assert (report.encoded, report.reused) == (0, 12)
    ours = open_store("copy--tiny", tiny_workspace).vectors("cell_line", ["X5"])[0]
    np.testing.assert_array_equal(ours, open_store("one--tiny", tiny_workspace).vectors("cell_line", ["C5"])[0])


def test_an_empty_workspace_embeds_the_reference_set_and_says_so(tiny_workspace, monkeypatch):
    news = News()
    monkeypatch.setattr(embed_module.ProfileSet, "records", lambda self: iter(LINES[:2]))
    (report,) = embed_profiles(EmbedSpec(), tiny_workspace, news)
    assert report.store == "reference--tiny"
    assert "embedding the bundled set 'reference'" in news.lines[0]


def test_an_unknown_set_is_refused_with_a_suggestion(tiny_workspace):
    with pytest.raises(UnknownNameError, match="reference"):
        embed_profiles(EmbedSpec(sets=("referense",)), tiny_workspace)


def test_a_store_of_another_encoder_is_refused_and_left_alone(tiny_workspace):
    write_set(tiny_workspace, "one", LINES)
    embed_profiles(EmbedSpec(), tiny_workspace)
    settings = tiny_workspace.root / "l2aco.toml"
    settings.write_text(settings.read_text().replace("window = 64", "window = 32"))
    write_set(tiny_workspace, "one", DRUGS)
    with pytest.raises(MismatchError, match="window 64 there, 32 here"):
        embed_profiles(EmbedSpec(), Workspace(tiny_workspace.root))
    assert len(open_store("one--tiny", tiny_workspace)) == 12


def test_an_empty_profile_stops_before_anything_is_written(tiny_workspace, no_model):
    write_set(tiny_workspace, "one", [*LINES, profile("BAD", "   ")])
    no_model()
    with pytest.raises(InputError, match="cell_line BAD: the profile is empty"):
        embed_profiles(EmbedSpec(), tiny_workspace)
    assert not tiny_workspace.embeddings.exists()


def test_a_run_that_breaks_off_goes_on_where_it_stopped(tiny_workspace, monkeypatch):
    write_set(tiny_workspace, "one", LINES + DRUGS)
    monkeypatch.setattr(embed_module, "FIRST_TEXTS", 4)
    monkeypatch.setattr(embed_module, "FEWEST_TEXTS", 4)
    monkeypatch.setattr(embed_module, "MOST_TEXTS", 4)
    real, calls = LocalEncoder._encode, []

    def break_at_third(self, texts, progress):
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, texts, progress)

    monkeypatch.setattr(LocalEncoder, "_encode", break_at_third)
    with pytest.raises(KeyboardInterrupt):
        embed_profiles(EmbedSpec(), tiny_workspace)
    assert len(open_store("one--tiny", tiny_workspace)) == 8
    (report,) = embed_profiles(EmbedSpec(), tiny_workspace)
    assert (report.unchanged, report.encoded) == (8, 12)
    assert calls == [4, 4, 4, 4, 4, 4]


def test_texts_beyond_the_window_are_counted(tiny_workspace):
    write_set(tiny_workspace, "one", [*LINES[:3], profile("LONG", " ".join(WORDS * 5))])
    (report,) = embed_profiles(EmbedSpec(), tiny_workspace)
    assert report.long == 1
    store = EmbeddingStore.open(tiny_workspace.embeddings / "one--tiny")
    assert store.manifest.counts["long"] == 1
    assert store.records().filter(id="LONG")["long"].item()


def test_a_long_job_is_announced_with_a_faster_encoder(tiny_workspace, monkeypatch):
    write_set(tiny_workspace, "one", LINES + DRUGS)
    monkeypatch.setattr(embed_module, "LONG_JOB_SECONDS", 0.0)
    monkeypatch.setattr(embed_module, "FIRST_TEXTS", 4)
    settings = tiny_workspace.root / "l2aco.toml"
    settings.write_text(settings.read_text() + "megaparameters = 300\n")
    news = News()
    embed_profiles(EmbedSpec(), Workspace(tiny_workspace.root), news)
    (line,) = [line for line in news.lines if "will take about" in line]
    assert line.startswith("20 profiles will take about") and "minilm would take about" in line


def test_repeated_samples_of_an_entity_all_get_a_row(tiny_workspace):
    write_set(tiny_workspace, "one", [profile("C1", "braf line"), profile("C1", "melanoma line", sample=1)])
    (report,) = embed_profiles(EmbedSpec(), tiny_workspace)
    assert report.added == 2 and len(open_store("one--tiny", tiny_workspace)) == 2


def test_a_store_that_is_compacted_meanwhile_loses_only_what_is_gone(tiny_workspace):
    changed = [profile(f"C{number}", f"apoptosis {WORDS[number]}") for number in range(2)]
    for records in (LINES, [*changed, *LINES[2:]]):
        write_set(tiny_workspace, "one", records)
        embed_profiles(EmbedSpec(), tiny_workspace)
    write_set(tiny_workspace, "one", [*changed, *LINES[2:9], *LINES[10:], DRUGS[0]])
    compact = open_store("one--tiny", tiny_workspace).compact  # its rows get other numbers
    (report,) = embed_profiles(EmbedSpec(), tiny_workspace, Meddler(compact))
    assert report.deleted == 1
    held = open_store("one--tiny", tiny_workspace).records()["id"].to_list()
    assert sorted(held) == sorted({f"C{number}" for number in range(12)} - {"C9"} | {"D0"})


def test_a_set_that_grows_meanwhile_gets_what_was_planned(tiny_workspace):
    write_set(tiny_workspace, "one", LINES)
    grow = Meddler(lambda: write_set(tiny_workspace, "one", [*DRUGS, *LINES]))
    (report,) = embed_profiles(EmbedSpec(), tiny_workspace, grow)
    assert report.added == 12
    assert set(open_store("one--tiny", tiny_workspace).records()["kind"]) == {"cell_line"}


def test_profiles_that_vanish_meanwhile_are_no_success(tiny_workspace):
    write_set(tiny_workspace, "one", LINES)
    shrink = Meddler(lambda: write_set(tiny_workspace, "one", LINES[:10]))
    with pytest.raises(PartlyDoneError, match="2 of 12 profiles were not there any more"):
        embed_profiles(EmbedSpec(), tiny_workspace, shrink)
    assert len(open_store("one--tiny", tiny_workspace)) == 10


def test_a_damaged_store_of_another_set_is_named_and_not_copied_from(tiny_workspace):
    write_set(tiny_workspace, "one", LINES)
    embed_profiles(EmbedSpec(), tiny_workspace)
    vectors = next((tiny_workspace.embeddings / "one--tiny" / "segments").glob("*.npy"))
    vectors.write_bytes(vectors.read_bytes()[:-1])
    write_set(tiny_workspace, "two", LINES)
    news = News()
    (report,) = embed_profiles(EmbedSpec(sets=("two",)), tiny_workspace, news)
    assert report.encoded == 12
    assert any(line.startswith("left out:") and vectors.name in line for line in news.lines)
    with pytest.raises(DamagedError):
        embed_profiles(EmbedSpec(sets=("one",)), tiny_workspace)
