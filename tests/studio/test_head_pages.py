from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from faces.morphable import MorphableModel
from studio.head_pages import (
    FONT,
    LABEL_SCALE,
    Framing,
    Shot,
    draw,
    expressions,
    eyes,
    identities,
    mouths,
    sheet,
    wrap,
)

SMALL = Framing(pixels=(40, 48))
MOUTH = Framing(centre=(0.0, -62.0, 95.0), width=86.0, pixels=(60, 48))


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load()


def test_pictures_show_what_they_say(model: MorphableModel) -> None:
    closed, opened = draw(model, Shot(""), MOUTH), draw(model, Shot("", {"jawOpen": 0.7}), MOUTH)
    assert closed.shape == (48, 60, 3)
    middle = (slice(24, 36), slice(25, 35))
    assert opened[middle].mean() < 0.75 * closed[middle].mean()  # the mouth's inside is dark
    turned = draw(model, Shot("", euler=(0, 40, 0)), SMALL)
    assert np.abs(turned.astype(int) - draw(model, Shot(""), SMALL)).mean() > 3


def test_teeth_show_in_a_smile(model: MorphableModel) -> None:
    smile = {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "jawOpen": 0.3}
    picture = draw(model, Shot("", smile), MOUTH).astype(int)
    pale = (picture.min(-1) > 140) & (np.ptp(picture, axis=-1) < 45)
    assert pale.sum() > 30
    closed = draw(model, Shot(""), MOUTH).astype(int)
    assert ((closed.min(-1) > 140) & (np.ptp(closed, axis=-1) < 45)).sum() < 5


def test_labels_stay_under_their_pictures() -> None:
    width = 80
    for label in ("mh:mouth-upward-retraction", "smile, jawOpen .3, 30 degrees", "browDownLeft", ""):
        lines = wrap(label, width)
        joined = "".join(line if line.endswith("-") else line + " " for line in lines)
        assert joined.strip() == label
        assert all(cv2.getTextSize(line, FONT, LABEL_SCALE, 1)[0][0] <= width for line in lines)
    assert len(wrap("mh:mouth-upward-retraction", width)) > 1
    assert wrap("browDownLeft", 20) == ["browDownLeft"]  # one word is never cut


def test_every_expression_is_on_its_sheet(model: MorphableModel) -> None:
    shots = expressions(model)
    assert [s.label for s in shots] == list(model.expression_names)
    few = [replace(s, label=s.label) for s in shots[:5]]
    assert sheet(model, few, 3, SMALL).shape == (2 * (48 + 16), 120, 3)
    assert len(identities(model)) == 24
    assert {s.label for s in mouths()} >= {"closed", "jawOpen .3", "jawOpen .7", "mouthSmile"}
    assert {s.label for s in eyes()} >= {"eyeBlink 0.5", "eyeBlink 1", "look left", "look up"}
