"""The sessions of a page and the files that belong to each: kept apart, and removed with the session."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from threading import Lock

from keyframe_llm.demos.models import Models
from keyframe_llm.demos.session import Session

__all__ = ["Sessions"]


class Sessions:
    """Sessions by the name of a browser tab, each with a folder whose name cannot be guessed."""

    def __init__(self, models: Models, folder: Path) -> None:
        self.models, self.folder = models, folder
        self._sessions: dict[str, Session] = {}
        self._files: dict[str, tuple[Path, Path]] = {}
        self._lock = Lock()

    def session(self, name: str) -> Session:
        """The session of that name, made when it is first asked for."""
        with self._lock:
            return self._sessions.setdefault(name, Session(self.models))

    def take(self, name: str, upload: Path) -> Path:
        """Link an upload into a folder of the session, in place of the one before; return the new path.

        Gradio stores the same file once for all who upload it: each session has a link of its own.
        """
        self.remove_files(name)
        own = self.folder / secrets.token_urlsafe(16)
        own.mkdir()
        path = own / upload.name
        try:
            os.link(upload, path)
        except OSError:  # a file system without links
            shutil.copy2(upload, path)
        with self._lock:
            self._files[name] = (own, upload)
        return path

    def remove_files(self, name: str) -> None:
        """Remove the files of a session; an upload that another session uses too stays."""
        with self._lock:
            own, upload = self._files.pop(name, (None, None))
            if own is None or upload is None:
                return
            shutil.rmtree(own, ignore_errors=True)
        self.discard(upload)

    def discard(self, upload: Path) -> None:
        """Remove an upload unless it is an example or a session uses it."""
        with self._lock:
            used = any(upload == other for _, other in self._files.values())
        if not used and "examples" not in upload.relative_to(self.folder).parts[:1]:
            upload.unlink(missing_ok=True)

    def end(self, name: str) -> None:
        """End a session: stop its job, forget it, remove its files."""
        with self._lock:
            session = self._sessions.pop(name, None)
        if session is not None:
            session.stop()
        self.remove_files(name)
