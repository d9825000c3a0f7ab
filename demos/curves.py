"""The scores of a selection over the seconds of its video, drawn as HTML that can be clicked on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.data import Selection

__all__ = ["clock", "timeline"]

_PARTS = ("semantic", "temporal", "drop")


def clock(seconds: float) -> str:
    """Write a time as people read it off a player: `31.5 s`, `2:05.3`, `1:02:05`."""
    tenths = round(seconds * 10)
    if tenths < 600:
        return f"{tenths / 10:.1f} s"
    minutes, rest = divmod(tenths, 600)
    if minutes < 60:
        return f"{minutes}:{rest / 10:04.1f}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"


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
