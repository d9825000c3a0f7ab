"""Video-LLMs on this machine through transformers: Qwen2.5-VL and others of its image-text-to-text kind."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders.base import checked_device
from keyframe_llm.errors import ModelError, check_whole
from keyframe_llm.hub import load_local_first, load_weights, one_line
from keyframe_llm.vlm.labels import label_tokens, normalised
from keyframe_llm.vlm.precision import in_computed_type
from keyframe_llm.vlm.processor import MAX_IMAGE_TOKENS, WAYS_OUT, ChatProcessor, processor_and_config
from keyframe_llm.vlm.protocol import Messages, Normalise

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersVLM"]


class TransformersVLM:
    """A local model through transformers' auto classes: Qwen2.5-VL and others that chat about pictures."""

    def __init__(
        self,
        name: str,
        *,
        max_image_tokens: int = MAX_IMAGE_TOKENS,
        batch_size: int = 8,
        processor_kwargs: Mapping[str, Any] | None = None,
        thinking: bool = False,
        device: str | None = None,
        **model_options: Any,
    ) -> None:
        """Load from a local folder, the local cache or the hub, in that order.

        `max_image_tokens` bounds what one picture costs (768 is 28 × 28 pixels each: 1036 × 560 or so) in
        models whose processor resizes to an area; others take their own fixed number, which
        `processor_kwargs` (given to the processor at every call) may change. `batch_size` conversations, and
        twice as many labels, are worked on at once. `thinking` lets a model that can choose think before it
        answers; its thoughts are part of the answer's text. `device` is a torch device. `model_options`
        (`device_map`, `dtype`, `attn_implementation`, `quantization_config`, …) go to `from_pretrained`; by
        default the model goes where accelerate finds room, in the precision it was saved in, or in float32 on
        a CPU that only imitates that one; `warnings` then tells what it costs. Raises `ModelError` where the
        model cannot be had or takes no pictures.
        """
        max_image_tokens = check_whole("max_image_tokens", max_image_tokens, 1)
        batch_size = check_whole("batch_size", batch_size, 1)
        if device is not None:
            model_options.setdefault("device_map", str(checked_device(device)))
        options = {"device_map": "auto", "dtype": "auto", **model_options}
        self.name = name
        self._model, processor = load_local_first(
            name, lambda source, local: _load(source, options, local), ways_out=WAYS_OUT
        )
        self._model.eval()
        self.warnings = () if "dtype" in model_options else in_computed_type(self._model, name)
        self._chat = ChatProcessor(
            processor,
            self._model.config,
            max_image_tokens=max_image_tokens,
            processor_kwargs=processor_kwargs,
            thinking=thinking,
        )
        self._tokenizer = self._chat.tokenizer
        self._batch_size = batch_size

    def generate(self, messages: Messages, *, max_new_tokens: int = 128) -> str:
        """Answer one conversation greedily; the same messages give the same answer."""
        return self.generate_batch([messages], max_new_tokens=max_new_tokens)[0]

    def generate_batch(
        self, conversations: Sequence[Messages], *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> list[str]:
        """Answer several conversations, in order, `batch_size` at a time; greedily at temperature 0."""
        answers: list[str] = []
        for start in range(0, len(conversations), self._batch_size):
            inputs = self._inputs(conversations[start : start + self._batch_size])
            new = self._generate(inputs, max_new_tokens, temperature)[:, inputs["input_ids"].shape[1] :]
            answers += [text.strip() for text in self._tokenizer.batch_decode(new, skip_special_tokens=True)]
        return answers

    def stream(
        self, messages: Messages, *, max_new_tokens: int = 128, temperature: float = 0.0
    ) -> Iterator[str]:
        """Yield the answer piece by piece; at temperature 0, joined and stripped, what `generate` returns.

        The model runs in a thread of its own. Closing the iterator stops it at its next token; an error
        there is raised here.
        """
        from transformers import TextIteratorStreamer

        inputs = self._inputs([messages])
        pieces = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        stop, failures = Event(), list[BaseException]()

        def work() -> None:
            try:
                told = {"streamer": pieces, "stopping_criteria": [_stopper(stop)]}
                self._generate(inputs, max_new_tokens, temperature, **told)
            except BaseException as error:
                failures.append(error)
                pieces.text_queue.put(pieces.stop_signal)

        thread = Thread(target=work, name="keyframe-llm-stream", daemon=True)
        thread.start()
        try:
            yield from (piece for piece in pieces if piece)
        finally:
            stop.set()
            thread.join()
        if failures:
            raise failures[0]

    def label_log_likelihoods(
        self, messages: Messages, labels: Sequence[str], *, normalise: Normalise = "mean"
    ) -> NDArray[np.float64]:
        """(L,) log-likelihood of each label as the answer's beginning: the sum, or mean, over its tokens.

        The prompt is run once; its key-value cache is shared by all labels. A sum favours short labels, and
        one that another begins with can never lose to it: prefer the mean. Raises `OptionsError` on no labels
        or an empty one.
        """
        tokens = label_tokens(labels, normalise, self._label_ids)
        return normalised(self._label_sums(self._inputs([messages]), tokens), tokens, normalise)

    def count_tokens(self, messages: Messages) -> tuple[int, int]:
        """How many tokens the prompt has, and how many of them stand for pictures."""
        return self._chat.count_tokens(messages)

    @property
    def video_grid(self) -> tuple[int, int, int | None] | None:
        """What a video token covers (see `ChatProcessor.video_grid`)."""
        return self._chat.video_grid

    def _label_ids(self, label: str) -> list[int]:
        ids: list[int] = self._tokenizer(label, add_special_tokens=False)["input_ids"]
        return ids

    def _inputs(self, conversations: Sequence[Messages]) -> Any:
        inputs = self._chat.inputs(conversations)
        return inputs.to(self._model.device, dtype=self._model.dtype)  # the dtype is for pixels alone

    def _generate(
        self, inputs: Any, max_new_tokens: int, temperature: float = 0.0, **options: Any
    ) -> torch.Tensor:
        import torch

        # Sampling settings that a checkpoint brings along would only raise warnings in greedy search.
        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if temperature:
            sampling = {"do_sample": True, "temperature": temperature}
        with torch.inference_mode(), _memory_errors():
            output: torch.Tensor = self._model.generate(
                **inputs,
                **sampling,
                max_new_tokens=max_new_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
                **options,
            )
        return output

    def _label_sums(self, inputs: Any, labels: list[list[int]]) -> NDArray[np.float64]:
        import torch

        with torch.inference_mode(), _memory_errors():
            self._forget_positions()
            prompt = self._model(**inputs, use_cache=True, logits_to_keep=1)
            first = prompt.logits[0, -1].float().log_softmax(-1).cpu().double().numpy()
            sums = np.array([first[ids[0]] for ids in labels])
            longer = sorted((i for i, ids in enumerate(labels) if len(ids) > 1), key=lambda i: len(labels[i]))
            for start in range(0, len(longer), 2 * self._batch_size):
                batch = longer[start : start + 2 * self._batch_size]
                sums[batch] += self._continuations(prompt, [labels[i] for i in batch])
        return sums

    def _continuations(self, prompt: Any, labels: list[list[int]]) -> NDArray[np.float64]:
        """(B,) log-likelihood of each label's tokens after its first, given the output of the prompt."""
        import torch

        name = "cache" if "cache" in prompt else "past_key_values"  # its name before transformers 5.24
        cache = copy.deepcopy(prompt[name])  # a forward pass appends to it
        cache.reorder_cache(torch.zeros(len(labels), dtype=torch.long))  # every kind of layer can repeat so
        width = max(map(len, labels))
        # What is padded lies behind all that counts, where causal attention cannot see it: no mask is needed.
        ids = torch.tensor([label + label[-1:] * (width - len(label)) for label in labels])
        ids = ids.to(self._model.device)
        logits = self._model(input_ids=ids[:, :-1], use_cache=True, **{name: cache}).logits
        chosen = logits.float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0].cpu().double().numpy()
        return np.array([row[: len(label) - 1].sum() for row, label in zip(chosen, labels, strict=True)])

    def _forget_positions(self) -> None:
        """Qwen's models keep the last prompt's position offset; a new prompt must not inherit it."""
        inner = getattr(self._model, "model", None)
        if inner is not None and hasattr(inner, "rope_deltas"):
            inner.rope_deltas = None


def _load(source: str, options: Mapping[str, Any], local: bool) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText

    # The small files first: a repository without them fails before gigabytes are read.
    processor, config = processor_and_config(source, local)
    half = {"config": config} if config.model_type.endswith("_thinker") else {}
    model = load_weights(AutoModelForImageTextToText, source, local_files_only=local, **half, **options)
    return model, processor


def _stopper(stop: Event) -> Any:
    from transformers import StoppingCriteria

    class Stopper(StoppingCriteria):  # type: ignore[misc]  # untyped
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
            import torch

            return torch.full((len(input_ids),), stop.is_set(), dtype=torch.bool, device=input_ids.device)

    return Stopper()


@contextmanager
def _memory_errors() -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"the model ran out of memory ({one_line(error)}); give fewer frames, a smaller "
            "max_image_tokens or batch_size, or a quantization_config"
        ) from error
