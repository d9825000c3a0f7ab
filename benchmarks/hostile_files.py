"""Odd, broken and mutated files: each gives key frames or one line, in bounded time and memory.

    python benchmarks/hostile_files.py FOLDER... --mutations 500 --seed 1

Every file under the folders is handed to `select_keyframes` in a process of its own, and so are mutations of
the small ones (bytes changed, cut out, repeated or zeroed). It prints what was refused, the slowest and the
largest, and each file that broke a bound; then it ends with status 1.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from keyframe_llm import select_keyframes
from keyframe_llm.errors import KeyframeError

_MOST_SECONDS = 60.0
_MOST_MIB = 400.0
_LARGEST_MUTATED = 1_500_000
_PATIENCE_SECONDS = 120


class Outcome(NamedTuple):
    """What one file gave: a word for the kind, a line, seconds, and peak memory in MiB."""

    kind: str
    line: str
    seconds: float
    mebibytes: float

    @property
    def broken(self) -> bool:
        """Whether a bound was broken."""
        slow = self.seconds > _MOST_SECONDS or self.mebibytes > _MOST_MIB
        return slow or self.kind not in ("frames", "refused")


def files_of(folders: list[Path]) -> list[Path]:
    """Every file that may be a video."""
    found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in found if path.suffix not in (".py", ".md", ".sh", ".txt", ".json")]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes of a file with some of them changed, cut out, repeated or zeroed."""
    changed, at = bytearray(data), chance.randrange(len(data))
    length = chance.randrange(1, 5000)
    kind = chance.choice(["change", "header", "cut", "remove", "repeat", "zero"])
    if kind in ("change", "header"):
        reach = len(data) if kind == "change" else min(len(data), 2000)
        for _ in range(chance.choice([1, 5, 50, 500])):
            changed[chance.randrange(reach)] = chance.randrange(256)
    elif kind == "cut":
        del changed[max(1, at) :]
    elif kind == "remove":
        del changed[at : at + length]
    elif kind == "repeat":
        changed[at:at] = changed[at : at + length]
    else:
        changed[at : at + length] = bytes(len(changed[at : at + length]))
    return bytes(changed)


def mutations(files: list[Path], count: int, seed: int, folder: Path) -> Iterator[Path]:
    """Write mutated copies one after the other; each is removed when the next one is wanted."""
    chance = random.Random(seed)
    small = [path for path in files if 0 < path.stat().st_size <= _LARGEST_MUTATED]
    for number in range(count if small else 0):
        source = chance.choice(small)
        path = folder / f"{seed}-{number}-{source.name}"
        path.write_bytes(mutated(source.read_bytes(), chance))
        yield path
        path.unlink()


def tried(path: Path) -> Outcome:
    """What `select_keyframes` makes of one file, in a forked process."""
    began = time.perf_counter()
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        os.close(readable)
        _answer(path, writable)
    os.close(writable)
    with os.fdopen(readable, "rb") as answers:
        said = answers.read().decode()
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    kind, _, line = said.partition("\t")
    if status:
        kind, line = "crashed", f"status {status}"
    return Outcome(kind, line, seconds, used.ru_maxrss / 1024)


def _answer(path: Path, pipe: int) -> None:
    """In the child: select, write what came of it, and end."""
    resource.setrlimit(resource.RLIMIT_CPU, (_PATIENCE_SECONDS, _PATIENCE_SECONDS))
    try:
        selection = select_keyframes(path, cache=False)
        said = f"frames\t{[round(second, 3) for second in selection.seconds.tolist()]}"
    except KeyframeError as error:
        line = str(error)
        said = f"{'refused' if line.count(chr(10)) == 0 else 'several lines'}\t{line}"
    except BaseException as error:
        said = f"traceback\t{error!r}"
    os.write(pipe, said[:4000].encode("utf-8", "replace"))
    os._exit(0)


def main() -> None:
    """Try every file, then the mutations; print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--mutations", type=int, default=500, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the files that broke a bound here")
    args = parser.parse_args()
    files = files_of(args.folders)
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in chain(files, mutations(files, args.mutations, args.seed, Path(folder))):
            name = path.name if path.parent == Path(folder) else str(path)
            outcome = outcomes[name] = tried(path)
            if outcome.broken:
                print(f"BROKEN {name}: {outcome}", flush=True)
                if args.keep is not None and path.parent == Path(folder):
                    args.keep.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, args.keep)
            if len(outcomes) % 50 == 0:
                print(f"{len(outcomes)} files tried", flush=True)
    _report(outcomes)
    sys.exit(any(outcome.broken for outcome in outcomes.values()))


def _report(outcomes: dict[str, Outcome]) -> None:
    print(dict(Counter(outcome.kind for outcome in outcomes.values())))
    slowest = max(outcomes, key=lambda name: outcomes[name].seconds)
    largest = max(outcomes, key=lambda name: outcomes[name].mebibytes)
    print(f"slowest: {outcomes[slowest].seconds:.1f} s, {slowest}")
    print(f"largest: {outcomes[largest].mebibytes:.0f} MiB, {largest}")


if __name__ == "__main__":
    main()
