"""`keyframe-llm cache`: what is kept of videos on disk, and a way to clear it."""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from keyframe_llm.cli.flags import new_command
from keyframe_llm.cli.output import print_json
from keyframe_llm.encoders.onnx_files import clear_converted, converted
from keyframe_llm.errors import OptionsError
from keyframe_llm.hub import FOLDER_VARIABLE
from keyframe_llm.index.store import Entry, Store

__all__ = ["add", "run"]

_KINDS = {
    "index": "indexes of videos: times, colours, proposals",
    "embeddings": "embeddings of candidate frames",
    "neutral": "embeddings of neutral texts",
    "caption": "captions",
    "speech": "what was said",
    "screen": "what is written in pictures",
    "content": "digests of files",
}


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = new_command(commands, "cache", run, "show what is kept of videos on disk, or clear it")
    command.add_argument("--clear", action="store_true", help="delete all of it")
    command.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> None:
    """Show the entries by kind, or clear them. Raises `OptionsError` where the folder forbids it."""
    store = Store()
    if store.folder is None:
        raise OptionsError(str(store.problem))
    try:
        cleared = store.clear() + clear_converted() if args.clear else None
        entries, encoders = store.entries(), converted()
    except OSError as error:
        raise OptionsError(
            f"the cache {str(store.folder)!r} cannot be used ({error.strerror or error}); "
            f"name another folder in {FOLDER_VARIABLE}"
        ) from error
    kinds: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        kinds[entry.kind].append(entry.bytes)
    if args.json:
        _print_json(store, kinds, encoders, cleared)
    elif cleared is not None:
        print(f"cleared {cleared} entries from {store.folder}")
    else:
        _print_table(store, kinds, entries)
        for name, size in encoders.items():
            print(f"{1:6}  {_size(size):>9}  encoder, converted for this processor: {name}")


def _print_json(
    store: Store, kinds: Mapping[str, Sequence[int]], encoders: Mapping[str, int], cleared: int | None
) -> None:
    described = {kind: {"entries": len(sizes), "bytes": sum(sizes)} for kind, sizes in kinds.items()}
    total = sum(sum(sizes) for sizes in kinds.values())
    result = {"folder": str(store.folder), "bytes": total, "max_bytes": store.max_bytes, "kinds": described}
    result["encoders"] = dict(encoders)
    print_json(result | ({} if cleared is None else {"cleared": cleared}))


def _print_table(store: Store, kinds: Mapping[str, Sequence[int]], entries: Sequence[Entry]) -> None:
    total = sum(entry.bytes for entry in entries)
    print(f"{store.folder}: {len(entries)} entries, {_size(total)} of at most {_size(store.max_bytes)}")
    for kind, sizes in sorted(kinds.items()):
        print(f"{len(sizes):6}  {_size(sum(sizes)):>9}  {_KINDS.get(kind, kind)}")
    if entries:
        days = (time.time() - entries[0].used) / 86_400
        print(f"longest unused: {days:.1f} days; `keyframe-llm cache --clear` deletes all of it")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
