"""Embedding servers as they are: smaller calls, whole texts, clear errors."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest
from any_bytes import DEEP, altered_json, dumps, feed, json_values, mutated
from embedding_server import DIMENSION, LETTERS, MOST, answer, respond, serve, vector_of
from hypothesis import strategies as st
from small_stores import profile, save_bert, write_set
from werkzeug import Response

from l2aco.embeddings import embed as embed_module
from l2aco.embeddings.embed import embed_profiles
from l2aco.embeddings.encoders.base import EncodingInterrupted, PartlyEncodedError
from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.encoders.table import make_encoder
from l2aco.embeddings.spec import EmbedSpec
from l2aco.embeddings.store.store import open_store
from l2aco.errors import L2aCoError
from l2aco.workspace import Workspace

TEXTS = [f"{'word ' * (number % 9)}{number}" for number in range(150)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("l2aco.embeddings.encoders.openai.ATTEMPTS", 2)


def encoder_at(server, **facts):
    window = facts.pop("window", 8191)
    spec = EncoderSpec(
        name="api",
        runtime="openai",
        model="embed-1",
        dimension=DIMENSION,
        window=window,
        base_url=server.url_for("/v1"),
        **facts,
    )
    return make_encoder(spec)


def vectors_of(texts):
    return np.stack([vector_of(text) for text in texts])


@pytest.mark.parametrize("manner", ["usual", *MOST, "no base64", "floats", "all index 0", "no index"])
def test_every_text_gets_its_vector(httpserver, manner):
    seen = serve(httpserver, manner)
    encoder = encoder_at(httpserver)
    np.testing.assert_allclose(encoder.encode(TEXTS), vectors_of(TEXTS), atol=1e-6)
    first = len(seen())
    np.testing.assert_allclose(encoder.encode(TEXTS[:60]), vectors_of(TEXTS[:60]), atol=1e-6)
    most = MOST.get(manner, 1 if manner == "all index 0" else 128)
    assert len(seen()) - first <= -(-60 // most) + 9, "what was learned is kept"
    assert encoder.stats.tokens == 600 and encoder.stats.long == ()


def test_texts_of_the_window_are_sent_whole(httpserver):
    """Windows count tokens: 507 of them are 2,000 to 3,000 letters, which used to be cut at 1,024 and averaged."""
    seen = serve(httpserver, "usual")
    texts = [f"{number} " + "inhibits signalling " * 120 for number in range(20)]
    encoder = encoder_at(httpserver, window=512)
    np.testing.assert_allclose(encoder.encode(texts), vectors_of(texts), atol=1e-6)
    assert seen() == [texts] and encoder.stats.long == ()


@pytest.mark.parametrize("manner", ["too long", "too long, counted"])
@pytest.mark.parametrize("rule", ["cut", "chunk"])
def test_only_what_the_server_refuses_is_cut(httpserver, manner, rule):
    seen = serve(httpserver, manner)
    long, other = (" ".join(f"{word}{number}" for number in range(200)) for word in ("word", "text"))
    texts = ["short", long, "x" * LETTERS, other, "another"]
    encoder = encoder_at(httpserver, long=rule)
    rows = encoder.encode(texts)
    assert encoder.stats.long == (1, 3)
    np.testing.assert_allclose(rows[[0, 2, 4]], vectors_of([texts[0], texts[2], texts[4]]), atol=1e-6)
    taken = {text for call in seen() for text in call if len(text) <= LETTERS}
    for row, text in ((1, texts[1]), (3, texts[3])):
        pieces = split_as_taken(text, taken)
        assert len(pieces) > 2 or rule == "cut"
        kept = pieces if rule == "chunk" else pieces[:1]
        mean = sum(len(piece) * vector_of(piece) for piece in kept)
        np.testing.assert_allclose(rows[row], mean / np.linalg.norm(mean), atol=1e-6)
        assert len(pieces[0]) > LETTERS / 2 and text[len(pieces[0])] == " ", "between words, and not by half"
    assert len(seen()) < 40


def split_as_taken(text, taken):
    """The pieces of a text that a server took, as far as they follow each other."""
    pieces, at = [], 0
    while found := [piece for piece in taken if piece and text.startswith(piece, at)]:
        pieces.append(max(found, key=len))
        at += len(pieces[-1])
    return pieces


def test_tokens_are_counted_where_the_models_tokenizer_is_at_hand(httpserver, tmp_path):
    folder = save_bert(tmp_path / "served")
    seen = serve(httpserver, "usual")
    words = ["braf", "melanoma", "line"] * 20
    spec = EncoderSpec(
        name="api",
        runtime="openai",
        model=str(folder),
        dimension=DIMENSION,
        window=32,
        base_url=httpserver.url_for("/v1"),
    )
    cut, chunk = (make_encoder(spec.model_copy(update={"long": rule})) for rule in ("cut", "chunk"))
    fits, long = " ".join(words[:30]), " ".join(words)
    np.testing.assert_allclose(cut.encode([fits, long]), vectors_of([fits, fits]), atol=1e-6)
    assert cut.stats.long == (1,)
    pieces = [fits, " " + fits]
    mean = sum(len(piece) * vector_of(piece) for piece in pieces)
    np.testing.assert_allclose(chunk.encode([long])[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert [len(call) for call in seen()] == [2, 2]


@pytest.mark.parametrize(
    ("manner", "message"),
    [
        ("null", "it answered null in place of a vector"),
        ("nan", "a vector that is not finite"),
        ("zero", "a vector of zeros"),
        ("fewer", "it answered 127 of 128 texts|it answered 21 of 22 texts"),
        ("one bad text", "this input is not acceptable"),
    ],
)
def test_a_text_without_a_vector_takes_no_other_with_it(httpserver, manner, message):
    seen = serve(httpserver, manner)
    texts = [*TEXTS[:149], "bad"]
    with pytest.raises(PartlyEncodedError, match=message) as caught:
        encoder_at(httpserver).encode(texts)
    got = ~np.isnan(caught.value.vectors[:, 0])
    lost = 1 if manner == "one bad text" else 2  # the last of each call
    assert (~got).sum() == lost and f"no vectors for {lost} texts" in str(caught.value)
    np.testing.assert_allclose(
        caught.value.vectors[got], vectors_of([texts[n] for n in np.flatnonzero(got)]), atol=1e-6
    )
    assert len(seen()) < 20


@pytest.mark.parametrize(
    ("manner", "message", "calls"),
    [
        ("short", r"(?s)size 5, not 8.*Correct `dimension`", 1),
        ("overloaded with 200", "rate limited: .*overloaded", 2),
        ("key with 200", "key refused: .*invalid api key", 1),
        ("everything refused", "rejected: .*unknown parameter: input", 12),
    ],
)
def test_a_server_that_gives_nothing_is_one_message_after_few_calls(httpserver, manner, message, calls):
    seen = serve(httpserver, manner)
    with pytest.raises(L2aCoError, match=message):
        encoder_at(httpserver).encode(TEXTS * 4 + [f"more {number}" for number in range(500)])
    assert len(seen()) <= calls


def test_waiting_is_said_once(httpserver):
    serve(httpserver, "overloaded with 200")
    said = []

    class News:
        def say(self, text):
            said.append(text)

        def task(self, *_, **__):
            from contextlib import nullcontext

            return nullcontext(lambda done=1, note="": None)

    with pytest.raises(L2aCoError):
        encoder_at(httpserver).encode(["text"], progress=News())
    (line,) = [line for line in said if "trying again" in line]
    assert "overloaded" in line


@pytest.fixture
def interruptible():
    """A shell that starts the tests in the background has them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_what_was_answered_before_an_interrupt_is_kept(httpserver, workspace, own_settings, cli, monkeypatch):
    seen: list[list[str]] = []

    def handle(request):
        import json

        body = json.loads(request.data)
        seen.append(body["input"])
        if len(seen) == 2:
            threading.Event().wait(1)  # until the answer to the first has been read
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            threading.Event().wait(1)
        return Response(json.dumps(answer(body["input"])), content_type="application/json")

    httpserver.expect_request("/v1/embeddings", method="POST").respond_with_handler(handle)
    monkeypatch.setattr(embed_module, "FIRST_TEXTS", 1000)
    own_settings.write_text(
        f'encoder = "api"\n[encoders.api]\nruntime = "openai"\nmodel = "m"\ndimension = {DIMENSION}\nwindow = 99\n'
        f'base_url = "{httpserver.url_for("/v1")}"\n'
    )
    here = Workspace(workspace.root)
    write_set(here, "one", [profile(f"C{number}", text) for number, text in enumerate(TEXTS)])
    stopped = cli("embed", code=130)
    assert "128 of 150 profiles are embedded and kept." in stopped.stderr
    assert len(open_store("one--api", here)) == 128
    (report,) = embed_profiles(EmbedSpec(), here)
    assert (report.unchanged, report.encoded) == (128, 22)


def test_an_interrupt_before_anything_was_answered_keeps_nothing(httpserver, monkeypatch):
    serve(httpserver, "usual")
    monkeypatch.setattr("l2aco.embeddings.encoders.openai.run_in_loop", _interrupted)
    with pytest.raises(EncodingInterrupted) as caught:
        encoder_at(httpserver).encode(["text"])
    assert np.isnan(caught.value.vectors).all()


def _interrupted(work):
    work.close()
    raise KeyboardInterrupt


def test_an_answer_with_anything_in_it(httpserver, monkeypatch):
    bodies: list[bytes] = []
    httpserver.expect_request("/v1/embeddings", method="POST").respond_with_handler(
        lambda _: Response(bodies[0], content_type="application/json")
    )
    valid = answer(["one", "two"], "floats")

    def read(body):
        bodies[:] = [body.encode("utf-8", "replace") if isinstance(body, str) else body]
        encoder_at(httpserver).encode(["one", "two"])

    monkeypatch.setattr("l2aco.embeddings.encoders.openai.ATTEMPTS", 1)
    whole = altered_json(valid).map(dumps) | json_values().map(dumps) | st.sampled_from(DEEP)
    feed(whole | mutated(dumps(valid).encode()), read)


def test_the_manners_of_these_tests_are_what_they_are_called():
    assert respond("usual", {"input": ["a"], "encoding_format": "base64"})[0] == 200
    assert respond("takes 10", {"input": ["a"] * 11})[0] == 400
