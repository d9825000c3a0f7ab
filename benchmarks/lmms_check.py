"""Key frames through the real lmms-eval: the embedded models on five questions about the bundled clips.

    make lmms-check

makes an environment of its own with lmms-eval (7 GB, five minutes), runs the tests of the interface there,
then `benchmarks/lmms_demo` with key frames, both interfaces, uniform frames, and a wrong argument. lmms-eval
exits with 0 after an exception, so the results file is read. The exit status is 1 where a claim is false.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "NO_COLOR": "1"}


def environment(folder: Path) -> Path:
    """The folder of programs of an environment with lmms-eval and this package, made where it is missing."""
    programs, ready = folder / "bin", folder / "ready"
    if not ready.exists():
        print(f"making {folder} with lmms-eval …", flush=True)
        venv.create(folder, with_pip=True)
        extras = ["--editable", f"{ROOT}[lmms-eval]", "hypothesis", "pytest"]
        subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", *extras], check=True)
        ready.touch()
    return programs


def run(programs: Path, arguments: str, *more: str) -> tuple[subprocess.CompletedProcess[str], float | None]:
    """Run the demo task; the program's end, and the share of right answers, None where there is no result."""
    with tempfile.TemporaryDirectory() as out:
        command = [str(programs / "lmms-eval"), "--model", "keyframe_llm", "--model_args", arguments]
        command += [
            "--tasks",
            "kf_demo",
            "--include_path",
            "benchmarks/lmms_demo",
            "--output_path",
            out,
            *more,
        ]
        environment = {**os.environ, **OFFLINE, "HF_HOME": str(Path(out) / "home")}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        found = list(Path(out).rglob("*_results.json"))
        results = json.loads(found[0].read_text())["results"]["kf_demo"] if found else {}
    return done, results.get("exact_match,none")


def main() -> int:
    """Check every claim; 1 where one is false."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-lmms", help="where the environment lies")
    programs = environment(parser.parse_args().venv)
    tests = [
        str(programs / "python"),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_lmms_eval.py",
    ]
    false = subprocess.run(tests, cwd=ROOT, check=False).returncode != 0
    three = "model=cartoon,max_frames=3"
    for claim, arguments, more, least, most in (
        ("key frames answer all", three, [], 1.0, 1.0),
        (
            "so they do in the simple interface, in batches",
            three,
            ["--force_simple", "--batch_size", "4"],
            1,
            1,
        ),
        ("three uniform frames do not", f"{three},method=uniform", [], 0.0, 0.8),
    ):
        done, right = run(programs, arguments, *more)
        holds = right is not None and least <= right <= most
        false |= not holds
        print(f"{'ok   ' if holds else 'FALSE'} {claim}: {right}", flush=True)
        if right is None:
            print((done.stdout + done.stderr)[-2000:])
    done, right = run(programs, "model=cartoon,method=unifrom")
    said = done.stderr.strip().splitlines()[-1]
    holds = done.returncode == 1 and right is None and said.startswith("keyframe_llm: method is 'unifrom'")
    print(f"{'ok   ' if holds else 'FALSE'} a wrong argument is one line: {said[:60]}…")
    return int(false or not holds)


if __name__ == "__main__":
    sys.exit(main())
