"""The first stage: from a clip to the work folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from media.audio import read_wav
from media.probe import probe
from problems import Cancelled, NoFace, NoSound, UnreadableMedia
from tests.fitting.inspected_clip import clip_of
from tests.fitting.moving_face import moving_face, scenery
from training.progress import Tick
from workers.stages import validate


def test_a_good_clip_becomes_a_work_folder(tmp_path: Path) -> None:
    clip = clip_of(tmp_path, fps=30, frames=105)
    ticks: list[Tick] = []
    inspection = validate.run(clip, tmp_path / "work", progress=ticks.append)
    work = tmp_path / "work"
    assert sorted(os.listdir(work)) == ["audio.wav", "clip.mp4", "inspection.json"]
    video = probe(work / "clip.mp4").video
    assert video is not None
    assert (video.frames_estimate, video.fps) == (inspection.frames, 25.0)
    assert len(read_wav(work / "audio.wav")) == inspection.frames * 640
    assert json.loads((work / "inspection.json").read_text()) == json.loads(json.dumps(inspection.as_dict()))
    assert {tick.stage for tick in ticks} == {"inspect", "validate"}


@pytest.mark.parametrize("fault", ["no face", "no sound", "no media"])
def test_a_bad_clip_leaves_nothing(tmp_path: Path, fault: str) -> None:
    kind: type[Exception]
    if fault == "no face":
        clip, kind = clip_of(tmp_path, scenery), NoFace
    elif fault == "no sound":
        clip, kind = clip_of(tmp_path, moving_face, sound=None), NoSound
    else:
        clip, kind = tmp_path / "clip.mp4", UnreadableMedia
        clip.write_text("no media")
    with pytest.raises(kind):
        validate.run(clip, tmp_path / "work")
    assert not (tmp_path / "work").exists() or not os.listdir(tmp_path / "work")


def test_a_cancelled_stage_leaves_no_half_files(tmp_path: Path) -> None:
    def cancel(tick: Tick) -> None:
        if tick.stage == "validate" and tick.done > 10:
            raise Cancelled("stopped", remedy="start again")

    with pytest.raises(Cancelled):
        validate.run(clip_of(tmp_path), tmp_path / "work", progress=cancel)
    assert os.listdir(tmp_path / "work") == []
