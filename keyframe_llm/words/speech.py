"""Speech of a video: its sound, piece by piece, through a recogniser, as cues on the video's clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Progress
from keyframe_llm.errors import KeyframeError, ModelError, OptionsError, VideoError, shortened
from keyframe_llm.hub import one_line
from keyframe_llm.video.byte_source import Place
from keyframe_llm.words.audio import RATE, AudioReader, Sound
from keyframe_llm.words.cleaning import RawCue, clean
from keyframe_llm.words.clock import VideoClock
from keyframe_llm.words.cues import Words
from keyframe_llm.words.languages import known_tag

__all__ = ["Recogniser", "load_recogniser", "read_speech"]


class Recogniser(Protocol):
    """What hears speech. Its optional attribute `language`, read after each call, is that of the speech.

    An optional attribute `identity`, a text, lets what it heard be kept on disk.
    """

    def transcribe(self, samples: NDArray[np.float32], rate: int) -> Iterable[Any]:
        """The sentences in (n,) mono samples from -1 to 1, `rate` of them a second.

        Each is an object with `start` and `end`, in seconds from the first sample, and `text`: a `Cue`, or
        anything with these attributes; or a tuple (start, end, text).
        """
        ...


def load_recogniser(listen: str | object, language: str | None = None) -> Recogniser:
    """The recogniser of that name, or the object itself.

    A name is a Whisper model for faster-whisper (`small`, a hub id, a folder), or `http://host:port/v1#name`
    of a server that speaks OpenAI's `/v1/audio/transcriptions`. Raises `ModelError` where it cannot be had,
    `OptionsError` for an object without `transcribe`.
    """
    if not isinstance(listen, str):
        if not callable(getattr(listen, "transcribe", None)):
            raise OptionsError(
                f"listen is {shortened(listen)}; give a name, or an object with transcribe(samples, rate)"
            )
        return cast(Recogniser, listen)
    if listen.startswith(("http://", "https://")):
        from keyframe_llm.words.transcription_server import ServerRecogniser

        return ServerRecogniser(listen, language=language)
    from keyframe_llm.words.whisper import WhisperRecogniser

    return WhisperRecogniser(listen, language=language)


def read_speech(
    place: Place,
    clock: VideoClock,
    listen: str | object,
    language: str | None = None,
    *,
    progress: Progress | None = None,
) -> Words:
    """The cues of what is said, with warnings where nothing is heard or the sound is damaged.

    Raises `ModelError` where the recogniser cannot be had or fails, `OptionsError` for an object that is
    none.
    """
    reader = AudioReader(place, clock, language)
    sounds = reader.sounds()
    try:
        first = next(sounds, None)  # before a model is loaded: there may be nothing to hear
    except VideoError as error:
        return Words((), (str(error),))
    raw: list[RawCue] = []
    spoken: str | None = None
    if first is not None:
        recogniser = load_recogniser(listen, language)
        sound: Sound | None = first
        while sound is not None:
            if progress is not None:
                progress("listen", _share(sound.start, clock))
            raw += _heard(recogniser, sound)
            spoken = spoken or known_tag(getattr(recogniser, "language", None))
            sound = next(sounds, None)
    found = clean(
        raw,
        source="speech",
        language=spoken or language,
        duration_seconds=clock.duration_seconds,
        markup="none",
    )
    return Words(tuple(found.cues), tuple(_warnings(reader, silent=first is None, cues=len(found.cues))))


def _share(seconds: float, clock: VideoClock) -> float:
    return min(1.0, max(0.0, seconds / clock.duration_seconds)) if clock.duration_seconds else 0.0


def _heard(recogniser: Recogniser, sound: Sound) -> list[RawCue]:
    try:
        return [_on_clock(each, sound) for each in recogniser.transcribe(sound.samples, RATE)]
    except KeyframeError:
        raise
    except Exception as error:  # an object of the user's own may fail in any way
        raise ModelError(
            f"the recogniser {type(recogniser).__name__} failed at {max(0.0, sound.start):.1f} s "
            f"({type(error).__name__}: {one_line(error)}); see its documentation, or name another"
        ) from error


def _on_clock(spoken: Any, sound: Sound) -> RawCue:
    start, end, text = spoken if isinstance(spoken, tuple) else (spoken.start, spoken.end, spoken.text)
    return RawCue(sound.start + float(start), sound.start + float(end), str(text))


def _warnings(reader: AudioReader, *, silent: bool, cues: int) -> list[str]:
    warnings = []
    if reader.damaged_packets:
        warnings.append(
            f"{reader.path}: its audio is damaged ({reader.damaged_packets} packets); "
            f"{reader.heard_seconds:.1f} s of it could be heard"
        )
    elif silent:
        warnings.append(f"{reader.path}: its audio is silent, so nothing is heard; check it in a player")
    elif not cues:
        warnings.append(f"{reader.path}: no speech was recognised in its audio; try a larger model")
    return warnings
