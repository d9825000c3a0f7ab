"""The embedded Video-LLM as it runs on a processor: in NumPy, so that it answers before torch is imported."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon import vlm_path
from keyframe_llm.errors import OptionsError
from keyframe_llm.messages.markers import without_markers
from keyframe_llm.vlm.labels import label_tokens, normalised
from keyframe_llm.vlm.protocol import Messages, Normalise

__all__ = ["EmbeddedVLM"]

_PLACEHOLDER = "<|image_pad|>"


class EmbeddedVLM:
    """The embedded Qwen2.5-VL without torch; it answers as `TransformersVLM` does but for rounding."""

    def __init__(self) -> None:
        """Load it from the package."""
        from tokenizers import Tokenizer

        from keyframe_llm.cartoon.inference.qwen import QwenModel

        folder = vlm_path()
        self.name = str(folder)
        self.warnings: tuple[str, ...] = ()
        self._model = QwenModel(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._template = _template((folder / "chat_template.jinja").read_text("utf-8"))
        settings = json.loads((folder / "processor_config.json").read_text("utf-8"))["image_processor"]
        self._area = int(settings["size"]["longest_edge"])
        self._mean, self._std = (
            np.asarray(settings[f"image_{name}"], np.float32) * 255 for name in ("mean", "std")
        )
        self._fused = int(settings["temporal_patch_size"])
        added = self._tokenizer.get_added_tokens_decoder().values()
        self._markers = [token.content for token in added]

    def generate(self, messages: Messages, *, max_new_tokens: int = 128) -> str:
        """Answer one conversation greedily; the same messages give the same answer."""
        return "".join(self.stream(messages, max_new_tokens=max_new_tokens)).strip()

    def generate_batch(
        self, conversations: Sequence[Messages], *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> list[str]:
        """Answer several conversations, in order; greedily at temperature 0."""
        return [
            "".join(self.stream(each, max_new_tokens=max_new_tokens, temperature=temperature)).strip()
            for each in conversations
        ]

    def stream(
        self, messages: Messages, *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> Iterator[str]:
        """Yield the answer piece by piece; at temperature 0, joined and stripped, what `generate` returns."""
        random = np.random.default_rng()
        context, logits = self._model.read(*self._inputs(messages))
        ids, said = list[int](), ""
        while len(ids) < max_new_tokens:
            token = _chosen(logits, temperature, random)
            if token == self._model.end_token:
                break
            ids.append(token)
            text = self._tokenizer.decode(ids)
            if len(text) > len(said) and not text.endswith("�"):  # half of a character waits for the rest
                yield text[len(said) :]
                said = text
            context, rows = self._model.go_on(np.array([token]), context)
            logits = rows[-1]

    def label_log_likelihoods(
        self, messages: Messages, labels: Sequence[str], *, normalise: Normalise = "mean"
    ) -> NDArray[np.float64]:
        """(L,) log-likelihood of each label as the answer's beginning; see `TransformersVLM`."""
        tokens = label_tokens(labels, normalise, self._ids)
        context, first = self._model.read(*self._inputs(messages))
        sums = np.zeros(len(tokens))
        for i, ids in enumerate(tokens):
            rows = first[None]
            if len(ids) > 1:
                rows = np.concatenate([rows, self._model.go_on(np.array(ids[:-1]), context)[1]])
            sums[i] = _log_shares(rows)[np.arange(len(ids)), ids].sum()
        return normalised(sums, tokens, normalise)

    def count_tokens(self, messages: Messages) -> tuple[int, int]:
        """How many tokens the prompt has, and how many of them stand for pictures."""
        ids, _ = self._inputs(messages)
        return len(ids), int((ids == self._model.image_token).sum())

    @property
    def video_grid(self) -> tuple[int, int, int | None]:
        """What a video token covers (see `ChatProcessor.video_grid`)."""
        return self._model.patch * self._model.merge, self._fused, self._area

    def _inputs(self, messages: Messages) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
        """The tokens of a conversation and its prepared pictures."""
        plain = without_markers(messages, self._markers)
        prompt = self._template.render(messages=plain, add_generation_prompt=True)
        pictures = [self._pixels(part) for message in plain for part in _shown(message)]
        first, *rest = prompt.split(_PLACEHOLDER)
        covered = (self._model.patch * self._model.merge) ** 2
        counts = [picture[0].size // covered for picture in pictures]
        pairs = zip(counts, rest, strict=True)
        return np.array(self._ids(first + "".join(_PLACEHOLDER * n + text for n, text in pairs))), pictures

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _pixels(self, part: dict[str, Any]) -> NDArray[np.float32]:
        """(3, H, W) a picture as the model reads it: of one area, its shape kept."""
        from PIL import Image

        image = _picture(part)
        side = self._model.patch * self._model.merge
        height, width = _fitted(image.height, image.width, side, self._area)
        resized = image.resize((width, height), Image.Resampling.BICUBIC)
        rows = (np.asarray(resized, np.float32) - self._mean) / self._std
        return np.asarray(rows.transpose(2, 0, 1))


def _template(source: str) -> Any:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(source)


def _shown(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The pictures of a message. Raises `OptionsError` for what the embedded model is not shown."""
    content = message["content"]
    parts = [part for part in content if part["type"] != "text"] if isinstance(content, list) else []
    if others := sorted({str(part["type"]) for part in parts} - {"image"}):
        raise OptionsError(
            f"the embedded model (cartoon) is given a {others[0]!r} part; give it key frames as pictures, "
            "as frame_messages makes them"
        )
    return parts


def _picture(part: dict[str, Any]) -> Any:
    """The RGB picture of an image part, as transformers reads it."""
    from PIL import Image

    image = next((part[key] for key in ("image", "url", "path", "base64") if key in part), None)
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    from transformers.image_utils import load_image

    return load_image(image)


def _fitted(height: int, width: int, side: int, area: int) -> tuple[int, int]:
    """The height and width nearest to the area whose sides are multiples of `side`, as Qwen resizes."""
    high, wide = (round(edge / side) * side for edge in (height, width))
    scale = math.sqrt(height * width / area)
    if high * wide > area:
        high, wide = (max(side, math.floor(edge / scale / side) * side) for edge in (height, width))
    elif high * wide < area:
        high, wide = (math.ceil(edge / scale / side) * side for edge in (height, width))
    return high, wide


def _chosen(logits: NDArray[np.float32], temperature: float, random: np.random.Generator) -> int:
    if not temperature:
        return int(logits.argmax())
    return int(random.choice(len(logits), p=np.exp(_log_shares(logits / temperature))))


def _log_shares(logits: NDArray[Any]) -> NDArray[np.float64]:
    """The logarithm of the softmax over the last axis."""
    above = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(above - np.log(np.exp(above).sum(axis=-1, keepdims=True)))
