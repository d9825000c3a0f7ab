"""Speech recognition by a server that speaks OpenAI's `/v1/audio/transcriptions`."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import ModelError
from keyframe_llm.hub import one_line
from keyframe_llm.openai_client import openai_client
from keyframe_llm.words.whisper import Spoken

__all__ = ["ServerRecogniser"]

_ELSE = "another URL, or the name of a Whisper model that runs here"
_RETRIES = 2
# Whisper's own rule for a segment in which nothing is said.
_NO_SPEECH, _UNSURE = 0.6, -1.0


class ServerRecogniser:
    """A recogniser behind a server. Sound travels to it as WAV, two minutes at a time at most."""

    def __init__(self, url: str, *, language: str | None = None, timeout_seconds: float = 600.0) -> None:
        """`url` is `http://host:port/v1#model`; a key is taken from `OPENAI_API_KEY`.

        Raises `ModelError` where the `openai` package or the model's name is missing.
        """
        self._client, self._address, self._model = openai_client(
            url, timeout_seconds=timeout_seconds, retries=_RETRIES
        )
        if not self._model:
            raise ModelError(f"{url!r} names no model; give {self._address}#name, e.g. #whisper-1")
        self._asked = (language or "").partition("-")[0] or None
        self.language: str | None = None
        """The language of what was transcribed, where the server says it by its tag."""

    def transcribe(self, samples: NDArray[np.float32], rate: int) -> Iterator[Spoken]:
        """The segments that the server hears in (n,) samples. Raises `ModelError`."""
        answer = self._ask(_wav(samples, rate))
        segments = getattr(answer, "segments", None)
        if segments is None and (getattr(answer, "text", None) or "").strip():
            raise ModelError(
                f"the server {self._address} gives {self._model!r}'s words without times; name a model that "
                f"answers in verbose_json, as whisper-1 does, or {_ELSE}"
            )
        self.language = getattr(answer, "language", None)
        for segment in segments or ():
            silent = (_value(segment, "no_speech_prob") or 0.0) > _NO_SPEECH
            if not (silent and (_value(segment, "avg_logprob") or 0.0) < _UNSURE):
                start, end = float(_value(segment, "start")), float(_value(segment, "end"))
                yield Spoken(start, end, str(_value(segment, "text")))

    def _ask(self, content: bytes) -> Any:
        import openai

        language: dict[str, Any] = {"language": self._asked} if self._asked else {}
        server = f"the server {self._address}"
        try:
            return self._client.audio.transcriptions.create(
                model=self._model,
                file=("sound.wav", content, "audio/wav"),
                response_format="verbose_json",
                temperature=0.0,
                **language,
            )
        except openai.APIStatusError as error:
            said = one_line(ValueError(f"{error.status_code} {error.response.text}"))
            raise ModelError(
                f"{server} refused to transcribe with {self._model!r} ({said}); check `#name`, that the URL "
                f"ends in /v1, and OPENAI_API_KEY, or give {_ELSE}"
            ) from error
        except openai.APITimeoutError as error:
            raise ModelError(f"{server} took too long to transcribe; see its log, or give {_ELSE}") from error
        except openai.APIError as error:
            why = one_line(error.__cause__ or error)
            raise ModelError(f"{server} cannot be reached ({why}); start it, or give {_ELSE}") from error
        except ValueError as error:  # an answer that is no JSON
            raise ModelError(
                f"{server} answered with what is no transcript ({one_line(error)}); give {_ELSE}"
            ) from error


def _value(segment: Any, name: str) -> Any:
    return segment.get(name) if isinstance(segment, dict) else getattr(segment, name, None)


def _wav(samples: NDArray[np.float32], rate: int) -> bytes:
    """The samples as a WAV file of 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()
