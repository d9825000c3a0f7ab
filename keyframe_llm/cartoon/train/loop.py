"""The loop that every lesson shares: processes that average their gradients, Muon and AdamW, a cosine.

A model this small gains little from a second thread and more from a second process: two of one thread each
take the same steps in two thirds of the time.
"""

from __future__ import annotations

import math
import multiprocessing
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["ALONE", "Crew", "learn", "say", "train_together"]

_AVERAGED = 0.995
"""Decay of the running mean of the weights, with which a lesson ends: about its last 200 steps."""
_MUON = 20.0
"""Muon's rate beside AdamW's. After 150 steps of seeing, 64 frames each, the loss was 5.97 with AdamW alone,
and 5.11, 3.74, 3.41 with Muon at 7, 13 and 27 times its rate."""
_WAIT_SECONDS = 600.0
"""A process whose fellow does not come to the next step by then gives up."""


@dataclass(frozen=True, slots=True, eq=False)
class Crew:
    """The processes that train one model together, seen from one of them."""

    rank: int = 0
    size: int = 1
    board: Any = None
    """(size, numbers) shared memory in which each leaves what is to be averaged."""
    barrier: Any = None

    def mean(self, values: Any) -> Any:
        """The mean of what all processes give, each a tensor of one dimension."""
        if self.size == 1:
            return values
        self.board[self.rank, : len(values)] = values
        self.barrier.wait(_WAIT_SECONDS)
        mean = self.board[:, : len(values)].mean(0)
        self.barrier.wait(_WAIT_SECONDS)  # nobody writes anew before all have read
        return mean

    def say(self, text: str) -> None:
        """Tell the person who waits, once for all."""
        if self.rank == 0:
            say(text)


ALONE = Crew()


def say(text: str) -> None:
    """Tell the person who waits, on stderr."""
    print(text, file=sys.stderr, flush=True)


def train_together(work: Callable[..., None], processes: int, numbers: int, *given: Any) -> None:
    """Run `work(crew, *given)` in this many processes of one thread each; `numbers` bounds what is averaged.

    Where one of them fails, all end, and its error is raised here.
    """
    import torch
    from torch.multiprocessing.spawn import spawn

    barrier = multiprocessing.get_context("spawn").Barrier(processes)
    board = torch.zeros(processes, numbers)
    board.share_memory_()  # type: ignore[no-untyped-call]  # of torch
    shared = (work, processes, board, barrier, given)
    spawn(_member, shared, nprocs=processes)  # type: ignore[no-untyped-call]  # of torch


def _member(
    rank: int, work: Callable[..., None], size: int, board: Any, barrier: Any, given: tuple[Any, ...]
) -> None:
    import torch

    torch.set_num_threads(1)
    work(Crew(rank, size, board, barrier), *given)


def learn(
    name: str,
    module: Any,
    steps: int,
    make: Callable[[int], Any],
    loss_of: Callable[[Any, int], tuple[Any, str]],
    *,
    rate: float,
    crew: Crew = ALONE,
    warmup: int = 100,
) -> None:
    """Train `module` for `steps` steps on `make(step)`, and leave in it the running mean of its weights.

    `loss_of(batch, step)` gives the loss and what to tell of it.
    """
    import torch
    from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

    weights = list(module.parameters())
    matrices = _matrices(module)
    optimisers = _optimisers(weights, matrices, rate, crew)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _factor(step, steps, warmup))
        for optimiser in optimisers
    ]
    average = parameters_to_vector(weights).detach().clone()
    began = time.monotonic()
    for step in range(steps):
        loss, told = loss_of(make(step), step)
        module.zero_grad()
        loss.backward()
        _share(weights, crew)
        clip_grad_norm_(weights, 1.0)
        for part in (*optimisers, *schedules):
            part.step()
        _gather(matrices, crew)
        decay = min(_AVERAGED, step / (step + 10))
        average.lerp_(parameters_to_vector(weights).detach(), 1 - decay)
        if step % 50 == 49:
            spent = (time.monotonic() - began) / 60
            crew.say(f"{name} {step + 1}/{steps}: loss {float(loss.detach()):.4f}, {told}, {spent:.1f} min")
    # Averaged once more between the processes, whose rounding may differ.
    vector_to_parameters(crew.mean(average), weights)


def _matrices(module: Any) -> list[Any]:
    """The matrices between layers: not embeddings, not small heads."""
    import torch

    embeddings = {id(part.weight) for part in module.modules() if isinstance(part, torch.nn.Embedding)}
    matrices = [w for w in module.parameters() if w.ndim == 2 and min(w.shape) >= 64]
    return [w for w in matrices if id(w) not in embeddings]


def _optimisers(weights: list[Any], matrices: list[Any], rate: float, crew: Crew) -> list[Any]:
    """Muon for this process's share of the matrices, AdamW for embeddings, small heads, norms and biases."""
    import torch

    if not hasattr(torch.optim, "Muon"):
        raise RuntimeError(f"torch is {torch.__version__}; training needs 2.9 or newer")
    chosen = {id(w) for w in matrices}
    others = [w for w in weights if id(w) not in chosen]
    optimisers: list[Any] = [torch.optim.AdamW(others, rate, betas=(0.9, 0.98), weight_decay=0.01)]
    if mine := matrices[crew.rank :: crew.size]:
        optimisers.append(torch.optim.Muon(mine, _MUON * rate, weight_decay=0.01))
    return optimisers


def _gather(matrices: list[Any], crew: Crew) -> None:
    """Give every process the matrices that the others updated: Muon's step is dear, and done once for all."""
    import torch

    if crew.size == 1:
        return
    with torch.no_grad():
        mine = [w if i % crew.size == crew.rank else torch.zeros_like(w) for i, w in enumerate(matrices)]
        every = crew.mean(torch.cat([w.flatten() for w in mine])) * crew.size
        for weight, part in zip(matrices, every.split([w.numel() for w in matrices]), strict=True):
            weight.copy_(part.view_as(weight))


def _share(weights: list[Any], crew: Crew) -> None:
    """Give every weight the mean of the gradients that the processes found."""
    import torch

    if crew.size == 1:
        return
    found = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    mean = crew.mean(torch.cat([gradient.flatten() for gradient in found]))
    parts = mean.split([gradient.numel() for gradient in found])
    for weight, part in zip(weights, parts, strict=True):
        weight.grad = part.view_as(weight)


def _factor(step: int, steps: int, warmup: int) -> float:
    """Share of the peak rate: a line up, then half a cosine down to a twentieth."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
