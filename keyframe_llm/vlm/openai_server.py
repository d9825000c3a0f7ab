"""Video-LLMs behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, Ollama, `transformers serve`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NoReturn

from keyframe_llm.errors import ModelError, check_number, check_whole
from keyframe_llm.hub import one_line
from keyframe_llm.messages import to_format
from keyframe_llm.vlm.protocol import Messages, Normalise

__all__ = ["OpenAIVLM"]

_ELSE = "another URL, the path of a local folder, or `--model cartoon`"
_ABSENT = "cannot be reached"
_BROKE_OFF = "broke off in the middle of its answer"
_CONNECT_SECONDS = 10.0


class OpenAIVLM:
    """A Video-LLM that a server runs. Pictures travel to it as JPEG; nothing else of the video does."""

    def __init__(
        self, url: str, *, timeout_seconds: float = 300.0, retries: int = 2, concurrency: int = 8
    ) -> None:
        """Connect to `http://host:port/v1#served-name`; without a name, to the one model that is served.

        A key is taken from the environment variable `OPENAI_API_KEY` where the server wants one.
        `timeout_seconds` bounds how long the server may say nothing. A request that meets a connection that
        fails, a time-out, or an answer of 408, 409, 429 or 5xx is sent again up to `retries` times, after
        0.5 s, 1 s, 2 s … or what the server asks for. Raises `ModelError` where the `openai` package is
        missing, the server does not answer, or a name is needed; `OptionsError` on a number out of range.
        """
        retries = check_whole("retries", retries, 0)
        concurrency = check_whole("concurrency", concurrency, 1)
        timeout_seconds = check_number("timeout_seconds", timeout_seconds, 0, above=True)
        try:
            import openai
        except ImportError as error:
            raise ModelError(
                f"{url!r} needs the openai package: `pip install keyframe-llm[server]`"
            ) from error
        self._address, _, served = url.partition("#")
        self._concurrency = concurrency
        timeout = openai.Timeout(timeout_seconds, connect=_CONNECT_SECONDS)
        key = os.environ.get("OPENAI_API_KEY") or "none"
        self._retries = retries
        self._client = openai.OpenAI(
            base_url=self._address, api_key=key, timeout=timeout, max_retries=retries
        )
        # With a name the list only shows early that the server is there: not worth asking twice.
        listing = self._client.with_options(max_retries=0) if served else self._client
        names: list[str] = []
        with self._errors():
            try:
                names = [model.id for model in listing.models.list()]
            except (openai.AuthenticationError, openai.PermissionDeniedError):
                raise
            except openai.APIStatusError:  # it is there, but does not list what it serves
                if not served:
                    raise
        if not served and len(names) != 1:
            known = ", ".join(names) or "none"
            raise ModelError(f"{url!r} serves {len(names)} models ({known}); name one: {self._address}#name")
        self.name = served or names[0]

    def generate(self, messages: Messages, *, max_new_tokens: int = 128) -> str:
        """Answer one conversation, at temperature 0."""
        reply = self._ask(to_format(messages, "openai"), max_new_tokens)
        return (reply.choices[0].message.content or "").strip()

    def stream(self, messages: Messages, *, max_new_tokens: int = 128) -> Iterator[str]:
        """Yield the answer piece by piece; closing the iterator closes the connection.

        Raises `ModelError` where the server dies before it has said that the answer is complete.
        """
        events = self._ask(to_format(messages, "openai"), max_new_tokens, stream=True)
        finished = False
        with events, self._errors(_BROKE_OFF):
            for event in events:
                if not event.choices:
                    continue
                if piece := event.choices[0].delta.content:
                    yield piece
                finished = finished or event.choices[0].finish_reason is not None
        if not finished:  # a connection closed cleanly looks like an end
            raise ModelError(f"the server {self._address} {_BROKE_OFF}; see its log, or give {_ELSE}")

    def generate_batch(self, conversations: Sequence[Messages], *, max_new_tokens: int = 128) -> list[str]:
        """Answer several conversations, in order; the server is sent `concurrency` of them at a time."""
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(lambda m: self.generate(m, max_new_tokens=max_new_tokens), conversations))

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

        Asks twice for an answer of one token. Markers around a picture count as part of it. None where the
        server does not count.
        """
        whole = to_format(messages, "openai")
        bare = [{**m, "content": [p for p in m["content"] if p["type"] == "text"]} for m in whole]
        counts = [self._prompt_tokens(prompt) for prompt in (whole, bare)]
        if counts[0] is None or counts[1] is None:
            return None
        return counts[0], counts[0] - counts[1]

    def _prompt_tokens(self, messages: Messages) -> int | None:
        usage = getattr(self._ask(messages, 1), "usage", None)
        return None if usage is None else usage.prompt_tokens

    def _ask(self, messages: Messages, max_new_tokens: int, **options: Any) -> Any:
        with self._errors():
            return self._client.chat.completions.create(
                model=self.name,
                messages=messages,  # type: ignore[arg-type]  # plain dictionaries, checked by the server
                max_tokens=max_new_tokens,
                temperature=0.0,
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
