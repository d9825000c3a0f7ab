"""How the small Qwen2.5-VL is trained: to see, to look things up, and to look things up as it sees.

Words alone are a weak teacher of sight. So the vision tower learns the traits of single frames; the language
model then learns to look up what is asked among frames seen once; and last the whole model learns that, eyes
and all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.train.branches import Branches, branches_of, branching
from keyframe_llm.cartoon.train.loop import Crew, learn, train_together
from keyframe_llm.cartoon.train.models import new_processor, new_vlm, save_vlm
from keyframe_llm.cartoon.train.rehearsal import ELSE, Rehearsal, rehearsals
from keyframe_llm.cartoon.train.stock import GLIMPSES, STRETCHES, Stock, draw_stock
from keyframe_llm.cartoon.world.language import trait_words

__all__ = ["STAGES", "rehearsed", "train_vlm"]

STAGES = {"see": 1000, "rehearse": 1500, "look": 3300}
"""The stages in order, and the steps each takes."""
_SCENES = 45_000
_PORTRAITS, _CLIPS = 128, 16
"""What a step sees, all processes together: single frames in the first stage, clips in the others."""
_RATE = 1.5e-3
_SHARPNESS = 2.0
"""What a visual token's likeness to words is multiplied by, to tell one from the others."""
_STRETCH = 3.0
"""Weight of how far along somebody is among the traits: a walker's place is learnt last, and by itself."""
_TOKENS = 12
"""Visual tokens of a frame."""
_REHEARSED = 3
"""One scene in so many is seen once and rehearsed."""
_LOOKING = 2
"""The layer that learns to look at the frame asked about."""
_GUIDANCE = 0.6
"""Weight of being told where to look, and which words to listen to."""
_SIGHT = 0.1
"""Weight of the traits while words are learnt: no word in a batch may ask for what the eyes then forget."""


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


def _stretch_probe(model: Any) -> Any:
    """A linear probe for how far along somebody is, which no word tells."""
    import torch

    return torch.nn.Linear(model.config.text_config.hidden_size, STRETCHES + 1)


def _shown(processor: Any, stock: Stock, which: NDArray[np.intp]) -> tuple[Any, Any, Any]:
    """Frames of the stock: pixels, grid and traits."""
    import torch

    pixels = processor.image_processor(list(stock.frames[which]), return_tensors="pt")
    return pixels.pixel_values, pixels.image_grid_thw, torch.from_numpy(stock.traits[which])


def _told_apart(
    model: Any, words: Sequence[list[int]], stretch: Any, seen: Any, shown: Any
) -> tuple[Any, str]:
    """Cross-entropy of the traits of every visual token by itself, and how many are right.

    Each visual token is to be like the embeddings of the `words` for what its frame shows. So the language
    model finds in one place all that it needs to tell a person from the others, and a word finds its like.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize, rms_norm

    seen = rms_norm(seen, seen.shape[-1:])
    truths = shown.repeat_interleave(len(seen) // len(shown), 0)
    embeddings = normalize(model.model.language_model.embed_tokens.weight.detach(), dim=-1)
    guesses = [_SHARPNESS * seen @ embeddings[ids].T for ids in words] + [stretch(seen)]
    losses = [cross_entropy(guess, truths[:, i]) for i, guess in enumerate(guesses)]
    losses[-1] *= _STRETCH
    right = [float((guess.argmax(1) == truths[:, i]).float().mean()) for i, guess in enumerate(guesses)]
    return torch.stack(losses).sum(), "traits right " + " ".join(f"{share:.2f}" for share in right)


def _trait_ids(processor: Any) -> list[list[int]]:
    """The tokens of the words for every trait."""
    return [
        processor.tokenizer.convert_tokens_to_ids(["▁" + word for word in words]) for words in trait_words()
    ]


def _see(model: Any, processor: Any, stock: Stock, steps: int, rng: np.random.Generator, crew: Crew) -> None:
    """Teach the vision tower who is seen, in which colour, where, doing what, beside what, how far along."""
    import torch

    words, stretch = _trait_ids(processor), _stretch_probe(model)

    def make(_: int) -> tuple[Any, Any, Any]:
        return _shown(processor, stock, rng.integers(len(stock.frames), size=_PORTRAITS // crew.size))

    def loss_of(drawn: tuple[Any, Any, Any], _: int) -> tuple[Any, str]:
        pixels, grid, shown = drawn
        seen = model.model.visual(pixels, grid_thw=grid).pooler_output
        return _told_apart(model, words, stretch, seen, shown)

    taught = torch.nn.ModuleList([model.model.visual, stretch])
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

    shown = replace(stock, scenes=stock.scenes[: len(stock.scenes) // _REHEARSED])
    tokens = _look_around(model, processor, shown)

    def make(_: int) -> Rehearsal:
        return rehearsals(rng, _CLIPS // crew.size, shown, processor.tokenizer, _TOKENS)

    def loss_of(drawn: Rehearsal, _: int) -> tuple[Any, str]:
        hidden, astray, deaf = rehearsed(model, drawn, tokens[torch.from_numpy(drawn.seen)].float())
        loss, told = _words(model, hidden, torch.from_numpy(drawn.labels))
        return loss + _GUIDANCE * (astray + deaf), f"{told}, {_told_of_looks(astray, deaf)}"

    learn("rehearse", model.model.language_model, steps, make, loss_of, rate=_RATE, crew=crew)


def _told_of_looks(astray: Any, deaf: Any) -> str:
    return f"looks astray {astray.item():.3f}, deaf to names {deaf.item():.3f}"


def rehearsed(model: Any, drawn: Rehearsal, seen: Any) -> tuple[Any, Any, Any]:
    """Hidden states (T, width) of a rehearsal, every branch blind to the others, and two kinds of erring.

    How far looks go astray from the frames that the next word tells of, and how far from the words that name
    whom or what is asked about: both the mean negative log of the attention that goes where it should.
    `seen` is (frames, visual tokens, width): what the vision tower made of the frames of the batch, in order.
    """
    import torch

    ids = torch.from_numpy(drawn.ids)
    branches = branches_of(torch.from_numpy(drawn.row), torch.from_numpy(drawn.branch))
    language = model.model.language_model
    sight = (ids == model.config.image_token_id)[:, None]
    positions = _positions(model, ids, branches)
    with branching(language):
        told = language(
            inputs_embeds=language.embed_tokens(ids).masked_scatter(sight, seen)[None],
            position_ids=positions,
            attention_mask={"full_attention": branches},
            use_cache=False,
            output_hidden_states=True,
        )
    astray = _astray(model, drawn, branches, told.hidden_states[_LOOKING], positions)
    deaf = _deaf(model, drawn, told.hidden_states[_LOOKING - 1], positions)
    return told.last_hidden_state[0], astray, deaf


def _astray(model: Any, drawn: Rehearsal, branches: Branches, hidden: Any, positions: Any) -> Any:
    """How much two heads of the looking layer look elsewhere than at what the next word tells of.

    Finding the right frame and saying what it shows are learnt from nothing only together, which takes a
    small model very long; told where to look, it needs minutes. One head is told to look at the first frame
    of the scene, the other at the last: side by side, they show which way somebody goes. "Who is in the
    kitchen?" and its like, few of what is asked, weigh as much as all else: else they are learnt last.
    """
    import torch

    query, key = _heads(model, _LOOKING, 2, hidden, positions)
    aims = torch.from_numpy(drawn.aim)
    asking = aims[1:].nonzero()[:, 0]
    aim, row = aims[asking + 1], torch.from_numpy(drawn.row)[asking]
    ids = torch.from_numpy(drawn.ids)[branches.trunks.places]
    image = (ids == model.config.image_token_id) & branches.trunks.held
    frame = ((ids == model.config.vision_start_token_id).cumsum(1) - 1).clamp(min=0)
    shown = key[:, branches.trunks.places].transpose(0, 1)  # (clips, 2, trunk, width)
    looks = torch.einsum("had,ahtd->aht", query[:, asking], shown[row])
    ends = torch.stack([aim & -aim, 1 << torch.log2(aim).long()], 1)  # lowest, highest bit
    wanted = (ends[:, :, None] >> frame[row, None]) & 1 > 0
    likely = looks.masked_fill(~image[row, None], float("-inf")).log_softmax(-1)
    inside = likely.masked_fill(~(wanted & image[row, None]), float("-inf")).logsumexp(-1)
    by_else = _named_by_else(drawn)[asking]
    return -torch.stack([inside[kind].mean() for kind in (by_else, ~by_else) if kind.any()]).mean()


def _named_by_else(drawn: Rehearsal) -> Any:
    """(T,) whether a token is of a question that names no person, but what is done, where, or beside what."""
    import torch

    part, named = torch.from_numpy(drawn.part), torch.from_numpy(drawn.named)
    most = torch.zeros(int(part.max()) + 1, dtype=named.dtype).scatter_reduce(0, part, named, "amax")
    return most[part] == ELSE


def _deaf(model: Any, drawn: Rehearsal, hidden: Any, positions: Any) -> Any:
    """How much a head of the layer before looks elsewhere in its talk than at the words that name a scene.

    Told so, it had 98 % of a batch's words right after 1,500 steps of rehearsal; without, 96 % after 2,600.
    """
    import torch

    part, named = torch.from_numpy(drawn.part), torch.from_numpy(drawn.named) > 0
    names = torch.zeros(int(part.max()) + 1, dtype=torch.bool).index_fill(0, part[named], True)
    asking = ((torch.from_numpy(drawn.aim)[1:] > 0) & names[part[1:]]).nonzero()[:, 0]
    spoken = torch.from_numpy(drawn.branch).nonzero()[:, 0]
    query, key = _heads(model, _LOOKING - 1, 1, hidden, positions)
    talk = torch.from_numpy(drawn.row * len(drawn.row) + drawn.branch)
    seen = (talk[asking, None] == talk[spoken]) & (spoken <= asking[:, None])
    wanted = (part[asking, None] == part[spoken]) & named[spoken]
    looks = query[0, asking] @ key[0, spoken].T
    likely = looks.masked_fill(~seen, float("-inf")).log_softmax(-1)
    return -likely.masked_fill(~wanted, float("-inf")).logsumexp(-1).mean()


def _heads(model: Any, number: int, count: int, hidden: Any, positions: Any) -> tuple[Any, Any]:
    """Queries and keys (count, T, width) of a layer's first heads.

    Their products are the attention scores before any mask, as Qwen2.5-VL computes them.
    """
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb

    language = model.model.language_model
    layer = language.layers[number]
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    query, key = (
        project(normed).view(1, hidden.shape[1], -1, attention.head_dim)[:, :, :count].transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj)
    )
    query, key = apply_rotary_pos_emb(query, key, *language.rotary_emb(hidden, positions))
    return query[0] * attention.scaling, key[0]


def _look_around(model: Any, processor: Any, stock: Stock) -> Any:
    """(frames, 12, 128) visual tokens of all frames of the stock's scenes, in half precision."""
    import torch

    tokens = []
    frames = len(stock.scenes) * GLIMPSES
    for start in range(0, frames, 256):
        pixels, grid, _ = _shown(processor, stock, np.arange(start, min(start + 256, frames)))
        with torch.inference_mode():
            seen = model.model.visual(pixels, grid_thw=grid).pooler_output
        tokens.append(seen.view(len(grid), -1, seen.shape[-1]).half())
    return torch.cat(tokens)


def _positions(model: Any, ids: Any, branches: Branches) -> Any:
    """(3, 1, T) rotary positions: those of the trunks, and every branch going on from its trunk's end."""
    import torch

    held, places = branches.trunks.held, branches.trunks.places
    image = (ids[places] == model.config.image_token_id).int()
    shown = int((ids == model.config.vision_start_token_id).sum())
    grid = torch.tensor([[1, 6, 8]]).expand(shown, 3)
    trunk, _ = model.model.get_rope_index(ids[places], image, grid, attention_mask=held.int())
    end = (trunk * held).amax((0, 2)) + 1
    positions = branches.offset.expand(3, -1).clone()
    for group, _ in branches.groups:
        positions[:, group.places[group.held]] += end[group.row, None].expand_as(group.held)[group.held]
    positions[:, places[held]] = trunk[:, held]
    return positions[:, None]


def _look(model: Any, processor: Any, stock: Stock, steps: int, rng: np.random.Generator, crew: Crew) -> None:
    """Rehearse with the whole model: frames are seen anew every time, so eyes and look-ups learn together."""
    import torch

    words, stretch = _trait_ids(processor), _stretch_probe(model)

    def make(_: int) -> tuple[Rehearsal, tuple[Any, Any, Any]]:
        drawn = rehearsals(rng, _CLIPS // crew.size, stock, processor.tokenizer, _TOKENS)
        return drawn, _shown(processor, stock, drawn.seen)

    def loss_of(made: tuple[Rehearsal, tuple[Any, Any, Any]], _: int) -> tuple[Any, str]:
        drawn, (pixels, grid, shown) = made
        seen = model.model.visual(pixels, grid_thw=grid).pooler_output
        blind, traits = _told_apart(model, words, stretch, seen, shown)
        hidden, astray, deaf = rehearsed(model, drawn, seen.view(len(grid), _TOKENS, -1))
        loss, told = _words(model, hidden, torch.from_numpy(drawn.labels))
        told = f"{told}, {_told_of_looks(astray, deaf)}, {traits}"
        return loss + _GUIDANCE * (astray + deaf) + _SIGHT * blind, told

    taught = torch.nn.ModuleList([model, stretch])
    learn("look", taught, steps, make, loss_of, rate=_RATE / 2, crew=crew, warmup=50)


def _words(model: Any, hidden: Any, labels: Any) -> tuple[Any, str]:
    """Cross-entropy over the words of the assistant alone, of T tokens."""
    from torch.nn.functional import cross_entropy

    target = labels[1:]  # of the last word of a clip, the next clip's first: no word of the assistant
    said = target != -100
    logits = model.lm_head(hidden[:-1][said])
    right = (logits.argmax(-1) == target[said]).float().mean()
    return cross_entropy(logits, target[said]), f"words right {float(right):.4f}"


_TEACH = {"see": _see, "rehearse": _rehearse, "look": _look}
