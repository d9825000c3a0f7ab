"""Data sets by name: where people have them, they run; where not, one line says what to download.

Nothing is downloaded here: licences and sizes (up to hundreds of gigabytes) are the reader's to accept. Files
may lie in any folders below the root; they are found by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from keyframe_llm.errors import OptionsError, shortened
from keyframe_llm.evaluation import readers, scene_readers
from keyframe_llm.evaluation.samples import Dataset, Sample, Tree

__all__ = ["Dataset", "Sample", "dataset_names", "load_dataset"]


@dataclass(frozen=True, slots=True)
class _Card:
    read: Callable[..., list[Sample]]
    download: str
    splits: int = 0
    """How many official splits there are to choose from; 0 where there is nothing to choose."""


_CARDS: Mapping[str, _Card] = {
    "msrvtt-1ka": _Card(
        readers.read_msrvtt,
        "download the videos of MSR-VTT (Microsoft Research Video to Text) and MSRVTT_JSFUSION_test.csv, "
        "JSFusion's 1k-A test list, and put both below {root}",
    ),
    "msvd": _Card(
        readers.read_msvd,
        "download YouTubeClips and AllVideoDescriptions.txt of the Microsoft Research Video Description "
        "Corpus and the usual test_list.txt of 670 names (or MSVD_test.tsv), and put them below {root}",
    ),
    "didemo": _Card(
        readers.read_didemo,
        "download the videos of DiDeMo and test_data.json from its authors' repository LocalizingMoments "
        "(or DiDeMo_test.tsv), and put them below {root}",
    ),
    "didemo-moments": _Card(
        readers.read_didemo_moments,
        "download the videos of DiDeMo and test_data.json from its authors' repository LocalizingMoments, "
        "and put them below {root}",
    ),
    "hmdb51": _Card(
        readers.read_hmdb51,
        "download hmdb51_org.rar and test_train_splits.rar of HMDB: a large human motion database (Serre "
        "Lab), and unpack both below {root}",
        splits=3,
    ),
    "ucf101": _Card(
        readers.read_ucf101,
        "download UCF101.rar and UCF101TrainTestSplits-RecognitionTask.zip of UCF101 (UCF Center for "
        "Research in Computer Vision), and unpack both below {root}",
        splits=3,
    ),
    "tvsum20": _Card(
        readers.read_tvsum20,
        "download the folder Keyframe from the repository ttharden/Keyframe-extraction and the videos of "
        "TVSum (Title-based Video Summarization, ydata-tvsum50), and put them below {root}",
    ),
    "summe": _Card(
        readers.read_summe,
        "download the SumMe dataset (Creating Summaries from User Videos, Gygli et al.) with its folders "
        "GT and videos, and unpack it below {root}",
    ),
    "qvhighlights": _Card(
        readers.read_qvhighlights,
        "download the videos of QVHighlights and highlight_val_release.jsonl from its authors' repository "
        "moment_detr, and put them below {root}",
    ),
    "video-mme": _Card(
        readers.read_video_mme,
        "download the data set lmms-lab/Video-MME from Hugging Face (videomme/test-*.parquet and the "
        "unpacked videos), and put it below {root}",
    ),
    "longvideobench": _Card(
        readers.read_longvideobench,
        "download the data set longvideobench/LongVideoBench from Hugging Face (lvb_val.json and the "
        "unpacked videos), and put it below {root}",
    ),
    "kfs-bench": _Card(
        scene_readers.read_kfs_bench,
        "download lvb_anno.csv and vidmme_anno.csv from the repository NEC-VID/KFS-Bench (research only) "
        "and the questions and videos of LongVideoBench and Video-MME, and put them below {root}",
    ),
    "lvbench": _Card(
        scene_readers.read_lvbench,
        "download the data set zai-org/LVBench (video_info.meta.jsonl) from Hugging Face and its videos, and "
        "put them below {root}",
    ),
    "mlvu": _Card(
        scene_readers.read_mlvu,
        "download the data set MLVU/MVLU from Hugging Face (1_plotQA.json to 7_topic_reasoning.json and the "
        "videos), and put it below {root}",
    ),
    "cg-bench": _Card(
        scene_readers.read_cg_bench,
        "download cgbench_mini.json (or cgbench.json) and the videos of CG-Bench/CG-Bench from Hugging Face, "
        "and put them below {root}",
    ),
    "next-gqa": _Card(
        scene_readers.read_next_gqa,
        "download gsub_test.json and the test.csv beside it from the repository doc-doc/NExT-GQA and the "
        "videos of NExT-QA, and put them below {root}",
    ),
    "rextime": _Card(
        scene_readers.read_rextime,
        "download rextime_val.json from the data set ReXTime/ReXTime on Hugging Face and the videos of "
        "ActivityNet and QVHighlights, and put them below {root}",
    ),
    "lv-haystack": _Card(
        scene_readers.read_lv_haystack,
        "download the data set LVHaystack/LongVideoHaystack from Hugging Face (test-*.parquet) and the "
        "videos of Ego4D, and put them below {root}",
    ),
    "charades-sta": _Card(
        scene_readers.read_charades_sta,
        "download charades_sta_test.txt and the videos of Charades (Charades_v1), and put them below {root}",
    ),
    "video-mme-v2": _Card(
        scene_readers.read_video_mme_v2,
        "download the data set MME-Benchmarks/Video-MME-v2 from Hugging Face (test.parquet and the unpacked "
        "videos), and put it below {root}",
    ),
    "own": _Card(
        readers.read_own,
        "put videos below {root}, or name a .jsonl file with an object such as "
        '{{"video": "a.mp4", "caption": "a dog eats"}} on each line',
    ),
}


def dataset_names() -> tuple[str, ...]:
    """The names `load_dataset` knows; `own` is a folder of videos or a JSON Lines file of one's own."""
    return tuple(_CARDS)


def load_dataset(name: str, root: str | Path, *, split: int | None = None) -> Dataset:
    """Read the annotations below `root`; the videos are looked for, but need not be there yet.

    `split` chooses among the three official splits of `hmdb51` and `ucf101`, the first where None. Call
    `Dataset.require_videos` before a run that is to be complete.

    Raises `OptionsError`, in one line, on an unknown name, a split that does not exist, a damaged file, two
    samples with one id, or annotations that are not there: then it says what to download and where to put it.
    """
    if name not in _CARDS:
        raise OptionsError(f"data set is {name!r}; choose one of {', '.join(_CARDS)}")
    card, place = _CARDS[name], Path(root)
    download = card.download.format(root=place)
    if split is not None and not 1 <= split <= card.splits:
        allowed = f"1 to {card.splits}" if card.splits else "none: it has no splits to choose from"
        raise OptionsError(f"split is {split!r}; {name} takes {allowed}")
    if not place.exists():
        raise OptionsError(f"{name}: {place} does not exist; {download}")
    read = partial(card.read, split=split or 1) if card.splits else card.read
    tree = Tree(place, name, download)
    try:
        samples = read(place, tree) if name == "own" else read(tree)
    except OptionsError:
        raise
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise OptionsError(
            f"{name}: the annotations in {place} are damaged ({error!r}); {download}"
        ) from error
    if not samples:
        raise OptionsError(f"{name}: the annotations in {place} are empty; {download}")
    _check_ids(name, place, samples)
    return Dataset(name, tuple(samples), download)


def _check_ids(name: str, place: Path, samples: Sequence[Sample]) -> None:
    """Raise `OptionsError` where two samples have one id, by which frames are scored."""
    first: dict[str, int] = {}
    for number, sample in enumerate(samples, 1):
        if (before := first.setdefault(sample.id, number)) != number:
            raise OptionsError(
                f"{name}: the samples {before} and {number} in {place} have the same id "
                f"{shortened(sample.id)}; give each an id of its own"
            )
