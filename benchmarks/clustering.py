"""Our search for k beside a loop over scikit-learn: the k, the silhouettes and the time of each.

    python benchmarks/clustering.py            # 1,000 frames, k up to 20
    python benchmarks/clustering.py --frames 2000 --k-max 60

The frames are histograms of a made-up video: shots with colours of their own, which drift, and noise.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from measuring import machine, table
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from keyframe_llm.proposals.kmeans import best_clustering
from keyframe_llm.proposals.kmeans import silhouette as ours

__all__ = ["main"]

GAMMA_TIME = 5.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare the clustering with scikit-learn's loop.")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--k-max", type=int, default=20)
    parser.add_argument("--shots", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    x = video(arguments.frames, arguments.shots, arguments.seed)
    best_clustering(x[:50], 2, 4, 0)  # so that the import counts for neither
    began = time.perf_counter()
    labels, tried = best_clustering(x, 2, arguments.k_max, arguments.seed)
    fast = time.perf_counter() - began
    began = time.perf_counter()
    loop = {k: _one(x, k, arguments.seed) for k in range(2, arguments.k_max + 1)}
    slow = time.perf_counter() - began
    best = max(loop, key=lambda k: loop[k])
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    same = abs(ours(distances, labels) - float(silhouette_score(x, labels)))
    print(f"{machine()}\n")
    head = ("", "seconds", "k tried", "k chosen", "its silhouette")
    rows = [
        ("keyframe-llm", f"{fast:.2f}", len(tried), len(set(labels.tolist())), f"{max(tried.values()):.4f}"),
        ("scikit-learn", f"{slow:.2f}", len(loop), best, f"{loop[best]:.4f}"),
    ]
    print(table(head, rows))
    print(f"\n{slow / fast:.0f} times as fast; on the same labels the silhouettes differ by {same:.1e}")


def _one(x: NDArray[np.float64], k: int, seed: int) -> float:
    labels = KMeans(k, n_init=10, random_state=seed).fit(x).labels_
    return float(silhouette_score(x, labels))


def video(frames: int, shots: int, seed: int) -> NDArray[np.float64]:
    """(N, 257) points as STACFP clusters them: L2 histograms of so many shots, and weighted time."""
    rng = np.random.default_rng(seed)
    colours = rng.dirichlet(np.full(256, 0.05), shots + 1)
    at = np.sort(rng.choice(np.arange(1, frames), shots - 1, replace=False))
    shot = np.searchsorted(at, np.arange(frames), side="right")
    drift = rng.uniform(0, 0.2, frames)[:, None]
    rows = (1 - drift) * colours[shot] + drift * colours[shot + 1] + rng.uniform(0, 2e-3, (frames, 256))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return np.column_stack([rows, GAMMA_TIME * np.linspace(0, 1, frames)])


if __name__ == "__main__":
    main()
