"""A video at an address, where whoever runs the page allows it: fetched as a whole, within the limits."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from keyframe_llm.demos.session import Session
from keyframe_llm.demos.upload import largest_upload, size_name
from keyframe_llm.errors import OptionsError, VideoError, shortened
from keyframe_llm.video.addresses import scheme_of, without_password
from keyframe_llm.video.server import RemoteLimits
from keyframe_llm.video.temporary import TooLargeError
from keyframe_llm.video.web import open_address

__all__ = ["Fetch"]

_PIECE = 1 << 20
_LONGEST_ADDRESS = 2000
_LONGEST_NAME = 80


class Fetch:
    """The transfer of one video: how far it is, and the file once it is there."""

    def __init__(self, address: str, folder: Path, session: Session, most_bytes: int | None = None) -> None:
        """`folder` is where the video gets a folder of its own; `session` hears of the progress.

        `most_bytes` are taken, by default as many as of an upload.
        """
        self.most_bytes = largest_upload(folder) if most_bytes is None else most_bytes
        self.address, self.folder, self.session = address.strip(), folder, session
        self.share = 0.0
        self.path: Path | None = None

    def work(self) -> None:
        """Fetch the video as a whole.

        Raises `VideoError` where it cannot be had or is too large, `OptionsError` where the text is no
        address of http or https, `Stopped` where it was given up.
        """
        if len(self.address) > _LONGEST_ADDRESS or scheme_of(self.address) not in ("http", "https"):
            shown = shortened(without_password(self.address))
            raise OptionsError(f"the address is {shown}; give one that begins with http:// or https://")
        self._reached("", 0.0)
        most = size_name(self.most_bytes)
        try:
            source = open_address(self.address, self._reached, RemoteLimits(most_bytes=self.most_bytes))
        except TooLargeError as error:  # of a server that does not say how large it is, or gives no parts
            raise VideoError(
                f"the video has more than the {most} that are taken here; give another"
            ) from error
        if source.size > self.most_bytes:
            raise VideoError(f"the video has {size_name(source.size)}; at most {most} are taken here")
        path = self.folder / secrets.token_urlsafe(16) / _plain(source.file_name)
        path.parent.mkdir()
        try:
            with path.open("wb") as out:
                while piece := source.read_at(out.tell(), _PIECE):
                    out.write(piece)
                    self._reached("", out.tell() / source.size)
        except BaseException:
            path.unlink(missing_ok=True)
            path.parent.rmdir()
            raise
        self.path = path

    def drawn(self) -> str:
        """How far it is, with a button that gives it up; empty when it is over."""
        if not self.session.stage:
            return ""
        share = f"{min(1.0, self.share):.0%}"
        return (
            f'<div class="kf-stages" role="status"><p>Fetching the video: {share} '
            '<button type="button" class="kf-tool" data-stop>Cancel</button></p>'
            f'<div class="kf-bar"><div style="width:{share}"></div></div></div>'
        )

    def _reached(self, stage: str, share: float) -> None:
        self.share = share
        self.session.progress("download", share)


def _plain(name: str) -> str:
    """A name without anything that a path or a page could take for more than a name."""
    return re.sub(r"[^\w.-]+", "_", name)[-_LONGEST_NAME:].lstrip(".") or "video"
