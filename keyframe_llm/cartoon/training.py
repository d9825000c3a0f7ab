"""The loop that every lesson shares: batches from other processes, AdamW, a warm-up and a cosine."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["batches", "learn", "say"]


def say(text: str) -> None:
    """Tell the person who waits, on stderr."""
    print(text, file=sys.stderr, flush=True)


def batches(
    make: Callable[[np.random.Generator, int], Any], seed: int | tuple[int, ...], *, workers: int = 1
) -> Iterator[Any]:
    """Run `make(rng, step)` for ever in other processes, a fresh generator each time."""
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            import torch

            torch.set_num_threads(1)
            worker = get_worker_info()
            for step in range(worker.id if worker else 0, 10**9, workers):
                yield make(np.random.default_rng([*np.atleast_1d(seed), step]), step)

    return iter(DataLoader(Stream(), batch_size=None, num_workers=workers, prefetch_factor=4))


def learn(
    name: str,
    module: Any,
    steps: int,
    stream: Iterator[Any],
    loss_of: Callable[[Any, int], tuple[Any, str]],
    *,
    rate: float,
    warmup: int = 100,
) -> None:
    """Train `module` for `steps` steps; `loss_of(batch, step)` gives the loss and what to tell of it."""
    import torch

    optimiser = torch.optim.AdamW(module.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _factor(step, steps, warmup))
    began = time.monotonic()
    for step, batch in zip(range(steps), stream, strict=False):
        loss, told = loss_of(batch, step)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 49:
            spent = (time.monotonic() - began) / 60
            say(f"{name} {step + 1}/{steps}: loss {float(loss.detach()):.4f}, {told}, {spent:.1f} min")


def _factor(step: int, steps: int, warmup: int) -> float:
    """Share of the peak rate: a line up, then half a cosine down to a fiftieth."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
