"""The models that a chat page offers: each is loaded once, when first needed, and shared by all sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from keyframe_llm import KeyframeLLM
from keyframe_llm.classification import Classification
from keyframe_llm.data import Progress
from keyframe_llm.demos.pace import USUAL_SECONDS
from keyframe_llm.demos.worker import checkpoint
from keyframe_llm.encoders import Encoder, default_encoder
from keyframe_llm.encoders.shared import SharedEncoder
from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.messages import Layout
from keyframe_llm.options import SelectOptions, WordOptions
from keyframe_llm.prompts import Prompts
from keyframe_llm.video import OpenDecoder
from keyframe_llm.vlm import VLM
from keyframe_llm.vlm.load import check_options, served_name
from keyframe_llm.vlm.served_request import FramesAs
from keyframe_llm.vlm.shared import SharedVLM

__all__ = ["Models", "classified"]

T = TypeVar("T")


class Models:
    """The Video-LLMs and encoders to choose from, by name; the first of each is the default.

    A visitor can choose only models that were named when the page was started: a name that a visitor types
    could have folders read and gigabytes downloaded.
    """

    def __init__(
        self,
        models: Sequence[str | VLM],
        encoders: Sequence[str | Encoder] = (),
        *,
        device: str | None = None,
        prompts: Prompts | None = None,
        words: WordOptions | None = None,
        layout: Layout = "images",
        frames_as: FramesAs | None = None,
    ) -> None:
        """Without `encoders` every model is used with its `default_encoder`. `device` is where models run.

        `words` are those of every video that are read and heard. `layout` is how every model is shown key
        frames, as for `KeyframeLLM`; `frames_as` is how those that a server runs are sent them (see
        `OpenAIVLM`). Raises `OptionsError` where no model is a server's, or the two contradict each other.
        """
        vlms = [_shared_model(model, layout, frames_as, device) for model in models]
        if frames_as is not None and not any(map(_is_served, models)):
            raise OptionsError("frames_as is for a server, and no model is one's; leave it out")
        sources = list(encoders) or list(dict.fromkeys(default_encoder(vlm) for vlm in vlms))
        shared = [SharedEncoder(source, device=device, checkpoint=checkpoint) for source in sources]
        self._models, self._encoders = {vlm.name: vlm for vlm in vlms}, {each.name: each for each in shared}
        self.prompts, self.words, self.layout = prompts, words or WordOptions(), layout
        self.usual_seconds = dict(USUAL_SECONDS)
        """What each stage of reading a video usually takes with them; every video adds to it."""

    @property
    def model_names(self) -> list[str]:
        """The Video-LLMs on offer, the default first."""
        return list(self._models)

    @property
    def encoder_names(self) -> list[str]:
        """The encoders on offer, the default first."""
        return list(self._encoders)

    def model(self, name: str) -> SharedVLM:
        """The Video-LLM of that name; raises `OptionsError` on one that is not on offer."""
        return _offered(self._models, "model", name)

    def encoder(self, name: str) -> SharedEncoder:
        """The encoder of that name; raises `OptionsError` on one that is not on offer."""
        return _offered(self._encoders, "encoder", name)

    def pipeline(
        self,
        model: str | None = None,
        encoder: str | None = None,
        *,
        progress: Progress | None = None,
        backend: str | OpenDecoder = "pyav",
    ) -> KeyframeLLM:
        """A pipeline with these models (by default the first ones) that keeps nothing on disk.

        `backend` decodes, as for `open_video`.
        """
        return KeyframeLLM(
            self.model(model or self.model_names[0]),
            self.encoder(encoder or self.encoder_names[0]),
            options=SelectOptions(words=self.words, backend=backend),
            progress=progress,
            cache=False,
            prompts=self.prompts,
            layout=self.layout,
        )


def _shared_model(
    model: str | VLM, layout: Layout, frames_as: FramesAs | None, device: str | None
) -> SharedVLM:
    """A model for all sessions; how key frames are sent is for one that a server runs alone."""
    sent = {} if frames_as is None or not _is_served(model) else {"frames_as": frames_as}
    check_options(model, sent, layout)
    return SharedVLM(model, device=device, checkpoint=checkpoint, **sent)


def _is_served(model: str | VLM) -> bool:
    """Whether a model is named by the URL of a server."""
    return isinstance(model, str) and served_name(model) is not None


def classified(llm: KeyframeLLM, video: Path, labels: Sequence[str], **options: Any) -> Classification:
    """Have the Video-LLM classify by likelihoods, or by its answer where it is a server, which has none.

    Where the answer names no label, the encoder judges, and a warning of the selection says so.
    """
    if not getattr(llm.model, "concurrent", False):
        return llm.classify(video, labels, **options)
    try:
        return llm.classify(video, labels, by="answer", **options)
    except ModelError as error:
        found = llm.classify(video, labels, by="encoder", **options)
        note = f"{str(error).partition(';')[0]}; the encoder judged instead"
        warned = replace(found.selection, warnings=(*found.selection.warnings, note))
        return replace(found, selection=warned)


def _offered(models: Mapping[str, T], kind: str, name: str) -> T:
    if name not in models:
        raise OptionsError(f"{kind} is {name!r}; this page offers {', '.join(models)}")
    return models[name]
