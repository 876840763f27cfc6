"""Where a recommendation abstains: rules that are stated, and whose use is measured in docs/recommending.md.

Of a line: nothing is known of it; its profile states low confidence of itself; or it is unlike all lines in training,
by a conformal p-value over lines. Of a pair: its probability is one of those nearest to one half, as a fifth of the
validation rows were; a rule that is empirical, since rows of a line are not exchangeable with those of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from l2aco.embeddings.find import NO_LLM
from l2aco.entities import Entity
from l2aco.recommend.own import SAME, strangeness

if TYPE_CHECKING:
    from l2aco.recommend.facts import Facts
    from l2aco.recommend.told import Told
    from l2aco.runs.predictor import Predictor
    from l2aco.runs.run import Run

LEVEL = 0.05
SHARE = 0.2
"""Of validation rows that count as too uncertain."""
KNOWS_NOTHING = NO_LLM - {"facts"}
"""What `--llm` takes and is no model: `facts` at least tells what data sets do."""


def abstains(
    predictor: Predictor, line: Entity, facts: Facts, told: Told, newcomer: bool, correlation: float | None
) -> tuple[str, ...]:
    """Why the order of this list is not to be trusted as the line's own; one sentence for each reason.

    newcomer: whether the run was not trained with the line. correlation: of the list with that of a line of which
    nothing is known.
    """
    found = []
    if correlation is not None and correlation > SAME:
        found.append(f"nothing that the model reads is known of {line.name}")
    if newcomer and told.llm in KNOWS_NOTHING:
        found.append(f"{told.llm} wrote what it reads of {line.name}, and knows nothing")
    if newcomer and told.text and not (told.fields or told.response):
        found.append(f"no data set and no profile set holds {line.name}: all rests on the words that were told of it")
    if facts.confidence(line) == "low":
        found.append(f"the profile of {line.name} states low confidence of itself")
    share = strangeness(predictor, line) if predictor.align.vectors == "profiles" else None
    if share is not None and share <= LEVEL:
        found.append(
            f"{line.name} is stranger than the lines that the model was trained on: at most {share:.0%} of these are "
            "as far from the nearest other one"
        )
    return tuple(found)


def margin(run: Run, predictor: Predictor) -> float:
    """How far from one half a calibrated probability has to lie not to be among the fifth of the validation rows that
    lay nearest; 0 where there are none."""
    rows = run.predictions("valid")
    if not len(rows):
        return 0.0
    calibrated = predictor.calibration.apply(rows["probability"].to_numpy())
    return float(np.quantile(np.abs(calibrated - 0.5), SHARE))
