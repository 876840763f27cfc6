"""What is said of a new cell line: how often 90% intervals hold its scores, and what few measurements of it are worth.

    python benchmarks/quality/new_lines.py intervals --workspace FOLDER [--seed 0] [--folds 0 1 2 3 4]
    python benchmarks/quality/new_lines.py few --workspace FOLDER [--seed 0] [--folds 0 1 2] [--lines 4]

FOLDER holds drugcombdb and the stores reference--minilm and reference-panel--fields. Lines of the test folds are new to
a Mixed model. intervals: the share of a line's scores that they hold, over lines, with the reach of a normal and with
that which validation lines ask for. few: all through the commands: `l2aco train` with and without the panel, and
`l2aco predict --pairs --measured` of the largest lines of each fold, 400 rows of which are held out and 0 to 400 others
measured; mean AUROC over lines. Prints markdown.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from l2aco.cli.main import app
from l2aco.data.splits.spec import SplitSpec
from l2aco.data.triples import Triples
from l2aco.models.backbones.mixed import Mixed, MixedConfig
from l2aco.runs.run import Run, open_run
from l2aco.runs.spec import TrainSpec
from l2aco.training.prepare import prepare
from l2aco.workspace import Workspace

STORES = ("reference--minilm", "reference-panel--fields")
COUNTS = (0, 5, 20, 100, 400)
HELD_OUT = 400
LARGE = 100


def intervals(workspace: Workspace, seed: int, folds: list[int]) -> None:
    print("| fold | reach | hold | lines: least, quartiles, most | lines from 85% to 95% | of large lines |")
    print("|---|---|---|---|---|---|", flush=True)
    found: dict[str, list[list[np.ndarray]]] = {"of a normal": [], "of validation lines": []}
    for fold in folds:
        split = SplitSpec(setting="novel-cell", fold=fold, seed=seed)
        spec = TrainSpec(dataset="drugcombdb", backbone="Mixed", split=split, store=STORES, seed=seed)
        setup = prepare(spec, workspace)
        train, valid, test = (
            setup.dataset.triples.take(rows) for rows in (setup.split.train, setup.split.valid, setup.split.test)
        )
        model = Mixed.fit(setup.inputs, MixedConfig(), train, seed=seed).judged_on(valid).refit(valid)
        for name, told in (("of a normal", replace(model, tails=np.zeros(0))), ("of validation lines", model)):
            found[name].append(held(told, test))
            print(f"| {fold} | {name} | {shown(found[name][-1])} |", flush=True)
    for name, parts in found.items():
        print(f"| all | {name} | {shown([line for part in parts for line in part])} |")


def held(model: Mixed, test: Triples) -> list[np.ndarray]:
    """For each test line: which of its scores their 90% interval holds."""
    found = model.expected(test.drug_a, test.drug_b, test.cell_line)
    assert found is not None
    target = model.state.target
    true = np.tanh((test.score - target.centre) / target.width)
    inside = (true >= found.low) & (true <= found.high)
    return [inside[test.cell_line == line] for line in np.unique(test.cell_line)]


def shown(lines: list[np.ndarray]) -> str:
    shares = np.array([line.mean() for line in lines])
    fair, large = (shares >= 0.85) & (shares <= 0.95), np.array([len(line) >= LARGE for line in lines])
    ends = ", ".join(f"{value:.3f}" for value in np.quantile(shares, [0, 0.25, 0.5, 0.75, 1]))
    counts = f"{fair.sum()} of {len(lines)} | {fair[large].sum()} of {large.sum()}"
    return f"{np.concatenate(lines).mean():.3f} | {ends} | {counts}"


def few(workspace: Workspace, seed: int, folds: list[int], lines: int) -> None:
    print("| fold | knowledge | " + " | ".join(map(str, COUNTS)) + " |\n|---|---|" + "---|" * len(COUNTS), flush=True)
    options = {"none": ["--set", "knowledge=none"], "the panel": ["--store", "reference-panel--fields"]}
    found: dict[str, list[np.ndarray]] = {name: [] for name in options}
    for fold in folds:
        for name, more in options.items():
            how = ["--dataset", "drugcombdb", "--backbone", "Mixed", "--fold", fold, "--set", f"split.seed={seed}"]
            said = call(workspace, "train", *how, "--seed", seed, *more, "--json")
            found[name].append(aurocs(workspace, open_run(json.loads(said)["runs"][0], workspace), lines))
            print(f"| {fold} | {name} | {row(found[name][-1])} |", flush=True)
    for name, parts in found.items():
        print(f"| all | {name} | {row(np.concatenate(parts))} |")


def row(table: np.ndarray) -> str:
    return " | ".join(f"{value:.3f}" for value in table.mean(axis=0))


def aurocs(workspace: Workspace, run: Run, lines: int) -> np.ndarray:
    """(lines, counts): of the held-out rows of the largest lines after so many others are told."""
    rows = run.predictions("test")
    sizes = rows["cell_line"].value_counts(sort=True)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        asked, told, out = (Path(folder) / name for name in ("asked.csv", "told.csv", "out.csv"))
        for line in sizes["cell_line"][:lines]:
            of_line = rows.filter(cell_line=line).sample(fraction=1.0, shuffle=True, seed=0)
            columns = ["drug_a", "drug_b", "cell_line"]
            of_line[:HELD_OUT].select(*columns, "label").write_csv(asked)
            found.append([])
            for count in COUNTS:
                more = ["--measured", told] if count else []
                of_line[HELD_OUT : HELD_OUT + count].select(*columns, "score").write_csv(told)
                call(workspace, "predict", run.id, "--pairs", asked, "-o", out, *more)
                table = pl.read_csv(out)
                found[-1].append(roc_auc_score(table["label"], table["probability"]))
    return np.array(found)


def call(workspace: Workspace, *arguments: object) -> str:
    """What a command prints; ends with its message where it fails."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--workspace", str(workspace.root)])
    if result.exit_code:
        raise SystemExit(f"{arguments}: {result.output}")
    return result.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("intervals", "few"))
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, nargs="+")
    parser.add_argument("--lines", type=int, default=4)
    given = parser.parse_args()
    workspace = Workspace(given.workspace)
    if given.what == "intervals":
        intervals(workspace, given.seed, given.folds or list(range(5)))
    else:
        few(workspace, given.seed, given.folds or [0, 1, 2], given.lines)


if __name__ == "__main__":
    main()
