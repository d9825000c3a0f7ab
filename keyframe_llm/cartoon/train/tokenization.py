"""Tokenizers of the embedded models: whole words of the drawn world, and bytes for everything else."""

from __future__ import annotations

import re
from typing import Any

from keyframe_llm.cartoon.world.language import (
    ACTION_LABELS,
    ACTION_PHRASES,
    CAPTION_REQUESTS,
    DIRECTION_PHRASES,
    PLACE_PHRASES,
)
from keyframe_llm.cartoon.world.questions import NOT_SHOWN
from keyframe_llm.cartoon.world.scenes import ACTIONS, COLOURS, PLACES, SUBJECTS, THINGS
from keyframe_llm.messages.prompts import prompt

__all__ = ["CHAT_TOKENS", "chat_tokenizer", "clip_tokenizer", "vocabulary", "word_ids"]

CHAT_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
_CLIP_TOKENS = ["<pad>", "<start>", "<unused>", "<end>"]
_OTHER_WORDS = (
    "what does doing the a an in do where is next to nothing when seen at seconds",
    "which way go colour color wear who or",
    "then next person video of , . ? [ ] : ! '",
    "yes no and with there how many people man men woman women first last before after",
    "0 1 2 3 4 5 6 7 8 9 s",
)
"""Words of questions and times, and some that a user may write."""


def vocabulary() -> list[str]:
    """Every word and sign in the sentences of the drawn world, in the prompts and in times, sorted."""
    phrases = [
        *PLACE_PHRASES.values(),
        *ACTION_PHRASES.values(),
        *DIRECTION_PHRASES.values(),
        *ACTION_LABELS.values(),
        *SUBJECTS,
        *COLOURS,
        *PLACES,
        *ACTIONS,
        *THINGS,
        prompt("caption"),
        prompt("question", question=""),
        prompt("classify"),
        *CAPTION_REQUESTS,
        NOT_SHOWN,
        *_OTHER_WORDS,
    ]
    return sorted({word for phrase in phrases for word in re.findall(r"[a-z]+|[^\sa-z]", phrase.lower())})


def chat_tokenizer() -> Any:
    """The tokenizer of the Video-LLM."""
    return _wrapped(
        _word_tokenizer(CHAT_TOKENS),
        CHAT_TOKENS,
        pad="<|endoftext|>",
        end="<|im_end|>",
        padding_side="left",
        model_max_length=2048,
    )


def clip_tokenizer() -> Any:
    """The tokenizer of the encoder, which puts every text between `<start>` and `<end>`."""
    from tokenizers import processors

    tokenizer = _word_tokenizer(_CLIP_TOKENS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>",
        special_tokens=[(token, _CLIP_TOKENS.index(token)) for token in ("<start>", "<end>")],
    )
    return _wrapped(tokenizer, _CLIP_TOKENS, pad="<pad>", end="<end>", model_max_length=48)


def word_ids(tokenizer: Any, words: list[str]) -> list[int]:
    """The ids of whole words."""
    return [int(i) for i in tokenizer.convert_tokens_to_ids(["▁" + word for word in words])]


def _word_tokenizer(special: list[str]) -> Any:
    """Whole words and bytes after the special tokens; upper and lower case are the same."""
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import Unigram

    words = vocabulary()
    pieces = [
        *special,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *(word for word in words if not word.isalpha()),
        "s",
        *("▁" + word for word in [*words, "user", "assistant", "system"] if word.isalpha()),
    ]
    # Unigram takes the likeliest split: a whole word must be likelier than the bytes of its letters.
    scores = [(piece, 0.0 if piece.startswith("<") else -1.0) for piece in pieces]
    tokenizer = Tokenizer(Unigram(scores, unk_id=0, byte_fallback=True))
    one_space = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), one_space, normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation(),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def _wrapped(tokenizer: Any, special: list[str], *, pad: str, end: str, **options: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=end,
        unk_token=pad,
        extra_special_tokens=[token for token in special if token not in (pad, end)],
        **options,
    )
