"""What is heard: talk spoken by espeak-ng into a small video, and the cues that a recogniser makes of it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.world.talk import Talk
from keyframe_llm.errors import OptionsError
from keyframe_llm.options import WordOptions
from keyframe_llm.words import Cue, read_words

__all__ = ["heard_cues", "write_spoken"]

_RATE = 22_050
_FPS = 2


def heard_cues(talk: Talk, seconds: float, listen: str | object) -> tuple[Cue, ...]:
    """The cues that the recogniser `listen` makes of a talk. Raises `OptionsError` without espeak-ng."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_spoken(talk, seconds, Path(folder) / "spoken.mp4")
        return read_words(path, WordOptions(subtitles=False, listen=listen, language="en")).cues


def write_spoken(talk: Talk, seconds: float, path: Path) -> Path:
    """Write a grey video of that length in which every cue is spoken when it starts."""
    import av

    with av.open(str(path), "w") as container:
        shown: Any = container.add_stream("libx264", rate=_FPS)
        shown.width, shown.height, shown.pix_fmt = 64, 64, "yuv420p"
        heard: Any = container.add_stream("aac", rate=_RATE, layout="mono")
        for i in range(int(seconds * _FPS)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, _FPS)
            container.mux(shown.encode(frame))
        container.mux(shown.encode(None))
        sound = _sound(talk, seconds)
        for start in range(0, len(sound), 1024):
            piece = av.AudioFrame.from_ndarray(
                sound[None, start : start + 1024], format="fltp", layout="mono"
            )
            piece.sample_rate, piece.pts, piece.time_base = _RATE, start, Fraction(1, _RATE)
            container.mux(heard.encode(piece))
        container.mux(heard.encode(None))
    return path


def _sound(talk: Talk, seconds: float) -> NDArray[np.float32]:
    """(n,) samples of a talk; a sentence that runs into the next one is cut there."""
    sound = np.zeros(int(seconds * _RATE), np.float32)
    for i, cue in enumerate(talk.cues):
        first = int(cue.start * _RATE)
        last = int(talk.cues[i + 1].start * _RATE) if i + 1 < len(talk.cues) else len(sound)
        spoken = _spoken(cue.text)[: max(0, last - first)]
        room = sound[first : first + len(spoken)]
        room += spoken[: len(room)]
    return sound


def _spoken(text: str) -> NDArray[np.float32]:
    """(n,) samples from -1 to 1 of a sentence, 22,050 a second, without the header of the file."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise OptionsError("what is heard needs espeak-ng on this machine; install it, or leave out --listen")
    made = subprocess.run([program, "-v", "en-us", "--stdout", "--", text], capture_output=True, check=True)
    samples = np.frombuffer(made.stdout[44:], np.int16).astype(np.float32)
    return np.asarray(samples / 32768, np.float32)
