from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.provenance import encode
from benchmarks.scenes import invented
from media.audio import write_wav
from problems import NotFound, NoVideo, UnreadableMedia
from provenance.credentials import development
from training.progress import Tick
from workers.mark import Mark
from workers.stages import verify


@pytest.fixture(scope="module")
def mark(tmp_path_factory: pytest.TempPathFactory) -> Mark:
    return Mark("job_1", development(tmp_path_factory.mktemp("credentials")))


@pytest.fixture(scope="module")
def video(mark: Mark, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds, marked and signed."""
    path = tmp_path_factory.mktemp("video") / "video.mp4"
    encode(mark.watermark().marked(invented("grain", 150, (256, 256))), path)
    assert mark.sign(path, "A talk")
    return path


def test_both_marks_are_read(video: Path, mark: Mark) -> None:
    ticks: list[Tick] = []
    report = verify.run(video, progress=ticks.append)
    assert report["agree"] is True
    assert report["watermark"]["payload"] == f"{mark.number:012x}"
    assert report["watermark"]["frames"] == verify.FRAMES  # of 150
    assert report["c2pa"]["valid"]
    assert report["c2pa"]["development"]
    assert report["c2pa"]["title"] == "A talk"
    assert (ticks[-1].done, ticks[-1].total) == (verify.FRAMES, verify.FRAMES)


def test_a_manifest_of_another_video_is_noticed(tmp_path: Path, mark: Mark) -> None:
    other = Mark("job_2", mark.credentials)
    path = tmp_path / "video.mp4"
    encode(other.watermark().marked(invented("grain", 12, (256, 256))), path)
    mark.sign(path, "taken over")
    report = verify.run(path)
    assert report["agree"] is False
    assert report["watermark"]["payload"] == f"{other.number:012x}"


def test_a_video_without_marks(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    encode(invented("texture", 6, (256, 256)), path)
    report = verify.run(path)
    assert report == {
        "c2pa": None,
        "watermark": {"found": False, "payload": None, "confidence": 0.0, "frames": 6, "part": None},
        "agree": None,
    }


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        verify.run(tmp_path / "missing.mp4")
    (tmp_path / "junk.mp4").write_bytes(b"junk" * 500)
    with pytest.raises(UnreadableMedia):
        verify.run(tmp_path / "junk.mp4")
    write_wav(tmp_path / "sound.wav", np.zeros(16000, np.float32))
    with pytest.raises(NoVideo):
        verify.run(tmp_path / "sound.wav")


def test_a_name_says_nothing_about_what_is_inside(video: Path, tmp_path: Path) -> None:
    shutil.copy(video, tmp_path / "video.bin")
    report = verify.run(tmp_path / "video.bin", search=False)
    assert report["c2pa"] is not None
    assert report["c2pa"]["valid"]
