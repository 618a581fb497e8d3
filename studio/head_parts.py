"""Eyeballs whose rings lie on the borders of iris and pupil, and dental arches with a tooth per tooth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Faces = list[tuple[int, ...]]

IRIS_RADIUS, PUPIL_RADIUS = 5.9, 2.0
"""Millimetres, of an adult in indoor light."""
BORDER = 0.25
"""Millimetres over which one colour of the eye turns into the next."""
EYE_COLUMNS = 24
SCLERA, LIMBUS, IRIS, COLLARETTE, PUPIL = (
    (0.80, 0.77, 0.74), (0.07, 0.05, 0.04), (0.24, 0.15, 0.09), (0.30, 0.19, 0.11), (0.012, 0.012, 0.012),
)  # fmt: skip
"""Linear albedo."""
ENAMEL, GUM, GAP = np.array([0.80, 0.75, 0.66]), np.array([0.52, 0.24, 0.22]), np.array([0.20, 0.13, 0.10])
TOOTH_WIDTHS = {"upper": (8.6, 6.8, 7.7, 7.0, 6.8, 9.8), "lower": (5.4, 6.0, 6.9, 7.0, 7.1, 10.5)}
"""Widths of the teeth from the midline backwards in millimetres (Wheeler's averages)."""
TOOTH_HEIGHTS = {"upper": (9.6, 8.6, 9.6, 8.2, 7.4, 7.0), "lower": (8.6, 8.8, 9.4, 8.2, 7.6, 7.2)}
"""Visible crown heights."""


def eyeball(radius: float, scale: float) -> tuple[Floats, Faces, Floats]:
    """Vertices (N, 3) about the centre looking along +z, faces and linear albedo (N, 3).

    Args:
        radius: of the sphere, in the units of the result.
        scale: millimetres on the mean head per unit of the result.
    """
    bands = [
        (PUPIL_RADIUS - BORDER / 2, PUPIL), (PUPIL_RADIUS + BORDER / 2, COLLARETTE), (4.0, IRIS),
        (IRIS_RADIUS - 0.75, IRIS), (IRIS_RADIUS - BORDER, LIMBUS), (IRIS_RADIUS + BORDER / 2, SCLERA),
    ]  # fmt: skip
    angles = [float(np.arcsin(r / (radius * scale))) for r, _ in bands]
    colours = [c for _, c in bands]
    for degrees in (33, 46, 65, 90, 130):
        angles.append(float(np.radians(degrees)))
        colours.append(SCLERA)
    turn = np.arange(EYE_COLUMNS) * 2 * np.pi / EYE_COLUMNS
    points = [np.array([[0.0, 0.0, 1.0]])]
    for angle in angles:
        sine = np.sin(angle)
        points.append(
            np.column_stack([sine * np.sin(turn), sine * np.cos(turn), np.full(EYE_COLUMNS, np.cos(angle))])
        )
    points.append(np.array([[0.0, 0.0, -1.0]]))
    albedo = [PUPIL, *(c for c in colours for _ in range(EYE_COLUMNS)), SCLERA]

    def at(ring: int, column: int) -> int:
        return 1 + ring * EYE_COLUMNS + column % EYE_COLUMNS

    last = 1 + len(angles) * EYE_COLUMNS
    faces: Faces = []
    for column in range(EYE_COLUMNS):
        faces.append((0, at(0, column + 1), at(0, column)))
        for ring in range(len(angles) - 1):
            faces.append(
                (at(ring, column), at(ring, column + 1), at(ring + 1, column + 1), at(ring + 1, column))
            )
        faces.append((last, at(len(angles) - 1, column), at(len(angles) - 1, column + 1)))
    return np.concatenate(points) * radius, faces, np.array(albedo)


def dental_arch(jaw: str, front: Floats, half_width: float, depth: float) -> tuple[Floats, Faces, Floats]:
    """The six teeth a side of one jaw as (N, 3) vertices in millimetres, faces and linear albedo (N, 3).

    Args:
        jaw: ``upper`` or ``lower``.
        front: (3,) middle of the incisors' biting edge.
        half_width: the arch at its last tooth, from the midline.
        depth: from the incisors back to the last tooth.
    """
    down = -1.0 if jaw == "upper" else 1.0
    # A parabola-like arch, walked by arc length from the midline.
    t = np.linspace(0, 1, 400)
    path = np.column_stack([half_width * t**0.9 * (1.18 - 0.18 * t), -depth * t**2.1])
    path[:, 0] *= half_width / path[-1, 0]
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    widths = np.array(TOOTH_WIDTHS[jaw])
    widths *= length[-1] / widths.sum()
    points: list[list[float]] = []
    colours: list[Floats] = []
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    columns: list[tuple[float, int, float]] = []  # arc length, tooth, position across the tooth in [-1, 1]
    for tooth in range(6):
        for across in (-1.0, -0.82, 0.0, 0.82):
            columns.append((edges[tooth] + (across + 1) / 2 * widths[tooth], tooth, across))
    columns.append((float(edges[-1]), 5, 1.0))
    half = [c for c in columns if c[0] > 0]
    line = [(-s, tooth, across) for s, tooth, across in reversed(half)] + [(0.0, 0, -1.0), *half]
    for s, tooth, across in line:
        side = 1.0 if s >= 0 else -1.0
        x, z = (float(np.interp(abs(s), length, path[:, n])) for n in (0, 1))
        ahead = np.array(
            [
                np.interp(abs(s) + 0.5, length, path[:, n]) - np.interp(abs(s) - 0.5, length, path[:, n])
                for n in (0, 1)
            ]
        )
        out = np.array([-ahead[1], ahead[0]]) / (np.linalg.norm(ahead) + 1e-9)
        out = out if out @ [x + 1e-3, z + depth] > 0 else -out
        if s == 0:
            out = np.array([0.0, 1.0])
        height = TOOTH_HEIGHTS[jaw][tooth]
        sunk = 0.75 * abs(across) ** 4  # the tooth is rounded towards its neighbours
        short = (0.5 if tooth < 3 else 0.3) * abs(across) ** 6 + (
            0.5 if tooth == 1 and jaw == "upper" else 0.0
        )
        between = abs(across) > 0.9
        # From the gum over the crown's neck to the biting edge, then over it and down the back.
        profile = [
            (height + 5.0, 0.9, 0.0, GUM * 0.8), (height + 0.6 + 0.9 * abs(across) ** 2, 0.35, 0.0, GUM),
            (height + 0.9 * abs(across) ** 2 - 0.2, 0.1, 0.3, ENAMEL * 0.82), (height * 0.55, 0.25, 1.0, ENAMEL),
            (0.8 + short, -0.1, 1.0, ENAMEL), (short, -0.9, 0.8, ENAMEL * 0.9), (height * 0.8, -4.0, 0.0, ENAMEL * 0.4),
        ]  # fmt: skip
        for rise, forward, rounded, colour in profile:
            lift = forward - sunk * rounded
            points.append([side * (x + lift * out[0]), -down * rise, z + lift * out[1]])
            shade = GAP if between and rounded > 0 else colour
            colours.append(shade * (1.0 - 0.45 * min(1.0, abs(s) / length[-1])))
    rows = 7
    faces: Faces = []
    for column in range(len(line) - 1):
        for row in range(rows - 1):
            a, b = column * rows + row, (column + 1) * rows + row
            quad = (a, a + 1, b + 1, b)
            faces.append(quad if jaw == "upper" else quad[::-1])
    return np.array(points) + front, faces, np.array(colours)
