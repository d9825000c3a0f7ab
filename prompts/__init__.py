"""Every prompt, one text file each; a folder of one's own replaces them file by file.

`caption.txt`, `question.txt`, `classify.txt` and `choose.txt` are what a Video-LLM is asked. A word in braces
stands for a value. `sheet.txt` says what one picture of all key frames shows, `words.txt` what the words of a
video are. `several.txt` asks about several videos, and `several_video.txt` stands before the frames of each.
`neutral.txt` and `action_templates.txt` hold one text a line: what every text is compared with, and the
sentences that a label is put into (`{}`).
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Literal

from keyframe_llm.errors import OptionsError, user_path

__all__ = ["PromptName", "Prompts", "default_prompts"]

PromptName = Literal[
    "action_templates",
    "caption",
    "choose",
    "classify",
    "neutral",
    "question",
    "several",
    "several_video",
    "sheet",
    "words",
]

_PLACEHOLDERS: dict[str, tuple[str, ...]] = {
    "action_templates": ("{}",),
    "caption": (),
    "choose": ("{labels}",),
    "classify": (),
    "neutral": (),
    "question": ("{question}",),
    "several": ("{question}",),
    "several_video": ("{number}", "{video}"),
    "sheet": ("{times}",),
    "words": ("{lines}",),
}
"""What each file must hold."""


class Prompts:
    """The prompts of the package, or those of a folder where it has a file of that name."""

    def __init__(self, folder: str | Path | None = None) -> None:
        """Raises `OptionsError` for a folder that is none, or a file that no prompt is read from."""
        self.folder = None if folder is None else user_path("prompts", folder)
        self._texts: dict[str, str] = {}
        for name in _PLACEHOLDERS:
            self._texts[name] = self._read(name)
        if self.folder is not None:
            unknown = sorted({path.stem for path in self.folder.glob("*.txt")} - set(_PLACEHOLDERS))
            if unknown:
                raise OptionsError(
                    f"prompts {str(folder)!r} hold {unknown[0]}.txt, which is no prompt; the files are "
                    f"{', '.join(f'{name}.txt' for name in _PLACEHOLDERS)}"
                )

    def __repr__(self) -> str:
        """The folder, and a digest of the texts: equal for equal prompts, in every process."""
        texts = repr(sorted(self._texts.items())).encode()
        return f"Prompts({str(self.folder)!r}, {sha256(texts).hexdigest()[:16]})"

    def text(self, name: PromptName, **values: str) -> str:
        """The prompt of that name, its `{placeholders}` filled in with `values`."""
        return _filled(self._texts[name], values)

    def lines(self, name: PromptName) -> tuple[str, ...]:
        """The lines of that file, without blank ones."""
        return tuple(line.strip() for line in self._texts[name].splitlines() if line.strip())

    def _read(self, name: str) -> str:
        source = resources.files("keyframe_llm.prompts") / f"{name}.txt"
        if self.folder is not None:
            if not self.folder.is_dir():
                raise OptionsError(
                    f"prompts {str(self.folder)!r} is no folder; give one with files of prompts"
                )
            own = self.folder / f"{name}.txt"
            source = own if own.exists() else source
        try:
            text = source.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise OptionsError(f"the prompt {source} cannot be read ({error}); give a UTF-8 text") from error
        missing = [word for word in _PLACEHOLDERS[name] if word not in text]
        if missing or not text:
            raise OptionsError(f"the prompt {source} lacks {missing[0] if missing else 'any text'}; add it")
        return text


def _filled(text: str, values: dict[str, str]) -> str:
    """The text with its placeholders replaced; what a value holds is never read as a placeholder."""
    if not values:
        return text
    (name, value), *others = values.items()
    return value.join(_filled(part, dict(others)) for part in text.split("{" + name + "}"))


@cache
def default_prompts() -> Prompts:
    """The prompts of the package."""
    return Prompts()
