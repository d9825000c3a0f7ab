"""Loads what the first video needs while the page is already there, and tells visitors so."""

from __future__ import annotations

import logging
import time
from html import escape
from threading import Thread
from typing import Any

import numpy as np

from keyframe_llm.demos.models import Models
from keyframe_llm.demos.videos import demo_video
from keyframe_llm.demos.views import sentence
from keyframe_llm.errors import KeyframeError

__all__ = ["Startup"]

_log = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
_PICTURE = 64


class Startup:
    """The loading of the models that a page starts with."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.notes: tuple[str, ...] = ()
        """What the models say of this machine, or why one could not be loaded; later it is tried again."""
        self._began = time.monotonic()
        self._done = False

    def begin(self) -> None:
        """Load in the background: the page is drawn meanwhile, and a video can be given."""
        self._began = time.monotonic()
        Thread(target=self._load, name="keyframe-llm-startup", daemon=True).start()

    def add(self) -> None:
        """Declare inside a `gr.Blocks` the line that is shown until all is loaded."""
        import gradio as gr

        line = gr.HTML(elem_id="kf-starting")
        timer = gr.Timer(_TICK_SECONDS)
        hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

        def ticked() -> tuple[str, Any]:
            return self.line(), gr.Timer(active=not self._done)

        timer.tick(ticked, None, [line, timer], **hidden)

    def line(self) -> str:
        """What is going on, as HTML; empty once all is loaded."""
        if self._done:
            return "".join(f'<p class="kf-warning">{escape(sentence(note))}</p>' for note in self.notes)
        seconds = time.monotonic() - self._began
        return (
            '<p class="kf-warning" role="status">The models are being loaded '
            f"({seconds:.0f} s so far). A video can be given already.</p>"
        )

    def _load(self) -> None:
        """Do once what the first video would have to wait for: imports, weights, the first picture."""
        models = self.models
        try:
            models.pipeline().select(demo_video("one_walk.mp4"))
            encoder = models.encoder(models.encoder_names[0])
            encoder.embed_images([np.zeros((_PICTURE, _PICTURE, 3), np.uint8)])
            encoder.embed_texts(["a video"])
            self.notes = models.model(models.model_names[0]).warnings
        except KeyframeError as error:
            self.notes = (str(error),)
            _log.warning("%s", error)
        finally:
            self._done = True
