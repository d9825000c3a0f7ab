"""`VideoIndex`: what is known of one video without any question, how it is built, and where it is kept."""

from __future__ import annotations

from keyframe_llm.index.indexer import Indexer
from keyframe_llm.index.shortcuts import index_video, select_keyframes
from keyframe_llm.index.store import Store
from keyframe_llm.index.video_index import VideoIndex

__all__ = ["Indexer", "Store", "VideoIndex", "index_video", "select_keyframes"]
