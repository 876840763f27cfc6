"""Runs on disk: `runs/<id>/` with everything needed to read, check and repeat a training.

manifest.json         id, date, hashes of data, split and vectors, checksums of the other files
spec.toml             the complete spec: `l2aco train --spec runs/<id>/spec.toml` repeats the run
environment.json      versions and machine
history.csv           one line an epoch
metrics.json          test and validation metrics, baselines, threshold, calibration, timing
predictions.parquet   every validation and test row with label and probability
entities.parquet      drugs and cell lines: id, name, triples in the data set and among those trained on
inputs.npz            the entities with all that the model reads of them, as it was fitted
model.safetensors     the best weights
offset.npz            the cheap model whose logits are added, where there is one
members.json          the runs that an ensemble is made of, with their weights
history.png, .svg     loss and validation metric over epochs, beside the best mean of labels
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from l2aco.entities import Entity, EntityKind
from l2aco.errors import DamagedError, InputError, L2aCoError, MismatchError, UnknownNameError, UsageError
from l2aco.files import load_spec, read_json, sha256_file, with_nan
from l2aco.progress import Progress, Silent
from l2aco.runs.contents import Environment, Manifest, Metrics, checked
from l2aco.shown import Shown
from l2aco.tables import read_written
from l2aco.workspace import Workspace, names_in

if TYPE_CHECKING:
    import polars as pl

    from l2aco.runs.predictor import Predictor
    from l2aco.runs.spec import TrainSpec

Listed = TypeVar("Listed")
FORMAT = 8
"""Of a run's files and of the models in it: other numbers come from the same spec in another format."""
UNFINISHED = ".unfinished"
COUNTS = ("triples", "training_triples")


class Run(Shown):
    """A finished run. Files are read when first asked for, and checked against the manifest."""

    def __init__(self, path: Path, workspace: Workspace) -> None:
        self.path = path
        self.id = path.name
        self.workspace = workspace
        where = path / "manifest.json"
        self.manifest = checked(Manifest, read_json(where, self.again), where, self.again)

    @property
    def again(self) -> str:
        """What to do where the run is damaged."""
        if (self.path / "members.json").is_file():
            return "Make it again: l2aco ensemble RUN RUN ..."
        return f"Train it again: l2aco train --spec {self.path / 'spec.toml'}"

    def facts(self) -> dict[str, Any]:
        """What it is, and how it did beside the pair mean."""
        row = self.summary()
        reads = ", ".join(self.spec.store or ()) or "no knowledge"
        simulated = " (SIMULATED)" if self.simulated else ""
        return {
            "id": self.id,
            "data": f"{row['dataset']}{simulated}, {row['setting']} fold {row['fold']}",
            "reads": reads,
            "AUROC": f"{row['auroc']:.3f}",
            "pair mean": "-" if row["pair_mean_auroc"] is None else f"{row['pair_mean_auroc']:.3f}",
        }

    def to_polars(self) -> pl.DataFrame:
        """The test rows with names: drug_a, drug_b, cell_line, score, label, probability, calibrated."""
        import polars as pl

        found = self.predictions().drop("row")
        for kind, columns in ((EntityKind.drug, ("drug_a", "drug_b")), (EntityKind.cell_line, ("cell_line",))):
            names = {entity.id: entity.name for entity in self.entities(kind)}
            found = found.with_columns(pl.col(*columns).replace(names))
        return found

    @property
    def of_suite(self) -> bool:
        """Whether a suite had it trained, and nobody asked for this very run."""
        return self.manifest.get("suite") is not None

    def check_format(self) -> None:
        """Raises MismatchError where another version of L2aCo made the run: its numbers can be read, its model not."""
        made = self.manifest.get("format")
        if made != FORMAT:
            raise MismatchError(
                f"was made by another version of L2aCo (format {made}, not {FORMAT}) and cannot predict",
                where=self.path,
                remedy=self.again,
            )

    def file(self, name: str) -> Path:
        """The path of one of the run's files, after its checksum; raises DamagedError."""
        path = self.path / name
        if not path.is_file():
            raise DamagedError("is missing", where=path, remedy=self.again)
        if sha256_file(path) != self.manifest["files"].get(name):
            what = "the checkpoint" if name.endswith(".safetensors") else "it"
            raise DamagedError(f"{what} does not match its checksum in manifest.json", where=path, remedy=self.again)
        return path

    def sibling(self, name: str) -> Run:
        """The run called `name` in the same workspace."""
        return Run(self.path.parent / name, self.workspace)

    @property
    def simulated(self) -> bool:
        """Whether the labels it was trained on were made up."""
        return bool(self.manifest.get("simulated"))

    @cached_property
    def spec(self) -> TrainSpec:
        from l2aco.runs.spec import TrainSpec

        path = self.file("spec.toml")
        spec = load_spec(TrainSpec, path)
        if spec.backbone is None or spec.dataset is None:
            raise DamagedError("names no backbone or no data set", where=path)
        return spec

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """`test`, `valid`, `baselines`, `calibration`, `training`; see docs/training.md."""
        path = self.file("metrics.json")
        metrics: dict[str, Any] = checked(Metrics, with_nan(read_json(path, self.again)), path, self.again)
        return metrics

    @cached_property
    def environment(self) -> dict[str, Any]:
        path = self.file("environment.json")
        return dict(checked(Environment, read_json(path, self.again), path, self.again))

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """One record an epoch: epoch, seconds, learning_rate, loss, its parts, valid_<metric>; none where a backbone is
        fitted at once."""
        import polars as pl

        if "history.csv" not in self.manifest["files"]:
            return []
        path = self.file("history.csv")
        try:
            return pl.read_csv(path, glob=False).to_dicts()
        except pl.exceptions.PolarsError as error:
            raise DamagedError(f"cannot be read ({error})", where=path, remedy=self.again) from None

    def predictions(self, part: Literal["valid", "test"] = "test", columns: Sequence[str] = ()) -> pl.DataFrame:
        """The validation or test rows: ids, score, label, probability, calibrated probability; or these columns."""
        import polars as pl

        texts = dict.fromkeys(("part", "drug_a", "drug_b", "cell_line"), pl.String)
        numbers = dict.fromkeys(("score", "probability", "calibrated"), pl.Float64)
        schema = texts | {"row": pl.Int64, "label": pl.Int8} | numbers
        read = {"part": pl.String} | {name: schema[name] for name in columns} if columns else schema
        table = read_written(self.file("predictions.parquet"), read, self.again)
        return table.filter(pl.col("part") == part).drop("part")

    def tested(self) -> pl.DataFrame:
        """The test rows: ids of the drugs and the cell line, and the label."""
        columns = ["drug_a", "drug_b", "cell_line", "label"]
        return self.predictions().select(columns).sort(columns)

    def entities(self, kind: EntityKind) -> list[Entity]:
        """The drugs or cell lines that the run was trained with, with or without triples."""
        from l2aco.runs.inputs import read_entities

        self.check_format()
        return read_entities(self.file("inputs.npz"))[kind]

    def counts(self, kind: EntityKind) -> pl.DataFrame:
        """For every entity in the order of `entities`: id, name, triples (in the data set), training_triples."""
        import polars as pl

        self.check_format()
        schema = {**dict.fromkeys(("kind", "id", "name"), pl.String), **dict.fromkeys(COUNTS, pl.Int64)}
        table = read_written(self.file("entities.parquet"), schema, self.again)
        return table.filter(pl.col("kind") == kind.value).drop("kind")

    def predictor(self, device: str = "auto") -> Predictor:
        """The trained model, ready to predict; see `runs.predictor.load_predictor`."""
        from l2aco.runs.predictor import load_predictor

        return load_predictor(self, device=device)

    def summary(self) -> dict[str, Any]:
        """One row for a table of runs."""
        spec, metrics = self.spec, self.metrics
        pooled = metrics["test"]["pooled"]
        pair = next((row["auroc"] for row in metrics["baselines"] if row["model"] == "pair mean"), None)
        return {
            "run": self.id,
            "created": self.manifest["created_at"][:16].replace("T", " "),
            "dataset": spec.dataset,
            "backbone": spec.backbone,
            "setting": str(spec.split.setting),
            "fold": spec.split.fold,
            "align": align_label(spec),
            "seed": spec.seed,
            "auroc": pooled["auroc"],
            "pair_mean_auroc": pair,
            "auprc": pooled["auprc"],
            "macro_auroc": metrics["test"]["macro"]["auroc"],
            "epochs": metrics["training"].get("epochs"),
        }


def align_label(spec: TrainSpec) -> str:
    """How alignment reads in a run's id: the loss, or else what the backbone reads by itself, with fusion, scope and
    control where they are not the default, and the offset that it stands on."""
    align = spec.align
    known = str(spec.config.get("knowledge", "stores" if spec.store else "none"))
    parts: list[str] = [align.loss if align.active else {"stores": "knowledge"}.get(known, known)]
    if not align.active and spec.store and known != "none" and align.vectors != "profiles":
        parts.append(f"{align.vectors}{align.draw or ''}")
    if align.fusion and align.fusion != "none":
        parts.append(align.fusion)
    if align.active and align.scope != "batch":
        parts.append(align.scope)
    if align.active and align.vectors != "profiles":
        parts.append(f"{align.vectors}{align.draw or ''}")
    if spec.offset != "none":
        parts.append(f"on-{spec.offset}")
    return "-".join(parts)


def run_id(spec: TrainSpec, short_hash: str) -> str:
    """dataset-backbone-setting-fold-align-seed-hash, readable and fit for a folder name."""
    setting = str(spec.split.setting)
    return f"{spec.dataset}-{spec.backbone}-{setting}-f{spec.split.fold}-{align_label(spec)}-s{spec.seed}-{short_hash}"


def free_path(folder: Path, name: str) -> Path:
    """`folder/name`, or `name-2`, `name-3`, ... where that is taken: no run is ever overwritten."""
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}"
    return path


def list_runs(workspace: Workspace, progress: Progress = Silent()) -> list[Run]:
    """The finished runs, `newest_first`; one whose manifest is damaged is named and left out."""
    runs = []
    for name in names_in(workspace.runs):
        try:
            runs.append(Run(workspace.runs / name, workspace))
        except DamagedError as error:
            progress.say(f"left out: {error}")
    return newest_first(runs, lambda run: (run.manifest["created_at"], run.id))


def newest_first(runs: Iterable[Listed], told: Callable[[Listed], tuple[str, str]]) -> list[Listed]:
    """The order of every list of runs, by what is told of one: when it was made, and its id."""
    return sorted(runs, key=told, reverse=True)


def run_rows(workspace: Workspace, progress: Progress = Silent()) -> list[dict[str, Any]]:
    """`Run.summary` of every run; one that is damaged is named and left out."""
    rows = []
    for run in list_runs(workspace, progress):
        try:
            rows.append(run.summary())
        except L2aCoError as error:
            progress.say(f"left out: {error}")
    return rows


def open_run(name: str | Run | None, workspace: Workspace | str | Path | None = None) -> Run:
    """The run called `name`, or the only one whose id contains it, as it is written or else in any case; a run is
    itself, None the newest that is no control and of no fake profiles, of a suite or another data set than that of the
    settings only where there is no other.

    Raises UnknownNameError with suggestions, UsageError where the name fits several, InputError where there is no run.
    """
    if isinstance(name, Run):
        return name
    workspace = Workspace.at(workspace)
    known = names_in(workspace.runs)
    if not known:
        raise InputError("there is no run yet", where=workspace.runs, remedy="Train one: l2aco train")
    if name == "":
        raise UsageError("an empty name is no run", remedy="`l2aco runs list` shows them.")
    if name is None:
        return next(_worth_asking(workspace, Silent()), None) or _none_worth_asking(workspace)
    name = Path(name).name if Path(name).is_dir() else name
    if name in known:
        return Run(workspace.runs / name, workspace)
    fitting = [item for item in known if name in item] or [item for item in known if name.casefold() in item.casefold()]
    if len(fitting) == 1:
        return Run(workspace.runs / fitting[0], workspace)
    if fitting:
        shown = ", ".join(fitting[:5]) + (", ..." if len(fitting) > 5 else "")
        raise UsageError(f"'{name}' fits {len(fitting)} runs: {shown}", remedy="Its last seven characters are enough.")
    raise UnknownNameError("run", name, known, remedy="`l2aco runs list` shows them.")


def best_run(workspace: Workspace, progress: Progress = Silent()) -> Run:
    """The newest run that is worth asking: one whose score reads profiles, else any other; never a control, nor one of
    profiles that are a control or of no model, nor one of a suite, or of another data set than that of the settings,
    where there is another. Says which. Raises InputError where there is none."""
    candidates = list(_worth_asking(workspace, progress))
    readers = (run for run in candidates if _reads_profiles(run.spec))
    chosen = next(readers, None) or next(iter(candidates), None) or _none_worth_asking(workspace)
    progress.say(f"taking the run {chosen.id}")
    return chosen


def _reads_profiles(spec: TrainSpec) -> bool:
    return bool(spec.store) and (spec.align.loss == "none" or spec.align.fusion not in (None, "none"))


def _worth_asking(workspace: Workspace, progress: Progress) -> Iterator[Run]:
    """Of the `_sound` ones those of the settings' data set, or all where it has none; of these, those of suites where
    there are no others."""
    sound = _sound(workspace, progress)
    if (wanted := workspace.settings.dataset) is not None:
        everyone = list(sound)
        named = [run for run in everyone if str(run.spec.dataset).casefold() == wanted.casefold()]
        sound = iter(named or everyone)
    own = False
    for run in sound:
        if own and run.of_suite:
            return
        own = own or not run.of_suite
        yield run


def _sound(workspace: Workspace, progress: Progress) -> Iterator[Run]:
    """The runs that are no control and of no fake profiles, newest first, those of suites behind all others."""
    for run in sorted(list_runs(workspace, progress), key=lambda run: run.of_suite):
        try:
            spec = run.spec
        except L2aCoError as error:
            progress.say(f"left out: {error}")
            continue
        if spec.align.vectors == "profiles" and not _of_stand_in(spec, workspace):
            yield run


def _none_worth_asking(workspace: Workspace) -> Run:
    known = names_in(workspace.runs)
    raise InputError(
        f"all {len(known)} runs are controls, or of profiles that know nothing" if known else "there is no run yet",
        where=workspace.runs,
        remedy="Train one: l2aco train" + (f". Or name one all the same: {known[-1]}" if known else ""),
    )


def _of_stand_in(spec: TrainSpec, workspace: Workspace) -> bool:
    from l2aco.embeddings.find import is_stand_in
    from l2aco.embeddings.store.store import open_store

    for name in spec.store or ():
        with suppress(L2aCoError):
            if is_stand_in(open_store(name, workspace)):
                return True
    return False
