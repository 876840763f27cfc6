"""Seconds a training step and an epoch, against the paper's procedure written plainly (plain_models.py).

    python benchmarks/performance/train.py --dataset drugcombdb --threads 1

Both models share weights, and their outputs are compared (no dropout) before anything is timed, also after sixty steps
of each on the same batches, in double precision. Steps then alternate in one process, dropout on; a step is batch,
forward, backward and Adam. CPU time is the process's own, so that other jobs on the machine count little. Needs the
extra `dgl` and an imported data set with a graph; backbones of features one with SMILES:

    python benchmarks/performance/train.py --dataset oneil --backbones DeepDDS,DFFNDDS,SynergyX --batch 256
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import itertools
import json
import math
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

if Path(sys.path[0]) == Path(__file__).parent:
    sys.path.append(sys.path.pop(0))  # the neighbour profile.py would hide the standard library's
import numpy as np
import torch
import torch.nn.functional as F
from plain_models import PlainHomogeneous, PlainMolecules, PlainRelational, PlainSequences, Samples
from torch.utils.data import DataLoader

from l2aco.data.catalog import open_or_simulate
from l2aco.models.assemble import build_model, load_inputs, with_vectors
from l2aco.models.backbones import backbones
from l2aco.models.base import START
from l2aco.models.recipe import Recipe
from l2aco.models.spec import AlignSpec
from l2aco.models.vectors import Knowledge
from l2aco.runs.scoring import Rows
from l2aco.training.optim import make_optimiser
from l2aco.workspace import Workspace

PLAIN = {
    "GCN": PlainHomogeneous,
    "KGNN": PlainHomogeneous,
    "HGAT": PlainRelational,
    "DeepDDS": PlainMolecules,
    "DFFNDDS": PlainSequences,
    "SynergyX": PlainSequences,
}
SETTLING = 0.05
DIMENSION = 1024
"""Of the profile vectors (random here: speed does not depend on their values)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", default=".")
    parser.add_argument("--dataset", default="drugcombdb")
    parser.add_argument("--backbones", default="GCN,HGAT,KGNN")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--large-batch", type=int, default=2048)
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--steps", type=int, default=16, help="Of each in a turn.")
    parser.add_argument("--trained", type=int, default=60, help="Steps after which predictions are compared.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--our-threads", type=int, help="Threads of ours, where they are not those of the plain one.")
    parser.add_argument("--memory", action="store_true", help="Peak memory instead of times.")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    given.our_threads = given.our_threads or given.threads
    if given.memory:
        print_memory(given)
        return
    dataset = open_or_simulate(given.dataset, Workspace(given.workspace))
    results = [
        compare(name, aligned, dataset, given) for name in given.backbones.split(",") for aligned in (False, True)
    ]
    print(table(results, given))
    if given.out:
        facts = {"where": where(), "threads": given.threads, "our threads": given.our_threads}
        given.out.write_text(json.dumps({**facts, "results": results}, indent=2))


class Contest(NamedTuple):
    """Both models with the same weights, their samples, and endless training steps of each."""

    ours: Any
    plain: Any
    samples: Samples
    runs: dict[str, Iterator[Any]]


def contest(
    name: str, aligned: bool, dataset: Any, given: argparse.Namespace, start: float = 1.0, **config: Any
) -> Contest:
    draw = np.random.default_rng(0)
    vectors = [
        draw.normal(size=(len(entities), DIMENSION)).astype(np.float32)
        for entities in (dataset.drugs, dataset.cell_lines)
    ]
    known = [np.ones(len(values), dtype=bool) for values in vectors]
    store = Knowledge("random", "none", vectors[0], known[0], vectors[1], known[1])
    align = AlignSpec(standardise=False) if aligned else AlignSpec(loss="none")
    inputs = with_vectors(load_inputs(backbones.load(name), dataset), align, [store] if aligned else [])
    ours = build_model(name, config, inputs, align).to(torch.get_default_dtype())
    with torch.no_grad():  # by default large embeddings, so that equal outputs mean equal message passing
        for key, value in ours.named_parameters():
            if "embedding" in key:
                value.normal_(std=start)
    plain = PLAIN[name](ours)
    rows = draw.permutation(len(dataset.triples))[: int(0.8 * len(dataset.triples))]
    samples = Samples(rows, dataset.triples, *vectors)
    train = Rows.of(dataset.triples, rows, torch.device("cpu"))
    runs = {
        "ours": our_steps(ours, train, given.batch),
        "plain": plain_steps(plain, samples, given.batch),
        "ours large": our_steps(ours, train, given.large_batch),
    }
    return Contest(ours, plain, samples, runs)


def compare(name: str, aligned: bool, dataset: Any, given: argparse.Namespace) -> dict[str, Any]:
    """Median CPU and wall milliseconds a step of both, the difference of their outputs, and seconds an epoch."""
    ours, plain, samples, runs = contest(name, aligned, dataset, given)
    difference = same_mathematics(ours, plain, samples)
    torch.set_default_dtype(torch.float64)
    trained = same_training(
        contest(name, aligned, dataset, given, start=START, dropout=0.0), given.batch, given.trained
    )
    torch.set_default_dtype(torch.float32)
    threads = {name: given.threads if name == "plain" else given.our_threads for name in runs}
    times = interleaved(runs, threads, given.turns, given.steps)
    epochs = {
        "plain": times["plain"][0] * len(samples) / given.batch / 1000,
        "ours": times["ours large"][0] * len(samples) / given.large_batch / 1000,
    }
    return {
        "backbone": name,
        "aligned": aligned,
        "difference": difference,
        "trained": trained,
        "plain ms": times["plain"][0],
        "ours ms": times["ours"][0],
        "ratio": times["plain"][0] / times["ours"][0],
        "wall ratio": times["plain"][1] / times["ours"][1],
        "plain s/epoch": epochs["plain"],
        "ours s/epoch": epochs["ours"],
        "epoch ratio": epochs["plain"] / epochs["ours"],
    }


def same_mathematics(ours: Any, plain: Any, samples: Samples) -> float:
    """Largest difference of the two models' logits and alignment losses on one batch, without dropout, relative to
    the spread of the logits."""
    a, b, c, _, *vectors = next(iter(DataLoader(samples, batch_size=64)))
    ours.eval(), plain.eval()
    with torch.no_grad():
        output = ours(a, b, c)
        logits, extra = plain(a, b, c, tuple(vectors))
    ours.train(), plain.train()
    differences = [(output.logits[0] - logits).abs().max() / logits.std()]
    if output.losses:
        differences.append(abs(sum(output.losses.values()) - extra))
    return float(max(differences))


def same_training(pair: Contest, size: int, steps: int) -> float:
    """Largest difference of the probabilities that both predict for a batch, after so many steps of each on the same
    batches, the batch among them."""
    ours, plain, samples, _ = pair
    our_optimiser = make_optimiser(ours, Recipe(batch_size=size))
    optimiser = torch.optim.Adam(plain.parameters(), lr=1e-3)
    batches = list(itertools.islice(DataLoader(samples, batch_size=size), steps))
    for a, b, c, *others in batches:
        y, *vectors = (values.to(torch.get_default_dtype()) for values in others)
        output = ours(a, b, c)
        (F.binary_cross_entropy_with_logits(output.logits[0], y) + sum(output.losses.values())).backward()
        logits, extra = plain(a, b, c, tuple(vectors))
        (F.binary_cross_entropy_with_logits(logits, y) + extra).backward()
        for one in (our_optimiser, optimiser):
            one.step()
            one.zero_grad()
    with torch.no_grad():
        found, expected = ours(a, b, c).logits[0], plain(a, b, c, tuple(vectors))[0]
    return float((found.sigmoid() - expected.sigmoid()).abs().max())


def our_steps(model: Any, train: Rows, size: int) -> Iterator[Any]:
    optimiser = make_optimiser(model, Recipe(batch_size=size))
    while True:
        for batch in train.batches(torch.randperm(len(train)), math.ceil(len(train) / size)):
            output = model(batch.a, batch.b, batch.c)
            loss = F.binary_cross_entropy_with_logits(output.logits[0], batch.y) + sum(output.losses.values())
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            yield loss


def plain_steps(model: Any, samples: Samples, size: int) -> Iterator[Any]:
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        for a, b, c, y, *vectors in DataLoader(samples, batch_size=size, shuffle=True):
            optimiser.zero_grad()
            logits, extra = model(a, b, c, tuple(vectors))
            loss = F.binary_cross_entropy_with_logits(logits, y) + extra
            loss.backward()
            optimiser.step()
            yield loss


def interleaved(
    runs: dict[str, Iterator[Any]], threads: dict[str, int], turns: int, steps: int
) -> dict[str, tuple[float, float]]:
    """Median CPU and wall milliseconds of a step of each, in turns, after two turns to warm up.

    In every turn steps go untimed for `SETTLING` seconds before the timed ones: caches are then those of a training
    that goes on, and the other's pool of threads (torch and DGL bring one each) no longer spins on a core. A turn's
    time is the mean of `steps` steps.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(turns + 2):
        for name, run in runs.items():
            torch.set_num_threads(threads[name])
            until = time.perf_counter() + SETTLING
            while time.perf_counter() < until:
                next(run)
            cpu, wall = timed(lambda run=run: [next(run) for _ in range(steps)])
            if number >= 2:
                times[name].append((cpu / steps, wall / steps))
    return {name: tuple(np.median(np.array(values), axis=0).tolist()) for name, values in times.items()}  # type: ignore[misc]


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return (time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000


def table(results: list[dict[str, Any]], given: argparse.Namespace) -> str:
    lines = [
        f"{where()}; {given.dataset}, {given.threads} thread(s), ours {given.our_threads}, batch {given.batch}; "
        f"epochs: plain at {given.batch}, ours at {given.large_batch}. CPU milliseconds a step (median of "
        f"{given.turns} turns of {given.steps}, interleaved).",
        "",
        f"| backbone | aligned | same output to | after {given.trained} steps | plain ms | ours ms | ratio "
        "| wall ratio | plain rows/s | ours rows/s | plain s/epoch | ours s/epoch | ratio |",
        f"|{'---|' * 13}",
    ]
    for row in results:
        lines.append(
            f"| {row['backbone']} | {'yes' if row['aligned'] else 'no'} "
            f"| {row['difference']:.0e} | {row['trained']:.0e} "
            f"| {row['plain ms']:.1f} | {row['ours ms']:.1f} | {row['ratio']:.1f} | {row['wall ratio']:.1f} "
            f"| {1000 * given.batch / row['plain ms']:.0f} | {1000 * given.batch / row['ours ms']:.0f} "
            f"| {row['plain s/epoch']:.1f} | {row['ours s/epoch']:.2f} | {row['epoch ratio']:.0f} |"
        )
    return "\n".join(lines)


def print_memory(given: argparse.Namespace) -> None:
    """Peak memory that five steps of each add to a process of its own: activations, gradients, Adam's state."""
    print(
        f"{where()}; {given.dataset}; MB added: plain and ours at batch {given.batch}, ours at {given.large_batch}.\n"
    )
    print("| backbone | aligned | plain | ours | ours, large batch |\n|---|---|---|---|---|")
    for name, aligned in itertools.product(given.backbones.split(","), (False, True)):
        peaks = []
        for which in ("plain", "ours", "ours large"):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                peaks.append(pool.apply(peak_memory, (name, aligned, which, given)))
        print(f"| {name} | {'yes' if aligned else 'no'} | " + " | ".join(f"{peak:.0f}" for peak in peaks) + " |")


def peak_memory(name: str, aligned: bool, which: str, given: argparse.Namespace) -> float:
    torch.set_num_threads(given.threads)
    dataset = open_or_simulate(given.dataset, Workspace(given.workspace))
    next(contest(name, aligned, dataset, given).runs[which])  # code that is loaded or compiled once is not counted
    run = contest(name, aligned, dataset, given).runs[which]
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before = of_process("VmRSS")
    for _ in range(5):
        next(run)
    return of_process("VmHWM") - before


def of_process(name: str) -> float:
    """MB of this process, by a name of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def where() -> str:
    """Machine, versions, commit and date."""
    from l2aco.bench.provenance import commit_of

    commit = commit_of(Path(__file__).parents[2])
    date = time.strftime("%Y-%m-%d")
    cpus = len(os.sched_getaffinity(0))
    return f"{cpus} CPU cores, {platform.machine()}, torch {torch.__version__}, commit {commit}, {date}"


if __name__ == "__main__":
    main()
