"""The server as a process and as an HTTP app: how it starts, who gets in, what is left when it ends."""

from __future__ import annotations

import gc
import http.server
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keyframe_llm.demos.videos import demo_video

pytest.importorskip("mcp", reason="mcp is not installed (the `agents` extra)")

import anyio
import httpx2
from mcp.server.streamable_http import EventMessage
from mcp_types import JSONRPCNotification

from keyframe_llm.cli import main
from keyframe_llm.tools import Toolbox
from keyframe_llm.tools.connections import Connections, protocol_of
from keyframe_llm.tools.events import EventLogs, SessionEvents
from keyframe_llm.tools.http_app import http_app
from keyframe_llm.tools.mcp_server import mcp_server
from keyframe_llm.tools.pictures import MemoryPictures
from keyframe_llm.tools.serve import PrintableFormatter

CLIPS = demo_video().parent
TOKEN = "a-token-of-no-other-use"
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
SECONDS = 60.0


def request(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def hello(version: str = "2025-11-25") -> dict[str, Any]:
    client = {"name": "test", "version": "1"}
    return request(1, "initialize", protocolVersion=version, capabilities={}, clientInfo=client)


# As a process --------------------------------------------------------------------------------------------


@contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """`keyframe-llm mcp` as a process, ended at the latest after the block."""
    command = [sys.executable, "-m", "keyframe_llm.cli", "mcp", "--root", str(CLIPS), *arguments]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, **options)
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def serving_address(process: subprocess.Popen[str]) -> str:
    """The address that the server prints when it listens."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("keyframe-llm: serving at http://127.0.0.1:"), line
    return line.split()[-1]


def say_hello(process: subprocess.Popen[str]) -> None:
    """Begin a session over stdio and wait for the answer."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(hello()) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["id"] == 1


def test_an_http_server_prints_its_address_and_answers_there() -> None:
    with started("--http", "--port", "0") as process:
        address = serving_address(process)
        assert httpx2.post(address, json=hello(), headers=ACCEPT, timeout=SECONDS).status_code == 200


def test_a_port_that_is_taken_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["mcp", "--root", str(CLIPS), "--http", "--port", str(port)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--port {port}" in line and "give another port" in line


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_one_signal_ends_the_server(transport: str, number: int, status: int) -> None:
    with started(*(["--http", "--port", "0"] if transport == "http" else [])) as process:
        if transport == "http":
            serving_address(process)
        else:
            say_hello(process)
        process.send_signal(number)
        assert process.wait(SECONDS) == status


def test_a_server_over_stdio_ends_with_its_client() -> None:
    with started() as process:
        say_hello(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(SECONDS) == 0


class Endless(http.server.BaseHTTPRequestHandler):
    """A web site whose video never ends; `begun` is set once some of it was sent."""

    begun = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(100_000):
                self.wfile.write(b"x" * 4096)
                self.begun.set()
                threading.Event().wait(0.01)
        except OSError:
            return

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


CODE = """
import socket, sys
from keyframe_llm.cli import main

def connect(address, *rest, **named):
    made = socket.socket()
    made.connect(("127.0.0.1", int(sys.argv[1])))
    return made

# The name is public, and all its connections go to the web site of the test.
socket.getaddrinfo = lambda *_, **__: [(2, 1, 6, "", ("93.184.215.14", 80))]
socket.create_connection = connect
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_half_a_download_does_not_outlive_a_server_that_is_ended(tmp_path: Path) -> None:
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    thread = threading.Thread(target=site.serve_forever, daemon=True)
    thread.start()
    arguments = ["mcp", "--root", str(CLIPS), "--url-host", "good.org"]
    command = [sys.executable, "-c", CODE, str(site.server_address[1]), *arguments]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
    try:
        say_hello(process)
        assert process.stdin is not None
        call = request(2, "tools/call", name="select_keyframes", arguments={"video": "http://good.org/v.mp4"})
        for message in ({"jsonrpc": "2.0", "method": "notifications/initialized"}, call):
            process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        assert Endless.begun.wait(SECONDS)
        process.terminate()
        assert process.wait(SECONDS) == 0
        assert list(tmp_path.iterdir()) == []
    finally:
        end(process)
        site.shutdown()
        site.server_close()
        thread.join()


def test_the_log_cannot_write_on_a_terminal() -> None:
    try:
        raise ValueError("red \x1b[31m")
    except ValueError:
        failure = sys.exc_info()
    record = logging.LogRecord("x", 30, __file__, 1, "Invalid Host header: %s", ("a\x1b[2J\nb",), failure)
    lines = PrintableFormatter("%(message)s").format(record).split("\n")
    assert lines[0] == "Invalid Host header: a\\x1b[2J\\nb"
    assert all(line.isprintable() for line in lines) and "red" in lines[-1]


@pytest.mark.parametrize(("fault", "is_noise"), [(anyio.ClosedResourceError(), True), (KeyError("x"), False)])
def test_a_request_whose_session_ended_is_one_line_in_the_log(fault: Exception, is_noise: bool) -> None:
    async def answer() -> None:
        async with anyio.create_task_group():
            raise fault

    try:
        anyio.run(answer)
    except Exception:
        failure = sys.exc_info()
    record = logging.LogRecord(
        "mcp.server.streamable_http", 40, __file__, 1, "SSE response error", (), failure
    )
    written = PrintableFormatter("%(levelname)s %(name)s: %(message)s").format(record)
    assert ("Traceback" not in written) == ("\n" not in written) == is_noise
    assert ("a session ended" in written) == is_noise and record.exc_info == failure


# Over HTTP -----------------------------------------------------------------------------------------------


@contextmanager
def served(toolbox: Toolbox, token: str | None, connections: Connections) -> Iterator[str]:
    """The address of a server in a thread of its own."""
    import uvicorn

    app = http_app(mcp_server(toolbox), "127.0.0.1", token=token, connections=connections)
    limit = connections.most + 1
    server = uvicorn.Server(
        uvicorn.Config(app, http=protocol_of(connections), log_level="error", limit_concurrency=limit)
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture
def toolbox() -> Iterator[Toolbox]:
    with Toolbox(roots=[CLIPS], pictures=MemoryPictures()) as made:
        yield made


def opened(address: str, *parts: bytes) -> socket.socket:
    """A bare connection that has sent so much."""
    host, port = address.removeprefix("http://").removesuffix("/mcp").split(":")
    connection = socket.create_connection((host, int(port)), SECONDS)
    for part in parts:
        connection.sendall(part)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Wait until the other side closes."""
    try:
        return connection.recv(1000) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", [b"", b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
def test_many_idle_connections_do_not_lock_out_who_has_the_token(toolbox: Toolbox, sent: bytes) -> None:
    headers = {**ACCEPT, "Authorization": f"Bearer {TOKEN}"}
    with served(toolbox, TOKEN, Connections(most=8)) as address:
        idle = [opened(address, sent) for _ in range(40)]
        for _ in range(3):
            answer = httpx2.post(address, json=hello(), headers=headers, timeout=SECONDS)
            assert answer.status_code == 200
        assert all(is_closed(connection) for connection in idle[:30])
        for connection in idle:
            connection.close()


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n"],
        [b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n", b"{"],
    ],
)
def test_a_connection_whose_request_does_not_arrive_is_closed(toolbox: Toolbox, parts: list[bytes]) -> None:
    with (
        served(toolbox, None, Connections(request_seconds=0.3)) as address,
        opened(address, *parts) as connection,
    ):
        assert is_closed(connection)


def test_the_time_for_a_request_does_not_bound_its_answer(toolbox: Toolbox, slow: Any) -> None:
    call = request(
        2, "tools/call", name="select_keyframes", arguments={"video": "one_walk.mp4", "query": "a walk"}
    )
    with (
        Toolbox(encoder=slow, roots=[CLIPS], pictures=MemoryPictures()) as waiting,
        served(waiting, None, Connections(request_seconds=0.3)) as address,
        httpx2.Client(timeout=SECONDS) as web,
    ):
        session = begun(web, address)
        answers: list[Any] = []
        thread = threading.Thread(
            target=lambda: answers.append(web.post(address, json=call, headers=session).text)
        )
        thread.start()
        assert slow.entered.wait(SECONDS)
        threading.Event().wait(0.9)  # three times what a request may take to arrive
        slow.gate.set()
        thread.join(SECONDS)
    assert '"isError":false' in answers[0] or '"keyframes"' in answers[0]


@pytest.mark.parametrize("host", ["LOCALHOST", "LocalHost:8000", "127.0.0.1", "[::1]:80"])
def test_names_of_this_machine_are_known_in_capitals_too(toolbox: Toolbox, host: str) -> None:
    with served(toolbox, None, Connections()) as address:
        headers = {**ACCEPT, "Host": host, "Origin": f"HTTP://{host}"}
        assert httpx2.post(address, json=hello(), headers=headers, timeout=SECONDS).status_code == 200


def test_sessions_are_bounded_in_number_and_end_when_their_client_says_so(
    toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyframe_llm.tools.http_app._MOST_SESSIONS", 3)
    with served(toolbox, None, Connections()) as address, httpx2.Client(timeout=SECONDS) as web:
        opened = [web.post(address, json=hello(), headers=ACCEPT) for _ in range(4)]
        assert [answer.status_code for answer in opened] == [200, 200, 200, 503]
        ended = {**ACCEPT, "Mcp-Session-Id": opened[0].headers["mcp-session-id"]}
        assert web.delete(address, headers=ended).status_code == 200
        assert web.post(address, json=hello(), headers=ACCEPT).status_code == 200


def test_a_client_that_leaves_in_the_middle_of_its_request_is_no_fault(
    toolbox: Toolbox, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n"
        b"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\r\n{"
    )
    with served(toolbox, None, Connections()) as address:
        logging.getLogger("uvicorn").propagate = True
        for _ in range(3):
            with opened(address, head) as leaving:
                leaving.shutdown(socket.SHUT_WR)
                assert is_closed(leaving)
        assert httpx2.post(address, json=hello(), headers=ACCEPT, timeout=SECONDS).status_code == 200
    assert "Exception" not in caplog.text


# A connection that breaks --------------------------------------------------------------------------------


def begun(web: httpx2.Client, address: str) -> dict[str, str]:
    """Begin a session; returns the headers of its requests."""
    answer = web.post(address, json=hello(), headers=ACCEPT)
    headers = {
        **ACCEPT,
        "Mcp-Session-Id": answer.headers["mcp-session-id"],
        "Mcp-Protocol-Version": "2025-11-25",
    }
    web.post(address, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
    return headers


def events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """The id and the data of each server-sent event."""
    name = ""
    for line in lines:
        key, _, value = line.partition(": ")
        name = value if key == "id" else name
        if key == "data" or line == "data:":
            yield name, value


def test_a_result_outlives_a_connection_that_breaks(slow: Any) -> None:
    arguments = {"video": "one_walk.mp4", "query": "a walk", "include_images": False}
    call = request(2, "tools/call", name="select_keyframes", arguments=arguments)
    with (
        Toolbox(encoder=slow, roots=[CLIPS], pictures=MemoryPictures()) as toolbox,
        served(toolbox, None, Connections()) as address,
        httpx2.Client(timeout=SECONDS) as web,
    ):
        headers = begun(web, address)
        with web.stream("POST", address, json=call, headers=headers) as broken:
            last, _ = next(events(broken.iter_lines()))
            assert slow.entered.wait(SECONDS)
        slow.gate.set()
        resume = {**headers, "Last-Event-ID": last}
        with web.stream("GET", address, headers=resume) as resumed:
            for _, data in events(resumed.iter_lines()):
                if data and json.loads(data).get("id") == 2:
                    break
    result = json.loads(data)["result"]
    assert result["structuredContent"]["video"]["name"] == "one_walk.mp4"


def replayed(log: Any, last: str) -> tuple[str | None, list[str]]:
    """The stream, and the methods of what came later in it."""
    sent: list[str] = []

    async def send(event: EventMessage) -> None:
        assert isinstance(event.message, JSONRPCNotification)
        sent.append(event.message.method)

    async def replay() -> str | None:
        stream: str | None = await log.replay_events_after(last, send)
        return stream

    return anyio.run(replay), sent


def keep(log: Any, stream: str, method: str | None) -> str:
    message = None if method is None else JSONRPCNotification(jsonrpc="2.0", method=method)
    name: str = anyio.run(log.store_event, stream, message)
    return name


def test_events_are_replayed_to_their_own_session_and_stream_alone() -> None:
    log = EventLogs()
    ours, theirs = log.new_session(), log.new_session()
    first = keep(ours, "2", None)
    keep(theirs, "2", "secret")
    keep(ours, "3", "other")
    keep(ours, "2", "wanted")
    assert replayed(ours, first) == ("2", ["wanted"])
    assert replayed(theirs, first) == (None, [])
    assert replayed(ours, "unknown") == (None, [])


def test_the_oldest_events_go_when_there_are_too_many() -> None:
    logs = EventLogs(most_bytes=2000, most_session_bytes=1000)
    ours, theirs = logs.new_session(), logs.new_session()
    old = keep(ours, "old", None)
    for i in range(20):
        keep(ours, str(i), "x" * 200)
    assert replayed(ours, old) == (None, [])
    new = keep(ours, "new", None)
    keep(ours, "new", "x" * 1100)  # what is asked for next stays, however large
    assert replayed(ours, new) == ("new", ["x" * 1100])
    other = keep(theirs, "1", None)
    keep(theirs, "1", "y" * 950)
    assert replayed(ours, new) == (None, [])
    assert replayed(theirs, other) == ("1", ["y" * 950])


def test_what_is_kept_for_a_session_goes_with_it() -> None:
    logs = EventLogs()
    session = logs.new_session()
    keep(session, "1", "x" * 200)
    gone = weakref.ref(session)
    del session
    gc.collect()
    assert gone() is None and not any(type(each) is SessionEvents for each in gc.get_objects())
