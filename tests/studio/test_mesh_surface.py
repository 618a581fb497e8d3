from __future__ import annotations

import numpy as np

from studio.mesh_surface import neighbour_mean


def test_each_vertex_takes_the_mean_of_itself_and_its_neighbours() -> None:
    mean = neighbour_mean(np.array([[0, 1, 2], [1, 3, 2]]), 5)
    np.testing.assert_allclose(mean @ np.array([3.0, 6.0, 9.0, 0.0, 7.0]), [6.0, 4.5, 4.5, 5.0, 7.0])
