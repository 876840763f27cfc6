"""Encoding speed against FlagEmbedding's own `encode` and sentence-transformers': same model, threads and texts.

    python benchmarks/performance/embed.py run reference 0/1 RESULTS.jsonl  the 669 reference profiles
    python benchmarks/performance/embed.py run mixed 0/1 RESULTS.jsonl      5,000 texts, 30% repeats
    python benchmarks/performance/embed.py report RESULTS.jsonl RESULTS.md  ratios over all slices

0/12 is the first of twelve slices, for a shorter look. The model is the packaged all-MiniLM-L6-v2 (window 512, mean
pooling) in fp32 on the CPU. The three take turns on each slice, and both wall time and processor time are kept, so
that other work on the machine shows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

THREADS = 1
BATCH = {"reference": 11, "mixed": 27}
"""Texts in a batch of the peers: the mean of L2aCo's own batches, which hold up to 4,096 padded tokens each."""
SYSTEMS = ("l2aco", "FlagEmbedding", "sentence-transformers")


def reference_texts() -> list[str]:
    from l2aco.profiles.sets import open_profile_set
    from l2aco.workspace import Workspace

    return [record.text for record in open_profile_set("reference", Workspace(".")).records()]


def mixed_texts(number: int, parts: int) -> list[str]:
    """Part of 5,000 texts cut from the reference profiles, 3 to 330 words (log-uniform); 30% of a part are repeats."""
    rng = np.random.default_rng(number)
    words = " ".join(reference_texts()).split()
    size = 5000 // parts
    distinct = size * 7 // 10
    texts = []
    for length in np.exp(rng.uniform(np.log(3), np.log(330), distinct)).astype(int):
        start = int(rng.integers(0, len(words) - length))
        texts.append(" ".join(words[start : start + length]))
    texts += [texts[place] for place in rng.integers(0, distinct, size - distinct)]
    return [texts[place] for place in rng.permutation(size)]


def systems(batch: int) -> dict[str, Callable[[list[str]], np.ndarray]]:
    import torch
    from FlagEmbedding import FlagModel
    from sentence_transformers import SentenceTransformer

    from l2aco.embeddings.encoders.fetch import model_folder
    from l2aco.embeddings.encoders.table import load_encoder

    torch.set_num_threads(THREADS)
    ours = load_encoder("minilm", device="cpu")
    folder = str(model_folder(ours.spec))
    flag = FlagModel(folder, pooling_method="mean", use_fp16=False, devices=["cpu"])
    peer = SentenceTransformer(folder, device="cpu")
    peer.max_seq_length = 512
    found: dict[str, Callable[[list[str]], np.ndarray]] = {
        "l2aco": ours.encode,
        "FlagEmbedding": lambda texts: flag.encode(texts, batch_size=batch, max_length=512),
        "sentence-transformers": lambda texts: peer.encode(texts, batch_size=batch, normalize_embeddings=True),
    }
    for encode in found.values():
        encode(["warm up"] * 2)
    return found


def run(name: str, part: str, results: Path) -> None:
    number, parts = (int(item) for item in part.split("/"))
    chosen = reference_texts()[number::parts] if name == "reference" else mixed_texts(number, parts)
    encoders = systems(BATCH[name])
    vectors = {}
    with results.open("a") as stream:
        for turn in range(len(SYSTEMS)):
            system = SYSTEMS[(turn + number) % len(SYSTEMS)]
            wall, cpu = time.perf_counter(), time.process_time()
            vectors[system] = encoders[system](chosen)
            row = {
                "set": name,
                "slice": part,
                "system": system,
                "texts": len(chosen),
                "wall_s": time.perf_counter() - wall,
                "cpu_s": time.process_time() - cpu,
            }
            print(row, flush=True)
            stream.write(json.dumps(row) + "\n")
        cosines = (vectors["l2aco"] * vectors["FlagEmbedding"]).sum(axis=1)
        row = {"set": name, "slice": part, "least_cosine": float(cosines.min())}
        print(row)
        stream.write(json.dumps(row) + "\n")


def report(source: Path, target: Path) -> None:
    from l2aco.bench.provenance import commit_of

    rows = [json.loads(line) for line in source.read_text().splitlines()]
    commit = commit_of(Path(__file__).parents[2])
    lines = [
        "# Encoding speed",
        "",
        f"all-MiniLM-L6-v2, fp32, {THREADS} thread; {os.cpu_count()} CPU cores, {platform.machine()}, 24 GB; commit "
        f"{commit}; {time.strftime('%Y-%m-%d')}. `python benchmarks/performance/embed.py run reference 0/1` "
        "and `run mixed 0/1`. L2aCo's batches hold up to 4,096 padded tokens, the peers' the same mean number of texts "
        f"({BATCH['reference']} and {BATCH['mixed']}).",
        "",
        "| texts | system | texts/s of processor time | ratio | texts/s of wall time | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for name in sorted({row["set"] for row in rows}, reverse=True):
        timed = [row for row in rows if row["set"] == name and "system" in row]
        ours = {key: sum(row[key] for row in timed if row["system"] == "l2aco") for key in ("cpu_s", "wall_s")}
        for system in SYSTEMS:
            own = [row for row in timed if row["system"] == system]
            texts = sum(row["texts"] for row in own)
            cells = []
            for key in ("cpu_s", "wall_s"):
                seconds = sum(row[key] for row in own)
                cells.append(f"{texts / seconds:.2f} | {'' if system == 'l2aco' else f'{seconds / ours[key]:.2f} x'}")
            lines.append(f"| {name} ({texts:,}) | {system} | {' | '.join(cells)} |")
    least = min(row["least_cosine"] for row in rows if "least_cosine" in row)
    lines += [
        "",
        "The ratio says how many times as fast L2aCo is. "
        f"Least cosine of L2aCo's vectors to FlagEmbedding's fp32 ones: {least:.6f}.",
        "",
    ]
    target.write_text("\n".join(lines))
    print("\n".join(lines))


def main() -> None:
    sys.path.pop(0)  # this folder, whose profile.py would stand in for Python's own
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("run", "report"))
    parser.add_argument("arguments", nargs="+")
    given = parser.parse_args()
    if given.step == "run":
        run(given.arguments[0], given.arguments[1], Path(given.arguments[2]))
    else:
        report(Path(given.arguments[0]), Path(given.arguments[1]))


if __name__ == "__main__":
    main()
