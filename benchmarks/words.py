"""What words cost, and whether what is said is found where it is said.

    python benchmarks/words.py --subtitles hour.mp4       # `select`, and reading 1,190 cues of MP4 and MKV
    python benchmarks/words.py --listen FOLDER            # 20 planted sentences, 3 formats, sound 2 s late

Needs `ffmpeg` on the path, and `espeak-ng` to speak. Each figure is the median of three runs.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import machine, measured, table

from keyframe_llm.options import WordOptions
from keyframe_llm.words import read_words

__all__ = ["main"]

# A sentence, and a word of it that no other one has.
FACTS = [
    ("The deadline for the report is next Friday.", "deadline"),
    ("Please remember to water the plants.", "water"),
    ("The red train leaves in ten minutes.", "train"),
    ("My grandmother baked an apple cake.", "cake"),
    ("The password of the server was changed.", "password"),
    ("Turn left at the second traffic light.", "traffic"),
    ("The museum is closed on Mondays.", "museum"),
    ("We sold four hundred bicycles last year.", "bicycles"),
    ("The doctor will see you at half past three.", "doctor"),
    ("Add a spoon of sugar and stir slowly.", "sugar"),
    ("The budget for marketing was doubled.", "budget"),
    ("Our flight to London was cancelled.", "flight"),
    ("The dog is sleeping under the table.", "dog"),
    ("Press the green button to start the engine.", "button"),
    ("The library opens at nine in the morning.", "library"),
    ("It will rain tomorrow in the mountains.", "rain"),
    ("The orchestra plays a symphony tonight.", "orchestra"),
    ("He painted the kitchen yellow.", "kitchen"),
    ("The contract was signed in October.", "contract"),
    ("She won the race by two seconds.", "race"),
]
_EVERY_SECONDS, _LATE_SECONDS, _RUNS = 9.0, 2.0, 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure words.")
    parser.add_argument("--subtitles", type=Path, metavar="VIDEO", help="a long video to add subtitles to")
    parser.add_argument("--listen", metavar="NAME", help="a recogniser")
    asked = parser.parse_args()
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        if asked.subtitles:
            print(subtitles(asked.subtitles.resolve(), Path(folder)))
        if asked.listen:
            print(speech(asked.listen, Path(folder)))


def subtitles(video: Path, folder: Path) -> str:
    """What reading an hour's subtitles costs beside a selection without them."""
    beside = folder / "text.srt"
    beside.write_text("".join(_cue(3 * n, f"line {n} of an hour of talk") for n in range(1190)))
    select = [sys.executable, "-m", "keyframe_llm.cli", "select", "--no-cache", "--quiet", "--no-subtitles"]
    rows = []
    for ending, codec in (("mp4", "mov_text"), ("mkv", "srt")):
        made = folder / f"with.{ending}"
        maps = ["-map", "0:v:0", "-map", "1", "-c:v", "copy", "-c:s", codec]
        _ffmpeg("-i", str(video), "-i", str(beside), *maps, str(made))
        whole = statistics.median(measured([*select, str(made)]).wall_seconds for _ in range(_RUNS))
        spent = statistics.median(_seconds(made) for _ in range(_RUNS))
        rows.append(
            (ending, len(read_words(made).cues), f"{whole:.1f}", f"{spent:.3f}", f"{spent / whole:.2%}")
        )
    return table(("", "cues", "select s", "words s", "more"), rows)


def _seconds(video: Path) -> float:
    began = time.perf_counter()
    read_words(video)
    return time.perf_counter() - began


def speech(listen: str, folder: Path) -> str:
    """How many planted sentences are heard, in a cue that begins within a second of the truth."""
    sound, starts = _talk(folder)
    rows = []
    for ending in ("mp4", "mkv", "ts"):
        made, length = folder / f"talk.{ending}", f"{starts[-1] + 20:g}"
        picture = ["-f", "lavfi", "-i", f"testsrc2=s=320x180:r=25:d={length}"]
        late = ["-itsoffset", f"{_LATE_SECONDS:g}", "-i", str(sound)]
        _ffmpeg(*picture, *late, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", str(made))
        began = time.perf_counter()
        cues = read_words(made, WordOptions(subtitles=False, listen=listen)).cues
        spent = time.perf_counter() - began
        errors = [
            min(
                (abs(cue.start - start - _LATE_SECONDS) for cue in cues if word in cue.text.lower()),
                default=99,
            )
            for start, (_, word) in zip(starts, FACTS, strict=True)
        ]
        found = sum(error <= 1 for error in errors)
        heard = [error for error in errors if error < 99]
        rows.append(
            (ending, f"{found} of {len(FACTS)}", f"{max(heard, default=0):.2f}", f"{spent:.1f}", length)
        )
    return table(("", "found within 1 s", "worst s", "took s", "of s"), rows)


def _talk(folder: Path) -> tuple[Path, list[float]]:
    """A sound file of all sentences, and when each begins."""
    starts = [1 + _EVERY_SECONDS * n for n in range(len(FACTS))]
    inputs: list[str] = []
    for n, (text, _) in enumerate(FACTS):
        spoken = folder / f"{n}.wav"
        subprocess.run(["espeak-ng", "-v", "en", "-s", "150", "-w", str(spoken), text], check=True)
        inputs += ["-i", str(spoken)]
    delays = ";".join(f"[{n}]adelay={round(start * 1000)}[a{n}]" for n, start in enumerate(starts))
    mixed = "".join(f"[a{n}]" for n in range(len(starts))) + f"amix={len(starts)}:normalize=0"
    _ffmpeg(*inputs, "-filter_complex", f"{delays};{mixed}", str(folder / "talk.wav"))
    return folder / "talk.wav", starts


def _cue(second: int, text: str) -> str:
    def clock(at: int) -> str:
        return f"{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d},000"

    return f"{second // 3 + 1}\n{clock(second)} --> {clock(second + 2)}\n{text}\n\n"


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


if __name__ == "__main__":
    main()
