"""Dual encoders: pictures and texts as unit vectors in one space.

Anything with `embed_images` and `embed_texts` is an encoder. Two kinds come with the package: CLIP, SigLIP
and SigLIP2 through transformers, and the Perception Encoder (the paper's backbone) through open_clip.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.hub import check_tokenizer, fetch_folder, load_local_first, load_weights, one_line

if TYPE_CHECKING:
    import torch

__all__ = [
    "Encoder",
    "OpenClipEncoder",
    "TransformersEncoder",
    "load_encoder",
    "preferred_image_size",
    "split_text",
]

_WAYS_OUT = "give the path of a local folder, another encoder, or `--encoder cartoon`"
_DEFAULT_IMAGE_SIZE = 224
_HUB_PREFIX, _FOLDER_PREFIX = "hf-hub:", "local-dir:"

Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


class Encoder(Protocol):
    """Places pictures and texts in one space, where their cosine says how well they fit.

    An attribute `image_size`, the shorter side in pixels that pictures are wanted at, is used where there is
    one: see `preferred_image_size`.
    """

    def embed_images(self, images: Images, /) -> NDArray[np.float32]:
        """Embed N RGB pictures, each (H, W, 3) uint8 0–255; return (N, D), rows of unit length."""
        ...

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Embed N texts; return (N, D), rows of unit length."""
        ...


def load_encoder(name: str | Encoder, device: str | None = None) -> Encoder:
    """The encoder of that name; an object with the two methods is passed through.

    `name` is a hub id or local folder (transformers), `hf-hub:<id>` or `local-dir:<folder>` (open_clip), or
    `cartoon`, the small one inside the package. `device` is a torch device; None takes the best there is.
    Raises `OptionsError` for an object that is no encoder and `ModelError` for a model that cannot be had.
    """
    if not isinstance(name, str):
        missing = [m for m in ("embed_images", "embed_texts") if not callable(getattr(name, m, None))]
        if missing:
            raise OptionsError(
                f"encoder is a {type(name).__name__} without {' and '.join(missing)}; give a name, or "
                "an object with embed_images(images) and embed_texts(texts)"
            )
        return name
    if name == "cartoon":
        from keyframe_llm.cartoon import encoder_path

        return TransformersEncoder(str(encoder_path()), device=device)
    if name.startswith((_HUB_PREFIX, _FOLDER_PREFIX)):
        return OpenClipEncoder(name, device=device)
    return TransformersEncoder(name, device=device)


def preferred_image_size(encoder: Encoder) -> int:
    """The shorter side, in pixels, that an encoder wants its pictures at; 224 where it does not say."""
    size = getattr(encoder, "image_size", None)
    return size if isinstance(size, int) and size > 0 else _DEFAULT_IMAGE_SIZE


class _TorchEncoder:
    """What both kinds share: batches, long texts, unit rows. The kinds say how one batch is embedded."""

    image_size: int
    """The shorter side, in pixels, that pictures are wanted at."""
    context_length: int
    """The longest text the model reads at once, in tokens."""

    def __init__(self, batch_size: int) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise OptionsError(f"batch_size is {batch_size!r}; give a whole number of at least 1")
        self._batch_size = batch_size

    def embed_images(self, images: Images, /) -> NDArray[np.float32]:
        """Embed N RGB pictures, each (H, W, 3) uint8 0–255; return (N, D), rows of unit length.

        Pictures may differ in size. They are worked on `batch_size` at a time, so memory is bounded.
        """
        return self._in_batches(images, self._images)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Embed N texts; return (N, D), rows of unit length.

        A text longer than the model reads is split at sentences, clauses or words; its vector is the mean of
        its parts' unit vectors, weighted by their tokens, made unit again. Nothing is cut off.
        """
        parts, owners = [], []
        for owner, text in enumerate(texts):
            pieces = split_text(text, self._fits)
            parts.extend(pieces)
            owners.extend([owner] * len(pieces))
        vectors = self._in_batches(parts, self._texts)
        if len(parts) == len(texts):
            return vectors
        weights = np.array([max(1, self._count(part)) for part in parts], np.float32)
        sums = np.zeros((len(texts), vectors.shape[1]), np.float32)
        np.add.at(sums, owners, vectors * weights[:, None])
        return _unit_rows(sums)

    def _fits(self, text: str) -> bool:
        return self._count(text) <= self.context_length

    def _in_batches(
        self, items: Sequence[Any] | NDArray[Any], embed: Callable[[Sequence[Any]], torch.Tensor]
    ) -> NDArray[np.float32]:
        if len(items) == 0:  # the width is known once something has been embedded
            return self._in_batches([""], self._texts)[:0]
        import torch

        with torch.inference_mode():
            batches = [embed(batch).float().cpu().numpy() for batch in _chunks(items, self._batch_size)]
        return _unit_rows(np.concatenate(batches))

    def _images(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        raise NotImplementedError

    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        raise NotImplementedError

    def _count(self, text: str) -> int:
        raise NotImplementedError


class TransformersEncoder(_TorchEncoder):
    """CLIP, SigLIP, SigLIP2 (fixed size and NaFlex) and their like, through transformers' auto classes."""

    def __init__(
        self, name: str, *, device: str | None = None, dtype: torch.dtype | None = None, batch_size: int = 32
    ) -> None:
        """Load from a local folder, the local cache or the hub, in that order.

        `dtype` None is float16 on a GPU and float32 on the CPU. Raises `ModelError` where the model cannot be
        had or is not a dual encoder.
        """
        super().__init__(batch_size)
        self._device, self._dtype = _placement(device, dtype)
        self._model, self._processor, self._tokenizer = load_local_first(
            name, lambda source, local: _load_transformers(source, self._dtype, local), ways_out=_WAYS_OUT
        )
        self._model.to(self._device).eval()
        self._tokenizer.padding_side = "right"  # how all of them were trained; Gemma's own default is left
        config = self._model.config
        # SigLIP was trained on texts in lower case, padded to full length and with the padding attended to.
        self._siglip = "siglip" in config.model_type
        self.context_length = int(config.text_config.max_position_embeddings)
        self.image_size = _image_size(self._processor, config)

    def _images(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        inputs = self._processor(
            images=list(images), input_data_format="channels_last", return_tensors="pt"
        ).to(self._device)
        inputs["pixel_values"] = inputs["pixel_values"].to(self._dtype)
        return _pooled(self._model.get_image_features(**inputs))

    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        inputs = self._tokenizer(
            [self._clean(text) for text in texts],
            padding="max_length" if self._siglip else True,
            truncation=True,  # never needed but for a single character of many tokens
            max_length=self.context_length,
            return_attention_mask=not self._siglip,
            return_tensors="pt",
        ).to(self._device)
        return _pooled(self._model.get_text_features(**inputs))

    def _count(self, text: str) -> int:
        return len(self._tokenizer(self._clean(text), truncation=False, verbose=False)["input_ids"])

    def _clean(self, text: str) -> str:
        return text.lower() if self._siglip else text


class OpenClipEncoder(_TorchEncoder):
    """Dual encoders in open_clip's format, among them the Perception Encoder (`hf-hub:timm/PE-Core-…`)."""

    def __init__(
        self, name: str, *, device: str | None = None, dtype: torch.dtype | None = None, batch_size: int = 32
    ) -> None:
        """Load `hf-hub:<id>` (the local cache first) or `local-dir:<folder>`.

        `dtype` None is float16 on a GPU and float32 on the CPU. Raises `ModelError` where open_clip is not
        installed or the model cannot be had.
        """
        super().__init__(batch_size)
        try:
            import open_clip
        except ImportError as error:
            raise ModelError(
                f"{name!r} needs open_clip: `pip install keyframe-llm[pe]`; or {_WAYS_OUT}"
            ) from error
        self._device, self._dtype = _placement(device, dtype)
        source = f"{_FOLDER_PREFIX}{_open_clip_folder(name)}"
        try:
            self._model, _, self._transform = open_clip.create_model_and_transforms(source)
            self._tokenizer = open_clip.get_tokenizer(source)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise ModelError(f"{name!r} cannot be loaded ({one_line(error)}); {_WAYS_OUT}") from error
        self._model.to(self._device, self._dtype).eval()
        self.context_length = int(self._tokenizer.context_length)
        size = self._model.visual.image_size
        self.image_size = int(size if isinstance(size, int) else min(size))

    def _images(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        import torch
        from PIL import Image

        pixels = torch.stack([self._transform(Image.fromarray(np.asarray(image))) for image in images])
        features: torch.Tensor = self._model.encode_image(pixels.to(self._device, self._dtype))
        return features

    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        features: torch.Tensor = self._model.encode_text(self._tokenizer(list(texts)).to(self._device))
        return features

    def _count(self, text: str) -> int:
        inner = getattr(self._tokenizer, "tokenizer", None)  # a transformers tokenizer in open_clip's clothes
        if inner is not None:
            return len(inner(text, truncation=False, verbose=False)["input_ids"])
        return len(self._tokenizer.encode(text)) + 2  # its start and end


def split_text(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Cut `text` into the fewest pieces, in order, that each fit, at the kindest place there is.

    Sentence ends come first, then clauses, words, and the middle of a word. A text that fits is returned
    whole, and so is a single character that does not.
    """
    if fits(text) or len(text) < 2:
        return [text]
    for boundary in (r"(?<=[.!?。！？])\s+", r"(?<=[,;:、，；：])\s+", r"\s+"):
        pieces = [piece for piece in re.split(boundary, text) if piece]
        if len(pieces) > 1:
            return _packed([part for piece in pieces for part in split_text(piece, fits)], fits)
    middle = len(text) // 2
    return [*split_text(text[:middle], fits), *split_text(text[middle:], fits)]


def _packed(pieces: list[str], fits: Callable[[str], bool]) -> list[str]:
    packed = pieces[:1]
    for piece in pieces[1:]:
        joined = f"{packed[-1]} {piece}"
        if fits(joined):
            packed[-1] = joined
        else:
            packed.append(piece)
    return packed


def _chunks(items: Any, size: int) -> Iterator[Any]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit


def _placement(device: str | None, dtype: torch.dtype | None) -> tuple[torch.device, torch.dtype]:
    """The device asked for or the best there is, and float16 on a GPU, where it halves time and memory."""
    import torch

    if device is None:
        device = (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        place = torch.zeros(0, device=device).device
    except (
        RuntimeError,
        AssertionError,
        NotImplementedError,
    ) as error:  # torch's ways to say it is not there
        raise OptionsError(
            f"device is {device!r} ({one_line(error)}); give one torch has here, or none"
        ) from error
    return place, dtype or (torch.float32 if place.type == "cpu" else torch.float16)


def _load_transformers(name: str, dtype: torch.dtype, local: bool) -> tuple[Any, Any, Any]:
    from transformers import MODEL_MAPPING, AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

    config = AutoConfig.from_pretrained(name, local_files_only=local)
    kind = MODEL_MAPPING.get(type(config), None)
    if not (hasattr(kind, "get_image_features") and hasattr(kind, "get_text_features")):
        raise ValueError(f"a {config.model_type} model is not a dual encoder of images and texts")
    # The small files first: a repository without them fails before gigabytes are read.
    tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local)
    check_tokenizer(tokenizer)
    processor = AutoImageProcessor.from_pretrained(name, local_files_only=local)
    return load_weights(AutoModel, name, dtype=dtype, local_files_only=local), processor, tokenizer


def _pooled(output: Any) -> torch.Tensor:
    """The projected vectors: transformers 5 wraps them in an output object, as its pooler output."""
    features: torch.Tensor = getattr(output, "pooler_output", output)
    return features


def _image_size(processor: Any, config: Any) -> int:
    size = getattr(processor, "size", None)
    wanted = dict(size) if size else {}
    if wanted.get("shortest_edge"):
        return int(wanted["shortest_edge"])
    if wanted.get("height") and wanted.get("width"):
        return int(min(wanted["height"], wanted["width"]))
    if getattr(processor, "max_num_patches", None):  # NaFlex keeps the shape and bounds the patches
        return int(processor.patch_size * processor.max_num_patches**0.5)
    return int(getattr(config.vision_config, "image_size", _DEFAULT_IMAGE_SIZE))


def _open_clip_folder(name: str) -> Path:
    """The local folder of an open_clip model; one without weights would be loaded with random ones."""
    if name.startswith(_HUB_PREFIX):
        folder = _open_clip_snapshot(name.removeprefix(_HUB_PREFIX))
    else:
        folder = Path(name.removeprefix(_FOLDER_PREFIX)).expanduser()
        if not (folder / "open_clip_config.json").is_file():
            raise ModelError(f"the folder {str(folder)!r} holds no open_clip_config.json; {_WAYS_OUT}")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
        raise ModelError(f"{name!r} holds no weights (*.safetensors, *.bin); {_WAYS_OUT}")
    return folder


def _open_clip_snapshot(repository: str) -> Path:
    text_files = ["*.json", "*.txt", "*.model"]
    for weights in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        folder = fetch_folder(repository, "open_clip_config.json", [*text_files, weights], ways_out=_WAYS_OUT)
        if (folder / weights).is_file():
            break
    return folder
