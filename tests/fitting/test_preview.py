from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fitting.figures import FitFigures
from fitting.preview import DOT, HEIGHT, RING, TOP, WIDTH, PreviewConfig, _View, preview_frames, write_preview
from media.decode import read_frames
from media.probe import probe
from tests.generated_clip import generated_clip
from tests.media.generated import tone, write_media
from training.progress import Tick


def _near(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image.astype(int) - colour).max(-1) < 30


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    clip = generated_clip()
    return list(preview_frames(clip.frames[:12], clip.track.frames(slice(0, 12)), _figures(12)))


def _figures(count: int) -> FitFigures:
    return FitFigures.of(generated_clip().track.frames(slice(0, count)))


def _view(count: int) -> _View:
    return _View.of(generated_clip().track.frames(slice(0, count)), _figures(count), PreviewConfig())


def test_one_picture_per_frame(pictures: list[np.ndarray]) -> None:
    assert len(pictures) == 12
    assert all(picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.uint8 for picture in pictures)


def test_dots_lie_on_the_observed_landmarks(pictures: list[np.ndarray]) -> None:
    view, track = _view(12), generated_clip().track
    rows, columns = view.slots[0]
    for t in (0, 7):
        at = np.floor(view.place(track.landmarks[t])).astype(int)
        panel = pictures[t][rows, columns]
        hit = _near(panel[at[:, 1], at[:, 0]], DOT)
        assert hit.mean() > 0.95
        # And nowhere else: away from every landmark the clip shows through.
        y, x = np.nonzero(_near(panel, DOT) | _near(panel, RING))
        distance = np.hypot(x[:, None] + 0.5 - view.place(track.landmarks[t])[:, 0],
                            y[:, None] + 0.5 - view.place(track.landmarks[t])[:, 1]).min(1)  # fmt: skip
        assert distance.max() < 7


def test_rings_show_a_fit_that_is_off() -> None:
    clip = generated_clip()
    track = clip.track.frames(slice(0, 1))
    wrong = replace(track, landmarks=track.landmarks + np.float32(4.0))
    figures = FitFigures.of(wrong)
    picture = next(preview_frames(clip.frames[:1], wrong, figures))
    view = _View.of(wrong, figures, PreviewConfig())
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    rim = 3.5 * np.column_stack([np.cos(angles), np.sin(angles)])

    def ringed(points: np.ndarray) -> float:
        """The share of the rims about (N, 2) panel pixels that is drawn."""
        x, y = np.floor(points[:, None] + rim).astype(int).reshape(-1, 2).T
        return float(_near(picture[view.slots[0]][y, x], RING).mean())

    brow = [9, 107, 336, 151, 108, 337]  # where landmarks are far apart
    fitted, observed = (view.place(p[0, brow]) for p in (figures.points, wrong.landmarks))
    assert ringed(fitted) > 0.5
    assert ringed(observed) < 0.5 * ringed(fitted)


def test_the_head_covers_itself_and_nothing_else(pictures: list[np.ndarray]) -> None:
    clip, view = generated_clip(), _view(12)
    plain = view.cut(clip.frames[3])
    changed = (np.abs(pictures[3][view.slots[1]].astype(int) - plain).max(-1)) > 3
    nose = view.place(clip.track.landmarks[3, 1]).astype(int)
    assert changed[nose[1] - 20 : nose[1] + 20, nose[0] - 20 : nose[0] + 20].mean() > 0.95
    assert not changed[:, :4].any()
    assert 0.2 < changed.mean() < 0.8


def test_a_small_panel_keeps_the_shape_of_the_clip() -> None:
    view = _view(12)
    height, width = view.size
    assert height <= HEIGHT - TOP
    assert width / height == pytest.approx(view.width / view.height, rel=0.02)
    for rows, columns in view.slots:
        assert rows.start >= TOP
        assert columns.stop <= WIDTH
    assert view.slots[0][1].stop <= view.slots[1][1].start


def test_a_frame_without_a_face_says_so_and_has_no_dots() -> None:
    clip = generated_clip()
    track = clip.track.frames(slice(0, 3))
    valid, landmarks = np.array([True, False, True]), track.landmarks.copy()
    landmarks[1] = np.nan
    track = replace(track, valid=valid, landmarks=landmarks)
    figures = FitFigures.of(track)
    shown = list(preview_frames(clip.frames[:3], track, figures))
    slot = _View.of(track, figures, PreviewConfig()).slots[0]
    dots = [int(_near(picture[slot], DOT).sum()) for picture in shown]
    assert dots[0] > 400
    assert dots[1] < 20
    red = [int(_near(picture[-30:], (255, 120, 90)).sum()) for picture in shown]
    assert red[1] > 100
    assert red[0] == 0


def test_frames_are_read_one_at_a_time() -> None:
    clip = generated_clip()
    read = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal read
        for frame in clip.frames:
            read += 1
            yield frame

    pictures = preview_frames(frames(), clip.track, FitFigures.of(clip.track))
    for wanted in (1, 2, 3):
        next(pictures)
        assert read == wanted


@pytest.mark.parametrize("with_sound", [True, False])
def test_the_video_lasts_as_long_as_the_track(tmp_path: Path, with_sound: bool) -> None:
    clip = generated_clip()
    track = clip.track.frames(slice(0, 10))
    sound = None
    if with_sound:
        sound = write_media(tmp_path / "sound.mp4", lambda n: clip.frames[n], 10, sound=tone(1.0))
    ticks: list[Tick] = []
    out = tmp_path / "preview.mp4"
    write_preview(clip.frames, track, _figures(10), out, sound=sound, progress=ticks.append)
    frames = list(read_frames(out))
    assert len(frames) == 10
    assert frames[0].shape == (HEIGHT, WIDTH, 3)
    assert (probe(out).audio is not None) == with_sound
    assert (ticks[-1].stage, ticks[-1].done, ticks[-1].total) == ("fit.preview", 10, 10)
