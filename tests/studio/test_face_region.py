from __future__ import annotations

from faces.morphable import SKIN, MorphableModel
from studio.face_region import face_region


def test_the_face_is_skin_between_chin_and_forehead() -> None:
    model = MorphableModel.load()
    face = face_region(model)
    assert 0.1 < face.mean() < 0.7
    assert (model.vertex_part[face] == SKIN).all()
    points = model.mean[face]
    brow, chin = model.landmark_points(model.mean)[[10, 152], 1]
    assert points[:, 1].max() < brow + 8
    assert points[:, 1].min() > chin - 8
    assert points[:, 2].min() > -25, "nothing behind the ears"
    mirrored = abs((points[:, 0] > 0).mean() - 0.5)
    assert mirrored < 0.02
