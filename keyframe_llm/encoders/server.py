"""An encoder behind a server: OpenAI's `/v1/embeddings`, with pictures as vLLM's pooling models take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.arrays import unit_rows
from keyframe_llm.encoders.base import WAYS_OUT, Images
from keyframe_llm.errors import ModelError, OptionsError, check_whole
from keyframe_llm.hub import one_line
from keyframe_llm.jpeg import jpeg_data_url, jpeg_within
from keyframe_llm.markers import marker_pattern, split_markers
from keyframe_llm.openai_client import openai_client

__all__ = ["SERVER_PREFIXES", "ServerEncoder"]

SERVER_PREFIXES = ("http://", "https://")
_IMAGE_BYTES = 1_000_000

T = TypeVar("T")


class ServerEncoder:
    """Embeddings by a served model; pictures travel to it as JPEG, one a request, and texts the same way.

    Both go as chat messages, so that the server's template surrounds them as in the model's training.
    """

    concurrent = True
    """Many threads may ask at once: the server has a queue of its own."""

    def __init__(
        self,
        url: str,
        *,
        image_size: int = 448,
        timeout_seconds: float = 300.0,
        retries: int = 2,
        concurrency: int = 8,
    ) -> None:
        """Ask `http://host:port/v1#served-name`; the name tells kept embeddings of one model from another's.

        `image_size` is the shorter side in pixels that pictures are sent at. A key is taken from the
        environment variable `OPENAI_API_KEY`. `timeout_seconds`, `retries` and `concurrency` are as for
        `OpenAIVLM`. Raises `ModelError` where the `openai` package or the server is missing or the URL
        names no model; `OptionsError` on a number out of range.
        """
        self.image_size = check_whole("image_size", image_size, 1)
        self._concurrency = check_whole("concurrency", concurrency, 1)
        self.name = url
        self._client, self._address, self._served = openai_client(
            url, timeout_seconds=timeout_seconds, retries=retries
        )
        if not self._served:
            raise OptionsError(f"encoder is {url!r}, which names no model; give {url}#served-name")
        self._markers = marker_pattern()

    def embed_images(self, images: Images, /) -> NDArray[np.float32]:
        """Embed N RGB pictures, each (H, W, 3) uint8 0–255; return (N, D), rows of unit length."""
        return self._rows(images, self._picture)

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Embed N texts; return (N, D), rows of unit length. How long one may be, the server says."""
        return self._rows(texts, self._text)

    def _rows(
        self, items: Sequence[T] | NDArray[Any], part: Callable[[T], dict[str, Any]]
    ) -> NDArray[np.float32]:
        if len(items) == 0:  # the width is known once something has been embedded
            return self._rows([""], self._text)[:0]
        with ThreadPoolExecutor(self._concurrency) as pool:
            rows = list(pool.map(lambda item: self._embedding(part(item)), items))
        if len({len(row) for row in rows}) != 1:
            raise ModelError(
                f"the server {self._address} answered with vectors of different lengths; {WAYS_OUT}"
            )
        return unit_rows(np.stack(rows))

    def _picture(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        url = jpeg_data_url(jpeg_within(np.asarray(image), _IMAGE_BYTES))
        return {"type": "image_url", "image_url": {"url": url}}

    def _text(self, text: str) -> dict[str, Any]:
        return {"type": "text", "text": split_markers(text, self._markers)}

    def _embedding(self, part: dict[str, Any]) -> NDArray[np.float32]:
        from openai.types import CreateEmbeddingResponse

        messages = [{"role": "user", "content": [part]}]
        body = {"model": self._served, "messages": messages, "encoding_format": "float"}
        with self._errors():
            reply = self._client.post("/embeddings", cast_to=CreateEmbeddingResponse, body=body)
        try:
            row = np.array(reply.data[0].embedding, np.float32)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ModelError(
                f"the server {self._address} answered with no embedding ({one_line(error)}); {WAYS_OUT}"
            ) from error
        if row.ndim != 1 or not len(row) or not np.isfinite(row).all():
            raise ModelError(f"the server {self._address} answered with no vector of numbers; {WAYS_OUT}")
        return row

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            said = one_line(ValueError(f"{error.status_code} {error.response.text}"))
            raise ModelError(
                f"the server {self._address} refused to embed ({said}); check #{self._served}, that it is a "
                f"pooling model, and the server's log, or {WAYS_OUT}"
            ) from error
        except openai.APIError as error:
            why = one_line(error.__cause__ or error)
            raise ModelError(
                f"the server {self._address} cannot be asked for embeddings ({why}); start it, or {WAYS_OUT}"
            ) from error
