"""The small buttons that take something away from the page; the script `page.js` does what they say."""

from __future__ import annotations

from html import escape

__all__ = [
    "LINK_TO_MOMENT",
    "SAVE_CONVERSATION",
    "copy_answer",
    "edit_question",
    "save_frame",
    "save_selection",
]

LINK_TO_MOMENT = (
    '<button type="button" class="kf-tool" data-moment title="The second that the player shows">'
    "Copy link to this moment</button>"
)
SAVE_CONVERSATION = (
    '<p class="kf-tools"><button type="button" class="kf-tool" data-save="conversation" '
    'title="One HTML file, with the frames in it">Save the conversation</button></p>'
)


def copy_answer(answer: str) -> str:
    """A button that copies an answer as the model wrote it."""
    return f'<button type="button" class="kf-tool" data-copy="{escape(answer)}">Copy answer</button>'


def edit_question(turn: str, question: str) -> str:
    """A button that puts a question back into the box, to be asked in other words."""
    return (
        f'<button type="button" class="kf-tool" data-edit="{escape(turn)}" '
        f'data-question="{escape(question)}">Edit the question</button>'
    )


def save_frame(owner: str, i: int, second: float) -> str:
    """A button on a key frame that saves it in full size; `owner` as of `Session.selection_named`."""
    label = f"Save the frame at {second:.2f} seconds in full size"
    return (
        f'<button type="button" class="kf-save" data-save="frame {escape(owner)} {i}" title="{label}" '
        f'aria-label="{label}"><span aria-hidden="true">↓</span></button>'
    )


def save_selection(owner: str) -> str:
    """Buttons that save a selection as a contact sheet and as JSON; `owner` as of `save_frame`."""
    kinds = (("sheet", "Contact sheet"), ("json", "selection.json"))
    return "".join(
        f'<button type="button" class="kf-tool" data-save="{kind} {escape(owner)}">{name}</button>'
        for kind, name in kinds
    )
