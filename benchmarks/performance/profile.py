"""How fast and how lean profiling is, beside the same calls without it.

    python benchmarks/performance/profile.py [--calls 3000] [--rounds 3] [--most 100000]

1. Throughput against a stub with 50 ms latency at 256 calls at once: `generate_profiles` (journal, fsync, schema
   check) and bare `AsyncOpenAI` calls with asyncio.gather and the same bodies, alternating in one run. Where
   L2ACO_CURATOR_PYTHON names a Python with bespokelabs-curator, that too.
2. Resident memory of the process that profiles 1,000 and 100,000 entities with the fake model in the process.
3. How long the resume scan of the journal of 100,000 records takes.

    python benchmarks/performance/profile.py --sizes 1000 10000 100000 1000000

How time, peak memory, journal and resume scan grow with the number of entities, each size in a process of its own, with
the fake model in the process.
"""

from __future__ import annotations

import sys

sys.path.pop(0)  # this file has the name of a standard module, which libraries import

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from l2aco.entities import Entity, EntityKind
from l2aco.llm.journal import Journal
from l2aco.profiles.generate import generate_profiles
from l2aco.profiles.job import plan_job
from l2aco.profiles.spec import ProfileSpec
from l2aco.workspace import Workspace

RESULT = Path(__file__).parents[1] / "results" / "profile.md"
AT_ONCE = 256


def entities(number: int) -> Iterator[Entity]:
    for place in range(number):
        kind = EntityKind.drug if place % 2 else EntityKind.cell_line
        yield Entity(f"E{place}", kind, f"Compound or line number {place}")


@contextmanager
def stub(delay: float = 0.05) -> Iterator[str]:
    """The fake server in a process of its own; yields its base URL."""
    command = [sys.executable, "-m", "l2aco.llm.fake", "--port", "0", "--delay", str(delay)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def ours(url: str, calls: int) -> float:
    """Profiles a second, from an empty set to a compacted one."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        report = generate_profiles(
            ProfileSpec(llm="qwen", base_urls=(url,), concurrency=AT_ONCE), entities(calls), Workspace(folder)
        )
        seconds = time.perf_counter() - started
    assert report.profiles == calls
    return calls / seconds


def bare(url: str, calls: int) -> float:
    """Answers a second of the SDK alone: nothing checked, nothing kept."""
    from openai import AsyncOpenAI

    job = plan_job(ProfileSpec(llm="qwen"), Workspace(tempfile.gettempdir()))
    requests = list(job.requests(entities(calls)))

    async def run() -> float:
        client = AsyncOpenAI(api_key="none", base_url=url, max_retries=0, timeout=120)
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(place: int) -> None:
            request = requests[place]
            async with turns:
                answer = await client.chat.completions.create(
                    model=job.model.model,
                    messages=list(request.messages),  # type: ignore[arg-type]
                    max_tokens=2048,
                    temperature=0.0,
                    response_format={  # type: ignore[arg-type]
                        "type": "json_schema",
                        "json_schema": {"name": "answer", "schema": dict(request.schema), "strict": True},
                    },
                )
            assert answer.choices[0].message.content

        started = time.perf_counter()
        await asyncio.gather(*(one(place) for place in range(calls)))
        seconds = time.perf_counter() - started
        await client.close()
        return calls / seconds

    return asyncio.run(run())


CURATOR = """
import json, sys, time
import tiktoken
class Words:  # curator counts tokens with a vocabulary that it downloads; counting words is cheaper
    def encode(self, text, **_): return text.split()
tiktoken.get_encoding = tiktoken.encoding_for_model = lambda *_: Words()
from bespokelabs import curator
url, path = sys.argv[1:]
rows = json.load(open(path))
class Profiles(curator.LLM):
    def prompt(self, row): return row["messages"]
    def parse(self, row, response): return {"n": row["n"], "text": str(response)}
llm = Profiles(model_name="qwen", backend="openai", backend_params={"base_url": url, "api_key": "none",
    "max_requests_per_minute": 1000000, "max_tokens_per_minute": 1000000000, "max_concurrent_requests": 256})
started = time.perf_counter()
llm(rows)
print("SECONDS", time.perf_counter() - started)
"""


def curator(python: str, url: str, calls: int) -> float | None:
    """Answers a second of bespokelabs-curator on the same messages, with its own cache folder."""
    job = plan_job(ProfileSpec(llm="qwen"), Workspace(tempfile.gettempdir()))
    rows = [{"n": n, "messages": list(item.messages)} for n, item in enumerate(job.requests(entities(calls)))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_text(json.dumps(rows))
        environment = {**os.environ, "CURATOR_CACHE_DIR": folder, "TELEMETRY_ENABLED": "0", "OPENAI_API_KEY": "none"}
        result = subprocess.run(
            [python, "-c", CURATOR, url, str(path)],
            capture_output=True,
            text=True,
            timeout=500,
            env=environment,
            check=False,
        )
    seconds = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("SECONDS")]
    if not seconds:
        print(result.stderr[-2000:], file=sys.stderr)
        return None
    return calls / float(seconds[0])


def grow(most: int, folder: str) -> None:
    """Profile 1,000 entities, then `most`, and print by how many MB the peak of resident memory lies higher."""
    import psutil

    workspace = Workspace(folder)
    generate_profiles(ProfileSpec(llm="fake"), entities(1000), workspace)
    before = psutil.Process().memory_info().rss
    generate_profiles(ProfileSpec(llm="fake"), entities(most), workspace)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 1e6)


def memory_and_resume(most: int) -> tuple[float, float, float]:
    """MB of growth from 1,000 to `most` entities (the peak), seconds of the resume scan, MB of the journal."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--most", str(most), "--grow", folder]
        growth = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        profiles = Path(folder) / "profiles" / "fake"
        (profiles / "records.jsonl").rename(profiles / "journal.jsonl")
        size = (profiles / "journal.jsonl").stat().st_size / 1e6
        started = time.perf_counter()
        with Journal(profiles, "the benchmark") as journal:
            seconds = time.perf_counter() - started
            assert len(journal) == most
    return growth, seconds, size


def one_size(number: int, folder: str) -> None:
    """Profile `number` entities and print seconds, those of the processor, and the peak of resident memory in MB."""
    started = time.perf_counter()
    report = generate_profiles(ProfileSpec(llm="fake"), entities(number), Workspace(folder))
    assert report.profiles == number
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


def growth_table(sizes: list[int]) -> str:
    """A row a size: time, that of the processor, peak memory, size of the records, and the scan of a second start."""
    rows = [
        "| entities | time, s | processor, s | profiles a processor second | peak memory, MB | journal, MB "
        "| resume scan, s |",
        "|---" * 7 + "|",
    ]
    for number in sizes:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--one", str(number), "--grow", folder]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            seconds, busy, memory = map(float, told)
            profiles = Path(folder) / "profiles" / "fake"
            (profiles / "records.jsonl").rename(profiles / "journal.jsonl")
            size = (profiles / "journal.jsonl").stat().st_size / 1e6
            started = time.perf_counter()
            with Journal(profiles, "the benchmark"):
                scan = time.perf_counter() - started
        rows.append(
            f"| {number:,} | {seconds:,.1f} | {busy:,.1f} | {number / busy:,.0f} | {memory:,.0f} | {size:,.0f} "
            f"| {scan:.2f} |"
        )
        print(rows[-1], flush=True)
    return "\n".join(rows)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=3000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--most", type=int, default=100_000)
    options.add_argument("--sizes", type=int, nargs="+")
    options.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options.add_argument("--grow", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        one_size(chosen.one, chosen.grow)
        return
    if chosen.sizes:
        add(growth_table(chosen.sizes))
        return
    if chosen.grow:
        grow(chosen.most, chosen.grow)
        return
    rows: list[tuple[str, list[float]]] = [("l2aco", []), ("bare AsyncOpenAI", []), ("bespokelabs-curator", [])]
    python = os.environ.get("L2ACO_CURATOR_PYTHON")
    with stub() as url:
        bare(url, 200)
        for _ in range(chosen.rounds):
            rows[0][1].append(ours(url, chosen.calls))
            rows[1][1].append(bare(url, chosen.calls))
            if python and (speed := curator(python, url, chosen.calls)):
                rows[2][1].append(speed)
    growth, seconds, size = memory_and_resume(chosen.most)
    own = statistics.median(rows[0][1])
    lines = [
        f"{chosen.calls:,} calls, 50 ms latency, {AT_ONCE} at once, median of {chosen.rounds} alternating rounds.",
        "",
    ]
    lines += ["| | answers a second | rounds | l2aco / this |", "|---|---|---|---|"]
    for name, speeds in rows:
        if speeds:
            middle = statistics.median(speeds)
            each = ", ".join(f"{speed:.0f}" for speed in speeds)
            lines.append(f"| {name} | {middle:.0f} | {each} | {own / middle:.2f} |")
    if rows[2][1]:
        lines += ["", "bespokelabs-curator without a response schema, and with words counted in place of tokens."]
    lines += [
        "",
        f"Peak resident memory grew by {growth:.0f} MB from 1,000 to {chosen.most:,} entities.",
        f"The resume scan of a journal of {chosen.most:,} records ({size:.0f} MB) took {seconds:.2f} s.",
    ]
    write("\n".join(lines))


GROWTH = "## Growth"


def add(table: str) -> None:
    """Put the table of growth behind the other figures, in the place of an older one."""
    before = RESULT.read_text(encoding="utf-8").partition(GROWTH)[0].rstrip()
    command = "`python benchmarks/performance/profile.py --sizes ...`, fake model in the process"
    text = f"{before}\n\n{GROWTH}\n\n{_machine()}; {command}; load {os.getloadavg()[0]:.0f} on all cores\n\n{table}\n"
    RESULT.write_text(text, encoding="utf-8")


def write(text: str) -> None:
    """Print the figures and keep them with machine, commit and date."""
    head = f"{_machine()}; `python benchmarks/performance/profile.py`"
    RESULT.write_text(f"# Profiling: throughput, memory, resume\n\n{head}\n\n{text}\n", encoding="utf-8")
    print(text)


def _machine() -> str:
    from l2aco.bench.provenance import commit_of

    commit = commit_of(Path(__file__).parents[2])
    machine = f"{os.cpu_count()} CPU cores, x86-64, Python {sys.version.split()[0]}"
    return f"{machine}; commit {commit}; {time.strftime('%Y-%m-%d')}"


if __name__ == "__main__":
    main()
