"""The drop-in for qwen-vl-utils, as Qwen's own README uses it, and the times that reach the models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keyframe_llm import ModelError, OptionsError
from keyframe_llm.data import Frames
from keyframe_llm.messages.timestamps import as_video, frame_seconds
from keyframe_llm.qwen import process_vision_info, with_true_times
from support.file_server import serving
from support.packages import needs

pytestmark = needs("qwen_vl_utils", "the `dev` extra")

Checkpoint = Callable[[str], Path]
SMALL = {"min_pixels": 56 * 56, "max_pixels": 112 * 112}
QUESTION = "Is the flag blue?"


@pytest.fixture
def encoder(videos: ModuleType) -> Any:
    return videos.ColourEncoder()


def conversation_about(flags: Path, question: str = QUESTION, **element: Any) -> list[dict[str, Any]]:
    video = {"type": "video", "video": f"file://{flags}", **SMALL, **element}
    return [{"role": "user", "content": [video, {"type": "text", "text": question}]}]


def loaded(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
    return model, AutoProcessor.from_pretrained(folder)


@contextmanager
def seen_positions(model: Any) -> Iterator[list[np.ndarray]]:
    """What the language model's rotary embedding is given, forward pass by forward pass: (3, B, L) each."""
    seen: list[np.ndarray] = []

    def note(_: Any, arguments: Any, named: Any) -> None:
        positions = named.get("position_ids", arguments[1] if len(arguments) > 1 else None)
        seen.append(positions.cpu().numpy().copy())

    hook = model.model.language_model.rotary_emb.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


def signature(function: Any) -> list[tuple[str, Any]]:
    import inspect

    return [(name, one.default) for name, one in inspect.signature(function).parameters.items()]


def test_it_is_called_as_the_original_is() -> None:
    from qwen_vl_utils import process_vision_info as original

    assert signature(process_vision_info)[:4] == signature(original)


@pytest.mark.filterwarnings("ignore:a plain process_vision_info returns no times")
def test_a_video_is_its_key_frames_each_twice_guided_by_the_question(
    flags: Path, encoder: Any, videos: ModuleType
) -> None:
    images, shown = process_vision_info(conversation_about(flags), encoder=encoder)
    assert images is None and encoder.texts == [QUESTION]
    (tensor,) = shown
    assert tensor.dtype.is_floating_point and tensor.shape[1] == 3 and len(tensor) % 2 == 0
    np.testing.assert_array_equal(tensor[::2].numpy(), tensor[1::2].numpy())
    shown_colours = {videos.flag_of(frame.permute(1, 2, 0).numpy()) for frame in tensor}
    assert "blue" in shown_colours
    (again, metadata), *_ = process_vision_info(
        conversation_about(flags), return_video_metadata=True, encoder=encoder
    )[1]
    np.testing.assert_array_equal(again.numpy(), tensor.numpy())
    for frame, second in zip(tensor[::2], frame_seconds(metadata), strict=True):
        assert videos.flag_of(frame.permute(1, 2, 0).numpy()) == videos.flag_at(second)


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"max_pixels": 360 * 420},
        {"min_pixels": 4 * 28 * 28, "max_pixels": 64 * 28 * 28},
        {"total_pixels": 100 * 28 * 28, "min_pixels": 4 * 28 * 28},
        {"resized_height": 280, "resized_width": 140},
    ],
)
@pytest.mark.parametrize("patch", [14, 16])
@pytest.mark.filterwarnings("ignore:a plain process_vision_info returns no times")
def test_pixel_limits_give_the_size_that_qwen_vl_utils_gives(
    limits: dict[str, int], patch: int, flags: Path, encoder: Any
) -> None:
    pytest.importorskip("decord", reason="decord, which qwen-vl-utils reads videos with, is not installed")
    from qwen_vl_utils.vision_process import fetch_video

    element = {"type": "video", "video": str(flags), "question": "red", **limits}
    (tensor,) = process_vision_info(
        [{"role": "user", "content": [element | {"max_frames": 2}]}], image_patch_size=patch, encoder=encoder
    )[1]
    wanted = fetch_video(element | {"nframes": len(tensor)}, image_patch_size=patch)
    assert len(wanted) == len(tensor) and tensor.shape == wanted.shape and tensor.dtype == wanted.dtype


@pytest.mark.filterwarnings("ignore:a plain process_vision_info returns no times")
def test_images_pass_through_as_the_original_makes_them(flags: Path, encoder: Any, tmp_path: Path) -> None:
    from qwen_vl_utils import process_vision_info as original

    Image.effect_noise((123, 77), 80).convert("RGB").save(tmp_path / "a.png")
    elements = [
        {"type": "image", "image": f"file://{tmp_path / 'a.png'}"},
        {"type": "image", "image": Image.open(tmp_path / "a.png"), "resized_height": 60, "resized_width": 90},
        {"type": "image_url", "image_url": str(tmp_path / "a.png"), "max_pixels": 56 * 56},
    ]
    conversation = [{"role": "user", "content": [*elements, {"type": "text", "text": "What?"}]}]
    wanted, nothing, kwargs = original(conversation, return_video_kwargs=True, return_video_metadata=True)
    images, shown, mine = process_vision_info(
        conversation, return_video_kwargs=True, return_video_metadata=True
    )
    assert (shown, mine) == (nothing, kwargs) == (None, {"do_sample_frames": False})
    for image, one in zip(images, wanted, strict=True):
        np.testing.assert_array_equal(np.asarray(image), np.asarray(one))
    both = [[*conversation, *conversation_about(flags)], conversation_about(flags, "Is it red?")]
    images, shown = process_vision_info(both, encoder=encoder)
    assert len(images) == 3 and len(shown) == 2 and encoder.texts == [QUESTION, "Is it red?"]


def test_a_list_of_frames_without_a_rate_is_taken_as_it_is() -> None:
    from qwen_vl_utils import process_vision_info as original

    frames = [Image.new("RGB", (112, 112), colour) for colour in ("red", "blue")]
    conversation = [{"role": "user", "content": [{"type": "video", "video": frames}]}]
    for options in ({}, {"return_video_metadata": True}):
        (mine,), (wanted,) = (
            process_vision_info(conversation, **options)[1],
            original(conversation, **options)[1],
        )
        if options:
            assert mine[1] == wanted[1]
            mine, wanted = mine[0], wanted[0]
        np.testing.assert_array_equal(mine.numpy(), wanted.numpy())


def test_a_list_of_frames_with_its_rate_is_a_video_as_in_qwens_readme(
    encoder: Any, videos: ModuleType, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    _, processor = loaded(checkpoint("qwen3_vl"))
    colours = ["red"] * 14 + ["blue"] * 2 + ["green"] * 14
    pictures = [Image.new("RGB", (96, 64), colour) for colour in colours]
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"frame {i}.png")
    paths = [f"file://{tmp_path / f'frame {i}.png'}" for i in range(len(pictures))]
    for frames in (pictures, paths):
        element = {"type": "video", "video": frames, "sample_fps": "0.5", "raw_fps": 30, "video_end": 50.0}
        messages = [{"role": "user", "content": [element, {"type": "text", "text": "blue"}]}]
        shown, video_kwargs = process_vision_info(
            messages, True, return_video_metadata=True, image_patch_size=16, encoder=encoder
        )[1:]
        ((tensor, metadata),) = shown
        seconds = frame_seconds(metadata)
        assert all(
            second % 2 == 0 and second <= 50 for second in seconds
        )  # the times at half a frame a second
        for frame, second in zip(tensor[::2], seconds, strict=True):
            assert videos.flag_of(frame.permute(1, 2, 0).numpy()) == colours[int(second / 2)]
        assert "blue" in {colours[int(second / 2)] for second in seconds}
        assert element["sample_fps"] == "0.5"
    text = processor.apply_chat_template(messages, tokenize=False)
    inputs = processor(
        text=text,
        videos=[tensor],
        video_metadata=[metadata],
        return_tensors="pt",
        do_resize=False,
        **video_kwargs,
    )
    times = re.findall(r"<([\d.]+) seconds>", processor.tokenizer.decode(inputs["input_ids"][0]))
    assert [float(second) for second in times] == pytest.approx(seconds)
    with pytest.raises(OptionsError, match="fps is 'fast'"):
        process_vision_info(
            [{"role": "user", "content": [{**element, "sample_fps": "fast"}]}], True, encoder=encoder
        )


@pytest.mark.parametrize("kind", ["address", "bytes", "file object"])
def test_a_video_may_be_given_as_people_have_it(kind: str, flags: Path, encoder: Any) -> None:
    def shown(video: Any) -> Any:
        conversation = conversation_about(flags, video=video)
        return process_vision_info(conversation, return_video_metadata=True, encoder=encoder)[1][0]

    with serving({"v.mp4": flags.read_bytes()}) as server, flags.open("rb") as file:
        given = {"address": server.url("v.mp4"), "bytes": flags.read_bytes(), "file object": file}[kind]
        (mine, metadata), (wanted, true_metadata) = shown(given), shown(str(flags))
        np.testing.assert_array_equal(mine.numpy(), wanted.numpy())
        np.testing.assert_array_equal(frame_seconds(metadata), frame_seconds(true_metadata))


def test_a_call_that_leaves_the_times_behind_warns(flags: Path, encoder: Any) -> None:
    with pytest.warns(UserWarning, match="give it return_video_kwargs=True"):
        process_vision_info(conversation_about(flags), encoder=encoder)


def test_an_element_holds_options_of_its_own(flags: Path, encoder: Any) -> None:
    def times(**element: Any) -> np.ndarray:
        shown = process_vision_info(
            conversation_about(flags, **element), return_video_metadata=True, encoder=encoder
        )[1]
        return frame_seconds(shown[0][1])

    assert len(times(max_frames=1)) == len(times(nframes=1)) == 1
    assert len(times(max_frames=768, fps=1.0)) <= 3  # a bound meant for dense sampling
    window = times(video_start=20.0, video_end=25.0, caption="green", question="green", guide="both")
    assert window.min() >= 20.0 and window.max() <= 25.0
    assert encoder.texts[-2:] == ["green", "green"]
    with pytest.raises(OptionsError, match="gamma_time is 70"):
        times(gamma_time=70)


def test_a_readme_of_qwen2_5_vl_runs_by_changing_the_import(
    flags: Path, encoder: Any, checkpoint: Checkpoint
) -> None:
    model, processor = loaded(checkpoint("qwen2_5_vl"))
    messages = [conversation_about(flags), conversation_about(flags, "Is it red, or what?", max_frames=1)]
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    images, shown, video_kwargs = process_vision_info(messages, return_video_kwargs=True, encoder=encoder)
    inputs = processor(
        text=text, images=images, videos=shown, padding=True, return_tensors="pt", **video_kwargs
    )
    generated = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert generated.shape[1] == inputs.input_ids.shape[1] + 4
    assert inputs["video_grid_thw"][:, 0].tolist() == [len(tensor) // 2 for tensor in shown]


def test_a_readme_of_qwen3_vl_runs_by_changing_the_import_and_reads_true_times(
    flags: Path, encoder: Any, checkpoint: Checkpoint
) -> None:
    model, processor = loaded(checkpoint("qwen3_vl"))
    messages = conversation_about(flags)
    text = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    images, shown, video_kwargs = process_vision_info(
        messages,
        image_patch_size=16,
        return_video_kwargs=True,
        return_video_metadata=True,
        encoder=encoder,
    )
    shown, video_metadatas = zip(*shown, strict=True)
    shown, video_metadatas = list(shown), list(video_metadatas)
    inputs = processor(
        text=text,
        images=images,
        videos=shown,
        video_metadata=video_metadatas,
        return_tensors="pt",
        do_resize=False,
        **video_kwargs,
    )
    assert model.generate(**inputs, max_new_tokens=4, do_sample=False).shape[1] > inputs.input_ids.shape[1]
    times = re.findall(r"<([\d.]+) seconds>", processor.tokenizer.decode(inputs.input_ids[0]))
    assert times == [f"{second:.1f}" for second in frame_seconds(video_metadatas[0])]
    assert with_true_times(inputs, video_metadatas, model) is inputs


PLANTED = [0.25, 12.5, 13.0, 590.0]


def planted(seconds: list[float] = PLANTED, size: int = 56) -> Frames:
    images = np.random.default_rng(0).integers(0, 256, (len(seconds), size, size, 3), dtype=np.uint8)
    return Frames(images, np.array(seconds))


def prepared(processor: Any, conversations: list[Any], clips: list[Frames]) -> tuple[Any, list[Any]]:
    pairs = [as_video(frames, 600.0) for frames in clips]
    metadata = [one for _, one in pairs]
    text = processor.apply_chat_template(conversations, tokenize=False, add_generation_prompt=True)
    options = {"do_sample_frames": False, "do_resize": False, "padding": True, "return_tensors": "pt"}
    inputs = processor(
        text=text, videos=[pictures for pictures, _ in pairs], video_metadata=metadata, **options
    )
    return inputs, metadata


def talk(question: str, videos: int = 1) -> list[dict[str, Any]]:
    content = [{"type": "video"}] * videos + [{"type": "text", "text": question}]
    return [{"role": "user", "content": content}]


def test_planted_times_reach_qwen2_5_vl_exactly(checkpoint: Checkpoint) -> None:
    model, processor = loaded(checkpoint("qwen2_5_vl"))
    processor.tokenizer.padding_side = "left"
    clips = [planted(), planted([3.0, 7.75])]
    inputs, metadata = prepared(processor, [talk("What?"), talk("What is he doing?")], clips)
    inputs = with_true_times(inputs, metadata, model)
    rate = model.config.vision_config.tokens_per_second
    with seen_positions(model) as seen:
        model.generate(**inputs, max_new_tokens=3, do_sample=False)
    for row, frames in enumerate(clips):
        places = seen[0][:, row]
        shown = (inputs["mm_token_type_ids"][row] == 2).numpy()
        patch = places[:, shown].reshape(3, len(frames), -1)
        begins = places[0, np.flatnonzero(shown)[0] - 1] + 1  # right behind `<|vision_start|>`
        read = (patch[0, :, 0] - begins) / rate
        np.testing.assert_allclose(read, frames.seconds, atol=0.5 / rate)
        assert (patch[0] == patch[0, :, :1]).all()
        np.testing.assert_array_equal(patch[1, 0] - begins, [0, 0, 1, 1])
        np.testing.assert_array_equal(patch[2, 0] - begins, [0, 1, 0, 1])
        last = np.flatnonzero(shown)[-1]
        assert (places[:, last + 1] == patch[0].max() + 1).all()  # text resumes behind the last frame
        assert (np.diff(places[:, last + 1 :]) == 1).all()
        assert [step[:, row, 0].tolist() for step in seen[1:]] == [[places[0, -1] + n] * 3 for n in (1, 2)]


def test_without_them_the_same_frames_are_given_false_times(checkpoint: Checkpoint) -> None:
    """What the exact positions are for: transformers spreads the frames evenly."""
    model, processor = loaded(checkpoint("qwen2_5_vl"))
    inputs, _ = prepared(processor, [talk("What?")], [planted()])
    with seen_positions(model) as seen:
        model.generate(**inputs, max_new_tokens=1, do_sample=False)
    times = seen[0][0, 0][(inputs["mm_token_type_ids"][0] == 2).numpy()].reshape(len(PLANTED), -1)[:, 0]
    assert len(set(np.diff(times).tolist())) == 1


def test_positions_are_transformers_own_where_it_is_right(checkpoint: Checkpoint) -> None:
    """Pictures and text, and a video whose frames really are evenly spread from its beginning."""
    model, processor = loaded(checkpoint("qwen2_5_vl"))
    image = Image.fromarray(planted([1.0]).images[0])
    content = [
        {"type": "image", "image": image},
        {"type": "text", "text": "and"},
        {"type": "image", "image": image},
    ]
    pictures = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt"
    )
    wanted, _ = model.model.get_rope_index(**{k: v for k, v in pictures.items() if k != "pixel_values"})
    ours = with_true_times(pictures, [], model)["position_ids"]
    np.testing.assert_array_equal(ours[1:].numpy(), wanted.numpy())
    even = planted([0.0, 2.0, 4.0])
    inputs, metadata = prepared(processor, [talk("What?")], [even])
    metadata[0]["total_num_frames"] = 6000
    inputs["second_per_grid_ts"] = [2.0]
    wanted, _ = model.model.get_rope_index(**{k: v for k, v in inputs.items() if k != "pixel_values_videos"})
    ours = with_true_times(inputs, metadata, model)["position_ids"]
    upto = int(np.flatnonzero(inputs["mm_token_type_ids"][0] == 2)[-1]) + 1
    np.testing.assert_array_equal(ours[1:, :, :upto].numpy(), wanted[:, :, :upto].numpy())


def test_planted_times_reach_qwen3_vl_exactly(checkpoint: Checkpoint) -> None:
    _, processor = loaded(checkpoint("qwen3_vl"))
    pairs = [planted([0.3, 12.3, 13.0, 590.1], 64), planted([7.7], 64)]
    inputs, _ = prepared(processor, [talk("What?", videos=2)], pairs)
    times = re.findall(r"<([\d.]+) seconds>", processor.tokenizer.decode(inputs["input_ids"][0]))
    assert times == ["0.3", "12.3", "13.0", "590.1", "7.7"]
    assert inputs["video_grid_thw"].tolist() == [[4, 4, 4], [1, 4, 4]]


@pytest.mark.parametrize(
    ("family", "passes"),
    [
        ("qwen3_vl", True),
        ("qwen3_vl_moe", True),
        ("qwen3_5", True),
        ("qwen3_5_moe", True),
        ("qwen3_omni_moe", False),
        ("qwen2_5_omni", False),
        ("qwen2_vl", False),
        ("qwen3", False),
    ],
)
def test_inputs_pass_through_where_the_processor_is_the_one_that_writes_times(
    family: str, passes: bool
) -> None:
    from transformers import CONFIG_MAPPING, AutoConfig
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    if family not in CONFIG_MAPPING:
        pytest.skip(f"this transformers has no {family}")
    model, inputs = SimpleNamespace(config=AutoConfig.for_model(family)), object()
    assert (PROCESSOR_MAPPING_NAMES.get(family) == "Qwen3VLProcessor") is passes
    if passes:
        assert with_true_times(inputs, [], model) is inputs
        return
    with pytest.raises(OptionsError, match=f"model is a {family}; times of a video are known to qwen2_5_vl"):
        with_true_times(inputs, [], model)


def test_every_frame_twice_makes_true_pictures_of_the_fused_pairs() -> None:
    frames = planted()
    pictures, metadata = as_video(frames)
    np.testing.assert_array_equal(pictures[::2], frames.images)
    np.testing.assert_array_equal(pictures[1::2], frames.images)
    np.testing.assert_allclose(frame_seconds(metadata), frames.seconds)
    assert metadata["total_num_frames"] > metadata["frames_indices"][-1]


def test_metadata_of_other_videos_is_refused(checkpoint: Checkpoint) -> None:
    model, processor = loaded(checkpoint("qwen2_5_vl"))
    inputs, metadata = prepared(processor, [talk("What?")], [planted()])
    with pytest.raises(OptionsError, match="holds 1 times of a video of 4 frames"):
        with_true_times(inputs, [as_video(planted([1.0]))[1]], model)
    with pytest.raises(OptionsError, match="of 2 videos, more than"):
        with_true_times(inputs, [*metadata, *metadata], model)
    other, _ = loaded(checkpoint("llava_onevision"))
    with pytest.raises(OptionsError, match="model is a llava_onevision"):
        with_true_times(inputs, metadata, other)


def test_an_encoder_that_cannot_be_had_is_an_error(flags: Path) -> None:
    with pytest.raises(ModelError, match="no/such-encoder"):
        process_vision_info(conversation_about(flags), encoder="./no/such-encoder")
