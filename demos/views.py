"""What the chat page draws itself: frames with their times, the score curves, progress and bars, as HTML.

Whatever carries `data-second` makes the player jump there; the script in `look.py` listens for it. Pictures
are small and lie in the HTML itself, so that no file of one person's video can be asked for by another.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.data import Frames, Selection

__all__ = [
    "bars",
    "clock",
    "frame_scores",
    "linked_times",
    "moments",
    "picture",
    "sentence",
    "stages",
    "strip",
    "timeline",
]

_THUMBNAIL = (416, 234)
"""Pixels; twice what is shown, for dense screens."""
_PARTS = ("semantic", "temporal", "drop")
_STAGES = {"decode": "Read", "propose": "Propose", "caption": "Caption", "embed": "Look", "score": "Choose"}
_TIME = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?(?:seconds?\b|s\b)")


def clock(seconds: float) -> str:
    """Write a time as people read it off a player: `31.5 s`, `2:05.3`, `1:02:05`."""
    tenths = round(seconds * 10)
    if tenths < 600:
        return f"{tenths / 10:.1f} s"
    minutes, rest = divmod(tenths, 600)
    if minutes < 60:
        return f"{minutes}:{rest / 10:04.1f}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"


def sentence(text: str) -> str:
    """Begin with a capital letter, unless it is a file's name that stands first."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+\s", text) else text


def picture(image: NDArray[np.uint8], size: tuple[int, int] = _THUMBNAIL) -> str:
    """Turn (H, W, 3) RGB uint8 into a small JPEG as a `data:` address."""
    small, out = Image.fromarray(image), io.BytesIO()
    small.thumbnail(size)
    small.save(out, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def strip(frames: Frames, scores: Sequence[Mapping[str, float]] | None = None, kind: str = "picks") -> str:
    """Draw frames in a row, each a button that jumps to its second; `scores` has the parts of each."""
    cells = []
    for i, (second, image) in enumerate(zip(frames.seconds, frames.images, strict=True)):
        parts = {n: v for n, v in scores[i].items() if math.isfinite(v)} if scores else {}
        told = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
        score = f"<b>{parts['score']:.2f}</b>" if "score" in parts else ""
        label = f"Jump to {second:.2f} seconds" + (f"; {told}" if told else "")
        cells.append(
            f'<button type="button" class="kf-frame" data-second="{second:.3f}" title="{label}" '
            f'aria-label="{label}"><img alt="" src="{picture(image)}">'
            f"<span><i>{clock(second)}</i>{score}</span></button>"
        )
    return f'<div class="kf-strip kf-{kind}">{"".join(cells)}</div>'


def frame_scores(selection: Selection) -> list[dict[str, float]]:
    """Score and parts of every key frame, 0–1; a part that does not apply is NaN."""
    scores = selection.scores
    names = {"score": scores.total, **{name: getattr(scores, name) for name in _PARTS}}
    return [{name: float(values[i]) for name, values in names.items()} for i in selection.chosen]


def moments(selection: Selection, guided_by: str, uniform: Frames | None = None) -> str:
    """Draw the key frames, the uniform ones beside them where asked for, and the curves they came from."""
    rows = strip(selection.frames, frame_scores(selection))
    if uniform is not None:
        rows = f'<div class="kf-versus"><div><h4>KeyScore</h4>{rows}</div>'
        rows += f"<div><h4>Uniform sampling</h4>{strip(uniform, kind='uniform')}</div></div>"
    heading = f"<h3>Key frames <small>{escape(guided_by)}</small></h3>"
    return f'<section class="kf-moments">{heading}{rows}{timeline(selection)}</section>'


def timeline(selection: Selection) -> str:
    """Draw the scores over the seconds: the parts thin, the total thick, proposals and picks marked."""
    seconds, scores = selection.proposals.seconds, selection.scores
    last = float(selection.proposals.sampled_seconds[-1])
    end = max(selection.video.duration_seconds or 0.0, last, 0.1)
    guided = bool(np.isfinite(scores.semantic).all())
    shown = ["temporal", "semantic", "drop"] if guided else []
    lines = "".join(
        f'<path class="kf-{name}" d="{_path(seconds, getattr(scores, name), end)}"/>' for name in shown
    )
    total = _path(seconds, scores.total, end)
    area = f"{total}L{1000 * seconds[-1] / end:.1f} 100L{1000 * seconds[0] / end:.1f} 100Z"
    ticks = "".join(f"M{1000 * second / end:.1f} 106v8" for second in seconds)
    picks = "".join(_pick(seconds[i], scores.total[i], end) for i in selection.chosen)
    total_name = "KeyScore" if guided else "how typical it looks"
    named = {n: n for n in _PARTS if guided} | {"total": total_name, "proposals": f"{len(seconds)} proposals"}
    legend = "".join(
        f'<label class="kf-{name}"><input type="checkbox" checked data-curve="{name}"><s></s>{text}</label>'
        for name, text in named.items()
    )
    return (
        f'<div class="kf-timeline"><div class="kf-plot" data-duration="{end:.3f}">'
        '<svg viewBox="0 0 1000 116" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="kf-grid" d="M0 0H1000M0 50H1000M0 100H1000"/>'
        f'<path class="kf-area kf-total" d="{area}"/>{lines}<path class="kf-total" d="{total}"/>'
        f'<path class="kf-proposals" d="{ticks}"/></svg>'
        f'{picks}<div class="kf-playhead"></div><div class="kf-hover"></div></div>'
        f'<div class="kf-axis"><span>0 s</span><span>{clock(end / 2)}</span><span>{clock(end)}</span></div>'
        f'<div class="kf-legend">{legend}<span class="kf-key"><s></s>key frames</span></div></div>'
    )


def _pick(second: float, score: float, end: float) -> str:
    place = f"left:{100 * second / end:.2f}%;top:{100 * _height(score) / 116:.2f}%"
    label = f"Key frame at {second:.2f} seconds, score {score:.2f}"
    return (
        f'<button type="button" class="kf-pick" data-second="{second:.3f}" aria-label="{label}" '
        f'title="{label}" style="{place}"></button>'
    )


def _height(score: float) -> float:
    return 100.0 * (1.0 - min(1.0, max(0.0, float(score))))


def _path(seconds: NDArray[np.float64], values: NDArray[np.float64], end: float) -> str:
    points = (f"{1000 * s / end:.1f} {_height(v):.1f}" for s, v in zip(seconds, values, strict=True))
    return "M" + "L".join(points)


def stages(
    current: str, share: float, timings: Mapping[str, float] | None = None, told: Sequence[str] = ()
) -> str:
    """Draw how far the work is; once done (`current` is empty), what each stage took and what was saved."""
    if current:
        order = list(_STAGES)
        at = order.index(current) if current in order else len(order)
        cells = [
            f'<li class="{"done" if i < at else "now" if i == at else ""}">{name}</li>'
            for i, name in enumerate(_STAGES.values())
        ]
        width = 100 * share if current == "decode" else 100
        bar = f'<div class="kf-bar"><div style="width:{width:.0f}%"></div></div>'
        return f'<div class="kf-stages" role="status"><ol>{"".join(cells)}</ol>{bar}</div>'
    spent = {n: t for n, t in (timings or {}).items() if n in _STAGES and t >= 0.005}
    parts = [f"<li>{_STAGES[name]} <b>{taken:.1f} s</b></li>" for name, taken in spent.items()]
    facts = f"<p>{' · '.join(map(escape, told))}</p>" if told else ""
    row = f"<ol>{''.join(parts)}</ol>" if parts else ""
    return f'<div class="kf-stages kf-done">{facts}{row}</div>' if facts or row else ""


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
