"""Speech recognition on this machine: Whisper through faster-whisper."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import ModelError, user_path
from keyframe_llm.hub import LOADING, one_line
from keyframe_llm.video.cores import available_cores

__all__ = ["Spoken", "WhisperRecogniser", "sentences"]

_ELSE = "give another name, a local folder, or the URL of a server that transcribes"
_FILES = ("model.bin", "config.json")
_PAUSE_SECONDS = 0.7
_LONGEST_SECONDS = 8.0
_SENTENCE_ENDS = (".", "?", "!", "。", "？", "！", "؟", "।", "…")
_SURE = 0.5  # from this probability on, the language that was heard first is taken for the rest


class Spoken(NamedTuple):
    """Some words and when they are said."""

    start: float
    """Seconds from the first sample."""
    end: float
    text: str


class WhisperRecogniser:
    """A Whisper model in CTranslate2's format. The language that is spoken is kept, not translated."""

    def __init__(self, name: str, *, language: str | None = None) -> None:
        """`name` is a size (`small`, `turbo`, …), a hub id, or a local folder with `model.bin`.

        `language` is that of the speech; without it, it is heard. Raises `ModelError` where faster-whisper is
        missing or the model cannot be had.
        """
        self.name, self._asked = name, language
        self.language: str | None = None
        """The language of what was transcribed, once it is known."""
        try:
            import faster_whisper
        except ImportError as error:
            raise ModelError(
                f"listen {name!r} needs faster-whisper: `pip install keyframe-llm[speech]`, or {_ELSE}"
            ) from error
        logging.getLogger("faster_whisper").setLevel(logging.WARNING)
        with LOADING:
            folder = _folder(name)
            try:
                self._model = faster_whisper.WhisperModel(
                    str(folder),
                    device="auto",
                    compute_type="auto",
                    cpu_threads=available_cores(),
                    local_files_only=True,
                )
            except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
                raise ModelError(f"{name!r} cannot be loaded ({one_line(error)}); {_ELSE}") from error

    def transcribe(self, samples: NDArray[np.float32], rate: int) -> Iterator[Spoken]:
        """The sentences in (n,) samples at 16,000 a second; silence is left out by Silero's detector."""
        del rate  # the one that Whisper takes
        multilingual = self._model.model.is_multilingual
        language = (self._asked or self.language or "").partition("-")[0] or None
        try:
            segments, info = self._model.transcribe(
                samples,
                language=language if multilingual else None,
                vad_filter=True,
                word_timestamps=True,
                condition_on_previous_text=False,
            )
        except ValueError as error:  # a language that Whisper does not know
            raise ModelError(f"{self.name!r} cannot transcribe ({one_line(error)}); {_ELSE}") from error
        if info.language_probability >= _SURE and info.duration_after_vad > 0:
            self.language = info.language
        for segment in segments:
            if segment.words:
                yield from sentences(segment.words)
            elif segment.text.strip():
                yield Spoken(segment.start, segment.end, segment.text.strip())


def sentences(words: Iterable[Any]) -> Iterator[Spoken]:
    """Words with `start`, `end` and `word`, put together up to the end of a sentence, a pause, or 8 s."""
    held: list[Any] = []
    for word in words:
        if held and (
            word.start - held[-1].end >= _PAUSE_SECONDS
            or word.end - held[0].start > _LONGEST_SECONDS
            or held[-1].word.rstrip().endswith(_SENTENCE_ENDS)
        ):
            yield _together(held)
            held = []
        held.append(word)
    if held:
        yield _together(held)


def _together(words: Sequence[Any]) -> Spoken:
    return Spoken(float(words[0].start), float(words[-1].end), "".join(word.word for word in words).strip())


def _folder(name: str) -> Path:
    """The folder of a model: as it is named, in the local cache, or downloaded."""
    folder = user_path("listen", name)
    if folder.is_dir():
        if missing := [file for file in _FILES if not (folder / file).is_file()]:
            raise ModelError(f"the folder {name!r} holds no {missing[0]}, so no Whisper model; {_ELSE}")
        return folder
    import faster_whisper
    from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]  # re-exported

    known = ", ".join(("tiny", "base", "small", "medium", "large-v3", "turbo"))
    if "/" not in name and name not in faster_whisper.available_models():
        raise ModelError(f"there is no Whisper model {name!r} ({known}, …), and no folder; {_ELSE}")
    try:
        try:
            return Path(faster_whisper.download_model(name, local_files_only=True))
        except OSError:  # not, or not wholly, in the cache
            return Path(faster_whisper.download_model(name))
    except (OSError, ValueError, HFValidationError, HTTPError) as error:
        raise ModelError(
            f"{name!r} is not on this machine and cannot be downloaded ({one_line(error)}); {_ELSE}"
        ) from error
