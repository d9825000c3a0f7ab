"""Cues are clean: plain text, true order, each line once."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from keyframe_llm.words.cleaning import LONGEST_LETTERS, RawCue, clean, plain_lines


def told(raw: list[RawCue], duration: float | None = None) -> list[tuple[float, float, str]]:
    found = clean(raw, source="subtitle", duration_seconds=duration)
    return [(cue.start, cue.end, cue.text) for cue in found.cues]


def test_rolling_captions_are_told_once_each_line_from_when_it_appears() -> None:
    rolling = [
        RawCue(0.0, 2.35, " \nso<00:00:00.500><c> today</c>"),
        RawCue(2.35, 2.36, "so today\n "),
        RawCue(2.36, 4.0, "so today\nwe<00:00:03.000><c> will</c>"),
        RawCue(4.0, 4.01, "we will\n "),
        RawCue(4.01, 6.0, "we will\nlearn"),
    ]
    assert told(rolling) == [(0.0, 2.36, "so today"), (2.36, 4.01, "we will"), (4.01, 6.0, "learn")]


def test_captions_that_grow_are_one() -> None:
    growing = [RawCue(0.0, 1.0, "HE"), RawCue(1.0, 2.0, "HE SAID"), RawCue(2.0, 3.0, "HE SAID YES")]
    assert told([*growing, RawCue(3.0, 4.0, "NO")]) == [(0.0, 3.0, "HE SAID YES"), (3.0, 4.0, "NO")]


def test_lines_that_scroll_end_where_the_next_begins() -> None:
    scrolling = [RawCue(2.0 * n, 2.0 * n + 4.0, f"line {n}") for n in range(5)]
    assert [(start, end) for start, end, _ in told(scrolling)] == [
        *((2.0 * n, 2.0 * n + 2.0) for n in range(4)),
        (8.0, 12.0),
    ]


def test_two_who_speak_at_once_and_a_sign_that_stays_are_kept() -> None:
    both = [
        RawCue(0.0, 30.0, "EXIT"),
        RawCue(1.0, 2.0, "hi"),
        RawCue(1.0, 3.0, "hello"),
        RawCue(9.0, 10.0, "ok"),
    ]
    assert told(both) == [(cue.start, cue.end, cue.text) for cue in both]


def test_a_text_that_is_drawn_anew_for_every_frame_is_one_cue() -> None:
    sign = [RawCue(n / 25, (n + 1) / 25, "EXIT") for n in range(50)]
    talk = [RawCue(0.5, 1.0, "hi"), RawCue(1.2, 1.5, "hello")]
    assert told([*sign, *talk]) == [(0.0, 2.0, "EXIT"), (0.5, 1.0, "hi"), (1.2, 1.5, "hello")]


def test_the_same_words_said_again_later_are_said_again() -> None:
    assert len(told([RawCue(0.0, 1.0, "No."), RawCue(5.0, 6.0, "No.")])) == 2


def test_times_outside_the_video_are_cut_and_those_beyond_it_counted() -> None:
    raw = [
        RawCue(99.0, 100.0, "beyond"),
        RawCue(9.0, 20.0, "last"),
        RawCue(-3.0, -1.0, "before"),
        RawCue(-1.0, 1.0, "first"),
        RawCue(5.0, None, "no end"),
        RawCue(3.0, 3.0, "no length"),
        RawCue(math.nan, 1.0, "no time"),
    ]
    assert told(raw, 10.0) == [
        (0.0, 1.0, "first"),
        (3.0, 5.0, "no length"),
        (5.0, 9.0, "no end"),
        (9.0, 10.0, "last"),
    ]
    assert clean(raw, source="subtitle", duration_seconds=10.0).beyond_end == 1


def test_a_last_cue_without_an_end_lasts_five_seconds() -> None:
    assert told([RawCue(3.0, None, "x")]) == [(3.0, 8.0, "x")]


def test_markup_goes_and_what_looks_like_it_stays() -> None:
    assert plain_lines("{\\an8}<font color='x'>if a < b</font> <html> {hello} &lt;i&gt;") == (
        "if a < b <html> {hello} <i>",
    )
    assert plain_lines("{\\p1}m 0 0 l 1 1{\\p0}{a remark}{\\k20}a\\Nb\\hc", "ass") == ("a", "b c")
    assert plain_lines("<b> {\\i1} &amp; \\N", "none") == ("<b> {\\i1} &amp; \\N",)


def test_characters_that_turn_the_direction_of_a_line_go_and_letters_stay() -> None:
    assert plain_lines("\u202eevil\u202c \u2067שלום\u2069 नमस्ते می\u200cخواهم \x1b[31m") == (
        "evil שלום नमस्ते می\u200cخواهم [31m",
    )


def test_a_text_of_any_length_is_bounded() -> None:
    ((_, _, text),) = told([RawCue(0.0, 1.0, "word " * 10_000)])
    assert len(text) == LONGEST_LETTERS and text.endswith("…")


@given(
    st.lists(
        st.tuples(
            st.floats(-50, 200),
            st.none() | st.floats(-60, 220),
            st.sampled_from(["a", "b", "a\nb", "<i>", "ab"]),
        )
    )
)
def test_whatever_is_read_comes_out_in_order_inside_the_video(
    raw: list,
) -> None:
    found = clean([RawCue(*one) for one in raw], source="subtitle", duration_seconds=100.0).cues
    assert [cue.start for cue in found] == sorted(cue.start for cue in found)
    assert all(0 <= cue.start < cue.end <= 100 and cue.text.strip() for cue in found)
