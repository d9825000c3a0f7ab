"""Soak of the MCP server: four clients call, cancel and hand in hostile files for some minutes over HTTP.

    python benchmarks/mcp_soak.py --seconds 300

It prints what the server process holds after each sixth of the time, when all clients have gone: resident
memory in MiB as it is, and once unused memory was given back to the operating system; open file descriptors;
entries in its folder of temporary files; and the memory in MiB of the largest process that decodes. At first
what is bounded fills: the latest 256 pictures, and what was sent to each session. Then nothing should grow.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_load import serving

_CLIENTS, _PHASES = 4, 6
_LONGEST_WAIT = 0.3
_TRIM_SECONDS = 60.0
# On SIGUSR1 the server frees what nothing refers to, gives unused memory back, and deletes a file to say so.
_PROGRAM = (
    "import ctypes, gc, os, signal, sys; file = sys.argv.pop(1)\n"
    "def trim(*_): gc.collect(); ctypes.CDLL(None).malloc_trim(0); os.unlink(file)\n"
    "signal.signal(signal.SIGUSR1, trim)\n"
    "from keyframe_llm.cli import main; sys.exit(main())"
)


def make_folder(folder: Path) -> list[str]:
    """Put good and hostile files into a folder; returns names to ask for, some of them of no file."""
    from keyframe_llm.demos.videos import demo_video

    clips = demo_video().parent
    for name in ("one_walk.mp4", "three_scenes.mp4", "hidden_event.mp4"):
        (folder / name).write_bytes((clips / name).read_bytes())
    walk = (folder / "one_walk.mp4").read_bytes()
    (folder / "noise.mp4").write_bytes(os.urandom(20_000))
    (folder / "cut.mp4").write_bytes(walk[: len(walk) // 2])
    (folder / "empty.mp4").touch()
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXTINF:6,\none_walk.mp4\n#EXT-X-ENDLIST\n")
    (folder / "link.mp4").symlink_to("/etc/passwd")
    (folder / os.fsdecode(b"caf\xe9\n\x1b[31m.mp4")).write_bytes(walk)
    os.mkfifo(folder / "pipe.mp4")
    strange = [
        r"caf\udce9\n\x1b[31m.mp4",
        "missing.mp4",
        "../../etc/passwd",
        "x" * 3000,
        "file:///etc/passwd",
    ]
    return [*(path.name for path in folder.iterdir() if path.name.isprintable()), *strange]


def random_call(chance: random.Random, names: list[str]) -> tuple[str, dict[str, Any]]:
    """A tool and its arguments, right or wrong."""
    video = chance.choice(names)
    start = chance.uniform(0, 10)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("select_keyframes", {"video": video, "max_frames": chance.randint(1, 9)}),
        ("select_keyframes", {"video": video, "query": chance.choice(["a man walks", "who reads?"])}),
        ("select_keyframes", {"video": video, "start_seconds": start, "end_seconds": start + 2}),
        ("view_frames", {"video": video, "seconds": [start, start + 1], "detail": "high"}),
        ("contact_sheet", {"video": video, "frames": chance.randint(1, 36)}),
        ("video_info", {"video": video, "find_changes": chance.random() < 0.5}),
        ("describe_video", {"video": video}),
        ("ask_video", {"video": video, "question": "What does the man do?"}),
        ("find_in_videos", {"videos": [video, "one_walk.mp4"], "query": "a dog"}),
        ("list_videos", {"name_contains": video[:3]}),
        ("juggle", {"video": video}),
        ("ask_video", {"question": 7}),
    ]
    return chance.choice(calls)


def resident_mb(process: int) -> int:
    """Resident memory of a process in MiB."""
    return int(psutil.Process(process).memory_info().rss) >> 20


async def held(process: int, folder: Path, asked: Path) -> dict[str, int]:
    """What a process holds: memory in MiB, descriptors, entries in its folder of temporary files."""
    before = resident_mb(process)
    asked.touch()
    os.kill(process, signal.SIGUSR1)
    with anyio.fail_after(_TRIM_SECONDS):
        while asked.exists():
            await anyio.sleep(0.1)
    children = psutil.Process(process).children(recursive=True)
    return {
        "memory_mb": before,
        "memory_in_use_mb": resident_mb(process),
        "descriptors": psutil.Process(process).num_fds(),
        "temporary": sum(1 for _ in folder.rglob("*")),
        "decoding_mb": max((resident_mb(child.pid) for child in children), default=0),
    }


async def client_work(url: str, seed: int, names: list[str], ends: float, counts: Counter[str]) -> None:
    """Call tools until the time is over; give some calls up at once or after a while."""
    chance = random.Random(seed)
    async with (
        httpx2.AsyncClient(timeout=600) as web,
        Client(streamable_http_client(url, http_client=web), mode="legacy" if seed % 2 else "auto") as client,
    ):
        while time.perf_counter() < ends:
            name, arguments = random_call(chance, names)
            wait = chance.uniform(0, _LONGEST_WAIT) if chance.random() < 0.3 else 600.0
            outcome = "given up"
            with anyio.move_on_after(wait):
                try:
                    result = await client.call_tool(name, arguments)
                    outcome = "refused" if result.is_error else "answered"
                except MCPError:
                    outcome = "refused"
            counts[outcome] += 1


def soak(seconds: float, *options: str) -> dict[str, Any]:
    """Run the soak; returns what the server held after each sixth, and how many calls came to what."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as videos, tempfile.TemporaryDirectory() as temporary:
        names, asked = make_folder(Path(videos)), Path(videos) / "trim.txt"
        os.environ["TMPDIR"] = temporary  # of the server; this process has its folders already

        async def run(url: str, process: int) -> list[dict[str, int]]:
            found = []
            for phase in range(_PHASES):
                ends = time.perf_counter() + seconds / _PHASES
                async with anyio.create_task_group() as tasks:
                    for number in range(_CLIENTS):
                        seed = phase * _CLIENTS + number
                        tasks.start_soon(client_work, url, seed, names, ends, counts)
                await anyio.sleep(1)
                found.append(await held(process, Path(temporary), asked))
            return found

        with serving(Path(videos), "--model", "cartoon", *options, program=("-c", _PROGRAM, str(asked))) as (
            url,
            process,
        ):
            measured = anyio.run(run, url, process)
        left = sorted(path.name for path in Path(temporary).rglob("*"))
    return {"held": measured, "calls": dict(counts), "temporary_after_the_end": left}


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    args, options = parser.parse_known_args()
    print(json.dumps(soak(args.seconds, *options)))


if __name__ == "__main__":
    main()
