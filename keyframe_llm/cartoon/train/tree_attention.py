"""Tree attention: branches share a prefix, and each sees the prefix and itself, but no other branch.

Most tokens of a packed batch are in branches that do not see each other. A mask over the whole sequence would
compute their attention all the same; here only visible pairs are computed, with little padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["PaddedRuns", "TokenTree", "token_tree", "tree_attention"]

_NAME = "tree"
_GROUPS = 4
"""Branches of similar length are computed together, in this many groups; more groups need less padding."""


@dataclass(frozen=True, slots=True, eq=False)
class PaddedRuns:
    """N runs of consecutive tokens, padded to the longest, M tokens."""

    clip: Any
    """(N,) index of each run's clip"""
    places: Any
    """(N, M) position of each token in the sequence; in the padding, any valid position"""
    valid: Any
    """(N, M) bool: False in the padding"""


@dataclass(frozen=True, slots=True, eq=False)
class TokenTree:
    """T tokens of B clips, one clip after the other: for each the prefix, then the branches."""

    prefixes: PaddedRuns
    """One run for each clip, in order"""
    groups: list[tuple[PaddedRuns, Any]]
    """Branches of similar length, and what their tokens see: bool (N, 1, M, longest prefix + M)"""
    offset: Any
    """(T,) position of each token in its own run"""
    source: Any
    """(T,) row of each token's result, where those of the prefixes and then of the groups are concatenated,
    padding included"""


def token_tree(clip: Any, branch: Any) -> TokenTree:
    """Arrange T tokens by their clip (T,) and their branch (T,), where 0 is the prefix."""
    import torch

    tokens = torch.arange(len(clip))
    begins = torch.ones(len(clip), dtype=torch.bool)
    begins[1:] = (clip[1:] != clip[:-1]) | (branch[1:] != branch[:-1])
    starts, run = begins.nonzero()[:, 0], begins.cumsum(0) - 1
    lengths = run.bincount()
    source = torch.empty_like(tokens)
    rows = 0

    def padded(which: Any) -> PaddedRuns:
        nonlocal rows
        step = torch.arange(int(lengths[which].max()))
        valid = step < lengths[which, None]
        places = (starts[which, None] + step).clamp(max=len(clip) - 1)
        source[places[valid]] = rows + valid.view(-1).nonzero()[:, 0]
        rows += valid.numel()
        return PaddedRuns(clip[starts[which]], places, valid)

    is_prefix = branch[starts] == 0
    prefixes = padded(is_prefix.nonzero()[:, 0])
    others = (~is_prefix).nonzero()[:, 0]
    by_length = others[lengths[others].argsort()].tensor_split(_GROUPS)
    groups = [(runs := padded(part), _visible(prefixes, runs)) for part in by_length if len(part)]
    return TokenTree(prefixes, groups, tokens - starts[run], source)


def _visible(prefixes: PaddedRuns, runs: PaddedRuns) -> Any:
    """What the tokens of some branches see: their prefix, and their own branch up to themselves."""
    import torch

    count, size = runs.places.shape
    prefix = prefixes.valid[runs.clip, None].expand(-1, size, -1)
    own = torch.ones(size, size, dtype=torch.bool).tril().expand(count, -1, -1)
    return torch.cat([prefix, own], 2)[:, None]


@contextmanager
def tree_attention(language: Any) -> Iterator[None]:
    """Within the block, a language model takes a `TokenTree` as its attention mask."""
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    before = language.config._attn_implementation
    language.config._attn_implementation = _NAME
    try:
        yield
    finally:
        language.config._attn_implementation = before


def _attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: TokenTree, **_: Any
) -> tuple[Any, None]:
    """Scaled dot-product attention along the tree: (1, heads, T, width) each, to (1, T, heads, width)."""
    import torch
    from torch.nn.functional import embedding, scaled_dot_product_attention

    heads, width = query.shape[1], query.shape[3]
    flat = [x[0].transpose(0, 1).flatten(1) for x in (query, key, value)]  # (T, heads · width)

    def padded(runs: PaddedRuns) -> list[Any]:
        size = (*runs.places.shape, heads, width)
        return [embedding(runs.places, x).view(size).transpose(1, 2) for x in flat]

    q, prefix_keys, prefix_values = padded(attention_mask.prefixes)
    results = [scaled_dot_product_attention(q, prefix_keys, prefix_values, is_causal=True)]
    for runs, visible in attention_mask.groups:
        q, k, v = padded(runs)
        k = torch.cat([prefix_keys[runs.clip], k], 2)
        v = torch.cat([prefix_values[runs.clip], v], 2)
        results.append(scaled_dot_product_attention(q, k, v, attn_mask=visible))
    rows = torch.cat([x.transpose(1, 2).flatten(0, 1).flatten(1) for x in results])
    return embedding(attention_mask.source, rows).view(1, -1, heads, width), None
