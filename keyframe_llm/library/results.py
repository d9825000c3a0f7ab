"""The folder of a batch: one file a video while it runs, later joined into Parquet parts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keyframe_llm.errors import OptionsError
from keyframe_llm.library.batch import BatchOptions, Row
from keyframe_llm.library.database import sole_writer

__all__ = ["Results", "schema"]

_ROWS_A_PART = 1000


def schema() -> Any:
    """The columns of the table, as a pyarrow schema. Times are seconds; scores and parts are 0–1 or null."""
    pa = _pyarrow()
    text, number = pa.string(), pa.float64()
    parts = [(name, number) for name in ("seconds", "score", "semantic", "temporal", "drop")]
    names = ("caption", "caption_source", "question", "answer", "label", "method", "score_name")
    return pa.schema(
        [
            *((name, text) for name in ("key", "video", "error")),
            ("duration_seconds", number),
            ("average_fps", number),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("codec", text),
            *((name, text) for name in names),
            ("labels", pa.list_(pa.struct([("label", text), ("probability", number)]))),
            ("keyframes", pa.list_(pa.struct([*parts, ("jpeg", pa.binary())]))),
            ("candidates", pa.list_(pa.struct([*parts, ("chosen", pa.bool_())]))),
            ("warnings", pa.list_(text)),
        ]
    )


class Results:
    """The rows in a folder. A row is there whole or not at all, whatever ends the program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows = folder / "_rows"

    @contextmanager
    def opened(self, options: BatchOptions) -> Iterator[None]:
        """Make the folder, or go on with it, as its only writer.

        Raises `OptionsError` where it cannot be written, or holds the rows of other options.
        """
        _pyarrow()
        with self._writable():
            self._rows.mkdir(parents=True, exist_ok=True)
        with sole_writer(self.folder / "_batch", f"the folder {str(self.folder)!r}"):
            self._check_options(options)
            for left in self._rows.glob("*.tmp*"):
                left.unlink()
            yield
        with contextlib.suppress(OSError):
            self._rows.rmdir()

    def written(self) -> set[str]:
        """The keys of all rows."""
        return {path.stem for path in self._rows.glob("*.parquet")} | self._joined()

    def drop(self, keys: set[str]) -> None:
        """Remove rows: they are out of date, or to be made again."""
        from pyarrow import compute, parquet

        with self._writable():
            for key in keys:
                (self._rows / f"{key}.parquet").unlink(missing_ok=True)
        wanted = _pyarrow().array(sorted(keys), "string")
        for path in self._parts() if keys else []:
            if not any(row["key"] in keys for row in _read(path, ["key"])):
                continue
            table = parquet.ParquetFile(path).read()
            kept = table.filter(compute.invert(compute.is_in(table["key"], wanted)))
            if kept.num_rows:
                self._write(path, kept)
            else:
                path.unlink()

    def holds(self, key: str) -> bool:
        """Whether the row is there, in a file of its own."""
        return (self._rows / f"{key}.parquet").exists()

    def write(self, row: Row) -> None:
        """Write one row; raises `OptionsError` where the disk is full or refuses."""
        self._write(self._rows / f"{row['key']}.parquet", _pyarrow().Table.from_pylist([row], schema()))

    def join(self, *, least: int = _ROWS_A_PART) -> None:
        """Join single rows into parts where there are `least` of them; sorted by video within a part."""
        from pyarrow import concat_tables, parquet

        files = sorted(self._rows.glob("*.parquet"))
        joined = self._joined() if len(files) >= least else set()
        fresh = [path for path in files if path.stem not in joined]
        for start in range(0, len(fresh) if len(files) >= least else 0, _ROWS_A_PART):
            some = fresh[start : start + _ROWS_A_PART]
            name = hashlib.sha256("".join(path.stem for path in some).encode()).hexdigest()[:16]
            table = concat_tables([parquet.ParquetFile(path).read() for path in some])
            self._write(self.folder / f"part-{name}.parquet", table.sort_by([("video", "ascending")]))
            for path in some:
                path.unlink()
        for path in files:  # what a part holds since a run that was ended between both
            if path.stem in joined:
                path.unlink()

    def failures(self) -> list[Row]:
        """The columns `key`, `video` and `error` of every video that failed, by all runs, in order."""
        files = [*self._parts(), *self._rows.glob("*.parquet")]
        rows = (row for path in files for row in _read(path, ["key", "video", "error"]))
        return sorted((row for row in rows if row["error"] is not None), key=lambda row: str(row["video"]))

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _joined(self) -> set[str]:
        return {row["key"] for path in self._parts() for row in _read(path, ["key"])}

    def _check_options(self, options: BatchOptions) -> None:
        path, text = self.folder / "_batch.json", json.dumps({"options": repr(options)}, indent=1)
        if not path.exists():
            with self._writable():
                _replace(path, text.encode())
        elif path.read_text(encoding="utf-8") != text:
            raise OptionsError(
                f"{str(self.folder)!r} holds rows made with other options; give another folder"
            )

    def _write(self, path: Path, table: Any) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression="zstd")
        with self._writable():
            _replace(path, sink.getvalue())

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OptionsError(
                f"cannot write to {str(self.folder)!r} ({error.strerror or error}); make room there and run "
                "the same command again: what is written is kept"
            ) from error


def _replace(path: Path, data: Any) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f"{path.name}.tmp{os.getpid()}")
    try:
        with draft.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _read(path: Path, columns: list[str]) -> list[Row]:
    from pyarrow import parquet

    try:
        rows: list[Row] = parquet.ParquetFile(path).read(columns).to_pylist()
    except (OSError, ValueError) as error:
        raise OptionsError(
            f"{str(path)!r} cannot be read ({error}); remove it to do its videos again"
        ) from error
    return rows


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise OptionsError(
            "a batch writes Parquet, which needs pyarrow; `pip install 'keyframe-llm[batch]'`"
        ) from error
    return pyarrow
