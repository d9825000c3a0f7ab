"""The contact sheet: key frames side by side, each with its time and scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from keyframe_llm.report.grid import grid
from keyframe_llm.report.style import GREY, INK, PAPER, PARTS, PICK, drawable, font, title_lines

if TYPE_CHECKING:
    from keyframe_llm.selection import Selection

__all__ = ["contact_sheet"]

_MARGIN, _GAP = 28, 16
_CELL_WIDTH, _CELL_HEIGHT, _SHEET_WIDTH, _LEAST_WIDTH = 460, 340, 1500, 640


def contact_sheet(selection: Selection) -> Image.Image:
    """Draw the key frames side by side, each with its time and scores, under the text that guided them.

    Frames keep their shape and fill cells of at most 460 × 340 px, in rows up to 1500 px wide.
    """
    cells = [_cell(selection, i) for i in range(len(selection.frames))]
    width = cells[0].width
    columns = max(1, min(len(cells), (_SHEET_WIDTH - 2 * _MARGIN + _GAP) // (width + _GAP)))
    frames = grid(cells, columns, _GAP)
    inner = max(columns * (width + _GAP) - _GAP, _LEAST_WIDTH)
    head = _heading(selection, inner)
    size = (inner + 2 * _MARGIN, 2 * _MARGIN + head.height + _GAP + frames.height)
    sheet = Image.new("RGB", size, PAPER)
    sheet.paste(head, (_MARGIN, _MARGIN))
    sheet.paste(frames, (_MARGIN, _MARGIN + head.height + _GAP))
    return sheet


def _cell(selection: Selection, i: int) -> Image.Image:
    frame = Image.fromarray(selection.frames.images[i])
    scale = min(_CELL_WIDTH / frame.width, _CELL_HEIGHT / frame.height)
    size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    # Whole pixels for what is enlarged much: a smooth picture of 16 × 16 would show what is not there.
    frame = frame.resize(size, Image.Resampling.NEAREST if scale > 3 else Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (max(frame.width, 270), frame.height + 52), PAPER)
    cell.paste(frame, (0, 0))
    draw = ImageDraw.Draw(cell)
    chosen, scores = int(selection.chosen[i]), selection.scores
    draw.text((0, frame.height + 6), f"{selection.seconds[i]:.2f} s", INK, font(17, bold=True))
    score = f"{scores.total[chosen]:.0%}" if scores.are_shares else f"{scores.total[chosen]:.2f}"
    draw.text((cell.width, frame.height + 6), score, PICK, font(17, bold=True), "ra")
    draw.text((0, frame.height + 30), selection.orders()[i] or _parts(selection, chosen), GREY, font(12))
    return cell


def _parts(selection: Selection, chosen: int) -> str:
    """What the score of a key frame is made of."""
    scores = selection.scores
    if scores.are_shares:
        return f"stands for {scores.total[chosen]:.0%} of the video"
    return "   ".join(f"{name} {getattr(scores, name)[chosen]:.2f}" for name, _, _ in PARTS)


def _heading(selection: Selection, width: int) -> Image.Image:
    title, small = font(20, bold=True), font(13)
    lines = title_lines(selection, int(width / title.getlength("average text") * 12))
    below = _shortened(_facts(selection), int(width / small.getlength("average text") * 12))
    head = Image.new("RGB", (width, 27 * len(lines) + 24), PAPER)
    draw = ImageDraw.Draw(head)
    for i, line in enumerate(lines):
        draw.text((0, 27 * i), line, INK, title)
    draw.text((0, 27 * len(lines) + 3), below, GREY, small)
    return head


def _facts(selection: Selection) -> str:
    duration = selection.video.duration_seconds
    text = selection.question or selection.caption
    how = {"given": "", "generated": "caption generated", "none": "" if text else "chosen by appearance"}
    parts = [
        drawable(Path(selection.video.path).name) if text else "",
        "" if duration is None else f"{duration:.1f} s",
        f"{len(selection.frames)} of {selection.sampled_frames} sampled frames",
        f"{len(selection.proposals)} proposed",
        how[selection.caption_source],
    ]
    return "  ·  ".join(part for part in parts if part)


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
