"""The sheet, the side-by-side video and the memory watch."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from evaluation.resources import MemoryWatch
from evaluation.sheet import SheetConfig, make_sheet, save_png, time_points
from evaluation.side_by_side import panel_size, side_by_side

if TYPE_CHECKING:
    from tests.evaluation.conftest import PointFace


def test_time_points_avoid_frames_without_a_face() -> None:
    track = np.zeros((120, 478, 2))
    assert time_points(track, 12).tolist() == list(range(5, 120, 10))
    track[15:18] = np.nan
    assert time_points(track, 12)[1] == 14
    assert len(time_points(track * np.nan, 12)) == 12


def test_the_sheet_shows_each_clip_at_each_time(point_face: PointFace) -> None:
    frames = 40
    swing = np.zeros((frames, 3))
    swing[:, 1] = 10 * np.sin(np.arange(frames) / 5)
    track = point_face.track(swing, opening_mm=5 + 3 * np.sin(np.arange(frames) / 2))
    colours = {"real": (200, 30, 30), "reenact": (30, 200, 30), "dub": (30, 30, 200)}
    times = time_points(track, 12)
    pictures = {name: [np.full((480, 640, 3), colour, np.uint8)] * 12 for name, colour in colours.items()}
    config = SheetConfig()
    sheet = make_sheet(pictures, dict.fromkeys(colours, track), times, camera=point_face.camera)
    mouth = round(config.cell * 0.6)
    assert sheet.shape == (
        config.header + 3 * config.cell + 3 * mouth + 3 * config.curve, config.label + 12 * config.cell, 3
    )  # fmt: skip
    for row, colour in enumerate(colours.values()):
        for column in (0, 11):
            x = config.label + column * config.cell + config.cell // 2
            assert tuple(sheet[config.header + row * config.cell + config.cell // 2, x]) == colour
            assert tuple(sheet[config.header + 3 * config.cell + row * mouth + mouth // 2, x]) == colour
    curves = sheet[-3 * config.curve :]
    assert (curves < 100).any(axis=2).sum() > 1000  # lines were drawn


def test_face_cells_keep_their_place_and_mouth_cells_follow_the_mouth(point_face: PointFace) -> None:
    track = point_face.track(np.zeros((12, 3)))
    moved = track + np.array([60.0, 0.0])
    picture = np.zeros((480, 640, 3), np.uint8)
    mouth = track[0, [13, 14]].mean(axis=0).astype(int)
    cv2.circle(picture, (int(mouth[0]) + 60, int(mouth[1])), 3, (255, 255, 255), -1)
    times = np.arange(12)
    config = SheetConfig()
    sheet = make_sheet(
        {"real": [picture] * 12, "dub": [picture] * 12},
        {"real": track, "dub": moved},
        times,
        camera=point_face.camera,
    )
    mouths = sheet[config.header + 2 * config.cell :]
    height, left = round(config.cell * 0.6), config.label
    followed = mouths[height : 2 * height, left : left + config.cell].max(axis=2)
    at = np.argwhere(followed > 200).mean(axis=0)
    assert at == pytest.approx([height / 2, config.cell / 2], abs=9)
    assert (
        mouths[:height, left + config.cell // 4 : left + 3 * config.cell // 4].max() < 60
    )  # the real mouth is elsewhere


def test_a_png_is_written_whole_and_shrunk(tmp_path: Path) -> None:
    picture = np.zeros((100, 400, 3), np.uint8)
    picture[..., 0] = 255
    save_png(picture, tmp_path / "deep" / "a.png", width=200)
    read = cv2.imread(str(tmp_path / "deep" / "a.png"))
    assert read.shape == (50, 200, 3)
    assert read[10, 10].tolist() == [0, 0, 255]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.png"]


def test_clips_stand_side_by_side_in_order() -> None:
    red, blue = np.full((90, 122, 3), (255, 0, 0), np.uint8), np.full((90, 122, 3), (0, 0, 255), np.uint8)
    joined = list(side_by_side({"real": [red] * 3, "dub": [blue] * 5}))
    assert len(joined) == 3
    assert joined[0].shape == (90, 244, 3)
    assert tuple(joined[0][80, 60]) == (255, 0, 0)
    assert tuple(joined[0][80, 190]) == (0, 0, 255)
    assert (red == (255, 0, 0)).all()  # the name is drawn on a copy


def test_panels_are_even_and_never_enlarged() -> None:
    assert panel_size((720, 1280)) == (480, 854)
    assert panel_size((721, 1281), 333) == (332, 592)
    assert panel_size((90, 122)) == (90, 122)


def test_the_memory_of_children_counts() -> None:
    with MemoryWatch(interval_s=0.02) as alone:
        pass
    hungry = "import sys\nx = bytearray(200 << 20)\nprint(len(x), flush=True)\nsys.stdin.read()"
    with (
        MemoryWatch(interval_s=0.02) as watch,
        subprocess.Popen(
            [sys.executable, "-c", hungry], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        limit = time.monotonic() + 20
        while watch.peak_mb < alone.peak_mb + 150 and time.monotonic() < limit:
            time.sleep(0.02)
        child.communicate()
    assert watch.peak_mb > alone.peak_mb + 150
