"""The losses of the Video-LLM: the traits that its visual tokens show, and the words of its replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keyframe_llm.cartoon.train.frame_pool import PATH_BINS
from keyframe_llm.cartoon.train.tokenization import word_ids
from keyframe_llm.cartoon.world.language import trait_words

__all__ = ["path_probe", "trait_ids", "trait_loss", "word_loss"]

_LOGIT_SCALE = 2.0
"""Factor from the similarity between a visual token and a word to the logit of that word."""
_PATH_WEIGHT = 3.0
"""Weight of the position on the path among the traits: it is learnt last, and separately."""


def trait_ids(tokenizer: Any) -> list[list[int]]:
    """The token ids of `trait_words`."""
    return [word_ids(tokenizer, words) for words in trait_words()]


def path_probe(model: Any) -> Any:
    """A linear probe for the position on the path, the one trait that has no words."""
    import torch

    return torch.nn.Linear(model.config.text_config.hidden_size, PATH_BINS + 1)


def trait_loss(
    model: Any, ids: Sequence[list[int]], probe: Any, visual_tokens: Any, traits: Any
) -> tuple[Any, str]:
    """Cross-entropy of the traits of every visual token alone, and the share that is right.

    Every visual token, a row of (frames · `VISUAL_TOKENS`, width), is to be similar to the embeddings of the
    words for what its frame shows. `ids` are those words, `traits` (frames, 6) those of the `FramePool`. So
    one token tells the language model everything that distinguishes a person, and a word of a question finds
    the tokens like it.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize, rms_norm

    tokens = rms_norm(visual_tokens, visual_tokens.shape[-1:])
    truths = traits.repeat_interleave(len(tokens) // len(traits), 0)
    embeddings = normalize(model.model.language_model.embed_tokens.weight.detach(), dim=-1)
    logits = [_LOGIT_SCALE * tokens @ embeddings[of_trait].T for of_trait in ids] + [probe(tokens)]
    losses = [cross_entropy(guess, truths[:, i]) for i, guess in enumerate(logits)]
    losses[-1] *= _PATH_WEIGHT
    right = [float((guess.argmax(1) == truths[:, i]).float().mean()) for i, guess in enumerate(logits)]
    return torch.stack(losses).sum(), "traits right " + " ".join(f"{share:.2f}" for share in right)


def word_loss(model: Any, hidden: Any, labels: Any) -> tuple[Any, str]:
    """Cross-entropy of the assistant's words, and the share that is right.

    `hidden` is (T, width), `labels` (T,) those of a `PackedBatch`.
    """
    from torch.nn.functional import cross_entropy

    target = labels[1:]  # behind the last word of a clip comes the first of the next, which is no reply
    is_reply = target != -100
    logits = model.lm_head(hidden[:-1][is_reply])
    right = (logits.argmax(-1) == target[is_reply]).float().mean()
    return cross_entropy(logits, target[is_reply]), f"words right {float(right):.4f}"
