"""Any other encoder through sentence-transformers (Reimers and Gurevych, EMNLP 2019), with its own pooling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.embeddings.encoders.local import LocalEncoder

if TYPE_CHECKING:
    import torch


class SentenceEncoder(LocalEncoder):
    """A model saved by sentence-transformers, or a plain transformer, which it pools by the mean."""

    def _load(self, folder: Path, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(
            str(folder), device=device, model_kwargs={"dtype": dtype}, trust_remote_code=False, local_files_only=True
        )
        model.max_seq_length = self.spec.window
        return model.tokenizer, model.eval()

    def _forward(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        vectors: torch.Tensor = model(batch)["sentence_embedding"]
        return vectors
