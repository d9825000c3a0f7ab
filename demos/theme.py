"""How the chat page looks, and what it does without the server: the theme, `page.css` and `page.js`.

Only fonts that the reader's system has: the page asks no other machine for anything.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

__all__ = ["policy", "script", "style", "theme"]

_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Noto Sans", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
_SHEETS = ("page", "player", "transcript", "span", "library", "shelf", "keys")
_SCRIPTS = (
    *("player", "upload", "shelf", "span", "page", "transcript", "library", "editing"),
    *("typed", "draft", "labels", "keys"),
)
"""The end of a drag in `span.js` is no click for those after it."""


def style() -> str:
    """The style sheets, joined."""
    return "".join(_text(f"{name}.css") for name in _SHEETS)


def script() -> str:
    """The scripts, joined: each file is a function, called once, before there is anything to click on."""
    return "<script>" + "".join(f"({_text(f'{name}.js').strip()})();" for name in _SCRIPTS) + "</script>"


def policy() -> str:
    """The content security policy: pictures, videos and requests from this server alone."""
    return (
        '<meta http-equiv="Content-Security-Policy" content="'
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; frame-src 'self'; object-src 'none'; form-action 'self'\">"
    )


def _text(name: str) -> str:
    return (resources.files("keyframe_llm.demos") / name).read_text(encoding="utf-8")


def theme() -> Any:
    """Warm paper by day, warm black by night, one accent."""
    import gradio as gr

    base = gr.themes.Base(
        primary_hue="orange", neutral_hue="stone", radius_size="lg", font=_FONTS, font_mono=_MONO
    )
    return base.set(
        body_background_fill="#faf8f5",
        body_background_fill_dark="#161412",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1f1c19",
        background_fill_secondary="#f6f3ee",
        background_fill_secondary_dark="#25211d",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1f1c19",
        block_border_color="#e9e3da",
        block_border_color_dark="#37312b",
        border_color_primary="#e0d9ce",
        border_color_primary_dark="#3d3630",
        block_label_text_weight="600",
        block_title_text_weight="600",
        block_title_text_color="#3f3831",
        block_title_text_color_dark="#e4dcd3",
        block_label_text_color="#5f564d",
        block_label_text_color_dark="#c2b7ab",
        block_info_text_color="#6b6259",
        block_info_text_color_dark="#b0a598",
        body_text_color_subdued="#6b6259",
        body_text_color_subdued_dark="#b0a598",
        input_background_fill="#faf8f5",
        input_background_fill_dark="#292420",
        input_placeholder_color="#6b6259",
        input_placeholder_color_dark="#a09487",
        slider_color="#b34700",
        slider_color_dark="#ff914d",
        checkbox_background_color_selected="#b34700",
        checkbox_background_color_selected_dark="#b84a00",
        checkbox_label_background_fill="#f3eee7",
        checkbox_label_background_fill_dark="#2d2823",
        button_secondary_background_fill="#f0eae1",
        button_secondary_background_fill_hover="#e6ddd0",
        button_secondary_background_fill_dark="#332d27",
        button_secondary_background_fill_hover_dark="#403830",
        button_primary_background_fill="#b34700",
        button_primary_background_fill_hover="#963b00",
        button_primary_background_fill_dark="#b84a00",
        button_primary_background_fill_hover_dark="#a34200",
        button_primary_text_color="#ffffff",
    )
