"""Files on the chat page, in a real browser: of any format that is brought, and those that are taken away."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import time
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from keyframe_llm.demos.models import Models
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.video import open_video
from support.chat import (
    IN_BROWSER,
    PATIENCE,
    Brightness,
    Talker,
    ask,
    player_seconds,
    ready,
    upload,
    wait_until_said,
)

pytestmark = IN_BROWSER


def saved(page: Any, button: Any) -> tuple[str, bytes]:
    """The name and content of the file that a click on the button saves."""
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


TOASTS = """() => {
  window.toasts = [];
  const shown = () => [...document.querySelectorAll('.kf-toast')].map((toast) => toast.textContent);
  const note = () => window.toasts.push(...shown());
  new MutationObserver(note).observe(document, { childList: true, subtree: true, characterData: true });
}"""
"""Notes what was told for a moment: on a busy machine it is gone before it is looked for."""


def copied(page: Any) -> str:
    page.wait_for_function("window.toasts.includes('Copied')")
    page.evaluate("window.toasts = []")
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_answers_frames_files_and_moments_are_taken_away(visit: Any) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate(TOASTS)
    page.locator("#kf-examples button").nth(2).click()
    ready(page)
    ask(page, "Is <it> bright?", 1)

    page.get_by_role("button", name="Copy answer").click()
    answer = copied(page)
    assert re.fullmatch(r"Take \d+. I was told 1 messages; the first frame is at [\d.]+ seconds\.", answer)

    cell = page.locator("#kf-chat .kf-cell").last
    second = float(cell.locator(".kf-frame").get_attribute("data-second"))
    name, data = saved(page, cell.get_by_role("button", name="in full size"))
    assert name == f"one_walk_{second:.3f}s.jpg"
    with open_video(demo_video("one_walk.mp4")) as decoder:
        frame = decoder.decode_at([second]).images[0]
    picture = np.asarray(Image.open(io.BytesIO(data)))
    assert picture.shape == frame.shape
    assert np.abs(picture.astype(float) - frame).mean() < 2

    name, data = saved(page, page.locator("#kf-keyframes").get_by_role("button", name="Contact sheet"))
    assert name.endswith("_contact_sheet.png") and Image.open(io.BytesIO(data)).width >= 640
    name, data = saved(page, page.locator("#kf-chat").get_by_role("button", name="selection.json"))
    details = json.loads(data)
    assert details["video"]["name"] == "one_walk.mp4" and "path" not in details["video"]
    assert f"one_walk_{second:.3f}s.jpg" in [keyframe["image"] for keyframe in details["keyframes"]]

    name, data = saved(page, page.get_by_role("button", name="Save the conversation"))
    html = data.decode("utf-8")
    assert name == "one_walk_conversation.html"
    assert "Is &lt;it&gt; bright?" in html and answer in html
    assert html.count('src="data:image/jpeg;base64,') == page.locator("#kf-chat .kf-frame").count()

    cell.locator(".kf-frame").click()
    player_seconds(page)
    page.get_by_role("button", name="Copy link to this moment").click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.includes('#t='))")
    link = copied(page)
    assert link.endswith("&video=one_walk.mp4")
    page.evaluate("document.querySelector('#kf-player video').currentTime = 0")
    other = page.context.new_page()  # another tab, which has no video
    other.add_init_script(f"({TOASTS})()")
    other.goto(link)
    other.wait_for_function("window.toasts.includes('Shown in the tab that has one_walk.mp4')")
    assert player_seconds(page) == pytest.approx(second, abs=0.05)
    page.evaluate("document.querySelector('#kf-player video').currentTime = 0")
    page.goto(link)  # in the tab itself
    page.wait_for_function("document.querySelector('#kf-player video').currentTime > 0")
    assert player_seconds(page) == pytest.approx(second, abs=0.05)
    page.reload()
    wait_until_said(page, "Is <it> bright?")
    page.wait_for_function("document.querySelector('#kf-player video').currentTime > 0")
    assert player_seconds(page) == pytest.approx(second, abs=0.05)


def test_what_is_gone_is_not_saved_and_no_other_file_is(visit: Any) -> None:
    page = visit()
    for what in ("frame video 0", "sheet ../../etc 0", "json nobody", "file /etc/passwd", ""):
        page.evaluate("what => window.kfSave(what)", what)
        page.get_by_text("not there any more").last.wait_for()


def written(path: Path, seconds: list[float], start: float = 0.0, codec: str = "mpeg4") -> Path:
    """Write a video whose i-th frame, `seconds[i]` after `start`, is as grey as it is late."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for i, second in enumerate(seconds):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), grey_of(i), np.uint8), "rgb24")
            frame.pts, frame.time_base = round(100 * (start + second)), Fraction(1, 100)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def grey_of(i: int) -> int:
    return 20 + 18 * i


def wait_for_frame(page: Any, number: int) -> None:
    """Wait until the player shows this frame of a file of `written`; after a jump it draws when it can."""
    page.wait_for_function(
        """number => {
          const video = document.querySelector('#kf-player video');
          if (video.seeking || video.readyState < 2) return false;
          const paper = document.createElement('canvas').getContext('2d');
          paper.drawImage(video, 0, 0, 8, 8);
          return Math.round((paper.getImageData(4, 4, 1, 1).data[0] - 20) / 18) === number;
        }""",
        arg=number,
        timeout=20_000,
    )


def jump_to(page: Any, second: float) -> None:
    """Jump as a click on a frame of this second does."""
    page.evaluate(
        """second => { const frame = document.querySelector('#kf-keyframes .kf-frame');
          frame.dataset.second = second; frame.click(); }""",
        second,
    )


@pytest.mark.parametrize(
    ("name", "start", "codec"), [("old.avi", 0.0, "mpeg4"), ("late.mp4", 5.0, "libx264")]
)
def test_the_player_shows_the_frame_of_the_second_whatever_the_file(
    visit: Any,
    tmp_path: Path,
    name: str,
    start: float,
    codec: str,
) -> None:
    """One format that browsers cannot play, and one whose own clock does not begin at 0."""
    seconds = [0.04 * i for i in range(12)]
    page = visit()
    upload(page, written(tmp_path / name, seconds, start, codec))
    ready(page)
    page.wait_for_selector("#kf-player video")
    page.wait_for_function("document.querySelector('#kf-player video').readyState > 0")
    assert page.locator(".kf-preview").count() == (name == "old.avi")
    for i in (3, 11, 6):
        jump_to(page, seconds[i])
        wait_for_frame(page, i)
    page.reload()
    ready(page)
    page.wait_for_function("document.querySelector('#kf-player video').readyState > 0")
    jump_to(page, seconds[7])
    wait_for_frame(page, 7)


def test_where_no_preview_is_made_a_click_shows_the_frame(visit: Any, tmp_path: Path) -> None:
    page = visit(width=390)
    upload(page, written(tmp_path / "long.mkv", [100.0 * i for i in range(12)]))
    ready(page)
    page.wait_for_selector("#kf-player .kf-still:not(.kf-preparing) img")
    assert "longer than 15 minutes" in page.inner_text(".kf-preview")
    jump_to(page, 400.0)
    picture = page.wait_for_selector('#kf-player img[alt="Frame at 400.00 seconds"]')
    data = page.request.get(picture.evaluate("image => image.src")).body()
    assert abs(int(np.asarray(Image.open(io.BytesIO(data)))[30, 30, 0]) - grey_of(4)) <= 3


def test_an_upload_shows_its_percentage_is_cancelled_and_its_limits_are_told_before(
    visit: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from keyframe_llm.demos.upload import size_name  # which imports gradio

    page = visit(width=390)
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    most = size_name(int(page.get_attribute(".kf-limits", "data-most")))  # by what the disk has room for
    assert f"up to {most} and 3 hours" in page.inner_text(".kf-limits")
    huge, empty, slow = tmp_path / "huge.mp4", tmp_path / "empty.mp4", tmp_path / "slow.mp4"
    huge.touch()
    os.truncate(huge, 2_100_000_000)
    empty.touch()
    slow.write_bytes(demo_video("hidden_event.mp4").read_bytes() + bytes(9_000_000))  # half a minute
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if "/upload" in request.url else None)
    for file, told in ((huge, f"has 2.1 GB; at most {most} are taken here"), (empty, "is empty")):
        upload(page, file)
        page.get_by_text(f"{file.name} {told}").wait_for()
    assert sent == []

    throttle = page.context.new_cdp_session(page)
    slowly = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 300_000}
    throttle.send("Network.emulateNetworkConditions", slowly)
    upload(page, slow)
    page.wait_for_function("parseInt(document.querySelector('.kf-share')?.textContent) > 4")
    bar = page.get_by_role("progressbar", name="Upload").bounding_box()
    assert 0 < bar["y"] < 844 and bar["width"] > 200
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_selector(".kf-upload", state="detached")
    throttle.send("Network.emulateNetworkConditions", {**slowly, "uploadThroughput": -1})
    end = time.monotonic() + PATIENCE / 1000
    while not caplog.messages and time.monotonic() < end:
        time.sleep(0.05)
    assert re.fullmatch(r"an upload was given up by its browser; .* removed", caplog.messages[0])
    assert [
        path for path in folder.rglob("*") if path.name == "slow.mp4" or path.name.startswith("tmp")
    ] == []

    shutil.copy(demo_video("one_walk.mp4"), tmp_path / "mine.mp4")
    upload(page, tmp_path / "mine.mp4")
    ready(page)
    assert "mine.mp4" in page.inner_text("#kf-player") and len(sent) == 2
    for path in ("/etc/passwd", f"{folder}/examples/one_walk.mp4", f"{folder}/{'a' * 64}/.."):
        page.evaluate(
            "file => document.dispatchEvent(new CustomEvent('kf-uploaded', { detail: { file } }))", path
        )
        page.get_by_text("Only uploaded files are read").last.wait_for()
    assert "mine.mp4" in page.inner_text("#kf-player")


class SlowToLoad(Brightness):
    """An encoder that is not ready for a while."""

    def __init__(self) -> None:
        self.ready = Event()

    def embed_texts(self, texts: Any, /) -> Any:
        self.ready.wait(60)
        return super().embed_texts(texts)


def test_the_page_is_there_while_the_models_are_loaded_and_says_so(browser: Any) -> None:
    from keyframe_llm.demos.chat import serving

    encoder = SlowToLoad()
    with serving(Models([Talker()], [encoder])) as addresses:
        page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(addresses[0])
        page.get_by_text("The models are being loaded").wait_for()
        assert page.locator("#kf-examples button").first.is_visible()
        encoder.ready.set()
        page.wait_for_function("!document.querySelector('#kf-starting p')")
        page.context.close()
