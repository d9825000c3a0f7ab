"""Calls on their way: bounded in number and time, stopped when nobody waits for them any more.

Each call runs in a thread of its own with a `KeyframeLLM` that no other call uses meanwhile; the models are
shared, one call at a time. A call stops at the next frame it decodes, or the next token it writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from queue import LifoQueue
from threading import Event, Lock
from typing import Any, Generic, TypeVar

import numpy as np
from keyframe_llm.tools.trust import Limits, ToolError
from numpy.typing import NDArray

from keyframe_llm.encoders import Encoder, load_encoder, preferred_image_size
from keyframe_llm.encoders.base import Images
from keyframe_llm.pipeline import KeyframeLLM
from keyframe_llm.proposals.sample import Progress
from keyframe_llm.vlm.transformers import VLM, Messages, Normalise, load_vlm

__all__ = ["Call", "SharedEncoder", "SharedVLM", "Workers", "at_work", "report"]

T = TypeVar("T")
_LOOK_UP_SECONDS = 0.1


class Call:
    """One call: how long it may take, whether it is still wanted, whom to tell how far it is."""

    def __init__(self, seconds: float, progress: Progress | None = None) -> None:
        self._seconds, self._ends = seconds, time.monotonic() + seconds
        self._stopped = Event()
        self._progress = progress

    def stop(self) -> None:
        """Have the work end at its next step."""
        self._stopped.set()

    @property
    def seconds_left(self) -> float:
        """Until the call is given up; not below 0."""
        return max(0.0, self._ends - time.monotonic())

    def late(self) -> ToolError:
        """The error of a call that took too long."""
        return ToolError(
            f"the call took longer than the {self._seconds:g} s allowed; give a shorter window "
            "(start_seconds, end_seconds) or try again later"
        )

    def check(self) -> None:
        """Raise `ToolError` where the call was stopped or its time is over."""
        if self._stopped.is_set():
            raise ToolError("the call was cancelled")
        if not self.seconds_left:
            raise self.late()

    def report(self, stage: str, share: float) -> None:
        """Pass on how far the work is, or end it here."""
        self.check()
        if self._progress is not None:
            self._progress(stage, share)


_at_work: ContextVar[tuple[Call, KeyframeLLM] | None] = ContextVar("keyframe_llm_call", default=None)


def at_work() -> tuple[Call, KeyframeLLM] | None:
    """The call this thread works on and what it works with; None outside a worker's thread."""
    return _at_work.get()


def report(stage: str, share: float) -> None:
    """The progress callback of every `KeyframeLLM` at work: tells the call that this thread works on."""
    current = _at_work.get()
    if current is not None:
        current[0].report(stage, share)


def _check() -> None:
    current = _at_work.get()
    if current is not None:
        current[0].check()


class _Turns(Generic[T]):
    """A model that is loaded by the first call that needs it and used by one call at a time."""

    def __init__(self, load: Callable[[], T]) -> None:
        self._load, self._lock = load, Lock()
        self._model: T | None = None

    @contextmanager
    def turn(self) -> Iterator[T]:
        while not self._lock.acquire(timeout=_LOOK_UP_SECONDS):
            _check()
        try:
            _check()
            if self._model is None:
                self._model = self._load()
            yield self._model
        finally:
            self._lock.release()


class SharedEncoder(_Turns[Encoder]):
    """An encoder for many calls. `name` as for `load_encoder`."""

    def __init__(self, name: str | Encoder, device: str | None = None) -> None:
        super().__init__(lambda: load_encoder(name, device))

    @property
    def image_size(self) -> int:
        """The shorter side, in pixels, that pictures are wanted at."""
        with self.turn() as encoder:
            return preferred_image_size(encoder)

    def embed_images(self, images: Images, /) -> NDArray[np.float32]:
        """See `Encoder.embed_images`."""
        with self.turn() as encoder:
            return encoder.embed_images(images)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """See `Encoder.embed_texts`."""
        with self.turn() as encoder:
            return encoder.embed_texts(texts)


class SharedVLM(_Turns[VLM]):
    """A Video-LLM for many calls, stopped at its next token where a call is given up."""

    def __init__(self, name: str | VLM, **options: Any) -> None:
        super().__init__(lambda: load_vlm(name, **options))

    def generate(self, messages: Messages, *, max_new_tokens: int = 128) -> str:
        """See `VLM.generate`."""
        return "".join(self.stream(messages, max_new_tokens=max_new_tokens)).strip()

    def stream(self, messages: Messages, *, max_new_tokens: int = 128) -> Iterator[str]:
        """See `VLM.stream`."""
        with self.turn() as model:
            for piece in model.stream(messages, max_new_tokens=max_new_tokens):
                _check()
                yield piece

    def generate_batch(self, conversations: Sequence[Messages], *, max_new_tokens: int = 128) -> list[str]:
        """See `VLM.generate_batch`."""
        return [self.generate(messages, max_new_tokens=max_new_tokens) for messages in conversations]

    def label_log_likelihoods(
        self, messages: Messages, labels: Sequence[str], *, normalise: Normalise = "mean"
    ) -> NDArray[np.float64]:
        """See `VLM.label_log_likelihoods`."""
        with self.turn() as model:
            return model.label_log_likelihoods(messages, labels, normalise=normalise)

    def count_tokens(self, messages: Messages) -> tuple[int, int]:
        """See `VLM.count_tokens`."""
        with self.turn() as model:
            return model.count_tokens(messages)


class Workers:
    """Threads that work on calls, each with a `KeyframeLLM` that remembers the videos it saw."""

    def __init__(self, make: Callable[[], KeyframeLLM], limits: Limits) -> None:
        self._threads = ThreadPoolExecutor(limits.concurrent_calls, thread_name_prefix="keyframe-llm-call")
        # Last in, first out: calls in turn find what the one before them has seen.
        self._idle: LifoQueue[KeyframeLLM] = LifoQueue()
        for _ in range(limits.concurrent_calls):
            self._idle.put(make())
        self._room = limits.concurrent_calls + limits.waiting_calls
        self._inside: set[Call] = set()
        self._lock = Lock()

    @property
    def inside(self) -> int:
        """How many calls are waiting or worked on."""
        return len(self._inside)

    def submit(self, call: Call, work: Callable[[], T]) -> Future[T]:
        """Work on a call when its turn comes; raises `ToolError` where too many are waiting."""
        with self._lock:
            if len(self._inside) >= self._room:
                raise ToolError(f"{len(self._inside)} calls are waiting already; try again in a while")
            self._inside.add(call)
        future = self._threads.submit(self._run, call, work)
        future.add_done_callback(lambda _: self._leave(call))
        return future

    def close(self) -> None:
        """Take no more calls, drop those that wait and stop those that run."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for call in self._inside:
                call.stop()

    def _leave(self, call: Call) -> None:
        with self._lock:
            self._inside.discard(call)

    def _run(self, call: Call, work: Callable[[], T]) -> T:
        llm = self._idle.get()
        token = _at_work.set((call, llm))
        try:
            call.check()
            return work()
        finally:
            _at_work.reset(token)
            self._idle.put(llm)
