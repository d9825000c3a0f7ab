"""A library whose outlines are searched by LanceDB: the same videos, whatever becomes of its folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from keyframe_llm import OptionsError
from keyframe_llm.arrays import unit_rows
from keyframe_llm.cli import main
from keyframe_llm.library import Library
from keyframe_llm.library import lance as lance_module
from keyframe_llm.library.catalogue import Catalogue, FileState
from keyframe_llm.library.lance import LanceSearch
from keyframe_llm.library.outline import OutlineSearch, outline_of
from support.packages import needs

pytestmark = needs("lancedb", "the `lancedb` extra")

SIZE = 32


class Placed:
    """An encoder that places a text, a number, at the vector of this number."""

    name = "placed"

    def embed_images(self, images: object, /) -> np.ndarray:
        raise NotImplementedError

    def embed_texts(self, texts: Sequence[str], /) -> np.ndarray:
        return np.stack([vector(int(text) if text.isdigit() else 0) for text in texts])


def vector(seed: int) -> np.ndarray:
    return np.asarray(unit_rows(np.random.default_rng(seed).normal(size=SIZE)), np.float32)


def add(catalogue: Catalogue, name: str, seed: int) -> int:
    """A video of 24 candidates, each near one of three vectors that other videos share."""
    rng = np.random.default_rng(seed)
    centres = np.stack([vector(int(topic)) for topic in rng.integers(0, 40, size=3)])
    noise = 0.1 * rng.normal(size=(24, SIZE))
    rows = np.asarray(unit_rows(np.repeat(centres, 8, axis=0) + noise), np.float16)
    with catalogue.transaction():
        number = catalogue.add_video(f"{name} {seed}", 12.0, 12.0, np.arange(24) / 2, rows, outline_of(rows))
        catalogue.set_file(f"/videos/{name}.mp4", number, FileState(0, 0))
    return number


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A library of 60 videos."""
    catalogue = Catalogue(tmp_path / "library.sqlite", create=True)
    for i in range(60):
        add(catalogue, f"{i % 2}/{i}", i)
    catalogue.close()
    return tmp_path / "library.sqlite"


def agree(path: Path, catalogue: Catalogue, found: LanceSearch, share: float = 1.0) -> None:
    """Both stores name the same videos for many texts, among all, some and few of them."""
    exact = OutlineSearch(catalogue.outlines(), SIZE)
    assert found.videos.tolist() == exact.videos.tolist()
    every = np.ones(len(exact.videos), bool)
    places = [every, np.arange(len(every)) % 3 == 0, np.arange(len(every)) % 3 > 0, np.arange(len(every)) < 2]
    hits = []
    for seed in range(5):
        for allowed in [*places, ~every]:
            right = exact.best(vector(seed), 10, allowed)
            some = found.best(vector(seed), 10, allowed)
            assert len(some) == len(right) == len(set(some.tolist()))
            assert np.isin(some, exact.videos[allowed]).all()
            hits.append(np.isin(right, some).mean() if len(right) else 1.0)
    assert np.mean(hits) >= share


def test_it_finds_what_the_default_store_finds_and_a_library_remembers_it(path: Path) -> None:
    default, lance = (Library(path, encoder=Placed(), store=store) for store in ("sqlite", "lancedb"))
    for text in ("1", "7", "23"):
        assert lance.search(text, k=5) == default.search(text, k=5)
        assert lance.search(text, within="/videos/1") == default.search(text, within="/videos/1")
        chosen = lance.search(text, among=lambda name: name.endswith("3.mp4"))
        assert len(chosen) == 6 and all(each.path.endswith("3.mp4") for each in chosen)
    folder = Path(f"{path}.lance")
    assert folder.is_dir()
    shutil.rmtree(folder)
    assert main(["index", "--library", str(path), "--store", "lancedb", "--quiet", str(path.parent)]) == 0
    fresh = Library(path, encoder=Placed())
    assert folder.is_dir() and fresh.search("7") == default.search("7")
    shutil.rmtree(folder)
    assert Library(path, encoder=Placed()).search("7") == default.search("7") and folder.is_dir()
    assert Library(path, encoder=Placed(), store="sqlite").search("7") == default.search("7")


def test_it_follows_videos_that_are_added_changed_and_removed(path: Path) -> None:
    catalogue = Catalogue(path, create=False)
    found, second = LanceSearch(catalogue, SIZE), LanceSearch(catalogue, SIZE)
    agree(path, catalogue, found)
    add(catalogue, "new", 100)
    add(catalogue, "0/4", 101)  # another content in the same file
    catalogue.forget("/videos/1/5.mp4")
    for each in (found, second, LanceSearch(catalogue, SIZE)):
        each.follow(catalogue)
        agree(path, catalogue, each)
    catalogue._run("DELETE FROM videos WHERE id > 60", ())
    assert add(catalogue, "newer", 102) == 61  # a number that is given again
    found.follow(catalogue)
    agree(path, catalogue, found)


def test_a_large_table_has_an_index_that_takes_up_what_is_added(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_INDEXED_FROM", 500), ("_LOOSE_ROWS", 100), ("_BATCH", 7)):
        monkeypatch.setattr(lance_module, name, value)
    catalogue = Catalogue(path, create=False)
    found = LanceSearch(catalogue, SIZE)
    agree(path, catalogue, found, 0.98)
    monkeypatch.setattr(lance_module, "_MOST_LISTED", 5)  # more rows are found and looked through
    for i in range(10):
        add(catalogue, f"new {i}", 200 + i)
    found.follow(catalogue)
    agree(path, catalogue, found, 0.98)
    (index,) = found._table.list_indices()
    assert found._table.index_stats(index.name).num_unindexed_rows == 0


def test_a_folder_that_is_lost_damaged_or_of_other_vectors_is_made_again(path: Path) -> None:
    catalogue = Catalogue(path, create=False)
    folder = Path(f"{path}.lance")
    LanceSearch(catalogue, SIZE // 2)  # as if the library had been made anew with another encoder
    agree(path, catalogue, LanceSearch(catalogue, SIZE))
    shutil.rmtree(folder / "outlines.lance" / "_versions")
    agree(path, catalogue, LanceSearch(catalogue, SIZE))
    (folder / "outlines.lance").chmod(0o755)
    for part in (folder / "outlines.lance" / "data").iterdir():
        part.write_bytes(b"broken")
    with pytest.raises(OptionsError, match=r"remove that folder: it is made again") as caught:
        LanceSearch(catalogue, SIZE)
    assert "\n" not in str(caught.value)
    shutil.rmtree(folder)
    agree(path, catalogue, LanceSearch(catalogue, SIZE))


KILLED = """
import os, signal, sys
from pathlib import Path
from keyframe_llm.library import lance
from keyframe_llm.library.catalogue import Catalogue
lance._BATCH = 10
catalogue = Catalogue(Path(sys.argv[1]), create=False)
read, done = catalogue.outline, []
def outline(video):
    done.append(video)
    if len(done) == 35:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(video)
catalogue.outline = outline
lance.LanceSearch(catalogue, 32)
"""


def test_a_process_killed_while_it_writes_the_folder_loses_nothing(path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=dict(os.environ), check=False)
    assert ended.returncode == -signal.SIGKILL
    catalogue = Catalogue(path, create=False)
    agree(path, catalogue, LanceSearch(catalogue, SIZE))


def test_without_the_package_it_is_one_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    assert main(["index", "--library", str(path), "--store", "lancedb", str(path.parent)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'pip install "keyframe-llm[lancedb]"' in line
