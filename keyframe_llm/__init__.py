"""Give a Video-LLM the two or three frames that matter.

>>> from keyframe_llm import select_keyframes
>>> selection = select_keyframes("video.mp4")  # doctest: +SKIP
>>> selection.seconds  # doctest: +SKIP
"""

from keyframe_llm.data import Frames, Proposals, Scores, VideoInfo
from keyframe_llm.errors import KeyframeError, ModelError, OptionsError, VideoError
from keyframe_llm.index import VideoIndex, index_video, select_keyframes
from keyframe_llm.options import SelectOptions
from keyframe_llm.pipeline import Answer, Caption, Classification, KeyframeLLM
from keyframe_llm.selection import Selection
from keyframe_llm.version import __version__
from keyframe_llm.video import FrameList

__all__ = [
    "Answer",
    "Caption",
    "Classification",
    "FrameList",
    "Frames",
    "KeyframeError",
    "KeyframeLLM",
    "ModelError",
    "OptionsError",
    "Proposals",
    "Scores",
    "SelectOptions",
    "Selection",
    "VideoError",
    "VideoIndex",
    "VideoInfo",
    "__version__",
    "index_video",
    "select_keyframes",
]
