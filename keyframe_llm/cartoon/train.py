"""Train the two embedded models on the drawn world: `python -m keyframe_llm.cartoon.train`.

`--evaluate` measures what is there instead of training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from keyframe_llm.cartoon.training_clip import STEPS as CLIP_STEPS
from keyframe_llm.cartoon.training_clip import train_clip
from keyframe_llm.cartoon.training_vlm import STAGES, train_vlm

__all__ = ["main"]

_WEIGHTS = Path(__file__).parent / "weights"


def main(arguments: list[str] | None = None) -> int:
    """Train or evaluate the embedded models; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m keyframe_llm.cartoon.train", description=__doc__)
    parser.add_argument("--only", choices=["clip", "vlm"], help="train one of the two models")
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
    if asked.evaluate:
        from keyframe_llm.cartoon.evaluate import evaluate

        for name, share in evaluate(asked.out, clips=asked.clips).items():
            print(f"{name}: {share:.1%}")
        return 0
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.only != "vlm":
        train_clip(asked.out / "clip", steps=asked.clip_steps, seed=asked.seed, processes=asked.processes)
    if asked.only != "clip":
        wanted = {stage: getattr(asked, f"{stage}_steps") for stage in STAGES}
        train_vlm(asked.out / "qwen2_5_vl", steps=wanted, seed=asked.seed, processes=asked.processes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
