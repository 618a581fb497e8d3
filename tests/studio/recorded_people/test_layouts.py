"""Each dataset's clips are found where its owners put them, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from problems import InvalidParameter, NotFound
from studio.recorded_people.layouts import LAYOUTS, list_clips

FILES = {
    "lrw": ("ABOUT/train/ABOUT_00001.mp4", "ABOUT/val/ABOUT_00002.mp4", "WORLD/test/WORLD_00050.mp4"),
    "hdtf": ("RD_Radio1_000.mp4", "RD_Radio1_001.mp4", "WDA/WDA_BarackObama_000.mp4", "WRA/WRA_X_Y1_000.mp4"),
    "mead": (
        "M003/video/front/angry/level_1/001.mp4",
        "M003/video/left_30/angry/level_1/001.mp4",
        "M003/audio/angry/level_1/001.m4a",
        "W009/video/front/neutral/level_1/002.mp4",
    ),
    "voxceleb": (
        "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4",
        "dev/aac/id00012/21Uxsk56VDQ/00001.m4a",
        "dev/mp4/id00015/0fijmz4vTVU/00002.mp4",
    ),
    "clips": ("ada/one.mov", "ada/two.mp4", "solo.webm"),
}
SPEAKERS = {
    "lrw": ["lrw/ABOUT_00001", "lrw/ABOUT_00002", "lrw/WORLD_00050"],
    "hdtf": ["hdtf/RD_Radio1", "hdtf/RD_Radio1", "hdtf/WDA_BarackObama", "hdtf/WRA_X_Y1"],
    "mead": ["mead/M003", "mead/W009"],
    "voxceleb": ["voxceleb/id00012", "voxceleb/id00015"],
    "clips": ["ada", "ada", "solo"],
}


def lay_out(root: Path, layout: str) -> Path:
    for name in FILES[layout]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "readme.txt").write_text("no clip")
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_recognised(layout: str, tmp_path: Path) -> None:
    lay_out(tmp_path, layout)
    name, clips = list_clips(tmp_path)
    assert name == layout
    assert [clip.speaker for clip in clips] == SPEAKERS[layout]
    assert list_clips(tmp_path, layout)[1] == clips


def test_sound_beside_the_picture_is_taken(tmp_path: Path) -> None:
    for layout in ("mead", "voxceleb"):
        root = lay_out(tmp_path / layout, layout)
        first, second = list_clips(root)[1]
        assert first.sound is not None
        assert first.sound.is_file()
        assert second.sound is None


def test_a_speakers_own_folder_may_be_the_root(tmp_path: Path) -> None:
    lay_out(tmp_path, "mead")
    name, clips = list_clips(tmp_path / "M003")
    assert (name, clips[0].speaker, clips[0].sound is not None) == ("mead", "mead/M003", True)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder"):
        list_clips(tmp_path / "nowhere")
    with pytest.raises(InvalidParameter, match="holds no clip"):
        list_clips(tmp_path)
    lay_out(tmp_path, "clips")
    with pytest.raises(InvalidParameter, match="layout lrw") as refused:
        list_clips(tmp_path, "lrw")
    assert "--layout clips" in refused.value.remedy
    with pytest.raises(InvalidParameter, match="no layout 'vox'"):
        list_clips(tmp_path, "vox")
