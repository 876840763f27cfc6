"""What an encoder is: everything that determines its vectors, as the table, l2aco.toml and stores hold it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from l2aco.files import stable_hash

RUNTIMES = {
    "flag": "l2aco.embeddings.encoders.flag:FlagEncoder",
    "flag-m3": "l2aco.embeddings.encoders.flag:FlagM3Encoder",
    "sentence-transformers": "l2aco.embeddings.encoders.sentence:SentenceEncoder",
    "transformers": "l2aco.embeddings.encoders.transformer:TransformerEncoder",
    "fields": "l2aco.embeddings.encoders.fields:FieldsEncoder",
    "fields-level": "l2aco.embeddings.encoders.fields:LevelEncoder",
    "fields-pattern": "l2aco.embeddings.encoders.fields:PatternEncoder",
    "openai": "l2aco.embeddings.encoders.openai:OpenAIEncoder",
}
"""What runs a model: FlagEmbedding, sentence-transformers, plain transformers, an embeddings API, or none: fields."""
API = "openai"
"""The runtime that sends texts elsewhere."""
UNKNOWN = "unknown"
"""The runtime of imported vectors whose encoder nobody named."""
MOST_DIMENSIONS = 2**16


class EncoderSpec(BaseModel):
    """One row of the table; also the section `[encoders.<name>]` of l2aco.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    runtime: str
    """A key of RUNTIMES, or "module:class" of a third party."""
    model: str
    """A Hugging Face id, a folder, `package:<module>` for weights inside a package, or the API's model name."""
    revision: str | None = None
    """The commit of the weights; `sha256:...` of the files for a folder."""
    dimension: int = Field(gt=0, le=MOST_DIMENSIONS)
    window: int = Field(gt=2, le=2**31)
    """Tokens that the model reads at once, special tokens included."""
    pooling: Literal["cls", "mean", "model"] = "model"
    """`model`: as the model's own files or the API say."""
    columns: tuple[str, ...] = ()
    """What each dimension is, where vectors are numbers of their own and no embedding."""
    control: bool = False
    """Whether its vectors leave something out on purpose: such a store is read where it is named, and else never."""
    query_instruction: str = ""
    """Put before a search text, never before a profile."""
    passage_instruction: str = ""
    long: Literal["cut", "chunk"] = "cut"
    """Longer texts: the first window only, or the length-weighted mean over consecutive windows."""
    megaparameters: float | None = None
    """Parameters in the layers, in millions: what encoding time grows with."""
    base_url: str | None = None
    price_per_million: float | None = None
    """US dollars for a million tokens, where an API charges."""
    summary: str = ""
    extra: str | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of what determines a vector. A folder counts by its content, not by where it lies; a model behind an
        API by its server, too, where that is named: two may serve different weights under one name."""
        model = self.revision if (self.revision or "").startswith("sha256:") else [self.model, self.revision]
        server = [self.base_url.rstrip("/")] if self.base_url else []
        return stable_hash(
            [model, self.dimension, self.window, self.pooling, self.passage_instruction, self.long, *server], length=16
        )
