"""How the embedded models are trained: the stock of frames, lessons made of it, processes side by side."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from keyframe_llm.cartoon.samples import conversations, filmed
from keyframe_llm.cartoon.stock import FRAME_SIZE, compose, draw_stock
from keyframe_llm.cartoon.training import Crew, learn
from keyframe_llm.cartoon.world import ACTIONS, COLOURS, MOVING, PLACES, SUBJECTS, Shot, random_scene
from keyframe_llm.data import Frames


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
    from keyframe_llm.cartoon.models import new_processor

    rng, processor = np.random.default_rng(7), new_processor().image_processor
    for _ in range(6):
        picture = np.array(filmed(rng, Shot(random_scene(rng), 1.0)))
        frame = np.array(Image.fromarray(picture).resize(FRAME_SIZE, Image.Resampling.BICUBIC))
        once, again = (processor([image], return_tensors="pt") for image in (picture, frame))
        assert once.image_grid_thw.tolist() == again.image_grid_thw.tolist() == [[1, 6, 8]]
        # A step of one in 255 is 0.015 after the processor's scaling.
        assert float((once.pixel_values - again.pixel_values).abs().max()) < 0.03


def test_conversations_put_each_frames_time_before_it() -> None:
    rng = np.random.default_rng(5)
    stock = draw_stock(rng, 20)
    views = [compose(rng, stock, alone=0.3) for _ in range(8)]
    shown = [
        (Frames(stock.frames[seen], np.array([s.second for s in shots])), shots) for shots, seen in views
    ]
    for messages in conversations(rng, shown):
        assert messages[0]["role"] == "user"
        kinds = [part["type"] for part in messages[0]["content"]]
        assert kinds[:-1:2] == ["text"] * (len(kinds) // 2)
        assert kinds[1::2] == ["image"] * (len(kinds) // 2)
        assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2)


def test_what_is_rehearsed_side_by_side_is_seen_as_if_asked_alone() -> None:
    """Oracle: every branch on its own, behind its frames, through the model's usual way."""
    import torch

    from keyframe_llm.cartoon.models import new_processor, new_vlm
    from keyframe_llm.cartoon.rehearsal import rehearsals
    from keyframe_llm.cartoon.training_vlm import rehearsed

    rng = np.random.default_rng(0)
    processor = new_processor()
    model = new_vlm(processor.tokenizer).eval()
    stock = draw_stock(rng, 20)
    shown = list(stock.frames)
    pixels = processor.image_processor(shown, return_tensors="pt")
    drawn = rehearsals(rng, 2, stock, processor.tokenizer, 12)
    with torch.inference_mode():
        tokens = model.model.visual(pixels.pixel_values, grid_thw=pixels.image_grid_thw).pooler_output
        hidden, _ = rehearsed(model, drawn, tokens.view(len(shown), 12, -1)[drawn.seen])
        compared = 0
        for row, (ids, branch) in enumerate(zip(drawn.ids, drawn.branch, strict=True)):
            frames = (ids == model.config.vision_start_token_id).sum()
            mine = [int(i) for i in drawn.seen[compared : compared + frames]]
            compared += frames
            for number in range(1, branch.max() + 1):
                alone = torch.from_numpy(ids[(branch == 0) | (branch == number)])[None]
                inputs = processor.image_processor([shown[i] for i in mine], return_tensors="pt")
                kinds = (alone == model.config.image_token_id).int()
                out = model.model(input_ids=alone, mm_token_type_ids=kinds, **inputs, use_cache=False)
                asked = int((branch == number).sum())
                together = hidden[row][torch.from_numpy(branch == number)]
                assert torch.allclose(out.last_hidden_state[0, -asked:], together, atol=1e-4)
    assert compared == len(drawn.seen) > 0


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

    rows, wanted = torch.randn(8, 64), torch.randn(8, 64)

    def lesson(crew: Crew) -> Any:
        module = torch.nn.Linear(64, 64)
        with torch.no_grad():
            module.weight.fill_(0.01), module.bias.fill_(0.0)
        mine = slice(None) if crew.size == 1 else slice(4 * crew.rank, 4 * crew.rank + 4)

        def loss_of(_: object, step: int) -> tuple[Any, str]:
            return ((module(rows[mine]) - wanted[mine]) ** 2).mean(), ""

        learn("lesson", module, 5, lambda step: None, loss_of, rate=1e-2, crew=crew, warmup=1)
        return module.weight.detach()

    board, barrier = torch.zeros(2, 5000), threading.Barrier(2)
    alone = lesson(Crew())
    with ThreadPoolExecutor(2) as pool:
        for together in pool.map(lesson, [Crew(rank, 2, board, barrier) for rank in range(2)]):
            assert torch.allclose(together, alone, atol=1e-4)
    assert not torch.allclose(alone, torch.full_like(alone, 0.01), atol=1e-3)
