"""The conversion to pytorch3d's coordinates, held against an independent reading of its documentation.

Where pytorch3d is installed the contract in ``test_raster.py`` runs on the real thing; this runs everywhere.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faces.raster import rasterize
from faces.raster.pytorch3d_backend import to_ndc
from tests.faces.test_raster import random_mesh


def _documented(ndc: np.ndarray, faces: np.ndarray, height: int, width: int, cull: bool) -> np.ndarray:
    """Pixel by pixel: x to the left, y up, square pixels, the shorter side from -1 to 1, z the distance."""
    picture = np.full((height, width), -1)
    pixel = 2.0 / min(height, width)
    for row in range(height):
        for column in range(width):
            # The top left pixel has the largest x and the largest y.
            x = (width / 2 - column - 0.5) * pixel
            y = (height / 2 - row - 0.5) * pixel
            nearest = np.inf
            for t, (a, b, c) in enumerate(ndc[faces]):
                if min(a[2], b[2], c[2]) <= 0:
                    continue
                # Seen by somebody who looks along +z with x to the left, counter-clockwise faces the camera.
                turn = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
                if turn == 0 or (cull and turn > 0):
                    continue
                u = ((b[0] - x) * (c[1] - y) - (b[1] - y) * (c[0] - x)) / turn
                v = ((c[0] - x) * (a[1] - y) - (c[1] - y) * (a[0] - x)) / turn
                if u > 0 and v > 0 and u + v < 1:
                    z = 1 / (u / a[2] + v / b[2] + (1 - u - v) / c[2])
                    if z < nearest:
                        nearest, picture[row, column] = z, t
    return picture


@pytest.mark.parametrize("cull", [False, True])
@pytest.mark.parametrize("size", [(24, 24), (20, 34), (34, 20)])
def test_the_conversion_follows_the_documented_convention(size: tuple[int, int], cull: bool) -> None:
    vertices, faces = random_mesh(5, triangles=14)
    vertices[:, :2] *= 0.4
    vertices[:12, 2] += np.arange(12)  # no ties
    ndc = to_ndc(torch.from_numpy(vertices), *size).numpy()
    ours = rasterize(vertices, faces, size, cull_backfaces=cull).triangle
    assert (ours >= 0).mean() > 0.2
    np.testing.assert_array_equal(_documented(ndc, faces, *size, cull), ours)


def test_corners_and_middle_of_a_picture() -> None:
    points = torch.tensor([[0.0, 0.0, 7.0], [200.0, 100.0, 7.0], [100.0, 50.0, 7.0]])
    expected = torch.tensor([[2.0, 1.0, 7.0], [-2.0, -1.0, 7.0], [0.0, 0.0, 7.0]])
    torch.testing.assert_close(to_ndc(points, 100, 200), expected)
