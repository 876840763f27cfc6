"""Encoders small enough to make here, profile sets on disk, records and vectors for stores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.embeddings.store.segments import StoreRecord
from l2aco.profiles.record import ProfileRecord
from l2aco.workspace import Workspace

WORDS = (
    "braf mutant melanoma line drug inhibitor kinase breast luminal colon apoptosis cell growth skin lung a b c".split()
)


def save_bert(folder: Path, *, family: str = "bert", seed: int = 0) -> Path:
    """A real, tiny BERT (2 layers, 32 wide, 64 positions) with a word-piece tokenizer, as BGE's authors save theirs."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

    torch.manual_seed(seed)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"defghijklmnopqrstuvwxyz0123456789:;.,-"]
    numbers = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"])]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
    )
    sizes = {
        "vocab_size": len(vocabulary),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "initializer_range": 0.5,
    }
    if family == "bert":
        model = BertModel(BertConfig(max_position_embeddings=64, **sizes))
    else:
        model = XLMRobertaModel(XLMRobertaConfig(max_position_embeddings=66, pad_token_id=0, **sizes))
    model.eval().save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def tiny_settings(folder: Path) -> str:
    """An l2aco.toml whose default encoder is the tiny BERT, mean-pooled by transformers."""
    return (
        'encoder = "tiny"\n[encoders.tiny]\n'
        f'runtime = "transformers"\nmodel = "{folder}"\nrevision = "sha256:tiny"\n'
        'dimension = 32\nwindow = 64\npooling = "mean"\n'
    )


def profile(id_: str, text: str, kind: str = "cell_line", **more: Any) -> ProfileRecord:
    facts = {"key": f"{id_}{more.get('sample', 0):060d}"[:64], "llm": "test", "fields": {"summary": text}, **more}
    return ProfileRecord(entity_id=id_, entity_name=more.pop("name", id_), kind=kind, text=text, **facts)


def write_set(workspace: Workspace, name: str, records: Sequence[ProfileRecord]) -> None:
    """A profile set on disk, as `l2aco profile` leaves it."""
    folder = workspace.profiles / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"schemas": {}}))
    lines = [json.dumps({**record.to_json(), "key": record.key.encode().hex()}) for record in records]
    (folder / "records.jsonl").write_text("".join(line + "\n" for line in lines))


SPEC = EncoderSpec(name="test", runtime="transformers", model="test", revision="1", dimension=16, window=64)


def some_records(numbers: Sequence[int], **more: Any) -> list[StoreRecord]:
    """Records n of two kinds; every third one of tissue skin."""
    return [
        StoreRecord(
            **{
                "kind": "drug" if number % 2 else "cell_line",
                "id": f"E{number}",
                "name": f"Entity {number}",
                "text": f"text of {number}",
                "set": "s",
                "llm": "test",
                "fields": {"tissue": "skin" if number % 3 == 0 else "lung", "targets": ["BRAF", f"T{number % 4}"]},
                **more,
            }
        )
        for number in numbers
    ]


def some_vectors(rows: int, dimension: int = 16, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
