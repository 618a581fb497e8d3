from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faces.texture import Texture
from faces.track import load_tensors, save_tensors
from problems import InvalidPackage


def _texture() -> Texture:
    rng = np.random.default_rng(0)
    return Texture(
        rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), rng.integers(0, 256, (16, 16), dtype=np.uint8)
    )


def test_a_texture_comes_back_from_its_file(tmp_path: Path) -> None:
    path, texture = tmp_path / "texture.safetensors", _texture()
    texture.save(path)
    loaded = Texture.load(path)
    np.testing.assert_array_equal(loaded.image, texture.image)
    np.testing.assert_array_equal(loaded.seen, texture.seen)


def test_damaged_textures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "texture.safetensors"
    _texture().save(path)
    tensors, header = load_tensors(path, "likeness.texture/1")
    save_tensors(tmp_path / "half.safetensors", {"image": tensors["image"]}, header)
    path.write_bytes(path.read_bytes()[:-10])
    for damaged in (path, tmp_path / "half.safetensors", tmp_path / "none.safetensors"):
        with pytest.raises(InvalidPackage, match=damaged.name):
            Texture.load(damaged)


def test_texels_are_sampled_at_their_centres_and_between_them() -> None:
    texture = _texture()
    centres = (np.stack(np.meshgrid(np.arange(16), np.arange(16)), -1) + 0.5) / 16
    np.testing.assert_array_equal(texture.sample(centres.astype(np.float32)), texture.image)
    between = texture.sample(np.array([[[4.0 / 16, 3.5 / 16]]], np.float32))[0, 0].astype(float)
    np.testing.assert_allclose(between, texture.image[3, 3:5].astype(float).mean(0), atol=1)
    outside = texture.sample(np.array([[[-0.2, 0.5 / 16], [1.3, 0.5 / 16]]], np.float32))[0]
    np.testing.assert_array_equal(outside, texture.image[0, [0, -1]])
