from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from faces.camera import Camera
from faces.rotation import rotvec_from_euler
from faces.texture import Texture
from faces.track import FaceTrack, Motion, load_tensors, save_tensors
from problems import InvalidPackage


def _motion(frames: int, seed: int = 0) -> Motion:
    rng = np.random.default_rng(seed)
    return Motion(
        rng.normal(0, 0.2, (frames, 3)), rng.normal(0, 10, (frames, 3)), rng.uniform(0, 1, (frames, 4)),
        rng.normal(0, 0.1, (frames, 2)),
    )  # fmt: skip


def _track(frames: int = 6) -> FaceTrack:
    rng = np.random.default_rng(9)
    valid = np.arange(frames) != 2
    landmarks = rng.uniform(0, 300, (frames, 478, 2)).astype(np.float32)
    landmarks[~valid] = np.nan
    return FaceTrack(
        motion=_motion(frames),
        model="tiny",
        expression_names=("jawOpen", "mh:a", "eyeBlinkLeft", "é"),
        identity=rng.normal(size=5).astype(np.float32),
        offsets=rng.normal(size=(7, 3)).astype(np.float32),
        camera=Camera(384.5, 160.0, 144.0, 320, 288),
        light=rng.normal(size=(frames, 27)).astype(np.float32),
        valid=valid,
        landmarks=landmarks,
        fps=25.0,
    )


def _assert_equal(one: FaceTrack, other: FaceTrack) -> None:
    for field in fields(FaceTrack):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "motion":
            for part in fields(Motion):
                np.testing.assert_array_equal(getattr(a, part.name), getattr(b, part.name))
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        else:
            assert a == b


def test_a_track_comes_back_from_its_file_exactly(tmp_path: Path) -> None:
    track = _track()
    track.save(tmp_path / "deep" / "track.safetensors")
    _assert_equal(FaceTrack.load(tmp_path / "deep" / "track.safetensors"), track)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["track.safetensors"]


@pytest.mark.parametrize("left", [0, 5, 200, -1])
def test_a_damaged_file_is_refused(tmp_path: Path, left: int) -> None:
    path = tmp_path / "track.safetensors"
    _track().save(path)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(InvalidPackage, match=r"track\.safetensors") as caught:
        FaceTrack.load(path)
    assert caught.value.remedy


def test_files_that_are_no_tracks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPackage, match="missing"):
        FaceTrack.load(tmp_path / "none.safetensors")
    Texture(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)).save(tmp_path / "texture.safetensors")
    with pytest.raises(InvalidPackage, match="texture/1"):
        FaceTrack.load(tmp_path / "texture.safetensors")
    save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InvalidPackage, match="format None"):
        FaceTrack.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("lost", ["gaze", "offsets", "valid"])
def test_a_track_without_a_part_is_refused(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "track.safetensors"
    _track().save(path)
    tensors, header = load_tensors(path, "likeness.track/1")
    del tensors[lost]
    save_tensors(path, tensors, header)
    with pytest.raises(InvalidPackage, match="complete"):
        FaceTrack.load(path)


@pytest.mark.parametrize(("name", "value"), [("camera", "[]"), ("fps", "soon"), ("expression_names", "{")])
def test_a_track_with_a_wrong_header_is_refused(tmp_path: Path, name: str, value: str) -> None:
    path = tmp_path / "track.safetensors"
    _track().save(path)
    tensors, header = load_tensors(path, "likeness.track/1")
    save_tensors(path, tensors, {**header, name: value})
    with pytest.raises(InvalidPackage, match="complete"):
        FaceTrack.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "track.safetensors"
    _track().save(path)
    with pytest.raises(Exception):  # noqa: B017, PT011 (whatever safetensors raises for what it can't store)
        save_tensors(path, {"a": np.array(["text"])}, {"format": "x"})
    _assert_equal(FaceTrack.load(path), _track())
    assert [p.name for p in tmp_path.iterdir()] == ["track.safetensors"]


def test_motion_is_checked_and_kept_as_float32() -> None:
    motion = _motion(3)
    assert all(getattr(motion, field.name).dtype == np.float32 for field in fields(Motion))
    for field, wrong in (
        ("rotation", (3, 4)),
        ("translation", (2, 3)),
        ("expression", (3,)),
        ("gaze", (3, 3)),
    ):
        with pytest.raises(ValueError, match=f"Motion.{field}"):
            replace(motion, **{field: np.zeros(wrong)})


def test_motions_are_cut_and_joined() -> None:
    motion = _motion(7)
    parts = [motion[:3], motion[3:4], motion[4:]]
    assert [len(p) for p in parts] == [3, 1, 3]
    joined = Motion.concatenate(parts)
    np.testing.assert_array_equal(joined.expression, motion.expression)
    np.testing.assert_array_equal(joined.gaze, motion.gaze)
    chosen = motion[np.array([5, 0])]
    np.testing.assert_array_equal(chosen.rotation, motion.rotation[[5, 0]])
    np.testing.assert_array_equal(chosen.translation, motion.translation[[5, 0]])


def test_motion_tells_its_angles_in_degrees() -> None:
    euler = np.array([[10.0, -20.0, 5.0], [0, 45, 0]])
    motion = replace(_motion(2), rotation=rotvec_from_euler(euler))
    np.testing.assert_allclose(motion.euler(), euler, atol=1e-3)


def test_frames_of_a_track() -> None:
    track = _track()
    part = track.frames(slice(1, 4))
    assert len(part) == 3
    np.testing.assert_array_equal(part.valid, [True, False, True])
    np.testing.assert_array_equal(part.landmarks, track.landmarks[1:4])
    np.testing.assert_array_equal(part.light, track.light[1:4])
    np.testing.assert_array_equal(part.identity, track.identity)
    dark = replace(track, light=np.zeros((0, 27), np.float32)).frames(slice(1, 4))
    assert dark.light.shape == (0, 27)


def test_the_same_face_in_another_motion() -> None:
    track, motion = _track(), _motion(9, seed=4)
    other = track.with_motion(motion)
    assert len(other) == 9
    assert other.motion is motion
    assert other.valid.all()
    assert other.light.shape == (0, 27)
    assert other.landmarks.shape == (9, 478, 2)
    assert np.isnan(other.landmarks).all()
    np.testing.assert_array_equal(other.offsets, track.offsets)
    assert other.camera == track.camera
    assert len(track) == 6  # the first is as it was
