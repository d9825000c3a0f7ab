"""What the tools run on and an agent cannot change: models, folders, limits, and how errors are reported."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.encoders import Encoder, default_encoder
from keyframe_llm.encoders.shared import SharedEncoder
from keyframe_llm.errors import KeyframeError, ModelError
from keyframe_llm.index import Indexer, Store
from keyframe_llm.index.shortcuts import opened_prompts
from keyframe_llm.jpeg import encode_jpeg
from keyframe_llm.library import Library
from keyframe_llm.messages import Layout
from keyframe_llm.options import SelectOptions
from keyframe_llm.pipeline import DEFAULT_MODEL, KeyframeLLM
from keyframe_llm.prompts import Prompts
from keyframe_llm.tools.at_hand import is_at_hand, kept_picture_side
from keyframe_llm.tools.decode_process import DecodePool
from keyframe_llm.tools.decode_remote import decoder_opener
from keyframe_llm.tools.frames import fitted_size
from keyframe_llm.tools.headers import check_header
from keyframe_llm.tools.job_pool import JobPool
from keyframe_llm.tools.jobs import Job, check_current_job, current_job, report_progress
from keyframe_llm.tools.library_search import SearchedLibrary
from keyframe_llm.tools.limits import Limits, ToolError
from keyframe_llm.tools.open_files import OpenFiles
from keyframe_llm.tools.opened import OpenedVideo
from keyframe_llm.tools.pictures import FolderPictures, Pictures
from keyframe_llm.tools.readings import Reading, Readings
from keyframe_llm.tools.sandbox import AllowedFile, Roots, is_file_url
from keyframe_llm.tools.saving import SaveFolder
from keyframe_llm.tools.temporary import private_folder
from keyframe_llm.tools.text import printable
from keyframe_llm.tools.urls import fetched
from keyframe_llm.vlm import VLM
from keyframe_llm.vlm.load import check_options
from keyframe_llm.vlm.shared import SharedVLM

__all__ = ["ToolRuntime"]

T = TypeVar("T")
_JPEG_QUALITY = 85
_LONGEST_TEXT = 600
_logger = logging.getLogger(__name__)


class ToolRuntime:
    """Finds videos, runs jobs on them within limits, and reports what went wrong."""

    def __init__(
        self,
        model: str | VLM = DEFAULT_MODEL,
        encoder: str | Encoder | None = None,
        *,
        roots: Sequence[str | os.PathLike[str]] = (".",),
        url_hosts: Sequence[str] = (),
        limits: Limits | None = None,
        pictures: Pictures | None = None,
        save_folder: str | os.PathLike[str] | None = None,
        library: str | os.PathLike[str] | None = None,
        device: str | None = None,
        layout: Layout = "images",
        prompts: str | os.PathLike[str] | Prompts | None = None,
        **model_options: Any,
    ) -> None:
        """`model` and `encoder` are as for `KeyframeLLM`, loaded when a call first needs them.

        `roots` are the folders whose files may be opened, the current one by default; `url_hosts` the hosts,
        `name` or `name:port`, that videos may be fetched from, by default none. `pictures` keeps the key
        frames that results refer to; the default is a private folder that is deleted when Python ends.
        `save_folder` is where frames and clips may be saved for the user to keep; by default nowhere.
        `library` is the file of a library of videos (see `keyframe_llm.library`) that may be searched as far
        as they lie in the roots; without an `encoder` its own is taken. `layout` is how the Video-LLM is
        shown key frames, and `prompts` a folder of prompts of one's own, as for `KeyframeLLM`;
        `model_options` go to `load_vlm`.
        """
        check_options(model, model_options, layout)
        if library is not None and encoder is None:
            with closing(Library(library)) as known:
                encoder = known.encoder_name
        encoder = encoder if encoder is not None else default_encoder(model)
        self.model, self.encoder = _public_name(model), _public_name(encoder)
        self._given_model, self._given_encoder = model, encoder
        self.served = isinstance(model, str) and model.startswith(("http://", "https://"))
        self.limits, self.url_hosts = limits or Limits(), tuple(host.lower() for host in url_hosts)
        self.pictures: Pictures = pictures or FolderPictures()
        self.roots = Roots(roots)
        self._temporary = private_folder(self)
        self.open_files = OpenFiles(self._temporary)
        self.save_folder = None if save_folder is None else SaveFolder(save_folder, self.limits)
        vlm = SharedVLM(model, device=device, checkpoint=check_current_job, **model_options)
        shared_encoder = SharedEncoder(encoder, device=device, checkpoint=check_current_job)
        self.library = None if library is None else SearchedLibrary(library, shared_encoder, self.roots)
        self.decoders = DecodePool(self.limits.decode_memory_bytes, self.limits.concurrent_calls)
        self.open_decoder = decoder_opener(self.decoders, self.limits.max_pixels)
        options, own_prompts = SelectOptions(backend=self.open_decoder), opened_prompts(prompts)
        indexer = Indexer(
            shared_encoder,
            progress=report_progress,
            store=Store(),
            keep_samples=True,
            picture_side=kept_picture_side(encoder),
            checkpoint=check_current_job,
            prompts=own_prompts,
        )
        self.llm = KeyframeLLM(vlm, options=options, indexer=indexer, layout=layout, prompts=own_prompts)
        """One for all threads, so that what one call has read serves every other."""
        self._pool = JobPool(self.limits.concurrent_calls, self.limits.waiting_calls)
        self._readings = Readings(self.open_files, self.limits)

    @cached_property
    def missing_model(self) -> str | None:
        """The name of the Video-LLM, if it is not on this machine."""
        return None if is_at_hand(self._given_model) else self.model

    @cached_property
    def missing_encoder(self) -> str | None:
        """The name of the encoder, if it is not on this machine."""
        return None if is_at_hand(self._given_encoder) else self.encoder

    def close(self) -> None:
        """Accept no more calls, and stop those that wait or run."""
        self._pool.close()
        self._readings.close()
        self.decoders.close()

    def end(self, wait_seconds: float) -> bool:
        """Close, wait for calls to end, and delete temporary files; returns whether all calls have ended."""
        self.close()
        deadline = time.monotonic() + wait_seconds
        ended = self._pool.wait(wait_seconds) and self._readings.wait(max(0.0, deadline - time.monotonic()))
        if ended and self.library is not None:
            self.library.close()
        shutil.rmtree(self._temporary, ignore_errors=True)
        return ended

    def save_picture(self, image: NDArray[np.uint8], side: int) -> str:
        """Save a picture, (H, W, 3) RGB, at most `side` pixels wide and high; returns its name in results."""
        picture = Image.fromarray(image)
        size = fitted_size(picture.width, picture.height, side)
        if size != picture.size:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        return self.pictures.save(encode_jpeg(picture, quality=_JPEG_QUALITY))

    def allowed_folder(self) -> SaveFolder:
        """The folder for what is saved; raises `ToolError` where there is none."""
        if self.save_folder is None:
            raise ToolError("nothing can be saved here; tell the user to allow a folder for it")
        return self.save_folder

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """A private folder that is deleted when the block ends."""
        with TemporaryDirectory(dir=self._temporary, ignore_cleanup_errors=True) as folder:
            yield Path(folder)

    def public_text(self, text: str, file: AllowedFile) -> str:
        """The text, printable, with the file's path replaced by its public name."""
        text = text.replace(str(file.path), file.name)
        stem = Path(file.name).with_suffix("").as_posix()  # a subtitle file beside it has the same one
        text = text.replace(str(file.path.with_suffix("")), stem)
        return printable(self.roots.relative_text(text), _LONGEST_TEXT)

    def check_budget(self, max_frames: int) -> int:
        """`max_frames` itself; raises `ToolError` where it is over the limit."""
        if max_frames > self.limits.max_frames:
            raise ToolError(f"max_frames is {max_frames}; at most {self.limits.max_frames} are allowed")
        return max_frames

    def run(self, video: str, work: Callable[[OpenedVideo], T]) -> T:
        """Run `work` on a video in a thread of the pool: in this thread, if it is one of them.

        Raises `ToolError`, with a message that an agent may read.
        """

        def on_video(job: Job) -> T:
            with self._open(video, job) as file, self._public_errors(file):
                self.decoders.call(str(file.path), check_header, file.path, self.limits)
                return work(OpenedVideo(self, self.llm, file))

        return self.run_job(on_video)

    def run_job(self, work: Callable[[Job], T]) -> T:
        """Run `work` in a thread of the pool: in this thread, if it is one of them. Raises `ToolError`."""
        current = current_job()
        if current is not None:
            return work(current)
        job = Job(self.limits.timeout_seconds)
        return self.wait(job, self.submit(job, lambda: work(job)))

    def submit(self, job: Job, work: Callable[[], T]) -> Future[T]:
        """Run `work` when it is the turn of the job's client; raises `ToolError` where too many wait."""
        return self._pool.submit(job, work)

    def reading(self, path: Path, options: SelectOptions) -> Reading | None:
        """The reading of an open file in the background; None where the file was read before."""
        if self.llm.indexer.remembers(str(path), options):
            return None
        job = current_job()
        return self._readings.start(
            path,
            _part(options),
            lambda: self.llm.indexer.index(str(path), options),
            "" if job is None else job.client,
        )

    def join(self, reading: Reading) -> None:
        """Wait for a reading in the thread of a job, whose place another job may take meanwhile.

        Raises what the reading has raised, and `ToolError` when the job is to end.
        """
        job = current_job()
        assert job is not None
        with self._pool.paused():
            self._readings.join(reading, job)

    def reading_failure(self, path: Path, options: SelectOptions) -> BaseException | None:
        """What ended the last reading of an open file, told once; None where nothing did."""
        return self._readings.failure(path, _part(options))

    def wait(self, job: Job, future: Future[T]) -> T:
        """The result of a job; raises `ToolError` when its time is over."""
        try:
            return future.result(job.seconds_left)
        except (FutureTimeout, CancelledError) as error:
            raise job.timeout_error() from error
        finally:
            job.stop()
            future.cancel()

    @contextmanager
    def _open(self, video: str, job: Job) -> Iterator[AllowedFile]:
        if "://" in video and not is_file_url(video):
            with fetched(video, self.url_hosts, self.limits, self._temporary, job.check) as file:
                yield file
        else:
            found = self.roots.find(video)
            with self.open_files.opened(found.root, found.path, found.name) as path:
                yield AllowedFile(path, found.name)

    @contextmanager
    def _public_errors(self, file: AllowedFile) -> Iterator[None]:
        """Turn the library's errors into errors that an agent may read."""
        try:
            yield
        except ModelError as error:
            _logger.error(
                "%s", printable(str(error), None)
            )  # it may name places on the disk: for the operator alone
            raise ToolError(
                "a model that this needs cannot be used here; tell the user to check the model and encoder "
                "these tools were given (the log says more), or use select_keyframes without a query"
            ) from error
        except KeyframeError as error:
            raise ToolError(self.public_text(str(error), file)) from error
        except OSError as error:
            raise ToolError(f"{file.name} cannot be read ({error.strerror}); try again") from error


def _part(options: SelectOptions) -> tuple[float | None, float | None]:
    return options.decode.start_seconds, options.decode.end_seconds


def _public_name(model: object) -> str:
    """The name of a model in results, without the address of a server and the place of a folder."""
    if not isinstance(model, str):
        return type(model).__name__
    if model.startswith(("http://", "https://")):
        return model.partition("#")[2] or "a server"
    return Path(model).name if Path(model).is_dir() else model
