"""How the embedded models are trained: the pool of frames, packed batches, processes side by side."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.cartoon.train.frame_pool import FRAME_SIZE, PATH_BINS, FramePool, compose_clip, draw_pool
from keyframe_llm.cartoon.train.loop import train_module
from keyframe_llm.cartoon.train.packed_batch import PackedBatch, pack_batch
from keyframe_llm.cartoon.train.process_group import SINGLE_PROCESS, ProcessGroup
from keyframe_llm.cartoon.train.samples import compressed_picture
from keyframe_llm.cartoon.world.scenes import (
    ACTIONS,
    COLOURS,
    MOVING,
    PLACES,
    SUBJECTS,
    SceneFrame,
    random_scene,
)

ROUNDINGS = 1000
"""What bounds on float32 results allow, in units of the last bit: rounding costs tens, a fault a million."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are faster with one thread, and many times so where other programs use the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pool() -> FramePool:
    return draw_pool(np.random.default_rng(6), 60)


@pytest.fixture(scope="module")
def processor() -> Any:
    from keyframe_llm.cartoon.train.models import new_processor

    return new_processor()


@pytest.fixture
def model(processor: Any) -> Any:
    from keyframe_llm.cartoon.train.models import new_vlm

    return new_vlm(processor.tokenizer).eval()


def last_bits(values: Any) -> float:
    """`ROUNDINGS` times the last bit of the largest of some float32 values."""
    return ROUNDINGS * float(np.finfo(np.float32).eps) * float(abs(values).max())


def test_a_composed_clip_shows_frames_of_the_pool_with_the_right_people(pool: FramePool) -> None:
    rng, alike = np.random.default_rng(6), 0
    for _ in range(40):
        frames, indices = compose_clip(rng, pool, single_scene=0.0)
        assert [frame.second for frame in frames] == sorted(frame.second for frame in frames)
        people = {frame.scene.start: (frame.scene.subject, frame.scene.colour) for frame in frames}
        assert len(set(people.values())) == len(people)
        first, *others = people.values()
        alike += all(other[0] == first[0] or other[1] == first[1] for other in others)
        for frame, index in zip(frames, indices, strict=True):
            subject, colour, place, action, _, part = pool.traits[index]
            assert (SUBJECTS[subject], COLOURS[colour]) == people[frame.scene.start]
            assert (PLACES[place], ACTIONS[action]) == (frame.scene.place, frame.scene.action)
            assert (part < PATH_BINS) == (frame.scene.action in MOVING)
    assert 0 < alike < 40


def test_a_picture_of_the_pool_is_what_the_processor_makes_of_the_frame(processor: Any) -> None:
    rng = np.random.default_rng(7)
    for _ in range(6):
        picture = np.array(compressed_picture(rng, SceneFrame(random_scene(rng), 1.0)))
        small = np.array(Image.fromarray(picture).resize(FRAME_SIZE, Image.Resampling.BICUBIC))
        once, again = (processor.image_processor([image], return_tensors="pt") for image in (picture, small))
        assert once.image_grid_thw.tolist() == again.image_grid_thw.tolist() == [[1, 6, 8]]
        # A step of one in 255 is 0.015 after the processor's scaling.
        assert float((once.pixel_values - again.pixel_values).abs().max()) < 0.03


# Packed batches -----------------------------------------------------------------------------------------


def chat_messages(text: str) -> list[dict[str, Any]]:
    """A conversation in chat format, from the text that the template made of it."""
    messages = []
    for turn in text.split("<|im_start|>")[1:]:
        role, words = turn.strip().removesuffix("<|im_end|>").split(maxsplit=1)
        parts = re.split(r"<\|vision_start\|>(?:<\|image_pad\|>)+<\|vision_end\|>", words)
        content: list[dict[str, str]] = [{"type": "text", "text": parts[0]}]
        for part in parts[1:]:
            content += [{"type": "image"}, {"type": "text", "text": part}]
        messages.append({"role": role, "content": content})
    return messages


def test_a_branch_of_a_packed_batch_has_the_hidden_states_of_that_conversation_alone(
    pool: FramePool, processor: Any, model: Any
) -> None:
    """Oracle: every conversation by itself, through the processor and the model's own forward pass."""
    import torch

    from keyframe_llm.cartoon.train.packed_forward import forward_packed

    clips, turns = 3, []
    batch = pack_batch(np.random.default_rng(0), clips, pool, processor.tokenizer)
    shown = list(pool.pictures[batch.frames])
    pixels = processor.image_processor(shown, return_tensors="pt")
    with torch.inference_mode():
        tokens = model.model.visual(pixels.pixel_values, grid_thw=pixels.image_grid_thw).pooler_output
        packed = forward_packed(model, batch, tokens.view(len(shown), 12, -1))
        for clip in range(clips):
            images = [shown.pop(0) for _ in range(frame_count(batch, clip, model))]
            for number in range(1, batch.branch[batch.clip == clip].max() + 1):
                branch = (batch.clip == clip) & (batch.branch == number)
                alone = batch.ids[(batch.clip == clip) & (batch.branch == 0) | branch]
                messages = chat_messages(processor.tokenizer.decode(alone))
                turns.append(len(messages))
                text = processor.apply_chat_template(messages, tokenize=False)
                inputs = processor(text=text.rstrip("\n"), images=images, return_tensors="pt")
                assert inputs["input_ids"][0].tolist() == alone.tolist()
                wanted = model.model(**inputs, use_cache=False).last_hidden_state[0, -branch.sum() :]
                found = packed.hidden[torch.from_numpy(branch)]
                assert float((found - wanted).abs().max()) < last_bits(wanted)
                labelled = batch.ids[branch][batch.labels[branch] >= 0]
                replies = [m["content"][0]["text"] for m in messages if m["role"] == "assistant"]
                assert processor.tokenizer.decode(labelled, skip_special_tokens=True).split() == (
                    " ".join(replies).split()
                )
    assert not shown
    assert set(turns) > {2, 4}
    assert float(packed.frame_loss) > 0 and float(packed.name_loss) > 0


def frame_count(batch: PackedBatch, clip: int, model: Any) -> int:
    """The number of frames that a clip of a batch has."""
    return int((batch.ids[batch.clip == clip] == model.config.vision_start_token_id).sum())


def test_every_part_of_a_caption_is_about_the_frames_of_the_scene_it_describes(
    pool: FramePool, processor: Any
) -> None:
    tokenizer = processor.tokenizer
    batch = pack_batch(np.random.default_rng(3), 8, pool, tokenizer)
    clip_of_frame = batch.clip[batch.ids == tokenizer.convert_tokens_to_ids("<|vision_start|>")]
    captions = 0
    for turn in np.unique(batch.turn):
        reply = (batch.turn == turn) & (batch.labels >= 0)
        words, targets = tokenizer.convert_ids_to_tokens(batch.ids[reply]), batch.target_frames[reply]
        commas = [i for i, word in enumerate(words) if word == ","]
        if not commas:
            continue
        captions += 1
        frames = batch.frames[clip_of_frame == batch.clip[reply][0]]
        for start, end in pairwise([0, *commas, len(words)]):
            (target,) = set(targets[start:end])
            for frame in frames[[bool(target >> i & 1) for i in range(len(frames))]]:
                subject, colour = pool.traits[frame, :2]
                assert {"▁" + SUBJECTS[subject], "▁" + COLOURS[colour]} <= set(words[start:end])
        assert np.bitwise_or.reduce(targets) == 2 ** len(frames) - 1
    assert captions > 2


# Losses -------------------------------------------------------------------------------------------------


def test_uniform_attention_costs_the_logarithm_of_what_there_is_to_attend_to(
    pool: FramePool, processor: Any, model: Any
) -> None:
    """A head that attends to all frames alike loses the logarithm of their number; with words it is the same.

    Questions that name no person count as much as all others together.
    """
    import torch

    from keyframe_llm.cartoon.train.packed_forward import forward_packed

    batch = pack_batch(np.random.default_rng(2), 2, pool, processor.tokenizer)
    for layer in model.model.language_model.layers[1:3]:
        with torch.no_grad():
            for part in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                part.weight.zero_(), part.bias.zero_()
    packed = forward_packed(model, batch, torch.zeros(len(batch.frames), 12, 128))
    frame_logs: dict[bool, list[float]] = {True: [], False: []}
    for i in np.flatnonzero(batch.target_frames > 0):
        asked = batch.ids[(batch.turn == batch.turn[i]) & (batch.labels < 0)]
        text = processor.tokenizer.decode(asked)
        names_no_person = "who " in text and "seen first" not in text
        frame_logs[names_no_person].append(np.log(frame_count(batch, batch.clip[i], model)))
    wanted = np.mean([np.mean(kind) for kind in frame_logs.values()])
    assert packed.frame_loss.item() == pytest.approx(wanted, abs=last_bits(wanted))
    name_logs = []
    for i in np.flatnonzero(batch.target_frames[1:] > 0):
        names = (batch.naming[batch.turn == batch.turn[i]] > 0).sum()
        conversation = (batch.clip == batch.clip[i]) & (batch.branch == batch.branch[i])
        name_logs += [np.log(conversation[: i + 1].sum() / names)] if names else []
    wanted = np.mean(name_logs)
    assert packed.name_loss.item() == pytest.approx(wanted, abs=last_bits(wanted))


def test_a_visual_token_that_is_the_sum_of_its_words_shows_its_traits_and_no_others(
    processor: Any, model: Any
) -> None:
    import torch

    from keyframe_llm.cartoon.train.losses import path_probe, trait_ids, trait_loss

    ids = trait_ids(processor.tokenizer)
    every = [word for of_trait in ids for word in of_trait]
    assert processor.tokenizer.unk_token_id not in every
    assert len(set(every)) == 4 + 8 + 6 + 11 + 9
    rng = np.random.default_rng(0)
    traits = torch.from_numpy(np.stack([*(rng.integers(len(i), size=16) for i in ids), np.zeros(16, int)], 1))
    words = model.model.language_model.embed_tokens.weight.detach()
    words = torch.nn.functional.normalize(words, dim=-1)
    sums = sum(words[torch.tensor(of_trait)[traits[:, i]]] for i, of_trait in enumerate(ids))

    def shares(tokens: Any) -> list[float]:
        details = trait_loss(model, ids, path_probe(model), tokens.repeat_interleave(12, 0), traits)[1]
        return [float(share) for share in details.split()[2:7]]

    assert min(shares(sums)) > 0.8
    assert max(shares(sums.flip(0))) < 0.8


# Processes ----------------------------------------------------------------------------------------------


def in_parallel(work: Callable[[ProcessGroup], Any], processes: int, numbers: int, dtype: Any) -> list[Any]:
    """What `work` returns in every process. Threads take their place: both share memory and a barrier."""
    import torch

    buffer, barrier = torch.zeros(processes, numbers, dtype=dtype), threading.Barrier(processes)
    groups = [ProcessGroup(rank, processes, buffer, barrier) for rank in range(processes)]
    with ThreadPoolExecutor(processes) as threads:
        return list(threads.map(work, groups))


def test_every_process_gets_the_mean_of_all() -> None:
    import torch

    def twice(group: ProcessGroup) -> list[float]:
        first = group.mean(torch.full((4,), float(group.rank)))
        return (first + group.mean(torch.full((4,), 10.0 * group.rank))).tolist()

    assert in_parallel(twice, 3, 5, torch.float32) == [[11.0] * 4] * 3


def test_averaged_gradients_are_those_of_all_batches_together() -> None:
    """Whole numbers in double precision, so that no sum is rounded and the order of additions is nothing."""
    import torch

    rng = np.random.default_rng(0)
    rows, wanted = (torch.from_numpy(rng.integers(-3, 4, (8, 64)).astype(float)) for _ in range(2))
    start = torch.nn.Sequential(*(torch.nn.Linear(64, 64, dtype=torch.float64) for _ in range(2)))
    with torch.no_grad():
        for weights in start.parameters():
            weights.copy_(torch.from_numpy(rng.integers(-2, 3, weights.shape)))

    def gradients(group: ProcessGroup) -> list[Any]:
        module, own = copy.deepcopy(start), slice(4 * group.rank, 4 * group.rank + 8 // group.size)
        ((module(rows[own]) - wanted[own]) ** 2).mean().backward()
        group.average_gradients(list(module.parameters()))
        return [weights.grad for weights in module.parameters()]

    together = gradients(SINGLE_PROCESS)
    assert all(bool(gradient.any()) for gradient in together)
    for found in in_parallel(gradients, 2, 10_000, torch.float64):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(found, together, strict=True))


def test_exchanged_tensors_are_those_of_the_process_that_updates_them() -> None:
    import torch

    def updated(group: ProcessGroup) -> list[Any]:
        tensors = [torch.zeros(2, 3) for _ in range(5)]
        for tensor in group.own_share(tensors):
            tensor += group.rank + 1
        group.exchange(tensors)
        return [tensor.tolist() for tensor in tensors]

    everyone = [[[float(i % 2 + 1)] * 3] * 2 for i in range(5)]
    assert in_parallel(updated, 2, 100, torch.float32) == [everyone] * 2


def test_two_processes_train_one_model_from_the_batches_of_both() -> None:
    """They have the same weights, at every step but for rounding and in the end bit for bit.

    Their batches differ, so that weights which did not come from both would be a whole step apart.
    """
    import torch

    torch.manual_seed(0)
    rows, wanted = torch.randn(2, 4, 64), torch.randn(2, 4, 64)
    start = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(3)))
    learning_rate, steps = 1e-3, 5

    def trained(group: ProcessGroup, batch: tuple[Any, Any]) -> tuple[list[Any], Any]:
        module, seen = copy.deepcopy(start), []

        def loss_of(batch: tuple[Any, Any]) -> tuple[Any, str]:
            seen.append(torch.nn.utils.parameters_to_vector(module.parameters()).detach().clone())
            return ((module(batch[0]) - batch[1]) ** 2).mean(), ""

        options = {"learning_rate": learning_rate, "group": group, "warmup": 1}
        train_module("test", module, steps, lambda: batch, loss_of, **options)
        return seen, torch.nn.utils.parameters_to_vector(module.parameters()).detach()

    batches = list(zip(rows, wanted, strict=True))
    (seen, weights), (others_seen, others_weights) = in_parallel(
        lambda group: trained(group, batches[group.rank]), 2, 13_000, torch.float32
    )
    assert torch.equal(weights, others_weights)
    assert len(seen) == len(others_seen) == steps
    for mine, theirs in zip(seen, others_seen, strict=True):
        assert float((mine - theirs).abs().max()) < learning_rate / 10
    assert all(float((after - before).abs().max()) > learning_rate / 2 for before, after in pairwise(seen))
    alone = [trained(SINGLE_PROCESS, batch)[0][-1] for batch in batches]
    assert float((alone[0] - alone[1]).abs().max()) > learning_rate


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--evaluate", "--out", "nowhere"], "nowhere/clip"),
        (["--evaluate", "--out", "nowhere", "--only", "vlm"], "nowhere/qwen2_5_vl"),
        (["--evaluate", "--clips", "0"], "--clips is 0; give 1 or more"),
        (["--out", "taken/weights"], "--out is 'taken/weights': Not a directory; give a folder"),
        (["--joint-steps", "-5"], "--joint-steps is -5; give 0 or more"),
        (["--look-steps", "-5"], "--joint-steps is -5; give 0 or more"),
        (["--processes", "0"], "--processes is 0; give 1 or more"),
    ],
)
def test_a_mistake_costs_one_line(
    arguments: list[str],
    message: str,
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
    assert message in capsys.readouterr().err.splitlines()[-1]
