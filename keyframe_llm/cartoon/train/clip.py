"""Training of the small CLIP: a contrastive loss in which a text may match several pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keyframe_llm.cartoon.train.loop import train_module
from keyframe_llm.cartoon.train.models import new_clip, save_clip
from keyframe_llm.cartoon.train.pairs import random_pairs
from keyframe_llm.cartoon.train.process_group import ProcessGroup, run_processes
from keyframe_llm.cartoon.world.scenes import PLACES, SUBJECTS, THINGS
from keyframe_llm.prompts import default_prompts

__all__ = ["STEPS", "train_clip"]

STEPS = 400
_UNRELATED = 24
"""Texts in every batch that match none of its pictures."""
_UNRELATED_WEIGHT = 0.2
"""Weight of the loss that asks for the same similarity of such a text to all pictures."""


def train_clip(
    folder: Path, *, steps: int = STEPS, batch: int = 128, seed: int = 0, processes: int = 2
) -> None:
    """Train the encoder and write its checkpoint into `folder`; `batch` is that of each process."""
    run_processes(_train, processes, 2_000_000, folder, steps, batch, seed)


def _unrelated_texts() -> list[str]:
    """The neutral texts that name nobody and nothing of the drawn world."""
    known = {*SUBJECTS, *PLACES, *THINGS, "book", "ball", "person", "cartoon", "drawing"}
    return [text for text in default_prompts().lines("neutral") if not known & set(text.split())]


def _train(group: ProcessGroup, folder: Path, steps: int, batch: int, seed: int) -> None:
    import torch

    model, images, tokenizer = new_clip(seed)
    rng = np.random.default_rng((seed, group.rank))
    neutral = _unrelated_texts()

    def make_batch() -> tuple[Any, Any, Any]:
        pairs = random_pairs(rng, batch)
        pixels = images([np.array(picture) for picture in pairs.pictures], return_tensors="pt").pixel_values
        unrelated = [str(text) for text in rng.choice(neutral, _UNRELATED)]
        tokens = tokenizer(pairs.texts + unrelated, padding=True, return_tensors="pt")
        return pixels, dict(tokens), torch.from_numpy(pairs.matches)

    def loss_of(made: tuple[Any, Any, Any]) -> tuple[Any, str]:
        pixels, tokens, matches = made
        return _contrastive_loss(model(pixel_values=pixels, **tokens).logits_per_text, matches)

    model.train()
    train_module("encoder", model, steps, make_batch, loss_of, learning_rate=1e-3, group=group)
    if group.rank == 0:
        save_clip(model.eval(), images, tokenizer, folder)


def _contrastive_loss(logits: Any, matches: Any) -> tuple[Any, str]:
    """The loss and the share of texts whose best picture matches.

    `logits` is (texts, pictures), the unrelated texts last; `matches` (texts without those, pictures) bool.
    """
    import torch
    from torch.nn.functional import log_softmax

    count = len(matches)
    of_texts = logits[:count]
    to_pictures = matches / matches.sum(1, keepdim=True)
    to_texts = matches.T / matches.T.sum(1, keepdim=True)
    unrelated = log_softmax(logits[count:], 1).mean(1)
    loss = (
        -(to_pictures * log_softmax(of_texts, 1)).sum(1).mean()
        - (to_texts * log_softmax(logits.T, 1)[:, :count]).sum(1).mean()
        - _UNRELATED_WEIGHT * unrelated.mean()
    )
    first = matches[torch.arange(count), of_texts.argmax(1)].float().mean()
    return loss, f"R@1 {float(first):.3f}"
