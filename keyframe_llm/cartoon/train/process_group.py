"""Processes that train one model together: each has its own batches, and they average their gradients.

Models this small gain little from a second thread and more from a second process: two processes of one
thread each take the same steps in two thirds of the time.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["SINGLE_PROCESS", "ProcessGroup", "run_processes"]

_WAIT_SECONDS = 600.0
"""A process gives up where another one does not come to the same step within this time."""


@dataclass(frozen=True, slots=True, eq=False)
class ProcessGroup:
    """The processes that train one model, seen from one of them."""

    rank: int = 0
    size: int = 1
    buffer: Any = None
    """(size, numbers) tensor in shared memory; row r is what process r contributes to a mean."""
    barrier: Any = None

    def mean(self, values: Any) -> Any:
        """The mean of the tensors (n,) of all processes, bit for bit the same in each of them."""
        if self.size == 1:
            return values
        self.buffer[self.rank, : len(values)] = values
        self.barrier.wait(_WAIT_SECONDS)
        mean = self.buffer[:, : len(values)].mean(0)
        self.barrier.wait(_WAIT_SECONDS)  # no process writes again before all have read
        return mean

    def average_gradients(self, weights: list[Any]) -> None:
        """Replace the gradient of every weight by its mean over the processes."""
        import torch

        if self.size == 1:
            return
        own = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        mean = self.mean(torch.cat([gradient.flatten() for gradient in own]))
        for weight, part in zip(weights, mean.split([w.numel() for w in weights]), strict=True):
            weight.grad = part.view_as(weight)

    def own_share(self, tensors: list[Any]) -> list[Any]:
        """Those of the tensors that this process updates for all."""
        return tensors[self.rank :: self.size]

    def exchange(self, tensors: list[Any]) -> None:
        """Copy to every process the tensors that the other processes updated (`own_share`)."""
        import torch

        if self.size == 1:
            return
        with torch.no_grad():
            own = {id(tensor) for tensor in self.own_share(tensors)}
            parts = [tensor if id(tensor) in own else torch.zeros_like(tensor) for tensor in tensors]
            # Only one process contributes to each number, so that the sum is what it contributes.
            sums = self.mean(torch.cat([part.flatten() for part in parts])) * self.size
            for tensor, part in zip(tensors, sums.split([t.numel() for t in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def log(self, text: str) -> None:
        """Print a line on stderr, from the first process only."""
        if self.rank == 0:
            print(text, file=sys.stderr, flush=True)


SINGLE_PROCESS = ProcessGroup()


def run_processes(work: Callable[..., None], processes: int, numbers: int, *arguments: Any) -> None:
    """Run `work(group, *arguments)` in this many processes of one thread each.

    `numbers` is the largest number of values that they average at once. Where one process fails, all end, and
    its error is raised here.
    """
    import torch
    from torch.multiprocessing.spawn import spawn

    barrier = multiprocessing.get_context("spawn").Barrier(processes)
    buffer = torch.zeros(processes, numbers)
    buffer.share_memory_()  # type: ignore[no-untyped-call]  # of torch
    shared = (work, processes, buffer, barrier, arguments)
    spawn(_run_one, shared, nprocs=processes)  # type: ignore[no-untyped-call]  # of torch


def _run_one(
    rank: int, work: Callable[..., None], size: int, buffer: Any, barrier: Any, arguments: tuple[Any, ...]
) -> None:
    import torch

    torch.set_num_threads(1)
    work(ProcessGroup(rank, size, buffer, barrier), *arguments)
