"""`l2aco profiles`: look at, check and move profile sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from l2aco.cli.profiles_files import answers, requests
from l2aco.cli.profiles_watch import watch
from l2aco.cli.shell import JsonOption, Shell, verb

if TYPE_CHECKING:
    from l2aco.entities import Entity
    from l2aco.profiles.audit.report import Known
    from l2aco.profiles.sets import ProfileSet

FormatName = Literal["jsonl", "parquet", "csv", "paper"]
SetArgument = Annotated[str, typer.Argument(metavar="SET", help="Profile set.")]
KindOption = Annotated[str | None, typer.Option("--kind", help="drug or cell_line.")]


@verb
def list_(shell: Shell, json: JsonOption = False) -> None:
    """List the profile sets of this workspace and the bundled ones."""
    from l2aco.profiles.sets import list_profile_sets

    sets = list_profile_sets(shell.workspace, progress=shell)
    rows = [
        {
            "set": item.name,
            "profiles": len(item),
            "llm": item.manifest.get("llm"),
            "model": item.manifest.get("model"),
            "prompt": item.prompt_label,
            "cost": None if item.cost_usd is None else f"${item.cost_usd:,.4f}",
            "failed": sum(1 for _ in item.failures()),
            "where": "bundled" if item.is_bundled else str(item.path),
        }
        for item in sets
    ]
    shell.table(rows, json=json)


@verb
def show(
    shell: Shell,
    set_name: Annotated[str, typer.Argument(metavar="SET", help="Profile set; with --prompt-only, a prompt.")],
    entity: Annotated[str | None, typer.Argument(help="Id, name or alias of an entity; without: a summary.")] = None,
    kind: KindOption = None,
    prompt_only: Annotated[
        bool, typer.Option("--prompt-only", help="Print the messages that would be sent, and send nothing.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show a profile set, one profile of it, or the messages that a prompt makes of an entity."""
    from l2aco.profiles.sets import open_profile_set

    if prompt_only:
        _show_messages(shell, set_name, entity, kind, json)
        return
    profiles = open_profile_set(set_name, shell.workspace)
    if entity is None:
        if json:
            shell.json(profiles.manifest)
        else:
            _show_summary(shell, profiles)
        return
    record = profiles.resolve(entity, kind)
    if json:
        shell.json(record.to_json())
        return
    shell.print(f"{record.entity_name} ({record.kind}, {record.entity_id}) in {profiles.name}\n")
    shell.print(record.text)
    shell.print(f"confidence: {record.fields.get('confidence', '-')}")


def _show_summary(shell: Shell, profiles: ProfileSet) -> None:
    shell.print(f"{profiles.name}: {len(profiles):,} profiles in {profiles.path}")
    for key in ("origin", "coverage", "llm", "model", "created_at"):
        if profiles.manifest.get(key):
            shell.print(f"{key.replace('_', ' ')}: {profiles.manifest[key]}")
    if profiles.cost_usd is not None:
        shell.print(f"cost: ${profiles.cost_usd:,.4f} in all")
    if profiles.prompt_label:
        shell.print(f"prompt: {profiles.prompt_label}")
    for kind, schema in profiles.schemas.items():
        shell.print(f"fields of a {kind.replace('_', ' ')}: {', '.join(schema['properties'])}")


def _show_messages(shell: Shell, name: str, entity: str | None, kind: str | None, json: bool) -> None:
    """`name` is a prompt, or a profile set whose prompt is meant."""
    from l2aco.errors import UsageError
    from l2aco.profiles.prompt import list_prompts, load_templates
    from l2aco.profiles.sets import open_profile_set

    if entity is None:
        raise UsageError("which entity?", remedy="l2aco profiles show plain Erlotinib --kind drug --prompt-only")
    known = {item.casefold() for item in list_prompts(shell.workspace)}
    if name.partition("@")[0].casefold() in known:
        prompt = name
    elif (label := open_profile_set(name, shell.workspace).prompt_label) is not None:
        prompt = label
    else:
        raise UsageError(f"the prompt of profile set '{name}' was not recorded", remedy="Name a prompt: plain.")
    found = _find_entity(shell, entity, kind)
    templates = load_templates(prompt, shell.workspace)
    if found.kind.value not in templates:
        raise UsageError(f"prompt {prompt} has no template for {found.kind.value}")
    messages = templates[found.kind.value].render(found)
    if json:
        shell.json(list(messages))
        return
    for message in messages:
        shell.print(f"--- {message['role']}\n{message['content']}\n")


def _find_entity(shell: Shell, name: str, kind: str | None) -> Entity:
    """The entity of the data sets called `name`, with its facts; else one that is only a name."""
    from l2aco.data.known import gather_entities
    from l2aco.entities import Entity, EntityIndex, EntityKind, parse_kind
    from l2aco.errors import UsageError

    kinds = [parse_kind(kind)] if kind else list(EntityKind)
    known = gather_entities(shell.workspace, progress=shell)
    for item in kinds:
        if found := EntityIndex(item, known).find(name):
            return found
    if len(kinds) > 1:
        raise UsageError(f"no data set knows '{name}'", remedy="Say what it is with --kind drug or --kind cell_line.")
    return Entity(name, kinds[0], name)


@verb
def audit(
    shell: Shell,
    set_name: SetArgument,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Check coverage, targets and drug names against this data set.")
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Compare with another profile set, field by field.")
    ] = None,
    response: Annotated[
        Path | None,
        typer.Option(
            "--response", help="Score the grades of a panel with measured response: rows drugs, columns cell lines."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 where there is a fault.")] = False,
    json: JsonOption = False,
) -> int | None:
    """Check a profile set: coverage, wording, near-duplicates, numbers, claimed targets, leakage, agreement.

    In the table of --response the first column names the drugs; smaller values mean more sensitive, as of IC50 and AUC.
    """
    from l2aco.profiles.audit.compare import DEALINGS, compare_samples, compare_sets
    from l2aco.profiles.audit.report import audit_set
    from l2aco.profiles.audit.response import check_response
    from l2aco.profiles.sets import open_profile_set

    profiles = open_profile_set(set_name, shell.workspace)
    other = open_profile_set(against, shell.workspace) if against else None
    measured = check_response(profiles, response) if response else None
    found = audit_set(profiles, _known(shell, dataset) if dataset else None)
    compared = compare_sets(profiles, other) if other is not None else None
    samples = compare_samples(profiles)
    if json:
        value: dict[str, Any] = {
            "set": profiles.name,
            "dataset": dataset,
            "checks": found.rows(),
            "faults": found.faults,
            "agreement": compared,
            "samples": samples or None,
            "response": measured.rows() if measured is not None else None,
        }
        shell.json({name: item for name, item in value.items() if item is not None or name == "dataset"})
        return 1 if strict and found.faults else None
    shell.table(found.rows())
    by_chance = f"by chance: the mean of {DEALINGS} random dealings; of ranks it is 0"
    if compared is not None:
        title = f"\nAgreement of {profiles.name} with {against} ({by_chance})"
        shell.table(compared, title=title, empty="No entity in common.")
    if samples:
        shell.table(samples, title=f"\nAgreement of the samples of an entity ({by_chance})")
    if measured is not None:
        known = f"{measured.lines} cell lines, {measured.drugs} drugs"
        left = f"{measured.unknown_lines} and {measured.unknown_drugs} of the table have no grades or no class"
        shell.table(measured.rows(), title=f"\nGrades against response: {known} ({left})")
    return 1 if strict and found.faults else None


def _known(shell: Shell, name: str) -> Known:
    from l2aco.data.catalog import open_or_simulate
    from l2aco.data.known import known_targets
    from l2aco.profiles.audit.report import Known

    data_set = open_or_simulate(name, shell.workspace)
    triples = data_set.triples
    drugs = [data_set.drugs[row] for row in sorted({*triples.drug_a.tolist(), *triples.drug_b.tolist()})]
    lines = [data_set.cell_lines[row] for row in sorted(set(triples.cell_line.tolist()))]
    symbols = {symbol.upper() for symbol in data_set.gene_symbols.values()}
    return Known(data_set.name, [*drugs, *lines], known_targets(data_set), symbols)


@verb
def export(
    shell: Shell,
    set_name: SetArgument,
    to: Annotated[Path, typer.Argument(help="File to write, or folder for the paper's layout.")],
    form: Annotated[FormatName | None, typer.Option("--format", help="Default: by the name.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a profile set as JSONL, Parquet, CSV or the paper's description files."""
    from l2aco.profiles.exchange import export_set, parse_format
    from l2aco.profiles.sets import open_profile_set

    profiles = open_profile_set(set_name, shell.workspace)
    written = [str(path) for path in export_set(profiles, to, parse_format(form, to), replace=force)]
    shell.made({"set": profiles.name, "files": written}, "\n".join(written), json=json)


@verb
def import_(
    shell: Shell,
    source: Annotated[Path, typer.Argument(help="File, or folder with the paper's description files.")],
    name: Annotated[str, typer.Option("--name", help="Name of the new profile set.")],
    form: Annotated[FormatName | None, typer.Option("--format", help="Default: by the name.")] = None,
    json: JsonOption = False,
) -> None:
    """Read profiles from JSONL, Parquet, CSV or the paper's description files into a new set.

    A table of your own needs the columns kind (drug or cell_line), name or id, and text.
    """
    from l2aco.data.known import known_entities
    from l2aco.profiles.exchange import import_set, parse_format

    chosen = parse_format(form, source)
    done = import_set(
        source, name, shell.workspace, form=chosen, entities=lambda: known_entities(shell.workspace, shell)
    )
    facts = {"set": done.set.name, "path": done.set.path, "profiles": done.profiles}
    left_out = {"repeated": done.repeated, "empty": done.empty, "unresolved": list(done.unresolved)}
    words = f"Profile set '{done.set.name}': {done.profiles:,} profiles in {done.set.path}"
    shell.made(facts | left_out, words, json=json)
    if done.repeated or done.empty:
        shell.say(f"Left out: {done.repeated:,} repeated, {done.empty:,} empty")
    if done.unresolved:
        shown = ", ".join(done.unresolved[:10]) + (", ..." if len(done.unresolved) > 10 else "")
        shell.say(f"{len(done.unresolved):,} names are known here to nobody and became ids: {shown}")


def register(app: typer.Typer) -> None:
    """Mount the verbs."""
    group = typer.Typer(help="Look at, check and move profile sets.", no_args_is_help=True)
    verbs = {"list": list_, "show": show, "audit": audit, "export": export, "import": import_}
    for name, function in {**verbs, "requests": requests, "answers": answers, "watch": watch}.items():
        group.command(name)(function)
    app.add_typer(group, name="profiles")
