"""Train the two embedded models on the drawn world: `python -m keyframe_llm.cartoon.train`.

`--evaluate` measures what is there instead of training.
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


def main(arguments: list[str] | None = None) -> int:
    """Train or evaluate the embedded models; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m keyframe_llm.cartoon.train", description=__doc__)
    parser.add_argument("--only", choices=["clip", "vlm"], help="one of the two models")
    parser.add_argument(
        "--clip-steps", type=int, default=CLIP_STEPS, metavar="N", help="steps of the encoder"
    )
    for stage, steps in STAGES.items():
        parser.add_argument(
            f"--{stage}-steps", type=int, default=steps, metavar="N", help=f"steps of the stage {stage!r}"
        )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--processes", type=int, default=2, metavar="N", help="train in N processes of one thread (2)"
    )
    parser.add_argument("--evaluate", action="store_true", help="print figures instead of training")
    parser.add_argument("--clips", type=int, default=1000, help="unseen clips to evaluate on")
    parser.add_argument("--out", type=Path, default=_WEIGHTS, help="folder of the checkpoints")
    asked = parser.parse_args(arguments)
    for name, value in vars(asked).items():
        least = 1 if name in ("processes", "clips") else 0
        if isinstance(value, int) and value < least:
            parser.error(f"--{name.replace('_', '-')} is {value}; give {least} or more")
    if asked.evaluate:
        from keyframe_llm.cartoon.train.evaluate import evaluate_encoder, evaluate_vlm

        try:
            if asked.only != "vlm":
                _tell(evaluate_encoder(asked.out / "clip"))
            if asked.only != "clip":
                _tell(evaluate_vlm(asked.out / "qwen2_5_vl", clips=asked.clips))
        except KeyframeError as error:
            print(f"{parser.prog}: {error}", file=sys.stderr)
            return 2
        return 0
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out is {str(asked.out)!r}: {error.strerror}; give a folder that can be written")
    if asked.only != "vlm":
        train_clip(asked.out / "clip", steps=asked.clip_steps, seed=asked.seed, processes=asked.processes)
    if asked.only != "clip":
        wanted = {stage: getattr(asked, f"{stage}_steps") for stage in STAGES}
        train_vlm(asked.out / "qwen2_5_vl", steps=wanted, seed=asked.seed, processes=asked.processes)
    return 0


def _tell(figures: dict[str, float]) -> None:
    for name, share in figures.items():
        print(f"{name}: {share:.1%}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
