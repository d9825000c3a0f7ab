"""Train the two embedded models on the drawn world: `python -m keyframe_llm.cartoon.train`.

Under an hour on two cores: the encoder and the Video-LLM are trained one after the other, each on batches
that a second process draws. `--evaluate` measures what is there instead of training.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keyframe_llm.cartoon.models import new_clip, new_processor, new_vlm, save_clip, save_vlm
from keyframe_llm.cartoon.rehearsal import GLIMPSES, Rehearsal, glimpses, rehearsals
from keyframe_llm.cartoon.samples import PORTRAIT_CLASSES, conversations, pairs, portraits
from keyframe_llm.cartoon.world import Scene

__all__ = ["main", "train_clip", "train_vlm"]

_CLOSED = 0.6  # share of the Video-LLM's steps in which the vision tower, taught before, stands still
_SIMPLE = 0.2  # share of the Video-LLM's steps spent on single scenes
_WEIGHTS = Path(__file__).parent / "weights"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _batches(make: Any, seed: int, *, workers: int = 1) -> Iterator[Any]:
    """Run `make(rng, step)` for ever in other processes, a fresh generator each time."""
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            import torch

            torch.set_num_threads(1)
            worker = get_worker_info()
            for step in range(worker.id if worker else 0, 10**9, workers):
                yield make(np.random.default_rng([seed, step]), step)

    return iter(DataLoader(Stream(), batch_size=None, num_workers=workers, prefetch_factor=4))


def _optimiser(model: Any, rate: float, steps: int, warmup: int) -> tuple[Any, Any]:
    import torch

    optimiser = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.98), weight_decay=0.01)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def train_clip(folder: Path, *, steps: int = 1500, batch: int = 128, seed: int = 0) -> None:
    """Train the encoder with a contrastive loss in which every frame that fits a text counts as right."""
    import torch
    from torch.nn.functional import log_softmax

    model, images, tokenizer = new_clip(seed)

    def make(rng: np.random.Generator, _: int) -> tuple[Any, Any, Any]:
        made = pairs(rng, batch)
        pixels = images([np.array(image) for image in made.images], return_tensors="pt").pixel_values
        tokens = tokenizer(made.texts, padding=True, return_tensors="pt")
        return pixels, dict(tokens), torch.from_numpy(made.fits)

    optimiser, schedule = _optimiser(model, 1e-3, steps, 100)
    model.train()
    began = time.monotonic()
    for step, (pixels, tokens, fits) in zip(range(steps), _batches(make, seed), strict=False):
        logits = model(pixel_values=pixels, **tokens).logits_per_text
        to_frames = fits / fits.sum(1, keepdim=True)
        to_texts = fits.T / fits.T.sum(1, keepdim=True)
        loss = (
            -(to_frames * log_softmax(logits, 1)).sum(1).mean()
            - (to_texts * log_softmax(logits.T, 1)).sum(1).mean()
        )
        floor = -(to_frames * to_frames.clamp(min=1e-9).log()).sum(1).mean()
        _step(model, optimiser, schedule, loss)
        if step % 100 == 99:
            first = fits[torch.arange(len(fits)), logits.argmax(1)].float().mean()
            spent = (time.monotonic() - began) / 60
            _say(
                f"encoder {step + 1}/{steps}: loss {float(loss.detach()):.3f} (floor {float(floor):.3f}) "
                f"R@1 {float(first):.3f}, {spent:.1f} min"
            )
    save_clip(model.eval(), images, tokenizer, folder)


def _step(model: Any, optimiser: Any, schedule: Any, loss: Any) -> None:
    import torch

    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    schedule.step()


def _reply_labels(ids: Any, tokenizer: Any) -> Any:
    """Copy the token ids, with -100 wherever it is not the assistant's turn to speak."""
    speaks = tokenizer.convert_tokens_to_ids("▁assistant")
    starts, ends = (tokenizer.convert_tokens_to_ids(t) for t in ("<|im_start|>", "<|im_end|>"))
    labels = ids.clone().fill_(-100)
    for row, target in zip(ids.tolist(), labels, strict=True):
        replying = False
        for i, token in enumerate(row):
            if replying:
                target[i] = token
                replying = token != ends
            elif token == speaks and row[i - 1] == starts:
                replying = True
    return labels


def _open_eyes(model: Any, processor: Any, *, steps: int, batch: int, seed: int) -> None:
    """Teach the vision tower to tell what a frame shows before the language model listens to it.

    Words alone are a weak teacher of sight: without this stage the loss stays for many hundred steps at what
    can be guessed without looking.
    """
    import torch
    from torch.nn.functional import cross_entropy

    eye = model.model.visual
    heads = torch.nn.ModuleList([torch.nn.Linear(128, classes) for classes in PORTRAIT_CLASSES])

    def make(rng: np.random.Generator, _: int) -> tuple[Any, Any, Any]:
        images, shown = portraits(rng, batch)
        pixels = processor.image_processor([np.array(image) for image in images], return_tensors="pt")
        return pixels.pixel_values, pixels.image_grid_thw, torch.from_numpy(shown)

    both = torch.nn.ModuleList([eye, heads])
    optimiser, schedule = _optimiser(both, 1.5e-3, steps, 50)
    began = time.monotonic()
    for step, (pixels, grid, shown) in zip(range(steps), _batches(make, seed + 2), strict=False):
        seen = eye(pixels, grid_thw=grid).pooler_output.view(len(shown), -1, 128).mean(1)
        guesses = [head(seen) for head in heads]
        losses = [cross_entropy(guess, shown[:, i]) for i, guess in enumerate(guesses)]
        _step(both, optimiser, schedule, torch.stack(losses).sum())
        if step % 50 == 49:
            right = [float((g.argmax(1) == shown[:, i]).float().mean()) for i, g in enumerate(guesses)]
            told = " ".join(f"{share:.2f}" for share in right)
            _say(f"eye {step + 1}/{steps}: {told}, {(time.monotonic() - began) / 60:.1f} min")


def _look_around(model: Any, processor: Any, *, scenes: int, seed: int) -> tuple[list[Scene], Any, Any]:
    """Draw `scenes` scenes and see them: scenes, (N, GLIMPSES) seconds, (N · GLIMPSES, 12, 128) tokens."""
    import torch

    def make(rng: np.random.Generator, _: int) -> tuple[list[Scene], Any, Any, Any]:
        drawn, seconds, images = zip(*(glimpses(rng) for _ in range(32)), strict=True)
        pixels = processor.image_processor([image for some in images for image in some], return_tensors="pt")
        return list(drawn), np.stack(seconds), pixels.pixel_values, pixels.image_grid_thw

    known: list[Scene] = []
    times, tokens = [], []
    for drawn, seconds, pixels, grid in _batches(make, seed + 3, workers=2):
        with torch.inference_mode():
            seen = model.model.visual(pixels, grid_thw=grid).pooler_output
        tokens.append(seen.view(len(drawn) * GLIMPSES, -1, seen.shape[-1]).half())
        known += drawn
        times.append(seconds)
        if len(known) >= scenes:
            return known, np.concatenate(times), torch.cat(tokens)
    raise AssertionError("the stream of drawings never ends")


def _rehearse(model: Any, processor: Any, *, steps: int, scenes: int, batch: int, seed: int) -> None:
    """Teach the language model to look up what is asked, on frames seen once and composed anew each time."""
    import torch
    from torch.nn.functional import cross_entropy

    began = time.monotonic()
    model.eval()
    known, seconds, tokens = _look_around(model, processor, scenes=scenes, seed=seed)
    _say(f"{len(known)} scenes drawn and seen, {(time.monotonic() - began) / 60:.1f} min")
    model.train()
    tokenizer, image_id = processor.tokenizer, model.config.image_token_id
    language = model.model.language_model
    grid = torch.tensor([[1, 6, 8]])

    def make(rng: np.random.Generator, _: int) -> Rehearsal:
        return rehearsals(rng, batch, known, seconds, tokenizer, tokens.shape[1])

    optimiser, schedule = _optimiser(language, 1.5e-3, steps, 100)
    began = time.monotonic()
    for step, drawn in zip(range(steps), _batches(make, seed + 4), strict=False):
        ids, labels, branch = (torch.from_numpy(a) for a in (drawn.ids, drawn.labels, drawn.branch))
        sight = ids == image_id
        embedded = language.embed_tokens(ids)
        embedded = embedded.masked_scatter(sight[..., None], tokens[torch.from_numpy(drawn.seen)].float())
        positions = _branch_positions(model, ids, branch, grid)
        order = torch.arange(ids.shape[1])
        same = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
        mask = (same & (order[None, :] <= order[:, None]))[:, None]
        hidden = language(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask={"full_attention": mask},
            use_cache=False,
        ).last_hidden_state[:, :-1]
        target = labels[:, 1:]
        said = target != -100
        logits = model.lm_head(hidden[said])
        loss = cross_entropy(logits, target[said])
        _step(language, optimiser, schedule, loss)
        if step % 50 == 49:
            right = (logits.argmax(-1) == target[said]).float().mean()
            spent = (time.monotonic() - began) / 60
            _say(
                f"rehearsal {step + 1}/{steps}: loss {float(loss.detach()):.4f} "
                f"tokens right {float(right):.4f}, {spent:.1f} min"
            )


def _branch_positions(model: Any, ids: Any, branch: Any, grid: Any) -> Any:
    """(3, B, L) rotary positions: those of the frames, and every branch going on from their end."""
    import torch

    image = (ids == model.config.image_token_id).int()
    frames = (branch == 0).int()
    shown = int((ids == model.config.vision_start_token_id).sum())
    positions, _ = model.model.get_rope_index(ids, image, grid.expand(shown, 3), attention_mask=frames)
    end = (positions * frames).amax((0, 2)) + 1
    first = torch.ones_like(branch, dtype=torch.bool)
    first[:, 1:] = branch[:, 1:] != branch[:, :-1]
    order = torch.arange(ids.shape[1]).expand_as(ids)
    began = torch.where(first, order, 0).cummax(1).values
    return torch.where(frames.bool(), positions, end[:, None] + order - began)


def train_vlm(
    folder: Path,
    *,
    steps: int = 1500,
    eye_steps: int = 700,
    batch: int = 32,
    seed: int = 0,
    resume: Path | None = None,
) -> None:
    """Train the Video-LLM on conversations; only the assistant's words count.

    The first part shows single scenes in a frame or two, and leaves the vision tower as it is, which costs a
    fraction of the time. `resume` goes on
    from a checkpoint, or from the `.partial.pt` that an interrupted training left beside the folder.
    """
    import torch
    from torch.nn.functional import cross_entropy

    processor = new_processor()
    processor.tokenizer.padding_side = "right"
    model = new_vlm(processor.tokenizer, seed)

    def make(rng: np.random.Generator, step: int) -> tuple[dict[str, Any], Any]:
        inputs = processor.apply_chat_template(
            conversations(rng, batch, simple=step < steps * _SIMPLE),
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )
        return dict(inputs), _reply_labels(inputs["input_ids"], processor.tokenizer)

    partial = folder.with_suffix(".partial.pt")
    if resume and resume.is_dir():
        model = type(model).from_pretrained(resume, dtype=torch.float32)
    elif resume:
        model.load_state_dict(torch.load(resume))
    model.train()
    if eye_steps:
        _open_eyes(model, processor, steps=eye_steps, batch=4 * batch, seed=seed)
        torch.save(model.state_dict(), partial)
    optimiser, schedule = _optimiser(model, 1.5e-3, steps, 100)
    began = time.monotonic()
    for step, (inputs, labels) in zip(range(steps), _batches(make, seed + 1), strict=False):
        model.model.visual.requires_grad_(step >= steps * _CLOSED)
        hidden = model.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
        target = labels[:, 1:]
        said = target != -100
        logits = model.lm_head(hidden[said])
        loss = cross_entropy(logits, target[said])
        _step(model, optimiser, schedule, loss)
        if step % 50 == 49:
            right = (logits.argmax(-1) == target[said]).float().mean()
            spent = (time.monotonic() - began) / 60
            _say(
                f"video-llm {step + 1}/{steps}: loss {float(loss.detach()):.4f} "
                f"tokens right {float(right):.4f}, {spent:.1f} min"
            )
        if step % 300 == 299:
            torch.save(model.state_dict(), partial)
    processor.tokenizer.padding_side = "left"
    save_vlm(model.eval(), processor, folder)
    partial.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Train or evaluate the embedded models; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m keyframe_llm.cartoon.train", description=__doc__)
    parser.add_argument("--only", choices=["clip", "vlm"], help="train one of the two models")
    parser.add_argument("--steps", type=int, help="training steps instead of the default")
    parser.add_argument("--eye-steps", type=int, help="steps of the Video-LLM's first stage")
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="go on from a checkpoint or a `.partial.pt`"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="threads of the training process")
    parser.add_argument("--evaluate", action="store_true", help="print figures instead of training")
    parser.add_argument("--clips", type=int, default=1000, help="unseen clips to evaluate on")
    parser.add_argument("--out", type=Path, default=_WEIGHTS, help="folder of the checkpoints")
    asked = parser.parse_args(arguments)
    import torch

    if asked.threads:
        torch.set_num_threads(asked.threads)
    if asked.evaluate:
        from keyframe_llm.cartoon.evaluate import evaluate

        for name, share in evaluate(asked.out, clips=asked.clips).items():
            print(f"{name}: {share:.1%}")
        return 0
    asked.out.mkdir(parents=True, exist_ok=True)
    steps = {"steps": asked.steps} if asked.steps else {}
    if asked.only != "vlm":
        train_clip(asked.out / "clip", seed=asked.seed, **steps)
    if asked.only != "clip":
        eye = {} if asked.eye_steps is None else {"eye_steps": asked.eye_steps}
        train_vlm(asked.out / "qwen2_5_vl", seed=asked.seed, resume=asked.resume, **steps, **eye)
    return 0


if __name__ == "__main__":
    sys.exit(main())
