"""What can go wrong, as a tree, and the checks of values that raise it.

KeyframeError
├── VideoError      the video cannot be opened or holds no picture
├── ModelError      an encoder or a Video-LLM cannot be loaded or does not answer
└── OptionsError    an option is out of its range (also a ValueError)

Every message is one line: what was wrong, with which value, and what to do. The command line prints it and
exits with status 2.
"""

import errno
import math
import unicodedata
from numbers import Integral, Real
from os import PathLike, fspath
from pathlib import Path

__all__ = [
    "KeyframeError",
    "ModelError",
    "OptionsError",
    "VideoError",
    "as_one_line",
    "check_number",
    "check_whole",
    "shortened",
    "user_path",
]


_IMPOSSIBLE_NAMES = (errno.ENAMETOOLONG, errno.EINVAL)


class KeyframeError(Exception):
    """The base of every error this package raises on purpose."""

    def __init__(self, message: str) -> None:
        """`message` may quote a file's name or a model's answer: it is made one line."""
        super().__init__(as_one_line(message))


class VideoError(KeyframeError):
    """The video cannot be opened, or holds nothing that can be shown."""


class ModelError(KeyframeError):
    """A model cannot be loaded, or failed to answer."""


class OptionsError(KeyframeError, ValueError):
    """An option is outside its range, or two options contradict each other."""


def as_one_line(text: str) -> str:
    """The text with line breaks, control characters and broken letters as escapes, e.g. `\\n`."""
    return "".join(letter if _is_plain(letter) else ascii(letter)[1:-1] for letter in text)


def _is_plain(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def check_whole(name: str, value: object, low: int, high: float = math.inf) -> int:
    """The value as an int; raises `OptionsError` unless it is a whole number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= high:
        span = f"of at least {low}" if high == math.inf else f"from {low} to {high:g}"
        raise OptionsError(f"{name} is {shortened(value)}; give a whole number {span}")
    return int(value)


def check_number(
    name: str, value: object, low: float, high: float = math.inf, *, above: bool = False
) -> float:
    """The value as a float; raises `OptionsError` unless it is finite and in range.

    The range is `low` to `high`, without `low` itself where `above` is set.
    """
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not (math.isfinite(number) and low <= number <= high) or (above and number == low):
        most = "" if high == math.inf else f" to {high:g}"
        span = f"above {low:g}{' and up' if most else ''}{most}" if above else f"from {low:g}{most or ' up'}"
        raise OptionsError(f"{name} is {shortened(value)}; give a number {span}")
    return number


def shortened(value: object, letters: int = 80) -> str:
    """The value as an error message shows it."""
    text = repr(value)
    return text if len(text) <= letters else f"{text[:letters]}…"


def user_path(name: str, value: str | PathLike[str]) -> Path:
    """The path with a leading `~` expanded.

    Raises `OptionsError` where that user or home is not known, or where no file can have such a name.
    """
    try:
        path = Path(value).expanduser()
        path.stat()
    except ValueError as error:  # a null character
        raise OptionsError(f"{name} is {shortened(fspath(value))} ({error}); give another name") from error
    except OSError as error:
        if error.errno in _IMPOSSIBLE_NAMES:
            raise OptionsError(
                f"{name} is {shortened(fspath(value))} ({error.strerror}); give another name"
            ) from error
        return path  # it is missing, or closed to this user: whoever opens it says so
    except RuntimeError as error:
        raise OptionsError(
            f"{name} is {shortened(fspath(value))}, and that home folder is not known; give a full path"
        ) from error
    return path
