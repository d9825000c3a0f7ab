"""The result of a selection: the key frames of a video, how they were chosen, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import CaptionSource, Frames, Proposals, Scores, VideoInfo
from keyframe_llm.scoring.found import Found
from keyframe_llm.scoring.fusion import CueMatch
from keyframe_llm.scoring.selectors import Beside
from keyframe_llm.words import Cue

if TYPE_CHECKING:
    from keyframe_llm.cost import PromptCost
    from keyframe_llm.messages import Format, Layout
    from keyframe_llm.prompts import Prompts

__all__ = ["Selection"]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The key frames of a video, and how they came to be chosen."""

    video: VideoInfo
    frames: Frames
    """The k key frames, upright, in time order; full size, or what a `token_budget` leaves of it."""
    proposals: Proposals
    """The candidates that the key frames were chosen from."""
    scores: Scores
    """What chose among them: KeyScore of every candidate; with no text, shares of the video."""
    chosen: NDArray[np.intp]
    """(k,) the key frames as indices into `proposals`, ascending."""
    method: str = "moments"
    """The selector that chose."""
    caption: str | None = None
    """The caption that was given or generated."""
    caption_source: CaptionSource = "none"
    question: str | None = None
    """The question that was asked. It alone guides the choice, unless the option `guide` says else."""
    words: tuple[Cue, ...] = ()
    """What is subtitled, said and written in the part that was sampled, where a text could ask for it."""
    word_matches: tuple[CueMatch, ...] = ()
    """The `words` that the text fits and that a key frame shows; best first."""
    word_evidence: NDArray[np.float64] | None = None
    """(K,) how well the text fits what is said and written at each proposal, 0–1; None without words."""
    beside: tuple[Beside, ...] = ()
    """The key frames that are shown because they follow or precede what the text names, in time order."""
    found: Found | None = None
    """Whether what the text asks for is there at all.

    None without a text, for one that names nothing ("What happens?"), for a caption that the model wrote, and
    where `method` is not `moments`."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds spent in `decode`, `propose`, `caption`, `embed`, `score` and in `total`.

    The encoder works while the video is decoded: `embed` is only the time that was spent waiting for it."""
    plan: str = ""
    """How the sampled frames were decoded, and why."""
    warnings: tuple[str, ...] = ()
    """What the caller should know: a damaged file, a model used outside its world."""

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(k,) times of the key frames, ascending."""
        return self.frames.seconds

    @property
    def sampled_frames(self) -> int:
        """How many frames the proposals were drawn from."""
        return len(self.proposals.sampled_seconds)

    def orders(self) -> list[str | None]:
        """Of each of the k key frames that is shown for its place in time, what that is.

        `follows 12.30 s`, `precedes 12.30 s`, `at the start` or `at the end`; None for the others.
        """
        return [next((self._order(one) for one in self.beside if one.frame == i), None) for i in self.chosen]

    def _order(self, beside: Beside) -> str:
        after = beside.direction == "after"
        if beside.anchor is None:
            return "at the start" if after else "at the end"
        return f"{'follows' if after else 'precedes'} {self.proposals.seconds[beside.anchor]:.2f} s"

    def frame_reduction(self) -> dict[str, float | None]:
        """FRR = 1 − selected / baseline: against 8 uniform frames (FRR-UFP) and against every frame.

        Below 0 where more frames were chosen; None where the video does not state its length or rate.
        """
        total = None
        if self.video.duration_seconds and self.video.average_fps:
            total = max(1, round(self.video.duration_seconds * self.video.average_fps))
        return {
            "versus_uniform8": 1.0 - len(self.frames) / 8,
            "versus_all": None if total is None else 1.0 - len(self.frames) / total,
        }

    def to_messages(
        self,
        question: str | None = None,
        format: Format = "hf",
        *,
        max_image_bytes: int | None = None,
        layout: Layout = "images",
        words: bool = False,
    ) -> list[dict[str, Any]]:
        """Chat messages: `[12.3s]`, picture, `[15.0s]`, picture, …, then the question.

        `layout="sheet"` puts all key frames with their times on one picture instead. `words` puts what is
        said and written around the key frames before the question, quoted.

        `format`: `hf` for `processor.apply_chat_template`, with PIL images; `openai` for chat completions,
        `openai-responses`, `anthropic`, with JPEG of at most `max_image_bytes` (a million by default) each;
        `openai-video` for vLLM, one video of those JPEGs, whose times are in `extra_body`.
        """
        from keyframe_llm.messages import MAX_IMAGE_BYTES, laid_out, to_format

        text = question or self.question
        if words:
            text = self.with_words(text or "") or None
        length = self.video.duration_seconds
        messages = laid_out(self.frames, text, layout=layout, duration_seconds=length)
        return to_format(messages, format, max_image_bytes=max_image_bytes or MAX_IMAGE_BYTES)

    def with_words(self, text: str, prompts: Prompts | None = None) -> str:
        """A prompt with what is said and written around the key frames before it, quoted."""
        from keyframe_llm.messages import with_words

        matched = [match.cue for match in self.word_matches]
        return with_words(text, self.words, self.seconds, matched=matched, prompts=prompts).strip()

    def extra_body(self) -> dict[str, Any]:
        """The true times of `to_messages(format="openai-video")`, which a request to vLLM has to hold.

        It is for the argument `extra_body` of OpenAI's client, and for a vLLM that was started with
        `--trust-request-mm-kwargs`.
        """
        from keyframe_llm.messages import video_fields

        return video_fields(self.seconds.tolist(), self.video.duration_seconds)

    def cost(
        self,
        model: Any,
        question: str | None = None,
        *,
        price_per_million: float | None = None,
        layout: Layout = "images",
    ) -> PromptCost:
        """What `to_messages` would cost a Video-LLM, by its name or as an object: tokens, bytes, a price.

        No weights are loaded and no server is called; `price_per_million` is the price of a million prompt
        tokens. Raises `ModelError` where a local model's processor cannot be had.
        """
        from keyframe_llm.cost import prompt_cost
        from keyframe_llm.vlm.counting import token_counter

        messages, counter = self.to_messages(question, layout=layout), token_counter(model)
        count = len(self.frames)
        return prompt_cost(self.video, count, messages, counter, price_per_million=price_per_million)

    def to_dict(self) -> dict[str, Any]:
        """What `select --json` prints: plain numbers, texts and lists."""
        from keyframe_llm.report import selection_dict

        return selection_dict(self)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write the key frames, `selection.json`, contact sheet and score plot; return their paths."""
        from keyframe_llm.report import save_selection

        return save_selection(self, folder)
