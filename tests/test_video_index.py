"""`VideoIndex`: made once without a question, and asked as often as one likes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm import OptionsError, Selection, SelectOptions, VideoIndex, index_video, select_keyframes
from keyframe_llm.index.saved import from_arrays, to_arrays
from keyframe_llm.options import DecodeOptions, ProposeOptions
from keyframe_llm.scoring.selectors import QUERY_AWARE, selector_names
from support.encoders import ColourEncoder
from support.videos import flag_at


def same(one: Selection, two: Selection) -> bool:
    """Whether two selections hold the same frames, chosen by the same scores."""
    return (
        np.array_equal(one.frames.images, two.frames.images)
        and np.array_equal(one.seconds, two.seconds)
        and np.allclose(one.scores.total, two.scores.total, atol=1e-6)
        and (one.method, one.caption, one.question, one.plan)
        == (two.method, two.caption, two.question, two.plan)
    )


@pytest.fixture(scope="module")
def index(flags: Path) -> VideoIndex:
    return index_video(flags, encoder=ColourEncoder(), cache=False)


def test_an_index_cannot_be_changed(index: VideoIndex) -> None:
    with pytest.raises(FrozenInstanceError):
        index.seconds = np.zeros(0)  # type: ignore[misc]  # frozen, which is tested


def test_an_index_knows_the_video_without_any_question(index: VideoIndex, flags: Path) -> None:
    assert index.video.path == str(flags) and index.span_seconds == pytest.approx(30, abs=0.6)
    count, candidates = len(index.seconds), len(index.candidates)
    assert index.histograms.shape[0] == count >= candidates >= len(index.proposals)
    assert index.embeddings is not None and index.embeddings.shape == (candidates, 3)
    assert index.pictures == ()
    np.testing.assert_allclose(np.linalg.norm(index.unit_embeddings, axis=1), 1.0)


@pytest.mark.parametrize("texts", [{}, {"caption": "blue"}, {"question": "Is it green?"}])
def test_choosing_from_an_index_is_choosing_from_the_video(
    index: VideoIndex, flags: Path, texts: dict[str, str]
) -> None:
    found = select_keyframes(flags, encoder=ColourEncoder(), **texts)
    assert same(index.select(**texts), found)
    assert same(
        index.select(**texts, max_frames=1),
        select_keyframes(flags, encoder=ColourEncoder(), max_frames=1, **texts),
    )


def test_a_second_question_embeds_one_text_and_no_picture(flags: Path) -> None:
    encoder = ColourEncoder()
    index = index_video(flags, encoder=encoder)
    pictures = encoder.images_seen
    assert pictures == len(index.candidates) and encoder.texts == []
    for word in ("red", "blue"):
        found = index.select(question=f"Is it {word}?")
        best = found.seconds[np.argmax(found.scores.total[found.chosen])]
        assert flag_at(float(best)) == word
    assert encoder.images_seen == pictures and encoder.texts == ["Is it red?", "Is it blue?"]


@pytest.mark.parametrize("method", selector_names())
def test_every_selector_chooses_by_its_name(flags: Path, method: str) -> None:
    found = select_keyframes(flags, caption="a blue flag", encoder=ColourEncoder(), method=method)
    assert found.method == method and 1 <= len(found.frames) <= 3
    assert np.all(np.diff(found.seconds) > 0)
    assert np.all((found.scores.total >= 0) & (found.scores.total <= 1))
    if method in ("moments", "paper", *QUERY_AWARE):
        assert found.scores.name in ("KeyScore", "similarity")
    else:
        assert found.scores.total.sum() == pytest.approx(1.0)


TEXTS = ({}, {"caption": "a blue flag"}, {"question": "Is it green?"})


@pytest.mark.parametrize("method", selector_names())
def test_every_selector_chooses_from_its_index_what_it_chooses_from_the_video(
    flags: Path, method: str
) -> None:
    made: dict[str, Any] = {"encoder": ColourEncoder(), "method": method, "cache": False}
    index = index_video(flags, **made)  # asked once for each text
    for texts in TEXTS:
        if texts or method not in QUERY_AWARE:
            assert same(index.select(**texts), select_keyframes(flags, **made, **texts)), texts


@pytest.mark.parametrize("method", selector_names())
def test_every_selector_chooses_among_the_candidates_of_an_index_made_for_another(
    index: VideoIndex, method: str
) -> None:
    if method == "katna":
        with pytest.raises(OptionsError, match="sharpness") as error:
            index.select(caption="blue", method=method)
        assert "\n" not in str(error.value)
        return
    found = index.select(caption="blue", method=method, max_frames=2)
    assert found.method == method and 1 <= len(found.frames) <= 2
    assert np.isin(found.seconds, index.candidates.seconds).all()


@pytest.mark.parametrize("method", selector_names())
def test_selectors_that_need_no_text_need_no_encoder(flags: Path, method: str) -> None:
    if method in QUERY_AWARE:
        with pytest.raises(OptionsError, match="is guided by a text; give a caption or a question") as error:
            select_keyframes(flags, method=method)
        assert "\n" not in str(error.value)
        return
    found = select_keyframes(flags, method=method, encoder="no/such-encoder")
    assert found.scores.name == "share of the video" and 1 <= len(found.frames) <= 3


@pytest.mark.parametrize("method", ["moments", "paper", "uniform", "top-k"])
def test_frames_already_seen_are_not_chosen_again_by_any_method(flags: Path, method: str) -> None:
    first = select_keyframes(flags, caption="blue", encoder=ColourEncoder(), method=method)
    seen = tuple(first.seconds.tolist())
    second = select_keyframes(
        flags, caption="blue", encoder=ColourEncoder(), method=method, exclude_seconds=seen
    )
    assert np.abs(second.seconds[:, None] - first.seconds).min() > 0.05


@pytest.mark.parametrize("method", ["moments", "uniform", "top-k"])
def test_where_everything_was_seen_the_frames_in_between_are_sampled(flags: Path, method: str) -> None:
    seen = tuple(np.arange(0, 30, 0.5).tolist())
    found = select_keyframes(
        flags, caption="blue", encoder=ColourEncoder(), method=method, exclude_seconds=seen
    )
    assert np.abs(found.seconds[:, None] - np.array(seen)).min() > 0.05


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"fps": 1.0}, "fps"),
        ({"max_frames": 2, "k_max": 7}, "k_max"),
        ({"decode": DecodeOptions(fps=1.0)}, "decode"),
        ({"propose": ProposeOptions(k_max=7)}, "propose"),
    ],
)
def test_options_that_made_the_index_are_refused(
    index: VideoIndex, options: dict[str, Any], name: str
) -> None:
    with pytest.raises(OptionsError, match=f"^{name} made this index; call index_video again"):
        index.select(caption="red", **options)


def test_options_that_are_as_they_were_are_taken(index: VideoIndex) -> None:
    assert len(index.select(caption="red", fps=2.0, max_frames=1).frames) == 1


def test_an_unknown_method_is_one_line(index: VideoIndex) -> None:
    with pytest.raises(OptionsError, match="method is 'other'; choose one of moments, paper, "):
        index.select(caption="red", method="other")


def test_an_index_without_an_encoder_takes_no_text(flags: Path) -> None:
    index = index_video(flags)
    assert index.embeddings is None and len(index.select().frames) >= 1
    with pytest.raises(OptionsError, match="no encoder for a text; make it with index_video") as error:
        index.select(question="Is it red?")
    assert "\n" not in str(error.value)


def test_a_text_of_another_size_is_named(index: VideoIndex) -> None:
    with pytest.raises(OptionsError, match=r"the text embedding is \(4,\); give \(3,\)"):
        index.similarity(np.ones(4))


def test_an_index_comes_back_from_arrays_as_it_was(index: VideoIndex, tmp_path: Path) -> None:
    values = to_arrays(index)
    np.savez(tmp_path / "index.npz", **{name: np.asarray(value) for name, value in values.items()})
    with np.load(tmp_path / "index.npz", allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    stored["facts"] = str(stored["facts"])
    back = from_arrays(stored, index.video.path, SelectOptions())
    for name in ("seconds", "histograms"):
        np.testing.assert_array_equal(getattr(back, name), getattr(index, name))
    for name in ("proposals", "candidates"):
        ours, theirs = getattr(back, name), getattr(index, name)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.indices, theirs.indices)
        assert ours.silhouettes == theirs.silhouettes
    assert (back.video, back.span_seconds, back.plan, back.warnings) == (
        index.video,
        index.span_seconds,
        index.plan,
        index.warnings,
    )
    assert same(back.select(), index.select())
