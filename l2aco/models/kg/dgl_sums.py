"""The two sums on DGL's kernels, for users who stay on DGL (extra `dgl`).

DGL's last release on the package index is 1.1.3. Where the module `packaging` is not found it reads the copy that
old setuptools carried as `setuptools.extern.packaging`; new ones carry none, so one is provided before the import.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from l2aco.errors import UnavailableError
from l2aco.models.kg.blocks import Attention, Block, picked


def provide_setuptools_extern() -> None:
    """Make `setuptools.extern.packaging` an alias of `packaging` where setuptools has none."""
    try:
        importlib.import_module("setuptools.extern.packaging")
    except ImportError:
        extern = types.ModuleType("setuptools.extern")
        extern.__path__ = []
        sys.modules["setuptools.extern"] = extern
        for name in ("packaging", "packaging.version"):
            sys.modules[f"setuptools.extern.{name}"] = importlib.import_module(name)
        extern.packaging = sys.modules["setuptools.extern.packaging"]  # type: ignore[attr-defined]


def load_dgl() -> Any:
    """The module `dgl`; raises UnavailableError with the pip line."""
    os.environ.setdefault("DGLBACKEND", "pytorch")
    provide_setuptools_extern()
    try:
        return importlib.import_module("dgl")
    except (ImportError, OSError) as error:
        raise UnavailableError(
            f"DGL's kernels cannot be loaded: {error}", remedy="Install it with: pip install 'l2aco[dgl]'"
        ) from error


def weighted_sum(block: Block, x: Tensor, rows: Tensor | None) -> Tensor:
    """See `sums.weighted_sum`."""
    dgl = load_dgl()
    if block.weight is None:
        return picked(dgl.ops.copy_u_sum(_graph(block), x), rows)
    return picked(dgl.ops.u_mul_e_sum(_graph(block), x, block.weight.to(x.dtype).unsqueeze(1)), rows)


def attention_sum(block: Block, given: Attention, rows: Tensor | None) -> Tensor:
    """See `sums.attention_sum`."""
    dgl, (x, source, target_logit, mask, slope) = load_dgl(), given.by_logits()
    raw = source[block.slot] + target_logit[block.row]
    share = dgl.ops.edge_softmax(_graph(block), F.leaky_relu(raw, slope))
    used = (share if mask is None else share * mask).unsqueeze(-1)
    return picked(dgl.ops.u_mul_e_sum(_graph(block), x, used), rows)


def _graph(block: Block) -> Any:
    """The block as a DGL block, made once for each device it lives on."""
    graph = getattr(block, "dgl_graph", None)
    if graph is None or graph.device != block.col.device:
        dgl, sizes = load_dgl(), {"num_src_nodes": block.num_src, "num_dst_nodes": block.num_dst}
        try:
            graph = dgl.create_block((block.col, block.row), **sizes, device=block.col.device)
        except dgl.DGLError as error:
            raise UnavailableError(
                f"DGL cannot use {block.col.device}: {str(error).strip().splitlines()[-1]}",
                remedy="Train on the CPU (--device cpu), or with the default kernels (--set kernels=auto).",
            ) from None
        vars(block)["dgl_graph"] = graph
    return graph
