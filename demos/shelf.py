"""The videos of one person: each has a conversation of its own, and one of them is on the page."""

from __future__ import annotations

from pathlib import Path

from keyframe_llm.demos.models import Models
from keyframe_llm.demos.session import Session
from keyframe_llm.demos.shown_text import shown_name
from keyframe_llm.errors import OptionsError

__all__ = ["MOST_VIDEOS", "Shelf"]

MOST_VIDEOS = 8
"""Videos of one person at a time."""


class Shelf:
    """Sessions, one a video, by names that the page calls them by, and the one in view."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.current = Session(models)
        """The one in view; it has no video while the page is at its beginning."""
        self.files: dict[Session, tuple[Path, Path]] = {}
        """Session → the folder of its video, and the file that it came from, in the order they came."""

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
