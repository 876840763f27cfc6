"""An embeddings API over real HTTP on the loopback: order, retries, budget, and no key anywhere."""

from __future__ import annotations

import asyncio
import base64
import json

import numpy as np
import pytest
from small_stores import profile, write_set
from werkzeug import Response

from l2aco.embeddings import embed as embed_module
from l2aco.embeddings.embed import embed_profiles
from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.encoders.table import make_encoder, resolve_encoder
from l2aco.embeddings.spec import EmbedSpec
from l2aco.embeddings.store.store import open_store
from l2aco.errors import L2aCoError, MismatchError, PartlyDoneError, UnavailableError
from l2aco.workspace import Workspace

KEY = "sk-very-secret"


def vector_of(text):
    return np.random.default_rng(len(text)).normal(size=8).astype("<f4")


def answer(texts, *, as_base64=True):
    data = []
    for index, text in reversed(list(enumerate(texts))):  # an API need not keep the order
        row = vector_of(text)
        value = base64.b64encode(row.tobytes()).decode() if as_base64 else row.tolist()
        data.append({"index": index, "embedding": value})
    return {"data": data, "usage": {"prompt_tokens": 10 * len(texts)}}


@pytest.fixture
def server(httpserver, monkeypatch, own_settings):
    """A server that the user's own configuration names: it gets the key."""
    monkeypatch.setenv("L2ACO_API_KEY", KEY)
    own_settings.write_text(
        "".join(
            f'[encoders.own{n}]\nbase_url = "{httpserver.url_for(path)}"\n' for n, path in enumerate(("/v1/", "/e/v1"))
        )
    )
    httpserver.seen = []

    def serve(respond):
        def handle(request):
            body = json.loads(request.data)
            httpserver.seen.append(body["input"])
            assert request.headers["Authorization"] == f"Bearer {KEY}"
            return respond(body, len(httpserver.seen))

        httpserver.expect_request("/v1/embeddings", method="POST").respond_with_handler(handle)
        return httpserver

    return serve


def encoder_for(server, **more):
    facts = {"dimension": 8, "window": 100, "base_url": server.url_for("/v1"), "price_per_million": 1000.0}
    spec = EncoderSpec(name="api", runtime="openai", model="embed-1", **{**facts, **more.pop("facts", {})})
    return make_encoder(spec, **more)


def ok(body, _):
    return Response(json.dumps(answer(body["input"])), content_type="application/json")


def test_rows_follow_the_texts_and_repeats_are_sent_once(server):
    http = server(ok)
    encoder = encoder_for(http)
    texts = ["one", "three", "one", "seventeen"]
    vectors = encoder.encode(texts)
    expected = np.stack([vector_of(text) for text in texts])
    np.testing.assert_allclose(vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert http.seen == [["one", "three", "seventeen"]]
    assert encoder.stats.tokens == 30 and encoder.stats.cost_usd == pytest.approx(0.03)


def test_plain_lists_of_floats_are_read_too(server):
    http = server(lambda body, _: Response(json.dumps(answer(body["input"], as_base64=False))))
    np.testing.assert_allclose(
        encoder_for(http).encode(["one"])[0], vector_of("one") / np.linalg.norm(vector_of("one")), atol=1e-6
    )


def test_a_passing_failure_is_tried_again(server):
    def flaky(body, number):
        if number == 1:
            return Response("{}", status=429, headers={"retry-after-ms": "10"})
        return Response("<html>", status=200) if number == 2 else ok(body, number)

    http = server(flaky)
    assert encoder_for(http).encode(["one"]).shape == (1, 8)
    assert len(http.seen) == 3


def test_a_lasting_failure_ends_at_once_without_the_key(server):
    http = server(lambda body, _: Response(json.dumps({"error": {"message": f"bad key {KEY}"}}), status=401))
    with pytest.raises(L2aCoError) as caught:
        encoder_for(http).encode(["one"])
    assert "key refused" in str(caught.value) and KEY not in str(caught.value)
    assert len(http.seen) == 1


def test_a_missing_row_is_no_answer(server, monkeypatch):
    monkeypatch.setattr("l2aco.embeddings.encoders.openai.ATTEMPTS", 1)
    http = server(lambda body, _: Response(json.dumps({"data": answer(body["input"])["data"][1:]})))
    with pytest.raises(L2aCoError):
        encoder_for(http).encode(["one", "three"])


def test_the_budget_stops_before_the_call_that_would_break_it(server):
    http = server(ok)
    encoder = encoder_for(http, budget_usd=0.02)
    encoder.encode(["one"])
    with pytest.raises(L2aCoError, match=r"budget of \$0\.02 is used up"):
        encoder.encode(["many different words in a row " * 2])
    assert len(http.seen) == 1


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0}, {"total_tokens": 11}, {"prompt_tokens": None}])
def test_the_budget_counts_what_the_server_does_not(server, usage):
    http = server(lambda body, _: Response(json.dumps({**answer(body["input"]), "usage": usage})))
    encoder = encoder_for(http, budget_usd=0.02)
    encoder.encode(["of ten words " * 3 + "one"])
    counted = 11 if usage and usage.get("total_tokens") else 10
    assert encoder.stats.tokens == counted and encoder.stats.cost_usd == pytest.approx(counted / 1000)
    with pytest.raises(L2aCoError, match=r"budget of \$0\.02 is used up"):
        encoder.encode(["and of ten words " * 2 + "more text"])
    assert len(http.seen) == 1


def test_many_texts_go_in_several_calls(server):
    http = server(ok)
    texts = ["t" * (number + 1) for number in range(150)]
    vectors = encoder_for(http).encode(texts)
    assert sorted(map(len, http.seen)) == [22, 128]
    np.testing.assert_allclose(vectors[149], vector_of(texts[149]) / np.linalg.norm(vector_of(texts[149])), atol=1e-6)


def settings_for(workspace, server, path="/v1"):
    """The workspace with the server as its encoder `api`."""
    facts = {"runtime": "openai", "model": "embed-1", "base_url": server.url_for(path)}
    lines = [f'{name} = "{value}"' for name, value in facts.items()]
    text = "\n".join(['encoder = "api"', "[encoders.api]", *lines, "dimension = 8", "window = 1000", ""])
    (workspace.root / "l2aco.toml").write_text(text)
    return Workspace(workspace.root)


def refused(body):
    return Response(json.dumps({"error": {"message": "bad input"}}), status=400) if "bad" in body["input"] else None


def test_what_came_back_beside_a_refused_text_is_kept(server, workspace, monkeypatch):
    answers = {"bad": refused}
    http = server(lambda body, number: answers["bad"](body) or ok(body, number))
    monkeypatch.setattr(embed_module, "FIRST_TEXTS", 1000)
    here = settings_for(workspace, http)
    texts = [*("t" * (number + 1) for number in range(149)), "bad"]
    write_set(here, "one", [profile(f"C{place}", text) for place, text in enumerate(texts)])
    with pytest.raises(PartlyDoneError, match=r"(?s)no vectors for 1 texts: rejected.*What is embedded is kept"):
        embed_profiles(EmbedSpec(), here)
    store = open_store("one--api", here)
    assert sorted(store.records()["id"]) == sorted(f"C{number}" for number in range(149))
    np.testing.assert_allclose(
        store.vectors("cell_line", ["C5"])[0][0], vector_of(texts[5]) / np.linalg.norm(vector_of(texts[5])), atol=1e-6
    )
    answers["bad"] = lambda body: None
    (report,) = embed_profiles(EmbedSpec(), here)
    assert (report.unchanged, report.encoded) == (149, 1)
    assert http.seen[-1] == ["bad"]


@pytest.fixture
def small_batches(monkeypatch):
    for bound in ("FIRST_TEXTS", "MOST_TEXTS"):
        monkeypatch.setattr(embed_module, bound, 2)


@pytest.mark.usefixtures("small_batches")
def test_refused_texts_stop_no_other_batch_or_set(server, workspace):
    here = settings_for(workspace, server(lambda body, number: refused(body) or ok(body, number)))
    write_set(here, "one", [profile("GONE", "of an earlier set")])
    embed_profiles(EmbedSpec(), here)
    words = ["bad" if place in (0, 8) else "t" * (place + 1) for place in range(14)]
    write_set(here, "one", [profile(f"C{place}", text) for place, text in enumerate(words)])
    write_set(here, "two", [profile("D1", "another"), profile("D2", "bad"), profile("D3", "text")])
    with pytest.raises(PartlyDoneError) as caught:
        embed_profiles(EmbedSpec(index="hnsw"), here)
    message = str(caught.value)
    assert message.startswith("2 profiles of one, 1 profiles of two got no vector: api gave no vectors for 1 texts: ")
    assert "What is embedded is kept" in message
    one, two = open_store("one--api", here), open_store("two--api", here)
    assert set(one.records()["id"]) == {f"C{place}" for place, text in enumerate(words) if text != "bad"}
    assert sorted(two.records()["id"]) == ["D1", "D3"] and one.manifest.index.kind == "hnsw"


@pytest.mark.usefixtures("small_batches")
def test_a_batch_without_any_vector_stops_the_job(server, workspace):
    down = Response(json.dumps({"error": {"message": "no"}}), status=401)
    http = server(lambda body, number: down if number > 2 else refused(body) or ok(body, number))
    here = settings_for(workspace, http)
    write_set(here, "one", [profile(f"C{number}", "t" * (number + 1)) for number in range(12)])
    with pytest.raises(L2aCoError, match="no vectors for 2 texts: key refused") as caught:
        embed_profiles(EmbedSpec(), here)
    assert not isinstance(caught.value, PartlyDoneError)
    assert len(open_store("one--api", here)) == 4 and len(http.seen) == 3


def test_after_a_lasting_failure_no_further_call_is_made(server):
    http = server(lambda body, _: Response(json.dumps({"error": {"message": "no"}}), status=401))
    with pytest.raises(L2aCoError, match="no vectors for 2,000 texts: key refused"):
        encoder_for(http).encode([f"t{number}" for number in range(2000)])
    assert len(http.seen) <= 8


def test_a_wrong_dimension_is_told_after_one_call(server):
    http = server(ok)
    with pytest.raises(L2aCoError, match=r"(?s)size 8, not 4.*Correct `dimension`"):
        encoder_for(http, facts={"dimension": 4}).encode(["one", "three"])
    assert len(http.seen) == 1


def test_a_notebook_whose_event_loop_runs_can_encode(server):
    encoder = encoder_for(server(ok))

    async def notebook():
        return encoder.encode(["one"])

    assert asyncio.run(notebook()).shape == (1, 8)


def test_vectors_of_two_servers_are_not_mixed(server, workspace):
    http = server(ok)
    here = settings_for(workspace, http)
    write_set(here, "one", [profile("C1", "one")])
    embed_profiles(EmbedSpec(), here)
    elsewhere = settings_for(workspace, http, "/e/v1")
    write_set(here, "one", [profile("C1", "one"), profile("C2", "three")])
    with pytest.raises(MismatchError, match=r"base_url .*/v1' there, .*/e/v1' here"):
        embed_profiles(EmbedSpec(), elsewhere)


def test_openai_needs_its_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("L2ACO_API_KEY", raising=False)
    with pytest.raises(UnavailableError, match="OPENAI_API_KEY"):
        make_encoder(resolve_encoder("text-embedding-3-small")).encode(["text"])
