"""The sessions of a page and the files that belong to each: kept apart, and removed with the session.

A browser tab keeps the name of its session, a long random one. A session outlives its page by some minutes,
so that a reload, the Back button or a broken network loses nothing.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from threading import Lock, Timer

from keyframe_llm.demos.decoding import forget_pictures
from keyframe_llm.demos.memory import give_back_memory
from keyframe_llm.demos.models import Models
from keyframe_llm.demos.preview import Preview
from keyframe_llm.demos.session import Session
from keyframe_llm.demos.shelf import Shelf
from keyframe_llm.demos.startup import Startup
from keyframe_llm.errors import OptionsError
from keyframe_llm.words.tracks import files_beside

__all__ = ["GRACE_SECONDS", "RESULTS", "Sessions"]

RESULTS = "results-"
"""What the folders begin with that hold results of the API, or of a session that has no video any more."""

GRACE_SECONDS = 1800.0
"""How long a session is kept after its page was closed or lost."""
_MOST_LEFT = 1000
"""Page loads that are remembered after they were closed."""


class Sessions:
    """The videos of each person by the name of the browser tab; each video has a folder of its own.

    The names of the folders cannot be guessed.

    A page load has a name of its own, until `join` binds it to the session that the browser tab names.
    """

    def __init__(self, models: Models, folder: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        self.models, self.folder, self.grace_seconds = models, folder, grace_seconds
        self.startup = Startup(models)
        self._shelves: dict[str, Shelf] = {}
        """Name of a session → the videos of all pages that show it."""
        self._views: dict[str, Shelf] = {}
        """Page load → the same videos, with the one that this page has in view."""
        self._names: dict[str, str] = {}
        """Page load → the name of its session."""
        self._left: dict[str, str] = {}
        """The same of page loads that were closed or lost: what they asked for before may come later."""
        self._timers: dict[str, Timer] = {}
        self.previews: dict[Path, Preview] = {}
        """Video → its preview, where a browser could not play the video."""
        self._lock = Lock()

    def join(self, load: str, name: str, folder: str = "") -> bool:
        """Bind a page load to the session of that name; return whether that session existed.

        `folder` names what the browser tab had in view (see `Shelf.look_at`); empty: what was in view last.
        """
        with self._lock:
            closed = load in self._left
            (self._left if closed else self._names)[load] = name
            before = self._views.get(load)
            if load in self._shelves:
                self._merge(self._shelves.pop(load), name)
            if not closed and (timer := self._timers.pop(name, None)):
                timer.cancel()
            known = name in self._shelves
            if known and before is None:
                self._view(load).look_at(folder)
            elif before is not None and before.current.video is not None:  # one was given before
                self._view(load).current = before.current
            return known

    def _merge(self, shelf: Shelf, name: str) -> None:
        """Bring what a page was given before it joined into its session; the lock is held."""
        whole = self._shelves.setdefault(name, shelf)
        whole.files.update(shelf.files)

    def shelf(self, load: str) -> Shelf:
        """The videos of a page load, made when they are first asked for, with the one it has in view."""
        with self._lock:
            view, name = self._view(load), self._name(load)
            if load in self._left and name not in self._timers:
                self._end_later(name)
            return view

    def _view(self, load: str) -> Shelf:
        """The shelf of a page load; the lock is held."""
        name, view = self._name(load), self._views.get(load)
        if name not in self._shelves:
            self._shelves[name] = Shelf(self.models)
        if view is None or view.files is not self._shelves[name].files:
            view = self._views[load] = Shelf(self.models, self._shelves[name])
        return view

    def session(self, load: str) -> Session:
        """The session in view."""
        return self.shelf(load).current

    def leave(self, load: str) -> None:
        """A page was closed or lost: end its session after the grace, unless another page joins it.

        A page that only lost its connection goes on with the load it has.
        """
        with self._lock:
            self._left[load] = name = self._name(load)
            self._names.pop(load, None)
            while len(self._left) > _MOST_LEFT:
                forgotten = next(iter(self._left))
                del self._left[forgotten]
                self._views.pop(forgotten, None)
            self._end_later(name)

    def _end_later(self, name: str) -> None:
        """End a session after the grace, if it is one and no page shows it; the lock is held."""
        if name in self._names.values() or name not in self._shelves:
            return
        if timer := self._timers.pop(name, None):
            timer.cancel()
        timer = Timer(self.grace_seconds, self._end_unless_used, (name,))
        timer.daemon = True
        self._timers[name] = timer
        timer.start()

    def add_video(self, load: str, path: Path, questions: tuple[str, ...] = ()) -> Session:
        """Bring a video at a path into view, beside those that are open; return its session.

        The file stays where it is: the session has a link of its own, and of the subtitles beside it.
        `questions` are examples to ask. Raises `OptionsError` where too many videos are open.
        """
        session, video = self.take(load, path)
        session.open(video, questions)
        return session

    def take(self, load: str, upload: Path) -> tuple[Session, Path]:
        """Link a video into a folder of a session of its own, which comes into view; return both.

        Gradio stores the same file once for all who upload it: each session has a link of its own. Raises
        `OptionsError` where too many videos are open.
        """
        shelf = self.shelf(load)
        own = self.folder / secrets.token_urlsafe(16)
        own.mkdir()
        for file in (upload, *files_beside(upload)):
            _link(file, own / file.name)
        try:
            return self._shelved(load, shelf, own, upload), own / upload.name
        except OptionsError:
            shutil.rmtree(own, ignore_errors=True)
            raise

    def _shelved(self, load: str, shelf: Shelf, own: Path, upload: Path) -> Session:
        """Find room for a video and bring it into view, in one step: others may come at the same time."""
        with self._lock:
            session = shelf.room()
            shelf.files[session] = (own, upload)
            shelf.current = session
            whole = self._shelves.setdefault(self._name(load), shelf)  # which may have ended meanwhile
            if whole.files is not shelf.files:
                self._merge(shelf, self._name(load))
                self._view(load).current = session
            if load in self._left:
                self._end_later(self._name(load))
        return session

    def remove_files(self, load: str) -> None:
        """Remove the files of the video in view; an upload that another session uses too stays."""
        shelf = self.shelf(load)
        self._remove(shelf, shelf.current)

    def _remove(self, shelf: Shelf, session: Session) -> None:
        with self._lock:
            own, upload = shelf.files.pop(session, (None, None))
            if own is None or upload is None:
                return
            self.previews.pop(own / upload.name, None)
            forget_pictures(own / upload.name)
            shutil.rmtree(own, ignore_errors=True)
        self.discard(upload)
        give_back_memory()

    def discard(self, upload: Path) -> None:
        """Remove an upload unless it is an example, no upload at all, or a session uses it."""
        with self._lock:
            shelves = list(self._shelves.values())
            used = any(upload == other for shelf in shelves for _, other in shelf.files.values())
        own = upload.is_relative_to(self.folder)
        if own and not used and "examples" not in upload.relative_to(self.folder).parts[:1]:
            upload.unlink(missing_ok=True)

    def end(self, load: str) -> None:
        """End the sessions of a page load: stop their jobs, forget them, remove their files."""
        with self._lock:
            shelf = self._shelves.pop(self._name(load), None)
            if shelf is None:
                return
            pages = [page for page, view in self._views.items() if view.files is shelf.files]
            views = [shelf, *map(self._views.pop, pages)]
        for session in {session for view in views for session in view.sessions}:
            session.stop()
            self._remove(shelf, session)

    def close(self) -> None:
        """End all sessions, for the server ends."""
        for name in list(self._shelves):
            self.end(name)
        for timer in list(self._timers.values()):
            timer.cancel()

    def _name(self, load: str) -> str:
        return self._names.get(load) or self._left.get(load, load)

    def _end_unless_used(self, name: str) -> None:
        with self._lock:
            if self._timers.pop(name, None) is None:
                return
        self.end(name)


def _link(file: Path, path: Path) -> None:
    try:
        os.link(file, path)
    except OSError:  # another file system, or one without links; Gradio serves no symbolic ones
        shutil.copy2(file, path)
