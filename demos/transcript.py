"""The words of a video for the page: a file that the transcript is drawn from, and the lines of an answer.

The page fetches the cues once and draws only those in view (`transcript.js`): an hour has thousands of them.
All of it is a stranger's text: it travels as JSON, or escaped.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from keyframe_llm.demos.times import clock
from keyframe_llm.messages import told_cues
from keyframe_llm.options import WordOptions
from keyframe_llm.selection import Selection
from keyframe_llm.words import Cue

__all__ = ["fitting_lines", "shell", "source", "told", "write_once"]

_SHOWN_LINES = 3
_LONGEST_LINE = 160
_NONE = {
    True: "No words were read or heard in this video.",
    False: "This video has no subtitles. Speech is recognised where the page was started with --listen, "
    "text in the picture with --read-screen.",
}
_SHELL = (
    '<div class="kf-bar-of-words"><input type="search" aria-label="Search the words" '
    'placeholder="Search the words" autocomplete="off" maxlength="200">'
    '<button type="button" class="kf-only" aria-pressed="false" hidden '
    'title="The lines that the model was told with the key frames"></button>'
    '<label><input type="checkbox" class="kf-follow" checked> Follow the player</label></div>'
    '<p class="kf-count" role="status">The words of a video stand here once it has been read.</p>'
    '<div class="kf-lines" role="group" aria-label="Lines" tabindex="0"></div>'
)


def write_once(path: Path, data: bytes) -> bool:
    """Write a file that is named by its content, unless it is there: it may be on its way to a browser.

    Returns whether it is there; it is not where its folder was removed, with the video, and nobody waits.
    """
    if path.exists():
        return True
    unfinished = path.with_name(f"{secrets.token_hex(8)}.part")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except FileNotFoundError:
        return False
    return True


def shell() -> str:
    """The transcript without its lines, which `transcript.js` fills in."""
    return _SHELL


def source(video: Path | None, words: Sequence[Cue], options: WordOptions) -> str:
    """Where the page finds the words of a video, and what it says where there are none; hidden HTML.

    The file lies beside the video, which has a folder that nobody else knows, and goes with it.
    """
    tried = options.listen is not None or bool(options.read_screen)
    address = _written(video, words) if video is not None and words else ""
    return f'<span hidden data-words="{escape(address)}" data-none="{escape(_NONE[tried])}"></span>'


def told(selection: Selection, words: Sequence[Cue]) -> str:
    """Which of the words the model was told with these key frames, and which the text fits; hidden HTML.

    Numbers are indices into `words`, of which the selection may have seen a part alone.
    """
    number = {cue: i for i, cue in enumerate(words)}
    fits = [match.cue for match in selection.word_matches]
    given = told_cues(selection.words, selection.seconds, matched=fits)
    lists = {"told": given, "fits": fits}
    shown = {name: [number.get(selection.words[i], -1) for i in list_] for name, list_ in lists.items()}
    return f"<span hidden data-lines='{json.dumps(shown)}'></span>"


def fitting_lines(selection: Selection) -> str:
    """The best lines that a question fits, each a button that jumps to its second."""
    cues = [selection.words[match.cue] for match in selection.word_matches[:_SHOWN_LINES]]
    return "".join(_line(cue) for cue in sorted(cues))


def _line(cue: Cue) -> str:
    text = " ".join(cue.text.split())
    short = text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]} …"
    language = f' lang="{escape(cue.language)}"' if cue.language else ""
    return (
        f'<button type="button" class="kf-line" data-second="{cue.start:.3f}"><i>{clock(cue.start)}</i>'
        f'<span dir="auto"{language}>{escape(short)}</span></button>'
    )


def _written(video: Path, words: Sequence[Cue]) -> str:
    """Write the cues as JSON lists (start, end, text, source, language); return the address of the file."""
    rows = [[round(cue.start, 3), round(cue.end, 3), cue.text, cue.source, cue.language] for cue in words]
    data = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
    path = video.with_name(hashlib.sha256(data).hexdigest()[:20] + ".json")
    if not write_once(path, data):
        return ""
    return f"gradio_api/file={quote(str(path))}"
