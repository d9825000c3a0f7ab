"""Words and pictures together: what is said, what is written, and what is seen while people talk.

The drawn world speaks (subtitles) and has signs (read by OCR, where it is installed). Joined real footage is
given subtitles that have nothing to do with it. What is asked for words must be found; what is asked for
pictures must be found as well as without words, also where the talk is about the very things that are seen.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyframe_llm.cartoon.world.drawing import draw_frame
from keyframe_llm.cartoon.world.questions import shows_answer
from keyframe_llm.cartoon.world.scenes import UNSEEN_SEED, Clip
from keyframe_llm.cartoon.world.talk import Fact, Talk, draw_sign, gossip_about, random_talk
from keyframe_llm.data import VideoInfo
from keyframe_llm.encoders import Encoder
from keyframe_llm.evaluation.dense import EmbeddedText, baseline_of, embed_question
from keyframe_llm.evaluation.drawn import QuestionedClip
from keyframe_llm.evaluation.heard import heard_cues
from keyframe_llm.evaluation.joined import join, sampled_clips, subjects
from keyframe_llm.evaluation.metrics import hit_at_k
from keyframe_llm.evaluation.results import SHIPPED, Table
from keyframe_llm.evaluation.selectors import proposed
from keyframe_llm.index import VideoIndex
from keyframe_llm.index.reserve import closer
from keyframe_llm.options import SelectOptions, Task
from keyframe_llm.scoring.fusion import NEAR_SECONDS, fuse, missing_seconds
from keyframe_llm.scoring.queries import Query
from keyframe_llm.scoring.selectors import choose_frames, propose_options
from keyframe_llm.video import SimpleDecoder
from keyframe_llm.words import Cue
from keyframe_llm.words.matching import asks_for_words, match_cues

__all__ = ["choose_with_words", "measure_drawn_words", "measure_joined_words"]

WITH, WITHOUT = f"{SHIPPED} with words", f"{SHIPPED} without"
_BUDGETS = (1, 2, 3)
_SIGN_FPS = 5


def choose_with_words(
    index: VideoIndex,
    text: EmbeddedText,
    query: str,
    cues: Sequence[Cue],
    *,
    k: int,
    task: Task = "question",
) -> NDArray[np.float64]:
    """Times, ascending, of at most k frames of a dense index, chosen as the package chooses with words."""
    options = SelectOptions(max_frames=k)
    among = proposed(index, propose_options(options))
    match, asks = match_cues(query, cues), asks_for_words(query)
    missing = missing_seconds(among.candidates.seconds, cues, match, max_frames=k, asks_for_words=asks)
    if missing:  # the frames of the cues become candidates, as those of a file would be decoded
        nearest = np.abs(index.seconds[:, None] - missing).argmin(axis=0)
        known = among.candidates.indices
        among = replace(index.only(np.union1d(known, nearest)), reserve=among.reserve)
    asked = Query(text.parts, text.baseline, task)
    choice = choose_frames(closer(among, asked, options), asked, options)
    times = choice.candidates.seconds
    fused = fuse(choice.chosen, choice.scores.total, times, cues, match, max_frames=k, asks_for_words=asks)
    return np.asarray(times[fused.chosen])


def measure_drawn_words(
    clips: Sequence[QuestionedClip], encoder: Encoder, *, signed: int = 4, listen: str | None = None
) -> list[Table]:
    """What is said and what is seen in drawn clips; what is written in `signed` of them, where OCR is.

    With `listen`, the name of a recogniser, also what it hears when espeak-ng speaks the talk.
    """
    heard = Table("Drawn world: what is heard", "a frame within a second of it", _HEARD)
    said = Table("Drawn world: what is said", "a frame within a second of it", _SAID)
    seen = Table("Drawn world: what is seen, while people talk", "the answer can be seen", _SEEN)
    baseline = baseline_of(encoder)
    for seed, each in enumerate(clips):
        rng = np.random.default_rng([UNSEEN_SEED, 8, seed])
        talk = random_talk(rng, each.clip.duration_seconds)
        gossip = random_talk(rng, each.clip.duration_seconds, gossip=gossip_about(each.clip))
        if listen is not None:
            cues = heard_cues(talk, each.clip.duration_seconds, listen)
            _measure_facts(heard, each.index, encoder, baseline, talk.facts, cues, 3, seed)
        for k in _BUDGETS:
            _measure_facts(said, each.index, encoder, baseline, talk.facts, talk.cues, k, seed)
            kinds = ((WITHOUT, ()), (WITH, talk.cues), (f"{WITH}, of the people seen", gossip.cues))
            for name, cues in kinds:
                question = each.question
                times = choose_with_words(each.index, each.text, question.text, cues, k=k)
                shown = shows_answer(question, [each.clip.frame_at(float(one)) for one in times])
                seen.row(name, k).add(f"clip {seed}: {question.text}", str(seed), shown, times)
    return [said, *([heard] if listen else []), seen, *_measure_signs(clips[:signed], encoder, baseline)]


def measure_joined_words(root: Path, encoder: Encoder, *, joins: int) -> list[Table]:
    """What is said and what is seen in joined real footage with subtitles that were made up."""
    listed = subjects()
    clips = sampled_clips(root, (moment[0] for s in listed for moment in s["moments"]), encoder)
    baseline = baseline_of(encoder)
    said = Table("Real footage: what is said", "a frame within a second of it", _SAID)
    seen = Table("Real footage: what is seen, while people talk", "hit@k", _JOINED)
    for half in ("first", "second", "sealed"):
        for seed in range(joins):
            _measure_join(said, seen, clips, half, seed, encoder, baseline)
    return [said, seen]


def _measure_join(
    said: Table,
    seen: Table,
    clips: dict[str, VideoIndex],
    half: str,
    seed: int,
    encoder: Encoder,
    baseline: NDArray[np.float64],
) -> None:
    joined = join(clips, half, seed)
    rng = np.random.default_rng([UNSEEN_SEED, 9, seed])
    talk = random_talk(rng, joined.index.span_seconds)
    about = [f"Yesterday somebody told me of this: {query.text}" for query in joined.queries]
    gossip = random_talk(rng, joined.index.span_seconds, gossip=about)
    kinds = ((WITHOUT, ()), (WITH, talk.cues), (f"{WITH}, in the same words", gossip.cues))
    _measure_facts(said, joined.index, encoder, baseline, talk.facts, talk.cues, 3, seed)
    rows = np.asarray(encoder.embed_texts([query.text for query in joined.queries]), np.float64)
    for query, row in zip(joined.queries, rows, strict=True):
        text = EmbeddedText.of(row, baseline)
        for name, cues in kinds:
            times = choose_with_words(joined.index, text, query.text, cues, k=3, task="retrieval")
            hit = hit_at_k([times], [query.moments], 3)[0]
            seen.row(name, 3).add(f"{half} {seed}: {query.text}", query.text, hit, times)


def _measure_facts(
    table: Table,
    index: VideoIndex,
    encoder: Encoder,
    baseline: NDArray[np.float64],
    facts: Sequence[tuple[Fact, Cue]],
    cues: Sequence[Cue],
    k: int,
    seed: int,
) -> None:
    """Whether a frame lies within a second of the cue that a question is about, with words and without."""
    for fact, cue in facts:
        text = embed_question(encoder, fact.question, baseline)
        span = [(cue.start - NEAR_SECONDS, cue.end + NEAR_SECONDS)]
        for name, given in ((WITHOUT, ()), (WITH, cues)):
            times = choose_with_words(index, text, fact.question, given, k=k)
            hit = hit_at_k([times], [span], k)[0]
            table.row(name, k).add(f"{seed}: {fact.question}", str(seed), hit, times)


class _Signed(SimpleDecoder):
    """A drawn clip of 1280 × 720 in which the facts of a talk are written on signs while they last."""

    def __init__(self, clip: Clip, talk: Talk) -> None:
        super().__init__()
        self._clip, self._talk = clip, talk
        self.info = VideoInfo("drawn", clip.duration_seconds, _SIGN_FPS, 1280, 720, "drawn")

    def read(self, from_seconds: float) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """Every frame from a time on."""
        first = int(from_seconds * _SIGN_FPS)
        for i in range(first, max(first + 1, int(self._clip.duration_seconds * _SIGN_FPS))):
            second = i / _SIGN_FPS
            picture = draw_frame(self._clip.frame_at(second), width=1280, height=720)
            for fact, cue in self._talk.facts:
                if cue.start <= second < cue.end:
                    picture = draw_sign(picture, fact.sentence)
            yield second, picture


def _measure_signs(
    clips: Sequence[QuestionedClip], encoder: Encoder, baseline: NDArray[np.float64]
) -> list[Table]:
    """What is written on signs of 20 pixels; no table where OCR is not installed."""
    if not clips or importlib.util.find_spec("rapidocr") is None:
        return []
    from keyframe_llm.words.screen import read_screen

    table = Table("Drawn world: what is written", "a frame within a second of it", _WRITTEN)
    for seed, each in enumerate(clips):
        rng = np.random.default_rng([UNSEEN_SEED, 10, seed])
        talk = random_talk(rng, each.clip.duration_seconds, source="screen", least_seconds=2.0)
        with _Signed(each.clip, talk) as decoder:
            cues = read_screen(decoder, max_pictures=60).cues
        _measure_facts(table, each.index, encoder, baseline, talk.facts, cues, 3, seed)
    return [table]


_SAID = (
    "Three facts are said in each video, among other talk, in subtitles of 1.5–3.5 s; the question has the "
    "words of the fact in part. A hit is a frame within a second of the subtitle."
)
_HEARD = "The same facts, spoken by espeak-ng and heard by the recogniser; no subtitles."
_SEEN = (
    "The questions about short events, without words, with talk that has nothing to do with what is seen, "
    "and with talk in which every third sentence is about one of the people seen, at another time."
)
_JOINED = (
    "The captions of joined footage, without words, with talk that has nothing to do with what is seen, and "
    "with talk in which every third sentence holds one of the captions, at any time. Budget 3."
)
_WRITTEN = (
    "Three facts stand on signs in each clip, 20 pixels high at 1280 × 720, for 2–3.5 s; read by RapidOCR."
)
