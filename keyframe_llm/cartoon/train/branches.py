"""Attention where branches share a trunk: each sees the trunk and itself, none another.

Most of a rehearsal's tokens stand in branches that are blind to each other. A mask could say so, and would
cost as much as if all saw all; here only what is seen is computed, and little is padded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Branches", "Runs", "branches_of", "branching"]

_NAME = "branches"
_GROUPS = 4
"""Branches of like length are computed together; with so many groups little is padded."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """N runs of tokens, each at most M long."""

    row: Any
    """(N,) which clip each belongs to"""
    places: Any
    """(N, M) where its tokens stand among all; any place beyond its end"""
    held: Any
    """(N, M) bool: not beyond its end"""


@dataclass(frozen=True, slots=True, eq=False)
class Branches:
    """T tokens of B clips, one after the other: of each the trunk, then the branches."""

    trunks: Runs
    """One for each clip, in order"""
    groups: list[tuple[Runs, Any]]
    """The branches, by length, and what their tokens see: bool (N, 1, M, longest trunk + M)"""
    offset: Any
    """(T,) place of each token in its own run"""
    source: Any
    """(T,) where its result stands: in the trunks one after the other, padding and all, then in the groups"""


def branches_of(row: Any, branch: Any) -> Branches:
    """Sort out T tokens: of which clip each is, (T,), and of which branch, (T,); 0 is the trunk."""
    import torch

    tokens = torch.arange(len(row))
    begins = torch.ones(len(row), dtype=torch.bool)
    begins[1:] = (row[1:] != row[:-1]) | (branch[1:] != branch[:-1])
    starts, run = begins.nonzero()[:, 0], begins.cumsum(0) - 1
    lengths = run.bincount()
    source = torch.empty_like(tokens)
    done = 0

    def runs(which: Any) -> Runs:
        nonlocal done
        step = torch.arange(int(lengths[which].max()))
        held = step < lengths[which, None]
        places = (starts[which, None] + step).clamp(max=len(row) - 1)
        source[places[held]] = done + held.view(-1).nonzero()[:, 0]
        done += held.numel()
        return Runs(row[starts[which]], places, held)

    is_trunk = branch[starts] == 0
    trunks = runs(is_trunk.nonzero()[:, 0])
    others = (~is_trunk).nonzero()[:, 0]
    by_length = others[lengths[others].argsort()].tensor_split(_GROUPS)
    groups = [(group := runs(part), _sight(trunks, group)) for part in by_length if len(part)]
    return Branches(trunks, groups, tokens - starts[run], source)


def _sight(trunks: Runs, group: Runs) -> Any:
    """What the tokens of a group see: their trunk, and their own branch up to themselves."""
    import torch

    count, size = group.places.shape
    trunk = trunks.held[group.row, None].expand(-1, size, -1)
    own = torch.ones(size, size, dtype=torch.bool).tril().expand(count, -1, -1)
    return torch.cat([trunk, own], 2)[:, None]


@contextmanager
def branching(language: Any) -> Iterator[None]:
    """Meanwhile a language model takes `Branches` for its attention mask."""
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)
    usual = language.config._attn_implementation
    language.config._attn_implementation = _NAME
    try:
        yield
    finally:
        language.config._attn_implementation = usual


def _attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Branches, **_: Any
) -> tuple[Any, None]:
    """Scaled dot-product attention of (1, heads, T, width) under the rule above: (1, T, heads, width)."""
    import torch
    from torch.nn.functional import embedding, scaled_dot_product_attention

    heads, width = query.shape[1], query.shape[3]
    every = [x[0].transpose(0, 1).flatten(1) for x in (query, key, value)]  # (T, heads · width)

    def of(runs: Runs) -> list[Any]:
        size = (*runs.places.shape, heads, width)
        return [embedding(runs.places, x).view(size).transpose(1, 2) for x in every]

    trunks = attention_mask.trunks
    q, keys, values = of(trunks)
    results = [scaled_dot_product_attention(q, keys, values, is_causal=True)]
    for group, mask in attention_mask.groups:
        q, k, v = of(group)
        k = torch.cat([keys[group.row], k], 2)
        v = torch.cat([values[group.row], v], 2)
        results.append(scaled_dot_product_attention(q, k, v, attn_mask=mask))
    out = torch.cat([x.transpose(1, 2).flatten(0, 1).flatten(1) for x in results])
    return embedding(attention_mask.source, out).view(1, -1, heads, width), None
