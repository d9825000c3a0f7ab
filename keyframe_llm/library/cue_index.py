"""The words of a library's videos: which cues hold which words, by SQLite's FTS5.

FTS5 parts words at spaces. Words of scripts without spaces are looked for as they stand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

__all__ = ["CueIndex", "StoredCue", "WordQuery"]

_LONGEST_SECONDS = 1e12


class StoredCue(NamedTuple):
    """Some words of a video."""

    number: int
    """Its own number: the words of a video are numbered in the order of their times."""
    video: int
    start: float
    """Seconds."""
    end: float
    text: str
    source: str


class WordQuery(NamedTuple):
    """A word to be found in cues."""

    text: str
    """An expression of FTS5; for a script without spaces between words, letters as they stand."""
    spaced: bool

    @property
    def table(self) -> str:
        """Where it is looked for."""
        return "cue_words" if self.spaced else "cues"

    @property
    def key(self) -> str:
        """What numbers the cues there."""
        return "rowid" if self.spaced else "id"

    @property
    def condition(self) -> str:
        """What holds of a cue with the word, whose `text` is the value of the question mark."""
        return "cue_words MATCH ?" if self.spaced else "instr(text, ?) > 0"


class CueIndex:
    """Looks for words in the cues of one library."""

    def __init__(self, rows: Callable[[str, Sequence[object]], list[Any]]) -> None:
        """`rows` gives the rows of a statement with its values."""
        self._rows = rows

    def count(self) -> int:
        """About how many cues there are."""
        return int(self._rows("SELECT coalesce(max(id), 0) FROM cues", ())[0][0])

    def of_video(self, video: int) -> list[StoredCue]:
        """All words of a video, in the order of their times."""
        return self._cues("WHERE video = ? ORDER BY start, id", (video,))

    def holding_count(self, word: WordQuery) -> int:
        """How many cues hold a word."""
        return int(
            self._rows(f"SELECT count(*) FROM {word.table} WHERE {word.condition}", (word.text,))[0][0]
        )

    def holding(self, word: WordQuery, numbers: Sequence[int]) -> set[int]:
        """Those of some cues, by their numbers, that hold a word."""
        # With the plus FTS5 reads the word's cues once, and not anew for every number.
        among = f"{'+' if word.spaced else ''}{word.key} IN (SELECT value FROM json_each(?))"
        statement = f"SELECT {word.key} FROM {word.table} WHERE {word.condition} AND {among}"
        return {int(row[0]) for row in self._rows(statement, (word.text, json.dumps(list(numbers))))}

    def with_any(
        self, words: Sequence[WordQuery], videos: Sequence[int], span: tuple[float, float], most: int
    ) -> list[int]:
        """The numbers of cues in these videos and seconds that hold any of the words, the best first.

        Words that spaces set apart are ranked by BM25, at most `most` of them; then come at most as many cues
        with words of other scripts, those with most of them first.
        """
        spaced = " OR ".join(word.text for word in words if word.spaced)
        others = [word.text for word in words if not word.spaced]
        place = 'video IN (SELECT value FROM json_each(?)) AND start <= ? AND "end" >= ?'
        values = (json.dumps(list(videos)), min(span[1], _LONGEST_SECONDS), span[0])
        found: list[Any] = []
        if spaced:
            found += self._rows(
                "SELECT cues.id FROM cue_words JOIN cues ON cues.id = cue_words.rowid "
                f"WHERE cue_words MATCH ? AND {place} ORDER BY bm25(cue_words), cues.id LIMIT ?",
                (spaced, *values, most),
            )
        if others:
            held = " + ".join("(instr(text, ?) > 0)" for _ in others)
            found += self._rows(
                f"SELECT id FROM (SELECT id, {held} AS held FROM cues WHERE {place}) WHERE held > 0 "
                "ORDER BY held DESC, id LIMIT ?",
                (*others, *values, most),
            )
        return list(dict.fromkeys(int(row[0]) for row in found))

    def around(self, numbers: Sequence[int], steps: int) -> list[StoredCue]:
        """These cues and those at most so many places before and after, in the order they were added."""
        places = sorted({number + step for number in numbers for step in range(-steps, steps + 1)})
        return self._cues("WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id", (json.dumps(places),))

    def _cues(self, which: str, values: Sequence[object]) -> list[StoredCue]:
        rows = self._rows(f'SELECT id, video, start, "end", text, source FROM cues {which}', values)
        return [StoredCue(*row) for row in rows]
