"""Video-LLMs behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, `transformers serve`."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from queue import Empty, Queue
from threading import Thread
from typing import Any, NoReturn

from keyframe_llm.errors import KeyframeError, ModelError, check_whole
from keyframe_llm.hub import one_line
from keyframe_llm.openai_client import openai_client
from keyframe_llm.vlm.connection import Connection
from keyframe_llm.vlm.protocol import Messages, Normalise
from keyframe_llm.vlm.served_request import FramesAs, ServedRequest, served_model

__all__ = ["OpenAIVLM"]

_ELSE = "another URL, the path of a local folder, or `--model cartoon`"
_ABSENT = "cannot be reached"
_BROKE_OFF = "broke off in the middle of its answer"
_HEARTBEAT_SECONDS = 0.2
_REMEMBERED_COUNTS = 16
_NO_TIMES = (
    "the server takes no times of a video with a request (start vLLM with --trust-request-mm-kwargs); key "
    "frames were sent as images with their times"
)

_log = logging.getLogger(__name__)


class OpenAIVLM:
    """A Video-LLM that a server runs. Pictures travel to it as JPEG; nothing else of the video does."""

    concurrent = True
    """Many threads may ask at once: the server has a queue of its own."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 300.0,
        retries: int = 2,
        concurrency: int = 8,
        frames_as: FramesAs | None = None,
    ) -> None:
        """Connect to `http://host:port/v1#served-name`; without a name, to the one model that is served.

        A key is taken from the environment variable `OPENAI_API_KEY` where the server wants one.
        `timeout_seconds` bounds how long the server may say nothing. A request that meets a connection that
        fails, a time-out, or an answer of 408, 409, 429 or 5xx is sent again up to `retries` times, after
        0.5 s, 1 s, 2 s … or what the server asks for. `frames_as` says how key frames are sent: `images`, or
        a `video` with true times, which vLLM takes; without it the served model's name decides (see
        `served_model`), and the attribute `frames_as` tells. Raises `ModelError` where the `openai` package
        is missing, the server does not answer, or a name is needed; `OptionsError` on a value out of range.
        """
        self._concurrency = check_whole("concurrency", concurrency, 1)
        self._client, self._address, served = openai_client(
            url, timeout_seconds=timeout_seconds, retries=retries
        )
        import openai

        self._retries, self._counts = retries, True
        # With a name the list only shows early that the server is there: not worth asking twice.
        listing = self._client.with_options(max_retries=0) if served else self._client
        listed: list[Any] = []
        with self._errors():
            try:
                listed = list(listing.models.list())
            except (openai.AuthenticationError, openai.PermissionDeniedError):
                raise
            except openai.APIStatusError:  # it is there, but does not list what it serves
                if not served:
                    raise
        if not served and len(listed) != 1:
            known = ", ".join(model.id for model in listed) or "none"
            raise ModelError(f"{url!r} serves {len(listed)} models ({known}); name one: {self._address}#name")
        self.name: str = served or listed[0].id
        self._model = served_model(self.name, listed, frames_as)
        self.warnings: tuple[str, ...] = ()
        self._last_counts = deque[tuple[bytes, int]](maxlen=_REMEMBERED_COUNTS)

    @property
    def frames_as(self) -> FramesAs:
        """How key frames are sent."""
        return self._model.frames_as

    def generate(self, messages: Messages, *, max_new_tokens: int = 128, temperature: float = 0.0) -> str:
        """Answer one conversation."""
        reply, request = self._ask(messages, max_new_tokens, temperature=temperature)
        if (count := _prompt_tokens(reply)) is not None:
            self._last_counts.append((_digest(request), count))
        return (reply.choices[0].message.content or "").strip()

    def stream(
        self, messages: Messages, *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> Generator[str, None, int | None]:
        """Yield the answer piece by piece; closing the iterator closes the connection at once.

        An empty piece comes every 0.2 s while the server says nothing, so that a caller can close the
        iterator then too. The generator's return value is the number of prompt tokens, None where the server
        does not count. Raises `ModelError` where the server dies before it has said that the answer is
        complete.
        """
        connection, pieces = Connection(), Queue[str | int | None | KeyframeError]()

        def read() -> None:
            try:
                for piece in self._read(connection, messages, max_new_tokens, temperature):
                    pieces.put(piece)
            except KeyframeError as error:
                pieces.put(error)
            finally:
                pieces.put(None)

        Thread(target=read, name="keyframe-llm-answer", daemon=True).start()
        prompt_tokens: int | None = None
        try:
            while True:
                try:
                    piece = pieces.get(timeout=_HEARTBEAT_SECONDS)
                except Empty:
                    yield ""
                    continue
                if piece is None:
                    return prompt_tokens
                if isinstance(piece, KeyframeError):
                    raise piece
                if isinstance(piece, int):
                    prompt_tokens = piece
                else:
                    yield piece
        finally:
            connection.close()

    def _read(
        self, connection: Connection, messages: Messages, max_new_tokens: int, temperature: float
    ) -> Iterator[str | int]:
        """The pieces of an answer, and the number of prompt tokens where the server says it."""
        events = self._opened(connection, messages, max_new_tokens, temperature=temperature)
        finished = False
        with events, self._errors(_BROKE_OFF):
            for event in events:
                if usage := getattr(event, "usage", None):
                    yield int(usage.prompt_tokens)
                if not event.choices:
                    continue
                if piece := event.choices[0].delta.content:
                    yield str(piece)
                finished = finished or event.choices[0].finish_reason is not None
        if not finished:  # a connection closed cleanly looks like an end
            raise ModelError(f"the server {self._address} {_BROKE_OFF}; see its log, or give {_ELSE}")

    def _opened(self, connection: Connection, messages: Messages, max_new_tokens: int, **options: Any) -> Any:
        """The events of an answer; a server that refuses to count tokens is asked again without."""
        options |= {"http_client": connection.client, "stream": True}
        ask = partial(self._ask, messages, max_new_tokens, **options)
        if not self._counts:
            return ask()[0]
        try:
            return ask(stream_options={"include_usage": True})[0]
        except ModelError as error:
            if getattr(error.__cause__, "status_code", None) not in (400, 422):
                raise
            events, _ = ask()
            self._counts = False
            return events

    def generate_batch(
        self, conversations: Sequence[Messages], *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> list[str]:
        """Answer several conversations, in order; the server is sent `concurrency` of them at a time."""
        ask = partial(self.generate, max_new_tokens=max_new_tokens, temperature=temperature)
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(ask, conversations))

    def label_log_likelihoods(
        self, messages: Messages, labels: Sequence[str], *, normalise: Normalise = "mean"
    ) -> NoReturn:
        """Raise `ModelError`: the chat protocol has no way to ask how likely a given answer is."""
        raise ModelError(
            f"the server {self._address} cannot score labels; give a local model or `--model cartoon`, "
            "or classify by what it answers (`--by answer`) or by the encoder (`--by encoder`)"
        )

    def count_tokens(self, messages: Messages) -> tuple[int, int] | None:
        """The prompt's tokens by the server's count, and how many fewer they are without the pictures.

        Asks for an answer of one token: with the pictures, unless an answer to these messages has just told
        their number, and without. Markers around a picture count as part of it. None where the server does
        not count.
        """
        whole = self._model.request(messages)
        known = dict(list(self._last_counts)).get(_digest(whole))
        if known is None:
            reply, whole = self._ask(messages, 1)
            known = _prompt_tokens(reply)
        rest = None if known is None else _prompt_tokens(self._send(whole.without_pictures(), 1))
        return None if known is None or rest is None else (known, known - rest)

    def _ask(self, messages: Messages, max_new_tokens: int, **options: Any) -> tuple[Any, ServedRequest]:
        """The reply to a conversation, and the request that it answers.

        A server that takes no times of a video is sent images, unless an option wants a video.
        """
        request = self._model.request(messages)
        try:
            return self._send(request, max_new_tokens, **options), request
        except ModelError as error:
            if not (request.fields and self._model.by_name and "media_io_kwargs" in str(error)):
                raise
            _log.warning(_NO_TIMES)
            self._model, self.warnings = self._model.as_images(), (_NO_TIMES,)
            request = self._model.request(messages)
            return self._send(request, max_new_tokens, **options), request

    def _send(
        self,
        request: ServedRequest,
        max_new_tokens: int,
        *,
        temperature: float = 0.0,
        http_client: Any = None,
        **options: Any,
    ) -> Any:
        client = self._client.with_options(http_client=http_client) if http_client else self._client
        with self._errors():
            return client.chat.completions.create(
                model=self.name,
                messages=request.messages,  # type: ignore[arg-type]  # plain dictionaries, checked there
                max_tokens=max_new_tokens,
                temperature=temperature,
                extra_body=request.fields,
                **options,
            )

    @contextmanager
    def _errors(self, what: str = _ABSENT) -> Iterator[None]:
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            raise ModelError(self._refusal(error.status_code, error.response.text)) from error
        except openai.APITimeoutError as error:
            raise ModelError(
                f"the server {self._address} took too long to answer; see its log, give a longer "
                f"timeout_seconds, or {_ELSE}"
            ) from error
        except openai.APIError as error:
            why = one_line(error.__cause__ or error)
            absent = what == _ABSENT and isinstance(error, openai.APIConnectionError)
            advice = "start it" if absent else "see its log"
            raise ModelError(
                f"the server {self._address} {what} ({why}); {advice}, or give {_ELSE}"
            ) from error

    def _refusal(self, status: int, text: str) -> str:
        said = one_line(ValueError(f"{status} {text}"))
        server = f"the server {self._address}"
        if status in (401, 403):
            return f"{server} wants another key ({said}); set OPENAI_API_KEY to one it takes, or give {_ELSE}"
        if status == 404:
            return (
                f"{server} has no such model or address ({said}); check `#name`, and that the URL ends in "
                f"/v1, or give {_ELSE}"
            )
        tried = f"tried {self._retries + 1} times"
        if status == 429:
            return f"{server} is too busy ({said}; {tried}); wait, or lower concurrency, or give {_ELSE}"
        if status >= 500:
            return f"{server} failed ({said}; {tried}); see its log, or give {_ELSE}"
        return (
            f"{server} refused ({said}); check the size of pictures and prompt, see its log, or give {_ELSE}"
        )


def _digest(request: ServedRequest) -> bytes:
    return hashlib.blake2b(repr(request).encode(), digest_size=16).digest()


def _prompt_tokens(reply: Any) -> int | None:
    usage = getattr(reply, "usage", None)
    return None if usage is None else int(usage.prompt_tokens)
