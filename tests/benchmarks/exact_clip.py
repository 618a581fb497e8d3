"""A synthetic clip's truth without its pictures, for tests of what is measured against it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from faces.camera import Camera, to_camera
from studio.acting import act
from studio.lighting import invent_light
from studio.synthetic_clips import SyntheticClip
from studio.synthetic_people import PersonConfig, SyntheticPerson

FRAMES = 40


@lru_cache(maxsize=2)
def exact_clip(gain: float = 0.0) -> SyntheticClip:
    """A person of whom a track can say everything (``gain`` 0), 40 frames."""
    person = SyntheticPerson.invent(7, PersonConfig(gain=gain, atlas=64))
    rng = np.random.default_rng(4)
    done = act(rng, FRAMES, person.model.expression_names, (5.0, -20.0, 600.0), person.shut)
    camera = Camera.for_image(400, 300, 1.3)
    placed = to_camera(
        person.model.detected_points(person.vertices(done.motion)),
        done.motion.rotation,
        done.motion.translation,
    )
    return SyntheticClip(
        seed=7,
        person=person,
        frames=np.zeros((FRAMES, 300, 400, 3), np.uint8),
        motion=done.motion,
        camera=camera,
        light=invent_light(rng, FRAMES),
        blinks=done.blinks,
        landmarks=camera.project(placed).astype(np.float32),
    )
