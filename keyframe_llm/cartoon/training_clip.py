"""How the small CLIP is trained: contrastive, every frame that fits a text counting as right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keyframe_llm.cartoon.models import new_clip, save_clip
from keyframe_llm.cartoon.samples import pairs
from keyframe_llm.cartoon.training import batches, learn

__all__ = ["train_clip"]


def train_clip(folder: Path, *, steps: int = 1200, batch: int = 128, seed: int = 0) -> None:
    """Train the encoder from nothing and write its checkpoint into `folder`."""
    import torch
    from torch.nn.functional import log_softmax

    model, images, tokenizer = new_clip(seed)

    def make(rng: np.random.Generator, _: int) -> tuple[Any, Any, Any]:
        made = pairs(rng, batch)
        pixels = images([np.array(image) for image in made.images], return_tensors="pt").pixel_values
        tokens = tokenizer(made.texts, padding=True, return_tensors="pt")
        return pixels, dict(tokens), torch.from_numpy(made.fits)

    def loss_of(drawn: tuple[Any, Any, Any], _: int) -> tuple[Any, str]:
        pixels, tokens, fits = drawn
        logits = model(pixel_values=pixels, **tokens).logits_per_text
        to_frames = fits / fits.sum(1, keepdim=True)
        to_texts = fits.T / fits.T.sum(1, keepdim=True)
        loss = (
            -(to_frames * log_softmax(logits, 1)).sum(1).mean()
            - (to_texts * log_softmax(logits.T, 1)).sum(1).mean()
        )
        first = fits[torch.arange(len(fits)), logits.argmax(1)].float().mean()
        return loss, f"R@1 {float(first):.3f}"

    model.train()
    learn("encoder", model, steps, batches(make, seed), loss_of, rate=1e-3)
    save_clip(model.eval(), images, tokenizer, folder)
