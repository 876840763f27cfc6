"""The cheap model that a network may stand on: its logits are added to the network's, which learns what is left.

Every one of them is a mixed model with other effects, so shrinkage, knowledge and newcomers are its own. Training rows
get out-of-fold logits (`models.out_of_fold`), all others those of the model of the training rows. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from l2aco.entities import EntityKind
from l2aco.models.backbones.mixed import Mixed, MixedConfig
from l2aco.models.estimator import Array
from l2aco.models.inputs import Inputs
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Knowledge

if TYPE_CHECKING:
    from l2aco.data.triples import Triples
    from l2aco.progress import Progress

CONFIGS: Mapping[str, dict[str, Any]] = {
    "mixed": {},
    "pair": {"effects": "pair", "share_drugs": False},
    "additive": {"effects": "additive", "share_drugs": False},
}


def inputs_of_offset(
    name: str, setting: str, inputs: Inputs, align: AlignSpec, knowledge: Sequence[Knowledge], *, seed: int
) -> Inputs:
    """What the cheap model reads of the entities of `inputs`: the vectors of the stores as they are, or the control
    that `align` names."""
    from l2aco.models.assemble import with_vectors

    bare = replace(inputs, graph=None, features={}, fitted={}, drug_vectors={}, cell_vectors={})
    raw = AlignSpec(loss="none", standardise=False, vectors=align.vectors, draw=align.draw, missing=align.missing)
    kinds = [kind for kind in EntityKind if offset_config(name, setting).vectors_of(kind)]
    return with_vectors(bare, raw, knowledge, seed=seed, kinds=kinds)


def fit_offset(name: str, setting: str, inputs: Inputs, triples: Triples, seed: int, progress: Progress) -> Mixed:
    """The cheap model of these triples."""
    return Mixed.fit(inputs, offset_config(name, setting), triples, seed=seed, progress=progress)


def restore_offset(name: str, setting: str, inputs: Inputs, arrays: Mapping[str, Array]) -> Mixed:
    """The cheap model whose `arrays()` these are."""
    return Mixed.restore(inputs, offset_config(name, setting), arrays)


def offset_config(name: str, setting: str) -> MixedConfig:
    """The cheap model's hyper-parameters."""
    return MixedConfig.model_validate({**Mixed.defaults_for(setting), **CONFIGS[name]})
