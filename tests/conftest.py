"""Fixtures that more than one test file needs; what they are made of is in `support`."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from support.encoders import Slow

# Small checkpoints are compared with the arithmetic of one processor: no test runs on a graphics card.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# Chat pages of two workers that start in one moment would find the same port free.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
os.environ["GRADIO_SERVER_PORT"] = str(7960 + 100 * int(_worker))
# As the command does: what the libraries make stays, and each search of it costs time.
gc.set_threshold(100_000, 50, 50)
# The same examples in every run, and no limit of time: a slow machine fails no test.
settings.register_profile(
    "tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


@pytest.hookimpl(optionalhook=True)  # the environments of vLLM and lmms-eval have no xdist
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores: tests wait for browsers; each worker loads every library anew."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`checkpoint("clip")` is a folder with a small random checkpoint, made once."""
    from support import checkpoints, families, qwens

    builders = {**vars(checkpoints), **vars(qwens), **vars(families)}
    root, made = tmp_path_factory.mktemp("checkpoints"), dict[str, Path]()

    def make(family: str) -> Path:
        if family not in made:
            if family.startswith("open_clip"):
                pytest.importorskip("open_clip", reason="open_clip is not installed (the `pe` extra)")
            if family == "qwen3_vl_embedding":
                pytest.importorskip("sentence_transformers", reason="not installed (the `sentence` extra)")
            if family == "smolvlm2":
                pytest.importorskip("num2words", reason="num2words is not installed (SmolVLM's processor)")
            made[family] = builders[family](root / family)
        return made[family]

    return make


@pytest.fixture(scope="session")
def videos() -> ModuleType:
    """The module that draws videos with known truth."""
    from support import videos

    return videos


@pytest.fixture(scope="session")
def flags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty seconds: 14 red, 2 blue, 14 green (see `support.videos.flags`)."""
    from support import videos

    return videos.flags(tmp_path_factory.mktemp("videos") / "flags.mp4")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache on disk: an empty one for every test, so that none finds another's results."""
    folder = tmp_path_factory.mktemp("cache") / "keyframe_llm"
    monkeypatch.setenv("KEYFRAME_LLM_CACHE", str(folder))
    return folder


@pytest.fixture
def slow() -> Slow:
    """An encoder that says by `entered` that it was called, and waits for `gate`."""
    return Slow()


@pytest.fixture
def server() -> Iterator[object]:
    """A server that speaks the OpenAI protocol (see `support.server`)."""
    from support.server import running

    with running() as server:
        yield server
