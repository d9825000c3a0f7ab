"""How the embedded models are trained: the stock of frames, lessons made of it, processes side by side."""

from __future__ import annotations

import copy
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.cartoon.train.loop import Crew, learn
from keyframe_llm.cartoon.train.samples import filmed
from keyframe_llm.cartoon.train.stock import FRAME_SIZE, compose, draw_stock
from keyframe_llm.cartoon.world.scenes import (
    ACTIONS,
    COLOURS,
    MOVING,
    PLACES,
    SUBJECTS,
    SceneFrame,
    random_scene,
)


def test_a_composed_clip_shows_the_stocks_frames_with_the_right_people() -> None:
    rng = np.random.default_rng(6)
    stock = draw_stock(rng, 60)
    alike = 0
    for _ in range(40):
        shots, seen = compose(rng, stock, alone=0.0)
        assert [shot.second for shot in shots] == sorted(shot.second for shot in shots)
        people = {shot.scene.start: (shot.scene.subject, shot.scene.colour) for shot in shots}
        assert len(set(people.values())) == len(people)
        first, *others = people.values()
        alike += all(other[0] == first[0] or other[1] == first[1] for other in others)
        for shot, frame in zip(shots, seen, strict=True):
            subject, colour, place, action, _, stretch = stock.traits[frame]
            assert (SUBJECTS[subject], COLOURS[colour]) == people[shot.scene.start]
            assert (PLACES[place], ACTIONS[action]) == (shot.scene.place, shot.scene.action)
            assert (stretch < 5) == (shot.scene.action in MOVING)
    assert 0 < alike < 40


def test_a_stocks_frame_is_what_the_processor_makes_of_the_picture() -> None:
    from keyframe_llm.cartoon.train.models import new_processor

    rng, processor = np.random.default_rng(7), new_processor().image_processor
    for _ in range(6):
        picture = np.array(filmed(rng, SceneFrame(random_scene(rng), 1.0)))
        frame = np.array(Image.fromarray(picture).resize(FRAME_SIZE, Image.Resampling.BICUBIC))
        once, again = (processor([image], return_tensors="pt") for image in (picture, frame))
        assert once.image_grid_thw.tolist() == again.image_grid_thw.tolist() == [[1, 6, 8]]
        # A step of one in 255 is 0.015 after the processor's scaling.
        assert float((once.pixel_values - again.pixel_values).abs().max()) < 0.03


def _messages(text: str) -> list[dict[str, Any]]:
    """A conversation in chat format, from the text that the template made of it."""
    messages = []
    for turn in text.split("<|im_start|>")[1:]:
        role, said = turn.strip().removesuffix("<|im_end|>").split(maxsplit=1)
        parts = re.split(r"<\|vision_start\|>(?:<\|image_pad\|>)+<\|vision_end\|>", said)
        content: list[dict[str, str]] = [{"type": "text", "text": parts[0]}]
        for part in parts[1:]:
            content += [{"type": "image"}, {"type": "text", "text": part}]
        messages.append({"role": role, "content": content})
    return messages


def test_what_is_rehearsed_side_by_side_is_seen_as_if_asked_alone() -> None:
    """Oracle: every conversation on its own, through the processor and the model's usual way."""
    import torch

    from keyframe_llm.cartoon.train.models import new_processor, new_vlm
    from keyframe_llm.cartoon.train.rehearsal import rehearsals
    from keyframe_llm.cartoon.train.vlm import rehearsed

    rng = np.random.default_rng(0)
    processor = new_processor()
    model = new_vlm(processor.tokenizer).eval()
    stock = draw_stock(rng, 20)
    shown = list(stock.frames)
    pixels = processor.image_processor(shown, return_tensors="pt")
    drawn = rehearsals(rng, 3, stock, processor.tokenizer, 12)
    turns = []
    with torch.inference_mode():
        tokens = model.model.visual(pixels.pixel_values, grid_thw=pixels.image_grid_thw).pooler_output
        hidden, astray, deaf = rehearsed(model, drawn, tokens.view(len(shown), 12, -1)[drawn.seen])
        seen = iter(drawn.seen)
        for row in range(3):
            mine = drawn.row == row
            starts = drawn.ids[mine] == model.config.vision_start_token_id
            images = [shown[next(seen)] for _ in range(starts.sum())]
            for number in range(1, drawn.branch[mine].max() + 1):
                branch = mine & (drawn.branch == number)
                alone = drawn.ids[mine & (drawn.branch == 0) | branch]
                messages = _messages(processor.tokenizer.decode(alone))
                turns.append(len(messages))
                whole = processor.apply_chat_template(messages, tokenize=False)
                inputs = processor(text=whole.rstrip("\n"), images=images, return_tensors="pt")
                assert inputs["input_ids"][0].tolist() == alone.tolist()
                out = model.model(**inputs, use_cache=False).last_hidden_state[0, -branch.sum() :]
                assert torch.allclose(out, hidden[torch.from_numpy(branch)], atol=1e-4)
                said = drawn.ids[branch][drawn.labels[branch] >= 0]
                replies = [part["content"][0]["text"] for part in messages if part["role"] == "assistant"]
                assert processor.tokenizer.decode(said, skip_special_tokens=True).split() == (
                    " ".join(replies).split()
                )
    assert next(seen, None) is None
    assert set(turns) > {2, 4}
    assert float(astray) > 0 and float(deaf) > 0


def test_a_caption_aims_from_every_comma_on_at_the_scene_it_then_tells_of() -> None:
    from keyframe_llm.cartoon.train.models import new_processor
    from keyframe_llm.cartoon.train.rehearsal import rehearsals

    tokenizer, rng = new_processor().tokenizer, np.random.default_rng(3)
    stock = draw_stock(rng, 60)
    drawn = rehearsals(rng, 8, stock, tokenizer, 12)
    clip_of_frame = drawn.row[drawn.ids == tokenizer.convert_tokens_to_ids("<|vision_start|>")]
    told = 0
    for part in np.unique(drawn.part):
        reply = (drawn.part == part) & (drawn.labels >= 0)
        words, aims = tokenizer.convert_ids_to_tokens(drawn.ids[reply]), drawn.aim[reply]
        commas = [i for i, word in enumerate(words) if word == ","]
        if not commas:
            continue
        told += 1
        frames = drawn.seen[clip_of_frame == drawn.row[reply][0]]
        for start, end in pairwise([0, *commas, len(words)]):
            (aim,) = set(aims[start:end])
            for frame in frames[[bool(aim >> i & 1) for i in range(len(frames))]]:
                subject, colour = stock.traits[frame, :2]
                assert {"▁" + SUBJECTS[subject], "▁" + COLOURS[colour]} <= set(words[start:end])
        assert np.bitwise_or.reduce(aims) == 2 ** len(frames) - 1
    assert told > 2


def test_who_looks_everywhere_is_astray_by_the_log_of_the_frames() -> None:
    """Whoever looks at all frames alike is astray by the logarithm of their number; so too with words.

    Questions that name nobody weigh as much as all that else is said.
    """
    import torch

    from keyframe_llm.cartoon.train.models import new_processor, new_vlm
    from keyframe_llm.cartoon.train.rehearsal import rehearsals
    from keyframe_llm.cartoon.train.vlm import rehearsed

    processor, rng = new_processor(), np.random.default_rng(2)
    model = new_vlm(processor.tokenizer)
    drawn = rehearsals(rng, 2, draw_stock(rng, 20), processor.tokenizer, 12)
    for layer in model.model.language_model.layers[1:3]:
        with torch.no_grad():
            for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                part.weight.zero_(), part.bias.zero_()
    _, astray, deaf = rehearsed(model, drawn, torch.zeros(len(drawn.seen), 12, 128))
    logs: dict[bool, list[float]] = {True: [], False: []}
    for i in np.flatnonzero(drawn.aim > 0):
        starts = drawn.ids[drawn.row == drawn.row[i]] == model.config.vision_start_token_id
        said = processor.tokenizer.decode(drawn.ids[(drawn.part == drawn.part[i]) & (drawn.labels < 0)])
        logs["who " in said and "seen first" not in said].append(np.log(starts.sum()))
    assert np.isclose(astray.item(), np.mean([np.mean(kind) for kind in logs.values()]), atol=1e-4)
    one_in = []
    for i in np.flatnonzero(drawn.aim[1:] > 0):
        names = (drawn.named[drawn.part == drawn.part[i]] > 0).sum()
        same_talk = (drawn.row == drawn.row[i]) & (drawn.branch == drawn.branch[i])
        one_in += [same_talk[: i + 1].sum() / names] if names else []
    assert np.isclose(deaf.item(), np.log(one_in).mean(), atol=1e-4)


def test_a_visual_token_that_is_the_sum_of_its_words_is_told_apart_and_no_other() -> None:
    import torch

    from keyframe_llm.cartoon.train.models import new_processor, new_vlm
    from keyframe_llm.cartoon.train.vlm import _told_apart, _trait_ids

    processor = new_processor()
    model = new_vlm(processor.tokenizer)
    words = _trait_ids(processor)
    every = [word for ids in words for word in ids]
    assert None not in every
    assert processor.tokenizer.unk_token_id not in every
    assert len(set(every)) == 4 + 8 + 6 + 11 + 9
    shown = torch.stack([torch.randint(len(ids), (16,)) for ids in words] + [torch.zeros(16, dtype=int)], 1)
    embedded = torch.nn.functional.normalize(model.model.language_model.embed_tokens.weight.detach(), dim=-1)
    sums = sum(embedded[torch.tensor(ids)[shown[:, i]]] for i, ids in enumerate(words))
    stretch = torch.nn.Linear(128, 6)
    _, told = _told_apart(model, words, stretch, sums.repeat_interleave(12, 0), shown)
    assert all(float(share) > 0.8 for share in told.split()[2:7])
    _, told = _told_apart(model, words, stretch, sums.flip(0).repeat_interleave(12, 0), shown)
    assert all(float(share) < 0.8 for share in told.split()[2:7])


def test_processes_that_train_together_share_the_mean() -> None:
    """Threads stand in for the processes: what they share is memory and a barrier either way."""
    import torch

    board, barrier = torch.zeros(3, 5), threading.Barrier(3)
    crews = [Crew(rank, 3, board, barrier) for rank in range(3)]

    def twice(crew: Crew) -> list[float]:
        once = crew.mean(torch.full((4,), float(crew.rank)))
        return (once + crew.mean(torch.full((4,), 10.0 * crew.rank))).tolist()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(twice, crews)) == [[11.0] * 4] * 3


def test_two_processes_learn_what_one_does_from_their_batches_together() -> None:
    import torch

    torch.manual_seed(0)
    rows, wanted = torch.randn(8, 64), torch.randn(8, 64)
    begun = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(3)))

    def lesson(crew: Crew) -> Any:
        module = copy.deepcopy(begun)
        mine = slice(None) if crew.size == 1 else slice(4 * crew.rank, 4 * crew.rank + 4)

        def loss_of(_: object, step: int) -> tuple[Any, str]:
            return ((module(rows[mine]) - wanted[mine]) ** 2).mean(), ""

        learn("lesson", module, 5, lambda step: None, loss_of, rate=1e-3, crew=crew, warmup=1)
        return [weights.detach() for weights in module.parameters()]

    board, barrier = torch.zeros(2, 13_000), threading.Barrier(2)
    alone = lesson(Crew())
    with ThreadPoolExecutor(2) as pool:
        for together in pool.map(lesson, [Crew(rank, 2, board, barrier) for rank in range(2)]):
            for mine, theirs, before in zip(alone, together, begun.parameters(), strict=True):
                assert torch.allclose(mine, theirs, atol=1e-4)
                assert not torch.allclose(mine, before, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--evaluate", "--out", "nowhere"], "nowhere/clip"),
        (["--evaluate", "--out", "nowhere", "--only", "vlm"], "nowhere/qwen2_5_vl"),
        (["--evaluate", "--clips", "0"], "--clips is 0; give 1 or more"),
        (["--out", "taken/weights"], "--out is 'taken/weights': Not a directory; give a folder"),
        (["--look-steps", "-5"], "--look-steps is -5; give 0 or more"),
        (["--processes", "0"], "--processes is 0; give 1 or more"),
    ],
)
def test_a_mistake_costs_one_line(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from keyframe_llm.cartoon.train.__main__ import main

    monkeypatch.chdir(tmp_path)
    Path("taken").touch()
    try:
        status = main(arguments)
    except SystemExit as end:  # argparse's way
        status = int(end.code or 0)
    assert status == 2
    assert says in capsys.readouterr().err.splitlines()[-1]
