"""Many threads on one `KeyframeLLM`: models load once, every video is indexed once, all answer alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import pytest

import keyframe_llm.index.embedder
import keyframe_llm.index.video_index
import keyframe_llm.pipeline
from keyframe_llm import KeyframeLLM, SelectOptions
from keyframe_llm.index import Indexer
from support.encoders import ColourEncoder
from support.vlms import Counts

THREADS = 16


class Guarded(ColourEncoder):
    """An encoder that may be used by several threads, and counts without losing any."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()

    def embed_images(self, images: Any, /) -> Any:
        with self._lock:
            return super().embed_images(images)

    def embed_texts(self, texts: Any, /) -> Any:
        with self._lock:
            return super().embed_texts(texts)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often an encoder and a model were loaded, and a video sampled; the real work is done."""
    counts = {"load_encoder": 0, "load_vlm": 0, "sample_video": 0}
    places = {
        "load_encoder": keyframe_llm.index.embedder,
        "load_vlm": keyframe_llm.pipeline,
        "sample_video": keyframe_llm.index.video_index,
    }
    lock = Lock()

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def work(*args: Any, **named: Any) -> Any:
            with lock:
                counts[name] += 1
            time.sleep(0.05)  # another thread gets the chance to do it too
            return real(*args, **named)

        return work

    for name, module in places.items():
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    return counts


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """What `work` returns in each thread, all begun together."""
    start = Barrier(THREADS, timeout=60)

    def run(i: int) -> Any:
        start.wait()
        return work(i)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_threads_share_one_index_and_one_load_of_each_model(flags: Path, calls: dict[str, int]) -> None:
    encoder = Guarded()
    llm = KeyframeLLM(Counts(), encoder, cache=False)
    answers = at_once(lambda i: llm.ask(flags, f"Is it {('red', 'blue')[i % 2]}?"))
    assert calls == {"load_encoder": 1, "load_vlm": 1, "sample_video": 1}
    embedded = {i for one in answers for i in one.selection.proposals.indices.tolist()}
    assert encoder.images_seen == len(embedded)
    for kind in (0, 1):
        times = {tuple(one.selection.seconds.tolist()) for one in answers[kind::2]}
        assert len(times) == 1 and len({one.text for one in answers[kind::2]}) == 1
    assert answers[0].selection.seconds.tolist() != answers[1].selection.seconds.tolist()


def test_threads_share_one_indexer(flags: Path, calls: dict[str, int]) -> None:
    encoder = Guarded()
    indexer = Indexer(encoder)
    texts: list[dict[str, str]] = [{}, {"caption": "blue"}, {"question": "Is it green?"}]
    found = at_once(lambda i: indexer.select(flags, SelectOptions(), **texts[i % 3]))
    embedded = {i for one in (found[1], found[2]) for i in one.proposals.indices.tolist()}
    assert calls["load_encoder"] == 1 and encoder.images_seen == len(embedded)
    assert calls["sample_video"] <= 2  # a thread without a text may have come first, which keeps no pictures
    for kind, words in enumerate(texts):
        alone = Indexer(Guarded()).select(flags, SelectOptions(), **words)
        assert {tuple(one.seconds.tolist()) for one in found[kind::3]} == {tuple(alone.seconds.tolist())}


def test_the_embedded_models_answer_alike_in_every_thread(flags: Path) -> None:
    llm = KeyframeLLM("cartoon", cache=False)
    found = at_once(lambda i: llm.select(flags, caption="a man walks"))
    assert len({tuple(one.seconds.tolist()) for one in found}) == 1


def test_threads_with_videos_of_their_own_do_not_wait_for_one_index(
    flags: Path, tmp_path: Path, calls: dict[str, int]
) -> None:
    videos = [tmp_path / f"{i}.mp4" for i in range(4)]
    for video in videos:
        video.write_bytes(flags.read_bytes())
    llm = KeyframeLLM(Counts(), Guarded(), cache=False)
    found = at_once(lambda i: llm.select(videos[i % 4], caption="blue"))
    assert calls["sample_video"] == 4 and calls["load_encoder"] == 1
    assert [one.video.path for one in found] == [str(videos[i % 4]) for i in range(THREADS)]
    assert len({tuple(one.seconds.tolist()) for one in found}) == 1


def test_coroutines_ask_through_threads(flags: Path, calls: dict[str, int]) -> None:
    llm = KeyframeLLM(Counts(), Guarded(), cache=False)

    async def ask() -> list[Any]:
        questions = ["Is it red?", "Is it green?", "Is it red?"]
        return await asyncio.gather(*(asyncio.to_thread(llm.ask, flags, one) for one in questions))

    one, two, three = asyncio.run(ask())
    assert one.text == three.text and one.selection.seconds.tolist() == three.selection.seconds.tolist()
    assert two.question == "Is it green?" and calls["sample_video"] == 1


def test_an_index_that_fails_in_one_thread_is_tried_again_by_the_next(flags: Path) -> None:
    class Once(Guarded):
        failed = False

        def embed_images(self, images: Any, /) -> Any:
            if not self.failed:
                self.failed = True
                raise ZeroDivisionError("the first time")
            return super().embed_images(images)

    llm = KeyframeLLM(Counts(), Once(), cache=False)

    def work(i: int) -> Any:
        try:
            return llm.select(flags, caption="blue").seconds.tolist()
        except ZeroDivisionError:
            return None

    found = at_once(work)
    assert found.count(None) == 1 and len({tuple(one) for one in found if one is not None}) == 1
