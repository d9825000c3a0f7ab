"""What the pixels of a stream need: a decoder that keeps transparency, or the palette of its start."""

from __future__ import annotations

from av.codec import CodecContext
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

__all__ = ["alpha_decoder", "claims_transparency", "means_transparency", "needs_first_palette"]

# FFmpeg's own decoders of these leave out the transparency that WebM keeps beside the pictures.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Pictures of these codecs bring their own palette; others have it in the packets before them.
_OWN_PALETTE = ("png", "apng", "gif", "bmp", "tiff", "targa", "pcx", "sgi", "xwd", "sunrast")


def alpha_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """A decoder that keeps a WebM stream's transparency; None: the usual one does, or there is none."""
    if not claims_transparency(stream):
        return None
    name = _WITH_ALPHA.get(stream.codec_context.codec.canonical_name)
    if name is None:
        return None
    try:
        context = CodecContext.create(name, "r")
    except UnknownCodecError:
        return None
    assert isinstance(context, VideoCodecContext)
    return context


def claims_transparency(stream: VideoStream) -> bool:
    """Whether a WebM stream says that it has transparency beside its pictures."""
    return stream.metadata.get("alpha_mode") == "1"


def means_transparency(container: InputContainer, stream: VideoStream) -> bool:
    """Whether an alpha channel of the pictures is one: the fourth byte of an AVI's raw pixels is not used."""
    raw = stream.codec_context.codec.canonical_name == "rawvideo"
    return not (raw and container.format.name == "avi")


def needs_first_palette(frame: VideoFrame, stream: VideoStream) -> bool:
    """Whether the colours of all pictures depend on a palette that earlier packets bring."""
    return frame.format.name == "pal8" and stream.codec_context.codec.canonical_name not in _OWN_PALETTE
