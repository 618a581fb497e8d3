"""The small picture of a motion: its size, its ground, and that the curves are those of the motion."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.motion_preview import HEIGHT, WIDTH, MotionCurves, draw_motion
from faces.rotation import rotvec_from_euler
from faces.track import Motion

NAMES = ("jawOpen", "mouthClose")
YAW, JAW = (0xE5, 0x64, 0x2D), (0xA0, 0x74, 0xD6)


def motion(frames: int, yaw: np.ndarray, jaw: np.ndarray) -> Motion:
    euler = np.column_stack([np.zeros(frames), yaw, np.zeros(frames)])
    none = np.zeros((frames, 2), np.float32)
    expression = np.column_stack([jaw, np.zeros(frames)])
    return Motion(rotvec_from_euler(euler).astype(np.float32), np.zeros((frames, 3)), expression, none)


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)


def painted(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(N, 2) rows and columns of a colour."""
    near = np.abs(image[..., :3].astype(int) - colour).max(-1) < 24
    return np.argwhere(near & (image[..., 3] > 120))


def test_curves_go_where_the_motion_goes(tmp_path: Path) -> None:
    rising = np.linspace(-10, 10, 200)
    draw_motion(motion(200, rising, np.r_[np.zeros(100), np.full(100, 0.5)]), NAMES, tmp_path / "m.png")
    image = read(tmp_path / "m.png")
    assert image.shape == (HEIGHT, WIDTH, 4)
    assert image[2, 2, 3] == 0, "the ground is the page's own"
    plot = image[24:]  # without the legend
    yaw = painted(plot, YAW)
    order = np.argsort(yaw[:, 1])
    early, late = yaw[order[: len(yaw) // 5], 0].mean(), yaw[order[-len(yaw) // 5 :], 0].mean()
    assert early - late > 40
    jaw = painted(plot, JAW)
    assert len(jaw) > 1000
    assert jaw[:, 1].min() > WIDTH / 2, "nothing is drawn while the jaw is shut"


def test_pieces_give_the_picture_of_the_whole(tmp_path: Path) -> None:
    whole = motion(300, 5 * np.sin(np.arange(300) / 9), np.abs(np.sin(np.arange(300) / 3)))
    draw_motion(whole, NAMES, tmp_path / "whole.png")
    curves = MotionCurves(NAMES)
    pieces = iter([(whole[:120], np.arange(120)), (whole[120:], np.arange(180))])
    assert [len(piece) for piece, _ in curves.watching(pieces)] == [120, 180]
    curves.draw(tmp_path / "pieces.png")
    assert np.array_equal(read(tmp_path / "whole.png"), read(tmp_path / "pieces.png"))


@pytest.mark.parametrize("frames", [0, 1, 5000])
def test_any_length_is_drawn(tmp_path: Path, frames: int) -> None:
    draw_motion(motion(frames, np.ones(frames), np.ones(frames)), ("other", "names"), tmp_path / "m.png")
    assert read(tmp_path / "m.png").shape == (HEIGHT, WIDTH, 4)
