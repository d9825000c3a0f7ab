"""Addresses: what kind one is, the local path that it names, the content that it holds."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from keyframe_llm.errors import VideoError, shortened

__all__ = ["data_content", "local_path", "scheme_of", "without_password"]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://|(data):[^,]*,", re.IGNORECASE)
_USER = re.compile(r"//[^/?#]*@")


def scheme_of(text: str) -> str | None:
    """The scheme of an address, `scheme://…` or `data:…`, in small letters; None for a path."""
    found = _SCHEME.match(text)
    return None if found is None else (found[1] or found[2]).lower()


def without_password(address: str) -> str:
    """The address without the name and the password that it may hold."""
    return _USER.sub("//", address, count=1)


def local_path(address: str) -> str:
    """The path that a `file://` address names; where a file has that very name, what follows `file://`."""
    plain = address.partition("://")[2]
    parts = urlsplit(address)
    if parts.netloc in ("", "localhost") and not _exists(plain):
        return unquote(parts.path)
    return plain


def data_content(address: str) -> bytes:
    """The content that a `data:` address holds in base64. Raises `VideoError`."""
    head, comma, body = address.partition(",")
    try:
        if not (comma and head.endswith(";base64")):
            raise ValueError("no base64")
        return base64.b64decode(body, validate=True)
    except ValueError as error:
        raise VideoError(
            f"{shortened(address)} holds no file ({error}); give it as data:video/mp4;base64,…"
        ) from error


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
