"""A selection as JSON, and as a folder: its key frames, `selection.json` and two pictures of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from keyframe_llm.errors import OptionsError, shortened, user_path

if TYPE_CHECKING:
    from keyframe_llm.scoring.fusion import CueMatch
    from keyframe_llm.selection import Selection

__all__ = ["save_selection", "selection_dict"]


def selection_dict(selection: Selection) -> dict[str, Any]:
    """Return what `select --json` prints: plain numbers, texts and lists, all of them valid JSON.

    `proposals` and `keyframes[].seconds` are in seconds. `score` is what chose the frame, 0–1, and
    `score_name` says what it is: `KeyScore`, `similarity`, or with no text the `share of the video` that the
    frame stands for. `semantic`, `temporal` and `drop` are 0–1, None with no text. `order` is there only for
    a frame that is shown for its place in time, and says which (see `Selection.orders`). `image` is None
    until the selection is saved; `words` are the cues that the text fits, with how well (0–1) and the second
    of the key frame that shows each, and are there only if the video has any; `frame_reduction` is the share
    of frames saved; `timings` are in seconds. `question` is there only if there was one. `found` says whether
    what the text asks for is there at all, and `found_score` how likely that is (0–1, see `Found`); both are
    there only if that was judged.
    """
    video, scores = selection.video, selection.scores
    keyframes = [
        {
            "seconds": _number(second),
            "score": _number(scores.total[i]),
            "semantic": _number(scores.semantic[i]),
            "temporal": _number(scores.temporal[i]),
            "drop": _number(scores.drop[i]),
            **({} if order is None else {"order": order}),
            "image": None,
        }
        for i, second, order in zip(selection.chosen, selection.seconds, selection.orders(), strict=True)
    ]
    question = {} if selection.question is None else {"question": selection.question}
    judged = selection.found
    found = {} if judged is None else {"found": judged.word, "found_score": _number(judged.score)}
    words = {"words": [_matched(selection, match) for match in selection.word_matches]}
    return {
        "video": {
            "path": str(video.path),
            "duration_seconds": _number(video.duration_seconds),
            "average_fps": _number(video.average_fps),
            "width": int(video.width),
            "height": int(video.height),
            "codec": video.codec,
        },
        "caption": selection.caption,
        "caption_source": selection.caption_source,
        **question,
        "method": selection.method,
        "score_name": scores.name,
        "sampled_frames": selection.sampled_frames,
        "proposals": [_number(second) for second in selection.proposals.seconds],
        "keyframes": keyframes,
        **found,
        **(words if selection.words else {}),
        "frame_reduction": {name: _number(share) for name, share in selection.frame_reduction().items()},
        "timings": {name: _number(spent) for name, spent in selection.timings.items()},
        "plan": selection.plan,
        "warnings": list(selection.warnings),
    }


def _matched(selection: Selection, match: CueMatch) -> dict[str, Any]:
    second = _number(selection.proposals.seconds[match.candidate])
    cue = selection.words[match.cue].to_dict()
    return {**cue, "score": _number(match.score), "keyframe_seconds": second}


def save_selection(selection: Selection, folder: str | Path) -> dict[str, Path]:
    """Write a selection into `folder`, made if missing, and return the paths by name.

    `keyframe_1`, `keyframe_2`, … are JPEG files named by their order and time, `01_12.30s.jpg`; `json` is
    `selection.json`, with image paths relative to the folder; `contact_sheet` and `scores` are PNG pictures.
    A selection saved there before is replaced; nothing is deleted. Raises `OptionsError` where the folder
    cannot be written, or holds files of these names that no earlier selection wrote.
    """
    from keyframe_llm.report.contact_sheet import contact_sheet
    from keyframe_llm.report.score_plot import score_plot

    target = user_path("the folder", folder)
    images = [f"{i + 1:02d}_{second:.2f}s.jpg" for i, second in enumerate(selection.seconds)]
    _refuse_to_overwrite(target, ["selection.json", "contact_sheet.png", "scores.png", *images])
    result = selection_dict(selection)
    for keyframe, image in zip(result["keyframes"], images, strict=True):
        keyframe["image"] = image
    text = _json_text(result)
    paths = {f"keyframe_{i + 1}": target / name for i, name in enumerate(images)}
    paths |= {"json": target / "selection.json"}
    paths |= {"contact_sheet": target / "contact_sheet.png", "scores": target / "scores.png"}
    try:
        target.mkdir(parents=True, exist_ok=True)
        paths["json"].write_text(text + "\n", encoding="utf-8")
        for name, image in zip(images, selection.frames.images, strict=True):
            Image.fromarray(image).save(target / name, quality=95)
        contact_sheet(selection).save(paths["contact_sheet"])
        score_plot(selection).save(paths["scores"])
    except OSError as error:
        raise OptionsError(
            f"cannot write to {str(target)!r} ({error.strerror or error}); give a folder you may write to"
        ) from error
    return paths


def _json_text(result: dict[str, Any]) -> str:
    """Readable JSON; a name or caption that is not valid Unicode is written in escapes."""
    text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(result, indent=2, allow_nan=False)
    return text


def _refuse_to_overwrite(target: Path, names: list[str]) -> None:
    try:
        held = [name for name in names if (target / name).exists()]
    except (OSError, ValueError) as error:
        name = shortened(str(target))
        raise OptionsError(f"{name} cannot be a folder ({type(error).__name__}); give another one") from error
    try:
        ours = not held or "keyframes" in json.loads((target / "selection.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise OptionsError(
            f"{str(target)!r} holds {', '.join(held)}, not from a selection; give another folder"
        )


def _number(value: float | np.floating[Any] | None) -> float | None:
    """A plain float; None for what is not known or not a number, which JSON cannot say otherwise."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)
