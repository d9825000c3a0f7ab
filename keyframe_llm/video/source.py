"""Opens a video file with FFmpeg, safely; a file that cannot be read gives a one-line error."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from keyframe_llm.errors import VideoError
from keyframe_llm.video.byte_source import Place
from keyframe_llm.video.hardware import hardware_device
from keyframe_llm.video.promises import check_promises

__all__ = [
    "av_errors",
    "check_path",
    "demux",
    "open_container",
    "picture_bound",
    "unreferenced_are_marked",
    "video_stream",
]

# Containers that hold their own pictures. Playlists (hls, dash, concat) and picture sequences (image2) are
# left out, because they make FFmpeg open other files or connect to other machines.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegtsraw,mpegvideo,flv,asf,ogg,gif,apng,"
    "h264,hevc,vvc,m4v,mjpeg,h263,h261,ivf,obu,av1,vc1,vc1test,nut,mxf,rm,dv,wtv,gxf,yuv4mpegpipe,amv,bink,"
    "smk,flic,swf,nsv,roq,nuv,xmv,viv,mp3,wav,flac,aac,w64,aiff,ac3"
)
# A title in an unknown encoding must not make the video unreadable. PyAV 19 does this by default.
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_ROUNDING_PIXELS = 1 << 16
# Their streams say of each picture whether any other refers to it.
_MARKED_CODECS = ("h264", "av1", "mpeg1video", "mpeg2video", "mpeg4")
_HVCC_LAYERS = 21  # the byte of HEVC's configuration that holds the number of temporal layers
_NO_PROTOCOL = "none"  # bytes are read by a file object, and FFmpeg opens nothing by itself


def check_path(path: str | os.PathLike[str]) -> str:
    """The path of a readable local file; raises `VideoError` for anything else (a URL, a folder, a pipe)."""
    text = os.fspath(path)
    if "://" in text:
        raise VideoError(f"{text} is a URL, and only local files are read; download it first")
    try:
        status = Path(text).stat()
    except (OSError, ValueError) as error:
        raise VideoError(f"{text}: {_system_reason(error)}") from error
    if stat.S_ISDIR(status.st_mode):
        raise VideoError(f"{text} is a folder; give the path of a video file in it")
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{text} is not a regular file; give the path of a video file")
    if status.st_size == 0:
        raise VideoError(f"{text} is empty (0 bytes); copy or download it again")
    return text


def _system_reason(error: OSError | ValueError) -> str:
    code = getattr(error, "errno", None)
    if code in (errno.ENOENT, errno.ENOTDIR):
        return "no such file; check the path"
    if code in (errno.EACCES, errno.EPERM):
        return "permission denied; make the file readable for this user"
    return f"cannot be read ({getattr(error, 'strerror', None) or error}); check the path"


@contextmanager
def av_errors(path: str) -> Iterator[None]:
    """Turn every error that FFmpeg or the system raises on `path` into a one-line `VideoError`."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: {_ffmpeg_reason(error)}") from error
    except OSError as error:
        raise VideoError(f"{path}: {_system_reason(error)}") from error


def _ffmpeg_reason(error: av.error.FFmpegError) -> str:
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return _system_reason(error)
    detail = " ".join(str(error.strerror or error).split())
    if isinstance(error, av.error.InvalidDataError):
        return f"not a video that can be read, or damaged ({detail}); check it in a player, or make it again"
    return f"cannot be read as a video ({detail}); check it in a player, or convert it to MP4"


def open_container(
    place: Place, max_pixels: int | None = None, hardware: str | None = None
) -> InputContainer:
    """Open a video file; references to other files are not followed. Raises `VideoError`.

    FFmpeg decodes a few pictures where the header says too little; `max_pixels` bounds those pictures.
    """
    local = isinstance(place, str)
    path = place if isinstance(place, str) else place.name
    with av_errors(path):
        check_promises(place)
        protocols = {"protocol_whitelist": "file" if local else _NO_PROTOCOL}
        device = {} if hardware is None else {"hwaccel": hardware_device(hardware)}
        try:
            opened: InputContainer = av.open(
                # With a protocol before it, a colon in the name of the file does not mean another protocol.
                f"file:{place}" if isinstance(place, str) else place.open(),
                "r",
                container_options={"format_whitelist": _CONTAINERS, **protocols},
                options=picture_bound(max_pixels),
                **_LENIENT,
                **device,
            )
        except RuntimeError as error:  # PyAV raises it where the device does not know the codec
            raise VideoError(f"{path}: {hardware} does not decode this codec; leave out hardware") from error
        return opened


def demux(container: InputContainer, stream: Any) -> Iterator[Packet[Any]]:
    """The packets of one stream, of several, or of all (None), from the current position to the end.

    Other streams may begin only in the middle of a file; PyAV has no entry for them, and stumbles.
    """
    while True:
        try:
            yield from container.demux() if stream is None else container.demux(stream)
            return
        except IndexError:
            continue


def picture_bound(max_pixels: int | None) -> dict[str, str]:
    """FFmpeg options that refuse much larger pictures before memory is allocated for them.

    FFmpeg counts allocated rows, which are rounded up, so its bound is a quarter higher. Readers check again.
    """
    return {} if max_pixels is None else {"max_pixels": str(max_pixels + max_pixels // 4 + _ROUNDING_PIXELS)}


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """The stream to decode: the one FFmpeg prefers, but never a cover picture. Raises `VideoError`."""
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        kinds = {"a cover picture" if s.type == "video" else s.type for s in container.streams} or {"nothing"}
        raise VideoError(
            f"{path} holds no video (only {' and '.join(sorted(kinds))}); give a file with a picture track"
        )
    best = container.streams.best("video")
    stream = next((s for s in moving if best is not None and s.index == best.index), moving[0])
    if stream.codec_context is None:
        raise VideoError(f"{path}: its video codec is not one this FFmpeg can decode; convert it to H.264")
    return stream


def unreferenced_are_marked(stream: VideoStream) -> bool:
    """Whether frames decoded without the unreferenced ones are those of a full decode for certain.

    HEVC marks a picture as unreferenced within its temporal layer: that suffices where there is one.
    """
    context = stream.codec_context
    name, extra = context.codec.canonical_name, context.extradata or b""
    if name != "hevc":
        return name in _MARKED_CODECS
    return len(extra) > _HVCC_LAYERS and extra[0] == 1 and extra[_HVCC_LAYERS] >> 3 & 7 == 1
