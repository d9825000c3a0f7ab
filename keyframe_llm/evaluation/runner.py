"""`keyframe-llm eval`: which selector to trust, on footage that is at hand, with intervals.

With no arguments: the drawn world, joined real footage and real CLIP features, where their folder is known.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

from keyframe_llm import __version__
from keyframe_llm.cartoon import vlm_path
from keyframe_llm.encoders import DEFAULT_ENCODER, Encoder, load_encoder
from keyframe_llm.errors import OptionsError
from keyframe_llm.evaluation.results import Results, Table, markdown, plot, write_json
from keyframe_llm.options import Views
from keyframe_llm.scoring.selectors import Selector

__all__ = ["DATA_VARIABLE", "EVAL", "PARTS", "add_arguments", "run"]

DATA_VARIABLE = "KEYFRAME_LLM_TEST_DATA"
EVAL = (
    "Measure selectors side by side: on drawn clips, on joined real footage and real features, or on a data "
    "set you have (--dataset), or show them on one video (--video). Markdown goes to stdout."
)
PARTS = ("drawn", "words", "joined", "features", "found")
_BUDGETS = (1, 2, 3, 5, 8)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Declare what `keyframe-llm eval` takes."""
    command.set_defaults(run=run)
    command.add_argument(
        "--on", choices=PARTS, action="append", help="a part of the default run; may be repeated"
    )
    command.add_argument("--data", type=Path, help=f"folder of real footage (default ${DATA_VARIABLE})")
    command.add_argument("--dataset", metavar="NAME", help="a data set you have, see docs/evaluation.md")
    command.add_argument("--root", type=Path, metavar="DIR", help="where the data set lies")
    command.add_argument("--split", type=int, help="official split of hmdb51 and ucf101")
    command.add_argument(
        "--frames",
        type=Path,
        action="append",
        metavar="FILE",
        help="score a list of key frames or moments, in seconds, on the data set; may be repeated",
    )
    command.add_argument("--limit", type=int, metavar="N", help="the first N samples of the data set alone")
    command.add_argument("--video", metavar="VIDEO", help="compare the selectors on one video")
    command.add_argument("--caption", metavar="TEXT", help="what the frames of --video should show")
    command.add_argument(
        "--selector",
        metavar="MODULE:FUNCTION",
        action="append",
        help="a selector of your own on the page of --video; may be repeated",
    )
    command.add_argument("--encoder", help="image-text encoder (default: the one that belongs to each part)")
    command.add_argument(
        "--views",
        choices=get_args(Views),
        default="whole",
        help="how the encoder sees the pictures of this package's rows on joined footage (whole)",
    )
    command.add_argument("--model", help="Video-LLM that answers a data set's questions")
    command.add_argument("--max-frames", type=int, default=3, metavar="N", help="frames on the page (3)")
    command.add_argument("--clips", type=int, default=60, help="drawn clips to ask about (60)")
    command.add_argument("--joins", type=int, default=12, help="joined videos for each half (12)")
    command.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="folder for results.json and quality.png; with --video a page",
    )
    command.add_argument(
        "--listen", metavar="NAME", help="recogniser of speech, for what is heard in the part words"
    )
    command.add_argument("--device", help="where models run: cpu, cuda, mps (default: the best there is)")


def run(args: argparse.Namespace) -> None:
    """Measure the parts that were named; Markdown goes to stdout, progress to stderr."""
    if args.video:
        from keyframe_llm.evaluation.page import write_page

        own = [_imported(name) for name in args.selector or ()]
        options = {"k": args.max_frames, "device": args.device, "selectors": own}
        _note(write_page(args.video, args.caption, args.encoder, args.out, **options))
        return
    settings = {"version": __version__, "python": platform.python_version(), "encoder": args.encoder}
    settings |= {"clips": args.clips, "joins": args.joins, "bootstrap": "2000 resamples, seed 0, 95 %"}
    results = Results(settings)
    for name, measure in _work(args):
        began = time.perf_counter()
        _note(f"measuring: {name} …")
        tables = measure()
        for table in tables:
            print(markdown(table), flush=True)
        results.tables += tables
        settings[f"seconds on {name}"] = round(time.perf_counter() - began, 1)
        _note(f"measured: {name}, {settings[f'seconds on {name}']:.0f} s")
    if args.out:
        write_json(results, args.out / "results.json")
        plot(results.tables, args.out / "quality.png")
        _note(f"written to {args.out}")


def _work(args: argparse.Namespace) -> list[tuple[str, Callable[[], list[Table]]]]:
    if args.frames and not args.dataset:
        raise OptionsError("--frames needs --dataset, the data set whose questions the frames are for")
    if args.dataset:
        return [(args.dataset, lambda: _dataset(args))]
    data = args.data or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    parts = args.on or PARTS
    work: list[tuple[str, Callable[[], list[Table]]]] = []
    if "drawn" in parts:
        work.append(("drawn", lambda: _drawn(args)))
    if "words" in parts:
        work.append(("words", lambda: _words(args, data)))
    if "found" in parts:
        work.append(("found", lambda: _found(args, data)))
    for name, measure in (("joined", _joined), ("features", _features)):
        if name not in parts:
            continue
        if data is None and args.on:
            raise OptionsError(f"{name} needs real footage; give --data, or set {DATA_VARIABLE}")
        if data and not data.is_dir():
            raise OptionsError(f"{data} is not a folder; give --data the folder of the real footage")
        if data is None:
            _note(f"left out: {name}; give --data with real footage, or set {DATA_VARIABLE}")
        else:
            work.append((name, partial(measure, args, data)))
    return work


def _drawn(args: argparse.Namespace) -> list[Table]:
    from keyframe_llm.evaluation import drawn, ordered
    from keyframe_llm.vlm import TransformersVLM

    # The checkpoint itself: by its name it would check some answers with a second question.
    encoder, model = load_encoder("cartoon", args.device), TransformersVLM(str(vlm_path()))
    clips = drawn.questioned_clips(encoder, args.clips)
    return [
        *drawn.measure_answers(clips, model, budgets=_BUDGETS),
        *drawn.measure_actions(clips, encoder),
        *drawn.measure_retrieval(encoder, model, clips=max(2, args.clips)),
        *ordered.measure_drawn_order(encoder, model, clips=max(1, args.clips // 2)),
    ]


def _words(args: argparse.Namespace, data: Path | None) -> list[Table]:
    from keyframe_llm.evaluation import words
    from keyframe_llm.evaluation.drawn import questioned_clips

    encoder = load_encoder("cartoon", args.device)
    clips = questioned_clips(encoder, args.clips)
    tables = words.measure_drawn_words(clips, encoder, listen=args.listen)
    if data is None:
        _note(f"left out: real footage with words; give --data, or set {DATA_VARIABLE}")
        return tables
    real = _real_encoder(args, data)
    return [*tables, *words.measure_joined_words(data, real, joins=max(1, args.joins // 2))]


def _found(args: argparse.Namespace, data: Path | None) -> list[Table]:
    from keyframe_llm.evaluation.found import measure_found

    real: Encoder | None = None
    if data is None:
        _note(f"left out: what is not in real footage; give --data, or set {DATA_VARIABLE}")
    else:
        real = _real_encoder(args, data)
    drawn = load_encoder("cartoon", args.device)
    return measure_found(drawn, data, real, clips=args.clips, joins=args.joins)


def _joined(args: argparse.Namespace, data: Path) -> list[Table]:
    from keyframe_llm.evaluation.joined import measure_joined
    from keyframe_llm.evaluation.ordered import measure_joined_order

    encoder = _real_encoder(args, data)
    tables = measure_joined(data, encoder, joins=args.joins, budgets=_BUDGETS, views=args.views)
    return [*tables, *measure_joined_order(data, encoder, joins=2 * args.joins)]


def _real_encoder(args: argparse.Namespace, data: Path) -> Encoder:
    """The encoder for real footage: the one that is named, or that beside the footage."""
    from keyframe_llm.evaluation.joined import real_encoder

    return load_encoder(args.encoder, args.device) if args.encoder else real_encoder(data)


def _features(args: argparse.Namespace, data: Path) -> list[Table]:
    from keyframe_llm.evaluation.features import measure_features

    return measure_features(data / "embeddings")


def _dataset(args: argparse.Namespace) -> list[Table]:
    from keyframe_llm.evaluation.benchmark import measure_dataset
    from keyframe_llm.evaluation.datasets import load_dataset

    if args.root is None:
        raise OptionsError(f"{args.dataset} needs --root, the folder where its files lie")
    dataset = load_dataset(args.dataset, args.root, split=args.split)
    if args.frames:
        from keyframe_llm.evaluation.frame_lists import read_frame_lists, score_frame_lists

        return score_frame_lists(dataset, read_frame_lists(args.frames))
    encoder: Encoder = load_encoder(args.encoder or DEFAULT_ENCODER, args.device)
    return measure_dataset(dataset, encoder, limit=args.limit, model=args.model)


def _imported(name: str) -> Selector:
    """The function that `module:function` names; modules of the current folder are found too."""
    module, _, function = name.partition(":")
    try:
        sys.path.insert(0, str(Path.cwd()))
        selector: Selector = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionsError(
            f"--selector is {name!r} ({error}); give module:function, such as my:best"
        ) from error
    finally:
        sys.path.pop(0)
    return selector


def _note(text: str) -> None:
    print(f"keyframe-llm eval: {text}", file=sys.stderr, flush=True)
