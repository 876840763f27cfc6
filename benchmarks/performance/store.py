"""How the embedding store's costs grow from 10,000 to 1,000,000 vectors, against FAISS alone.

    python benchmarks/performance/store.py fill FOLDER ROWS       make a store of ROWS x 384 vectors
    python benchmarks/performance/store.py index FOLDER           build the index that its size asks for
    python benchmarks/performance/store.py measure FOLDER [JSON]  open, upsert, search, recall; one JSON line
    python benchmarks/performance/store.py report JSON MARKDOWN   the table

The vectors are mixtures of three of the given real ones with a little noise: neighbourhoods as in real profiles,
in any number. `--seeds FILE.npy` names the real vectors (n, 384); without it random ones are mixed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DIMENSION = 384
PIECE = 50_000
QUERIES = 200


def mixtures(rows: int, seed: int, seeds: Path | None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = np.load(seeds) if seeds else np.random.default_rng(1).normal(size=(669, DIMENSION))
    base = base / np.linalg.norm(base, axis=1, keepdims=True)
    weights = rng.dirichlet((1.0, 1.0, 1.0), rows).astype(np.float32)
    chosen = rng.integers(0, len(base), (rows, 3))
    vectors = sum(weights[:, [place]] * base[chosen[:, place]] for place in range(3))
    vectors = vectors + 0.01 * rng.normal(size=(rows, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def some_records(first: int, rows: int):
    from l2aco.embeddings.store.segments import StoreRecord

    return [
        StoreRecord(
            kind="drug" if number % 2 else "cell_line",
            id=f"E{number}",
            name=f"entity {number}",
            text=f"profile of entity {number}",
            set="bench",
            llm="none",
        )
        for number in range(first, first + rows)
    ]


def fill(folder: Path, rows: int, seeds: Path | None) -> None:
    from l2aco.embeddings.encoders.spec import EncoderSpec
    from l2aco.embeddings.store.store import EmbeddingStore

    spec = EncoderSpec(name="bench", runtime="transformers", model="bench", dimension=DIMENSION, window=512)
    store = EmbeddingStore.create(folder, spec) if not folder.exists() else EmbeddingStore.open(folder)
    while len(store) < rows:
        first = len(store)
        size = min(PIECE, rows - first)
        store.upsert(some_records(first, size), mixtures(size, first + 7, seeds))
        print(len(store), flush=True)


def index(folder: Path) -> None:
    from l2aco.embeddings.store.store import EmbeddingStore

    class Talk:
        def task(self, label, total=None, unit=""):
            import contextlib

            print(label, flush=True)
            return contextlib.nullcontext(lambda done=1, note="": None)

        def say(self, text):
            print(text, flush=True)

    store = EmbeddingStore.open(folder)
    before, most = own_memory_mb(), [0.0]
    threading.Thread(target=watch_memory, args=(most,), daemon=True).start()
    started = time.perf_counter()
    cpu = time.process_time()
    store.optimise(None, Talk())
    print(f"{time.perf_counter() - started:.0f} s, {time.process_time() - cpu:.0f} s of CPU", store.manifest.index)
    print(f"memory of its own: {before:.0f} MB before, at most {most[0]:.0f} MB; mapped files are not counted")


def own_memory_mb() -> float:
    """Resident memory of this process that is no mapped file, which the system takes back when it likes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000


def watch_memory(most: list[float]) -> None:
    while True:
        most[0] = max(most[0], own_memory_mb())
        time.sleep(0.05)


OPEN = """
import sys, time, psutil
import numpy, polars, pyarrow.parquet, faiss
from l2aco.embeddings.store.store import EmbeddingStore
started = time.perf_counter()
store = EmbeddingStore.open(sys.argv[1])
seconds = time.perf_counter() - started
opened = psutil.Process().memory_info()
query = numpy.random.default_rng(0).normal(size=store.dimension)
started = time.perf_counter()
store.search(query, 10)
first = time.perf_counter() - started
searched = psutil.Process().memory_info()
print(seconds, opened.rss, first, searched.rss, searched.shared)
"""


def times_ms(call, arguments) -> list[float]:
    times = []
    for argument in arguments:
        started = time.perf_counter()
        call(argument)
        times.append(1000 * (time.perf_counter() - started))
    return times


def median_ms(call, arguments) -> float:
    return float(np.median(times_ms(call, arguments)))


def by_faiss(store) -> tuple[Callable, Callable]:
    """FAISS with the store's vectors or index, asked a query (D,): as it is, and with candidates scored again."""
    import faiss

    from l2aco.embeddings.store.manifest import EFFORT

    info = store.manifest.index
    if info is None:
        raw = faiss.IndexFlatIP(DIMENSION)
        for segment in store.generation.segments:
            raw.add(np.ascontiguousarray(segment.vectors))

        def bare(query):
            raw.search(query[None], 10)

        return bare, bare
    raw = store.generation.approximate
    effort = info.parameters[EFFORT[info.kind]]
    wanted = info.parameters["candidates"] * 10
    options = {"efSearch": max(effort, wanted)} if info.kind == "hnsw" else {"nprobe": effort}
    kind = faiss.SearchParametersHNSW if info.kind == "hnsw" else faiss.SearchParametersIVF
    parameters = kind(**options)

    flat = faiss.IndexFlatIP(DIMENSION)
    for segment in store.generation.segments:
        flat.add(np.ascontiguousarray(segment.vectors[: max(info.rows - segment.start, 0)]))
    refined = faiss.IndexRefine(raw, flat)
    refine = faiss.IndexRefineSearchParameters(k_factor=info.parameters["candidates"], base_index_params=parameters)

    def bare(query):
        raw.search(query[None], 10, params=parameters)

    def alone(query):
        refined.search(query[None], 10, params=refine)

    return bare, alone


def measure(folder: Path, seeds: Path | None) -> dict:
    from l2aco.embeddings.store.index import recall_at_10
    from l2aco.embeddings.store.store import EmbeddingStore

    out = subprocess.run([sys.executable, "-c", OPEN, str(folder)], capture_output=True, text=True, check=True).stdout
    seconds, rss, first, rss_after, shared = (float(item) for item in out.split())
    store = EmbeddingStore.open(folder)
    rows = len(store)
    row = {
        "rows": rows,
        "index": store.manifest.index.kind if store.manifest.index else "flat",
        "open_s": seconds,
        "rss_open_mb": rss / 2**20,
        "first_search_s": first,
        "private_after_search_mb": (rss_after - shared) / 2**20,
    }
    queries = mixtures(QUERIES, 999_999, seeds)
    bare, alone = by_faiss(store)
    # In turns, so that all meet the same neighbours on the machine; every query is new to the caches of each.
    calls = {"search_ms": lambda query: store.search_rows(query[None], 10), "faiss_ms": alone, "index_ms": bare}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    slices = np.split(queries, 10)
    for call in calls.values():  # so that mapped pages are resident, as FAISS's own copy is
        times_ms(call, queries)
    for turn in range(len(slices)):
        for place, (name, call) in enumerate(calls.items()):
            taken[name] += times_ms(call, slices[(turn + 3 * place) % len(slices)])
    row |= {name: float(np.median(times)) for name, times in taken.items()}
    row["ratio"] = row["search_ms"] / row["faiss_ms"]
    row["index_ratio"] = row["search_ms"] / row["index_ms"]
    row["hits_ms"] = median_ms(lambda query: store.search(query, 10), queries[:40])
    truth = store.search_rows(queries, 11, exact=True)[1]
    row["recall_at_10"] = recall_at_10(np.full(QUERIES, -2), truth, store.search_rows(queries, 10)[1])
    row["exact_ms"] = median_ms(lambda query: store.search_rows(query[None], 10, exact=True), queries[:10])
    before = store.manifest.bytes
    fresh = some_records(10_000_000, 1000)
    vectors = mixtures(1000, 5, seeds)
    started = time.perf_counter()
    store.upsert(fresh, vectors)
    row["upsert_1000_s"] = time.perf_counter() - started
    row["upsert_written_mb"] = (store.manifest.bytes - before) / 2**20
    row["tail_search_ms"] = median_ms(lambda query: store.search_rows(query[None], 10), queries[:40])
    row["disk_mb"] = before / 2**20
    return row


def report(source: Path, target: Path) -> None:
    from l2aco.bench.provenance import commit_of

    rows = sorted((json.loads(line) for line in source.read_text().splitlines()), key=lambda row: row["rows"])
    columns = [
        ("rows", "vectors (x 384)", "{:,.0f}"),
        ("index", "index", "{}"),
        ("open_s", "open, s", "{:.3f}"),
        ("rss_open_mb", "memory after open, MB", "{:.0f}"),
        ("search_ms", "search, ms", "{:.2f}"),
        ("index_ms", "index alone, ms", "{:.2f}"),
        ("index_ratio", "ratio", "{:.2f}"),
        ("faiss_ms", "index and refinement, ms", "{:.2f}"),
        ("ratio", "ratio", "{:.2f}"),
        ("hits_ms", "search with records, ms", "{:.2f}"),
        ("exact_ms", "exact search, ms", "{:.1f}"),
        ("recall_at_10", "recall@10", "{:.3f}"),
        ("upsert_1000_s", "upsert of 1,000, s", "{:.2f}"),
        ("upsert_written_mb", "written for it, MB", "{:.1f}"),
        ("disk_mb", "on disk, MB", "{:,.0f}"),
    ]
    commit = commit_of(Path(__file__).parents[2])
    lines = [
        "# The embedding store from 10,000 to 1,000,000 vectors",
        "",
        f"{os.cpu_count()} CPU cores, {platform.machine()}, 24 GB; commit {commit}; {time.strftime('%Y-%m-%d')}. "
        f"Medians over {QUERIES} queries, in turns with FAISS; one FAISS thread.",
        "",
        "| " + " | ".join(title for _, title, _ in columns) + " |",
        "|" + "---|" * len(columns),
    ]
    lines += ["| " + " | ".join(form.format(row[key]) for key, _, form in columns) + " |" for row in rows]
    lines += [
        "",
        "`index alone` is FAISS on the same index in the same process, with the same effort: IndexFlatIP for flat, "
        "else the store's own index file. `index and refinement` adds FAISS's IndexRefine, which scores as many "
        "candidates again from memory, as the store does from its mapped file. Recall is against exact search, on "
        f"{QUERIES} queries that are not in the store.",
        "",
    ]
    target.write_text("\n".join(lines))
    print("\n".join(lines))


def main() -> None:
    sys.path.pop(0)  # this folder, whose profile.py would stand in for Python's own
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("fill", "index", "measure", "report"))
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--seeds", type=Path)
    given = parser.parse_args()
    first = Path(given.paths[0])
    if given.step == "fill":
        fill(first, int(given.paths[1]), given.seeds)
    elif given.step == "index":
        index(first)
    elif given.step == "measure":
        row = measure(first, given.seeds)
        print(json.dumps(row))
        if len(given.paths) > 1:
            with Path(given.paths[1]).open("a") as stream:
                stream.write(json.dumps(row) + "\n")
    else:
        report(first, Path(given.paths[1]))


if __name__ == "__main__":
    main()
