"""Video-LLMs on this machine through transformers: Qwen2.5-VL and others of its image-text-to-text kind."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.encoders.base import checked_device
from keyframe_llm.errors import ModelError, OptionsError, check_whole
from keyframe_llm.hub import check_tokenizer, load_local_first, load_weights, one_line
from keyframe_llm.messages.markers import without_markers
from keyframe_llm.vlm.protocol import Messages, Normalise

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersVLM"]

_WAYS_OUT = (
    "give the path of a local folder, the URL of a server (http://host:port/v1#name), or `--model cartoon`"
)


class TransformersVLM:
    """A local model through transformers' auto classes: Qwen2.5-VL and others that chat about pictures."""

    def __init__(
        self,
        name: str,
        *,
        max_image_tokens: int = 768,
        batch_size: int = 8,
        processor_kwargs: Mapping[str, Any] | None = None,
        device: str | None = None,
        **model_options: Any,
    ) -> None:
        """Load from a local folder, the local cache or the hub, in that order.

        `max_image_tokens` bounds what one picture costs (768 is 28 × 28 pixels each: 1036 × 560 or so) in
        models whose processor resizes to an area; others take their own fixed number, which
        `processor_kwargs` (given to the processor at every call) may change. `batch_size` conversations, and
        twice as many labels, are worked on at once. `device` is a torch device. `model_options`
        (`device_map`, `dtype`, `attn_implementation`, `quantization_config`, …) go to `from_pretrained`; by
        default the model goes where accelerate finds room, in the precision it was saved in. Raises
        `ModelError` where the model cannot be had or takes no pictures.
        """
        max_image_tokens = check_whole("max_image_tokens", max_image_tokens, 1)
        batch_size = check_whole("batch_size", batch_size, 1)
        if device is not None:
            model_options.setdefault("device_map", str(checked_device(device)))
        options = {"device_map": "auto", "dtype": "auto", **model_options}
        self.name = name
        self._model, self._processor = load_local_first(
            name, lambda source, local: _load(source, options, local), ways_out=_WAYS_OUT
        )
        self._model.eval()
        self._tokenizer = self._processor.tokenizer
        self._tokenizer.padding_side = "left"  # a batch must end where its answers begin
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._markers = _markers(self._processor)
        self._batch_size = batch_size
        bound = _area_bound(self._processor.image_processor, max_image_tokens)
        self._processor_kwargs = {**bound, **(processor_kwargs or {})}

    def generate(self, messages: Messages, *, max_new_tokens: int = 128) -> str:
        """Answer one conversation greedily; the same messages give the same answer."""
        return self.generate_batch([messages], max_new_tokens=max_new_tokens)[0]

    def generate_batch(self, conversations: Sequence[Messages], *, max_new_tokens: int = 128) -> list[str]:
        """Answer several conversations greedily, in order, `batch_size` at a time."""
        answers: list[str] = []
        for start in range(0, len(conversations), self._batch_size):
            inputs = self._inputs(conversations[start : start + self._batch_size])
            new = self._generate(inputs, max_new_tokens)[:, inputs["input_ids"].shape[1] :]
            answers += [text.strip() for text in self._tokenizer.batch_decode(new, skip_special_tokens=True)]
        return answers

    def stream(self, messages: Messages, *, max_new_tokens: int = 128) -> Iterator[str]:
        """Yield the greedy answer piece by piece; joined and stripped, it is what `generate` returns.

        The model runs in a thread of its own. Closing the iterator stops it at its next token; an error
        there is raised here.
        """
        from transformers import TextIteratorStreamer

        inputs = self._inputs([messages])
        pieces = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        stop, failures = Event(), list[BaseException]()

        def work() -> None:
            try:
                self._generate(inputs, max_new_tokens, streamer=pieces, stopping_criteria=[_stopper(stop)])
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
        if normalise not in get_args(Normalise):
            raise OptionsError(f"normalise is {normalise!r}; choose one of sum, mean")
        tokens = [self._tokenizer(label, add_special_tokens=False)["input_ids"] for label in labels]
        if not tokens or not all(tokens):
            raise OptionsError(f"labels are {list(labels)!r}; give at least one, and none empty")
        sums = self._label_sums(self._inputs([messages]), tokens)
        return sums / [len(ids) for ids in tokens] if normalise == "mean" else sums

    def count_tokens(self, messages: Messages) -> tuple[int, int]:
        """How many tokens the prompt has, and how many of them stand for pictures."""
        ids = self._inputs([messages])["input_ids"][0]
        config = self._model.config
        image_id = getattr(config, "image_token_id", getattr(config, "image_token_index", None))
        return len(ids), int((ids == image_id).sum()) if image_id is not None else 0

    @property
    def video_grid(self) -> tuple[int, int, int | None] | None:
        """What a video token covers: pixels a side, and frames; and the most pixels of a picture, if bounded.

        None where the model's processor does not cut a video into such patches.
        """
        video = getattr(self._processor, "video_processor", None)
        sizes = [getattr(video, name, None) for name in ("patch_size", "merge_size", "temporal_patch_size")]
        whole = [size for size in sizes if isinstance(size, int) and size > 0]
        if len(whole) < len(sizes):
            return None
        patch, merge, fused = whole
        return patch * merge, fused, dict(self._processor_kwargs.get("size") or {}).get("longest_edge")

    def _inputs(self, conversations: Sequence[Messages]) -> Any:
        inputs = self._processor.apply_chat_template(
            [without_markers(messages, self._markers) for messages in conversations],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, **self._processor_kwargs},
        )
        return inputs.to(self._model.device, dtype=self._model.dtype)  # the dtype is for pixels alone

    def _generate(self, inputs: Any, max_new_tokens: int, **options: Any) -> torch.Tensor:
        import torch

        # Sampling settings that a checkpoint brings along would only raise warnings in greedy search.
        greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        with torch.inference_mode(), _memory_errors():
            output: torch.Tensor = self._model.generate(
                **inputs,
                **greedy,
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
        cache.batch_repeat_interleave(len(labels))
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
    from transformers import AutoModelForImageTextToText, AutoProcessor

    # The small files first: a repository without them fails before gigabytes are read.
    processor = AutoProcessor.from_pretrained(source, local_files_only=local)
    if not hasattr(processor, "image_processor") or not getattr(processor, "chat_template", None):
        raise ValueError("it has no image processor or no chat template, so it does not chat about pictures")
    check_tokenizer(processor.tokenizer)
    model = load_weights(AutoModelForImageTextToText, source, local_files_only=local, **options)
    return model, processor


def _markers(processor: Any) -> list[str]:
    """The words that stand for pictures, turns and the like in a prompt of this model."""
    tokenizer = processor.tokenizer
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = [token.content for token in added if token.special]
    placeholders = [getattr(processor, f"{kind}_token", None) for kind in ("image", "video", "audio")]
    return [*tokenizer.all_special_tokens, *special, *(str(one) for one in placeholders if one is not None)]


def _area_bound(image_processor: Any, tokens: int) -> dict[str, Any]:
    """Processor options that bound a picture's tokens, where its processor resizes to an area as Qwen's does.

    There `size` holds areas in pixels under the names of edges; a token covers `patch_size * merge_size`
    pixels squared.
    """
    size = dict(getattr(image_processor, "size", None) or {})
    merge = getattr(image_processor, "merge_size", None)
    if not merge or not size.get("shortest_edge") or not size.get("longest_edge"):
        return {}
    largest = min(size["longest_edge"], tokens * (image_processor.patch_size * merge) ** 2)
    return {"size": {"shortest_edge": min(size["shortest_edge"], largest), "longest_edge": largest}}


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
