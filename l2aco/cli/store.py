"""`l2aco store` and its short form `l2aco search`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from l2aco.cli.shell import JsonOption, Shell, verb
from l2aco.embeddings.choices import IndexName

store_app = typer.Typer(help="Look into, search, check and move embedding stores.", no_args_is_help=True)

StoreArgument = Annotated[
    str | None, typer.Argument(help="A store (default: the newest, of the LLM and encoder in l2aco.toml).")
]


def register(app: typer.Typer) -> None:
    """Mount the verb."""
    app.add_typer(store_app, name="store")
    app.command("search")(search)


@store_app.command("list")
@verb
def list_(shell: Shell, json: JsonOption = False) -> None:
    """The stores of the workspace."""
    from l2aco.embeddings.store.info import summarise
    from l2aco.embeddings.store.store import list_stores

    rows = [summarise(store) for store in list_stores(shell.workspace, shell)]
    shell.table(rows, json=json, empty="No store yet: l2aco embed makes one.")


@store_app.command("info")
@verb
def info(shell: Shell, store: StoreArgument = None, json: JsonOption = False) -> None:
    """What a store holds, which encoder made it, and how it is indexed."""
    from l2aco.embeddings.find import choose_store
    from l2aco.embeddings.store.info import describe

    facts = describe(choose_store(shell.workspace, store, progress=shell))
    if json:
        shell.json(facts)
        return
    shell.table([{"": key.replace("_", " "), "value": value} for key, value in facts.items()])


@store_app.command("search")
@verb
def search(
    shell: Shell,
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    entity: Annotated[str | None, typer.Option(help="Neighbours of a drug or cell line instead of a text.")] = None,
    store: Annotated[
        str | None, typer.Option(help="A store (default: the newest, of the LLM and encoder in l2aco.toml).")
    ] = None,
    top: Annotated[int, typer.Option("--top", "-k", help="How many results.")] = 10,
    kind: Annotated[str | None, typer.Option(help="drug or cell_line only.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="name=value: a column or profile field, e.g. tissue=skin. Repeatable.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Search exactly, whatever the index.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Believe what the store says of its encoder, and send it the text.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Find the nearest profiles to a text, or the nearest entities to an entity."""
    from l2aco.embeddings.find import choose_store, search_entity, search_text
    from l2aco.entities import parse_kind
    from l2aco.errors import UsageError
    from l2aco.workspace import Workspace

    example = 'For example: l2aco search "BRAF melanoma"'
    if text is None and entity is None:
        raise UsageError("nothing to search for: give a text or --entity NAME", remedy=example)
    if text is not None and entity is not None:
        raise UsageError("give a text or --entity NAME, not both", remedy=example)
    conditions = {}
    for item in where or ():
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"'{item}' is no condition", remedy="Write --where tissue=skin.")
        conditions[name.strip()] = value.strip()
    suits = (lambda store: not store.encoder.columns) if text is not None else (lambda _: True)
    chosen = choose_store(shell.workspace, store, suits=suits, progress=shell)
    wanted = parse_kind(kind).value if kind else None
    if entity is not None:
        found, hits = search_entity(chosen, entity, top, kind=wanted, where=conditions, exact=exact)
        shell.say(f"Nearest to {found.name} in {chosen.name}:")
    else:
        settings = Workspace(shell.workspace.root, trust=True).settings if trust else shell.workspace.settings
        hits = search_text(
            chosen,
            text or "",
            top,
            kind=wanted,
            where=conditions,
            exact=exact,
            device=settings.device,
            settings=settings,
            trust=trust,
            progress=shell,
        )
    rows = [{"score": hit.score, "kind": hit.kind, "id": hit.id, "name": hit.name} for hit in hits]
    for row, hit in zip(rows, hits, strict=True):
        row["text"] = hit.text if json else _start(hit.text)
    shell.table(rows, json=json, empty="Nothing matches.")


@store_app.command("verify")
@verb
def verify(
    shell: Shell,
    store: StoreArgument = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    json: JsonOption = False,
) -> int:
    """Compare every file with its checksum. Exit code 1 where something is damaged and stays so."""
    from l2aco.embeddings.store.repair import repair as mend
    from l2aco.embeddings.store.repair import verify as check
    from l2aco.embeddings.store.store import find_store

    root = find_store(store, shell.workspace)
    problems = check(root, shell)
    done = mend(root, shell) if repair and problems else []
    if json:
        shell.json({"store": root.name, "problems": [asdict(item) for item in problems], "repaired": done})
    else:
        shell.table([asdict(item) for item in problems], empty="")
        for line in done:
            shell.print(f"Repaired: {line}.")
        if not problems:
            shell.print(f"{root.name} is sound.")
    return 1 if problems and not done else 0


@store_app.command("compact")
@verb
def compact(
    shell: Shell,
    store: StoreArgument = None,
    index: Annotated[IndexName | None, typer.Option(help="Also change the index.")] = None,
    json: JsonOption = False,
) -> None:
    """Join the segments of a store, free the space of replaced and deleted records, and index it anew."""
    from l2aco.embeddings.find import choose_store

    chosen = choose_store(shell.workspace, store, progress=shell)
    before = chosen.manifest.bytes
    chosen.compact(shell)
    if index is not None:
        chosen.optimise(index, shell)
    shell.made(
        {"store": chosen.name, "records": len(chosen), "bytes_before": before, "bytes": chosen.manifest.bytes},
        f"{chosen.name}: {len(chosen):,} records, {before:,} -> {chosen.manifest.bytes:,} bytes.",
        json=json,
    )


@store_app.command("export")
@verb
def export(
    shell: Shell,
    store: Annotated[str, typer.Argument(help="A store.")],
    target: Annotated[
        Path,
        typer.Argument(help="x.parquet, x.faiss, or a folder for the paper's layout."),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a store for others: Parquet keeps everything, a folder follows the paper's release.

    A folder called LLM_DATA follows that of its feature part.
    """
    from l2aco.embeddings.store.exchange import export_store
    from l2aco.embeddings.store.store import open_store

    chosen = open_store(store, shell.workspace)
    what = export_store(chosen, target, shell, force=force)
    facts = {"store": chosen.name, "path": target, "records": len(chosen), "dimension": chosen.dimension}
    shell.made(facts, f"Wrote {what}: {target}, {len(chosen):,} records of {chosen.dimension} numbers.", json=json)


@store_app.command("import")
@verb
def import_(
    shell: Shell,
    source: Annotated[Path, typer.Argument(help="An exported x.parquet, or a folder in the paper's layout.")],
    name: Annotated[str | None, typer.Option(help="What to call the store (default: as the source).")] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", "-e", help="What made the vectors, if known.")] = None,
    profiles: Annotated[
        str | None, typer.Option(help="A profile set that gives ids and texts to a paper folder, by name.")
    ] = None,
    llm: Annotated[str | None, typer.Option(help="Which LLM wrote the profiles, if known.")] = None,
    json: JsonOption = False,
) -> None:
    """Make a store of vectors that come from elsewhere."""
    from l2aco.embeddings.encoders.table import resolve_encoder
    from l2aco.embeddings.store.exchange import import_store
    from l2aco.profiles.sets import open_profile_set

    workspace = shell.workspace
    store = import_store(
        source,
        workspace.child(workspace.embeddings, name or source.stem),
        encoder=resolve_encoder(encoder, workspace.settings) if encoder else None,
        profiles=open_profile_set(profiles, workspace) if profiles else None,
        llm=llm,
        progress=shell,
    )
    facts = {"store": store.name, "path": store.path, "records": len(store), "dimension": store.dimension}
    shell.made(facts, f"Imported {len(store):,} records of {store.dimension} numbers as {store.name}.", json=json)


@store_app.command("merge")
@verb
def merge(
    shell: Shell,
    output: Annotated[str, typer.Option("--output", "-o", help="What to call the store that they become.")],
    stores: Annotated[
        list[str] | None, typer.Argument(help="Stores (default: the shards that `l2aco embed --shard` made for it).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make one store of several of one encoder, without encoding anything again. Of a record in two the last counts."""
    from l2aco.embeddings.store.merge import merge_stores, shards_of
    from l2aco.embeddings.store.store import open_store

    workspace = shell.workspace
    chosen = [open_store(name, workspace) for name in stores] if stores else shards_of(output, workspace)
    merged = merge_stores(chosen, workspace.child(workspace.embeddings, output), shell)
    facts = {"store": merged.name, "path": merged.path, "stores": len(chosen), "records": len(merged)}
    shell.made(facts, f"Merged {len(chosen):,} stores into {merged.name}: {len(merged):,} records.", json=json)


def _start(text: str, length: int = 90) -> str:
    line = text.split("\n")[0]
    line = line.split(": ", 1)[-1]
    return line if len(line) <= length else line[: length - 3].rsplit(" ", 1)[0] + " ..."
