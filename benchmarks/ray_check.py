"""A batch on Ray Data, two nodes on this machine: the rows of local processes, whatever is killed.

    KEYFRAME_LLM_TEST_DATA=… make ray-check

makes an environment of its own with Ray (7 GB), starts a cluster of two nodes with one core each, and runs
the same batch by local processes, on the cluster, and on the cluster while an actor, a node and the program
are killed. Five minutes in all. Each line is a claim and what was seen. The exit status is 1 where one is
false.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

__all__ = ["main"]


def environment(folder: Path) -> Path:
    """The Python of an environment with Ray and this package, made where it is missing."""
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        print(f"making {folder} with Ray …", flush=True)
        venv.create(folder, with_pip=True)
        wanted = [str(python), "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[batch,ray]"]
        subprocess.run(wanted, check=True)
        ready.touch()
    return python


class Check:
    """The claims about one cluster."""

    def __init__(self, folders: Sequence[Path], place: Path) -> None:
        from measuring import Claims
        from ray.cluster_utils import Cluster

        self.claims, self._folders, self._place = Claims(), folders, place
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        self._second = self._cluster.add_node(num_cpus=1)
        self._whole: dict[str, Any] = {}

    def run(self) -> int:
        """Check every claim; 1 where one is false."""
        try:
            self._local()
            self._on_both_nodes()
            self._killed_actor()
            self._killed_program()
            self._lost_node()
        finally:
            self._cluster.shutdown()
        return int(bool(self.claims.false))

    def _command(self, name: str, *more: str) -> tuple[list[str], Path]:
        from batch_runs import command

        out = self._place / name
        return command(Path(sys.executable).with_name("keyframe-llm"), self._folders, out, *more), out

    def _on_cluster(self, name: str) -> tuple[list[str], Path]:
        return self._command(name, "--ray", self._cluster.address)

    def _local(self) -> None:
        from batch_runs import finished, rows

        run, out = self._command("local", "--workers", "2")
        done = finished(run)
        self._whole = rows(out)
        failed = [Path(each["video"]).name for each in done["failures"]]
        seen = f"{len(self._whole)} rows in {done['seconds']:.0f} s, failed: {failed}"
        self.claims("two local processes make every row", len(self._whole) == done["done"], seen)

    def _on_both_nodes(self) -> None:
        from batch_runs import rows, started

        run, out = self._on_cluster("nodes")
        began, busy = time.monotonic(), [0, 0]
        process = started(run, out, 1)
        while process.poll() is None:
            workers = [len(_workers(node)) for node in (self._cluster.head_node, self._second)]
            busy = [max(pair) for pair in zip(busy, workers, strict=True)]
            time.sleep(0.1)
        spent = time.monotonic() - began
        self.claims("both nodes work", min(busy) > 0, f"{busy[0]} and {busy[1]} workers")
        self.claims("the same rows on Ray", rows(out) == self._whole, f"{len(rows(out))} in {spent:.0f} s")

    def _killed_actor(self) -> None:
        from batch_runs import rows, started

        run, out = self._on_cluster("actor")
        process = started(run, out, 10)
        actors = [worker.parent() for worker in _workers(self._second)]
        for actor in actors:
            actor.kill()
        process.wait()
        seen = f"{len(rows(out))} rows, {len(actors)} killed"
        self.claims(
            "the same rows after an actor was killed", bool(actors) and rows(out) == self._whole, seen
        )

    def _killed_program(self) -> None:
        from batch_runs import finished, rows, started

        run, out = self._on_cluster("program")
        process = started(run, out, len(self._whole) // 2)
        process.kill()
        process.wait()
        while _workers(self._cluster.head_node) or _workers(self._second):  # Ray ends its actors
            time.sleep(0.1)
        before = rows(out)
        again = finished(run)
        holds = rows(out) == self._whole and again["known"] == len(before)
        seen = f"{len(before)} kept, {again['done']} done then"
        self.claims("a program killed with -9 goes on", holds, seen)

    def _lost_node(self) -> None:
        from batch_runs import rows, started

        run, out = self._on_cluster("node")
        process = started(run, out, 10)
        self._cluster.remove_node(self._second, allow_graceful=False)
        process.wait()
        seen = f"{len(rows(out))} rows"
        self.claims("the same rows after a node was lost", rows(out) == self._whole, seen)


def _workers(node: Any) -> list[Any]:
    """The processes of a node that work on videos."""
    import psutil

    found = []
    for raylet in node.all_processes["raylet"]:
        for process in psutil.Process(raylet.process.pid).children(recursive=True):
            try:
                if any("batch_child" in part for part in process.cmdline()):
                    found.append(process)
            except psutil.Error:  # it has ended
                continue
    return found


def main() -> int:
    """Make the environment, and check there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="*", help="folders of videos")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-ray", help="where the environment lies")
    arguments = parser.parse_args()
    python = environment(arguments.venv)
    if Path(sys.prefix).resolve() != arguments.venv.resolve():
        return subprocess.run([str(python), *sys.argv], check=False).returncode
    from batch_runs import sources

    with tempfile.TemporaryDirectory() as place:
        return Check(sources(arguments.folders), Path(place)).run()


if __name__ == "__main__":
    sys.exit(main())
