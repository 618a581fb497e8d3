"""Pictures that people know a person and a video by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from faces.track import Motion
from rendering.portraits import (
    PORTRAIT_PX,
    THUMBNAIL_PX,
    layers_beside_real,
    portrait,
    write_picture,
    write_thumbnail,
)
from rendering.previews import CELL, FRAMES
from tests.generated_clip import generated_clip
from tests.rendering.generated_person import generated_compositor, psnr


def test_a_portrait_is_a_square_with_the_whole_face() -> None:
    clip = generated_clip()
    picture = portrait(clip.track, clip.frames)
    side = picture.shape[0]
    assert picture.shape == (side, side, 3)
    assert 100 < side <= PORTRAIT_PX
    # The face is found again in it, whole: the picture is a cut of one of the clip's frames.
    best = max(
        cv2.matchTemplate(cv2.resize(frame, None, fx=scale, fy=scale), picture, cv2.TM_CCOEFF_NORMED).max()
        for frame in (clip.frames[index] for index in range(len(clip.frames)))
        for scale in (1.0,)
        if min(frame.shape[:2]) >= side
    )
    assert best > 0.9


def test_a_portrait_has_open_eyes() -> None:
    clip = generated_clip()
    names = list(clip.track.expression_names)
    blink = np.asarray(clip.track.motion.expression).copy()
    shut = [names.index("eyeBlinkLeft"), names.index("eyeBlinkRight")]
    blink[:, shut] = 1.0
    blink[7, shut] = 0.0
    motion = clip.track.motion
    track = replace(clip.track, motion=Motion(motion.rotation, motion.translation, blink, motion.gaze))
    seen: list[int] = []

    class Watched:
        def __len__(self) -> int:
            return len(clip.frames)

        def __getitem__(self, index: int) -> np.ndarray:
            seen.append(index)
            return np.asarray(clip.frames[index])

    portrait(track, Watched())
    assert seen == [7]


def test_the_layers_are_shown_beside_the_real_frames() -> None:
    picture = layers_beside_real(generated_compositor())
    assert picture.shape == (2 * (CELL + 24), FRAMES * CELL, 3)
    real, drawn = picture[24 : 24 + CELL], picture[-CELL:]
    assert psnr(real, drawn) > 18, "the same person in the same pose"
    assert (real != drawn).mean() > 0.05, "what is drawn is no copy"


def test_a_thumbnail_is_small_and_never_see_through(tmp_path: Path) -> None:
    frame = np.zeros((720, 1280, 4), np.uint8)
    frame[:, 640:] = 255
    write_thumbnail(frame, tmp_path / "small.jpg")
    image = cv2.imread(str(tmp_path / "small.jpg"))
    assert image.shape == (180, THUMBNAIL_PX, 3)
    assert abs(int(image[90, 20].mean()) - 128) < 4
    assert int(image[90, 300].mean()) > 250
    write_thumbnail(frame[..., :3], tmp_path / "plain.jpg")
    assert int(cv2.imread(str(tmp_path / "plain.jpg"))[90, 20].mean()) < 4


def test_a_picture_that_fails_costs_nothing(tmp_path: Path) -> None:
    def fails() -> np.ndarray:
        raise ValueError("nothing to see")

    write_picture(fails, tmp_path / "face.jpg")
    assert list(tmp_path.iterdir()) == []
