"""`keyframe-llm batch`: one row for each of many videos, written as Parquet."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING, Any, get_args

from keyframe_llm.classification import By, parse_labels
from keyframe_llm.cli import flags
from keyframe_llm.cli.llm import select_options
from keyframe_llm.cli.output import RunProgress, clear_progress, print_json
from keyframe_llm.errors import check_whole
from keyframe_llm.prompts import Prompts

if TYPE_CHECKING:
    from keyframe_llm.library.batch import BatchOptions

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Declare the command and its flags."""
    command = flags.new_command(commands, "batch", run, "choose the key frames of many videos, as Parquet")
    command.add_argument(
        "sources",
        nargs="+",
        metavar="INPUT",
        help="a folder, a video, a text file with a path on each line, or JSON Lines of "
        '{"video": path, "caption": text, "question": text}',
    )
    command.add_argument("--out", type=flags.folder, metavar="DIR", required=True, help="folder of the rows")
    command.add_argument("--question", type=flags.text, metavar="TEXT", help="asked of every video")
    command.add_argument(
        "--labels", type=flags.text, metavar="A,B|@FILE", help="actions to tell apart, or a file of them"
    )
    command.add_argument("--by", choices=get_args(By), default="model", help="who classifies")
    command.add_argument("--jpeg", action="store_true", help="keep the key frames as JPEG")
    flags.add_normalise(command)
    flags.add_models(command, "Video-LLM that writes missing captions and answers (default: none is used)")
    flags.add_shown(command)
    flags.add_prompts(command)
    _add_workers(command)
    command.add_argument("--retry", action="store_true", help="do again what failed before")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--quiet", action="store_true", help="no progress on stderr")
    flags.add_selection(command)


def _add_workers(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: as many as cores and memory hold)"
    )
    command.add_argument(
        "--time-limit", type=int, default=3600, metavar="S", help="seconds for one video (default 3600)"
    )
    command.add_argument(
        "--memory",
        type=int,
        metavar="MIB",
        help="most memory of one process (default: its share of what is free; with CUDA, and at 0, no limit)",
    )
    command.add_argument(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="run on Ray Data: on the cluster at this address, else the one at hand or a new one here",
    )
    command.add_argument(
        "--cores", type=int, default=1, metavar="N", help="cores of one worker on Ray (default 1)"
    )


def run(args: argparse.Namespace) -> None:
    """Do what is not yet written, join it, and say at the end what failed."""
    from keyframe_llm.library.batch import BatchOptions, outdated, task_of
    from keyframe_llm.library.collect import collect
    from keyframe_llm.library.results import Results

    options = BatchOptions(
        model=args.model,
        encoder=args.encoder,
        device=args.device,
        question=args.question,
        labels=tuple(parse_labels(args.labels)) if args.labels else (),
        by=args.by,
        normalise=args.normalise,
        layout=args.layout or "images",
        frames_as=args.frames_as,
        prompts=Prompts(args.prompts) if args.prompts else None,
        jpeg=args.jpeg,
        select=select_options(args),
    )
    results = Results(args.out)
    with results.opened(options):
        tasks = [task_of(item, options) for item in collect(args.sources, by_question=True)]
        failed = {row["key"] for row in results.failures()} if args.retry else set()
        again = outdated(results.written(), tasks) | failed & {task.key for task in tasks}
        results.drop(again)
        known = results.written()
        left = [task for task in tasks if task.key not in known]
        progress = RunProgress(args.quiet or args.json)
        with closing(_rows(args, left, options, results)) as rows:
            for number, _ in enumerate(rows, 1):
                progress(number, len(left))
                if number % 1000 == 0:
                    results.join()
        results.join(least=1)
        failures = results.failures()
    _show(args, len(left), len(tasks) - len(left), failures)


def _rows(args: argparse.Namespace, tasks: list[Any], options: BatchOptions, results: Any) -> Any:
    from keyframe_llm.library.local_batch import run_locally

    seconds = check_whole("time_limit", args.time_limit, 1, 10_000_000)
    memory = None if args.memory is None else check_whole("memory", args.memory, 0) << 20
    if args.ray is not None:
        from keyframe_llm.library.ray_batch import run_on_ray

        cores = check_whole("cores", args.cores, 1)
        return run_on_ray(
            tasks, options, results, address=args.ray, seconds=seconds, cores=cores, memory_bytes=memory
        )
    workers = None if args.workers is None else check_whole("workers", args.workers, 1, 1024)
    return run_locally(tasks, options, results, seconds=seconds, memory_bytes=memory, workers=workers)


def _show(args: argparse.Namespace, done: int, known: int, failures: list[Any]) -> None:
    clear_progress()
    if args.json:
        listed = [{"video": row["video"], "error": row["error"]} for row in failures]
        print_json({"out": str(args.out), "done": done, "known": known, "failures": listed})
        return
    print(f"{args.out}: {done} done, {known} done before, {len(failures)} failed")
    for row in failures:
        print(f"failed  {row['video']}: {row['error']}")
