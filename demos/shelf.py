"""The videos of one person: each has a conversation of its own, and each page has one of them in view."""

from __future__ import annotations

from pathlib import Path

from keyframe_llm.demos.models import Models
from keyframe_llm.demos.session import Session
from keyframe_llm.demos.shown_text import shown_name
from keyframe_llm.errors import OptionsError

__all__ = ["MOST_VIDEOS", "Shelf"]

BEGINNING = "-"
"""What a browser tab keeps in place of a video's folder where the page is at its beginning."""
MOST_VIDEOS = 8
"""Videos of one person at a time."""


class Shelf:
    """Sessions, one a video, by names that the page calls them by, and the one in view.

    Two pages may have the same videos, as of a browser tab that was duplicated: each has a shelf of its own.
    """

    def __init__(self, models: Models, whole: Shelf | None = None) -> None:
        """Of a page, `whole` is the shelf of all pages that have the same videos; None: this is it."""
        self.models, self._whole = models, whole
        self._current = Session(models) if whole is None else whole.current
        self.files: dict[Session, tuple[Path, Path]] = {} if whole is None else whole.files
        """Session → the folder of its video, and the file that it came from, in the order they came."""
        self.shown: list[tuple[str, str]] = []
        """The videos that the page was last told of, as of `names`."""

    @property
    def current(self) -> Session:
        """The session in view; it has no video while the page is at its beginning.

        Of the shelf of several pages it is what one of them brought into view last.
        """
        return self._current

    @current.setter
    def current(self, session: Session) -> None:
        self._current = session
        if self._whole is not None:
            self._whole.current = session

    def look_at(self, folder: str) -> None:
        """Bring the video in a folder of that name into view; of the name `-`, the beginning of the page."""
        for session, (own, _) in self.files.items():
            if own.name == folder:
                self.current = session
        if folder == BEGINNING:
            self.begin()

    @property
    def sessions(self) -> list[Session]:
        """All sessions: those that have a video, and the one in view."""
        return [*self.files, *([] if self.current in self.files else [self.current])]

    def room(self) -> Session:
        """A session without a video for the next one; raises `OptionsError` where there are too many."""
        if len(self.files) >= MOST_VIDEOS:
            raise OptionsError(
                f"{MOST_VIDEOS} videos are open, which is the most; choose one of them and put it away first"
            )
        return self._empty()

    def _empty(self) -> Session:
        if self.current not in self.files:
            return self.current
        fresh = Session(self.models)
        fresh.settings = self.current.settings
        return fresh

    def choose(self, name: str) -> Session:
        """Bring the video of that name into view; where it is gone, leave what is."""
        for session in self.files:
            if session.name == name:
                session.settings = self.current.settings or session.settings
                self.current = session
        return self.current

    def gather(self, session: Session) -> None:
        """Bring what was said about this video in an earlier session into its own conversation."""
        assert session.video is not None
        for other in self.sessions:
            for turn in [turn for turn in other.turns if turn.about == session.video.name]:
                if other is not session:
                    other.turns.remove(turn)
                    session.turns.append(turn)

    def begin(self) -> Session:
        """Go to the beginning of the page, where another video is given; the others stay."""
        self.current = self._empty()
        return self.current

    def names(self) -> list[tuple[str, str]]:
        """What the page shows of each video, and what it calls it by, in the order they came."""
        return [(shown_name(upload.name), session.name) for session, (_, upload) in self.files.items()]
