"""Weights on disk as safetensors: no code runs when they are read."""

from __future__ import annotations

from pathlib import Path

from l2aco.errors import DamagedError
from l2aco.files import atomic_path, sha256_file
from l2aco.models.base import ScoringModel


def save_weights(model: ScoringModel, path: Path) -> str:
    """Write the model's state as safetensors, and return the file's SHA-256."""
    from safetensors.torch import save_file

    state = {name: item.detach().cpu().contiguous().clone() for name, item in model.state_dict().items()}
    with atomic_path(path) as partial:
        save_file(state, partial)
    return sha256_file(path)


def load_weights(model: ScoringModel, path: Path) -> None:
    """Load weights into `model`; raises DamagedError when they are of another model."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    remedy = "Train the run again: l2aco train --spec " + str(path.parent / "spec.toml")
    try:
        state = load_file(path)
        model.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        raise DamagedError(f"the weights do not fit the model ({error})", where=path, remedy=remedy) from None
    if damaged := [name for name, item in state.items() if not item.isfinite().all()]:
        raise DamagedError(f"the weights {damaged[0]} are not finite numbers", where=path, remedy=remedy)
