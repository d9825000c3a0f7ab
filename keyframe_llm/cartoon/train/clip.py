"""How the small CLIP is trained: contrastive, every frame that fits a text counting as right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keyframe_llm.cartoon.train.loop import Crew, learn, train_together
from keyframe_llm.cartoon.train.models import new_clip, save_clip
from keyframe_llm.cartoon.train.samples import pairs
from keyframe_llm.cartoon.world.scenes import PLACES, SUBJECTS, THINGS
from keyframe_llm.scoring.baseline import plain_texts

__all__ = ["STEPS", "train_clip"]

STEPS = 400
_PLAIN = 24
"""Texts in every batch that fit none of its frames."""
_EQUALLY = 0.2
"""Weight of their being equally far from all frames, as texts about something else should be."""


def train_clip(
    folder: Path, *, steps: int = STEPS, batch: int = 128, seed: int = 0, processes: int = 2
) -> None:
    """Train the encoder from nothing and write its checkpoint into `folder`; each process has a batch."""
    train_together(_train, processes, 2_000_000, folder, steps, batch, seed)


def _strange_texts() -> list[str]:
    """The plain texts that name nobody and nothing of the drawn world."""
    known = {*SUBJECTS, *PLACES, *THINGS, "book", "ball", "person", "cartoon", "drawing"}
    return [text for text in plain_texts() if not known & set(text.split())]


def _train(crew: Crew, folder: Path, steps: int, batch: int, seed: int) -> None:
    import torch
    from torch.nn.functional import log_softmax

    model, images, tokenizer = new_clip(seed)
    rng = np.random.default_rng((seed, crew.rank))
    plain = _strange_texts()

    def make(_: int) -> tuple[Any, Any, Any]:
        made = pairs(rng, batch)
        pixels = images([np.array(image) for image in made.images], return_tensors="pt").pixel_values
        strange = [str(text) for text in rng.choice(plain, _PLAIN)]
        tokens = tokenizer(made.texts + strange, padding=True, return_tensors="pt")
        return pixels, dict(tokens), torch.from_numpy(made.fits)

    def loss_of(drawn: tuple[Any, Any, Any], _: int) -> tuple[Any, str]:
        pixels, tokens, fits = drawn
        logits = model(pixel_values=pixels, **tokens).logits_per_text
        told = logits[: len(fits)]
        to_frames = fits / fits.sum(1, keepdim=True)
        strange = log_softmax(logits[len(fits) :], 1).mean(1)
        to_texts = fits.T / fits.T.sum(1, keepdim=True)
        loss = (
            -(to_frames * log_softmax(told, 1)).sum(1).mean()
            - (to_texts * log_softmax(logits.T, 1)[:, : len(fits)]).sum(1).mean()
            - _EQUALLY * strange.mean()
        )
        first = fits[torch.arange(len(fits)), told.argmax(1)].float().mean()
        return loss, f"R@1 {float(first):.3f}"

    model.train()
    learn("encoder", model, steps, make, loss_of, rate=1e-3, crew=crew)
    if crew.rank == 0:
        save_clip(model.eval(), images, tokenizer, folder)
