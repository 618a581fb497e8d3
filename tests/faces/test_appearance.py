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
    """Two regions of two texels and one, a basis picture each. The first coefficient is 2 x the first expression, the
    second 10 x the gaze's x; a frame at rest adds .25 to the first, by its likeness."""
    features = EXPRESSIONS + 8
    project = np.zeros((features, 2), np.float32)
    project[0, 0], project[EXPRESSIONS + 3, 1] = 1.0, 1.0
    return Appearance(
        size=np.array([SIDE], np.int32),
        texels=np.array([0, 9, 63], np.int32),
        mean=np.full((3, 3), 4.0, np.float16),
        regions=np.array([[2, 1], [1, 1]], np.int32),
        basis=np.repeat([10, -5], [6, 3]).astype(np.int8),
        centre=np.zeros(features, np.float32),
        project=project,
        anchors=np.array([[0.0, 0.0], [100.0, 100.0]], np.float32),
        reach=np.array([0.01], np.float32),
        kernel=np.array([[0.25, 0.0], [7.0, 7.0]], np.float32),
        linear=np.array([[2.0, 0.0], [0.0, 10.0], [0.0, 0.0]], np.float32),
        limit=np.array([[-1.0, -1.0], [1.0, 1.0]], np.float32),
        unseen=np.zeros((2, 2), np.float32),
    )


def _motion(first: float, gaze: float) -> Motion:
    zero = np.zeros((1, 3), np.float32)
    return Motion(zero, zero, np.array([[first, 0, 0]], np.float32), np.array([[gaze, 0]], np.float32))


def test_features_are_expression_rotation_gaze_place() -> None:
    motion = Motion(
        np.array([[1, 2, 3]], np.float32), np.array([[4, 5, 6]], np.float32),
        np.array([[0.1, 0.2, 0.3]], np.float32), np.array([[7, 8]], np.float32),
    )  # fmt: skip
    np.testing.assert_allclose(motion_features(motion), [[0.1, 0.2, 0.3, 1, 2, 3, 7, 8, 4, 5, 6]])


def test_each_region_changes_by_its_own_pictures(appearance: Appearance) -> None:
    coefficients = appearance.coefficients(_motion(0.25, 0.04))
    np.testing.assert_allclose(
        coefficients, [[0.5 + 0.25 * np.exp(-(0.25**2 + 0.04**2) / 0.01), 0.4]], rtol=1e-5
    )
    change = appearance.change(np.array([0.5, 0.4], np.float32))
    assert change.shape == (SIDE, SIDE, 3)
    flat = change.reshape(-1, 3)
    np.testing.assert_allclose(flat[[0, 9]], 4 + 0.5 * 10)
    np.testing.assert_allclose(flat[63], 4 - 0.4 * 5)
    assert np.abs(np.delete(flat, [0, 9, 63], axis=0)).max() == 0


def test_a_known_frame_counts_by_likeness(appearance: Appearance) -> None:
    at_rest, near, far = (appearance.coefficients(_motion(x, 0.0))[0, 0] - 2 * x for x in (0.0, 0.1, 0.4))
    assert at_rest == pytest.approx(0.25)
    assert near == pytest.approx(0.25 / np.e, rel=1e-4)
    assert far == pytest.approx(0.0, abs=1e-4)


def test_nothing_is_made_up_beyond_what_the_clip_showed(appearance: Appearance) -> None:
    np.testing.assert_allclose(appearance.coefficients(_motion(5.0, -5.0)), [[1.0, -1.0]])


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
    np.testing.assert_array_equal(loaded.coefficients(motion), appearance.coefficients(motion))


def test_an_incomplete_one_is_refused(appearance: Appearance, tmp_path: Path) -> None:
    from faces.texture import FORMAT
    from faces.track import save_tensors

    image, seen = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    tensors = {"image": image, "seen": seen, "appearance.size": appearance.size}
    save_tensors(tmp_path / "half.safetensors", tensors, {"format": FORMAT})
    with pytest.raises(InvalidPackage, match=r"half\.safetensors"):
        Texture.load(tmp_path / "half.safetensors")
