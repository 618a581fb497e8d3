from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.textured_render import render_psnr, textured_render
from evaluation.pixels import PSNR_CAP_DB
from faces.texture import Texture
from tests.benchmarks.exact_clip import exact_clip


def test_a_render_of_one_colour_is_that_colour_on_the_face() -> None:
    clip = exact_clip()
    track, model = replace(clip.track(), light=np.zeros((0, 27), np.float32)), clip.person.model
    plain = Texture(np.full((64, 64, 3), (200, 120, 40), np.uint8), np.full((64, 64), 255, np.uint8))
    picture, covered = textured_render(track, plain, 0, model)
    assert picture.shape == (300, 400, 3)
    assert (picture[covered] == (200, 120, 40)).all()
    nose = clip.landmarks[0, 1].astype(int)
    assert covered[nose[1], nose[0]]
    assert 0.02 < covered.mean() < 0.5

    class Darker:
        def __len__(self) -> int:
            return len(track)

        def __getitem__(self, index: int, /) -> np.ndarray:
            drawn = textured_render(track, plain, index, model)[0]
            return drawn if index else drawn - np.minimum(drawn, 5)

    values = render_psnr(track, plain, Darker(), every=20, model=model)
    assert len(values) == 2
    assert values[1] == PSNR_CAP_DB
    assert abs(values[0] - 10 * np.log10(255**2 / 25)) < 0.1
