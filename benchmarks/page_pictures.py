"""The pictures of the chat page in the documents, taken in a real browser from the page as it is.

    python benchmarks/page_pictures.py [FOLDER]

writes `chat.png` and `library_chat.png` into the folder, by default docs/images; `--looks` also writes the
page about a video wide and narrow, light and dark, to look at. It needs ffmpeg and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from keyframe_llm.demos.chat import serving
from keyframe_llm.demos.models import Models
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.library import Library

IMAGES = Path(__file__).parent.parent / "docs" / "images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDE, NARROW = (1280, 1190), (390, 844)
CUES = "1\n00:00:20,000 --> 00:00:26,000\nThe woman in yellow plays the guitar.\n"
QUESTIONS = ("What is the robot in purple doing?", "What does the woman in yellow do?")
SEARCH = "a robot in purple flies a kite"


@contextmanager
def page(
    browser: Any, address: str, size: tuple[int, int], scheme: str = "light", density: int = 1
) -> Iterator[Any]:
    """The chat page in a window of this size, in CSS pixels."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        device_scale_factor=density,
        reduced_motion="reduce",
    )
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    opened.goto(address)
    opened.wait_for_selector("#kf-upload input[type=file]", state="attached")
    yield opened
    context.close()


def talk(page: Any, clips: Path) -> None:
    """Give two videos, ask two questions about the second, and show the second that answers the first."""
    for name in ("three_scenes.mp4", "a_minute.mp4"):
        if page.locator("#kf-another").is_visible():
            page.click("#kf-another")
        page.wait_for_selector("#kf-examples button")
        page.set_input_files("#kf-upload input[type=file]", str(clips / name))
        page.wait_for_selector(f"#kf-player:has-text('{name}')")
        page.wait_for_selector("#kf-question textarea:not([disabled])")
    for number, question in enumerate(QUESTIONS, 1):
        page.fill("#kf-question textarea", question)
        page.press("#kf-question textarea", "Enter")
        page.wait_for_function(f"document.querySelectorAll('#kf-chat .kf-facts').length == {number}")
    page.evaluate("document.querySelector('#kf-player video').currentTime = 30.6")
    page.evaluate("document.querySelector('#kf-chat [role=log]').scrollTop = 0; scrollTo(0, 0)")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_function("!document.querySelector('#kf-player video').seeking")
    page.wait_for_timeout(1000)


def search(page: Any) -> None:
    """Search the library."""
    box = "#kf-search :is(input, textarea)"
    page.fill(box, SEARCH)
    page.press(box, "Enter")
    page.wait_for_selector("#kf-found .kf-moment")
    page.wait_for_timeout(1000)


def save(page: Any, path: Path) -> None:
    """Write what is seen as a PNG of 256 colours."""
    page.screenshot(path=str(path))
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(256, kmeans=4, dither=Image.Dither.NONE)
        small.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def spoken_clips(folder: Path) -> Path:
    """Two bundled clips, the longer one with subtitles inside."""
    shutil.copy(demo_video("three_scenes.mp4"), folder)
    subtitles = folder / "cues.srt"
    subtitles.write_text(CUES, encoding="utf-8")
    inputs = ["-i", str(demo_video()), "-i", str(subtitles), "-map", "0:v", "-map", "1"]
    command = ["ffmpeg", "-v", "error", *inputs, "-c:v", "copy", "-c:s", "mov_text"]
    subprocess.run([*command, str(folder / "a_minute.mp4")], check=True)
    return folder


def main() -> None:
    """Take the pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=IMAGES, help="where they go (docs/images)")
    parser.add_argument("--looks", action="store_true", help="also wide and narrow, light and dark")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        clips = spoken_clips(Path(place))
        library = Library(Path(place) / "library.sqlite", encoder="cartoon")
        list(library.index([demo_video().parent]))
        models = Models(["cartoon"], ["cartoon"])
        with serving(models) as (address, *_):
            with page(browser, address, WIDE) as opened:
                talk(opened, clips)
                save(opened, args.folder / "chat.png")
            for size, density in ((WIDE, 1), (NARROW, 2)) if args.looks else ():
                for scheme in ("light", "dark"):
                    with page(browser, address, size, scheme, density) as opened:
                        talk(opened, clips)
                        name = f"{'wide' if size == WIDE else 'narrow'}_{scheme}.png"
                        opened.screenshot(path=str(args.folder / name), full_page=True)
        with (
            serving(models, library=library) as (address, *_),
            page(browser, address, (1280, 900)) as opened,
        ):
            search(opened)
            save(opened, args.folder / "library_chat.png")
        browser.close()


if __name__ == "__main__":
    main()
