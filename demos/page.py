"""The chat page: its layout, and which handler each event calls."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from keyframe_llm.cartoon import is_embedded
from keyframe_llm.cartoon.world.language import ACTION_LABELS
from keyframe_llm.demos import transcript
from keyframe_llm.demos.api import Endpoints, uploads_only
from keyframe_llm.demos.buttons import SAVE_CONVERSATION
from keyframe_llm.demos.downloads import Downloads
from keyframe_llm.demos.handlers import NO_CONVERSATION, Handlers
from keyframe_llm.demos.library import LibrarySearch
from keyframe_llm.demos.models import Models
from keyframe_llm.demos.player import Player
from keyframe_llm.demos.sessions import GRACE_SECONDS, Sessions
from keyframe_llm.demos.upload import limits, uploaded
from keyframe_llm.demos.videos import EXAMPLES, demo_video
from keyframe_llm.library import Library
from keyframe_llm.options import SelectOptions
from keyframe_llm.scoring.selectors import selector_names
from keyframe_llm.video import open_video

__all__ = ["build"]

_BANNER = (
    "<b>The embedded models are in use.</b> They know one drawn world (four kinds of people, eleven actions, "
    "six places) and short questions about it; on other footage their words mean nothing. For real videos: "
    "<code>keyframe-llm chat --model Qwen/Qwen2.5-VL-7B-Instruct</code>"
)
_OTHER_LABELS = ("run", "jump", "eat", "drink", "dance", "cook", "talk", "drive a car", "ride a bike")
_BETWEEN_CLEANINGS = 600
"""Seconds. Uploads that no page took, and copies of results, are removed then where the grace is over."""
_TAB = """() => {
  const made = () => Array.from(crypto.getRandomValues(new Uint8Array(24)), (b) => b.toString(16)).join('');
  const name = sessionStorage.getItem('kf-session') || made();
  sessionStorage.setItem('kf-session', name);
  return [name, ...['kf-conversation', 'kf-video'].map((kept) => sessionStorage.getItem(kept) || '')];
}"""
"""Gives the name of the browser tab's session, and the conversation and the video in view that it kept."""

_BRIDGE = """
document.addEventListener('kf-part', (event) => trigger('select', event.detail));
document.addEventListener('kf-stop', () => trigger('stop'));
document.addEventListener('kf-check', (event) => trigger('change', event.detail));
"""
"""Tells the server what `span.js` and `shelf.js` were told."""


_SENT = "(question, _, ...settings) => [window.kfSent(question), window.kfEdited(), ...settings]"
"""Empties the question box (`draft.js`), and adds the name of the turn that `editing.js` had in it."""
_REFUSED = "() => window.kfRefused()"
_JUDGED = "(labels, ...settings) => [window.kfJudged(labels), ...settings]"
"""Adds the label that is being typed (`labels.js`)."""


def build(
    models: Models,
    folder: Path,
    grace_seconds: float = GRACE_SECONDS,
    library: Library | None = None,
    *,
    allow_addresses: bool = False,
) -> tuple[gr.Blocks, Sessions]:
    """Lay out the page. `folder` is Gradio's own for uploads; sessions and examples live in it.

    With a `library` the page begins with a search of it. `allow_addresses` has the server fetch videos from
    addresses that visitors give.
    """
    sessions = Sessions(models, folder, grace_seconds)
    handlers = Handlers(sessions, _examples(folder))
    grace = max(1, int(grace_seconds))
    cleaning = (min(_BETWEEN_CLEANINGS, grace), grace)
    with gr.Blocks(
        title="Chat with a video", analytics_enabled=False, delete_cache=cleaning, fill_width=True
    ) as page:
        gr.HTML(_head(models, library), elem_id="kf-head")
        sessions.startup.add()
        kept_by_browser = gr.HTML(elem_id="kf-kept")
        ended = gr.HTML(elem_id="kf-ended")  # by itself: what an answer draws at its end would write over it
        bridge = gr.HTML(elem_id="kf-bridge", js_on_load=_BRIDGE)
        with gr.Row(elem_id="kf-main"):
            with gr.Column(scale=5, min_width=330, elem_id="kf-left"):
                videos = gr.Radio([], label="Videos", visible=False, elem_id="kf-videos")
                notice = gr.HTML(elem_id="kf-notice")
                gr.HTML(elem_id="kf-uploading")
                start, upload, examples, search = _start(handlers, library)
                with start:
                    address = _address() if allow_addresses else None
                side = _video_side("Add another video" if library is None else "Back to the search")
            with gr.Column(scale=6, min_width=330, elem_id="kf-right"), gr.Tabs():
                with gr.Tab("Chat"):
                    chat, box = _chat()
                with gr.Tab("Transcript"):
                    gr.HTML(transcript.shell(), elem_id="kf-transcript")
                with gr.Tab("Classify"):
                    labels, classify, result = _classify()
                with gr.Tab("Settings"):
                    settings = _settings(models)
        opened = [start, side["column"], side["player"], chat, result, videos]
        video_side = [notice, side["status"], side["keyframes"], side["caption"], box]
        kept = [start, side["column"], upload, videos]
        whole = [*opened, *video_side, kept_by_browser, *settings]
        conversation = [chat, side["keyframes"], side["status"], notice, kept_by_browser, box]
        private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

        def then_watch(event: Any) -> None:
            watched = [*video_side, *kept]
            event.then(handlers.watched, settings, watched, trigger_mode="multiple", **private)

        given = [*opened, *video_side]
        then_watch(uploaded(folder, handlers.opened, given))
        # Who is faster than the page's script uploads as Gradio does it.
        then_watch(upload.upload(handlers.opened, upload, given, **private))
        if search is not None:
            then_watch(search.add(handlers.opened, handlers.chosen, whole))
        for name, button in examples.items():
            then_watch(button.click(_named(handlers, name), None, given, **private))
        if address is not None:
            fetched = [*given, address]
            then_watch(
                address.submit(handlers.addressed, address, fetched, trigger_mode="multiple", **private)
            )
        side["another"].click(handlers.begun, None, [*opened, *video_side, kept_by_browser], **private)
        then_watch(side["away"].click(handlers.closed, None, whole, **private))
        then_watch(videos.input(handlers.chosen, videos, whole, trigger_mode="multiple", **private))
        side["caption"].submit(handlers.captioned, [side["caption"], *settings], video_side, **private)
        # Not "once": right after an answer's last word its event is not over for the page, and the next
        # question would be dropped unheard.
        editing = gr.Textbox(visible=False)
        asking = [box, editing, *settings]
        submitted = box.submit(
            handlers.asked, asking, conversation, trigger_mode="multiple", js=_SENT, **private
        )
        submitted.failure(None, None, None, js=_REFUSED, **private)
        box.stop(handlers.stopped, None, None, queue=False, **private)
        bridge.select(handlers.parted, settings, video_side, trigger_mode="multiple", **private)
        bridge.stop(handlers.stopped, None, None, queue=False, **private)
        bridge.change(handlers.checked, None, ended, queue=False, trigger_mode="multiple", **private)
        changes = [control.change for control in settings]
        gr.on(changes, handlers.set, settings, None, queue=False, trigger_mode="always_last", **private)
        chat.example_select(handlers.example_asked, settings, conversation, **private)
        chat.retry(handlers.again, settings, conversation, **private)
        chat.undo(handlers.undone, None, conversation, **private)
        chat.clear(handlers.cleared, None, conversation, **private)
        labels.change(None, labels, None, js="(labels) => window.kfLabelled(labels)", **private)
        page.load(None, labels, labels, js="(usual) => window.kfLabels(usual)", **private)
        judging, judged = [labels, *settings], [result, notice]
        classify.click(handlers.classified, judging, judged, js=_JUDGED, **private)
        Downloads(sessions).add()
        Player(sessions).add(side["player"])
        Endpoints(sessions).add()
        tab = [gr.Textbox(visible=False) for _ in range(3)]
        loaded = page.load(handlers.restored, tab, whole, js=_TAB, **private)
        then_watch(loaded)  # a page that was loaded again right after a video was given
        if search is not None:
            last = gr.Textbox(visible=False)
            loaded.then(search.restored, last, search.results, js="() => window.kfSearch()", **private)
        page.unload(handlers.left)
    return page, sessions


def _head(models: Models, library: Library | None) -> str:
    first = "Drop a video" if library is None else "Search the videos of the library, click a moment"
    lead = f"{first}, see its key frames, and ask. Every answer shows the frames it rests on."
    embedded = is_embedded(models.model_names[0]) or is_embedded(models.encoder_names[0])
    banner = f'<p class="kf-banner">{_BANNER}</p>' if embedded else ""
    skip = '<a class="kf-skip" href="#kf-question">Skip to the question</a>'
    keys = '<button type="button" class="kf-help" aria-haspopup="dialog">Shortcuts</button>'
    return f"{skip}{keys}<h1>Chat with a video</h1><p>{escape(lead)}</p>{banner}"


def _start(
    handlers: Handlers, library: Library | None
) -> tuple[Any, Any, dict[str, Any], LibrarySearch | None]:
    with gr.Column(elem_id="kf-start") as start:
        search = None if library is None else LibrarySearch(handlers.sessions, library)
        upload = uploads_only(
            gr.File(
                label="Video",
                file_types=["video", ".mkv", ".ts", ".gif"],
                elem_id="kf-upload",
                height=190,
                interactive=True,
            )
        )
        gr.HTML(limits(handlers.sessions.folder) + "or begin with one of these", elem_id="kf-or")
        with gr.Row(elem_id="kf-examples"):
            icons = {name: handlers.examples[name].with_suffix(".jpg") for name in EXAMPLES}
            buttons = {name: gr.Button(example.title, icon=icons[name]) for name, example in EXAMPLES.items()}
        for name, button in buttons.items():
            button.keep_in_cache.add(str(icons[name]))  # else Gradio removes it as it does uploads
    return start, upload, buttons, search


def _address() -> Any:
    return gr.Textbox(
        label="Or the address of a video",
        placeholder="https://…",
        info="Press Enter: this server fetches it.",
        max_lines=1,
        max_length=2000,
        elem_id="kf-address",
    )


def _video_side(back: str) -> dict[str, Any]:
    with gr.Column(visible=False, elem_id="kf-side") as column:
        player = gr.HTML(elem_id="kf-player")
        keyframes = gr.HTML(elem_id="kf-keyframes")
        status = gr.HTML(elem_id="kf-status")
        caption = gr.Textbox(
            label="Caption",
            info="Written by the model. Change it and press Enter: the frames follow.",
            max_lines=4,
            submit_btn=False,
            elem_id="kf-caption",
        )
        with gr.Row(elem_id="kf-buttons"):
            another = gr.Button(back, size="sm", elem_id="kf-another")
            away = gr.Button("Put this video away", size="sm", elem_id="kf-away")
    parts = {"player": player, "status": status, "keyframes": keyframes, "caption": caption}
    return {"column": column, "another": another, "away": away, **parts}


def _chat() -> tuple[Any, Any]:
    chat = gr.Chatbot(
        show_label=False,
        height="min(64vh, 660px)",
        min_height=340,
        layout="bubble",
        buttons=["copy"],
        feedback_options=None,
        autoscroll=False,  # page.js follows the answer, and leaves alone who has scrolled up
        placeholder=NO_CONVERSATION,
        elem_id="kf-chat",
    )
    box = gr.Textbox(
        show_label=False,
        label="Question",
        placeholder="First drop a video, or take an example",
        submit_btn=True,
        interactive=False,
        max_lines=4,
        max_length=2000,
        elem_id="kf-question",
    )
    gr.HTML(SAVE_CONVERSATION, elem_id="kf-save")
    return chat, box


def _classify() -> tuple[Any, Any, Any]:
    labels = gr.Dropdown(
        label="Labels",
        info="Choose from the list or type your own, Enter after each; several at once with commas.",
        choices=[*ACTION_LABELS.values(), *_OTHER_LABELS],
        value=list(ACTION_LABELS.values()),
        multiselect=True,
        allow_custom_value=True,
        elem_id="kf-labels",
    )
    button = gr.Button("Which action does the video show?", variant="primary", elem_id="kf-classify")
    return labels, button, gr.HTML(elem_id="kf-result")


def _settings(models: Models) -> list[Any]:
    """The controls, in the order of the fields of `Settings`."""
    gr.HTML("They hold from the next question on.", elem_id="kf-hold")
    frames = gr.Slider(1, 8, 3, step=1, label="Key frames", info="At most this many are shown to the model.")
    method = gr.Dropdown(
        list(selector_names()),
        value=SelectOptions().method,
        label="Method",
        info="How frames are chosen: this package's way, the paper's, or a published selector.",
    )
    usual_weights = SelectOptions().weights
    gr.HTML("Weights of the score, for the methods moments and paper alone:", elem_id="kf-weights")
    with gr.Row():
        weights = [
            gr.Slider(0, 1, usual, step=0.05, label=label, info=info, min_width=150)
            for usual, label, info in (
                (usual_weights[0], "Semantic", "Fits the text"),
                (usual_weights[1], "Temporal", "Is typical"),
                (usual_weights[2], "Drop", "Is missed"),
            )
        ]
    compare = gr.Checkbox(
        label="Compare with uniform sampling",
        info="Shows the frames of uniform sampling, and what the model answers to them.",
        elem_id="kf-compare",
    )
    model = gr.Dropdown(models.model_names, label="Video-LLM", interactive=len(models.model_names) > 1)
    encoder = gr.Dropdown(models.encoder_names, label="Encoder", interactive=len(models.encoder_names) > 1)
    return [model, encoder, frames, method, *weights, compare, *_parameters()]


def _parameters() -> list[Any]:
    """The model's parameters, in the order of the fields of `Settings`."""
    system = gr.Textbox(
        value="",
        label="System prompt",
        info="What the model is told before everything else; empty: its own.",
        lines=2,
        max_lines=6,
        max_length=2000,
        elem_id="kf-system",
    )
    with gr.Row():
        temperature = gr.Slider(
            0, 2, 0, step=0.1, label="Temperature", info="0: the likeliest words", min_width=150
        )
        longest = gr.Slider(
            16, 2048, 512, step=16, label="Longest answer", info="Tokens, at most", min_width=150
        )
    return [system, temperature, longest]


def _named(handlers: Handlers, name: str) -> Any:
    def example(request: gr.Request) -> Sequence[Any]:
        shown: list[Any] = handlers.example(name, request)
        return shown

    return example


def _examples(folder: Path) -> dict[str, Path]:
    """Copy the bundled clips to where they may be played from, each with a picture of it."""
    there = folder / "examples"
    there.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, example in EXAMPLES.items():
        paths[name] = Path(shutil.copy2(demo_video(name), there / name))
        with open_video(paths[name]) as decoder:
            image = Image.fromarray(decoder.decode_at([example.poster_seconds]).images[0])
        image.save(paths[name].with_suffix(".jpg"), quality=88)
    return paths
