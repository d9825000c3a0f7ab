"""What thin sampling of a long video costs in quality, beside dense sampling (`--exhaustive`).

    python benchmarks/quality.py FOLDER                 # FOLDER: the real footage of `keyframe-llm eval`
    python benchmarks/quality.py FOLDER --like-4k --minutes 2    # planned as if the pictures were so large

Cuts of 2–8 s of captioned clips are joined into a video, and encoded twice: as x264 does by itself, with key
frames where the picture changes, and with a key frame every 5 s whatever happens, as streaming services do.
The tables say how many of the cuts the proposals show, with no text, and how often one of three key frames
lies in the moment of a caption (hit@3).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from make_video import Cut, encode
from measuring import machine, table

from keyframe_llm.encoders import Encoder
from keyframe_llm.evaluation.joined import real_encoder, subjects
from keyframe_llm.index import Indexer
from keyframe_llm.options import SelectOptions
from keyframe_llm.video import sparse

__all__ = ["main"]

HEIGHT = 360
ENCODINGS = {
    "key frames at cuts": ["-preset", "veryfast"],
    "key frames every 5 s": ["-preset", "veryfast", "-g", "150", "-sc_threshold", "0"],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description="Measure what thin sampling of long videos costs in quality."
    )
    parser.add_argument("folder", type=Path, help="footage; real_encoder.py lies beside it")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--videos", type=int, default=2, help="how many joined videos (default 2)")
    parser.add_argument("--no-text", action="store_true", help="leave out the captions, which take longest")
    parser.add_argument(
        "--like-4k", action="store_true", help="plan as if the pictures had 3840 × 2160 pixels"
    )
    arguments = parser.parse_args()
    if arguments.like_4k:
        sparse._DETAIL_PIXELS = sparse._DETAIL_PIXELS * HEIGHT**2 // 2160**2
    encoder = None if arguments.no_text else real_encoder(arguments.folder)
    found: dict[tuple[str, str], list[list[float]]] = {}
    for seed in range(arguments.videos):
        cuts, captions = joined(arguments.folder, 60 * arguments.minutes, seed)
        for encoding, options in ENCODINGS.items():
            with tempfile.TemporaryDirectory() as folder:
                video = Path(folder) / "joined.mp4"
                edges = encode(cuts, video, options, HEIGHT)
                for sampling in ("thin", "dense"):
                    row = measure(video, edges, captions, encoder, exhaustive=sampling == "dense")
                    found.setdefault((encoding, sampling), []).append(row)
    print(f"{machine()}; {arguments.videos} videos of {arguments.minutes:g} min\n")
    head = (
        "encoding",
        "sampling",
        "seconds",
        "samples",
        "cuts sampled",
        "cuts proposed",
        "under 3 s",
        "hit@3",
    )
    rows = []
    for (encoding, sampling), values in found.items():
        took, samples, *shares = np.nanmean(values, axis=0)
        rows.append(
            (encoding, sampling, f"{took:.1f}", f"{samples:.0f}", *(f"{share:.3f}" for share in shares))
        )
    print(table(head, rows))


def joined(folder: Path, seconds: float, seed: int) -> tuple[list[Cut], list[list[str]]]:
    """Cuts of captioned moments in random order, and the captions of each."""
    rng = np.random.default_rng([11, seed])
    cast = subjects()
    cuts: list[Cut] = []
    captions: list[list[str]] = []
    while sum(cut.seconds for cut in cuts) < seconds:
        subject = cast[int(rng.integers(len(cast)))]
        name, start, end = subject["moments"][int(rng.integers(len(subject["moments"])))]
        length = min(float(rng.uniform(2.0, 8.0)), end - start)
        cuts.append(Cut(folder / name, float(rng.uniform(start, max(start, end - length))), length))
        captions.append(subject["captions"])
    return cuts, captions


def measure(
    video: Path, edges: list[float], captions: list[list[str]], encoder: Encoder | None, *, exhaustive: bool
) -> list[float]:
    """Seconds, samples, share of cuts sampled, proposed, proposed of the short ones, and hit@3."""
    options = SelectOptions(exhaustive=exhaustive)
    indexer = Indexer(encoder) if encoder is not None else Indexer()
    began = time.perf_counter()
    chosen = indexer.select(video, options)
    took = time.perf_counter() - began
    lengths = np.diff(edges)
    proposed = _held(chosen.proposals.seconds, edges)
    sampled = _held(chosen.proposals.sampled_seconds, edges)
    hits = []
    for caption in sorted({text for texts in captions for text in texts}) if encoder is not None else []:
        seen = _held(indexer.select(video, options, caption=caption).seconds, edges)
        hits.append(any(seen[i] for i, texts in enumerate(captions) if caption in texts))
    brief = proposed[lengths < 3.0]
    parts = (
        took,
        chosen.sampled_frames,
        sampled.mean(),
        proposed.mean(),
        brief.mean() if len(brief) else np.nan,
    )
    return [*map(float, parts), float(np.mean(hits)) if hits else float("nan")]


def _held(seconds: np.ndarray, edges: list[float]) -> np.ndarray:
    """Which cuts hold at least one of these times."""
    counts, _ = np.histogram(seconds, bins=edges)
    return counts > 0


if __name__ == "__main__":
    main()
