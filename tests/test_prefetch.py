"""The encoder works while the video is decoded: what overlaps, what does not, and that nothing else changes.

An order of events is shown with the progress callback, which the decoding caller is in while it is called.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keyframe_llm import KeyframeLLM, ModelError, SelectOptions, select_keyframes
from keyframe_llm.encoders import load_encoder
from keyframe_llm.index import Indexer
from keyframe_llm.index.prefetch import BATCH, Prefetch
from keyframe_llm.index.video_index import silent
from keyframe_llm.jpeg import decode_jpeg, encode_jpeg
from keyframe_llm.prompts import default_prompts
from keyframe_llm.proposals.propose import candidates_of, propose
from keyframe_llm.proposals.sample import most_samples, sample_video
from keyframe_llm.scoring.baseline import text_baseline
from keyframe_llm.scoring.keyscore import keyscore
from keyframe_llm.scoring.selectors import propose_options
from keyframe_llm.video import open_video

PATIENCE = 60.0
EVERY: dict[str, Any] = {"candidates": "diverse"}  # the 60 samples of the video are all embedded
UNCERTAIN: list[dict[str, Any]] = [
    {},
    {"method": "paper"},
    {"proposer": "ufp"},
    {"proposer": "scfp"},
    {"max_images": 12},
    {**EVERY, "max_samples": 60},  # of which one more may come
    {**EVERY, "exclude_seconds": (29.0,)},
]


class Colours:
    """An encoder that records what it is called for, and by which thread."""

    def __init__(self) -> None:
        self.pictures, self.texts, self.neutral = threading.Event(), threading.Event(), threading.Event()
        self.images_seen, self.threads, self.calls = 0, set[str](), list[str]()
        self._busy = threading.Lock()

    def _called(self, what: str, event: threading.Event) -> None:
        assert self._busy.acquire(blocking=False), "used by two threads at once"
        self.calls.append(what)
        self.threads.add(threading.current_thread().name)
        event.set()
        self._busy.release()

    def embed_images(self, images: Any, /) -> Any:
        self._called("pictures", self.pictures)
        self.images_seen += len(images)
        return np.stack([np.asarray(image, np.float32).mean((0, 1)) + 1 for image in images])

    def embed_texts(self, texts: Any, /) -> Any:
        neutral = tuple(texts) == default_prompts().lines("neutral")
        self._called("neutral" if neutral else "texts", self.neutral if neutral else self.texts)
        return np.array([[name in text for name in ("red", "green", "blue")] for text in texts], np.float32)


class Broken(Colours):
    """An encoder that raises on texts, once its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def embed_texts(self, texts: Any, /) -> Any:
        assert self.gate.wait(PATIENCE)
        self.texts.set()
        raise ZeroDivisionError("no words")


@pytest.fixture(scope="module")
def video(videos: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return videos.flags(tmp_path_factory.mktemp("videos") / "flags.mp4")


def ours() -> list[str]:
    """The names of the threads that this package has started and not ended."""
    return [t.name for t in threading.enumerate() if t.name.startswith(("embed", "decode"))]


def decoding(call: Callable[[float], object]) -> Callable[[str, float], None]:
    """A progress callback that passes on how far decoding is."""
    return lambda stage, share: call(share) if stage == "decode" else None


# What overlaps ------------------------------------------------------------------------------------------


def test_pictures_are_embedded_before_the_last_one_is_decoded(video: Path) -> None:
    encoder, at = Colours(), list[float]()

    def wait(share: float) -> None:
        if share > 0.8 and not at:
            assert encoder.pictures.wait(PATIENCE)
            at.append(share)

    select_keyframes(video, caption="blue", encoder=encoder, progress=decoding(wait), **EVERY)
    assert at and at[0] < 1.0


@pytest.mark.parametrize("options", [EVERY, *UNCERTAIN])
def test_texts_are_embedded_before_the_last_picture_is_decoded(video: Path, options: dict[str, Any]) -> None:
    encoder, at = Colours(), list[float]()
    wanted = [encoder.texts] if options.get("method") == "paper" else [encoder.texts, encoder.neutral]

    def wait(share: float) -> None:
        if not at:
            assert all(event.wait(PATIENCE) for event in wanted)
            at.append(share)

    select_keyframes(video, caption="blue", encoder=encoder, progress=decoding(wait), **options)
    assert at and at[0] < 1.0


@pytest.mark.parametrize("words", [{"caption": "a dog"}, {"expect_text": True}])
def test_an_encoder_with_a_name_is_loaded_while_the_decoder_goes_on(
    video: Path, checkpoint: Any, words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, loaded, at = threading.Event(), threading.Event(), list[float]()

    def load(*arguments: Any) -> Any:
        assert begun.wait(PATIENCE), "loaded before anything was decoded"
        encoder = load_encoder(*arguments)
        loaded.set()
        return encoder

    def wait(share: float) -> None:
        begun.set()
        if share > 0.5 and not at:
            assert loaded.wait(PATIENCE)
            at.append(share)

    monkeypatch.setattr("keyframe_llm.index.embedder.load_encoder", load)
    indexer = Indexer(str(checkpoint("clip")), progress=decoding(wait))
    indexer.select(video, SelectOptions(), **words)
    assert at and at[0] < 1.0


# What does not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", UNCERTAIN)
def test_no_picture_is_embedded_early_where_not_all_may_be_wanted(
    video: Path, options: dict[str, Any]
) -> None:
    encoder, early = Colours(), list[bool]()
    found = select_keyframes(
        video,
        caption="blue",
        encoder=encoder,
        progress=decoding(lambda share: early.append(encoder.pictures.is_set())),
        **options,
    )
    assert not any(early)
    assert encoder.images_seen == len(found.proposals)


def test_without_a_text_no_thread_is_started(video: Path) -> None:
    names = set[str]()
    select_keyframes(video, encoder=Colours(), progress=decoding(lambda share: names.update(ours())))
    assert not any(name.startswith("embed") for name in names)


def test_a_text_that_may_come_later_has_no_picture_embedded(video: Path) -> None:
    encoder = Colours()
    KeyframeLLM(encoder=encoder, cache=False).select(video, expect_text=True)
    assert encoder.calls == []


def test_the_caller_alone_reports_and_one_thread_at_a_time_uses_the_encoder(video: Path) -> None:
    encoder, callers = Colours(), set[str]()

    def progress(stage: str, share: float) -> None:
        callers.add(threading.current_thread().name)

    select_keyframes(video, caption="blue", encoder=encoder, progress=progress, **EVERY)
    assert callers == {threading.current_thread().name}
    assert len(encoder.threads) == 1 and encoder.calls[:2] == ["texts", "neutral"]


# The same as one after the other ------------------------------------------------------------------------


@pytest.mark.parametrize("options", [EVERY, {"max_images": 12}, {"start_seconds": 3.3, "end_seconds": 21.0}])
def test_scores_are_those_of_one_after_the_other(
    video: Path, checkpoint: Any, options: dict[str, Any]
) -> None:
    chosen, encoder = SelectOptions(**options), load_encoder(str(checkpoint("clip")))
    with open_video(video) as decoder:
        sampled = sample_video(decoder, chosen.decode, picture_side=32, progress=silent)
    stage = propose_options(chosen)
    found = propose(sampled.histograms, sampled.seconds, stage)
    proposals = candidates_of(found, sampled.histograms, stage)
    rows = encoder.embed_images([decode_jpeg(sampled.pictures[i]) for i in proposals.indices])
    baseline = text_baseline(encoder.embed_texts(default_prompts().lines("neutral")))
    text = encoder.embed_texts(["a man walks"])[0]
    wanted = keyscore(rows, text, weights=chosen.weights, pooling=chosen.pooling, baseline=baseline)
    for given in (encoder, str(checkpoint("clip"))):
        found = select_keyframes(video, caption="a man walks", encoder=given, **options)
        np.testing.assert_array_equal(found.proposals.indices, proposals.indices)
        np.testing.assert_array_equal(found.scores.raw.temporal, wanted.raw.temporal)
        np.testing.assert_allclose(found.scores.total, wanted.total, atol=1e-12)


def test_what_is_embedded_early_is_kept_on_disk_like_the_rest(video: Path, checkpoint: Any) -> None:
    name, stages = str(checkpoint("clip")), list[str]()
    first = select_keyframes(video, caption="a man walks", encoder=name, cache=True)
    again = select_keyframes(
        video, caption="a man walks", encoder=name, cache=True, progress=lambda stage, _: stages.append(stage)
    )
    assert "decode" not in stages
    np.testing.assert_array_equal(first.scores.total, again.scores.total)


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH])
def test_rows_are_those_of_the_wanted_seconds(count: int) -> None:
    sizes = list[int]()

    def embed(images: Any) -> Any:
        sizes.append(len(images))
        return np.array([[image[0, 0, 0]] for image in images])

    seconds = np.arange(count) / 2
    for wanted in (seconds, seconds[::2], seconds[-1:]):
        with Prefetch([], embed) as prefetch:
            for second in seconds.tolist():
                prefetch.add(second, grey(int(second * 2)))
            rows = prefetch.rows(wanted)
        assert rows is not None
        np.testing.assert_allclose(rows[:, 0], wanted * 2, atol=2)
    assert max(sizes) <= BATCH and sum(sizes) == 3 * count


def grey(level: int) -> bytes:
    """A small picture of one grey, as JPEG."""
    return encode_jpeg(np.full((16, 16, 3), level, np.uint8))


@pytest.mark.parametrize("options", [{}, {"fps": 0.3}, {"max_samples": 20}, {"start_seconds": 29.5}])
def test_the_number_of_samples_is_bounded_before_any_is_decoded(video: Path, options: dict[str, Any]) -> None:
    chosen = SelectOptions(exhaustive=True, **options)
    with open_video(video) as decoder:
        most = most_samples(decoder.info, chosen.decode)
        sampled = sample_video(decoder, chosen.decode, progress=silent)
        assert most is not None and len(sampled.seconds) <= most


# Errors and ends ----------------------------------------------------------------------------------------


def test_an_error_of_the_encoder_ends_the_decoding_and_is_raised_as_it_is(video: Path) -> None:
    encoder, shares = Broken(), list[float]()

    def slowly(share: float) -> None:
        shares.append(share)
        encoder.gate.set()
        assert encoder.texts.wait(PATIENCE)
        time.sleep(0.05)  # for the error to get out of the thread

    with pytest.raises(ZeroDivisionError, match="no words"):
        select_keyframes(video, caption="blue", encoder=encoder, progress=decoding(slowly))
    assert shares and shares[-1] < 1.0
    assert ours() == []


@pytest.mark.parametrize("raised", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("stage", ["decode", "propose", "embed"])
def test_no_thread_is_left_where_the_caller_gives_up(
    video: Path, stage: str, raised: type[BaseException]
) -> None:
    encoder = Colours()

    def give_up(now: str, share: float) -> None:
        if now == stage:
            assert encoder.texts.wait(PATIENCE)
            raise raised

    with pytest.raises(raised):
        select_keyframes(video, caption="blue", encoder=encoder, progress=give_up)
    assert ours() == []
    assert select_keyframes(video, caption="blue", encoder=encoder).frames.images.size and ours() == []


def test_a_batch_at_work_is_the_last_where_the_caller_gives_up() -> None:
    entered, gate, sizes = threading.Event(), threading.Event(), list[int]()

    def embed(images: Any) -> Any:
        sizes.append(len(images))
        entered.set()
        assert gate.wait(PATIENCE)
        return np.zeros((len(images), 1))

    with pytest.raises(KeyboardInterrupt), Prefetch([], embed) as prefetch:
        for i in range(4 * BATCH):
            prefetch.add(float(i), grey(0))
        assert entered.wait(PATIENCE)
        threading.Timer(0.2, gate.set).start()
        raise KeyboardInterrupt
    assert sizes == [BATCH] and ours() == []


@pytest.mark.parametrize("name", ["./nowhere", "local-dir:/nowhere"])
def test_a_name_that_is_no_model_is_an_error_before_anything_is_decoded(video: Path, name: str) -> None:
    stages = list[str]()
    with pytest.raises(ModelError) as error:
        select_keyframes(video, caption="x", encoder=name, progress=lambda stage, _: stages.append(stage))
    assert "\n" not in str(error.value) and stages == []


@pytest.mark.parametrize("damaged", ["model.safetensors", "config.json"])
def test_an_encoder_that_cannot_be_loaded_raises_the_error_of_loading_it(
    video: Path, damaged: str, checkpoint: Any, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint("clip"), tmp_path / "clip"))
    (folder / damaged).write_text("{")
    with pytest.raises(ModelError) as alone:
        load_encoder(str(folder))
    with pytest.raises(ModelError) as found:
        select_keyframes(video, caption="x", encoder=str(folder))
    assert str(found.value) == str(alone.value) and ours() == []


def test_the_thread_has_the_context_of_the_call_it_works_for(video: Path) -> None:
    caller, heard = ContextVar[str]("caller", default="nobody"), set[str]()

    class Listening(Colours):
        def embed_images(self, images: Any, /) -> Any:
            heard.add(caller.get())
            return super().embed_images(images)

    caller.set("me")
    select_keyframes(video, caption="blue", encoder=Listening())
    assert heard == {"me"}


def test_the_wanted_size_is_read_without_torch(checkpoint: Any) -> None:
    names = [
        "cartoon",
        str(checkpoint("siglip")),
        "lab/nowhere",
        "hf-hub:lab/nowhere",
        "local-dir:/nowhere",
        "",
    ]
    code = (
        "import sys; from keyframe_llm.encoders import stated_image_size; "
        f"print([stated_image_size(name) for name in {names!r}], "
        "[m for m in ('torch', 'transformers', 'open_clip') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[64, 32, None, None, None, None] []"
