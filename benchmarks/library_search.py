"""How long a library takes to be searched, how many of the right videos it finds, and how large it is.

    python benchmarks/library_search.py                     # 1,000 simulated videos of 128 candidates
    python benchmarks/library_search.py --videos 10000      # 2 GB on disk, a few minutes
    python benchmarks/library_search.py --videos 10000 --store lancedb

The vectors are simulated: each video has 3–20 scenes near topics that many videos share, and the candidates
of a scene are alike. A text lies near one candidate. Recall is the share of the ten videos with the best
single candidates, by comparing all candidates of all videos, that are on the short list.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
from measuring import machine
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.library import Library
from keyframe_llm.library.catalogue import Catalogue, FileState
from keyframe_llm.library.lance import LanceSearch
from keyframe_llm.library.library import STORES
from keyframe_llm.library.moments import Window
from keyframe_llm.library.outline import Outlines, OutlineSearch, outline_of
from keyframe_llm.library.ranking import best_fits

__all__ = ["main"]

_CANDIDATES, _TOPICS, _TEXTS, _SHORTLIST = 128, 400, 20, 64


class Placed:
    """An encoder that places a text at a vector that was made before."""

    name = "simulated"

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors

    def embed_images(self, images: object, /) -> NDArray[np.float32]:
        """No picture is embedded here."""
        raise NotImplementedError

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """The vector whose number a text is; any other text lies at the first one."""
        return np.stack([self.vectors[int(text) if text.isdigit() else 0] for text in texts])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time the search of a library of simulated vectors.")
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--size", type=int, default=768, help="numbers a vector")
    parser.add_argument("--store", choices=STORES, default="sqlite", help="where outlines are searched")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library.sqlite"
        texts = fill(path, arguments.videos, arguments.size)
        print(f"{arguments.videos} videos, {path.stat().st_size / arguments.videos / 1000:.0f} kB each")
        measure(path, texts, arguments.store)


def simulated(videos: int, size: int) -> Iterator[NDArray[np.float16]]:
    """(128, size) unit rows of each video."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(_TOPICS, size)).astype(np.float32)
    for _ in range(videos):
        centres = topics[rng.integers(_TOPICS, size=int(rng.integers(3, 21)))]
        centres = centres + 0.7 * rng.standard_normal(centres.shape, np.float32)
        rows = np.repeat(centres, -(-_CANDIDATES // len(centres)), axis=0)[:_CANDIDATES]
        yield unit_rows(rows + 0.3 * rng.standard_normal(rows.shape, np.float32)).astype(np.float16)


def fill(path: Path, videos: int, size: int) -> NDArray[np.float32]:
    """Write the library; returns the texts' vectors (T, size), each near a candidate of another video."""
    rng, texts = np.random.default_rng(1), []
    catalogue = Catalogue(path, create=True)
    seconds, every = np.arange(_CANDIDATES) / 2, max(1, videos // _TEXTS)
    for i, rows in enumerate(simulated(videos, size)):
        with catalogue.transaction():
            number = catalogue.add_video(str(i), 64.0, 64.0, seconds, rows, outline_of(rows))
            catalogue.set_file(f"/videos/{i}.mp4", number, FileState(0, 0))
        if i % every == 0:
            texts.append(rows[int(rng.integers(len(rows)))] + rng.normal(0, 0.5 / np.sqrt(size), size))
    catalogue.close()
    return np.asarray(unit_rows(np.array(texts)), np.float32)


def search_of(catalogue: Catalogue, size: int, store: str) -> Outlines:
    """The search of all outlines."""
    return LanceSearch(catalogue, size) if store == "lancedb" else OutlineSearch(catalogue.outlines(), size)


def measure(path: Path, texts: NDArray[np.float32], store: str) -> None:
    """Print the times of the stages and of a whole search, and the recall of the short list."""
    catalogue = Catalogue(path, create=False)
    began = time.perf_counter()
    search = search_of(catalogue, texts.shape[1], store)
    print(f"outlines read into memory, or onto disk: {time.perf_counter() - began:.2f} s")
    del search
    began, process = time.perf_counter(), psutil.Process()
    before = process.memory_info().rss
    search = search_of(catalogue, texts.shape[1], store)
    print(f"opened again: {time.perf_counter() - began:.2f} s")
    numbers = search.videos.tolist()
    paths = dict.fromkeys(numbers, "")
    allowed = np.ones(len(numbers), bool)
    spent: dict[str, list[float]] = {"outlines": [], "candidates of 64 videos": []}
    listed = []
    for text in texts:
        began = time.perf_counter()
        listed.append(search.best(text, _SHORTLIST, allowed))
        middle = time.perf_counter()
        best_fits(catalogue.videos(listed[-1].tolist(), paths, len(text)), text, Window())
        spent["outlines"].append(middle - began)
        spent["candidates of 64 videos"].append(time.perf_counter() - middle)
    print(f"memory of the second one: {(process.memory_info().rss - before) / 1e6:.0f} MB")
    folder = path.with_name(path.name + ".lance")
    print(f"its folder: {sum(each.stat().st_size for each in folder.rglob('*')) / 1e6:.0f} MB")
    best = np.empty((len(texts), len(numbers)))
    for start in range(0, len(numbers), 100):
        some = catalogue.videos(numbers[start : start + 100], paths, texts.shape[1])
        for t, text in enumerate(texts):
            best[t, start : start + len(some)] = best_fits(some, text, Window())
    exact = search.videos[np.argsort(-best, axis=1)[:, :10]]
    recall = np.mean([np.isin(right, found).mean() for right, found in zip(exact, listed, strict=True)])
    for stage, times in spent.items():
        print(f"{stage}: median {np.median(times) * 1000:.0f} ms")
    print(f"recall@10 of the short list: {recall:.3f}")
    library = Library(path, encoder=Placed(texts), store=store)
    whole = []
    for number in range(len(texts)):
        began = time.perf_counter()
        library.search(str(number))
        whole.append(time.perf_counter() - began)
    print(f"a whole search, with the key frames of 20 videos chosen: median {np.median(whole) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
