"""How the small Qwen2.5-VL is trained: first to see, then to look things up, then to talk.

Words alone are a weak teacher of sight, and drawing is dear. So the vision tower learns the traits of single
frames; the language model then learns to look up what is asked among frames drawn and seen once; and last
the whole model learns whole conversations, drawn anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keyframe_llm.cartoon.models import new_processor, new_vlm, save_vlm
from keyframe_llm.cartoon.rehearsal import GLIMPSES, Rehearsal, glimpses, rehearsals
from keyframe_llm.cartoon.samples import PORTRAIT_CLASSES, conversations, portraits
from keyframe_llm.cartoon.training import batches, learn, say
from keyframe_llm.cartoon.world import Scene

__all__ = ["STAGES", "rehearsed", "train_vlm"]

STAGES = {"see": 1500, "rehearse": 2400, "talk": 500}
"""The stages in order, and the steps each takes."""
_SCENES = 24_000
_RATE = 1.5e-3


def train_vlm(folder: Path, *, steps: dict[str, int] | None = None, seed: int = 0) -> None:
    """Train the Video-LLM and write its checkpoint into `folder`.

    `steps` changes the steps of a stage. After every stage the weights so far are written beside `folder`, as
    `<folder>.partial.pt`; where that file is there already, they are where the training begins.
    """
    import torch

    processor = new_processor()
    processor.tokenizer.padding_side = "right"
    model = new_vlm(processor.tokenizer, seed)
    partial = folder.with_suffix(".partial.pt")
    if partial.is_file():
        say(f"going on from {partial}")
        model.load_state_dict(torch.load(partial))
    for number, (stage, count) in enumerate((STAGES | (steps or {})).items()):
        if count:
            model.train()
            _TEACH[stage](model, processor, count, (seed, number))
            torch.save(model.state_dict(), partial)
    processor.tokenizer.padding_side = "left"
    save_vlm(model.eval(), processor, folder)
    partial.unlink(missing_ok=True)


def _see(model: Any, processor: Any, steps: int, seed: tuple[int, int]) -> None:
    """Teach the vision tower who, in which colour, where, doing what, beside what: five linear probes."""
    import torch
    from torch.nn.functional import cross_entropy

    eye = model.model.visual
    width = model.config.text_config.hidden_size
    heads = torch.nn.ModuleList([torch.nn.Linear(width, classes) for classes in PORTRAIT_CLASSES])

    def make(rng: np.random.Generator, _: int) -> tuple[Any, Any, Any]:
        images, shown = portraits(rng, 128)
        pixels = processor.image_processor([np.array(image) for image in images], return_tensors="pt")
        return pixels.pixel_values, pixels.image_grid_thw, torch.from_numpy(shown)

    def loss_of(drawn: tuple[Any, Any, Any], _: int) -> tuple[Any, str]:
        pixels, grid, shown = drawn
        seen = eye(pixels, grid_thw=grid).pooler_output.view(len(shown), -1, width).mean(1)
        guesses = [head(seen) for head in heads]
        losses = [cross_entropy(guess, shown[:, i]) for i, guess in enumerate(guesses)]
        right = [float((guess.argmax(1) == shown[:, i]).float().mean()) for i, guess in enumerate(guesses)]
        return torch.stack(losses).sum(), "traits right " + " ".join(f"{share:.2f}" for share in right)

    taught = torch.nn.ModuleList([eye, heads])
    learn("see", taught, steps, batches(make, seed), loss_of, rate=_RATE, warmup=50)


def _rehearse(model: Any, processor: Any, steps: int, seed: tuple[int, int]) -> None:
    """Teach the language model to look up what is asked, on frames seen once and composed anew each time."""
    import torch

    scenes, seconds, tokens = _look_around(model, processor, seed)
    say(f"{len(scenes)} scenes drawn and seen")

    def make(rng: np.random.Generator, _: int) -> Rehearsal:
        return rehearsals(rng, 16, scenes, seconds, processor.tokenizer, tokens.shape[1])

    def loss_of(drawn: Rehearsal, _: int) -> tuple[Any, str]:
        hidden = rehearsed(model, drawn, tokens[torch.from_numpy(drawn.seen)].float())
        return _words(model, hidden, torch.from_numpy(drawn.labels))

    learn("rehearse", model.model.language_model, steps, batches(make, (*seed, 1)), loss_of, rate=_RATE)


def rehearsed(model: Any, drawn: Rehearsal, seen: Any) -> Any:
    """Hidden states (B, L, width) of a rehearsal, every branch blind to the others.

    `seen` is (frames, visual tokens, width): what the vision tower made of the frames of the batch, in order.
    """
    import torch

    ids, branch = torch.from_numpy(drawn.ids), torch.from_numpy(drawn.branch)
    language = model.model.language_model
    sight = (ids == model.config.image_token_id)[..., None]
    order = torch.arange(ids.shape[1])
    together = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    return language(
        inputs_embeds=language.embed_tokens(ids).masked_scatter(sight, seen),
        position_ids=_branch_positions(model, ids, branch),
        attention_mask={"full_attention": (together & (order[None, :] <= order[:, None]))[:, None]},
        use_cache=False,
    ).last_hidden_state


def _look_around(model: Any, processor: Any, seed: tuple[int, int]) -> tuple[list[Scene], Any, Any]:
    """Draw many scenes and see them: scenes, (N, GLIMPSES) seconds, (N · GLIMPSES, 12, 128) tokens."""
    import torch

    def make(rng: np.random.Generator, _: int) -> tuple[list[Scene], Any, Any, Any]:
        drawn, seconds, images = zip(*(glimpses(rng) for _ in range(32)), strict=True)
        frames = [np.array(image) for some in images for image in some]
        pixels = processor.image_processor(frames, return_tensors="pt")
        return list(drawn), np.stack(seconds), pixels.pixel_values, pixels.image_grid_thw

    scenes: list[Scene] = []
    times, tokens = [], []
    for drawn, seconds, pixels, grid in batches(make, (*seed, 0), workers=2):
        with torch.inference_mode():
            seen = model.model.visual(pixels, grid_thw=grid).pooler_output
        tokens.append(seen.view(len(drawn) * GLIMPSES, -1, seen.shape[-1]).half())
        scenes += drawn
        times.append(seconds)
        if len(scenes) >= _SCENES:
            break
    return scenes, np.concatenate(times), torch.cat(tokens)


def _branch_positions(model: Any, ids: Any, branch: Any) -> Any:
    """(3, B, L) rotary positions: those of the frames, and every branch going on from their end."""
    import torch

    image = (ids == model.config.image_token_id).int()
    frames = (branch == 0).int()
    shown = int((ids == model.config.vision_start_token_id).sum())
    grid = torch.tensor([[1, 6, 8]]).expand(shown, 3)
    positions, _ = model.model.get_rope_index(ids, image, grid, attention_mask=frames)
    end = (positions * frames).amax((0, 2)) + 1
    first = torch.ones_like(branch, dtype=torch.bool)
    first[:, 1:] = branch[:, 1:] != branch[:, :-1]
    order = torch.arange(ids.shape[1]).expand_as(ids)
    began = torch.where(first, order, 0).cummax(1).values
    return torch.where(frames.bool(), positions, end[:, None] + order - began)


def _talk(model: Any, processor: Any, steps: int, seed: tuple[int, int]) -> None:
    """Teach the whole model whole conversations, through the processor that will be used."""

    def make(rng: np.random.Generator, _: int) -> tuple[dict[str, Any], Any]:
        inputs = processor.apply_chat_template(
            conversations(rng, 32),
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )
        return dict(inputs), _reply_labels(inputs["input_ids"], processor.tokenizer)

    def loss_of(drawn: tuple[dict[str, Any], Any], _: int) -> tuple[Any, str]:
        inputs, labels = drawn
        return _words(model, model.model(**inputs, use_cache=False).last_hidden_state, labels)

    learn("talk", model, steps, batches(make, seed), loss_of, rate=_RATE / 3)


def _words(model: Any, hidden: Any, labels: Any) -> tuple[Any, str]:
    """Cross-entropy over the words of the assistant alone."""
    from torch.nn.functional import cross_entropy

    target = labels[:, 1:]
    said = target != -100
    logits = model.lm_head(hidden[:, :-1][said])
    right = (logits.argmax(-1) == target[said]).float().mean()
    return cross_entropy(logits, target[said]), f"words right {float(right):.4f}"


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


_TEACH = {"see": _see, "rehearse": _rehearse, "talk": _talk}
