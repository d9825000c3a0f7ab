"""Small videos with known truth: every picture carries its own number and coloured corners."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from support.encoders import ColourEncoder

__all__ = [
    "BITS",
    "CORNERS",
    "FLAGS",
    "ColourEncoder",
    "box",
    "claim_key_frames",
    "corners",
    "draw",
    "flag_at",
    "flag_of",
    "flags",
    "hide_start",
    "index_first",
    "long_video",
    "number",
    "picture",
    "promise_samples",
    "set_matrix",
]

BITS = 8
CORNERS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 220), "yellow": (220, 220, 30)}


def picture(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """(height, width, 3): the number as eight bars, lowest bit left, between four coloured corners."""
    image = np.full((height, width, 3), 128, np.uint8)
    bars = [255 if number >> bit & 1 else 0 for bit in range(BITS)]
    columns = np.arange(width) * BITS // width
    image[height // 3 : height - height // 3] = np.array(bars, np.uint8)[columns][None, :, None]
    rows, cols = height // 4, width // 4
    image[:rows, :cols], image[:rows, -cols:] = CORNERS["red"], CORNERS["green"]
    image[-rows:, :cols], image[-rows:, -cols:] = CORNERS["blue"], CORNERS["yellow"]
    return image


def number(image: np.ndarray) -> int:
    """The number that `picture` drew, from an upright image of any size."""
    height, width, _ = image.shape
    band = image[height // 2 - height // 12 : height // 2 + height // 12 + 1].mean(axis=(0, 2))
    centres = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    return sum(int(band[c] > 128) << bit for bit, c in enumerate(centres))


def corners(image: np.ndarray) -> list[str]:
    """The colours nearest to the four corners: top left, top right, bottom left, bottom right."""
    height, width, _ = image.shape
    y, x = height // 10, width // 10
    spots = [
        image[y, x],
        image[y, width - 1 - x],
        image[height - 1 - y, x],
        image[height - 1 - y, width - 1 - x],
    ]
    return [min(CORNERS, key=lambda c: np.abs(spot.astype(int) - CORNERS[c]).sum()) for spot in spots]


def draw(
    path: Path,
    seconds: Sequence[float],
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (96, 64),
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    pixel_shape: Fraction | None = None,
    rate: int = 25,
    images: Sequence[Any] | None = None,
    colour: dict[str, int] | None = None,
    container_format: str | None = None,
    time_base: Fraction | None = None,
    container_options: dict[str, str] | None = None,
    first_number: int = 0,
    sound_seconds: float = 0.0,
) -> Path:
    """Encode one numbered picture for each time in `seconds`, and silence if wanted.

    `images` are shown instead, if given: (H, W, 3) RGB or (H, W, 4) RGBA arrays; for the pixels `pal8`, pairs
    of (H, W) indices and a (256, 4) palette of alpha, red, green, blue.
    """
    with av.open(str(path), "w", format=container_format, options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        usual = Fraction(1, 1000) if codec != "mpeg4" else Fraction(1, rate)
        stream.codec_context.time_base = time_base or usual
        heard = 0
        sound = container.add_stream("aac", rate=8000, layout="mono") if sound_seconds else None
        if pixel_shape is not None:
            stream.codec_context.sample_aspect_ratio = pixel_shape
        for name, value in (colour or {}).items():
            setattr(stream.codec_context, name, value)
        for i, second in enumerate(seconds):
            image = picture((first_number + i) % 256, *size) if images is None else images[i]
            kind = "pal8" if pixels == "pal8" else "rgba" if image.shape[2] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(image, format=kind)
            if colour:
                frame = frame.reformat(
                    format=pixels, dst_colorspace=colour["colorspace"], dst_color_range=colour["color_range"]
                )
            base = stream.codec_context.time_base
            frame.pts, frame.time_base = round(second / base), base
            if sound is not None:
                heard = _add_silence(container, sound, heard, min(second, sound_seconds))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            _add_silence(container, sound, heard, sound_seconds)
            container.mux(sound.encode(None))
    return path


def _add_silence(container: Any, sound: Any, start: int, until_seconds: float) -> int:
    """Add silence from one sample on; returns the sample that comes next."""
    rate, length = sound.codec_context.sample_rate, 1024
    while start < until_seconds * rate:
        frame = av.AudioFrame.from_ndarray(np.zeros((1, length), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start
        container.mux(sound.encode(frame))
        start += length
    return start


def set_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write the display matrix of an MP4's first track: a, b, c, d are -1, 0 or 1."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version and flags, times, ids, layer, volume come before
    unit = 1 << 16
    struct.pack_into(">9i", data, at, a * unit, b * unit, 0, c * unit, d * unit, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def hide_start(path: Path, media_ticks: int) -> Path:
    """Hide the first frames: the edit list of an MP4 begins that many ticks of its media time scale later."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4 + 4 + 4  # version and flags, number of entries
    duration, begin = struct.unpack_from(">Ii", data, at)
    struct.pack_into(">Ii", data, at, duration, begin + media_ticks)
    path.write_bytes(data)
    return path


def _box(data: bytes | bytearray, kind: bytes) -> tuple[int, int]:
    """Where the first box of that kind begins, and its length."""
    at = data.index(kind) - 4
    return at, struct.unpack_from(">I", data, at)[0]


_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def box(kind: bytes, content: bytes) -> bytes:
    """A box of an MP4."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _put_box(data: bytearray, kind: bytes, content: bytes) -> None:
    """Replace or add a table of the first track of an MP4 whose index comes last."""
    new = box(kind, content)
    if kind in data:
        at, length = _box(data, kind)
    else:
        (at, length), length = _box(data, b"stsc"), 0
    data[at : at + length] = new
    for parent in _PARENTS:
        start, size = _box(data, parent)
        struct.pack_into(">I", data, start, size + len(new) - length)


def claim_key_frames(path: Path, *, every: int) -> Path:
    """Have the index of an MP4 list every so-manieth frame as a key frame, whatever it is."""
    data = bytearray(path.read_bytes())
    at, _ = _box(data, b"stsz")
    (count,) = struct.unpack_from(">I", data, at + 16)
    numbers = range(1, count + 1, every)
    _put_box(data, b"stss", struct.pack(f">II{len(numbers)}I", 0, len(numbers), *numbers))
    path.write_bytes(data)
    return path


def promise_samples(path: Path, count: int) -> Path:
    """Have the tables of an MP4 promise that many samples of one byte each."""
    data = bytearray(path.read_bytes())
    _put_box(data, b"stts", struct.pack(">4I", 0, 1, count, 1))
    _put_box(data, b"stsc", struct.pack(">5I", 0, 1, 1, count, 1))
    _put_box(data, b"stsz", struct.pack(">3I", 0, 1, count))
    path.write_bytes(data)
    return path


def index_first(path: Path) -> Path:
    """Move the index of an MP4 to the front, so that the file survives being cut."""
    data, boxes, at = path.read_bytes(), {}, 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        boxes[kind] = bytearray(data[at : at + size])
        at += size
    moov = boxes[b"moov"]
    table = moov.index(b"stco") + 8
    (count,) = struct.unpack_from(">I", moov, table)
    offsets = struct.unpack_from(f">{count}I", moov, table + 4)
    struct.pack_into(f">{count}I", moov, table + 4, *(offset + len(moov) for offset in offsets))
    rest = [box for kind, box in boxes.items() if kind not in (b"ftyp", b"moov")]
    path.write_bytes(b"".join([boxes[b"ftyp"], moov, *rest]))
    return path


def long_video(path: Path, seconds: float, event: tuple[float, float], *, fps: int = 5) -> Path:
    """Grey noise in groups of 8 s; green from the first to the second time of `event`, without a cut."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(100, 140, (64, 96, 3)).astype(np.uint8) for _ in range(7)]
    green = np.full((64, 96, 3), (20, 200, 20), np.uint8)
    times = np.arange(0, seconds, 1 / fps).tolist()
    images = [green if event[0] <= t < event[1] else noise[i % 7] for i, t in enumerate(times)]
    group = str(8 * fps)
    options = {"g": group, "keyint_min": group, "sc_threshold": "0", "bf": "2"}
    return draw(path, times, images=images, rate=fps, options=options)


FLAGS = (("red", (200, 20, 20), 14.0), ("blue", (20, 20, 200), 2.0), ("green", (20, 200, 20), 14.0))
"""What `flags` shows: name, colour, seconds."""


def flags(path: Path, *, fps: int = 5) -> Path:
    """Thirty seconds: 14 red, 2 blue, 14 green, with a little noise."""
    rng = np.random.default_rng(0)
    images = [
        np.clip(np.array(colour) + rng.integers(-20, 20, (64, 96, 3)), 0, 255).astype(np.uint8)
        for _, colour, seconds in FLAGS
        for _ in range(round(seconds * fps))
    ]
    return draw(path, [i / fps for i in range(len(images))], images=images, rate=fps)


def flag_at(second: float) -> str:
    """The name of the colour that `flags` shows at a time."""
    return "red" if second < 14 else "blue" if second < 16 else "green"


def flag_of(image: np.ndarray) -> str:
    """The name of the colour a picture of `flags` has."""
    return ("red", "green", "blue")[int(np.argmax(np.asarray(image, np.float64).mean((0, 1))))]
