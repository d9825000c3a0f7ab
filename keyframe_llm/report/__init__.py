"""What stays of a selection: JSON, a folder of key frames, and two pictures of it."""

from __future__ import annotations

from keyframe_llm.report.files import save_selection, selection_dict

__all__ = ["save_selection", "selection_dict"]
