"""Weights on disk, and the state from which an interrupted run goes on.

Weights are safetensors: no code runs when they are read. The state of an unfinished run is a torch file that is read
with `weights_only`, for the same reason; it is replaced atomically, so a kill leaves the state of an earlier epoch.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from l2aco.errors import DamagedError
from l2aco.files import atomic_path

if TYPE_CHECKING:
    from l2aco.training.loop import Fit


def save_state(fit: Fit, path: Path) -> None:
    """Write everything that `load_state` needs to go on after the last finished epoch."""
    state: dict[str, Any] = asdict(fit.state) | {
        "model": fit.model.state_dict(),
        "optimiser": fit.optimiser.state_dict(),
        "schedule": fit.schedule.state_dict(),
    }
    with atomic_path(path) as partial:
        torch.save(state, partial)


def load_state(fit: Fit, path: Path) -> None:
    """Bring `fit` to where `save_state` left it; raises DamagedError when the file cannot be used."""
    from l2aco.training.loop import FitState

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        fit.model.load_state_dict(state.pop("model"))
        fit.optimiser.load_state_dict(state.pop("optimiser"))
        fit.schedule.load_state_dict(state.pop("schedule"))
        fit.state = FitState(**state)
    except Exception as error:  # torch raises half a dozen kinds for a broken file
        raise DamagedError(
            f"the state of the unfinished run cannot be read ({type(error).__name__})",
            where=path,
            remedy="Remove the file; training then starts from the beginning.",
        ) from error
