"""One HTML file that shows, for one video and one text, what every selector would have a Video-LLM see."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders import DEFAULT_ENCODER, Encoder, load_encoder
from keyframe_llm.errors import OptionsError
from keyframe_llm.evaluation.dense import EmbeddedText, baseline_of, embed_caption, index_densely
from keyframe_llm.evaluation.results import SHIPPED
from keyframe_llm.evaluation.selectors import ROWS, TEXT_FREE, choose, describe, row_of
from keyframe_llm.index import VideoIndex
from keyframe_llm.jpeg import encode_jpeg, jpeg_data_url
from keyframe_llm.options import SelectOptions
from keyframe_llm.scoring.selectors import Selector, method_name
from keyframe_llm.video import open_video

__all__ = ["comparison", "write_page"]

_THUMBNAIL = (320, 220)
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;color:#111827}
h1{font-size:1.3rem;margin:0}p{color:#4b5563;margin:.3rem 0 1.2rem}
.row{display:grid;grid-template-columns:11rem 1fr;gap:1rem;border-top:1px solid #e5e7eb;padding:.7rem 0}
.row.ours{background:#fff7ed}.name{font-weight:600}.doc{font-size:.8rem;color:#6b7280}
.frames{display:flex;gap:.6rem;flex-wrap:wrap}figure{margin:0}
img{height:110px;border-radius:4px;display:block}
figcaption{font-size:.8rem;color:#374151}svg{width:100%;height:46px;display:block;margin-top:.4rem}
"""


def write_page(
    video: str,
    text: str | None,
    encoder: str | Encoder | None = None,
    out: Path | None = None,
    *,
    k: int = 3,
    device: str | None = None,
    selectors: Sequence[Selector] = (),
) -> str:
    """Write the page and return a line about it.

    `selectors` are functions of one's own: each gets a row of its name before the published ones. Raises
    `OptionsError` on no text, a bad file name, or a function that returns no indices.
    """
    if not text or not text.strip():
        raise OptionsError("a comparison needs a text; give --caption")
    target = out or Path("comparison.html")
    if target.suffix.lower() not in (".html", ".htm"):
        raise OptionsError(f"--out is {str(target)!r}; with --video give a file such as comparison.html")
    loaded = load_encoder(encoder or DEFAULT_ENCODER, device)
    index = index_densely(video, loaded)
    query = embed_caption(loaded, text.strip(), baseline_of(loaded))
    rows = {method_name(each): row_of(SelectOptions(method=each)) for each in selectors}
    most = min(k, len(index.seconds))
    picks = {name: row(index, query, most, 0) for name, row in rows.items()}
    picks |= {name: choose(name, index, query, k=k) for name in ROWS}
    pictures = _pictures(video, index, np.unique(np.concatenate(list(picks.values()))))
    page = comparison(Path(video).name, text.strip(), index, query, picks, pictures)
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OptionsError(
            f"cannot write {str(target)!r} ({error.strerror}); give a file you may write"
        ) from error
    return f"written to {target}"


def comparison(
    title: str,
    text: str,
    index: VideoIndex,
    query: EmbeddedText,
    picks: Mapping[str, NDArray[np.intp]],
    pictures: Mapping[int, bytes],
) -> str:
    """The page as HTML, pictures inside: for each row its name and the frames it picked.

    `picks` are indices into the index's frames, `pictures` the JPEG of each picked frame.
    """
    fit = index.similarity(query.whole)
    rows = "".join(_row(name, found, index, fit, pictures) for name, found in picks.items())
    most = max(len(found) for found in picks.values())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(text)}</h1>"
        f"<p>{html.escape(title)}: at most {most} of {len(index.seconds)} sampled frames, by every selector, "
        "on the same embeddings. The curve is the similarity of each frame with the text; lines mark what "
        f"was chosen.</p>{rows}</html>\n"
    )


def _row(
    name: str,
    picks: NDArray[np.intp],
    index: VideoIndex,
    fit: NDArray[np.float64],
    pictures: Mapping[int, bytes],
) -> str:
    figures = "".join(
        f'<figure><img alt="frame at {index.seconds[i]:.1f} s" src="{jpeg_data_url(pictures[int(i)])}">'
        f"<figcaption>{index.seconds[i]:.1f} s · {fit[i]:.3f}</figcaption></figure>"
        for i in picks
    )
    text_free = " Sees no text." if name in TEXT_FREE else ""
    ours = " ours" if name.startswith(SHIPPED) else ""
    return (
        f'<section class="row{ours}"><div><div class="name">{html.escape(name)}</div>'
        f'<div class="doc">{html.escape(describe(name))}{text_free}</div></div>'
        f'<div><div class="frames">{figures}</div>{_curve(index.seconds, fit, picks)}</div></section>'
    )


def _pictures(video: str, index: VideoIndex, wanted: NDArray[np.intp]) -> dict[int, bytes]:
    """A small JPEG of every wanted frame; one full-size picture is in memory at a time."""
    with open_video(video) as decoder:
        return {
            int(i): encode_jpeg(
                decoder.decode_at([float(index.seconds[i])]).images[0], quality=80, max_size=_THUMBNAIL
            )
            for i in wanted
        }


def _curve(seconds: NDArray[np.float64], fit: NDArray[np.float64], picks: NDArray[np.intp]) -> str:
    x = 1000 * (seconds - seconds[0]) / max(float(seconds[-1] - seconds[0]), 1e-9)
    y = 44 - 40 * (fit - fit.min()) / max(float(fit.max() - fit.min()), 1e-9)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    marks = "".join(f'<line x1="{x[i]:.1f}" x2="{x[i]:.1f}" y1="0" y2="46" stroke="#c2410c"/>' for i in picks)
    return (
        f'<svg viewBox="0 0 1000 46" preserveAspectRatio="none">{marks}<polyline points="{points}" '
        'fill="none" stroke="#6b7280" vector-effect="non-scaling-stroke"/></svg>'
    )
