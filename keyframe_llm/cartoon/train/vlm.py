"""Training of the small Qwen2.5-VL in three stages: vision tower, language model, both.

The words of replies alone teach the vision tower little. So it first learns the traits of single frames; then
the language model learns to look up what is asked, among frames encoded once; last, the whole model learns
that together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.train.frame_pool import FRAMES_PER_SCENE, FramePool, draw_pool
from keyframe_llm.cartoon.train.loop import train_module
from keyframe_llm.cartoon.train.losses import path_probe, trait_ids, trait_loss, word_loss
from keyframe_llm.cartoon.train.models import VISUAL_TOKENS, new_processor, new_vlm, save_vlm
from keyframe_llm.cartoon.train.packed_batch import PackedBatch, pack_batch
from keyframe_llm.cartoon.train.packed_forward import PackedOutput, forward_packed
from keyframe_llm.cartoon.train.process_group import ProcessGroup, run_processes

__all__ = ["STAGES", "train_vlm"]

STAGES = {"vision": 1000, "language": 1500, "joint": 3300}
"""The stages in order, and the steps of each."""
_SCENES = 45_000
_FRAMES_PER_STEP, _CLIPS_PER_STEP = 128, 16
"""Of all processes together: frames in the vision stage, clips in the others."""
_LEARNING_RATE = 1.5e-3
_ENCODED_SHARE = 3
"""The language stage uses one scene in so many, whose frames are encoded once."""
_ATTENTION_WEIGHT = 0.6
"""Weight of the two losses that guide attention."""
_TRAIT_WEIGHT = 0.1
"""Weight of the traits in the joint stage: it keeps those that no question of a batch asks for."""


def train_vlm(
    folder: Path, *, steps: dict[str, int] | None = None, seed: int = 0, processes: int = 2
) -> None:
    """Train the Video-LLM and write its checkpoint into `folder`.

    `steps` changes the steps of some stages. After every stage the weights are written to
    `<folder>.partial.pt`; where that file exists already, training starts from it.
    """
    run_processes(_train, processes, 3_000_000, folder, STAGES | (steps or {}), seed)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What every stage works with."""

    model: Any
    processor: Any
    pool: FramePool
    group: ProcessGroup

    def pictures(self, which: NDArray[np.intp] | NDArray[np.int64]) -> tuple[Any, Any, Any]:
        """Frames of the pool: pixel values, grid, and traits (frames, 6)."""
        import torch

        inputs = self.processor.image_processor(list(self.pool.pictures[which]), return_tensors="pt")
        return inputs.pixel_values, inputs.image_grid_thw, torch.from_numpy(self.pool.traits[which])

    def batch(self, rng: np.random.Generator, pool: FramePool) -> PackedBatch:
        """This process's share of a step's packed clips."""
        return pack_batch(rng, _CLIPS_PER_STEP // self.group.size, pool, self.processor.tokenizer)


def _train(group: ProcessGroup, folder: Path, steps: dict[str, int], seed: int) -> None:
    """The work of one process: it draws its own pool and batches, and shares its gradients."""
    import torch

    processor = new_processor()
    processor.tokenizer.padding_side = "right"
    model = new_vlm(processor.tokenizer, seed)
    partial = folder.with_suffix(".partial.pt")
    if partial.is_file():
        group.log(f"starting from {partial}")
        model.load_state_dict(torch.load(partial))
    pool = draw_pool(
        np.random.default_rng((seed, group.rank)),
        _SCENES // group.size,
        lambda drawn: group.log(f"drawn {drawn * group.size} of {_SCENES} scenes"),
    )
    run = _Run(model, processor, pool, group)
    for number, (stage, count) in enumerate(steps.items()):
        if count:
            model.train()
            _TRAIN[stage](run, count, np.random.default_rng((seed, number + 1, group.rank)))
            if group.rank == 0:
                torch.save(model.state_dict(), partial)
    if group.rank == 0:
        processor.tokenizer.padding_side = "left"
        save_vlm(model.eval(), processor, folder)
        partial.unlink(missing_ok=True)


def _train_vision(run: _Run, steps: int, rng: np.random.Generator) -> None:
    """Train the vision tower to show who is seen, in which colour, where, doing what, next to what."""
    import torch

    model = run.model
    ids, probe = trait_ids(run.processor.tokenizer), path_probe(model)

    def make_batch() -> tuple[Any, Any, Any]:
        return run.pictures(rng.integers(len(run.pool.pictures), size=_FRAMES_PER_STEP // run.group.size))

    def loss_of(pictures: tuple[Any, Any, Any]) -> tuple[Any, str]:
        pixels, grid, traits = pictures
        return trait_loss(model, ids, probe, _encode(model, pixels, grid), traits)

    trained = torch.nn.ModuleList([model.model.visual, probe])
    train_module(
        "vision",
        trained,
        steps,
        make_batch,
        loss_of,
        learning_rate=_LEARNING_RATE,
        group=run.group,
        warmup=50,
    )
    _normalise_visual_tokens(run)


def _normalise_visual_tokens(run: _Run) -> None:
    """Scale the visual tokens to a mean length of 1, as words have: attention cannot change longer ones."""
    import torch

    pixels, grid, _ = run.pictures(np.arange(128))
    last = run.model.model.visual.merger.mlp[2]
    with torch.no_grad():
        length = _encode(run.model, pixels, grid).norm(dim=-1).mean()
        length = run.group.mean(length[None])
        last.weight /= length
        last.bias /= length


def _train_language(run: _Run, steps: int, rng: np.random.Generator) -> None:
    """Train the language model to look up what is asked, in clips composed of frames encoded once."""
    import torch

    model = run.model
    part = replace(run.pool, scenes=run.pool.scenes[: len(run.pool.scenes) // _ENCODED_SHARE])
    visual_tokens = _encode_pool(run, part)

    def loss_of(batch: PackedBatch) -> tuple[Any, str]:
        output = forward_packed(model, batch, visual_tokens[torch.from_numpy(batch.frames)].float())
        return _reply_loss(model, batch, output)

    train_module(
        "language",
        model.model.language_model,
        steps,
        lambda: run.batch(rng, part),
        loss_of,
        learning_rate=_LEARNING_RATE,
        group=run.group,
    )


def _train_joint(run: _Run, steps: int, rng: np.random.Generator) -> None:
    """Train the whole model on composed clips, whose frames are encoded in every step."""
    import torch

    model = run.model
    ids, probe = trait_ids(run.processor.tokenizer), path_probe(model)

    def make_batch() -> tuple[PackedBatch, tuple[Any, Any, Any]]:
        batch = run.batch(rng, run.pool)
        return batch, run.pictures(batch.frames)

    def loss_of(made: tuple[PackedBatch, tuple[Any, Any, Any]]) -> tuple[Any, str]:
        batch, (pixels, grid, traits) = made
        visual_tokens = _encode(model, pixels, grid)
        of_traits, trait_details = trait_loss(model, ids, probe, visual_tokens, traits)
        output = forward_packed(model, batch, visual_tokens.view(len(grid), VISUAL_TOKENS, -1))
        loss, details = _reply_loss(model, batch, output)
        return loss + _TRAIT_WEIGHT * of_traits, f"{details}, {trait_details}"

    trained = torch.nn.ModuleList([model, probe])
    train_module(
        "joint",
        trained,
        steps,
        make_batch,
        loss_of,
        learning_rate=_LEARNING_RATE / 2,
        group=run.group,
        warmup=50,
    )


def _encode(model: Any, pixels: Any, grid: Any) -> Any:
    """(frames · `VISUAL_TOKENS`, width) visual tokens."""
    return model.model.visual(pixels, grid_thw=grid).pooler_output


def _encode_pool(run: _Run, pool: FramePool) -> Any:
    """(frames, `VISUAL_TOKENS`, width) visual tokens of all frames of the pool, in half precision."""
    import torch

    tokens = []
    frames = len(pool.scenes) * FRAMES_PER_SCENE
    for start in range(0, frames, 256):
        pixels, grid, _ = run.pictures(np.arange(start, min(start + 256, frames)))
        with torch.inference_mode():
            tokens.append(_encode(run.model, pixels, grid).view(len(grid), VISUAL_TOKENS, -1).half())
    return torch.cat(tokens)


def _reply_loss(model: Any, batch: PackedBatch, output: PackedOutput) -> tuple[Any, str]:
    """The loss of the assistant's words and of the guided attention."""
    import torch

    loss, details = word_loss(model, output.hidden, torch.from_numpy(batch.labels))
    loss = loss + _ATTENTION_WEIGHT * (output.frame_loss + output.name_loss)
    frame_loss, name_loss = output.frame_loss.item(), output.name_loss.item()
    return loss, f"{details}, frame attention loss {frame_loss:.3f}, name attention loss {name_loss:.3f}"


_TRAIN: dict[str, Callable[[_Run, int, np.random.Generator], None]] = {
    "vision": _train_vision,
    "language": _train_language,
    "joint": _train_joint,
}
