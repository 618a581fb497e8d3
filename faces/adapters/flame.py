"""FLAME 2016..2023: ``generic_model.pkl``, ``flame2023.pkl`` (Li et al., SIGGRAPH Asia 2017).

A pickled dictionary: v_template (V, 3) in metres, shapedirs (V, 3, K + E) in standard deviations with the identity
first (300) and expressions after it (100), f (F, 3) from 0, J_regressor (J, V), weights (V, J). The jaw opens by
linear blend skinning about joint 2; three small turns of it are added to the expressions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from faces.adapters.foreign import Checked, ForeignModel, outward
from faces.adapters.inert_pickle import read_pickle
from faces.morphable import EYES
from faces.rotation import exp_map

FORMAT = "flame"
TITLE = "FLAME"
LICENCE = "Max Planck Society, FLAME: see the licence of the downloaded version; not to be passed on"
REMEDY = "use generic_model.pkl or flame2023.pkl as the FLAME site gives it; docs/models.md says how"
METRES = 1000.0
IDENTITY = 300
"""Components of ``shapedirs`` that are identity; those after them are expressions."""
JAW = 2
"""The jaw's joint in ``kintree_table``."""
JAW_ANGLE = 0.35
"""Radians of the jaw turns that are added to the expressions."""


def read(path: Path) -> ForeignModel:
    """Read the model; nothing that the pickle names is run.

    Raises:
        InvalidPackage: damaged, incomplete, or naming code.
    """
    check = Checked(path, REMEDY)
    data = read_pickle(path, check)
    for name in ("v_template", "shapedirs", "f"):
        if name not in data:
            raise check.refuse(f"{name} is missing")
    mean = check.numbers("v_template", data["v_template"], None, 3) * METRES
    check.millimetres(mean)
    shapes = check.numbers("shapedirs", data["shapedirs"], len(mean), 3, None) * METRES
    check.components("shapedirs", shapes.shape[2])
    triangles = check.triangles(check.numbers("f", data["f"], None, 3), len(mean))
    identities = min(IDENTITY, shapes.shape[2])
    expression = shapes[..., identities:]
    notes: tuple[str, ...] = ()
    if {"J_regressor", "weights"} <= data.keys():
        weights = check.numbers("weights", data["weights"], len(mean), None)
        joints = check.numbers("J_regressor", data["J_regressor"], weights.shape[1], len(mean)) @ mean
        if len(joints) > JAW:
            expression = np.concatenate([expression, _jaw_turns(mean, weights[:, JAW], joints[JAW])], axis=2)
    else:
        notes = ("no joints: the jaw's turn is left out",)
    triangles = outward(mean, triangles)
    return ForeignModel(
        FORMAT, path.stem, mean.astype(np.float32), shapes[..., :identities].astype(np.float32), triangles,
        eyeball_parts(mean, triangles), expression.astype(np.float32), licence=LICENCE, notes=notes,
    )  # fmt: skip


def _jaw_turns(
    mean: NDArray[np.float64], weight: NDArray[np.float64], joint: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(V, 3, 3) displacements of the jaw turned down, and to each side."""
    turns = exp_map(np.diag([JAW_ANGLE, JAW_ANGLE / 3, JAW_ANGLE / 3]))
    moved = [(mean - joint) @ (turn - np.eye(3)).T * weight[:, None] for turn in turns]
    return np.stack(moved, axis=-1)


def eyeball_parts(mean: NDArray[np.float64], triangles: NDArray[np.int32]) -> NDArray[np.uint8]:
    """(F,) EYES for two unconnected round pieces of like size, one on each side; SKIN elsewhere."""
    edges = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    graph = sparse.coo_matrix((np.ones(len(edges)), edges.T), (len(mean), len(mean)))
    _, label = connected_components(graph, directed=False)
    part = np.zeros(len(triangles), np.uint8)
    main = np.bincount(label[triangles[:, 0]]).argmax()
    balls = []
    for piece in np.unique(label[triangles[:, 0]]):
        points = mean[label == piece]
        extent = np.ptp(points, axis=0)
        if piece != main and extent.min() > 15.0 and extent.max() < 35.0:
            balls.append((piece, points.mean(0)))
    if len(balls) == 2 and (balls[0][1][0] - balls[1][1][0]) ** 2 > 30**2:
        part[np.isin(label[triangles[:, 0]], [piece for piece, _ in balls])] = EYES
    return part
