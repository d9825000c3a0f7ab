"""Finding a model's files: a local folder, the local cache, then the Hugging Face Hub, in that order.

The hub is asked once, briefly, before anything is downloaded: left to itself, the client retries every
single file for about 25 seconds when there is no network.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from keyframe_llm.errors import ModelError, user_path

__all__ = [
    "FOLDER_VARIABLE",
    "LOADING",
    "cache_folder",
    "cached_folder",
    "check_tokenizer",
    "fetch_folder",
    "has_weights",
    "load_local_first",
    "load_weights",
    "one_line",
    "stated",
]

T = TypeVar("T")

LOADING = RLock()
"""Held while a model is loaded: transformers imports its parts lazily, which two threads at once break."""
FOLDER_VARIABLE = "KEYFRAME_LLM_CACHE"
_HUB_TIMEOUT_SECONDS = 10.0
_MESSAGE_LENGTH = 240


def one_line(error: BaseException) -> str:
    """The first line of an error's message that says something, shortened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= _MESSAGE_LENGTH else text[: _MESSAGE_LENGTH - 1] + "…"


def cache_folder() -> Path:
    """Where this package keeps files: `$KEYFRAME_LLM_CACHE`, or `keyframe_llm` in the user's cache folder.

    Raises `OptionsError` where the user has no home folder.
    """
    if named := os.environ.get(FOLDER_VARIABLE):
        return user_path(FOLDER_VARIABLE, named)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(f"the cache folder (see {FOLDER_VARIABLE})", base) / "keyframe_llm"


def load_local_first(
    name: str, load: Callable[[str, bool], T], *, ways_out: str, config_file: str = "config.json"
) -> T:
    """Call `load(source, local_files_only)` on what is here, and only then on what must be downloaded.

    `name` is a local folder with a `config_file`, or a hub id. `ways_out` ends every error message.
    Raises `ModelError` where the model is nowhere to be had or the files cannot be loaded.
    """
    with LOADING:
        return _load_local_first(name, load, ways_out, config_file)


def _load_local_first(name: str, load: Callable[[str, bool], T], ways_out: str, config_file: str) -> T:
    folder = user_path("model", name)
    if folder.exists() or not _is_hub_id(name):
        _check_folder(name, config_file, ways_out)
        with _one_line_errors(name, ways_out), _no_search_for_garbage():
            return load(str(folder), True)
    with _one_line_errors(name, ways_out):
        try:
            with _no_search_for_garbage():
                return load(name, True)
        except OSError:  # not, or not wholly, in the cache
            _check_hub(name, config_file, ways_out)
            return load(name, False)


def fetch_folder(name: str, config_file: str, patterns: list[str], *, ways_out: str) -> Path:
    """The local folder with the files of hub repository `name` that match `patterns`, downloaded if need be.

    Raises `ModelError` where the hub cannot be reached or has no such repository with a `config_file`.
    """
    from huggingface_hub import snapshot_download

    if not _is_hub_id(name):
        raise ModelError(f"{name!r} is not the id of a repository on the Hugging Face Hub; {ways_out}")
    with _one_line_errors(name, ways_out):
        try:
            return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
        except OSError:  # not, or not wholly, in the cache
            _check_hub(name, config_file, ways_out)
            return Path(snapshot_download(name, allow_patterns=patterns))


def cached_folder(name: str, config_file: str) -> Path | None:
    """Where the hub repository `name` lies in the local cache; None where it does not. Asks no network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, config_file) if _is_hub_id(name) else None
    return Path(found).parent if isinstance(found, str) else None


def has_weights(folder: Path) -> bool:
    """Whether a model's weights lie in this folder."""
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))


def stated(file: Path, *keys: str) -> Mapping[str, Any]:
    """The object under these keys of a JSON file, one inside the other; empty where there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def load_weights(auto_class: Any, source: str, **options: Any) -> Any:
    """`auto_class.from_pretrained`, but a checkpoint that leaves weights to chance is a `ValueError`."""
    model, found = auto_class.from_pretrained(source, output_loading_info=True, **options)
    if missing := sorted(found["missing_keys"]):
        raise ValueError(
            f"{len(missing)} of its weights are missing from the checkpoint, such as {missing[0]}"
        )
    return model


def check_tokenizer(tokenizer: Any) -> None:
    """Raise `FileNotFoundError` on the empty tokenizer that transformers makes where there are no files."""
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise FileNotFoundError("it comes without the files of its tokenizer")


def _is_hub_id(name: str) -> bool:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HFValidationError

    try:
        hf_hub_url(name, "config.json")
    except HFValidationError:
        return False
    return True


def _check_folder(name: str, config_file: str, ways_out: str) -> None:
    folder = user_path("model", name)
    if not name or not folder.is_dir():
        raise ModelError(f"{name!r} is neither a folder nor the id of a repository on the hub; {ways_out}")
    if not (folder / config_file).is_file():
        raise ModelError(f"the folder {name!r} holds no {config_file}, so no model; {ways_out}")


def _check_hub(name: str, config_file: str, ways_out: str) -> None:
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url(name, config_file), timeout=_HUB_TIMEOUT_SECONDS)
    except errors.GatedRepoError as error:
        what = f"{name!r} is gated: accept its licence on the hub and log in with `hf auth login`"
        raise ModelError(f"{what}; {ways_out}") from error
    except errors.RepositoryNotFoundError as error:
        what = (
            f"the Hugging Face Hub has no repository {name!r} (or it is private), and no folder has that name"
        )
        raise ModelError(f"{what}; {ways_out}") from error
    except errors.EntryNotFoundError as error:
        raise ModelError(f"{name!r} on the hub holds no {config_file}, so no model; {ways_out}") from error
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # of httpx or its successor
        what = f"{name!r} is not on this machine and the Hugging Face Hub cannot be reached"
        raise ModelError(f"{what} ({one_line(error)}); {ways_out}") from error


@contextmanager
def _no_search_for_garbage() -> Iterator[None]:
    """Search for no garbage meanwhile: imports make a million objects that stay."""
    searches = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searches:
            gc.enable()


@contextmanager
def _one_line_errors(name: str, ways_out: str) -> Iterator[None]:
    from huggingface_hub.errors import HTTPError, StrictDataclassError  # type: ignore[attr-defined]  # re-exported
    from safetensors import SafetensorError

    problems = (
        OSError,
        ValueError,
        ImportError,
        RuntimeError,
        HTTPError,
        SafetensorError,
        StrictDataclassError,
    )
    try:
        yield
    except problems as error:
        raise ModelError(f"{name!r} cannot be loaded ({one_line(error)}); {ways_out}") from error
