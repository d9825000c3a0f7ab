"""Write a clip of the drawn world to a video file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from keyframe_llm.cartoon import DRAWN
from keyframe_llm.cartoon.world.drawing import draw_frame
from keyframe_llm.cartoon.world.scenes import Clip

__all__ = ["write_clip"]


def write_clip(
    clip: Clip, path: str | Path, *, fps: int = 12, width: int = 320, height: int = 240, smooth: int = 1
) -> None:
    """Encode the clip as H.264 in MP4, key frames at most 2 s apart; `smooth` is that of `draw_frame`."""
    import av

    with av.open(str(path), "w") as container:
        container.metadata["comment"] = DRAWN
        stream = container.add_stream("libx264", rate=fps, options={"crf": "23", "g": str(2 * fps)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, fps)
        for i in range(max(1, round(clip.duration_seconds * fps))):
            drawn = draw_frame(clip.frame_at(i / fps), width=width, height=height, smooth=smooth)
            frame = av.VideoFrame.from_ndarray(drawn, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
