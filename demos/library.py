"""A library on the chat page: a search, its moments as a grid of pictures, and the way from one to a chat.

The browser names a moment by its number among those that the session found last: it names no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import gradio as gr

from keyframe_llm.demos import views
from keyframe_llm.demos.sessions import Sessions
from keyframe_llm.demos.shelf import Shelf
from keyframe_llm.demos.times import clock
from keyframe_llm.errors import KeyframeError, as_one_line
from keyframe_llm.jpeg import encode_jpeg, jpeg_data_url
from keyframe_llm.library import Evidence, Library, ShownVideo

__all__ = ["LibrarySearch"]

_MOST_VIDEOS, _MOST_MOMENTS = 8, 24
_THUMBNAIL = (320, 240)
_LONGEST_NAME, _LONGEST_WORDS, _LONGEST_TEXT = 80, 90, 300
_LISTEN = "document.addEventListener('kf-found', (event) => trigger('click', event.detail));"

Opened = Callable[[str, gr.Request], list[Any]]
Again = Callable[[str, gr.Request], Iterator[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """What a session searched for last, and what it found."""

    text: str
    evidence: Evidence
    drawn: str

    def moment(self, number: int) -> ShownVideo | None:
        """The video of a moment, by the number that the page calls it by."""
        videos = [video for video in self.evidence.videos for _ in video.frames.seconds]
        return videos[number] if 0 <= number < len(videos) else None


class LibrarySearch:
    """The search box and the grid of moments, above where a video is dropped."""

    def __init__(self, sessions: Sessions, library: Library) -> None:
        self.sessions, self.library = sessions, library
        self._last: WeakKeyDictionary[Shelf, _Search] = WeakKeyDictionary()
        self._wanted: WeakKeyDictionary[Shelf, str] = WeakKeyDictionary()
        with gr.Column(elem_id="kf-library"):
            self.box = gr.Textbox(
                label="Search the library",
                info=f"{len(library.paths()):,} videos, by what is seen and what is said in them.",
                placeholder="a dog on a beach",
                submit_btn=True,
                max_lines=1,
                max_length=_LONGEST_TEXT,
                elem_id="kf-search",
            )
            self.results = gr.HTML(elem_id="kf-found")

    def add(self, opened: Opened, again: Again, outputs: list[Any]) -> Any:
        """Declare the events; `opened` puts a video into the player, `again` shows one that is open.

        `outputs` are those of `again`, which begin with those of `opened`. Returns the event of a moment.
        """
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

        def chosen(event: gr.EventData, request: gr.Request) -> Iterator[Any]:
            path = self._path(int(event._data["number"]), request)
            shelf = self._shelf(request)
            known = [session.name for session, (_, file) in shelf.files.items() if file == Path(path)]
            if known:  # it is open already, with its conversation
                yield from again(known[0], request)
                return
            shown = opened(path, request)
            yield [*shown, *[gr.skip()] * (len(outputs) - len(shown))]

        each: dict[str, Any] = {"trigger_mode": "multiple", **hidden}
        keep = "(text) => window.kfSearched(text)"
        self.box.submit(self.searched, self.box, self.results, js=keep, **each)
        told = gr.HTML(js_on_load=_LISTEN, elem_id="kf-chosen", elem_classes="kf-hidden")
        return told.click(chosen, None, outputs, **each)

    def searched(self, text: str, request: gr.Request) -> Iterator[Any]:
        """Draw what is found for a text, unless another one is searched for by then."""
        if not text.strip():
            yield '<p class="kf-trouble" role="status">Write what to look for.</p>'
            return
        shelf = self._shelf(request)
        self._wanted[shelf] = text
        yield '<p role="status">Searching …</p>'
        try:
            evidence = self.library.evidence(text.strip(), max_videos=_MOST_VIDEOS, max_frames=_MOST_MOMENTS)
        except KeyframeError as error:
            yield f'<p class="kf-trouble" role="status">{escape(views.sentence(str(error)))}</p>'
            return
        if self._wanted[shelf] != text:
            yield gr.skip()
            return
        found = _Search(text, evidence, _drawn(evidence))
        self._last[shelf] = found
        yield found.drawn

    def restored(self, last: str, request: gr.Request) -> Iterator[Any]:
        """The last search of a browser tab whose page was loaded again; done again where it is lost."""
        found = self._last.get(self._shelf(request))
        if found is not None and found.text == last:
            yield found.drawn
        elif last.strip():
            yield from self.searched(last, request)
        else:
            yield gr.skip()

    def _path(self, number: int, request: gr.Request) -> str:
        """The file of a moment, as it was indexed. Raises `gr.Error`."""
        found = self._last.get(self._shelf(request))
        video = found.moment(number) if found is not None else None
        if video is None:
            raise gr.Error("The search is not there any more; search again.", print_exception=False)
        try:
            return self.library.current_file(video.path)
        except KeyframeError as error:
            name = str(error).replace(video.path, Path(video.path).name)
            raise gr.Error(views.sentence(name), print_exception=False) from error

    def _shelf(self, request: gr.Request) -> Shelf:
        return self.sessions.shelf(str(request.session_hash))


def _drawn(evidence: Evidence) -> str:
    """The moments as a grid, video by video, the best first."""
    cells, number = [], 0
    for video in evidence.videos:
        for i in range(len(video.frames.seconds)):
            cells.append(_cell(video, i, number))
            number += 1
    count = len(evidence.videos)
    videos = "1 video" if count == 1 else f"{count} videos"
    line = f"{number} moments of {videos}, the best first" if cells else "Nothing found"
    gone = [
        f'<p class="kf-gone">{escape(_short(_without_folder(problem), 160))}</p>'
        for problem in evidence.problems
    ]
    return f'<p role="status">{line}</p><ul class="kf-grid">{"".join(cells)}</ul>{"".join(gone)}'


def _cell(video: ShownVideo, i: int, number: int) -> str:
    """A picture with the name of its video and its time, as a button that opens the video there."""
    second, image = float(video.frames.seconds[i]), video.frames.images[i]
    picture = jpeg_data_url(encode_jpeg(image, quality=78, max_size=_THUMBNAIL))
    name = _short(Path(video.path).name, _LONGEST_NAME)
    said = _short(video.said_at(second), _LONGEST_WORDS)
    words = f"<q>{escape(said)}</q>" if said else ""
    return (
        f'<li><button type="button" class="kf-moment" data-number="{number}" data-at="{second:.3f}" '
        f'data-name="{escape(Path(video.path).name)}">'
        f'<img alt="" width="{image.shape[1]}" height="{image.shape[0]}" src="{picture}">'
        f'<span class="kf-name">{escape(name)}</span><span class="kf-time">{clock(second)}</span>'
        f"{words}</button></li>"
    )


def _without_folder(problem: str) -> str:
    """The line of a problem with the file's name alone: where files lie is no matter of the page."""
    head, quote, rest = problem.partition("'")
    path, end, tail = rest.rpartition("'")
    return f"{head}{quote}{Path(path).name}{end}{tail}"


def _short(text: str, letters: int) -> str:
    plain = as_one_line(" ".join(text.split()))
    return plain if len(plain) <= letters else f"{plain[: letters - 1]}…"
