"""What a Video-LLM says of a video, with the key frames it was shown and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keyframe_llm.cost import SamplingCost, default_cost
from keyframe_llm.messages import Layout, Messages
from keyframe_llm.selection import Selection
from keyframe_llm.vlm import VLM
from keyframe_llm.vlm.served_request import FramesAs

__all__ = ["Answer", "Caption", "answered", "with_caption_time", "with_warnings"]


@dataclass(frozen=True, slots=True, eq=False)
class Caption:
    """What the model writes of a video, and the frames it was shown."""

    text: str
    selection: Selection

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """The answer to a question about a video, and the key frames it rests on."""

    question: str
    text: str
    selection: Selection
    model: str
    prompt_tokens: int | None
    """Tokens of the whole prompt; None where the model does not count them."""
    visual_tokens: int | None
    """Those of them that stand for pictures."""
    default_sampling: SamplingCost | None = None
    """What the same prompt would cost with two frames a second; None where that is not known."""
    frames_as: FramesAs | None = None
    """How a server was sent the key frames: `images`, or a `video` with true times; None for other models."""

    def __str__(self) -> str:
        return self.text


def answered(
    question: str,
    text: str,
    selection: Selection,
    messages: Messages,
    *,
    model: VLM,
    name: str,
    layout: Layout,
) -> Answer:
    """The answer `text` of a model to `messages`, with its tokens where the model counts them."""
    counted = model.count_tokens(messages)
    frames_as: FramesAs | None = getattr(model, "frames_as", None)
    if frames_as is not None and layout == "sheet":
        frames_as = "images"
    selection = with_warnings(selection, getattr(model, "warnings", ()))
    if counted is None:
        return Answer(question, text, selection, name, None, None, frames_as=frames_as)
    prompt_tokens, visual_tokens = counted
    cost = default_cost(
        selection.video,
        model,
        keyframes=len(selection.frames),
        prompt_tokens=prompt_tokens,
        visual_tokens=visual_tokens,
    )
    return Answer(question, text, selection, name, prompt_tokens, visual_tokens, cost, frames_as)


def with_warnings(selection: Selection, warnings: tuple[str, ...]) -> Selection:
    """The selection with what a user should know, each line once."""
    return replace(selection, warnings=tuple(dict.fromkeys([*selection.warnings, *warnings])))


def with_caption_time(selection: Selection, spent: float) -> Selection:
    """The selection with the seconds that its caption took among its timings."""
    timings = {**selection.timings, "caption": spent, "total": selection.timings["total"] + spent}
    return replace(selection, timings=timings)
