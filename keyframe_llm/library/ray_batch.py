"""The same batch on Ray Data: one worker a GPU or some cores, on every machine of a cluster."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from keyframe_llm.errors import OptionsError
from keyframe_llm.library.batch import BatchOptions, Row, Task
from keyframe_llm.library.capacity import free_bytes, share, usable_cores
from keyframe_llm.library.results import Results
from keyframe_llm.library.workers import Limits, Worker

__all__ = ["run_on_ray"]

_MOST_BLOCKS = 1000


class _Actor:
    """Holds one worker process with its models. A row is written where it is made."""

    def __init__(self, options: BatchOptions, limits: Limits, results: Results, bounded: bool) -> None:
        """`bounded` gives the worker its cores' share of the memory that is free on its machine."""
        if bounded:
            actors = max(1, usable_cores() // limits.threads)
            limits = limits._replace(memory_bytes=share(free_bytes(), actors))
        self._worker, self._results = Worker(options, limits), results

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Do the tasks of a batch; an error that ends the run is handed back, never raised."""
        tasks = [pickle.loads(task) for task in batch["task"]]
        return {"key": [task.key for task in tasks], "stop": [self._done(task) for task in tasks]}

    def _done(self, task: Task) -> str:
        try:
            if not self._results.holds(task.key):  # a lost actor's work is given out again
                self._results.write(self._worker.row(task))
        except Exception as error:
            return str(error) or type(error).__name__
        return ""


def run_on_ray(
    tasks: Sequence[Task],
    options: BatchOptions,
    results: Results,
    *,
    address: str,
    seconds: int,
    cores: int,
    memory_bytes: int | None = None,
) -> Iterator[Row]:
    """Do all tasks; gives a row's key when it is written.

    Every machine must reach the folder of the results, and the videos, by the same paths. `address` is that
    of a cluster, or `auto`: the cluster at hand, else a new one on this machine. Each worker has so many
    `cores`; without `memory_bytes`, and on a machine without GPUs, their share of what is free there. Raises
    `OptionsError` where Ray is missing, or with the error that ends the run.
    """
    if not tasks:
        return
    ray = _ray()
    if not ray.is_initialized():
        ray.init(address=None if address == "auto" else address, log_to_driver=False, logging_level="ERROR")
    try:
        limits = Limits(seconds, memory_bytes or 0, cores)
        yield from _computed(ray, tasks, options, results, limits, bounded=memory_bytes is None)
    finally:
        ray.shutdown()
    if lost := {task.key for task in tasks} - results.written():
        raise OptionsError(
            f"{len(lost)} rows are not in {str(results.folder)!r}; give a folder that all machines share"
        )


def _computed(
    ray: Any,
    tasks: Sequence[Task],
    options: BatchOptions,
    results: Results,
    limits: Limits,
    *,
    bounded: bool,
) -> Iterator[Row]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    found = ray.cluster_resources()
    gpus = int(found.get("GPU", 0)) if options.device != "cpu" else 0
    actors = gpus or max(1, int(found.get("CPU", 1)) // limits.threads)
    blocks = min(len(tasks), _MOST_BLOCKS)
    # As bytes: Ray makes arrays of tuples.
    items = [{"task": pickle.dumps(task)} for task in tasks]
    data = ray.data.from_items(items, override_num_blocks=blocks)
    rows = data.map_batches(
        _Actor,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(actors, len(tasks)), max_tasks_in_flight_per_actor=1),
        fn_constructor_kwargs={
            "options": options,
            "limits": limits,
            "results": results,
            "bounded": bounded and not gpus,  # a CUDA driver reserves many times what it uses
        },
        num_cpus=limits.threads,
        num_gpus=1 if gpus else None,
        max_restarts=-1,
        max_task_retries=-1,
    )
    for row in rows.iter_rows():
        if row["stop"]:
            raise OptionsError(row["stop"])
        yield {"key": row["key"]}


def _ray() -> Any:
    try:
        import ray.data
    except ImportError as error:
        raise OptionsError("--ray needs Ray Data; `pip install 'keyframe-llm[batch,ray]'`") from error
    return ray
