"""The scores of a selection over the seconds of its video, drawn as HTML that can be clicked on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Scores
from keyframe_llm.demos.times import clock
from keyframe_llm.selection import Selection

__all__ = ["score_text", "timeline"]

_PARTS = ("semantic", "temporal", "drop")


def score_text(scores: Scores, i: int) -> str:
    """What chose a candidate: its score, or the share of the video that it stands for."""
    value = float(scores.total[i])
    return f"stands for {value:.0%}" if scores.are_shares else f"{value:.2f}"


def timeline(selection: Selection) -> str:
    """Draw what chose the frames over the seconds, with proposals and key frames marked.

    Scores are curves, the parts thin and the total thick; shares are stems at the key frames.
    """
    seconds, scores = selection.proposals.seconds, selection.scores
    last = float(selection.proposals.sampled_seconds[-1])
    end = max(selection.video.duration_seconds or 0.0, last, 0.1)
    parts = [] if scores.are_shares or scores.name == "similarity" else ["temporal", "semantic", "drop"]
    lines = "".join(
        f'<path class="kf-{name}" d="{_path(seconds, getattr(scores, name), end)}"/>' for name in parts
    )
    evidence = selection.word_evidence
    if evidence is not None and evidence.any():
        parts.append("words")
        lines += f'<path class="kf-words" d="{_path(seconds, evidence, end)}"/>'
    total = _stems(selection, end) if scores.are_shares else _curve(seconds, scores.total, end)
    ticks = "".join(f"M{1000 * second / end:.1f} 106v8" for second in seconds)
    picks = "".join(_pick(seconds[i], scores, int(i), end) for i in selection.chosen)
    named = {n: n for n in (*_PARTS, "words") if n in parts}
    named |= {"total": scores.name, "proposals": f"{len(seconds)} proposals"}
    legend = "".join(
        f'<label class="kf-{name}"><input type="checkbox" checked data-curve="{name}"><s></s>{text}</label>'
        for name, text in named.items()
    )
    return (
        f'<div class="kf-timeline"><div class="kf-plot" data-duration="{end:.3f}">'
        '<svg viewBox="0 0 1000 116" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="kf-grid" d="M0 0H1000M0 50H1000M0 100H1000"/>{lines}{total}'
        f'<path class="kf-proposals" d="{ticks}"/></svg>'
        f'{picks}<div class="kf-playhead"></div><div class="kf-hover"></div></div>'
        f'<div class="kf-axis"><span>0 s</span><span>{clock(end / 2)}</span><span>{clock(end)}</span></div>'
        f'<div class="kf-legend">{legend}<span class="kf-key"><s></s>key frames</span></div></div>'
    )


def _curve(seconds: NDArray[np.float64], values: NDArray[np.float64], end: float) -> str:
    line = _path(seconds, values, end)
    area = f"{line}L{1000 * seconds[-1] / end:.1f} 100L{1000 * seconds[0] / end:.1f} 100Z"
    return f'<path class="kf-area kf-total" d="{area}"/><path class="kf-total" d="{line}"/>'


def _stems(selection: Selection, end: float) -> str:
    """A vertical line at each key frame, as high as its share."""
    stems = (
        f"M{1000 * selection.proposals.seconds[i] / end:.1f} 100V{_height(selection.scores.total[i]):.1f}"
        for i in selection.chosen
    )
    return f'<path class="kf-total kf-stems" d="{"".join(stems)}"/>'


def _pick(second: float, scores: Scores, i: int, end: float) -> str:
    """A dot to click on; keyboards and screen readers have the same frame as a button above the curves."""
    place = f"left:{100 * second / end:.2f}%;top:{100 * _height(scores.total[i]) / 116:.2f}%"
    what = score_text(scores, i)
    label = f"Key frame at {second:.2f} seconds, {what if scores.are_shares else f'{scores.name} {what}'}"
    return (
        f'<span class="kf-pick" data-second="{second:.3f}" aria-hidden="true" '
        f'title="{label}" style="{place}"></span>'
    )


def _height(score: float) -> float:
    return 100.0 * (1.0 - min(1.0, max(0.0, float(score))))


def _path(seconds: NDArray[np.float64], values: NDArray[np.float64], end: float) -> str:
    points = (f"{1000 * s / end:.1f} {_height(v):.1f}" for s, v in zip(seconds, values, strict=True))
    return "M" + "L".join(points)
