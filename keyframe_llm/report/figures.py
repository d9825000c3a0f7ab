"""Two pictures of a selection: the contact sheet of its key frames and the curves of the paper's Figure 4."""

from __future__ import annotations

import math
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from keyframe_llm.data import Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["contact_sheet", "score_plot"]

# Okabe and Ito's colours, told apart by every kind of colour vision; line styles say the same once more.
_INK, _GREY, _PAPER = "#1b1f24", "#6b7280", "#ffffff"
_TOTAL, _PICK = "#1b1f24", "#d55e00"
_PARTS = (("semantic", "#0072b2", "-"), ("temporal", "#009e73", "--"), ("drop", "#cc79a7", "-."))
_MARGIN, _GAP = 28, 16
_CELL_WIDTH, _CELL_HEIGHT, _SHEET_WIDTH, _LEAST_WIDTH = 460, 340, 1500, 640
_MOST_THUMBNAILS = 6
_MOST_TITLE_LINES = 3


def contact_sheet(selection: Selection) -> Image.Image:
    """Draw the key frames side by side, each with its time and scores, under the text that guided them.

    Frames keep their shape and fill cells of at most 460 × 340 px, in rows up to 1500 px wide.
    """
    cells = [_cell(selection, i) for i in range(len(selection.frames))]
    width, height = cells[0].size
    columns = max(1, min(len(cells), (_SHEET_WIDTH - 2 * _MARGIN + _GAP) // (width + _GAP)))
    rows = math.ceil(len(cells) / columns)
    inner = max(columns * (width + _GAP) - _GAP, _LEAST_WIDTH)
    head = _heading(selection, inner)
    size = (inner + 2 * _MARGIN, 2 * _MARGIN + head.height + _GAP + rows * (height + _GAP) - _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    sheet.paste(head, (_MARGIN, _MARGIN))
    for i, cell in enumerate(cells):
        x, y = i % columns * (width + _GAP), i // columns * (height + _GAP)
        sheet.paste(cell, (_MARGIN + x, _MARGIN + head.height + _GAP + y))
    return sheet


def score_plot(selection: Selection) -> Image.Image:
    """Draw KeyScore and its parts over the video's seconds; proposals are marked, the picks shown."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = len(selection.frames) <= _MOST_THUMBNAILS
    figure = Figure(figsize=(11, 6.2 if shown else 4.6), dpi=130, facecolor=_PAPER)
    canvas = FigureCanvasAgg(figure)
    lines = _title(selection, 105)
    top = 1 - (0.30 + 0.24 * len(lines)) / figure.get_figheight()
    axes = figure.add_axes((0.065, 0.105, 0.915, top - 0.105 - (0.30 if shown else 0.12)))
    for i, line in enumerate(lines):
        y = 1 - (0.30 + 0.24 * i) / figure.get_figheight()
        figure.text(0.065, y, line, fontsize=12.5, fontweight="bold", color=_INK, parse_math=False)
    _curves(axes, selection)
    _picks(figure, axes, selection, top if shown else None)
    with warnings.catch_warnings():
        # The bundled font has no Chinese or Japanese; they show as boxes, which is no fault of the video.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        canvas.draw()  # type: ignore[no-untyped-call]  # of matplotlib
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]  # of matplotlib
    return Image.fromarray(pixels).convert("RGB")


def _cell(selection: Selection, i: int) -> Image.Image:
    frame = Image.fromarray(selection.frames.images[i])
    scale = min(_CELL_WIDTH / frame.width, _CELL_HEIGHT / frame.height)
    size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    # Whole pixels for what is enlarged much: a smooth picture of 16 × 16 would show what is not there.
    frame = frame.resize(size, Image.Resampling.NEAREST if scale > 3 else Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (max(frame.width, 270), frame.height + 52), _PAPER)
    cell.paste(frame, (0, 0))
    draw = ImageDraw.Draw(cell)
    chosen, scores = int(selection.chosen[i]), selection.scores
    draw.text((0, frame.height + 6), f"{selection.seconds[i]:.2f} s", _INK, _font(17, bold=True))
    draw.text(
        (cell.width, frame.height + 6), f"{scores.total[chosen]:.2f}", _PICK, _font(17, bold=True), "ra"
    )
    parts = [(name, getattr(scores, name)[chosen]) for name, _, _ in _PARTS]
    known = "   ".join(f"{name} {value:.2f}" for name, value in parts if math.isfinite(value))
    draw.text((0, frame.height + 30), known, _GREY, _font(12))
    return cell


def _heading(selection: Selection, width: int) -> Image.Image:
    title, small = _font(20, bold=True), _font(13)
    lines = _title(selection, int(width / title.getlength("average text") * 12))
    below = _shortened(_facts(selection), int(width / small.getlength("average text") * 12))
    head = Image.new("RGB", (width, 27 * len(lines) + 24), _PAPER)
    draw = ImageDraw.Draw(head)
    for i, line in enumerate(lines):
        draw.text((0, 27 * i), line, _INK, title)
    draw.text((0, 27 * len(lines) + 3), below, _GREY, small)
    return head


def _title(selection: Selection, characters: int) -> list[str]:
    """The question or the caption in at most three lines; without either, the name of the video."""
    text = selection.question or selection.caption or Path(selection.video.path).name
    wrap = textwrap.TextWrapper(characters, max_lines=_MOST_TITLE_LINES, placeholder=" …")
    return wrap.wrap(" ".join(text.split())) or ["(no text)"]


def _facts(selection: Selection) -> str:
    duration = selection.video.duration_seconds
    text = selection.question or selection.caption
    how = {"given": "", "generated": "caption generated", "none": "" if text else "chosen by appearance"}
    parts = [
        Path(selection.video.path).name if text else "",
        "" if duration is None else f"{duration:.1f} s",
        f"{len(selection.frames)} of {selection.sampled_frames} frames looked at",
        f"{len(selection.proposals)} proposed",
        how[selection.caption_source],
    ]
    return "  ·  ".join(part for part in parts if part)


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def _curves(axes: Axes, selection: Selection) -> None:
    seconds, scores = selection.proposals.seconds, selection.scores
    end = max(selection.video.duration_seconds or 0.0, float(selection.proposals.sampled_seconds[-1]), 0.1)
    dots: dict[str, Any] = {"marker": "o"} if len(seconds) <= 80 else {}
    for name, colour, style in _PARTS:
        values = getattr(scores, name)
        if np.all(np.isfinite(values)) and not np.allclose(values, scores.total):
            axes.plot(seconds, values, style, color=colour, lw=1.3, alpha=0.9, label=name, ms=2.5, **dots)
    label = "appearance: how typical" if np.isnan(scores.semantic).all() else "KeyScore"
    axes.fill_between(seconds, scores.total, color=_TOTAL, alpha=0.06, lw=0)
    axes.plot(seconds, scores.total, "-", color=_TOTAL, lw=2.8, label=label, ms=4.5, **dots)
    axes.plot(seconds, np.full(len(seconds), -0.045), "|", color=_GREY, ms=9, mew=1.1, label="proposals")
    axes.set_xlim(-0.012 * end, 1.012 * end)
    axes.set_ylim(-0.08, 1.08)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("seconds", color=_GREY, fontsize=10, loc="right")
    axes.tick_params(colors=_GREY, labelsize=9.5, length=0)
    axes.grid(axis="y", color="#e5e7eb", lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#9ca3af")


def _picks(figure: Figure, axes: Axes, selection: Selection, top: float | None) -> None:
    """Mark the picks on the curve; with a `top`, show them as thumbnails between it and the axes."""
    seconds, chosen = selection.proposals.seconds, selection.chosen
    heights = selection.scores.total[chosen]
    axes.vlines(seconds[chosen], -0.08, 1.08, color=_PICK, lw=1, alpha=0.55, zorder=1)
    axes.plot(
        seconds[chosen], heights, "o", color=_PICK, ms=10, mec=_PAPER, mew=1.6, zorder=5, label="key frames"
    )
    legend = axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.065),
        ncols=6,
        frameon=False,
        fontsize=9.5,
        handlelength=2.4,
    )
    for text in legend.get_texts():
        text.set_color(_INK)
    if top is not None:
        _thumbnails(figure, axes, selection, top)
        return
    for second in seconds[chosen]:
        axes.text(
            second, 1.1, f"{second:.2f} s", rotation=90, fontsize=8, color=_PICK, ha="center", va="bottom"
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
            color=_PICK,
            fontweight="bold",
        )
        lead = Line2D([mark, centre], [frame.y1, bottom - 0.006], color=_PICK, lw=1, alpha=0.55)
        figure.add_artist(lead)


def _spread_out(wanted: NDArray[np.float64], slot: float, low: float, high: float) -> NDArray[np.float64]:
    """Centres at least `slot` apart inside `low` … `high`, in order and near where they are wanted."""
    placed: NDArray[np.float64] = wanted.copy()
    for i in range(len(placed)):
        placed[i] = max(placed[i], low + slot / 2 if i == 0 else placed[i - 1] + slot)
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], high - slot / 2 if i == len(placed) - 1 else placed[i + 1] - slot)
    return placed
