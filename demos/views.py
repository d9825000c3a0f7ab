"""What the chat page draws itself: frames with their times, progress and bars, as HTML.

Whatever carries `data-second` makes the player jump there; the script `page.js` listens for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import STAGES, Frames
from keyframe_llm.demos.buttons import save_frame, save_selection
from keyframe_llm.demos.curves import score_text, timeline
from keyframe_llm.demos.pace import Pace
from keyframe_llm.demos.times import clock
from keyframe_llm.selection import Selection

__all__ = [
    "Address",
    "bars",
    "frame_labels",
    "keyframes",
    "rows",
    "sentence",
    "spent",
    "stages",
    "strip",
]

Address = Callable[[NDArray[np.uint8]], str]
"""Gives a picture, (H, W, 3) RGB uint8, an address for the page to show it from."""

_PARTS = ("semantic", "temporal", "drop")
_INDEXING = ("decode", "propose", "caption", "embed", "score")
"""The stages that are drawn as a list, in the order they are reached."""


def sentence(text: str) -> str:
    """Begin with a capital letter, unless it is a file's name that stands first."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+(\s|$)", text) else text


def strip(
    frames: Frames,
    address: Address,
    labels: Sequence[tuple[str, str]] = (),
    *,
    kind: str = "picks",
    owner: str = "",
) -> str:
    """Draw frames in a row, each a button that jumps to its second; `labels` as of `frame_labels`.

    Those of an `owner` (see `Session.selection_named`) have a button that saves the picture in full size.
    """
    height, width = frames.images.shape[1:3]
    cells = []
    for i, (second, image) in enumerate(zip(frames.seconds, frames.images, strict=True)):
        short, long = labels[i] if labels else ("", "")
        score = f"<b>{escape(short)}</b>" if short else ""
        label = f"Jump to {second:.2f} seconds" + (f"; {escape(long)}" if long else "")
        save = save_frame(owner, i, second) if owner else ""
        cells.append(
            f'<div class="kf-cell"><button type="button" class="kf-frame" data-second="{second:.3f}" '
            f'title="{label}" aria-label="{label}">'
            f'<img alt="" width="{width}" height="{height}" src="{address(image)}">'
            f"<span><i>{clock(second)}</i>{score}</span></button>{save}</div>"
        )
    return f'<div class="kf-strip kf-{kind}">{"".join(cells)}</div>'


def frame_labels(selection: Selection) -> list[tuple[str, str]]:
    """What chose each key frame, short for below the picture, and long with all its parts."""
    scores, labels = selection.scores, []
    for i, order in zip(selection.chosen, selection.orders(), strict=True):
        text = score_text(scores, int(i))
        parts = {name: float(getattr(scores, name)[i]) for name in _PARTS}
        finite = [f"{name} {value:.2f}" for name, value in parts.items() if math.isfinite(value)]
        full = text if scores.are_shares else ", ".join([f"{scores.name} {text}", *finite])
        labels.append((text, full) if order is None else (order, f"{order}, {full}"))
    return labels


def rows(selection: Selection, address: Address, uniform: Frames | None = None, owner: str = "") -> str:
    """Draw the key frames, and the uniform ones beside them where there are some."""
    picks = strip(selection.frames, address, frame_labels(selection), owner=owner)
    if uniform is None:
        return picks
    return (
        f'<div class="kf-versus"><div><h4>Key frames</h4>{picks}</div>'
        f"<div><h4>Uniform sampling</h4>{strip(uniform, address, kind='uniform')}</div></div>"
    )


def keyframes(
    selection: Selection, guided_by: str, address: Address, uniform: Frames | None = None, owner: str = ""
) -> str:
    """Draw the frames as `rows` does, and the curves that chose them."""
    drawn = rows(selection, address, uniform, owner)
    tools = f'<p class="kf-tools">{save_selection(owner)}</p>' if owner else ""
    heading = f"<h3>Key frames <small>{escape(guided_by)}</small></h3>{tools}"
    return f'<section class="kf-keyframes">{heading}{drawn}{timeline(selection)}</section>'


def stages(current: str, pace: Pace, last: str = "") -> str:
    """Draw the progress in the stage `current`; `last` is a stage after the usual ones.

    The bar goes on by itself to where the stage is expected to end.
    """
    order = [*_INDEXING, *([last] if last else [])]
    at = order.index(current) if current in order else len(order) - 1 if current != "start" else 0
    cells = [
        f'<li class="{"done" if i < at else "now" if i == at else ""}">{sentence(STAGES[stage])}</li>'
        for i, stage in enumerate(order)
    ]
    going = f"width:{pace.done:.1%};--kf-end:{pace.stage_end:.1%};--kf-seconds:{pace.stage_seconds:.1f}s"
    bar = f'<div class="kf-bar kf-going"><div style="{going}"></div></div>'
    return f'<div class="kf-stages" role="status"><ol>{"".join(cells)}</ol>{bar}</div>'


def spent(timings: Mapping[str, float], facts: Sequence[str]) -> str:
    """Draw the result of the work in a line, and the seconds that each stage took."""
    parts = [
        f"<li>{sentence(STAGES[stage])} <b>{timings[stage]:.1f} s</b></li>"
        for stage in _INDEXING
        if stage in timings
    ]
    line = f"<p>{' · '.join(map(escape, facts))}</p>"
    return f'<div class="kf-stages kf-done">{line}<ol>{"".join(parts)}</ol></div>'


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
