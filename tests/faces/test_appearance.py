from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faces.appearance import Appearance, motion_features
from faces.texture import Texture
from faces.track import Motion
from problems import InvalidPackage

SIDE, EXPRESSIONS = 8, 3


@pytest.fixture
def appearance() -> Appearance:
    """Two basis pictures on three texels: the first follows the first expression, the second the gaze's x."""
    weights = np.zeros((EXPRESSIONS + 5, 2), np.float32)
    weights[0, 0], weights[EXPRESSIONS + 3, 1] = 2.0, 10.0
    return Appearance(
        size=np.array([SIDE], np.int32),
        texels=np.array([0, 9, 63], np.int32),
        mean=np.full((3, 3), 4.0, np.float16),
        basis=np.stack([np.full((3, 3), 10), np.full((3, 3), -5)]).astype(np.int8),
        centre=np.zeros(EXPRESSIONS + 5, np.float32),
        weights=weights,
        limit=np.array([[-1.0, -1.0], [1.0, 1.0]], np.float32),
    )


def _motion(first: float, gaze: float) -> Motion:
    zero = np.zeros((1, 3), np.float32)
    return Motion(zero, zero, np.array([[first, 0, 0]], np.float32), np.array([[gaze, 0]], np.float32))


def test_features_are_expression_rotation_gaze() -> None:
    motion = Motion(
        np.array([[1, 2, 3]], np.float32), np.zeros((1, 3), np.float32),
        np.array([[0.1, 0.2, 0.3]], np.float32), np.array([[7, 8]], np.float32),
    )  # fmt: skip
    np.testing.assert_allclose(motion_features(motion), [[0.1, 0.2, 0.3, 1, 2, 3, 7, 8]])


def test_the_change_follows_the_motion_on_its_texels_only(appearance: Appearance) -> None:
    change = appearance.change(_motion(0.25, 0.04))
    assert change.shape == (SIDE, SIDE, 3)
    np.testing.assert_allclose(change.reshape(-1, 3)[[0, 9, 63]], 4 + 0.5 * 10 - 0.4 * 5, rtol=1e-6)
    assert np.abs(np.delete(change.reshape(-1, 3), [0, 9, 63], axis=0)).max() == 0


def test_nothing_is_made_up_beyond_what_the_clip_showed(appearance: Appearance) -> None:
    np.testing.assert_allclose(appearance.coefficients(_motion(5.0, -5.0)), [[1.0, -1.0]])
    np.testing.assert_array_equal(
        appearance.change(_motion(5.0, -5.0)), appearance.change(_motion(0.5, -0.1))
    )


def test_it_is_stored_with_the_texture(appearance: Appearance, tmp_path: Path) -> None:
    plain = Texture(np.full((16, 16, 3), 9, np.uint8), np.full((16, 16), 255, np.uint8))
    plain.save(tmp_path / "plain.safetensors")
    assert Texture.load(tmp_path / "plain.safetensors").appearance is None
    replace(plain, appearance=appearance).save(tmp_path / "changing.safetensors")
    loaded = Texture.load(tmp_path / "changing.safetensors").appearance
    assert loaded is not None
    for name, value in appearance.tensors().items():
        np.testing.assert_array_equal(loaded.tensors()[name], value)
    motion = _motion(0.3, 0.02)
    np.testing.assert_array_equal(loaded.change(motion), appearance.change(motion))


def test_an_incomplete_one_is_refused(appearance: Appearance, tmp_path: Path) -> None:
    from faces.texture import FORMAT
    from faces.track import save_tensors

    image, seen = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    tensors = {"image": image, "seen": seen, "appearance.size": appearance.size}
    save_tensors(tmp_path / "half.safetensors", tensors, {"format": FORMAT})
    with pytest.raises(InvalidPackage, match=r"half\.safetensors"):
        Texture.load(tmp_path / "half.safetensors")
