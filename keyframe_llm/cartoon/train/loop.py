"""The training loop of both models: Muon and AdamW, a cosine schedule, a running mean of the weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from keyframe_llm.cartoon.train.process_group import SINGLE_PROCESS, ProcessGroup

__all__ = ["train_module"]

_AVERAGE_DECAY = 0.995
"""Decay of the running mean of the weights, which is about the mean of the last 200 steps."""
_MUON = 20.0
"""Muon's learning rate, as a multiple of AdamW's. After 150 steps of the vision stage with 64 frames each,
the loss was 5.97 with AdamW alone, and 5.11, 3.74, 3.41 with Muon at 7, 13 and 27 times its rate."""


def train_module(
    name: str,
    module: Any,
    steps: int,
    make_batch: Callable[[], Any],
    loss_of: Callable[[Any], tuple[Any, str]],
    *,
    learning_rate: float,
    group: ProcessGroup = SINGLE_PROCESS,
    warmup: int = 100,
) -> None:
    """Train `module` for `steps` steps; at the end it holds the running mean of its weights.

    `loss_of(batch)` returns the loss and a text for the log. Every process of the `group` calls this with
    batches of its own, and all of them end with the same weights.
    """
    import torch
    from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

    weights = list(module.parameters())
    matrices = _matrices(module)
    optimisers = _optimisers(weights, matrices, learning_rate, group)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate_factor(step, steps, warmup))
        for optimiser in optimisers
    ]
    average = parameters_to_vector(weights).detach().clone()
    began = time.monotonic()
    for step in range(steps):
        loss, details = loss_of(make_batch())
        module.zero_grad()
        loss.backward()
        group.average_gradients(weights)
        clip_grad_norm_(weights, 1.0)
        for part in (*optimisers, *schedules):
            part.step()
        group.exchange(matrices)
        decay = min(_AVERAGE_DECAY, step / (step + 10))
        average.lerp_(parameters_to_vector(weights).detach(), 1 - decay)
        if step % 50 == 49:
            minutes = (time.monotonic() - began) / 60
            group.log(
                f"{name} {step + 1}/{steps}: loss {float(loss.detach()):.4f}, {details}, {minutes:.1f} min"
            )
    # The processes may round differently; this makes their weights the same, bit for bit.
    vector_to_parameters(group.mean(average), weights)


def _matrices(module: Any) -> list[Any]:
    """The matrices between layers, which Muon updates: no embeddings and no small heads."""
    import torch

    embeddings = {id(part.weight) for part in module.modules() if isinstance(part, torch.nn.Embedding)}
    matrices = [w for w in module.parameters() if w.ndim == 2 and min(w.shape) >= 64]
    return [w for w in matrices if id(w) not in embeddings]


def _optimisers(
    weights: list[Any], matrices: list[Any], learning_rate: float, group: ProcessGroup
) -> list[Any]:
    """AdamW for all but the matrices, and Muon for this process's share of the matrices.

    Muon's step is expensive, so that only one process computes it for each matrix.
    """
    import torch

    if not hasattr(torch.optim, "Muon"):
        raise RuntimeError(f"torch is {torch.__version__}; training needs 2.9 or newer")
    chosen = {id(w) for w in matrices}
    others = [w for w in weights if id(w) not in chosen]
    optimisers: list[Any] = [torch.optim.AdamW(others, learning_rate, betas=(0.9, 0.98), weight_decay=0.01)]
    if own := group.own_share(matrices):
        optimisers.append(torch.optim.Muon(own, _MUON * learning_rate, weight_decay=0.01))
    return optimisers


def _rate_factor(step: int, steps: int, warmup: int) -> float:
    """Share of the peak learning rate: a linear warm-up, then half a cosine down to a twentieth."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
