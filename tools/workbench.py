"""What the tools work with and an agent has no say in: models, folders, limits, how errors are told."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from keyframe_llm.tools.calls import Call, SharedEncoder, SharedVLM, Workers, at_work, report
from keyframe_llm.tools.pictures import FolderPictures, Pictures, jpeg
from keyframe_llm.tools.results import Keyframes
from keyframe_llm.tools.trust import Found, Limits, Roots, ToolError, check_header
from keyframe_llm.tools.urls import fetched
from numpy.typing import NDArray

from keyframe_llm.cartoon import DRAWN, OUTSIDE_WORLD
from keyframe_llm.data import Selection
from keyframe_llm.encoders import Encoder
from keyframe_llm.errors import KeyframeError, ModelError
from keyframe_llm.options import SelectOptions
from keyframe_llm.pipeline import DEFAULT_ENCODER, DEFAULT_MODEL, KeyframeLLM
from keyframe_llm.vlm.transformers import VLM

__all__ = ["Seen", "Workbench"]

T = TypeVar("T")
_logger = logging.getLogger(__name__)


class Seen:
    """A video at hand, a `KeyframeLLM` to watch it with, and how to tell of it."""

    def __init__(self, bench: Workbench, llm: KeyframeLLM, found: Found, *, drawn: bool) -> None:
        self._bench, self.llm, self._found, self._drawn = bench, llm, found, drawn
        self.path = str(found.path)

    def result(self, selection: Selection, *, include_images: bool, used: tuple[str, ...]) -> Keyframes:
        """What all tools return; `used` are the names of the models it took."""
        images = selection.frames.images if include_images else [None] * len(selection.frames)
        scores = selection.scores.total[selection.chosen]
        outside = [OUTSIDE_WORLD] if "cartoon" in used and not self._drawn else []
        length = selection.video.duration_seconds
        return {
            "video": {
                "name": self._found.name,
                "duration_seconds": None if length is None else round(length, 3),
                "width": selection.video.width,
                "height": selection.video.height,
            },
            "keyframes": [
                {
                    "seconds": round(float(second), 3),
                    "score": round(float(score), 4),
                    "image": None if image is None else self._bench.keep(image),
                }
                for second, score, image in zip(selection.seconds, scores, images, strict=True)
            ],
            "warnings": [self._bench.named(text, self._found) for text in (*selection.warnings, *outside)],
        }


class Workbench:
    """Finds videos, runs the work on them in bounds, and tells what went wrong."""

    def __init__(
        self,
        model: str | VLM = DEFAULT_MODEL,
        encoder: str | Encoder | None = None,
        *,
        roots: Sequence[str | os.PathLike[str]] = (".",),
        url_hosts: Sequence[str] = (),
        limits: Limits | None = None,
        pictures: Pictures | None = None,
        device: str | None = None,
        **model_options: Any,
    ) -> None:
        """`model` and `encoder` are as for `KeyframeLLM`, loaded when a call first needs them.

        `roots` are the folders whose files may be opened, the current one by default; `url_hosts` the hosts,
        `name` or `name:port`, that videos may be fetched from, by default none. `pictures` keeps the key
        frames that results point to; without it, files in a private folder that goes when Python ends.
        """
        encoder = encoder or ("cartoon" if model == "cartoon" else DEFAULT_ENCODER)
        self.model, self.encoder = _public_name(model), _public_name(encoder)
        self.served = isinstance(model, str) and model.startswith(("http://", "https://"))
        self.limits, self.url_hosts = limits or Limits(), tuple(host.lower() for host in url_hosts)
        self.pictures: Pictures = pictures or FolderPictures()
        self.roots = Roots(roots)
        vlm, eyes = SharedVLM(model, **model_options), SharedEncoder(encoder, device)
        options = SelectOptions(max_picture_pixels=self.limits.max_pixels)
        self._workers = Workers(lambda: KeyframeLLM(vlm, eyes, options=options, progress=report), self.limits)

    @property
    def calls_inside(self) -> int:
        """How many calls are waiting or worked on."""
        count: int = self._workers.inside
        return count

    def close(self) -> None:
        """Take no more calls."""
        self._workers.close()

    def keep(self, image: NDArray[np.uint8]) -> str:
        """Keep a key frame, (H, W, 3) RGB, made small; returns where it is."""
        place: str = self.pictures.save(jpeg(image, self.limits.image_side))
        return place

    def named(self, text: str, found: Found) -> str:
        """The text with the file's place on the disk replaced by its name."""
        told: str = self.roots.without(text.replace(str(found.path), found.name))
        return told

    def budget(self, max_frames: int) -> int:
        """The number of key frames asked for; raises `ToolError` where it is over the limit."""
        if max_frames > self.limits.max_frames:
            raise ToolError(f"max_frames is {max_frames}; at most {self.limits.max_frames} are allowed")
        return max_frames

    def run(self, video: str, work: Callable[[Seen], T]) -> T:
        """Work on a video in a worker's thread: this one, if it is one.

        Raises `ToolError`, with a message that an agent may read.
        """
        at_hand = at_work()
        if at_hand is None:
            call = Call(self.limits.timeout_seconds)
            return self.wait(call, self.submit(call, lambda: self.run(video, work)))
        call, llm = at_hand
        with self._found(video, call) as found, self._told(found):
            drawn = check_header(found.path, self.limits, call.check) == DRAWN
            return work(Seen(self, llm, found, drawn=drawn))

    def submit(self, call: Call, work: Callable[[], T]) -> Future[T]:
        """Have a worker do it when its turn comes; raises `ToolError` where too many are waiting."""
        future: Future[T] = self._workers.submit(call, work)
        return future

    def wait(self, call: Call, future: Future[T]) -> T:
        """The result of a call, as long as it may take; raises `ToolError` after that."""
        try:
            return future.result(call.seconds_left)
        except (FutureTimeout, CancelledError) as error:
            raise call.late() from error
        finally:
            call.stop()
            future.cancel()

    @contextmanager
    def _found(self, video: str, call: Call) -> Iterator[Found]:
        if "://" in video:
            with fetched(video, self.url_hosts, self.limits, call.check) as found:
                yield found
        else:
            yield self.roots.find(video)

    @contextmanager
    def _told(self, found: Found) -> Iterator[None]:
        """Turn whatever goes wrong on purpose into what the agent may read."""
        try:
            yield
        except ModelError as error:
            _logger.error("%s", error)  # it may name places on the disk: for the operator alone
            raise ToolError(
                "a model that this needs cannot be used here; tell the user to check the model and encoder "
                "these tools were given (the log says more), or use select_keyframes without a query"
            ) from error
        except KeyframeError as error:
            raise ToolError(self.named(str(error), found)) from error


def _public_name(model: object) -> str:
    """What a model is called in results: a server's address and a folder's place stay with the operator."""
    if not isinstance(model, str):
        return type(model).__name__
    if model.startswith(("http://", "https://")):
        return model.partition("#")[2] or "a server"
    return Path(model).name if Path(model).is_dir() else model
