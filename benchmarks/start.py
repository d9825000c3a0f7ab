"""What a command costs before and after its work: small models of the real classes, a short clip.

    python benchmarks/start.py                    # ask and select, with models of transformers and without
    pip install --no-deps --target DIR CHECKOUT   # another state of the project, to compare with
    python benchmarks/start.py --beside DIR

Every row is a whole process, from the start of Python to its end, in turn, `--repeat` times; medians count.
The models are random and so small that they cost next to nothing: what is left is imports, loading, reading
the clip, and the end. An older state that has no ONNX Runtime is given the encoder through torch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import Cost, machine, measured, table

from keyframe_llm.demos import videos
from keyframe_llm.hub import FOLDER_VARIABLE

__all__ = ["main"]

_MAKE = (
    "import sys; from pathlib import Path; from support.checkpoints import qwen2_5_vl, siglip; "
    "qwen2_5_vl(Path(sys.argv[1]) / 'qwen'); siglip(Path(sys.argv[1]) / 'siglip')"
)
_RUN = "import sys; from keyframe_llm import cli; getattr(cli, 'command', lambda: sys.exit(cli.main()))()"
"""As the installed command does, in older states too; `-m` would search the current folder first."""
_ALIKE = ["--no-cache", "--json", "--quiet"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what a command costs before its work.")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each command (default 3)")
    parser.add_argument("--beside", type=Path, metavar="DIR", help="another state of the project, installed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _make_models(folder)
        os.environ[FOLDER_VARIABLE] = str(folder / "cache")  # for the converted encoder
        print(f"{machine()}\n\n{table(('', '', 'wall s', 'cpu s', 'ratio', 'peak MB'), ())}", flush=True)
        for name, command in _commands(folder).items():
            for row in _rows(name, command, asked, folder):
                print(f"| {' | '.join(row)} |", flush=True)


def _make_models(folder: Path) -> None:
    """A small Qwen2.5-VL and a small SigLIP, made as the tests make them."""
    tests = Path(__file__).resolve().parents[1] / "tests"
    environment = {**os.environ, "PYTHONPATH": str(tests)}
    subprocess.run(
        [sys.executable, "-c", _MAKE, str(folder)], env=environment, capture_output=True, check=True
    )


def _commands(folder: Path) -> dict[str, list[str]]:
    """The arguments of every command, by the name of its row."""
    clip = str(Path(videos.__file__).parent / "clips" / "three_scenes.mp4")
    ask, select = ["ask", clip, "What is it?", *_ALIKE], ["select", clip, *_ALIKE]
    qwen, siglip = ["--model", str(folder / "qwen")], str(folder / "siglip")
    text = ["--question", "What is it?", "--encoder"]
    return {
        "`ask`, both through torch": [*ask, *qwen, "--encoder", siglip],
        "`ask`, the encoder through ONNX Runtime": [*ask, *qwen, "--encoder", f"onnx:{siglip}"],
        "`select` with a text, through torch": [*select, *text, siglip],
        "`select` with a text, through ONNX Runtime": [*select, *text, f"onnx:{siglip}"],
        "`ask --model cartoon`": [*ask, "--model", "cartoon"],
        "`select`, no text": select,
    }


def _rows(name: str, command: list[str], asked: argparse.Namespace, folder: Path) -> list[tuple[str, ...]]:
    runs: dict[str, list[Cost]] = {"before": [], "now": []} if asked.beside else {"now": []}
    for _ in range(asked.repeat + 1):  # the first run of each fills the caches, and does not count
        for state, costs in runs.items():
            costs.append(_cost(command, asked.beside if state == "before" else None, folder))
    middle = {
        state: Cost(*map(statistics.median, zip(*each[1:], strict=True))) for state, each in runs.items()
    }
    whole = next(iter(middle.values())).cpu_seconds
    return [
        (
            *(name, state, f"{cost.wall_seconds:.2f}", f"{cost.cpu_seconds:.2f}"),
            *(f"{cost.cpu_seconds / whole:.2f}", f"{cost.peak_mb:.0f}"),
        )
        for state, cost in middle.items()
    ]


def _cost(command: list[str], beside: Path | None, folder: Path) -> Cost:
    python = [sys.executable, "-c", _RUN]
    if beside is None:
        return measured([*python, *command], folder=folder)
    path = ["env", f"PYTHONPATH={beside.resolve()}"]
    if not (beside / "keyframe_llm" / "encoders" / "onnx.py").is_file():
        command = [word.removeprefix("onnx:") for word in command]
    return measured([*path, *python, *command], folder=folder)


if __name__ == "__main__":
    main()
