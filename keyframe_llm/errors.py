"""What can go wrong, as a tree.

KeyframeError
├── VideoError      the video cannot be opened or holds no picture
├── ModelError      an encoder or a Video-LLM cannot be loaded or does not answer
└── OptionsError    an option is out of its range (also a ValueError)

Every message is one line: what was wrong, with which value, and what to do. The command line prints it and
exits with status 2.
"""

__all__ = ["KeyframeError", "ModelError", "OptionsError", "VideoError"]


class KeyframeError(Exception):
    """The base of every error this package raises on purpose."""


class VideoError(KeyframeError):
    """The video cannot be opened, or holds nothing that can be shown."""


class ModelError(KeyframeError):
    """A model cannot be loaded, or failed to answer."""


class OptionsError(KeyframeError, ValueError):
    """An option is outside its range, or two options contradict each other."""
