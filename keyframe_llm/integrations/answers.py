"""The questions of an evaluation harness, answered from key frames: conversations in, texts out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from keyframe_llm.conversation import rewrite_messages
from keyframe_llm.encoders import Encoder, default_encoder, load_encoder
from keyframe_llm.errors import OptionsError, check_number, check_whole, shortened
from keyframe_llm.messages import Layout, Messages
from keyframe_llm.messages.sheet import checked_layout
from keyframe_llm.options import SelectOptions, option_fields, option_type
from keyframe_llm.scoring.selectors import uses_text
from keyframe_llm.vlm import DEFAULT_MODEL, load_vlm
from keyframe_llm.vlm.load import check_options, served_name

__all__ = ["Generation", "KeyframeAnswers", "Request", "conversation", "user_turn"]

_TOKENS = 128  # where a task does not say
_AT_ONCE = 8  # conversations sent to a server
_DETAILS = {"video_start": "start_time", "video_end": "end_time", "sample_fps": "sample_fps"}
"""What a video part may say of its video, by our names and lmms-eval's."""
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tiff", ".webp")


@dataclass(frozen=True, slots=True)
class Generation:
    """How an answer is generated."""

    max_new_tokens: int = _TOKENS
    temperature: float = 0.0
    """0 for greedy answers."""
    until: tuple[str, ...] = ()
    """The answer ends before the first of these."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Generation:
        """From a task's `generation_kwargs`; raises `OptionsError` on a number out of range.

        `do_sample: false` is temperature 0. Beams and top-p have no meaning here.
        """
        temperature = 0 if settings.get("do_sample") is False else settings.get("temperature") or 0
        until = settings.get("until") or ()
        stops = (until,) if isinstance(until, str) else tuple(map(str, until))
        return cls(
            check_whole("max_new_tokens", settings.get("max_new_tokens", _TOKENS), 1),
            check_number("temperature", temperature, 0),
            tuple(stop for stop in stops if stop),
        )

    def cut(self, answer: str) -> str:
        """The answer before the first stop."""
        for stop in self.until:
            answer = answer.split(stop)[0]
        return answer.strip()


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One question of a harness."""

    messages: Messages
    """In Hugging Face's format, with videos as paths (see `conversation`)."""
    generation: Generation = Generation()


class KeyframeAnswers:
    """Answers requests with a Video-LLM that is shown the key frames of their videos."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        encoder: str | None = None,
        *,
        device: str | None = None,
        batch_size: int | str = 1,
        layout: Layout = "images",
        **options: Any,
    ) -> None:
        """`model` and `encoder` are names (see `load_vlm`, `load_encoder`); the model is loaded at once.

        `options` are fields of `SelectOptions`, as a command line gives them (a tuple as the text
        `[0.5,0,0.5]`); the others go to `load_vlm`. `batch_size` conversations are answered at once, with a
        server `concurrency` (8). `layout` is as for `KeyframeLLM`. Raises `ModelError`, `OptionsError`.
        """
        known = option_fields()
        self._options = {name: _value(name, value) for name, value in options.items() if name in known}
        needs_encoder = uses_text(SelectOptions(**self._options).choose.method)
        more = {name: value for name, value in options.items() if name not in known}
        self._layout = checked_layout(layout)
        served = served_name(model) is not None
        size = check_whole("batch_size", _whole(batch_size), 1)
        self._at_once = more.get("concurrency", _AT_ONCE) if served else size
        try:
            check_options(model, more, layout)
            # More than a Video-LLM need be: those that have a name take a temperature.
            self._model: Any = load_vlm(
                model, device=device, **more if served else {"batch_size": size, **more}
            )
        except OptionsError as error:
            if not isinstance(error.__cause__, TypeError):
                raise
            # What is no option of a selection went to the model.
            raise OptionsError(f"{error}; those of a selection are {', '.join(known)}") from error
        name = encoder or default_encoder(model)
        self._encoder: str | Encoder = load_encoder(name, device) if device and needs_encoder else name

    def answer(self, requests: Iterable[Request]) -> Iterator[str]:
        """Yield the answers in order, a batch at a time. Raises what choosing and answering raise."""
        for generation, group in groupby(requests, key=lambda request: request.generation):
            while batch := list(islice(group, self._at_once)):
                asked = [
                    rewrite_messages(
                        request.messages, encoder=self._encoder, layout=self._layout, **self._options
                    )
                    for request in batch
                ]
                answers = self._model.generate_batch(
                    asked, max_new_tokens=generation.max_new_tokens, temperature=generation.temperature
                )
                yield from map(generation.cut, answers)


def conversation(messages: Messages, question: str | None = None) -> Messages:
    """lmms-eval's messages in Hugging Face's format: a part's `url` is a path, a picture, or a table of both.

    `question` guides the choice of key frames; without one the conversation's own text does. Raises
    `OptionsError` on audio, and on pictures that cannot be read.
    """
    return [{**message, "content": _parts(message["content"], question)} for message in messages]


def user_turn(visuals: Iterable[Any], text: str) -> Messages:
    """What lmms-eval's simple tasks give, in its format of messages: pictures and videos, then the text.

    A path is a picture by its ending, else a video; a table is a video where it does not name its `type`.
    """
    content = [{"type": _kind(visual), "url": visual} for visual in visuals]
    return [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]


def _kind(visual: Any) -> Any:
    if isinstance(visual, Mapping):
        return visual.get("type", "video")
    named = isinstance(visual, str | Path) and Path(visual).suffix.lower() in _PICTURES
    return "image" if named or isinstance(visual, Image.Image) else "video"


def _parts(content: str | Sequence[Mapping[str, Any]], question: str | None) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(part, question) for part in content]


def _part(part: Mapping[str, Any], question: str | None) -> dict[str, Any]:
    kind, source = part.get("type"), part.get("url")
    if kind == "text":
        return {"type": "text", "text": part["text"]}
    if kind == "image":
        return {"type": "image", "image": _picture(source)}
    if kind != "video":
        raise OptionsError(f"a message holds a part of type {shortened(kind)}; give text, images and videos")
    details = {**part, **source} if isinstance(source, Mapping) else part
    video: dict[str, Any] = {"type": "video", "video": _place(source), "question": question}
    for key, theirs in _DETAILS.items():
        video[key] = details[key] if details.get(key) is not None else details.get(theirs)
    return video


def _place(source: Any) -> Any:
    if not isinstance(source, Mapping):
        return source
    return next((source[key] for key in ("video", "path", "url") if source.get(key) is not None), None)


def _picture(source: Any) -> Image.Image:
    """A picture in colour; a path is opened."""
    place = _place(source)
    if isinstance(place, Image.Image):
        return place.convert("RGB")
    if not isinstance(place, str | Path):
        raise OptionsError(f"an image is a {type(place).__name__}; give the path of a file or a PIL image")
    try:
        with Image.open(place) as opened:
            return opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise OptionsError(f"the image {str(place)!r} cannot be read ({error}); give a picture") from error


def _value(name: str, value: Any) -> Any:
    """An option as a command line gives it, read as its field wants it."""
    stage, _ = option_fields()[name]
    if not isinstance(value, str) or "tuple" not in str(option_type(stage, name)[0]):
        return value
    try:
        return tuple(json.loads(value))
    except (TypeError, ValueError) as error:
        raise OptionsError(f"{name} is {value!r}; give a list of numbers such as [0.5,0,0.5]") from error


def _whole(value: int | str) -> Any:
    return int(value) if isinstance(value, str) and value.isdigit() else value
