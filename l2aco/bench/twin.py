"""Did knowledge help this run? One sentence, from the same model without it, or the command that makes that one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from l2aco.errors import L2aCoError
from l2aco.runs.compare import flatten
from l2aco.runs.ensemble import ENSEMBLE
from l2aco.runs.run import Run, list_runs

if TYPE_CHECKING:
    from l2aco.workspace import Workspace

KNOWLEDGE = ("align.", "store", "llm", "encoder", "device", "threads")
"""Settings in which a run and its twin may differ."""


def did_it_help(run: Run, workspace: Workspace) -> str:
    """A sentence for the end of a training."""
    if run.spec.backbone == ENSEMBLE:
        return ""
    if not run.spec.store:
        return "This run reads no knowledge of a language model: hold those that do against it (l2aco bench compare)."
    if run.spec.align.vectors != "profiles":
        return f"This run is a control ({run.spec.align.vectors} vectors): hold the run with true profiles against it."
    twin = twin_of(run, workspace)
    if twin is None:
        without = "--store none" if run.spec.align.loss == "none" else "--align none"
        return (
            f"Whether knowledge helped is told by the same without it, trained next: l2aco train --spec "
            f"{run.path / 'spec.toml'} {without}"
        )
    return _sentence(run, twin, workspace)


def twin_of(run: Run, workspace: Workspace) -> Run | None:
    """The newest run of the same model, data, split and seed that reads no knowledge; None where there is none."""
    ours = _but_knowledge(run)
    for other in list_runs(workspace):
        try:
            if not other.spec.store and _but_knowledge(other) == ours and other.tested().equals(run.tested()):
                return other
        except L2aCoError:  # a damaged run is no evidence
            continue
    return None


def _but_knowledge(run: Run) -> dict[str, Any]:
    spec = flatten(run.spec.model_dump(mode="json", exclude_none=True))
    return {name: value for name, value in spec.items() if not name.startswith(KNOWLEDGE)}


def _sentence(run: Run, twin: Run, workspace: Workspace) -> str:
    from l2aco.bench.compare import compare

    found = compare(run.id, twin.id, workspace)
    one, other, gap = found.measures["auroc"]
    if gap.low > 0:
        verdict = "Knowledge helped on this split"
    elif gap.high < 0:
        verdict = "Knowledge did harm on this split"
    else:
        verdict = "There is no evidence that knowledge helped on this split"
    return (
        f"{verdict}: AUROC {one:.3f} with it, {other:.3f} without ({twin.id}), difference {gap.value:+.3f} "
        f"[{gap.low:.3f}, {gap.high:.3f}] over {found.drawn} drawn again; one split and one seed. "
        "Controls and all folds: l2aco bench list"
    )
