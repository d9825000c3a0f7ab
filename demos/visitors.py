"""Who is on the page, and the files each of them brought: kept apart, and removed when they are done with."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from threading import Lock

from keyframe_llm.demos.models import Models
from keyframe_llm.demos.session import Session

__all__ = ["Visitors"]


class Visitors:
    """Sessions by the page's own random name for a browser tab, each with a folder nobody can guess."""

    def __init__(self, models: Models, folder: Path) -> None:
        self.models, self.folder = models, folder
        self._sessions: dict[str, Session] = {}
        self._brought: dict[str, tuple[Path, Path]] = {}
        self._lock = Lock()

    def session(self, who: str) -> Session:
        """The session of that tab, made at its first visit."""
        with self._lock:
            return self._sessions.setdefault(who, Session(self.models))

    def bring(self, who: str, upload: Path) -> Path:
        """Take an uploaded file into the tab's own folder, in place of what was there; return its new path.

        Two people who upload the same file are given the same upload: each has a link of their own to it.
        """
        self.put_away(who)
        own = self.folder / secrets.token_urlsafe(16)
        own.mkdir()
        path = own / upload.name
        try:
            os.link(upload, path)
        except OSError:  # a file system without links
            shutil.copy2(upload, path)
        with self._lock:
            self._brought[who] = (own, upload)
        return path

    def put_away(self, who: str) -> None:
        """Remove the files a tab brought; an upload that somebody else uses too stays for them."""
        with self._lock:
            own, upload = self._brought.pop(who, (None, None))
            if own is None or upload is None:
                return
            shutil.rmtree(own, ignore_errors=True)
        self.discard(upload)

    def discard(self, upload: Path) -> None:
        """Remove an upload unless it is an example or somebody uses it."""
        with self._lock:
            used = any(upload == other for _, other in self._brought.values())
        if not used and "examples" not in upload.relative_to(self.folder).parts[:1]:
            upload.unlink(missing_ok=True)

    def leave(self, who: str) -> None:
        """End a session: stop what it is doing, forget it, remove its files."""
        with self._lock:
            session = self._sessions.pop(who, None)
        if session is not None:
            session.stop()
        self.put_away(who)
