"""A face whose cheeks redden as the jaw opens, in frames painted by the head model itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from faces.appearance import Appearance
from faces.morphable import MorphableModel
from faces.texture import Texture
from faces.track import FaceTrack
from fitting.appearance import AppearanceConfig, learn_appearance
from tests.generated_clip import choreography, painted, true_track
from training.progress import Tick

SIZE = 128
FRAMES = 40
BLUSH = 60.0


@pytest.fixture(scope="module")
def track() -> FaceTrack:
    return true_track(choreography(FRAMES, MorphableModel.load()), width=420, height=400)


@pytest.fixture(scope="module")
def jaw(track: FaceTrack) -> NDArray[np.float32]:
    return track.motion.expression[:, track.expression_names.index("jawOpen")]


@pytest.fixture(scope="module")
def learnt(track: FaceTrack, jaw: NDArray[np.float32]) -> Texture:
    grey = np.full((SIZE, SIZE, 3), 120, np.uint8)
    frames = np.stack([_blushing(track, float(value), t) for t, value in enumerate(jaw)])
    plain = Texture(grey, np.full((SIZE, SIZE), 255, np.uint8))
    config = AppearanceConfig(size=SIZE)
    return learn_appearance(track, plain, frames, config=config)


def _blushing(track: FaceTrack, amount: float, t: int) -> NDArray[np.uint8]:
    colour = np.full((SIZE, SIZE, 3), 120, np.uint8)
    colour[..., 0] = round(120 + BLUSH * amount)
    return painted(track.frames(slice(t, t + 1)), colour)[0]


def test_the_blush_follows_the_jaw(track: FaceTrack, learnt: Texture, jaw: NDArray[np.float32]) -> None:
    appearance = learnt.appearance
    assert isinstance(appearance, Appearance)
    assert len(appearance.texels) > 0.05 * SIZE**2
    shown = _change(appearance, track, int(jaw.argmax()))[appearance.texels, 0]
    seen = np.abs(shown) > 0.15 * BLUSH  # teeth and the back of the eyes hardly show
    assert seen.mean() > 0.2
    reds, others = [], []
    for t in range(FRAMES):
        change = _change(appearance, track, t)[appearance.texels]
        reds.append(float(np.median(change[seen, 0])))
        others.append(np.abs(np.median(change[seen, 1:], axis=0)).max())
    assert np.corrcoef(reds, jaw)[0, 1] > 0.98
    assert np.abs(np.array(reds) - BLUSH * jaw).max() < 0.2 * BLUSH * jaw.max()
    assert max(others) < 3


def _change(appearance: Appearance, track: FaceTrack, t: int) -> NDArray[np.float32]:
    """(A * A, 3) of frame t."""
    return appearance.change(appearance.coefficients(track.motion[t : t + 1])[0]).reshape(-1, 3)


def test_a_frame_left_out_is_predicted_from_the_others(
    track: FaceTrack, learnt: Texture, jaw: NDArray[np.float32]
) -> None:
    """Less well than one that was seen, but it follows: the coefficients of the first mouth picture are the blush."""
    appearance = learnt.appearance
    assert appearance is not None
    known = appearance.coefficients(track.motion)[:, 0]
    unseen = appearance.unseen[:, 0]
    assert unseen.shape == (FRAMES,)
    assert abs(np.corrcoef(known, jaw)[0, 1]) > 0.98
    assert 0.85 < np.corrcoef(unseen, known)[0, 1] < 0.99999


def test_mouth_eyes_and_the_rest_have_their_own_pictures(learnt: Texture, track: FaceTrack) -> None:
    """The mouth's texels lie below the eyes' on the atlas's face, and each region is a tenth of the face at least."""
    appearance = learnt.appearance
    assert appearance is not None
    assert len(appearance.regions) == 3
    assert (appearance.regions[:, 0] > 0.05 * len(appearance.texels)).all()


def test_it_is_little_and_bounded(learnt: Texture) -> None:
    appearance = learnt.appearance
    assert appearance is not None
    assert appearance.basis.dtype == np.int8
    assert (appearance.regions[:, 1] <= AppearanceConfig().basis).all()
    assert appearance.regions[:, 0].sum() == len(appearance.texels) == len(np.unique(appearance.texels))
    assert np.abs(appearance.basis).max() == 127
    assert (appearance.limit[0] <= appearance.limit[1]).all()


def test_what_never_changes_is_left_alone(track: FaceTrack) -> None:
    colour = np.full((SIZE, SIZE, 3), (150, 110, 90), np.uint8)
    plain = Texture(colour, np.full((SIZE, SIZE), 255, np.uint8))
    ticks: list[Tick] = []
    config = AppearanceConfig(size=SIZE, frames=12)
    appearance = learn_appearance(
        track, plain, painted(track, colour), config=config, progress=ticks.append
    ).appearance
    assert appearance is not None
    change = _change(appearance, track, 7)[appearance.texels]
    assert np.percentile(np.abs(change), 90) < 3
    assert ticks[-1].done == ticks[-1].total == 12


def test_frames_without_a_face_do_not_count(track: FaceTrack) -> None:
    colour = np.full((SIZE, SIZE, 3), 120, np.uint8)
    frames = painted(track, colour)
    frames[5] = 255  # lost, and white
    valid = np.ones(FRAMES, bool)
    valid[5] = False
    plain = Texture(colour, np.full((SIZE, SIZE), 255, np.uint8))
    config = AppearanceConfig(size=SIZE)
    appearance = learn_appearance(replace(track, valid=valid), plain, frames, config=config).appearance
    assert appearance is not None
    change = _change(appearance, track, 5)[appearance.texels]
    assert np.percentile(np.abs(change), 90) < 3
