"""BGE through FlagEmbedding, its authors' library (arXiv:2309.07597; M3: arXiv:2402.03216).

FlagEmbedding loads the model and pools; batching is ours, because its `encode` runs the first batch twice.
Its import costs eight seconds, so it happens when the model is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2aco.embeddings.encoders.local import LocalEncoder

if TYPE_CHECKING:
    import torch


class FlagEncoder(LocalEncoder):
    """BGE 1.0 and 1.5 and other encoder-only models: the hidden state of the first token, or the mean."""

    model_class = "encoder-only-base"

    def _load(self, folder: Path, device: str, dtype: torch.dtype) -> tuple[Any, Any]:
        import torch
        from FlagEmbedding import FlagAutoModel

        # Without `model_class` a folder whose name is not in FlagEmbedding's list is refused.
        self.flag = FlagAutoModel.from_finetuned(
            str(folder),
            model_class=self.model_class,
            pooling_method=self.spec.pooling,
            trust_remote_code=False,
            query_instruction_format="{}{}",
            use_fp16=dtype == torch.float16,
            use_bf16=dtype == torch.bfloat16,
            devices=[device],
        )
        return self.flag.tokenizer, self.flag.model.to(device).eval()

    def _forward(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        hidden = model(**batch, return_dict=True).last_hidden_state
        pooled: torch.Tensor = self.flag.pooling(hidden, batch["attention_mask"])
        return pooled


class FlagM3Encoder(FlagEncoder):
    """BGE M3: its dense vector; the sparse and ColBERT vectors are not computed."""

    model_class = "encoder-only-m3"

    def _forward(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        dense: torch.Tensor = model(batch, return_dense=True)["dense_vecs"]
        return dense
