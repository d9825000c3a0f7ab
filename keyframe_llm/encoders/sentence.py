"""Encoders of sentence-transformers that read pictures: Qwen3-VL-Embedding, CLIPs and their like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders.base import DEFAULT_IMAGE_SIZE, WAYS_OUT, TorchEncoder, placement
from keyframe_llm.encoders.huggingface import image_side
from keyframe_llm.errors import ModelError
from keyframe_llm.hub import cached_folder, load_local_first, load_weights, one_line
from keyframe_llm.markers import marker_pattern, markers_of, split_markers

if TYPE_CHECKING:
    import torch

__all__ = ["SENTENCE_PREFIX", "SentenceEncoder"]

SENTENCE_PREFIX = "sentence:"
_CONFIG = "modules.json"
_AREA_IMAGE_SIZE = 448
"""What a model that takes any size is given: at 16:9 that is 350 tokens of Qwen3-VL."""
_NO_LIMIT = 1_000_000


class SentenceEncoder(TorchEncoder):
    """A model of sentence-transformers that places pictures and texts in one space.

    Texts are embedded as queries and pictures as documents, each with the prompt that the model has for it. A
    text is a text: one that names a picture's file or address opens nothing.
    """

    def __init__(
        self, name: str, *, device: str | None = None, dtype: torch.dtype | None = None, batch_size: int = 8
    ) -> None:
        """Load `sentence:<folder or hub id>`, the local cache first; no code of a repository is run.

        `dtype` None is float32 on the CPU, elsewhere what the model was saved in. Raises `ModelError` where
        sentence-transformers is not installed, the model cannot be had, or does not read pictures and texts.
        """
        super().__init__(batch_size)
        self.name = name
        try:
            import sentence_transformers  # noqa: F401  # before anything is looked for on the hub
        except ImportError as error:
            raise ModelError(
                f"{name!r} needs sentence-transformers: `pip install keyframe-llm[sentence]`; or {WAYS_OUT}"
            ) from error
        place, own = placement(device, dtype)
        kept = own if dtype is not None or place.type == "cpu" else "auto"
        source = name.removeprefix(SENTENCE_PREFIX)
        self._model = load_local_first(
            source,
            lambda found, local: _load(found, str(place), kept, local),
            ways_out=WAYS_OUT,
            config_file=_CONFIG,
        )
        processor = self._model.processor
        self._tokenizer = processor.tokenizer
        self._markers = marker_pattern(markers_of(processor))
        self.image_size = _side(processor.image_processor)
        self.context_length = _limit(self._model) - self._overhead()

    def _images(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        from PIL import Image

        pictures = [Image.fromarray(np.asarray(image)) for image in images]
        return self._embedded(self._model.encode_document, pictures)

    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        return self._embedded(self._model.encode_query, [self._as_text(text) for text in texts])

    def _embedded(self, encode: Any, inputs: list[Any]) -> torch.Tensor:
        options = {"batch_size": self._batch_size, "convert_to_tensor": True, "show_progress_bar": False}
        try:
            vectors: torch.Tensor = encode(inputs, **options)
        except ValueError as error:  # a picture of more tokens than the model reads
            raise ModelError(f"{self.name!r} cannot embed ({one_line(error)}); {WAYS_OUT}") from error
        return vectors

    def _as_text(self, text: str) -> dict[str, str]:
        """Said to be a text: the library opens a plain string that looks like a picture's file or address."""
        return {"text": split_markers(text, self._markers)}

    def _count(self, text: str) -> int:
        plain = split_markers(text, self._markers)
        return len(self._tokenizer(plain, truncation=False, verbose=False)["input_ids"])

    def _overhead(self) -> int:
        """How many tokens a query has beside its text: the model's prompt, its turns."""
        prompt = getattr(self._model, "prompts", {}).get("query") or None
        whole = self._model.preprocess([self._as_text("a")], prompt=prompt)["input_ids"].shape[1]
        return int(whole) - self._count("a")


def _load(source: str, device: str, dtype: Any, local: bool) -> Any:
    from sentence_transformers import SentenceTransformer

    if local and not _has_modules(source):
        raise FileNotFoundError(
            f"it holds no {_CONFIG} here"
        )  # without it, any model is loaded as some encoder
    options = {"dtype": dtype}
    model = SentenceTransformer(source, device=device, model_kwargs=options, local_files_only=local)
    missing = [kind for kind in ("image", "text") if not model.supports(kind)]
    if missing:
        raise ValueError(
            f"it reads no {' and no '.join(missing)}: {', '.join(map(str, model.modalities))} only"
        )
    if getattr(model[0], "save_in_root", False):  # the library makes up weights that a checkpoint lacks
        load_weights(type(model.transformers_model), source, device_map="meta", local_files_only=local)
    return model.eval()


def _has_modules(source: str) -> bool:
    from pathlib import Path

    return (Path(source) / _CONFIG).is_file() or cached_folder(source, _CONFIG) is not None


def _side(image_processor: Any) -> int:
    if getattr(image_processor, "merge_size", None):  # it resizes to an area, as Qwen's does
        return _AREA_IMAGE_SIZE
    return image_side(image_processor) or DEFAULT_IMAGE_SIZE


def _limit(model: Any) -> int:
    """The longest text, in tokens; tokenizers without a limit state a number of thirty digits."""
    return min(int(model.max_seq_length or _NO_LIMIT), _NO_LIMIT)
