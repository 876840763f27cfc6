"""`l2aco profile`: a language model writes the profiles."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from l2aco.cli.shell import JsonOption, Shell, verb
from l2aco.llm.options import EngineOptions, RunLimits
from l2aco.llm.report import most_common

if TYPE_CHECKING:
    from l2aco.entities import Entity
    from l2aco.profiles.generate import ProfileReport
    from l2aco.profiles.plan import Plan
    from l2aco.profiles.spec import ProfileSpec
    from l2aco.workspace import Workspace

_MODEL, _ENTITIES, _FLOW, _BUDGET = "Model and prompt", "Entities", "Speed and faults", "Budget"


@verb(resumes=True)
def profile(
    shell: Shell,
    llm: Annotated[
        str | None,
        typer.Option("--llm", help="Alias (`l2aco llms`), PROVIDER:MODEL or OWNER/MODEL.", rich_help_panel=_MODEL),
    ] = None,
    entities: Annotated[
        Path | None,
        typer.Option(
            "--entities", help="CSV, TSV, TXT or Parquet with name, kind, optional id.", rich_help_panel=_ENTITIES
        ),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="One entity; repeatable.", rich_help_panel=_ENTITIES)
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="drug or cell_line, for --name and --entities.", rich_help_panel=_ENTITIES),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Only the first N entities.", rich_help_panel=_ENTITIES)
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="NAME or NAME@VERSION.", rich_help_panel=_MODEL)
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Of sampling; else 0.", rich_help_panel=_MODEL)
    ] = None,
    top_p: Annotated[float | None, typer.Option("--top-p", rich_help_panel=_MODEL)] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Sent where the temperature is above 0.", rich_help_panel=_MODEL)
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help="Most tokens of an answer.", rich_help_panel=_MODEL)
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", help="Profiles of each entity, kept side by side.", rich_help_panel=_MODEL),
    ] = None,
    pieces: Annotated[
        int | None,
        typer.Option(
            "--pieces", help="Most fields or grades of one call; a long profile is joined.", rich_help_panel=_MODEL
        ),
    ] = None,
    set_name: Annotated[
        str | None, typer.Option("--set", help="Name of the profile set.", rich_help_panel=_MODEL)
    ] = None,
    base_url: Annotated[
        list[str] | None,
        typer.Option("--base-url", help="OpenAI-compatible server; repeat to balance several.", rich_help_panel=_MODEL),
    ] = None,
    vllm_flags: Annotated[
        str, typer.Option("--vllm-flags", help="More flags for the vLLM that is started.", rich_help_panel=_MODEL)
    ] = "",
    keep_server: Annotated[
        bool, typer.Option("--keep-server", help="Leave that vLLM running for the next time.", rich_help_panel=_MODEL)
    ] = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", help="Most calls at once; adapts below it.", rich_help_panel=_FLOW)
    ] = RunLimits.concurrency,
    rpm: Annotated[float | None, typer.Option("--rpm", help="Most requests a minute.", rich_help_panel=_FLOW)] = None,
    tpm: Annotated[float | None, typer.Option("--tpm", help="Most tokens a minute.", rich_help_panel=_FLOW)] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", help="Seconds for one call as a whole: 120, with flex 900.", rich_help_panel=_FLOW),
    ] = None,
    attempts: Annotated[
        int, typer.Option("--attempts", help="Tries of a call that brought no answer.", rich_help_panel=_FLOW)
    ] = RunLimits.attempts,
    break_after: Annotated[
        int, typer.Option("--break-after", help="Failures in a row that end the run.", rich_help_panel=_FLOW)
    ] = RunLimits.break_after,
    delay: Annotated[
        float, typer.Option("--delay", help="Seconds that the fake model takes to answer.", rich_help_panel=_FLOW)
    ] = EngineOptions.delay_s,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again where an answer was unusable.", rich_help_panel=_FLOW)
    ] = False,
    tier: Annotated[
        Literal["flex"] | None,
        typer.Option("--tier", help="flex: slower and cheaper, where it has it.", rich_help_panel=_BUDGET),
    ] = None,
    batch: Annotated[
        bool,
        typer.Option("--batch", help="By the provider's Batch API: within a day, cheaper.", rich_help_panel=_BUDGET),
    ] = False,
    engine: Annotated[
        Literal["ray"] | None,
        typer.Option("--engine", help="ray: the workers of a Ray cluster make the calls.", rich_help_panel=_FLOW),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", help="Of the Ray cluster; without, one on this machine.", rich_help_panel=_FLOW),
    ] = None,
    wait: Annotated[
        Literal["yes", "no"],
        typer.Option("--wait", help="no: send the batches and leave; the same goes on.", rich_help_panel=_BUDGET),
    ] = "yes",
    budget_usd: Annotated[
        float | None,
        typer.Option("--budget-usd", help="Most that all runs of the set may cost.", rich_help_panel=_BUDGET),
    ] = None,
    budget_tokens: Annotated[
        int | None,
        typer.Option("--budget-tokens", help="Most tokens of all runs of the set.", rich_help_panel=_BUDGET),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show calls, tokens and cost per model; ask nothing.", rich_help_panel=_BUDGET),
    ] = False,
    probe: Annotated[
        int,
        typer.Option(
            "--probe", min=0, help="With --dry-run: have N profiles written, to measure.", rich_help_panel=_BUDGET
        ),
    ] = 0,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Also take from l2aco.toml what decides which code runs.", rich_help_panel=_MODEL),
    ] = False,
    json: JsonOption = False,
) -> int | None:
    """Let a language model write a profile of every drug and cell line.

    Entities come from --entities or --name, else from the imported data sets, else from the bundled demo. What is
    finished is never asked for again: the same command goes on where a stopped or killed one ended.
    """
    from l2aco.data.known import gather_entities
    from l2aco.llm.catalog import resolve_model
    from l2aco.profiles.generate import generate_profiles
    from l2aco.profiles.plan import plan_costs
    from l2aco.workspace import Workspace

    _refuse_alone(dry_run=dry_run, probe=probe)
    workspace = Workspace(shell.workspace.root, trust=True) if trust else shell.workspace
    spec = _spec(
        workspace,
        llm=llm,
        prompt=prompt,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        max_tokens=max_tokens,
        samples=samples,
        pieces=pieces,
        set_name=set_name,
        base_urls=tuple(base_url or ()),
        vllm_flags=_flags(vllm_flags),
        keep_server=keep_server,
        concurrency=concurrency,
        requests_per_minute=rpm,
        tokens_per_minute=tpm,
        timeout_s=timeout,
        attempts=attempts,
        break_after=break_after,
        delay_s=delay,
        retry_failed=retry_failed,
        tier=tier,
        batch=batch,
        engine=engine,
        ray_address=address,
        wait=wait == "yes",
        budget_usd=budget_usd,
        budget_tokens=budget_tokens,
        limit=limit,
    )
    resolve_model(spec.llm, workspace.settings)  # a wrong name is refused before anything is read
    chosen = gather_entities(workspace, file=entities, names=name or (), kind=kind, progress=shell)
    if dry_run:
        if probe and not _probe(shell, workspace, spec, chosen, probe):
            return 3
        _tell_plan(shell, plan_costs(spec, chosen, workspace, None if probe else shell), spec, json)
        return None
    return _tell(shell, generate_profiles(spec, chosen, workspace, shell), json)


def _refuse_alone(*, dry_run: bool, probe: int) -> None:
    """Raise UsageError for a probe that would be followed by the whole job."""
    from l2aco.errors import UsageError

    if probe and not dry_run:
        raise UsageError("--probe goes with --dry-run: alone, every profile would be written", remedy="Add --dry-run.")


def _flags(text: str) -> tuple[str, ...]:
    from l2aco.errors import UsageError

    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"--vllm-flags cannot be read ({error})", remedy="Close every quotation mark.") from None


def _spec(workspace: Workspace, **values: object) -> ProfileSpec:
    from l2aco.errors import UsageError
    from l2aco.files import checked_spec
    from l2aco.profiles.spec import ProfileSpec

    if values["llm"] is None:
        values["llm"] = workspace.settings.llm
    if values["llm"] is None:
        raise UsageError(
            "which language model?",
            remedy='Name one with --llm (`l2aco llms` lists them), or set llm = "NAME" in l2aco.toml.',
        )
    return checked_spec(ProfileSpec, {name: value for name, value in values.items() if value is not None})


def _tell_plan(shell: Shell, planned: tuple[Plan, list[dict[str, Any]]], spec: ProfileSpec, json: bool) -> None:
    plan, rows = planned
    if json:
        shell.json(
            {
                "set": plan.set_name,
                "requested": plan.requested,
                "finished": plan.finished,
                "seconds": plan.seconds,
                "seconds_a_call": plan.seconds_a_call,
                "models": rows,
            }
        )
        return
    shell.print(
        f"Profile set '{plan.set_name}': {plan.requested:,} requested, {plan.finished:,} finished, "
        f"{plan.calls:,} calls to make, about {plan.tokens_in:,} tokens in and {plan.tokens_out:,} out"
    )
    shell.print(_how_long(plan, spec))
    shell.table(
        [
            {
                "llm": row["llm"],
                "expected": None if row["expected_usd"] is None else f"${row['expected_usd']:,.4f}",
                **{
                    tier: None if tier not in row["tiers_usd"] else f"${row['tiers_usd'][tier]:,.4f}"
                    for tier in ("flex", "batch")
                },
                "at most": None if row["at_most_usd"] is None else f"${row['at_most_usd']:,.4f}",
                "prices as of": row["prices_as_of"],
            }
            for row in rows
        ]
    )


def _probe(shell: Shell, workspace: Workspace, spec: ProfileSpec, entities: list[Entity], number: int) -> bool:
    """Whether something was measured, or nothing had to be."""
    from l2aco.profiles.plan import probe

    run = probe(spec, entities, workspace, number, shell).run
    if run.stopped:
        shell.warn(f"The probe stopped: {run.stopped}\n{run.remedy}")
    if not run.answered:
        if run.stopped or run.failed:
            shell.warn("Nothing was measured: there is no estimate.")
        return not (run.stopped or run.failed)
    cost = "" if run.cost_usd is None else f", ${run.cost_usd:,.4f}"
    shell.say(f"Measured on {run.answered:,} profiles, which stay in the set: {run.seconds:,.1f} s{cost}")
    return True


def _how_long(plan: Plan, spec: ProfileSpec) -> str:
    from l2aco.cli.progress import duration

    if not plan.calls:
        return "Nothing is left to do."
    if spec.batch:
        return "A batch takes up to 24 hours."
    if plan.seconds is None or plan.seconds_a_call is None:
        return "How long it takes is not known yet: --probe 5 has five profiles written, and measures."
    return (
        f"About {duration(plan.seconds)} with {plan.at_once:,} calls at once where the server bears them "
        f"({plan.seconds_a_call:,.1f} s a call), {duration(plan.calls * plan.seconds_a_call)} one by one"
    )


def _tell(shell: Shell, report: ProfileReport, json: bool) -> int | None:
    run = report.run
    failed = sum(run.failed.values()) + run.failed_before
    if json:
        shell.json(
            {
                "set": report.set.name,
                "path": str(report.set.path),
                "profiles": report.profiles,
                "requested": report.requested,
                "covered": report.covered,
                "missing": list(report.missing),
                "written": run.answered,
                "finished_before": run.before,
                "failed": failed,
                "reasons": {str(reason): number for reason, number in run.failed.most_common()},
                "calls": run.calls,
                "retries": run.retries,
                "repairs": run.repairs,
                "tokens_in": run.tokens_in,
                "tokens_out": run.tokens_out,
                "cost_usd": run.cost_usd,
                "set_cost_usd": report.set.cost_usd,
                "seconds": run.seconds,
                "stopped": run.stopped,
            }
        )
    else:
        _tell_in_words(shell, report, failed)
    if run.stopped:
        shell.warn(f"Stopped: {run.stopped}\n{run.remedy}")
    if failed or run.stopped or (report.requested and not report.covered):
        return 3 if report.covered else 1
    return None


def _tell_in_words(shell: Shell, report: ProfileReport, failed: int) -> None:
    run = report.run
    shell.print(f"Profile set '{report.set.name}': {report.profiles:,} profiles in {report.set.path}")
    shell.print(f"Covers {report.covered:,} of {report.requested:,} requested")
    if report.missing:
        shell.warn(
            f"Without a profile: {', '.join(report.missing)}\n"
            "Another model can write these (l2aco profile --llm NAME), and sets can be joined: docs/profiling.md"
        )
    if run.calls:
        cost = "price unknown" if run.cost_usd is None else f"${run.cost_usd:,.4f}"
        shell.print(
            f"Wrote {run.answered:,} ({run.before:,} were finished before) with {run.calls:,} calls, "
            f"{run.tokens_in:,} + {run.tokens_out:,} tokens, {cost}, {run.seconds:,.1f} s"
        )
    if report.set.cost_usd:
        shell.print(f"The set has cost ${report.set.cost_usd:,.4f} in all, paid failures included")
    if failed:
        before = f"{run.failed_before:,} given up before" if run.failed_before else ""
        why = ", ".join(filter(None, (most_common(run.failed), before)))
        shell.warn(f"Failed: {why} (failures.jsonl has each; --retry-failed asks again)")


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.command("profile")(profile)
