"""Verdicts on generated clips: a good one, and those that can not be learnt from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fitting.inspect import inspect_clip
from problems import (
    FaceTooSmall,
    MediaTooLarge,
    NoFace,
    NoSound,
    NoVideo,
    Problem,
    SeveralFaces,
    StillImage,
    TooShort,
    UnreadableMedia,
)
from tests.fitting.inspected_clip import FRAMES, QUICK, Picture, clip_of, codes, look, speech
from tests.fitting.moving_face import except_in, moving_face, pasted, scenery
from tests.media.generated import tone, write_media
from training.progress import Tick


def test_a_good_clip(tmp_path: Path) -> None:
    ticks: list[Tick] = []
    inspection = inspect_clip(clip_of(tmp_path), config=QUICK, progress=ticks.append)
    assert inspection.trainable
    assert codes(inspection, "warning") == {"short"}
    inspection.raise_if_untrainable()
    assert inspection.frames == FRAMES
    assert inspection.sampled[0] == 0
    assert inspection.sampled[-1] == FRAMES - 1
    assert len(inspection.sampled) == 30
    face, sound = inspection.face, inspection.sound
    assert face is not None
    assert sound is not None
    assert face.share == 1.0
    assert face.usable_frames == FRAMES
    assert set(face.counts) == {1}
    assert 60 < face.iod_px < 90
    assert 100 < face.box_px[0] < 130
    assert abs(face.yaw_deg[0]) < 10
    assert face.mouth_range > 0.02
    assert -20 < sound.level_dbfs < -8
    assert sound.snr_db > 30
    assert sound.clipped == 0
    assert inspection.cuts == ()
    data = json.loads(json.dumps(inspection.as_dict(), allow_nan=False))
    assert data["trainable"] is True
    assert data["media"]["video"]["codec"] == "h264"
    assert ticks[-1].stage == "inspect"
    assert ticks[-1].done == ticks[-1].total == 30


def test_a_clip_filmed_on_its_side_is_as_good(tmp_path: Path) -> None:
    lying = clip_of(
        tmp_path, lambda index: np.ascontiguousarray(np.rot90(moving_face(index), 3)), rotation=90
    )
    inspection = look(lying)
    assert inspection.trainable
    assert inspection.media.video is not None
    assert inspection.media.video.rotation_deg == 270


def _two(index: int) -> NDArray[np.uint8]:
    return np.concatenate([moving_face(index), moving_face(index + 40)], 1)


def _far(index: int) -> NDArray[np.uint8]:
    return pasted(moving_face(index, 160), 960, 720, 400 + index % 5, 300)


A_THIRD = except_in(range(30, 90), moving_face, scenery)
CASES = [
    ("no face", scenery, {}, "no_face", NoFace),
    ("face in a third", A_THIRD, {}, "no_face", NoFace),
    ("two faces", _two, {}, "several_faces", SeveralFaces),
    ("far away", _far, {}, "face_too_small", FaceTooSmall),
    ("too short", moving_face, {"frames": 50}, "too_short", TooShort),
    ("still image", lambda _: moving_face(0), {}, "still_image", StillImage),
    ("no sound", moving_face, {"sound": None}, "no_sound", NoSound),
    ("silence", moving_face, {"sound": tone(3.6, level=0.0)}, "silent_sound", NoSound),
]


@pytest.mark.parametrize(
    ("picture", "settings", "code", "kind"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_can_not_be_trained_on(
    tmp_path: Path, picture: Picture, settings: dict[str, Any], code: str, kind: type[Problem]
) -> None:
    inspection = look(clip_of(tmp_path, picture, **settings))
    assert not inspection.trainable
    assert codes(inspection, "error") == {code}
    finding = inspection.errors[0]
    assert finding.message
    assert finding.remedy
    if picture is A_THIRD:
        assert finding.frames == tuple(k for k in inspection.sampled if k >= 30)
    with pytest.raises(kind) as caught:
        inspection.raise_if_untrainable()
    assert caught.value.remedy == finding.remedy
    assert caught.value.details["frames"] == list(finding.frames)
    json.dumps(caught.value.as_dict(), allow_nan=False)


def test_several_faults_at_once_are_all_told(tmp_path: Path) -> None:
    inspection = look(clip_of(tmp_path, scenery, sound=None))
    assert codes(inspection, "error") == {"no_face", "no_sound"}
    with pytest.raises(NoFace) as caught:
        inspection.raise_if_untrainable()
    assert [finding["code"] for finding in caught.value.details["findings"]] == ["no_face", "no_sound"]


def _song(path: Path) -> None:
    write_media(path, sound=speech(1.0))


def _huge(path: Path) -> None:
    write_media(path, lambda _: np.zeros((2880, 5120, 3), np.uint8), 2, options={"preset": "ultrafast"})


def _cut_off(path: Path) -> None:
    write_media(path, moving_face, 90, sound=speech(3.6), movflags="+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("make", "code", "kind"),
    [
        (_song, "no_video", NoVideo),
        (_huge, "media_too_large", MediaTooLarge),
        (_cut_off, "unreadable_media", UnreadableMedia),
    ],
)
def test_files_that_are_not_decoded_still_get_a_report(
    tmp_path: Path, make: Callable[[Path], None], code: str, kind: type[Problem]
) -> None:
    make(tmp_path / "clip.mp4")
    inspection = look(tmp_path / "clip.mp4")
    assert codes(inspection, "error") == {code}
    assert inspection.media.duration_s > 0
    with pytest.raises(kind):
        inspection.raise_if_untrainable()


@pytest.mark.parametrize("content", [b"", b"This is no video", bytes(4000)])
def test_what_can_not_be_read_at_all_raises(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(UnreadableMedia):
        look(tmp_path / "clip.mp4")
