"""What is written of a selection: the JSON object, the files in the folder, and pictures of every shape."""

import json
import os
import stat
import sys

import numpy as np
import pytest
from PIL import Image

from keyframe_llm.data import Frames, Proposals, VideoInfo
from keyframe_llm.errors import OptionsError
from keyframe_llm.report.contact_sheet import contact_sheet
from keyframe_llm.report.files import save_selection, selection_dict
from keyframe_llm.report.score_plot import score_plot
from keyframe_llm.scoring.cover import share_scores
from keyframe_llm.scoring.keyscore import keyscore
from keyframe_llm.selection import Selection

SECONDS = np.array([0.5, 2.0, 12.3, 13.0, 20.25, 28.0])


def selection(chosen=(1, 2, 4), *, size=(240, 320), text=True, **changes):
    rng = np.random.default_rng(0)
    chosen = np.array(chosen, np.intp)
    images = np.zeros((len(chosen), *size, 3), np.uint8)
    images[:] = rng.integers(0, 256, (len(chosen), 1, 1, 3))
    sampled = np.sort(np.unique(np.concatenate([SECONDS, np.arange(0, 30, 1.0)])))
    indices = np.searchsorted(sampled, SECONDS)
    labels = np.abs(sampled[:, None] - SECONDS).argmin(axis=1)
    made = {
        "video": VideoInfo("videos/holiday.mp4", 30.0, 25.0, size[1], size[0], "h264"),
        "frames": Frames(images, SECONDS[chosen]),
        "proposals": Proposals(sampled, labels, indices),
        "scores": keyscore(rng.normal(size=(6, 8)), rng.normal(size=8))
        if text
        else share_scores(chosen.tolist(), SECONDS, rng.random((6, 9)), np.ones(6)),
        "chosen": chosen,
        "caption": "a dog eats" if text else None,
        "caption_source": "given" if text else "none",
        "timings": {"decode": 0.5, "total": np.float64(0.75)},
        "plan": "key frames only",
        "warnings": ("damaged at 12.0 s",),
    }
    return Selection(**(made | changes))


def test_the_json_object_has_just_the_promised_fields():
    result = selection_dict(selection())
    assert list(result) == [
        "video",
        "caption",
        "caption_source",
        "method",
        "score_name",
        "sampled_frames",
        "proposals",
        "keyframes",
        "frame_reduction",
        "timings",
        "plan",
        "warnings",
    ]
    assert result["video"] == {
        "path": "videos/holiday.mp4",
        "duration_seconds": 30.0,
        "average_fps": 25.0,
        "width": 320,
        "height": 240,
        "codec": "h264",
    }
    assert result["proposals"] == SECONDS.tolist()
    assert [k["seconds"] for k in result["keyframes"]] == [2.0, 12.3, 20.25]
    assert set(result["keyframes"][0]) == {"seconds", "score", "semantic", "temporal", "drop", "image"}
    assert result["frame_reduction"] == {"versus_uniform8": 0.625, "versus_all": 0.996}
    assert result["timings"] == {"decode": 0.5, "total": 0.75}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_scores_in_the_json_are_those_of_the_chosen_proposals():
    picked = selection()
    for keyframe, i in zip(selection_dict(picked)["keyframes"], (1, 2, 4), strict=True):
        assert keyframe["score"] == picked.scores.total[i]
        assert keyframe["drop"] == picked.scores.drop[i]


def test_a_question_is_written_only_where_there_is_one():
    assert selection_dict(selection(question="What eats?"))["question"] == "What eats?"
    assert "question" not in selection_dict(selection())


def test_what_is_unknown_is_null_never_nan():
    video = VideoInfo("stream.mpg", None, None, 64, 48, "mpeg4")
    result = selection_dict(selection(text=False, video=video))
    assert result["caption"] is None and result["caption_source"] == "none"
    assert all(k["semantic"] is None and k["drop"] is None for k in result["keyframes"])
    assert all(0 <= k["score"] <= 1 for k in result["keyframes"])
    assert result["video"]["duration_seconds"] is None
    assert result["frame_reduction"]["versus_all"] is None
    json.dumps(result, allow_nan=False)


def test_saving_writes_pictures_named_by_time_and_their_names_in_the_json(tmp_path):
    picked = selection()
    paths = save_selection(picked, tmp_path / "new" / "folder")
    names = ["01_2.00s.jpg", "02_12.30s.jpg", "03_20.25s.jpg"]
    assert [paths[f"keyframe_{i}"].name for i in (1, 2, 3)] == names
    result = json.loads(paths["json"].read_text(encoding="utf-8"))
    assert [k["image"] for k in result["keyframes"]] == names
    for image, name in zip(picked.frames.images, names, strict=True):
        saved = np.asarray(Image.open(paths["json"].parent / name))
        assert saved.shape == image.shape and np.abs(saved.astype(int) - image).mean() < 3
    assert {p.name for p in paths["json"].parent.iterdir()} == {p.name for p in paths.values()}
    for name in ("contact_sheet", "scores"):
        assert paths[name].read_bytes().startswith(b"\x89PNG")


def test_saving_again_replaces_the_selection_and_leaves_other_files_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    save_selection(selection(), tmp_path)
    save_selection(selection(caption="a cat sleeps"), tmp_path)
    assert json.loads((tmp_path / "selection.json").read_text())["caption"] == "a cat sleeps"
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["scores.png", "selection.json", "02_12.30s.jpg"])
def test_somebody_elses_file_is_never_overwritten(tmp_path, name):
    (tmp_path / name).write_text('{"mine": 1}')
    with pytest.raises(OptionsError, match=f"{name}, not from a selection; give another folder"):
        save_selection(selection(), tmp_path)
    assert (tmp_path / name).read_text() == '{"mine": 1}'
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionsError, match=r"cannot write to .*file") as caught:
        save_selection(selection(), tmp_path / "file")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OptionsError, match="give a folder you may write to"):
        save_selection(selection(), tmp_path)


@pytest.mark.parametrize("size", [(240, 320), (640, 360), (16, 16), (2160, 3840), (40, 900), (900, 40)])
@pytest.mark.parametrize("chosen", [(2,), (1, 2, 4), (0, 1, 2, 3, 4, 5)])
def test_pictures_of_every_shape_fit_on_the_sheet_uncut(size, chosen):
    picked = selection(chosen, size=size)
    sheet = contact_sheet(picked)
    assert sheet.mode == "RGB" and 640 <= sheet.width <= 1600
    pixels = np.asarray(sheet).reshape(-1, 3).astype(int)
    for image in picked.frames.images:
        seen = (np.abs(pixels - image[0, 0]).max(axis=1) <= 1).sum()
        scale = min(460 / size[1], 340 / size[0])
        assert seen >= 0.95 * (size[0] * scale) * (size[1] * scale) - 200


@pytest.mark.parametrize(
    "text",
    ["word " * 200, "x" * 500, "", "  \n ", "a $5 price_{up} \\frac", "Straße, été, Привет, 犬が食べる"],
)
def test_any_caption_can_be_a_title(text):
    picked = selection(caption=text)
    assert contact_sheet(picked).height < 620
    assert score_plot(picked).size == score_plot(selection()).size


def test_the_plot_shows_the_picks_and_grows_no_global_state():
    before = set(sys.modules)
    picked = selection(size=(90, 160))
    plot = np.asarray(score_plot(picked)).astype(int)
    for image in picked.frames.images:
        assert (np.abs(plot - image[0, 0]).max(axis=2) <= 2).sum() > 5000
    assert "matplotlib.pyplot" not in set(sys.modules) - before


@pytest.mark.parametrize("chosen", [(0,), (2, 3), (0, 1, 2, 3, 4, 5)])
@pytest.mark.parametrize("text", [True, False])
def test_the_plot_is_drawn_with_and_without_text(chosen, text):
    assert score_plot(selection(chosen, text=text)).width > 1000


def test_a_video_with_a_single_proposal_can_be_drawn():
    one = selection(
        (0,),
        proposals=Proposals(np.array([0.0]), np.zeros(1, np.intp), np.zeros(1, np.intp)),
        scores=share_scores([0], [0.0], np.ones((1, 4)), [1.0]),
        video=VideoInfo("still.gif", None, None, 320, 240, "gif"),
        frames=Frames(np.zeros((1, 240, 320, 3), np.uint8), np.array([0.0])),
    )
    assert score_plot(one).width > 1000 and contact_sheet(one).width >= 640
