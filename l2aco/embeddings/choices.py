"""Words that the spec and the command line share, apart from the spec: l2aco --help loads no pydantic."""

from __future__ import annotations

from typing import Literal

Precision = Literal["auto", "fp32", "fp16", "bf16"]
IndexName = Literal["auto", "flat", "hnsw", "ivfpq"]
