"""The progress bar of the chat page is measured in time."""

from __future__ import annotations

import pytest

from keyframe_llm.demos.pace import USUAL_SECONDS, Pace

JOB = [("decode", 30.0), ("propose", 1.0), ("caption", 2.0), ("embed", 12.0), ("score", 0.1)]
WHOLE = sum(seconds for _, seconds in JOB)


def bar_of_a_job(usual: dict[str, float]) -> list[tuple[float, float]]:
    """What share of the time has passed, and what the bar shows, at every tenth of each stage."""
    pace, now, shown = Pace(usual), 0.0, []
    for stage, seconds in JOB:
        for tenth in range(10):
            pace.reached(stage, tenth / 10, now)
            shown.append((now / WHOLE, pace.done))
            now += seconds / 10
    pace.learn(now)
    return shown


def test_the_bar_shows_the_share_of_the_time_that_has_passed() -> None:
    usual = dict(USUAL_SECONDS)
    for _ in range(6):
        shown = bar_of_a_job(usual)
    assert max(abs(passed - bar) for passed, bar in shown) < 0.03


def test_the_first_bar_is_about_right_never_goes_back_and_is_not_full_before_the_end() -> None:
    shown = bar_of_a_job(dict(USUAL_SECONDS))
    assert max(abs(passed - bar) for passed, bar in shown) < 0.2
    bars = [bar for _, bar in shown]
    assert bars == sorted(bars) and bars[-1] < 1


def test_a_stage_that_does_not_say_how_far_it_is_has_an_end_that_it_goes_to() -> None:
    pace = Pace({"decode": 5.0, "caption": 20.0, "embed": 5.0})
    pace.reached("decode", 0.0, 0.0)
    pace.reached("caption", 0.0, 5.0)
    assert pace.done == pytest.approx(5 / 30) and pace.stage_end == pytest.approx(25 / 30)
    assert pace.stage_seconds == pytest.approx(20.0)
    pace.reached("caption", 0.0, 45.0)  # slower than usual: it goes on, and more slowly
    assert 0.6 < pace.done < pace.stage_end < 1
