"""Clips that can be learnt from, with one fault each that is worth a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fitting.inspected_clip import Picture, clip_of, codes, look, speech
from tests.fitting.moving_face import SIDE, except_in, moving_face, pasted, scenery


def _two(index: int) -> NDArray[np.uint8]:
    return np.concatenate([moving_face(index), moving_face(index + 40)], 1)


def _wide(index: int) -> NDArray[np.uint8]:
    return np.concatenate([moving_face(index), scenery(index)], 1)


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
]


@pytest.mark.parametrize(("code", "picture", "sound"), WARNINGS, ids=[w[0] for w in WARNINGS])
def test_what_is_worth_a_warning(tmp_path: Path, code: str, picture: Picture, sound: Any) -> None:
    inspection = look(clip_of(tmp_path, picture, sound="speech" if sound is None else sound))
    assert inspection.trainable, inspection.errors
    assert codes(inspection, "warning") - {"short"} == {code}


def test_a_jump_to_other_content(tmp_path: Path) -> None:
    mirrored: Picture = lambda index: np.ascontiguousarray(moving_face(index)[:, ::-1])  # noqa: E731
    inspection = look(clip_of(tmp_path, except_in(range(50, 90), moving_face, mirrored)))
    assert inspection.cuts == (50,)
    assert inspection.trainable
    assert "cut" in codes(inspection, "warning")
