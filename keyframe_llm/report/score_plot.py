"""The score plot: what chose the key frames over the video's seconds, as in the paper's Figure 4."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.report.style import GREY, INK, PAPER, PARTS, PICK, WORDS, title_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from keyframe_llm.selection import Selection

__all__ = ["score_plot"]

_MOST_THUMBNAILS = 6


def score_plot(selection: Selection) -> Image.Image:
    """Draw what chose the key frames over the video's seconds; candidates are marked, the key frames shown.

    With a text that is KeyScore and its parts, or the similarity of another method; with none it is the share
    of the video that each key frame stands for.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = len(selection.frames) <= _MOST_THUMBNAILS
    figure = Figure(figsize=(11, 6.2 if shown else 4.6), dpi=130, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    lines = title_lines(selection, 105)
    top = 1 - (0.30 + 0.24 * len(lines)) / figure.get_figheight()
    axes = figure.add_axes((0.065, 0.105, 0.915, top - 0.105 - (0.30 if shown else 0.12)))
    for i, line in enumerate(lines):
        y = 1 - (0.30 + 0.24 * i) / figure.get_figheight()
        figure.text(0.065, y, line, fontsize=12.5, fontweight="bold", color=INK, parse_math=False)
    _curves(axes, selection)
    _picks(figure, axes, selection, top if shown else None)
    with warnings.catch_warnings():
        # The bundled font has no Chinese or Japanese; they show as boxes, which is no fault of the video.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        canvas.draw()  # type: ignore[no-untyped-call]  # of matplotlib
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]  # of matplotlib
    return Image.fromarray(pixels).convert("RGB")


def _curves(axes: Axes, selection: Selection) -> None:
    seconds, scores = selection.proposals.seconds, selection.scores
    end = max(selection.video.duration_seconds or 0.0, float(selection.proposals.sampled_seconds[-1]), 0.1)
    dots: dict[str, Any] = {"marker": "o"} if len(seconds) <= 80 else {}
    if scores.are_shares:
        axes.vlines(seconds, 0, scores.total, color=INK, lw=5, label=scores.name)
    else:
        for name, colour, style in PARTS:
            values = getattr(scores, name)
            if not np.allclose(values, scores.total):
                axes.plot(seconds, values, style, color=colour, lw=1.3, alpha=0.9, label=name, ms=2.5, **dots)
        axes.fill_between(seconds, scores.total, color=INK, alpha=0.06, lw=0)
        axes.plot(seconds, scores.total, "-", color=INK, lw=2.8, label=scores.name, ms=4.5, **dots)
    if selection.word_evidence is not None:
        name, colour, style = WORDS
        axes.plot(seconds, selection.word_evidence, style, color=colour, lw=1.6, label=name, ms=2.5, **dots)
    axes.plot(seconds, np.full(len(seconds), -0.045), "|", color=GREY, ms=9, mew=1.1, label="proposals")
    axes.set_xlim(-0.012 * end, 1.012 * end)
    axes.set_ylim(-0.08, 1.08)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("seconds", color=GREY, fontsize=10, loc="right")
    axes.tick_params(colors=GREY, labelsize=9.5, length=0)
    axes.grid(axis="y", color="#e5e7eb", lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#9ca3af")


def _picks(figure: Figure, axes: Axes, selection: Selection, top: float | None) -> None:
    """Mark the picks on the curve; with a `top`, show them as thumbnails between it and the axes."""
    seconds, chosen = selection.proposals.seconds, selection.chosen
    heights = selection.scores.total[chosen]
    axes.vlines(seconds[chosen], -0.08, 1.08, color=PICK, lw=1, alpha=0.55, zorder=1)
    axes.plot(
        seconds[chosen], heights, "o", color=PICK, ms=10, mec=PAPER, mew=1.6, zorder=5, label="key frames"
    )
    legend = axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.065),
        ncols=7,
        frameon=False,
        fontsize=9.5,
        handlelength=2.4,
    )
    for text in legend.get_texts():
        text.set_color(INK)
    if top is not None:
        _thumbnails(figure, axes, selection, top)
        return
    for second in seconds[chosen]:
        axes.text(
            second, 1.1, f"{second:.2f} s", rotation=90, fontsize=8, color=PICK, ha="center", va="bottom"
        )


def _thumbnails(figure: Figure, axes: Axes, selection: Selection, top: float) -> None:
    """Show each pick above its moment, moved aside only as far as neighbours need, and lead down to it."""
    from matplotlib.lines import Line2D

    frame = axes.get_position()
    bottom, label = frame.y1 + 0.035, 0.035
    room_h = top - bottom - label
    slot = min(0.25, frame.width / len(selection.frames))
    marks = [float(axes.transData.transform((s, 1.08))[0]) / figure.bbox.width for s in selection.seconds]
    centres = _spread_out(np.array(marks), slot, frame.x0, frame.x1)
    for mark, centre, second, image in zip(
        marks, centres, selection.seconds, selection.frames.images, strict=True
    ):
        picture = Image.fromarray(image)
        shape = picture.width / picture.height * figure.get_figheight() / figure.get_figwidth()
        width, height = min(slot - 0.012, room_h * shape), min(room_h, (slot - 0.012) / shape)
        picture.thumbnail((480, 480))
        inset = figure.add_axes((centre - width / 2, bottom, width, height))
        inset.imshow(np.asarray(picture), aspect="auto")
        inset.set_axis_off()
        figure.text(
            centre,
            bottom + height + 0.008,
            f"{second:.2f} s",
            ha="center",
            fontsize=10.5,
            color=PICK,
            fontweight="bold",
        )
        lead = Line2D([mark, centre], [frame.y1, bottom - 0.006], color=PICK, lw=1, alpha=0.55)
        figure.add_artist(lead)


def _spread_out(wanted: NDArray[np.float64], slot: float, low: float, high: float) -> NDArray[np.float64]:
    """Centres at least `slot` apart inside `low` … `high`, in order and near where they are wanted."""
    placed: NDArray[np.float64] = wanted.copy()
    for i in range(len(placed)):
        placed[i] = max(placed[i], low + slot / 2 if i == 0 else placed[i - 1] + slot)
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], high - slot / 2 if i == len(placed) - 1 else placed[i + 1] - slot)
    return placed
