"""One HTML file that shows, for one video and one text, what every selector would have a Video-LLM see."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.encoders import load_encoder, preferred_image_size
from keyframe_llm.errors import OptionsError
from keyframe_llm.evaluation.footage import Footage, sharpness
from keyframe_llm.evaluation.results import SHIPPED
from keyframe_llm.evaluation.selectors import BLIND, SELECTORS, choose
from keyframe_llm.index.selector import DEFAULT_ENCODER
from keyframe_llm.options import SelectOptions
from keyframe_llm.proposals.sample import sample_video
from keyframe_llm.scoring.baseline import plain_embedding
from keyframe_llm.video import open_video

__all__ = ["film_of", "write_page"]

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem;color:#111827}
h1{font-size:1.3rem;margin:0}p{color:#4b5563;margin:.3rem 0 1.2rem}
.row{display:grid;grid-template-columns:11rem 1fr;gap:1rem;border-top:1px solid #e5e7eb;padding:.7rem 0}
.row.ours{background:#fff7ed}.name{font-weight:600}.doc{font-size:.8rem;color:#6b7280}
.frames{display:flex;gap:.6rem;flex-wrap:wrap}figure{margin:0}
img{height:110px;border-radius:4px;display:block}
figcaption{font-size:.8rem;color:#374151}svg{width:100%;height:46px;display:block;margin-top:.4rem}
"""


def film_of(
    video: str | Path, encoder: Any, options: SelectOptions, plain: NDArray[np.float64]
) -> tuple[Footage, list[NDArray[np.uint8]]]:
    """All sampled frames of a video, embedded, and their small pictures; the selectors choose among them.

    `plain` (D,) is the encoder's `plain_embedding`, which is the same for every video.
    """
    side = preferred_image_size(encoder)
    with open_video(video, options.backend) as decoder:
        sampled = sample_video(decoder, options, picture_side=side, progress=lambda stage, share: None)
    images = sampled.images(np.arange(len(sampled.seconds)))
    sharp = np.array([sharpness(image[None])[0] for image in images])
    rows = np.asarray(encoder.embed_images(images), np.float64)
    return Footage(rows, sampled.seconds, sampled.histograms, sharp, plain), images


def write_page(
    video: str, text: str | None, encoder: str | None, out: Path | None, k: int, device: str | None
) -> str:
    """Write the page and return a line about it. Raises `OptionsError` on no text or a bad file name."""
    if not text or not text.strip():
        raise OptionsError("a comparison needs a text; give --caption")
    target = out or Path("comparison.html")
    if target.suffix.lower() not in (".html", ".htm"):
        raise OptionsError(f"--out is {str(target)!r}; with --video give a file such as comparison.html")
    loaded = load_encoder(encoder or DEFAULT_ENCODER, device)
    film, images = film_of(video, loaded, SelectOptions(), plain_embedding(loaded))
    query = np.asarray(loaded.embed_texts([text.strip()]), np.float64)[0]
    try:
        target.write_text(
            comparison(Path(video).name, text.strip(), film, images, query, k), encoding="utf-8"
        )
    except OSError as error:
        raise OptionsError(
            f"cannot write {str(target)!r} ({error.strerror}); give a file you may write"
        ) from error
    return f"written to {target}"


def comparison(
    title: str,
    text: str,
    film: Footage,
    images: list[NDArray[np.uint8]],
    query: NDArray[np.float64],
    k: int,
) -> str:
    """The page as HTML, pictures inside; at most k frames a selector."""
    fit = film.similarity(query)
    pictures: dict[int, str] = {}
    rows = [_row(name, choose(name, film, query, k=k), film, fit, images, pictures) for name in SELECTORS]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(text)}</h1>"
        f"<p>{html.escape(title)}: at most {k} of {len(film)} sampled frames, by every selector, on the same "
        "embeddings. The curve is the similarity of each frame with the text; lines mark what was chosen.</p>"
        + "".join(rows)
        + "</html>\n"
    )


def _row(
    name: str,
    picks: NDArray[np.intp],
    film: Footage,
    fit: NDArray[np.float64],
    images: list[NDArray[np.uint8]],
    pictures: dict[int, str],
) -> str:
    figures = "".join(
        f'<figure><img alt="frame at {film.seconds[i]:.1f} s" src="{_packed(int(i), images, pictures)}">'
        f"<figcaption>{film.seconds[i]:.1f} s · {fit[i]:.3f}</figcaption></figure>"
        for i in picks
    )
    told = (SELECTORS[name].__doc__ or "").split("\n")[0]
    blind = " Sees no text." if name in BLIND else ""
    ours = " ours" if name.startswith(SHIPPED) else ""
    return (
        f'<section class="row{ours}"><div><div class="name">{html.escape(name)}</div>'
        f'<div class="doc">{html.escape(told)}{blind}</div></div>'
        f'<div><div class="frames">{figures}</div>{_curve(film.seconds, fit, picks)}</div></section>'
    )


def _packed(i: int, images: list[NDArray[np.uint8]], pictures: dict[int, str]) -> str:
    if i not in pictures:
        out = io.BytesIO()
        image = Image.fromarray(images[i])
        image.thumbnail((320, 220))
        image.save(out, "JPEG", quality=80)
        pictures[i] = "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
    return pictures[i]


def _curve(seconds: NDArray[np.float64], fit: NDArray[np.float64], picks: NDArray[np.intp]) -> str:
    x = 1000 * (seconds - seconds[0]) / max(float(seconds[-1] - seconds[0]), 1e-9)
    y = 44 - 40 * (fit - fit.min()) / max(float(fit.max() - fit.min()), 1e-9)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    marks = "".join(f'<line x1="{x[i]:.1f}" x2="{x[i]:.1f}" y1="0" y2="46" stroke="#c2410c"/>' for i in picks)
    return (
        f'<svg viewBox="0 0 1000 46" preserveAspectRatio="none">{marks}<polyline points="{points}" '
        'fill="none" stroke="#6b7280" vector-effect="non-scaling-stroke"/></svg>'
    )
