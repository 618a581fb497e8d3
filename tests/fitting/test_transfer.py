"""Displacements on a model's own components."""

from __future__ import annotations

import numpy as np

from fitting.transfer import TransferConfig, project_on_own


def test_own_components_replace_only_what_they_explain() -> None:
    rng = np.random.default_rng(0)
    own = rng.normal(size=(300, 3, 6))
    inside = own @ rng.normal(size=6)
    outside = rng.normal(size=(300, 3))
    wanted = np.stack([inside, outside, np.zeros((300, 3))], axis=-1)
    result, good = project_on_own(wanted, own, np.arange(300), TransferConfig())
    assert good.tolist() == [True, False, False]
    assert np.abs(result[..., 0] - inside).max() < 0.02 * np.abs(inside).max()
    assert (result[..., 1] == outside).all()


def test_where_only_some_vertices_count_the_others_follow_the_components() -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(size=(200, 3, 4))
    truth = own @ np.array([1.0, -0.5, 0.3, 0.8])
    wanted = np.where(np.arange(200)[:, None] < 120, truth, 0.0)[..., None]
    result, good = project_on_own(wanted, own, np.arange(120), TransferConfig())
    assert good.all()
    assert np.abs(result[120:, :, 0] - truth[120:]).max() < 0.05
