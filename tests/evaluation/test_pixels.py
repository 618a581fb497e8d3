from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.pixels import PSNR_CAP_DB, luma, psnr, sharpness, ssim
from evaluation.regions import Box

WHOLE = Box(0, 0, 64, 48)


def noise(seed: int) -> np.ndarray:
    picture = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def test_luma_weighs_green_most() -> None:
    colours = np.eye(3, dtype=np.uint8)[None] * 255
    assert luma(colours)[0] == pytest.approx([76.245, 149.685, 29.07])


@given(st.integers(1, 80))
@settings(max_examples=20, deadline=None)
def test_psnr_of_a_constant_error_is_its_formula(error: int) -> None:
    real = np.full((48, 64, 3), 100, np.uint8)
    assert psnr(real, real + np.uint8(error), WHOLE) == pytest.approx(20 * math.log10(255 / error))


def test_psnr_counts_only_its_region() -> None:
    real = np.full((48, 64, 3), 100, np.uint8)
    made = real.copy()
    made[:, 32:] = 200
    mask = np.zeros((48, 64), bool)
    mask[:, 28:36] = True
    assert psnr(real, made, Box(0, 0, 32, 48)) == PSNR_CAP_DB
    assert psnr(real, made, Box(32, 0, 64, 48)) == pytest.approx(20 * math.log10(255 / 100))
    assert psnr(real, made, mask) == pytest.approx(20 * math.log10(255 / 100) + 10 * math.log10(2))
    assert math.isnan(psnr(real, made, Box(70, 0, 70, 48)))


def test_psnr_does_not_wrap_around_in_eight_bits() -> None:
    black, white = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)
    assert psnr(black, white, WHOLE) == psnr(white, black, WHOLE) == 0.0


@pytest.mark.parametrize("strength", [2.0, 10.0, 40.0])
def test_ssim_equals_scikit_image(strength: float) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    real = noise(0)
    error = np.random.default_rng(1).normal(0, strength, real.shape)
    made = np.clip(real + error, 0, 255).astype(np.uint8)
    expected = metrics.structural_similarity(
        luma(real),
        luma(made),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255.0,
    )
    assert ssim(real, made, WHOLE) == pytest.approx(expected, abs=1e-6)


def test_ssim_has_its_known_values() -> None:
    real = noise(0)
    assert ssim(real, real, WHOLE) == pytest.approx(1.0)
    # Two flat pictures have no structure: only the luminance term is left.
    a, b = np.full((48, 64, 3), 50, np.uint8), np.full((48, 64, 3), 100, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b, WHOLE) == pytest.approx((2 * 50 * 100 + c1) / (50**2 + 100**2 + c1), abs=1e-6)
    assert ssim(real, 255 - real, WHOLE) < 0
    assert math.isnan(ssim(real, real, Box(0, 0, 10, 10)))


def test_ssim_looks_only_into_its_box() -> None:
    real = noise(0)
    made = real.copy()
    made[:, 40:] = np.random.default_rng(5).integers(0, 256, (48, 24, 3))
    assert ssim(real, made, Box(0, 0, 40, 48)) == pytest.approx(1.0)
    assert ssim(real, made, Box(40, 0, 64, 48)) < 0.3


def test_sharpness_falls_with_blur_and_equals_its_formula() -> None:
    ramp = np.repeat(np.repeat((np.arange(64, dtype=np.uint8) * 3)[None, :, None], 48, 0), 3, 2)
    assert sharpness(ramp, WHOLE) == pytest.approx(0, abs=1e-9)  # a slope has no Laplacian
    squares = np.zeros((48, 64, 3), np.uint8)
    squares[np.indices((48, 64)).sum(0) % 2 == 0] = 10
    assert sharpness(squares, WHOLE) == pytest.approx(
        40.0**2
    )  # every pixel differs by 10 from its four neighbours
    real = noise(0)
    soft = cv2.GaussianBlur(real, (0, 0), 1.0)
    softer = cv2.GaussianBlur(real, (0, 0), 2.0)
    assert sharpness(real, WHOLE) > 2 * sharpness(soft, WHOLE) > 4 * sharpness(softer, WHOLE) > 0
