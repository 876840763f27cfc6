"""Where what `import l2aco` gives takes a data set, a store, a profile set, a run or a workspace, its name will do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import l2aco

OBJECTS = re.compile(r"\b(DataSet|EmbeddingStore|ProfileSet|Run|Workspace)\b")
PUBLIC = {name: getattr(l2aco, name) for name in l2aco.__all__ if not name.startswith("__")}
FUNCTIONS = {name: found for name, found in PUBLIC.items() if inspect.isfunction(found)}
METHODS = {
    f"{name}.{own}": method
    for name, found in PUBLIC.items()
    if inspect.isclass(found) and not issubclass(found, Exception)
    for own, method in inspect.getmembers(found, lambda item: inspect.isfunction(item) or inspect.ismethod(item))
    if not own.startswith("_") and method.__module__.startswith("l2aco")
}
TRAINED = l2aco.TrainSpec(dataset="demo", backbone="GCN", epochs=1, align={"loss": "none"})
SPLIT = l2aco.SplitSpec(setting="novel-cell")


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(l2aco.L2aCoError) as refused:
        call()
    return str(refused.value)


CALLS: dict[str, Callable[..., Any]] = {
    "open": lambda names: l2aco.open("demo", names.workspace).hash,
    "generate_profiles": lambda names: (
        l2aco.generate_profiles(
            l2aco.ProfileSpec(llm="fake"), [l2aco.Entity("A375", l2aco.EntityKind.cell_line, "A375")], names.workspace
        ).covered
    ),
    "audit_set": lambda names: l2aco.audit_set(names.profiles).profiles,
    "embed_profiles": lambda names: (
        l2aco.embed_profiles(l2aco.EmbedSpec(sets=["reference-panel"]), names.workspace)[0].store
    ),
    "search_text": lambda names: refusal(lambda: l2aco.search_text(names.store, "BRAF", 1)),  # `toy` has no model
    "search_entity": lambda names: l2aco.search_entity(names.store, "A375", 1)[1][0].id,
    "import_dataset": lambda names: (
        l2aco.import_dataset(l2aco.ImportSpec(path="screen.csv", name="mine", replace=True), names.workspace).hash
    ),
    "table_in": lambda names: l2aco.table_in(names.dataset, "tissue").values.tolist(),
    "make_split": lambda names: l2aco.make_split(names.dataset, SPLIT).hash,
    "train": lambda names: l2aco.train(TRAINED, names.workspace, reuse=True).id,
    "tune": lambda names: l2aco.tune(l2aco.TuneSpec(base=TRAINED, trials=1), names.workspace).value,
    "make_ensemble": lambda names: l2aco.make_ensemble([names.run, names.other], names.workspace).metrics["test"][
        "pooled"
    ],
    "evaluate_run": lambda names: l2aco.evaluate_run(names.run)["test"]["pooled"],
    "evaluate_naive": lambda names: l2aco.evaluate_naive(names.dataset, SPLIT),
    "compare_runs": lambda names: l2aco.compare_runs([names.run, names.other]),
    "learned_vectors": lambda names: l2aco.learned_vectors(names.run).to_dicts(),
    "export_run": lambda names: l2aco.export_run(names.run, "run.zip", replace=True),
    "import_runs": lambda names: [run.id for run in l2aco.import_runs("other.zip", names.elsewhere)],
    "rank_pairs": lambda names: l2aco.rank_pairs(names.run, "A375", top=2).to_polars().to_dicts(),
    "rank_lines": lambda names: l2aco.rank_lines(names.run, ["A375"], top=2)[0].to_polars().to_dicts(),
}


@pytest.fixture
def ways(lab: l2aco.Workspace) -> tuple[SimpleNamespace, SimpleNamespace]:
    """The same things by name and as objects."""
    l2aco.train(TRAINED, lab)
    other = l2aco.train(TRAINED.model_copy(update={"seed": 1}), lab)
    l2aco.export_run(other, "other.zip")
    l2aco.open("demo", lab).to_polars().head(200).select("drug_a", "drug_b", "cell_line", "score").write_csv(
        "screen.csv"
    )
    names = {
        "dataset": "demo",
        "store": "reference--toy",
        "profiles": "reference-panel",
        "run": "GCN-novel-cell-f0-none-s0",
    }
    objects = {what: l2aco.open(name, lab) for what, name in names.items()}
    by_name = SimpleNamespace(**names, other=other.id, workspace=None, elsewhere="one")
    return by_name, SimpleNamespace(**objects, other=other, workspace=lab, elsewhere=l2aco.Workspace("two"))


def test_a_name_does_what_its_object_does(ways: tuple[SimpleNamespace, SimpleNamespace]) -> None:
    for name, call in CALLS.items():
        by_name, by_object = (call(given) for given in ways)
        assert repr(by_name) == repr(by_object), name


def test_every_function_that_takes_one_takes_its_name() -> None:
    for name, function in (FUNCTIONS | METHODS).items():
        for given in list(inspect.signature(function).parameters.values()):
            if OBJECTS.search(str(given.annotation)):
                assert re.search(r"\bstr\b", str(given.annotation)), f"{name}({given})"
    takes = {name for name, found in FUNCTIONS.items() if OBJECTS.search(str(inspect.signature(found).parameters))}
    assert takes == set(CALLS), "each is called both ways above"


def test_the_page_lists_what_there_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    assert [line.rpartition(".")[2] for line in page.splitlines() if line.startswith("::: ")] == list(PUBLIC)
