"""A trained model that predicts for the drugs and cell lines that it was trained with, and for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from l2aco.data.triples import Triples
from l2aco.entities import Entity, EntityIndex, EntityKind, unknown_entity
from l2aco.errors import DamagedError, L2aCoError, UsageError
from l2aco.files import read_arrays
from l2aco.models.backbones import backbones
from l2aco.models.estimator import Estimator, Expected
from l2aco.models.inputs import Inputs
from l2aco.models.spec import AlignSpec
from l2aco.runs.calibration import Calibration
from l2aco.runs.ensemble import ENSEMBLE, load_ensemble
from l2aco.runs.inputs import AGAIN, read_inputs

if TYPE_CHECKING:
    from l2aco.runs.run import Run


class Scorer(Protocol):
    """A fitted model; `models.estimator.Estimator`, `runs.network.Network` and `runs.ensemble.Blend` are."""

    def admit(self, newcomers: Inputs) -> Self:
        """One that also scores these entities, whose rows stand behind the others."""

    def reads(self, kind: EntityKind) -> bool:
        """Whether anything but who they are tells newcomers of a kind apart."""

    def probabilities(self, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        """float64 (n,): of synergy, for int64 rows (n,)."""


@dataclass(frozen=True)
class Predictor:
    """Predicts with the best weights of a run; nothing in it is changed by predicting."""

    inputs: Inputs
    """Of the entities that the model was trained with."""
    scorer: Scorer
    align: AlignSpec
    calibration: Calibration
    threshold: float
    """The decision threshold, chosen on validation rows."""
    newcomers: Inputs | None = None
    """Of the entities that `admit` was told of."""

    def admit(
        self, entities: Sequence[Entity], vectors: Mapping[tuple[str, str], Mapping[str, np.ndarray]] | None = None
    ) -> Self:
        """A predictor that also knows `entities`, which the model was not trained with.

        It reads of them what their facts give (SMILES, tissue, the numbers of a feature by column) and `vectors`, by
        `Entity.key` and store: profile vectors float (D,) as the run's stores hold them. Without anything to read, an
        entity is predicted as the average of its kind; `lacking(entity)` says what was missing. Entities that are known
        already stay as they are. Raises UsageError for a control, whose vectors are nobody's.
        """
        known = self._row
        more = {entity.key: entity for entity in entities if entity.key not in known}
        if not more:
            return self
        if self.align.vectors != "profiles":
            raise UsageError(
                f"the run is a control (vectors = {self.align.vectors}) and knows nobody but those it was trained with",
                remedy="Predict with a run of true profiles.",
            )
        if self.newcomers is not None:
            raise UsageError("newcomers are admitted once", remedy="Give them all to one call.")
        newcomers = self.inputs.of(list(more.values()), vectors or {})
        return replace(self, newcomers=newcomers, scorer=self.scorer.admit(newcomers))

    def entities(self, kind: EntityKind) -> list[Entity]:
        """All that can be asked for, those of the training first."""
        more = [] if self.newcomers is None else self.newcomers.entities(kind)
        return [*self.inputs.entities(kind), *more]

    def lacking(self, entity: Entity) -> list[str]:
        """What the model reads of entities of its kind, and does not find of this one, in words."""
        inputs = self.inputs if self._row[entity.key] < len(self.inputs.entities(entity.kind)) else self.newcomers
        assert inputs is not None
        return inputs.lacking(entity)

    @cached_property
    def _row(self) -> dict[tuple[str, str], int]:
        return {entity.key: row for kind in EntityKind for row, entity in enumerate(self.entities(kind))}

    def rows(self, kind: EntityKind, entities: Sequence[str | Entity]) -> np.ndarray:
        """int64 (n,): where entities, or ids, names and aliases, stand in `entities(kind)`; raises UnknownNameError,
        InputError for a name of several."""
        return np.array([self._row_of(kind, entity) for entity in entities], dtype=np.int64)

    def _row_of(self, kind: EntityKind, entity: str | Entity) -> int:
        name = entity.id if isinstance(entity, Entity) else entity
        row = self._row.get((kind.value, name))
        if row is None and not isinstance(entity, Entity) and (found := self._called[kind].find(name)) is not None:
            row = self._row[found.key]
        if row is None:
            raise unknown_entity(kind.value.replace("_", " ") + " of the run", name, self.entities(kind))
        return row

    @cached_property
    def _called(self) -> dict[EntityKind, EntityIndex]:
        return {kind: EntityIndex(kind, self.entities(kind)) for kind in EntityKind}

    def predict(
        self,
        drug_a: Sequence[str | Entity],
        drug_b: Sequence[str | Entity],
        cell_line: Sequence[str | Entity],
        *,
        calibrated: bool = False,
    ) -> np.ndarray:
        """Probabilities of synergy, float64 (n,), for n drugs, drugs and cell lines: ids, names or aliases, or
        entities.

        A pair is unordered: it is scored with the drug first that stands first in `entities`. `calibrated` turns them
        into frequencies by the Platt scaling fitted on validation rows (the ranking stays). Raises UsageError for
        arrays of different lengths, UnknownNameError for who is not known (see `admit`).
        """
        if not len(drug_a) == len(drug_b) == len(cell_line):
            lengths = f"{len(drug_a)}, {len(drug_b)}, {len(cell_line)}"
            raise UsageError(f"drugs and cell lines must be three sequences of one length, not {lengths}")
        a, b = (self.rows(EntityKind.drug, drugs) for drugs in (drug_a, drug_b))
        return self.predict_rows(a, b, self.rows(EntityKind.cell_line, cell_line), calibrated=calibrated)

    def expected_rows(self, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Expected | None:
        """What the scores of int64 rows (n,) of `entities` are expected to be; None where the model does not say."""
        return self.scorer.expected(a, b, c) if isinstance(self.scorer, Estimator) else None

    def learned(self, triples: Triples, *, new: bool = True) -> Self:
        """A predictor that also knows these measurements, rows of `entities`; calibration and threshold stay. new: a
        user has just made them (`Estimator.take_up`). Raises UsageError where the model has to be trained for that."""
        if not isinstance(self.scorer, Estimator):
            raise needs_training()
        return replace(self, scorer=self.scorer.take_up(triples) if new else self.scorer.refit(triples))

    def predict_rows(self, a: np.ndarray, b: np.ndarray, c: np.ndarray, *, calibrated: bool = False) -> np.ndarray:
        """`predict` for int64 rows (n,) of `entities`."""
        drugs, lines = (len(self.entities(kind)) for kind in EntityKind)
        # A product may round a row by its place: each unordered triple is scored once, so that it has one probability.
        first, second = np.minimum(a, b), np.maximum(a, b)
        _, places, inverse = np.unique((first * drugs + second) * lines + c, return_index=True, return_inverse=True)
        probabilities = self.scorer.probabilities(first[places], second[places], c[places])[inverse]
        if wrong := int((~np.isfinite(probabilities)).sum()):
            raise DamagedError(
                f"the run's model gives {wrong:,} of {len(probabilities):,} rows something else than a number",
                remedy="Train the run again.",
            )
        return self.calibration.apply(probabilities) if calibrated else probabilities


def needs_training() -> UsageError:
    """What is said where somebody has measurements for a model that is fitted by training alone."""
    return UsageError(
        "the run's model takes up measurements only by training",
        remedy="Use a run of Mixed or Boosted (`l2aco train --backbone Mixed`).",
    )


def load_predictor(run: Run, *, device: str = "auto") -> Predictor:
    """Build a run's model again and load its weights; the data set and the store may have changed, or be gone.

    Raises DamagedError for a corrupt file, MismatchError for a run of another version.
    """
    run.check_format()
    try:
        return _built(run, device)
    except L2aCoError:
        raise
    except Exception as error:  # of arrays that fit nothing, each library makes an error of its own
        raise DamagedError(
            f"its model cannot be built ({type(error).__name__}: {error})",
            where=run.path,
            remedy=run.again,
        ) from error


def _built(run: Run, device: str) -> Predictor:
    spec = run.spec
    inputs = read_inputs(run.file("inputs.npz"))
    scorer: Scorer
    if spec.backbone == ENSEMBLE:
        inputs, scorer = load_ensemble(run, inputs, device)
    elif issubclass(kind := backbones.load(str(spec.backbone)), Estimator):
        scorer = kind.restore(
            inputs, kind.Config.model_validate(spec.config), read_arrays(run.file("model.npz"), remedy=AGAIN)
        )
    else:
        from l2aco.runs.network import load_network

        scorer = load_network(run, inputs, device)
    first = np.zeros(1, dtype=np.int64)
    scorer.probabilities(first, first, first)  # what is kept for all later rows is computed here, or fails here
    return Predictor(
        inputs=inputs,
        scorer=scorer,
        align=spec.align,
        calibration=Calibration(**run.metrics["calibration"]),
        threshold=run.metrics["test"]["threshold"],
    )
