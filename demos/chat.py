"""`keyframe-llm chat`: start the chat page. Gradio is imported when it starts, its analytics switched off."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from keyframe_llm.errors import ModelError, OptionsError
from keyframe_llm.memory import keep_memory_in_one_place
from keyframe_llm.options import WordOptions

if TYPE_CHECKING:
    from keyframe_llm.demos.models import Models
    from keyframe_llm.demos.sessions import Sessions
    from keyframe_llm.library import Library

__all__ = ["run", "serving"]

_MISSING = "the chat page needs gradio, which is not installed: `pip install 'keyframe-llm[demo]'`"


def run(args: argparse.Namespace) -> None:
    """Serve the page until it is interrupted; `args` are those of the command line."""
    from keyframe_llm.demos.models import Models
    from keyframe_llm.prompts import Prompts

    auth = [_account(text) for text in args.auth or []]
    models = Models(
        args.model or ["cartoon"],
        args.encoder or (),
        device=args.device,
        prompts=Prompts(args.prompts) if args.prompts else None,
        words=_words(args),
        layout=args.layout or "images",
        frames_as=args.frames_as,
    )
    if args.share and not auth:
        print("keyframe-llm: warning: whoever has the link can use the page; add --auth", file=sys.stderr)
    signal.signal(signal.SIGTERM, _end)
    with serving(
        models,
        host=args.host,
        port=args.port,
        auth=auth,
        share=args.share,
        library=_library(args.library, models),
        allow_addresses=args.allow_addresses,
    ) as addresses:
        print("Chat with a video:", *addresses, flush=True)
        print("Ctrl+C ends it; uploads are removed then.", file=sys.stderr)
        while True:
            time.sleep(3600)


@contextmanager
def serving(
    models: Models,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    auth: Sequence[tuple[str, str]] = (),
    share: bool = False,
    grace_seconds: float | None = None,
    library: Library | None = None,
    allow_addresses: bool = False,
) -> Iterator[list[str]]:
    """Serve the page while inside; gives its addresses. Uploads lie in a folder that is removed at the end.

    Whoever comes in may search the `library`, if there is one, and see its videos; `allow_addresses` lets
    them have this machine fetch videos from any address that it reaches.
    A session is kept for `grace_seconds` (`GRACE_SECONDS` by default) after its page was closed or lost.
    Without a `port` the first free one from 7860 is taken. Raises `OptionsError` where it cannot be had and
    `ModelError` where gradio is not installed.
    """
    keep_memory_in_one_place()
    folder = Path(tempfile.mkdtemp(prefix="keyframe-llm-chat-")).resolve()
    before = dict(os.environ)
    os.environ.update(GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False")
    try:
        page, sessions = _built(
            models, folder, grace_seconds, library=library, allow_addresses=allow_addresses
        )
        try:
            addresses = _launched(page, folder, host, port, list(auth), share)
            sessions.startup.begin()
            yield addresses
        finally:
            sessions.close()
            page.close(verbose=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
            os.environ.pop(name)
            os.environ.update({name: before[name]} if name in before else {})


def _built(models: Models, folder: Path, grace_seconds: float | None, **more: Any) -> tuple[Any, Sessions]:
    try:
        from keyframe_llm.demos.page import build
        from keyframe_llm.demos.sessions import GRACE_SECONDS
    except ModuleNotFoundError as error:
        raise (ModelError(_MISSING) if error.name == "gradio" else error) from error
    return build(models, folder, GRACE_SECONDS if grace_seconds is None else grace_seconds, **more)


def _launched(
    page: Any, folder: Path, host: str, port: int | None, auth: list[tuple[str, str]], share: bool
) -> list[str]:
    from starlette.requests import ClientDisconnect

    from keyframe_llm.demos import theme
    from keyframe_llm.demos.upload import given_up, largest_upload

    page.queue(default_concurrency_limit=16)
    try:
        _, local, public = page.launch(
            server_name=host,
            server_port=port,
            auth=auth or None,
            share=share,
            prevent_thread_lock=True,
            quiet=True,
            max_file_size=largest_upload(folder),
            app_kwargs={"exception_handlers": {ClientDisconnect: given_up}},
            ssr_mode=False,
            run_history=False,
            footer_links=["api"],
            theme=theme.theme(),
            css=theme.style(),
            head=theme.policy() + theme.script(),
        )
    except OSError as error:
        raise OptionsError(f"cannot serve on {host}, port {port} ({error}); give another --port") from error
    return [address for address in (local, public) if address]


def _library(path: str | None, models: Models) -> Library | None:
    """The library, with the page's encoder of that name where it has one, else with its own.

    Raises `OptionsError` where there is none at the path.
    """
    from keyframe_llm.library import Library

    if path is None:
        return None
    with closing(Library(path)) as known:
        name = known.encoder_name
    return Library(path, encoder=models.encoder(name) if name in models.encoder_names else None)


def _words(args: argparse.Namespace) -> WordOptions:
    """The words of videos as the flags ask; raises `ModelError` now where no recogniser can be had later."""
    given = {each.name: vars(args)[each.name] for each in fields(WordOptions) if each.name in vars(args)}
    words = WordOptions(**given)
    if words.listen is not None:
        from keyframe_llm.words.speech import load_recogniser

        load_recogniser(words.listen, words.language)
    if words.read_screen:
        import numpy as np

        from keyframe_llm.words.ocr import RapidReader

        RapidReader().read(np.zeros((64, 64, 3), np.uint8))
    return words


def _account(text: str) -> tuple[str, str]:
    name, colon, password = text.partition(":")
    if not (name and colon and password):
        raise OptionsError("--auth is not of the form NAME:PASSWORD; give for example --auth ann:secret")
    return name, password


def _end(signal_number: int, frame: object) -> NoReturn:
    raise SystemExit(0)
