"""Models from a hub: a small one runs here, on this machine, and speaks the Hugging Face Hub's protocol."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from keyframe_llm.encoders import load_encoder, preferred_image_size, stated_image_size
from keyframe_llm.errors import ModelError
from keyframe_llm.hub import load_local_first
from keyframe_llm.vlm import load_vlm

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """One repository, `lab/model`, with the files of `folder`; every other name meets with `refusal`."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.refusal = (404, "RepoNotFound")
        self.requests: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if "/lab/" in self.path:  # the client also asks for things that are no part of a model
                    hub.requests.append(self.path)
                path, body = self.path.split("?")[0], b""
                if hub.folder is None or not path.removeprefix("/api/models").startswith("/lab/model"):
                    status, headers = hub.refusal[0], {"X-Error-Code": hub.refusal[1]}
                elif path.startswith("/api/"):
                    status, headers, body = 200, {}, hub.listing(path, hub.folder)
                else:
                    status, headers, body = hub.file(
                        path.split(f"/resolve/{COMMIT}/")[-1].split("/main/")[-1]
                    )
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def listing(self, path: str, folder: Path) -> bytes:
        files = sorted(file.name for file in folder.iterdir())
        if "/tree/" in path:
            wanted = path.split(f"/tree/{COMMIT}")[-1].split("/tree/main")[-1].strip("/")
            entries = (
                [{"type": "file", "path": f, "size": 1, "oid": "0"} for f in files] if not wanted else []
            )
            return json.dumps(entries).encode()
        info = {"id": "lab/model", "sha": COMMIT, "siblings": [{"rfilename": f} for f in files]}
        return json.dumps({**info, "private": False, "gated": False, "tags": [], "downloads": 0}).encode()

    def file(self, name: str) -> tuple[int, dict[str, str], bytes]:
        assert self.folder is not None
        file = self.folder / name
        if not file.is_file():
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b""
        body = file.read_bytes()
        return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}, body


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub for huggingface_hub to talk to instead of huggingface.co, and an empty cache."""
    import transformers.utils.hub
    from huggingface_hub import constants

    hub = Hub()
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None, raising=False)  # it remembers its hub
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    thread = Thread(target=hub.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()
    thread.join()


@pytest.mark.parametrize("load", [load_encoder, load_vlm])
@pytest.mark.parametrize(
    ("refusal", "what"),
    [
        ((404, "RepoNotFound"), "has no repository 'lab/other'"),
        ((401, "GatedRepo"), "is gated"),
        ((404, "EntryNotFound"), "holds no config.json"),
        ((503, ""), "cannot be reached"),
    ],
)
def test_a_refusal_is_one_line_after_one_request(
    load: Callable[[str], Any], refusal: tuple[int, str], what: str, hub: Hub
) -> None:
    hub.refusal = refusal
    with pytest.raises(ModelError, match=what) as error:
        load("lab/other")
    message = str(error.value)
    assert "\n" not in message and "local folder" in message and "cartoon" in message
    assert len(hub.requests) == 1 and error.value.__cause__ is not None


@pytest.mark.parametrize("name", ["lab/model", "hf-hub:lab/model"])
def test_without_a_hub_the_error_names_the_ways_out_and_nothing_is_retried(
    name: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith("hf-hub:"):
        pytest.importorskip("open_clip", reason="open_clip is not installed (the `pe` extra)")
    hub.server.server_close()  # nobody listens there now
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)  # what huggingface_hub does between retries
    with pytest.raises(
        ModelError, match=r"not on this machine and the Hugging Face Hub cannot be reached"
    ) as error:
        load_encoder(name)
    message = str(error.value)
    assert "\n" not in message and "local folder" in message and "another encoder" in message
    assert slept == []


@pytest.mark.parametrize(("family", "prefix"), [("clip", ""), ("open_clip_vit", "hf-hub:")])
def test_an_encoder_is_downloaded_once_and_then_needs_no_hub(
    family: str, prefix: str, hub: Hub, checkpoint: Callable[[str], Path]
) -> None:
    hub.folder = checkpoint(family)
    local = load_encoder(f"local-dir:{hub.folder}" if prefix else str(hub.folder)).embed_texts(
        ["a man walks"]
    )
    assert stated_image_size(f"{prefix}lab/model") is None and not hub.requests
    np.testing.assert_array_equal(load_encoder(f"{prefix}lab/model").embed_texts(["a man walks"]), local)
    assert hub.requests
    hub.requests.clear()
    known = stated_image_size(f"{prefix}lab/model")
    assert known == preferred_image_size(load_encoder(f"{prefix}lab/model"))
    np.testing.assert_array_equal(load_encoder(f"{prefix}lab/model").embed_texts(["a man walks"]), local)
    assert hub.requests == []


def test_a_video_llm_is_downloaded_once_and_then_needs_no_hub(
    hub: Hub, checkpoint: Callable[[str], Path]
) -> None:
    hub.folder = checkpoint("qwen2_5_vl")
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is shown?"}]}]
    local = load_vlm(str(hub.folder)).generate(messages, max_new_tokens=8)
    assert load_vlm("lab/model").generate(messages, max_new_tokens=8) == local
    hub.requests.clear()
    assert load_vlm("lab/model").generate(messages, max_new_tokens=8) == local
    assert hub.requests == []


def test_a_folder_is_loaded_without_asking_the_hub(hub: Hub, checkpoint: Callable[[str], Path]) -> None:
    load_encoder(str(checkpoint("clip")))
    load_vlm(str(checkpoint("qwen2_5_vl")))
    assert hub.requests == []


def test_no_garbage_is_searched_for_while_a_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    def load(source: str, local: bool) -> bool:
        return gc.isenabled()

    assert gc.isenabled()
    assert not load_local_first(str(tmp_path), load, ways_out="")
    assert gc.isenabled()
    gc.disable()
    try:
        load_local_first(str(tmp_path), load, ways_out="")
        assert not gc.isenabled(), "whoever had it off keeps it off"
    finally:
        gc.enable()
