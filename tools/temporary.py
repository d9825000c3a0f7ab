"""Private folders for what must not outlive the process."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp

__all__ = ["private_folder"]


def private_folder(owner: object) -> Path:
    """Make a folder that this user alone may read; it is deleted with `owner`, or when Python ends."""
    folder = Path(mkdtemp(prefix="keyframe-llm-")).resolve()
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder
