"""What a chemical language model makes of a SMILES: the vectors that DFFNDDS reads of drugs (Xu et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from l2aco.data.features.base import Array, Feature
from l2aco.data.features.molecules import SMILES, canonical
from l2aco.data.features.table import FeatureTable
from l2aco.entities import Entity, EntityKind
from l2aco.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from l2aco.data.dataset import DataSet

TOKENS = 512
"""A longer SMILES is cut."""
BATCH = 32


class SmilesModel(Feature):
    """float32 (drugs, D): the mean over the tokens of the last hidden state, of the canonical SMILES.

    `smiles_model:MODEL` names a Hugging Face model or a folder; weights are read as safetensors, and no code of the
    model's own is run.
    """

    kind = EntityKind.drug
    brought_by = SMILES
    learns = True  # what is kept of it depends on the model

    def __init__(self, model: str) -> None:
        self.model = model

    @classmethod
    def fit(cls, dataset: DataSet, rows: Array | None = None) -> Self:
        raise UsageError(
            "smiles_model says nothing of which model",
            remedy="Name one of Hugging Face or a folder: smiles_model:MODEL.",
        )

    def of(self, entities: Sequence[Entity]) -> FeatureTable:
        texts = [canonical(drug) for drug in entities]
        mask = np.array([bool(text) for text in texts], dtype=bool)
        found = self._vectors([text for text in texts if text])
        values = np.zeros((len(texts), found.shape[1]), dtype=np.float32)
        values[mask] = found
        return FeatureTable(EntityKind.drug, values, mask)

    def _vectors(self, texts: list[str]) -> Array:
        """(n, D) of n texts."""
        import torch

        tokenizer, model = self._loaded()
        rows = [np.zeros((0, model.config.hidden_size), dtype=np.float32)]
        for start in range(0, len(texts), BATCH):
            batch = tokenizer(texts[start : start + BATCH], return_tensors="pt", padding=True, **self._cut(tokenizer))
            with torch.inference_mode():
                hidden = model(**batch).last_hidden_state
            there = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            rows.append(((hidden * there).sum(1) / there.sum(1)).float().numpy())
        return np.concatenate(rows)

    def _cut(self, tokenizer: Any) -> dict[str, Any]:
        return {"truncation": True, "max_length": min(int(tokenizer.model_max_length), TOKENS)}

    def _loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model; raises UnavailableError where they are neither here nor reachable."""
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model, trust_remote_code=False)
            model = AutoModel.from_pretrained(self.model, trust_remote_code=False, use_safetensors=True)
        except Exception as error:  # whatever a library says of a model's files, or of no network
            said = (str(error) or type(error).__name__).splitlines()[0][:300]
            raise UnavailableError(
                f"the chemical language model {self.model} cannot be loaded: {said}",
                remedy="Name a folder that holds it, or read RDKit's descriptors: --drug-features descriptors.",
            ) from None
        return tokenizer, model.eval()

    def state(self) -> dict[str, Array]:
        return {"model": np.array(self.model, dtype=np.str_)}

    @classmethod
    def restore(cls, state: Mapping[str, Array]) -> Self:
        return cls(str(state["model"]))
