"""Verdicts on clips: generated ones with one fault each, and the real ones where they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fitting.inspect import InspectConfig, Inspection, find_cuts, find_frozen, inspect_clip
from media.limits import ClipLimits
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
from tests.fitting.moving_face import SIDE, except_in, moving_face, pasted, scenery
from tests.media.generated import tone, write_media
from training.progress import Tick

Picture = Callable[[int], NDArray[np.uint8]]
QUICK = InspectConfig(samples=30)
FRAMES = 90


def speech(seconds: float, level: float = 0.3, noise: float = 0.001) -> NDArray[np.float32]:
    """Syllables: a tone that comes and goes, over a little noise."""
    samples = tone(seconds, level=level)
    gate = np.sin(2 * np.pi * 3 * np.arange(len(samples)) / 48000) > 0
    hiss = np.random.default_rng(0).normal(0, noise, samples.shape)
    return (samples * gate[:, None] + hiss).astype(np.float32)


def clip_of(
    folder: Path,
    picture: Picture = moving_face,
    frames: int = FRAMES,
    *,
    sound: Any = "speech",
    **settings: Any,
) -> Path:
    samples = speech(frames / 25) if isinstance(sound, str) else sound
    options = {"preset": "ultrafast", "crf": "16"}
    return write_media(folder / "clip.mp4", picture, frames, sound=samples, options=options, **settings)


def look(clip: Path) -> Inspection:
    return inspect_clip(clip, config=QUICK)


def codes(inspection: Inspection, severity: str) -> set[str]:
    return {finding.code for finding in inspection.findings if finding.severity == severity}


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


def _wide(index: int) -> NDArray[np.uint8]:
    return np.concatenate([moving_face(index), scenery(index)], 1)


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


def test_a_face_lost_in_between_is_skipped_not_fatal(tmp_path: Path) -> None:
    inspection = look(clip_of(tmp_path, except_in(range(60, 75), moving_face, scenery), 100))
    assert inspection.trainable
    finding = next(f for f in inspection.findings if f.code == "face_missing")
    assert finding.frames == tuple(k for k in inspection.sampled if 60 <= k < 75)
    assert inspection.face is not None
    assert inspection.face.usable_frames == pytest.approx(85, abs=4)
    assert set(inspection.cuts) == {60, 75}


def test_a_passer_by_is_a_warning(tmp_path: Path) -> None:
    inspection = look(clip_of(tmp_path, except_in(range(40, 45), _wide, _two)))
    assert inspection.trainable
    finding = next(f for f in inspection.findings if f.code == "second_face")
    assert finding.frames
    assert all(40 <= frame < 45 for frame in finding.frames)


def test_a_portrait_on_the_wall_is_no_second_person(tmp_path: Path) -> None:
    def with_portrait(index: int) -> NDArray[np.uint8]:
        image = pasted(moving_face(index), 480, SIDE, 0, 0)
        image[10:90, 380:460] = moving_face(0, 80)
        return image

    inspection = look(clip_of(tmp_path, with_portrait))
    assert inspection.trainable
    assert not codes(inspection, "warning") & {"second_face", "several_faces"}


WARNINGS = [
    ("blurred", lambda i: cv2.GaussianBlur(moving_face(i), (0, 0), 4), None),
    ("dark", lambda i: (moving_face(i) * 0.15).astype(np.uint8), None),
    ("overexposed", lambda i: np.minimum(moving_face(i) * 0.45 + 160, 255).astype(np.uint8), None),
    ("frozen", except_in(range(30, 60), moving_face, lambda _: moving_face(30)), None),
    ("quiet_sound", moving_face, speech(3.6, level=0.005, noise=0.00001)),
    ("clipped_sound", moving_face, np.clip(speech(3.6, level=3.0), -1, 1)),
    ("noisy_sound", moving_face, speech(3.6, level=0.1, noise=0.1)),
]


@pytest.mark.parametrize(("code", "picture", "sound"), WARNINGS, ids=[w[0] for w in WARNINGS])
def test_what_is_worth_a_warning(tmp_path: Path, code: str, picture: Picture, sound: Any) -> None:
    inspection = look(clip_of(tmp_path, picture, sound="speech" if sound is None else sound))
    assert inspection.trainable, inspection.errors
    # A freeze ends with a jump; the rest are alone.
    assert codes(inspection, "warning") - {"short"} == ({"frozen", "cut"} if code == "frozen" else {code})


def test_a_jump_to_other_content(tmp_path: Path) -> None:
    mirrored: Picture = lambda index: np.ascontiguousarray(moving_face(index)[:, ::-1])  # noqa: E731
    inspection = look(clip_of(tmp_path, except_in(range(50, 90), moving_face, mirrored)))
    assert inspection.cuts == (50,)
    assert inspection.trainable
    assert "cut" in codes(inspection, "warning")


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


def test_cuts_and_flashes() -> None:
    generator = np.random.default_rng(0)
    one, two = generator.integers(0, 255, (2, 54, 96)).astype(np.float64)
    shaky = np.stack([one] * 40 + [two] * 40) + generator.normal(0, 2, (80, 54, 96))
    assert find_cuts(np.clip(shaky, 0, 255).astype(np.uint8), QUICK) == (40,)
    flash = shaky[:40].copy()
    flash[20] += 80
    assert find_cuts(np.clip(flash, 0, 255).astype(np.uint8), QUICK) == ()


def test_frozen_runs() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (60, 8, 8)).astype(np.uint8)
    pictures[21:40] = pictures[20]
    pictures[51:55] = pictures[50]
    assert find_frozen(pictures, 13) == tuple(range(21, 40))


@pytest.mark.parametrize("name", ["english_female_24s", "english_male_10s", "german_male_20s"])
def test_real_clips_are_trainable(shared_clips: Path, name: str) -> None:
    inspection = inspect_clip(
        shared_clips / f"{name}.mp4", config=InspectConfig(samples=30), limits=ClipLimits(max_seconds=9.9)
    )
    assert inspection.trainable
    assert not codes(inspection, "warning") - {"trimmed"}
    face = inspection.face
    assert face is not None
    assert face.share == 1.0
    assert set(face.counts) == {1}
    assert 120 < face.iod_px < 220
    assert face.mouth_range > 0.05
    assert inspection.cuts == ()
