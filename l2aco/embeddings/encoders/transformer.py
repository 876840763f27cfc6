"""A BERT-like encoder through transformers alone.

The same vectors as sentence-transformers gives (a test compares them), without its eight seconds of import:
what a search from the command line waits for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.embeddings.encoders.local import LocalEncoder

if TYPE_CHECKING:
    import torch


class TransformerEncoder(LocalEncoder):
    """The hidden state of the first token (`cls`) or the mean over the tokens of a text (`mean`)."""

    def _load(self, folder: Path, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        here: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        model = AutoModel.from_pretrained(str(folder), dtype=dtype, **here)
        return AutoTokenizer.from_pretrained(str(folder), **here), model.to(device).eval()

    def _forward(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        hidden: torch.Tensor = model(**batch).last_hidden_state
        if self.spec.pooling == "cls":
            return hidden[:, 0]
        mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)
