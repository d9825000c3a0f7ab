"""Fixtures that more than one test file needs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`checkpoint("clip")` is a folder with a small random checkpoint from `checkpoints.py`, made once."""
    spec = importlib.util.spec_from_file_location("checkpoints", Path(__file__).with_name("checkpoints.py"))
    assert spec is not None and spec.loader is not None
    makers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(makers)
    root, made = tmp_path_factory.mktemp("checkpoints"), dict[str, Path]()

    def make(family: str) -> Path:
        if family not in made:
            if family.startswith("open_clip"):
                pytest.importorskip("open_clip", reason="open_clip is not installed (the `pe` extra)")
            if family == "smolvlm2":
                pytest.importorskip("num2words", reason="num2words is not installed (SmolVLM's processor)")
            made[family] = getattr(makers, family)(root / family)
        return made[family]

    return make


@pytest.fixture(scope="session")
def videos() -> ModuleType:
    """The module `videos.py`, which draws videos with known truth."""
    spec = importlib.util.spec_from_file_location("videos", Path(__file__).with_name("videos.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache on disk: an empty one for every test, so that none finds another's results."""
    folder = tmp_path_factory.mktemp("cache") / "keyframe_llm"
    monkeypatch.setenv("KEYFRAME_LLM_CACHE", str(folder))
    return folder


class Slow:
    """An encoder that waits to be let go, for as long as a test wants."""

    def __init__(self) -> None:
        self.entered, self.gate = Event(), Event()

    def embed_images(self, images: Any, /) -> Any:
        self.entered.set()
        assert self.gate.wait(60)
        return np.ones((len(images), 2), np.float32)

    def embed_texts(self, texts: Any, /) -> Any:
        return np.ones((len(texts), 2), np.float32)


@pytest.fixture
def slow() -> Slow:
    """An encoder that says by `entered` that it was asked, and waits for `gate`."""
    return Slow()
