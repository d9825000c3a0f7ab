"""`keyframe-llm cache`: what is kept of videos on disk, and a way to clear it."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict

from keyframe_llm.index.store import Store

__all__ = ["run"]

_KINDS = {
    "looked": "looks at videos: times, colours, proposals",
    "embedded": "embeddings of proposed frames",
    "caption": "captions",
    "content": "digests of files",
}


def run(asked: argparse.Namespace) -> None:
    """Show the entries by kind, or clear them, for people or as one JSON object."""
    store = Store()
    cleared = store.clear() if asked.clear else None
    entries = store.entries()
    kinds: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        kinds[entry.kind].append(entry.bytes)
    total = sum(entry.bytes for entry in entries)
    if asked.json:
        told = {kind: {"entries": len(sizes), "bytes": sum(sizes)} for kind, sizes in kinds.items()}
        whole = {"folder": str(store.folder), "bytes": total, "max_bytes": store.max_bytes, "kinds": told}
        print(json.dumps(whole | ({} if cleared is None else {"cleared": cleared})))
        return
    if cleared is not None:
        print(f"cleared {cleared} entries from {store.folder}")
        return
    print(f"{store.folder}: {len(entries)} entries, {_size(total)} of at most {_size(store.max_bytes)}")
    for kind, sizes in sorted(kinds.items()):
        print(f"{len(sizes):6}  {_size(sum(sizes)):>9}  {_KINDS.get(kind, kind)}")
    if entries:
        days = (time.time() - entries[0].used) / 86_400
        print(f"longest unused: {days:.1f} days; `keyframe-llm cache --clear` deletes all of it")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
