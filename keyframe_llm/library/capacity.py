"""What this machine has for the workers of a batch: cores, graphics processors, free memory.

A container's limits count, too. The memory that one worker needs is measured and not guessed: the first one
does its first video alone, and what it then takes says how many more fit (see `fitting`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["cuda_devices", "fitting", "free_bytes", "share", "usable_cores"]

_USED_SHARE = 0.9
"""Of the free memory; the rest is left to other programs."""
_VIDEO_BYTES = 1 << 30
"""What a video may take beside the models: measured 0.1 GB for 720p, 0.5 GB for 4K in HEVC or AV1, 1.1 GB for
8K in HEVC, on two cores."""
_ADDRESSED_SHARE = 1.5
"""What a worker reserves beside what it uses: measured 1.3 with PyTorch and an encoder."""


def fitting(free: int, resident: int, cores: int) -> int:
    """As many workers as there are cores, fewer where the free memory does not hold them; at least 1.

    `free` are the bytes that were free before any worker was started, `resident` those of a worker that has
    its models loaded.
    """
    needed = int(resident * _ADDRESSED_SHARE) + _VIDEO_BYTES
    return max(1, min(cores, int(free * _USED_SHARE) // needed))


def share(free: int, workers: int) -> int:
    """The most memory, in bytes, of each of so many workers: one that takes more ends, and nothing else."""
    return int(free * _USED_SHARE) // workers


def usable_cores() -> int:
    """How many cores this process may use, by its affinity and the quota of its container."""
    from joblib import cpu_count

    return max(1, int(cpu_count()))


def cuda_devices() -> list[str]:
    """The names of the CUDA devices that programs may use, as `CUDA_VISIBLE_DEVICES` lists them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(i) for i in range(count)]


def free_bytes(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """The memory that is free for programs, within the limits of all containers around this process.

    `groups` is where control groups are mounted, `own` the file that names those of this process.
    """
    import psutil

    return min([int(psutil.virtual_memory().available), *_free_in_groups(groups, own)])


def _free_in_groups(groups: Path, own: Path) -> Iterator[int]:
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            top = groups / controllers
            folder = top / path.lstrip("/")
            for group in [folder, *folder.parents]:
                if (free := _free_in_group(group)) is not None:
                    yield free
                if group == top:
                    break


def _free_in_group(group: Path) -> int | None:
    """What is left of a group's limit; None where it has none. Cached files are no use of memory."""
    for most, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError):  # such as "max"
            limit, now = (int((group / name).read_text()) for name in (most, used))
            stats = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return max(0, limit - now + int(stats.get(cached, 0)))
    return None
