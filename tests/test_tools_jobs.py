"""Jobs take turns: every client of one server gets its share, and none can fill the queue for the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

pytest.importorskip("pydantic", reason="pydantic is not installed (the `agents` extra)")

from keyframe_llm.tools import ToolError
from keyframe_llm.tools.job_pool import JobPool
from keyframe_llm.tools.jobs import Job

SECONDS = 30.0


class Recorder:
    """Submits jobs that note their order; the first one waits until the others are submitted."""

    def __init__(self, waiting: int = 100) -> None:
        self.pool = JobPool(1, waiting)
        self.order: list[str] = []
        self.gate, self.entered = threading.Event(), threading.Event()
        self.first = self.submit("first", lambda: self._wait())
        assert self.entered.wait(SECONDS)

    def _wait(self) -> None:
        self.entered.set()
        assert self.gate.wait(SECONDS)

    def submit(self, client: str, work: Callable[[], object] | None = None) -> Future[object]:
        return self.pool.submit(Job(SECONDS, client=client), work or (lambda: self.order.append(client)))

    def run(self) -> list[str]:
        self.gate.set()
        assert self.pool.wait(SECONDS)
        self.pool.close()
        return self.order


def test_clients_take_turns_however_many_calls_each_has() -> None:
    jobs = Recorder()
    for _ in range(5):
        jobs.submit("greedy")
    jobs.submit("a")
    jobs.submit("b")
    jobs.submit("a")
    assert jobs.run() == ["greedy", "a", "b", "greedy", "a", "greedy", "greedy", "greedy"]


def test_the_calls_of_one_client_keep_their_order() -> None:
    jobs = Recorder()
    done: list[int] = []
    for i in range(5):
        jobs.submit("one", lambda i=i: done.append(i))  # type: ignore[misc]  # mypy types no default of a lambda
    jobs.run()
    assert done == [0, 1, 2, 3, 4]


def test_a_full_queue_makes_room_for_a_client_that_waits_for_less() -> None:
    jobs = Recorder(waiting=4)
    greedy = [jobs.submit("greedy") for _ in range(4)]
    modest = jobs.submit("modest")
    with pytest.raises(ToolError, match="other clients"):
        greedy[3].result(SECONDS)
    assert jobs.run() == ["greedy", "modest", "greedy", "greedy"]
    assert modest.done()


def test_a_full_queue_refuses_the_client_that_waits_for_most() -> None:
    jobs = Recorder(waiting=4)
    for client in ("a", "b", "a", "b"):
        jobs.submit(client)
    for client in ("a", "b"):
        with pytest.raises(ToolError, match="calls are waiting already; try again"):
            jobs.submit(client)
    assert jobs.run() == ["a", "b", "a", "b"]


def test_a_job_that_is_cancelled_while_it_waits_is_not_run() -> None:
    jobs = Recorder()
    cancelled = jobs.submit("a")
    jobs.submit("b")
    assert cancelled.cancel()
    assert jobs.run() == ["b"]


def test_a_job_that_fails_leaves_its_place() -> None:
    jobs = Recorder()
    failing = jobs.submit("a", lambda: 1 / 0)
    assert jobs.run() == []
    with pytest.raises(ZeroDivisionError):
        failing.result(SECONDS)
    assert jobs.pool.wait(0)


def test_a_job_that_waits_for_something_gives_its_place_to_another() -> None:
    jobs = Recorder()

    def wait_for_the_next() -> None:
        with jobs.pool.paused():
            assert behind.result(SECONDS) is None
        jobs.order.append("paused")

    paused = jobs.submit("a", wait_for_the_next)
    behind = jobs.submit("b")
    last = jobs.submit("c")
    assert jobs.run() == ["b", "paused", "c"] or jobs.order == ["b", "c", "paused"]
    assert paused.done() and last.done()


def test_closing_drops_what_waits_and_stops_what_runs() -> None:
    jobs = Recorder()
    waiting = jobs.submit("a")
    jobs.pool.close()
    jobs.gate.set()
    assert waiting.cancelled()
    with pytest.raises(ToolError, match="no more calls"):
        jobs.submit("a")
    assert jobs.pool.wait(SECONDS)
