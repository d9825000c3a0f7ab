"""Train the two embedded models on the drawn world: `python -m keyframe_llm.cartoon.train`.

`--evaluate` measures the checkpoints that exist instead of training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from keyframe_llm.cartoon.train.clip import STEPS as CLIP_STEPS
from keyframe_llm.cartoon.train.clip import train_clip
from keyframe_llm.cartoon.train.vlm import STAGES, train_vlm
from keyframe_llm.errors import KeyframeError

__all__ = ["main"]

_WEIGHTS = Path(__file__).parent.parent / "weights"
_OLD_NAMES = {"vision": "see", "language": "rehearse", "joint": "look"}
"""Stage → its earlier name, which `--<name>-steps` still understands."""


def main(arguments: list[str] | None = None) -> int:
    """Train or evaluate the embedded models; returns the exit status."""
    parser = _parser()
    args = parser.parse_args(arguments)
    for name, value in vars(args).items():
        least = 1 if name in ("processes", "clips") else 0
        if isinstance(value, int) and value < least:
            parser.error(f"--{name.replace('_', '-')} is {value}; give {least} or more")
    if args.evaluate:
        try:
            return _evaluate(args)
        except KeyframeError as error:
            print(f"{parser.prog}: {error}", file=sys.stderr)
            return 2
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out is {str(args.out)!r}: {error.strerror}; give a folder that can be written")
    return _train(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m keyframe_llm.cartoon.train", description=__doc__)
    parser.add_argument("--only", choices=["clip", "vlm"], help="one of the two models")
    parser.add_argument(
        "--clip-steps", type=int, default=CLIP_STEPS, metavar="N", help="steps of the encoder"
    )
    for stage, steps in STAGES.items():
        flags = f"--{stage}-steps", f"--{_OLD_NAMES[stage]}-steps"
        parser.add_argument(
            *flags, type=int, default=steps, metavar="N", help=f"steps of the Video-LLM's {stage} stage"
        )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--processes", type=int, default=2, metavar="N", help="train in N processes of one thread (2)"
    )
    parser.add_argument("--evaluate", action="store_true", help="print figures instead of training")
    parser.add_argument("--clips", type=int, default=1000, help="unseen clips to evaluate on")
    parser.add_argument("--out", type=Path, default=_WEIGHTS, help="folder of the checkpoints")
    return parser


def _evaluate(args: argparse.Namespace) -> int:
    from keyframe_llm.cartoon.train.evaluate import evaluate_encoder, evaluate_vlm

    if args.only != "vlm":
        _print(evaluate_encoder(args.out / "clip"))
    if args.only != "clip":
        _print(evaluate_vlm(args.out / "qwen2_5_vl", clips=args.clips))
    return 0


def _train(args: argparse.Namespace) -> int:
    if args.only != "vlm":
        train_clip(args.out / "clip", steps=args.clip_steps, seed=args.seed, processes=args.processes)
    if args.only != "clip":
        steps = {stage: getattr(args, f"{stage}_steps") for stage in STAGES}
        train_vlm(args.out / "qwen2_5_vl", steps=steps, seed=args.seed, processes=args.processes)
    return 0


def _print(figures: dict[str, float]) -> None:
    for name, share in figures.items():
        print(f"{name}: {share:.1%}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
