"""The outlines of a library as a LanceDB table on disk, for libraries whose outlines do not fit into memory.

The table lies beside the library's file and follows it: SQLite holds the truth, and the folder may be removed
at any time. A large table has an inverted file of rows in one byte a number (IVF_SQ); the rows it finds are
compared again as they are. A graph (IVF_HNSW_SQ) took 131 s to build for 48,000 rows, this 76 s for 160,000.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import KeyframeError, OptionsError, shortened
from keyframe_llm.library.catalogue import OUTLINE_MARK, Catalogue
from keyframe_llm.library.database import sole_writer

__all__ = ["LanceSearch", "check_lancedb"]

_TABLE = "outlines"
_BATCH = 1000
"""Videos written or removed at once: some 25 MB of 768 dimensions."""
_INDEXED_FROM = 30_000
"""Rows from which on a table has an index; fewer are all compared."""
_LOOSE_ROWS, _LOOSE_PARTS = 30_000, 30
"""Rows outside of the index, and parts of the table, that are put in order again."""
_PROBES, _REFINE, _ROWS_A_VIDEO = 20, 2, 4
_MOST_LISTED = 20_000
"""Videos that a query may name; where it would have to name more, more rows are found and looked through."""
_CACHE_BYTES, _WAIT_SECONDS = 256 << 20, 3600.0


def check_lancedb() -> Any:
    """The module `lancedb`; raises `OptionsError` where it is not installed."""
    os.environ.setdefault("LANCEDB_LOG", "error")  # it warns of every new table
    try:
        import lancedb
    except ImportError as error:
        raise OptionsError(
            'the store "lancedb" needs LanceDB; `pip install "keyframe-llm[lancedb]"`, or take the store '
            '"sqlite" again by `keyframe-llm index --store sqlite`'
        ) from error
    return lancedb


class LanceSearch:
    """The outlines of a library on disk; in memory are the numbers of its videos and a bounded cache.

    For one thread at a time. Raises `OptionsError` where LanceDB is missing or the folder cannot be used.
    """

    def __init__(self, catalogue: Catalogue, size: int) -> None:
        """Open the table beside the file of `catalogue`, for rows of `size` numbers, or make it."""
        self._folder = catalogue.path.with_name(catalogue.path.name + ".lance")
        self._size = size
        lancedb = check_lancedb()
        with _table_errors(self._folder):
            cache = lancedb.Session(_CACHE_BYTES, _CACHE_BYTES // 4)
            self._table = self._opened(lancedb.connect(str(self._folder), session=cache))
        self._follow_from(catalogue, self._stored())

    @property
    def videos(self) -> NDArray[np.int64]:
        """(V,) the numbers of the videos, ascending."""
        return np.asarray(self._marks["video"], np.int64)

    def follow(self, catalogue: Catalogue) -> None:
        """Add the videos that are new in the library, and remove those that are gone from it."""
        with _table_errors(self._folder):
            self._table.checkout_latest()
        unchanged = self._table.version == self._version
        self._follow_from(catalogue, self._marks if unchanged else self._stored())

    def best(self, text: NDArray[np.floating], count: int, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """As `OutlineSearch.best`; without all rows compared in a large table."""
        most, rows, wide = min(count, int(allowed.sum())), _ROWS_A_VIDEO * count, not allowed.all()
        if not most:
            return self.videos[:0]
        while True:
            found, more = self._nearest(text, rows, allowed, wide=wide)
            _, first = np.unique(found, return_index=True)
            if len(first) >= most or (wide and not more):
                return found[np.sort(first)][:most]
            rows, wide = rows * 4, True

    def _nearest(
        self, text: NDArray[np.floating], rows: int, allowed: NDArray[np.bool_], *, wide: bool
    ) -> tuple[NDArray[np.int64], bool]:
        """The videos of the rows that fit a text best, each as often as its rows; whether there are more.

        `wide` looks into as much of the index as so many rows need.
        """
        listed_in = allowed.sum() <= len(allowed) / 2
        numbers = self.videos[allowed if listed_in else ~allowed].tolist()
        with _table_errors(self._folder):
            query = self._table.search(np.asarray(text, np.float32)).distance_type("dot")
            if 0 < len(numbers) <= _MOST_LISTED:
                query = query.where(
                    f"video {'' if listed_in else 'NOT '}IN {_listed(numbers)}", prefilter=True
                )
            query = query.minimum_nprobes(_PROBES).maximum_nprobes(0 if wide else _PROBES)
            query = query.refine_factor(_REFINE).select(["video", "_distance"])
            found = np.asarray(query.limit(rows).to_arrow()["video"].to_numpy(), np.int64)
        return found[np.isin(found, self.videos[allowed])], len(found) == rows

    # Following the library ----------------------------------------------------------------------------

    def _opened(self, database: Any) -> Any:
        """The table; a new one where there is none that is whole, or one of other vectors."""
        try:
            table = database.open_table(_TABLE)
            if table.schema.equals(self._schema()):
                return table
        except (ValueError, RuntimeError):  # missing, or its making was cut off
            pass
        return database.create_table(_TABLE, schema=self._schema(), mode="overwrite")

    def _follow_from(self, catalogue: Catalogue, stored: NDArray[np.void]) -> None:
        """Make of the `stored` videos those of the library; one process at a time."""
        self._marks = catalogue.outline_marks()
        if not np.array_equal(self._marks, stored):
            name = f"the index {str(self._folder)!r}"
            with sole_writer(self._folder, name, wait_seconds=_WAIT_SECONDS), _table_errors(self._folder):
                self._table.checkout_latest()
                self._marks, stored = catalogue.outline_marks(), self._stored()
                self._remove(np.setdiff1d(stored, self._marks)["video"].tolist())
                self._append(catalogue, np.setdiff1d(self._marks, stored))
                self._put_in_order()
        self._version = self._table.version

    def _stored(self) -> NDArray[np.void]:
        """The videos in the table, as `Catalogue.outline_marks` has them."""
        parts = [np.zeros(0, OUTLINE_MARK)]
        with _table_errors(self._folder):
            for batch in self._table.search().select(["video", "made"]).to_batches():
                part = np.zeros(len(batch), OUTLINE_MARK)
                part["video"], part["made"] = batch["video"].to_numpy(), batch["made"].to_numpy()
                parts.append(np.unique(part))
        return np.unique(np.concatenate(parts))

    def _schema(self) -> Any:
        import pyarrow as pa

        vector = pa.list_(pa.float16(), self._size)
        return pa.schema([("video", pa.int64()), ("made", pa.float64()), ("vector", vector)])

    def _remove(self, videos: list[int]) -> None:
        for start in range(0, len(videos), _BATCH):
            self._table.delete(f"video IN {_listed(videos[start : start + _BATCH])}")

    def _append(self, catalogue: Catalogue, marks: NDArray[np.void]) -> None:
        """Each batch is whole or not there, whatever happens meanwhile."""
        import pyarrow as pa

        for start in range(0, len(marks), _BATCH):
            some = marks[start : start + _BATCH]
            blobs = [catalogue.outline(video) for video in some["video"].tolist()]
            marked = np.repeat(some, [len(rows) // (2 * self._size) for rows in blobs])
            numbers = pa.array(np.frombuffer(b"".join(blobs), np.float16))
            vectors = pa.FixedSizeListArray.from_arrays(numbers, self._size)
            self._table.add(pa.table([marked["video"], marked["made"], vectors], schema=self._schema()))

    def _put_in_order(self) -> None:
        """Make the index of a table that is large enough, and take up rows that were added since."""
        from lancedb.index import IvfSq

        rows, indices = self._table.count_rows(), [each.name for each in self._table.list_indices()]
        if not indices and rows >= _INDEXED_FROM:
            config = IvfSq("dot", num_partitions=isqrt(rows), max_iterations=10, sample_rate=64)
            self._table.create_index("vector", config=config)
        loose = sum(self._table.index_stats(name).num_unindexed_rows for name in indices)
        parts = self._table.stats()["fragment_stats"]["num_fragments"]
        if loose >= _LOOSE_ROWS or parts >= _LOOSE_PARTS:
            self._table.optimize(cleanup_older_than=timedelta(hours=1))


def _listed(videos: list[int]) -> str:
    return f"({','.join(map(str, videos))})"


@contextmanager
def _table_errors(folder: Path) -> Iterator[None]:
    """Make of every error of the table one line; raises `OptionsError`."""
    try:
        yield
    except KeyframeError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise OptionsError(
            f"the index {str(folder)!r} cannot be used ({shortened(str(error), 200)}); free some space, "
            "check its permissions, or remove that folder: it is made again"
        ) from error
