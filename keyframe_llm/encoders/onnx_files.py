"""Where converted encoders lie: below the cache folder, one folder for each state of the original's files."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keyframe_llm.errors import user_path
from keyframe_llm.hub import cache_folder, cached_folder, has_weights

__all__ = [
    "IMAGE_MODEL",
    "SETTINGS_FILE",
    "TEXT_MODEL",
    "TOKENIZER",
    "TOKEN_ROWS",
    "alone",
    "clear_converted",
    "converted",
    "existing_folder",
    "keep",
    "new_folder",
]

IMAGE_MODEL, TEXT_MODEL = "image_model.onnx", "text_model.onnx"
TOKENIZER, SETTINGS_FILE = "tokenizer.json", "settings.json"
TOKEN_ROWS = "token_rows.npy"
"""(V, E) float16: what the text model is given of each token. Read from disk row by row."""
_FORMAT = 1  # raised when a conversion means something else
_READ = ("*.json", "*.safetensors", "*.bin", "*.model", "*.txt")


def existing_folder(name: str) -> Path | None:
    """The folder of the conversion of that hub id or local folder; None where there is none yet."""
    original = _original(name)
    folder = None if original is None else _place(name, original)
    return folder if folder is not None and (folder / SETTINGS_FILE).is_file() else None


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other process converts; raises `OSError` where nothing can be written."""
    from filelock import FileLock

    _folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(_folder() / ".lock"):
        yield


def new_folder(name: str) -> Path:
    """An empty folder to convert into, for `keep`. Raises `OSError` where nothing can be written."""
    folder = _folder() / f"{_stem(name)}.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def keep(name: str, folder: Path) -> Path:
    """Move a finished conversion to its place, and drop those of earlier states of the same model."""
    original = _original(name)
    if original is None:
        raise FileNotFoundError("its files have gone")
    place = _place(name, original)
    for older in _folder().glob(f"{_stem(name)}-*"):
        shutil.rmtree(older, ignore_errors=True)
    return folder.rename(place)


def converted() -> dict[str, int]:
    """The bytes of every converted encoder, and of what an interrupted conversion left, by folder."""
    folders = sorted(each for each in _folder().glob("*") if each.is_dir())
    return {
        folder.name: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        for folder in folders
    }


def clear_converted() -> int:
    """Delete all converted encoders; returns their number. Raises `OSError` where that is forbidden."""
    names = converted()
    for name in names:
        shutil.rmtree(_folder() / name)
    return len(names)


def _folder() -> Path:
    return cache_folder() / "encoders"


def _original(name: str) -> Path | None:
    local = user_path("encoder", name)
    folder = local if local.is_dir() else cached_folder(name, "config.json")
    return folder if folder is not None and has_weights(folder) else None


def _place(name: str, original: Path) -> Path:
    digest = hashlib.sha256(f"{_FORMAT} {platform.machine()} {_multiplies_bytes()}".encode())
    digest.update(str(original.resolve()).encode())
    for file in sorted(path for pattern in _READ for path in original.glob(pattern)):
        found = file.stat()
        digest.update(f"{file.name} {found.st_size} {found.st_mtime_ns}".encode())
    return _folder() / f"{_stem(name)}-{digest.hexdigest()[:16]}"


def _stem(name: str) -> str:
    """A file name for a model: readable, and another one for every other model."""
    return f"{re.sub(r'[^A-Za-z0-9.]+', '_', name)[-60:]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _multiplies_bytes() -> bool:
    """Whether the processor has instructions for 8-bit integers, without which sums can overflow."""
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
