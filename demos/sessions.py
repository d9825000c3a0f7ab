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

from keyframe_llm.demos.models import Models
from keyframe_llm.demos.preview import Preview
from keyframe_llm.demos.session import Session
from keyframe_llm.demos.startup import Startup

__all__ = ["GRACE_SECONDS", "RESULTS", "Sessions"]

RESULTS = "results-"
"""What the folders begin with that hold results of the API, or of a session that has no video any more."""

GRACE_SECONDS = 1800.0
"""How long a session is kept after its page was closed or lost."""


class Sessions:
    """Sessions by name, each with a folder whose name cannot be guessed.

    A page load has a name of its own, until `join` binds it to the session that the browser tab names.
    """

    def __init__(self, models: Models, folder: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        self.models, self.folder, self.grace_seconds = models, folder, grace_seconds
        self.startup = Startup(models)
        self._sessions: dict[str, Session] = {}
        self._names: dict[str, str] = {}
        """Page load → the name of its session."""
        self._timers: dict[str, Timer] = {}
        self._files: dict[str, tuple[Path, Path]] = {}
        self.previews: dict[Path, Preview] = {}
        """Video → its preview, where a browser could not play the video."""
        self._lock = Lock()

    def join(self, load: str, name: str) -> bool:
        """Bind a page load to the session of that name; return whether that session existed."""
        with self._lock:
            self._names[load] = name
            if load in self._sessions and name not in self._sessions:
                self._sessions[name] = self._sessions.pop(load)
                if load in self._files:
                    self._files[name] = self._files.pop(load)
            if timer := self._timers.pop(name, None):
                timer.cancel()
            return name in self._sessions

    def session(self, load: str) -> Session:
        """The session of a page load, made when it is first asked for."""
        with self._lock:
            return self._sessions.setdefault(self._name(load), Session(self.models))

    def leave(self, load: str) -> None:
        """A page was closed or lost: end its session after the grace, unless another page joins it."""
        with self._lock:
            name = self._name(load)
            self._names.pop(load, None)
            if name in self._names.values() or name not in self._sessions:
                return
            if timer := self._timers.pop(name, None):
                timer.cancel()
            # A page that only lost its connection goes on with the load it has.
            self._names[load] = name
            timer = Timer(self.grace_seconds, self._end_unless_used, (name, load))
            timer.daemon = True
            self._timers[name] = timer
            timer.start()

    def take(self, load: str, upload: Path) -> Path:
        """Link an upload into a folder of the session, in place of the one before; return the new path.

        Gradio stores the same file once for all who upload it: each session has a link of its own.
        """
        self.remove_files(load)
        own = self.folder / secrets.token_urlsafe(16)
        own.mkdir()
        path = own / upload.name
        try:
            os.link(upload, path)
        except OSError:  # a file system without links
            shutil.copy2(upload, path)
        with self._lock:
            self._files[self._name(load)] = (own, upload)
        return path

    def remove_files(self, load: str) -> None:
        """Remove the files of a session; an upload that another session uses too stays."""
        with self._lock:
            own, upload = self._files.pop(self._name(load), (None, None))
            if own is None or upload is None:
                return
            self.previews.pop(own / upload.name, None)
            shutil.rmtree(own, ignore_errors=True)
        self.discard(upload)

    def discard(self, upload: Path) -> None:
        """Remove an upload unless it is an example or a session uses it."""
        with self._lock:
            used = any(upload == other for _, other in self._files.values())
        if not used and "examples" not in upload.relative_to(self.folder).parts[:1]:
            upload.unlink(missing_ok=True)

    def end(self, load: str) -> None:
        """End a session: stop its job, forget it, remove its files."""
        with self._lock:
            session = self._sessions.pop(self._name(load), None)
        if session is not None:
            session.stop()
        self.remove_files(load)

    def close(self) -> None:
        """End all sessions, for the server ends."""
        for name in list(self._sessions):
            self.end(name)
        for timer in list(self._timers.values()):
            timer.cancel()

    def _name(self, load: str) -> str:
        return self._names.get(load, load)

    def _end_unless_used(self, name: str, load: str) -> None:
        with self._lock:
            timer = self._timers.pop(name, None)
            if timer is None:
                return
            self._names.pop(load, None)
        self.end(name)
