"""How the small Qwen2.5-VL is trained: to see, to look things up, to talk, and to look things up as it sees.

Words alone are a weak teacher of sight. So the vision tower learns the traits of single frames; the language
model then learns to look up what is asked among frames seen once; then the whole model learns whole
conversations, which cost it some of its look-ups; and last it rehearses those again, eyes and all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.models import new_processor, new_vlm, save_vlm
from keyframe_llm.cartoon.rehearsal import Rehearsal, rehearsals
from keyframe_llm.cartoon.samples import conversations
from keyframe_llm.cartoon.stock import TRAIT_CLASSES, Stock, compose, draw_stock
from keyframe_llm.cartoon.training import Crew, learn, train_together
from keyframe_llm.data import Frames

__all__ = ["STAGES", "rehearsed", "train_vlm"]

STAGES = {"see": 1000, "rehearse": 1500, "talk": 1200, "look": 900}
"""The stages in order, and the steps each takes."""
_SCENES = 60_000
_PORTRAITS, _CLIPS, _CONVERSATIONS = 128, 16, 32
"""What a step of the stages sees, all processes together; the last has `_CLIPS`, as the second."""
_RATE = 1.5e-3
_TOKENS = 12
"""Visual tokens of a frame."""
_LOOKING = 2
"""The layer that learns to look at the frame asked about."""
_GUIDANCE = 0.3
"""Weight of being told where to look."""
_SIGHT = 0.1
"""Weight of the portraits between the conversations."""
_ALONE = 0.3
"""Share of single scenes among the conversations: captions of several scenes are learnt last."""


def train_vlm(
    folder: Path, *, steps: dict[str, int] | None = None, seed: int = 0, processes: int = 2
) -> None:
    """Train the Video-LLM and write its checkpoint into `folder`.

    `steps` changes the steps of a stage. After every stage the weights so far are written beside `folder`, as
    `<folder>.partial.pt`; where that file is there already, they are where the training begins.
    """
    train_together(_train, processes, 3_000_000, folder, STAGES | (steps or {}), seed)


def _train(crew: Crew, folder: Path, steps: dict[str, int], seed: int) -> None:
    """What each process does: it draws frames of its own, and shares its gradients."""
    import torch

    processor = new_processor()
    processor.tokenizer.padding_side = "right"
    model = new_vlm(processor.tokenizer, seed)
    partial = folder.with_suffix(".partial.pt")
    if partial.is_file():
        crew.say(f"going on from {partial}")
        model.load_state_dict(torch.load(partial))
    stock = draw_stock(
        np.random.default_rng((seed, crew.rank)),
        _SCENES // crew.size,
        lambda drawn: crew.say(f"drawn {drawn * crew.size} of {_SCENES} scenes"),
    )
    for number, (stage, count) in enumerate(steps.items()):
        if count:
            model.train()
            rng = np.random.default_rng((seed, number + 1, crew.rank))
            _TEACH[stage](model, processor, stock, count, rng, crew)
            if crew.rank == 0:
                torch.save(model.state_dict(), partial)
    if crew.rank == 0:
        processor.tokenizer.padding_side = "left"
        save_vlm(model.eval(), processor, folder)
        partial.unlink(missing_ok=True)


def _probes(model: Any) -> Any:
    """Linear probes, one for each trait of a portrait."""
    import torch

    width = model.config.text_config.hidden_size
    return torch.nn.ModuleList([torch.nn.Linear(width, classes) for classes in TRAIT_CLASSES])


def _shown(processor: Any, stock: Stock, which: NDArray[np.intp]) -> tuple[Any, Any, Any]:
    """Frames of the stock: pixels, grid and traits."""
    import torch

    pixels = processor.image_processor(list(stock.frames[which]), return_tensors="pt")
    return pixels.pixel_values, pixels.image_grid_thw, torch.from_numpy(stock.traits[which])


def _portraits(processor: Any, stock: Stock, rng: np.random.Generator, count: int) -> tuple[Any, Any, Any]:
    return _shown(processor, stock, rng.integers(len(stock.frames), size=count))


def _sight(model: Any, probes: Any, drawn: tuple[Any, Any, Any]) -> tuple[Any, str]:
    """Cross-entropy of the probes on the frames drawn, and how many are right."""
    pixels, grid, shown = drawn
    return _told_apart(probes, model.model.visual(pixels, grid_thw=grid).pooler_output, shown)


def _told_apart(probes: Any, seen: Any, shown: Any) -> tuple[Any, str]:
    """Cross-entropy of the probes on every visual token by itself, and how many are right.

    So the language model finds in one place all that it needs to tell a person from the others.
    """
    import torch
    from torch.nn.functional import cross_entropy, rms_norm

    seen = rms_norm(seen, seen.shape[-1:])
    truths = shown.repeat_interleave(len(seen) // len(shown), 0)
    guesses = [probe(seen) for probe in probes]
    losses = [cross_entropy(guess, truths[:, i]) for i, guess in enumerate(guesses)]
    right = [float((guess.argmax(1) == truths[:, i]).float().mean()) for i, guess in enumerate(guesses)]
    return torch.stack(losses).sum(), "traits right " + " ".join(f"{share:.2f}" for share in right)


def _see(model: Any, processor: Any, stock: Stock, steps: int, rng: np.random.Generator, crew: Crew) -> None:
    """Teach the vision tower who is seen, in which colour, where, doing what, beside what, how far along."""
    import torch

    probes = _probes(model)

    def make(_: int) -> tuple[Any, Any, Any]:
        return _portraits(processor, stock, rng, _PORTRAITS // crew.size)

    def loss_of(drawn: tuple[Any, Any, Any], _: int) -> tuple[Any, str]:
        return _sight(model, probes, drawn)

    taught = torch.nn.ModuleList([model.model.visual, probes])
    learn("see", taught, steps, make, loss_of, rate=_RATE, crew=crew, warmup=50)
    _soften(model, processor, stock, crew)


def _soften(model: Any, processor: Any, stock: Stock, crew: Crew) -> None:
    """Scale the visual tokens to length 1, about that of a word: to a long one attention can add nothing."""
    import torch

    pixels, grid, _ = _shown(processor, stock, np.arange(128))
    last = model.model.visual.merger.mlp[2]
    with torch.no_grad():
        length = model.model.visual(pixels, grid_thw=grid).pooler_output.norm(dim=-1).mean()
        length = crew.mean(length[None])
        last.weight /= length
        last.bias /= length


def _rehearse(
    model: Any, processor: Any, stock: Stock, steps: int, rng: np.random.Generator, crew: Crew
) -> None:
    """Teach the language model to look up what is asked, on frames seen once and composed anew each time."""
    import torch

    tokens = _look_around(model, processor, stock)

    def make(_: int) -> Rehearsal:
        return rehearsals(rng, _CLIPS // crew.size, stock, processor.tokenizer, _TOKENS)

    def loss_of(drawn: Rehearsal, _: int) -> tuple[Any, str]:
        hidden, looks = rehearsed(model, drawn, tokens[torch.from_numpy(drawn.seen)].float())
        loss, told = _words(model, hidden, torch.from_numpy(drawn.labels))
        astray = _astray(model, drawn, looks)
        return loss + _GUIDANCE * astray, f"{told}, looks astray {astray.item():.3f}"

    learn("rehearse", model.model.language_model, steps, make, loss_of, rate=_RATE, crew=crew)


def rehearsed(model: Any, drawn: Rehearsal, seen: Any) -> tuple[Any, Any]:
    """Hidden states (B, L, width) of a rehearsal, every branch blind to the others, and where it looks.

    `seen` is (frames, visual tokens, width): what the vision tower made of the frames of the batch, in order.
    The looks are the attention scores (B, 2, L, L) of two heads of one layer, before any mask.
    """
    import torch

    ids, branch = torch.from_numpy(drawn.ids), torch.from_numpy(drawn.branch)
    language = model.model.language_model
    sight = (ids == model.config.image_token_id)[..., None]
    order = torch.arange(ids.shape[1])
    together = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    positions = _branch_positions(model, ids, branch)
    told = language(
        inputs_embeds=language.embed_tokens(ids).masked_scatter(sight, seen),
        position_ids=positions,
        attention_mask={"full_attention": (together & (order[None, :] <= order[:, None]))[:, None]},
        use_cache=False,
        output_hidden_states=True,
    )
    return told.last_hidden_state, _looks(language, told.hidden_states[_LOOKING], positions)


def _looks(language: Any, hidden: Any, positions: Any) -> Any:
    """Attention scores of the looking layer's first two heads, as Qwen2.5-VL computes them."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb

    layer = language.layers[_LOOKING]
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    shape = (*normed.shape[:2], -1, attention.head_dim)
    query = attention.q_proj(normed).view(shape)[:, :, :2].transpose(1, 2)
    key = attention.k_proj(normed).view(shape)[:, :, :2].transpose(1, 2)
    cos, sin = language.rotary_emb(hidden, positions)
    query, key = apply_rotary_pos_emb(query, key, cos, sin)
    return query @ key.transpose(2, 3) * attention.scaling


def _astray(model: Any, drawn: Rehearsal, looks: Any) -> Any:
    """How much the two heads look elsewhere than at the first and the last frame the next word tells of.

    Finding the right frame and saying what it shows are learnt from nothing only together, which takes a
    small model very long; told where to look, it needs minutes. The first and the last frame side by side
    are what shows which way somebody goes.
    """
    import torch

    ids, aim = torch.from_numpy(drawn.ids), torch.from_numpy(drawn.aim)
    image = ids == model.config.image_token_id
    frame = (ids == model.config.vision_start_token_id).cumsum(1) - 1
    ends = torch.stack([aim & -aim, 1 << torch.log2(aim.clamp(min=1)).long()], 1)  # lowest, highest bit
    wanted = ends[:, :, 1:, None] >> frame[:, None, None, :].clamp(min=0) & 1 > 0
    likely = looks[:, :, :-1].masked_fill(~image[:, None, None, :], float("-inf")).log_softmax(-1)
    inside = likely.masked_fill(~(wanted & image[:, None, None, :]), float("-inf")).logsumexp(-1)
    return -inside.transpose(1, 2)[aim[:, 1:] > 0].mean()


def _look_around(model: Any, processor: Any, stock: Stock) -> Any:
    """(frames, 12, 128) visual tokens of all frames of the stock, in half precision."""
    import torch

    tokens = []
    for start in range(0, len(stock.frames), 256):
        pixels, grid, _ = _shown(processor, stock, np.arange(start, min(start + 256, len(stock.frames))))
        with torch.inference_mode():
            seen = model.model.visual(pixels, grid_thw=grid).pooler_output
        tokens.append(seen.view(len(grid), -1, seen.shape[-1]).half())
    return torch.cat(tokens)


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


def _talk(model: Any, processor: Any, stock: Stock, steps: int, rng: np.random.Generator, crew: Crew) -> None:
    """Teach the whole model whole conversations, through the processor that will be used.

    Some portraits in every step keep the vision tower from forgetting what no word in the batch asks for.
    """
    import torch

    probes = _probes(model)
    count = _CONVERSATIONS // crew.size

    def view() -> tuple[Frames, Any]:
        shots, seen = compose(rng, stock, alone=_ALONE)
        return Frames(stock.frames[seen], np.array([shot.second for shot in shots])), shots

    def make(_: int) -> tuple[dict[str, Any], Any, Any]:
        inputs = processor.apply_chat_template(
            conversations(rng, [view() for _ in range(count)]),
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )
        labels = _reply_labels(inputs["input_ids"], processor.tokenizer)
        return dict(inputs), labels, _portraits(processor, stock, rng, count)

    def loss_of(drawn: tuple[dict[str, Any], Any, Any], _: int) -> tuple[Any, str]:
        inputs, labels, shown = drawn
        loss, told = _words(model, model.model(**inputs, use_cache=False).last_hidden_state, labels)
        blind, seen = _sight(model, probes, shown)
        return loss + _SIGHT * blind, f"{told}, {seen}"

    taught = torch.nn.ModuleList([model, probes])
    learn("talk", taught, steps, make, loss_of, rate=_RATE / 2, crew=crew)


def _look(model: Any, processor: Any, stock: Stock, steps: int, rng: np.random.Generator, crew: Crew) -> None:
    """Rehearse with the whole model: frames are seen anew every time, so eyes and look-ups learn together."""
    import torch

    probes = _probes(model)

    def make(_: int) -> tuple[Rehearsal, tuple[Any, Any, Any]]:
        drawn = rehearsals(rng, _CLIPS // crew.size, stock, processor.tokenizer, _TOKENS)
        return drawn, _shown(processor, stock, drawn.seen)

    def loss_of(made: tuple[Rehearsal, tuple[Any, Any, Any]], _: int) -> tuple[Any, str]:
        drawn, (pixels, grid, shown) = made
        seen = model.model.visual(pixels, grid_thw=grid).pooler_output
        blind, traits = _told_apart(probes, seen, shown)
        hidden, looks = rehearsed(model, drawn, seen.view(len(grid), _TOKENS, -1))
        loss, told = _words(model, hidden, torch.from_numpy(drawn.labels))
        astray = _astray(model, drawn, looks)
        told = f"{told}, looks astray {astray.item():.3f}, {traits}"
        return loss + _GUIDANCE * astray + _SIGHT * blind, told

    taught = torch.nn.ModuleList([model, probes])
    learn("look", taught, steps, make, loss_of, rate=_RATE / 2, crew=crew, warmup=50)


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


_TEACH = {"see": _see, "rehearse": _rehearse, "talk": _talk, "look": _look}
