"""What the chat page draws itself: frames with their times, progress and bars, as HTML.

Whatever carries `data-second` makes the player jump there; the script `page.js` listens for it.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
from keyframe_llm.demos.curves import clock, timeline
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.data import Frames, Selection

__all__ = [
    "Address",
    "bars",
    "frame_scores",
    "jpeg",
    "linked_times",
    "moments",
    "rows",
    "sentence",
    "spent",
    "stages",
    "strip",
]

Address = Callable[[NDArray[np.uint8]], str]
"""Gives a picture, (H, W, 3) RGB uint8, an address for the page to show it from."""

_THUMBNAIL = (416, 416)
"""Pixels; twice what is shown, for dense screens."""
_PARTS = ("semantic", "temporal", "drop")
_STAGES = {"decode": "Read", "propose": "Propose", "caption": "Caption", "embed": "Look", "score": "Choose"}
_TIME = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?(?:seconds?\b|s\b)")


def sentence(text: str) -> str:
    """Begin with a capital letter, unless it is a file's name that stands first."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+\s", text) else text


def jpeg(image: NDArray[np.uint8]) -> bytes:
    """Turn (H, W, 3) RGB uint8 into a small JPEG."""
    small, out = Image.fromarray(image), io.BytesIO()
    small.thumbnail(_THUMBNAIL)
    small.save(out, "JPEG", quality=82)
    return out.getvalue()


def strip(
    frames: Frames,
    address: Address,
    scores: Sequence[Mapping[str, float]] | None = None,
    *,
    kind: str = "picks",
) -> str:
    """Draw frames in a row, each a button that jumps to its second; `scores` has the parts of each."""
    height, width = frames.images.shape[1:3]
    cells = []
    for i, (second, image) in enumerate(zip(frames.seconds, frames.images, strict=True)):
        parts = {n: v for n, v in scores[i].items() if math.isfinite(v)} if scores else {}
        told = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
        score = f"<b>{parts['score']:.2f}</b>" if "score" in parts else ""
        label = f"Jump to {second:.2f} seconds" + (f"; {told}" if told else "")
        cells.append(
            f'<button type="button" class="kf-frame" data-second="{second:.3f}" title="{label}" '
            f'aria-label="{label}"><img alt="" width="{width}" height="{height}" src="{address(image)}">'
            f"<span><i>{clock(second)}</i>{score}</span></button>"
        )
    return f'<div class="kf-strip kf-{kind}">{"".join(cells)}</div>'


def frame_scores(selection: Selection) -> list[dict[str, float]]:
    """Score and parts of every key frame, 0–1; a part that does not apply is NaN."""
    scores = selection.scores
    names = {"score": scores.total, **{name: getattr(scores, name) for name in _PARTS}}
    return [{name: float(values[i]) for name, values in names.items()} for i in selection.chosen]


def rows(selection: Selection, address: Address, uniform: Frames | None = None) -> str:
    """Draw the key frames, and the uniform ones beside them where there are some."""
    picks = strip(selection.frames, address, frame_scores(selection))
    if uniform is None:
        return picks
    return (
        f'<div class="kf-versus"><div><h4>KeyScore</h4>{picks}</div>'
        f"<div><h4>Uniform sampling</h4>{strip(uniform, address, kind='uniform')}</div></div>"
    )


def moments(selection: Selection, guided_by: str, address: Address, uniform: Frames | None = None) -> str:
    """Draw the frames as `rows` does, and the curves they came from."""
    drawn = rows(selection, address, uniform)
    heading = f"<h3>Key frames <small>{escape(guided_by)}</small></h3>"
    return f'<section class="kf-moments">{heading}{drawn}{timeline(selection)}</section>'


def stages(current: str, share: float, last: str = "") -> str:
    """Draw how far the work is; `share`, 0–1, is of the stage it is at, `last` a stage of this work alone."""
    names = {**_STAGES, **({"last": last} if last else {})}
    order = list(names)
    at = order.index(current) if current in order else len(order) - 1 if current != "start" else 0
    cells = [
        f'<li class="{"done" if i < at else "now" if i == at else ""}">{name}</li>'
        for i, name in enumerate(names.values())
    ]
    width = 100 * (at + min(1.0, share)) / len(order)
    bar = f'<div class="kf-bar"><div style="width:{width:.0f}%"></div></div>'
    return f'<div class="kf-stages" role="status"><ol>{"".join(cells)}</ol>{bar}</div>'


def spent(timings: Mapping[str, float], told: Sequence[str]) -> str:
    """Say what came of the work, and draw the seconds that each stage took."""
    parts = [f"<li>{name} <b>{timings[n]:.1f} s</b></li>" for n, name in _STAGES.items() if n in timings]
    facts = f"<p>{' · '.join(map(escape, told))}</p>"
    return f'<div class="kf-stages kf-done">{facts}<ol>{"".join(parts)}</ol></div>'


def bars(probabilities: Mapping[str, float], most: int = 12) -> str:
    """Draw labels with their probabilities, 0–1, likeliest first."""
    rows = [
        f'<div class="kf-label"><span>{escape(label)}</span><b>{share:.0%}</b>'
        f'<div class="kf-bar"><div style="width:{100 * share:.1f}%"></div></div></div>'
        for label, share in list(probabilities.items())[:most]
    ]
    left = len(probabilities) - most
    more = f"<p>and {left} less likely</p>" if left > 0 else ""
    return f'<div class="kf-labels">{"".join(rows)}{more}</div>'


def linked_times(text: str, frames: Frames) -> str:
    """Make the times in an answer jump to the frame they name, and say of others that no frame has them."""

    def link(found: re.Match[str]) -> str:
        near = np.abs(frames.seconds - float(found[1]))
        best = int(near.argmin())
        # Models are shown tenths; what they say can only be that exact.
        if near[best] <= 0.0501:
            return f"[{found[0]}](#t={frames.seconds[best]:.3f})"
        return f"{found[0]} *(no frame it was shown has this time)*"

    return _TIME.sub(link, text)
