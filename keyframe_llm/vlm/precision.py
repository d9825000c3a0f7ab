"""The numerical type of a model on a CPU: one that the processor computes with, not one that it imitates."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["in_computed_type", "native_types"]

_GB = 1e9


def in_computed_type(model: Any, name: str) -> tuple[str, ...]:
    """Turn a model on the CPU into float32 where the processor only imitates the type it was saved in.

    Returns warnings that tell what it costs: twice the memory; or, where memory does not suffice and the type
    stays, time. A forward pass in bfloat16 took 3 to 7 times that in float32 on a processor with AVX2 alone,
    and half to a third of it on one with AVX512_BF16.
    """
    import torch
    from accelerate.utils import get_max_memory  # type: ignore[import-untyped]  # no types come with it

    places = {parameter.device.type for parameter in model.parameters()}
    if places != {"cpu"} or model.dtype in native_types() or getattr(model, "is_quantized", False):
        return ()
    saved = str(model.dtype).removeprefix("torch.")
    small = sum(parameter.nbytes for parameter in model.parameters())
    large = sum(parameter.numel() for parameter in model.parameters()) * torch.float32.itemsize
    if large - small > get_max_memory()["cpu"]:
        return (
            f"{name!r} runs in {saved}, which this processor only imitates, several times slower than in "
            f"float32; that needs {large / _GB:.1f} GB of memory, which are not free here",
        )
    model.float()
    return (
        f"{name!r} is saved in {saved}, which this processor only imitates: it runs in float32, several "
        f"times faster, in {large / _GB:.1f} GB of memory instead of {small / _GB:.1f}; from Python "
        f"dtype={saved!r} keeps it small",
    )


def native_types() -> set[torch.dtype]:
    """The floating-point types in which this machine's CPU multiplies matrices by instructions of its own."""
    import torch

    native = {torch.float32, torch.float64}
    arm = platform.machine() in ("aarch64", "arm64")
    if arm and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # of torch
        found = {"bf16": torch.bfloat16, "fp16": torch.float16}
        return native | {
            t for n, t in found.items() if getattr(torch.ops.mkldnn, f"_is_mkldnn_{n}_supported")()
        }
    if _has("avx512_bf16") or _has("amx_tile"):
        native.add(torch.bfloat16)
    if _has("amx_fp16"):
        native.add(torch.float16)
    return native


def _has(instructions: str) -> bool:
    import torch

    probe = getattr(torch.cpu, f"_is_{instructions}_supported", None)  # some came after torch 2.6
    return bool(probe is not None and probe())
