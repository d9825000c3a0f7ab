"""A model of lmms-eval: its video tasks are answered from key frames.

`lmms-eval --model keyframe_llm --model_args model=…,encoder=…,max_frames=8,method=…`. The entry point
`lmms_eval.models` names `manifest`. lmms-eval reports an exception and exits with 0; an error of this package
ends the program.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from tqdm import tqdm

from keyframe_llm.errors import KeyframeError
from keyframe_llm.integrations.answers import (
    Generation,
    KeyframeAnswers,
    Request,
    conversation,
    user_turn,
)
from keyframe_llm.vlm import DEFAULT_MODEL

__all__ = ["KeyframeChat", "KeyframeSimple", "manifest"]


def manifest() -> ModelManifest:
    """What lmms-eval registers under the name `keyframe_llm`."""
    return ModelManifest(
        model_id="keyframe_llm",
        chat_class_path=f"{__name__}.KeyframeChat",
        simple_class_path=f"{__name__}.KeyframeSimple",
    )


class KeyframeChat(lmms):  # type: ignore[misc]  # untyped
    """Tasks as conversations: lmms-eval's default."""

    is_simple = False

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        encoder: str | None = None,
        question_field: str = "question",
        device: str | None = None,
        **options: Any,
    ) -> None:
        """`options` are those of `KeyframeAnswers`; lmms-eval's own `max_batch_size` has no meaning here.

        Key frames are chosen for the document's `question_field`, or, where it has none, for the whole text.
        """
        super().__init__()
        options.pop("max_batch_size", None)
        self._question_field = question_field
        device = device or _device_of_this_process()
        with _errors():
            self._answers = KeyframeAnswers(model, encoder, device=device, **options)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer lmms-eval's requests, in order."""
        with _errors():
            answers = self._answers.answer(self._request(request) for request in requests)
            return list(tqdm(answers, total=len(requests), desc="keyframe_llm", disable=self.rank != 0))

    def generate_until_multi_round(self, requests: Sequence[Any]) -> NoReturn:
        """Refuse: every request here is one conversation with one answer."""
        _refuse("generate_until_multi_round")

    def loglikelihood(self, requests: Sequence[Any]) -> NoReturn:
        """Refuse: a server cannot say how likely a continuation is."""
        _refuse("loglikelihood")

    def _request(self, request: Any) -> Request:
        _, to_messages, settings, *place = request.args
        document = self._document(*place)
        return self._asked(to_messages(document), document, settings)

    def _document(self, number: int, task: str, split: str) -> Any:
        return self.task_dict[task][split][number]

    def _asked(self, messages: Any, document: Any, settings: Any) -> Request:
        question = document.get(self._question_field)
        guide = question if isinstance(question, str) else None
        return Request(conversation(messages, guide), Generation.of(settings))


class KeyframeSimple(KeyframeChat):
    """Tasks as a text with its pictures and videos before it: `--force_simple`."""

    is_simple = True

    def _request(self, request: Any) -> Request:
        text, settings, to_visuals, *place = request.args
        document = self._document(*place)
        return self._asked(user_turn(to_visuals(document) or (), text), document, settings)


def _refuse(kind: str) -> NoReturn:
    """Say which kind of request is not answered, and end the program."""
    raise SystemExit(
        f"keyframe_llm: this model answers generate_until alone, not {kind}; choose a task with "
        "output_type: generate_until"
    )


@contextmanager
def _errors() -> Iterator[None]:
    """An error of this package ends the program with its one line."""
    try:
        yield
    except KeyframeError as error:
        raise SystemExit(f"keyframe_llm: {error}") from error


def _device_of_this_process() -> str | None:
    """The GPU of a process among several; None where there is one process, or no GPU."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or not torch.cuda.is_available():
        return None
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
