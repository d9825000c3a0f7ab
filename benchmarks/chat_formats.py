"""Files of every format on the chat page, in a real browser: is the right frame shown under each second?

    python benchmarks/chat_formats.py FOLDER_OR_FILE...

Each file is uploaded, and its player (the browser's own, or the page's preview or stills) is sent to several
seconds. The picture it shows is compared with all frames of the file: the most similar one must be the frame
that the decoder has at that second. Where frames next to each other look the same, any of them is right.
"""

from __future__ import annotations

import argparse
import base64
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keyframe_llm.demos.chat import serving
from keyframe_llm.demos.models import Models
from keyframe_llm.errors import KeyframeError
from keyframe_llm.video import open_video

_PLACES = (0.0, 0.13, 0.37, 0.5, 0.81, 1.0)
"""Where the player is sent to, as shares of the frames."""
_SIZE = (96, 54)
_NEIGHBOURS = 40
_ALIKE = 1.0
"""Grey levels, on average: frames as close as this are taken for the same picture."""
_PATIENCE = 120_000
_PIXELS = """() => {
  const shown = document.querySelector('#kf-player video, #kf-player .kf-still img');
  const canvas = Object.assign(document.createElement('canvas'), { width: 192, height: 108 });
  canvas.getContext('2d').drawImage(shown, 0, 0, 192, 108);
  return canvas.toDataURL('image/png').split(',')[1];
}"""
_SETTLED = """() => {
  const video = document.querySelector('#kf-player video');
  if (video) return !video.seeking && video.readyState > 1;
  const still = document.querySelector('#kf-player .kf-still img');
  return still && still.complete;
}"""


class _Grey:
    """An encoder of one number, so that the page has something to choose frames with."""

    def embed_images(self, images: Any, /) -> NDArray[np.float32]:
        return np.array([[np.mean(image), 1.0] for image in images], np.float32)

    def embed_texts(self, texts: Any, /) -> NDArray[np.float32]:
        return np.ones((len(texts), 2), np.float32)


class _Silent:
    """A Video-LLM that says one word."""

    def generate(self, messages: Any, *, max_new_tokens: int = 128) -> str:
        return "Yes."

    def stream(self, messages: Any, *, max_new_tokens: int = 128) -> Any:
        yield "Yes."

    def generate_batch(self, conversations: Any, *, max_new_tokens: int = 128) -> list[str]:
        return ["Yes." for _ in conversations]

    def label_log_likelihoods(self, messages: Any, labels: Any, *, normalise: str = "mean") -> Any:
        return np.zeros(len(labels))

    def count_tokens(self, messages: Any) -> None:
        return None


def check(page: Any, path: Path) -> str:
    """Upload a file, send its player to several seconds; return a line with what was seen."""
    times, pictures = frames_of(path)
    page.set_input_files("#kf-upload input[type=file]", str(path))
    page.wait_for_selector("#kf-keyframes .kf-frame, .kf-trouble", timeout=_PATIENCE)
    if page.locator(".kf-trouble").count() and not page.locator("#kf-keyframes .kf-frame").count():
        return f"not taken: {page.inner_text('.kf-trouble')[:80]}"
    page.wait_for_selector("#kf-question textarea:not([disabled])", timeout=_PATIENCE)
    page.wait_for_selector(
        "#kf-player video, #kf-player .kf-still:not(.kf-preparing)", timeout=_PATIENCE, state="attached"
    )
    page.wait_for_timeout(700)  # a video that cannot be played says so now
    page.wait_for_function("!document.querySelector('#kf-player .kf-preparing')", timeout=_PATIENCE)
    page.wait_for_function(_SETTLED, timeout=_PATIENCE)
    still = page.locator("#kf-player .kf-still").count()
    preview = page.locator("#kf-player .kf-preview").count()
    wanted = [round(share * (len(times) - 1)) for share in _PLACES]
    wrong = [line for i in wanted if (line := off(page, times, pictures, i))]
    kind = "stills" if still else "preview" if preview else "the browser itself"
    return f"{kind}: " + (f"WRONG {'; '.join(wrong)}" if wrong else f"{len(_PLACES)} of {len(_PLACES)} right")


def frames_of(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times and small pictures, (N, h, w), of all frames of a short file (of 60 seconds at most)."""
    times, pictures = [], []
    with open_video(path) as decoder:
        for second, picture in decoder.sample(1 / 120, short_side=108):
            if second > 60:
                break
            times.append(second)
            pictures.append(small(Image.fromarray(picture)))
    return np.array(times), np.array(pictures)


def small(picture: Image.Image) -> NDArray[np.float64]:
    return np.asarray(picture.convert("L").resize(_SIZE, Image.Resampling.BOX), np.float64)


def off(page: Any, times: NDArray[np.float64], pictures: NDArray[np.float64], wanted: int) -> str:
    """Where the picture shown is not that of frame `wanted`: which it is; else nothing."""
    page.evaluate(
        """second => { const button = document.querySelector('#kf-keyframes .kf-frame');
          button.dataset.second = second; button.click(); }""",
        float(times[wanted]),
    )
    page.wait_for_timeout(250)
    page.wait_for_function(_SETTLED, timeout=_PATIENCE)
    if page.locator("#kf-player .kf-still").count():
        shown = "second => Math.abs(document.querySelector('.kf-still').dataset.shown - second) < 0.0011"
        page.wait_for_function(shown, arg=float(times[wanted]), timeout=_PATIENCE)
        page.wait_for_function(_SETTLED, timeout=_PATIENCE)
    seen = small(Image.open(io.BytesIO(base64.b64decode(painted(page)))))
    low = max(0, wanted - _NEIGHBOURS)
    near = pictures[low : wanted + _NEIGHBOURS + 1]
    # A browser may show other levels of brightness: pictures are compared without their mean and contrast.
    distance = np.abs(level(near) - level(seen[None])).mean(axis=(1, 2))
    best = low + int(distance.argmin())
    alike = np.abs(pictures[best] - pictures[wanted]).mean() < _ALIKE
    close = distance[wanted - low] <= distance.min() * 1.02
    return "" if best == wanted or alike or close else f"{times[wanted]:.3f} s shows {times[best]:.3f} s"


def painted(page: Any) -> str:
    """What the player shows, as base64, once it stays the same: `seeked` comes before the picture."""
    last, now = "", str(page.evaluate(_PIXELS))
    while now != last:
        page.wait_for_timeout(300)
        last, now = now, str(page.evaluate(_PIXELS))
    return now


def level(pictures: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    return np.asarray(flat / (flat.std(axis=(1, 2), keepdims=True) + 1e-6))


def main() -> None:
    """Print a line for each file."""
    from playwright.sync_api import Error, sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("places", nargs="+", type=Path)
    args = parser.parse_args()
    files = [
        file for place in args.places for file in (sorted(place.iterdir()) if place.is_dir() else [place])
    ]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with serving(Models([_Silent()], [_Grey()])) as addresses, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for file in files:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(addresses[0])
            page.wait_for_selector("#kf-examples button")
            try:
                line = check(page, file)
            except (KeyframeError, Error) as error:
                line = f"failed: {str(error).splitlines()[0][:100]}"
            print(f"{file.name}: {line}", flush=True)
            page.close()


if __name__ == "__main__":
    main()
