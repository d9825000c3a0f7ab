"""The client of a server that speaks OpenAI's API: what Video-LLMs, encoders and recognisers share of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keyframe_llm.errors import ModelError, check_number, check_whole

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["openai_client"]

_CONNECT_SECONDS = 10.0


def openai_client(url: str, *, timeout_seconds: float, retries: int) -> tuple[OpenAI, str, str]:
    """The client for `http://host:port/v1#served-name`, the server's address, and the name, which may be "".

    A key is taken from the environment variable `OPENAI_API_KEY`. `timeout_seconds` bounds how long the
    server may say nothing. A request that meets a failing connection, a time-out, or an answer of 408, 409,
    429 or 5xx is sent again up to `retries` times. Raises `ModelError` where the `openai` package is missing;
    `OptionsError` on a number out of range.
    """
    retries = check_whole("retries", retries, 0)
    timeout_seconds = check_number("timeout_seconds", timeout_seconds, 0, above=True)
    try:
        import openai
    except ImportError as error:
        raise ModelError(f"{url!r} needs the openai package: `pip install keyframe-llm[server]`") from error
    address, _, name = url.partition("#")
    client = openai.OpenAI(
        base_url=address,
        api_key=os.environ.get("OPENAI_API_KEY") or "none",
        timeout=openai.Timeout(timeout_seconds, connect=_CONNECT_SECONDS),
        max_retries=retries,
    )
    return client, address, name
