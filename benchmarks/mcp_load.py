"""Load of the MCP server: the time and memory of many calls at once over HTTP, against one call.

    python benchmarks/mcp_load.py --calls 100 --root ~/Videos

    python benchmarks/mcp_load.py --clients 1 4 16 --calls 40

With `--clients` so many clients make `--calls` calls each, one after the other, about videos that were
read already. Without `--root` the calls are about the bundled clips. The server is a process of its own; its
memory is the peak of its resident set (VmHWM in Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

_SECONDS_TO_START = 120.0
_LISTENING = "0A"
_MISSING = "there-is-no-such-video.mp4"


@contextmanager
def serving(
    root: Path, *options: str, program: Sequence[str] = ("-m", "keyframe_llm.cli")
) -> Iterator[tuple[str, int]]:
    """The address and the process id of `keyframe-llm mcp --http` on a free port of this machine.

    `program` are the arguments of Python that start `keyframe-llm`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *program, "mcp", "--root", str(root), "--http"]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "KEYFRAME_LLM_CACHE": cache}
        process = subprocess.Popen([*command, "--port", str(port), *options], env=environment)
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}/mcp", process.pid
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(int(_SECONDS_TO_START / 0.1)):
        if process.poll() is not None:
            raise SystemExit(f"the server ended with status {process.returncode}")
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"the server did not listen within {_SECONDS_TO_START:g} s")


def peak_memory(process: int) -> float:
    """The peak resident memory of a process so far, in MiB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def addresses(port: int) -> list[str]:
    """The addresses of this machine on which a process listens at `port`."""
    found = []
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        address, _, number = local.partition(":")
        if state == _LISTENING and int(number, 16) == port:
            found.append(socket.inet_ntoa(bytes.fromhex(address)[::-1]))
    return found


def measure(root: Path, calls: int, *options: str) -> dict[str, Any]:
    """Make one call, then `calls` at once, every tenth of them for a video that does not exist.

    Returns the memory in MiB and the seconds of both, how many calls were answered, and how many failed.
    """
    videos = sorted(path.name for path in root.iterdir() if path.suffix in (".mp4", ".mkv", ".webm", ".mov"))
    answers: dict[int, Any] = {}

    async def call(client: Client, number: int, video: str) -> None:
        answers[number] = await client.call_tool("select_keyframes", {"video": video})

    async def load(url: str, process: int) -> dict[str, Any]:
        async with (
            httpx2.AsyncClient(timeout=600) as web,
            Client(streamable_http_client(url, http_client=web)) as client,
        ):
            before, began = peak_memory(process), time.perf_counter()
            await call(client, -1, videos[0])
            one, first = peak_memory(process), time.perf_counter()
            async with anyio.create_task_group() as tasks:
                for number in range(calls):
                    video = _MISSING if number % 10 == 9 else videos[number % len(videos)]
                    tasks.start_soon(call, client, number, video)
            ended = time.perf_counter()
        return {
            "idle_mb": round(before),
            "one_call_mb": round(one),
            "many_calls_mb": round(peak_memory(process)),
            "one_call_seconds": round(first - began, 2),
            "many_calls_seconds": round(ended - first, 2),
        }

    with serving(root, *options) as (url, process):
        measured = anyio.run(load, url, process)
        bound = addresses(int(url.split(":")[2].partition("/")[0]))
    failed = sum(answer.is_error for answer in answers.values())
    return {"calls": calls, **measured, "answered": len(answers) - 1, "failed": failed, "addresses": bound}


def throughput(root: Path, clients: Sequence[int], calls: int, *options: str) -> list[dict[str, Any]]:
    """For each number of clients: calls answered a second, and the median and worst seconds of a call."""
    videos = sorted(path.name for path in root.iterdir() if path.suffix in (".mp4", ".mkv", ".webm", ".mov"))

    async def client_work(url: str, number: int, spent: list[float]) -> None:
        async with (
            httpx2.AsyncClient(timeout=600) as web,
            Client(streamable_http_client(url, http_client=web)) as client,
        ):
            for i in range(calls):
                began = time.perf_counter()
                video = videos[(number + i) % len(videos)]
                result = await client.call_tool("select_keyframes", {"video": video})
                assert not result.is_error, result.content
                spent.append(time.perf_counter() - began)

    async def run(url: str, count: int) -> dict[str, Any]:
        spent: list[float] = []
        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(client_work, url, number, spent)
        seconds = time.perf_counter() - began
        return {
            "clients": count,
            "calls_a_second": round(len(spent) / seconds, 1),
            "median_seconds": round(median(spent), 3),
            "worst_seconds": round(max(spent), 3),
        }

    with serving(root, *options) as (url, _):
        anyio.run(run, url, 1)  # the videos are read, and what is slow at first is loaded
        return [anyio.run(run, url, count) for count in clients]


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="folder of videos (default: the bundled clips)")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--clients", type=int, nargs="+", help="measure throughput with so many clients")
    args, options = parser.parse_known_args()
    from keyframe_llm.demos.videos import demo_video

    if args.clients:
        root = args.root or demo_video().parent
        for measured in throughput(root, args.clients, args.calls, *options):
            print(json.dumps(measured), flush=True)
        return
    print(json.dumps(measure(args.root or demo_video().parent, args.calls, *options)))


if __name__ == "__main__":
    main()
