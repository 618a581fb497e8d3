"""Paint for invented people: albedo of skin, lips, brows, hair, stubble and eyes over points of the head.

Everything is a smooth function of the point, so it can be painted per pixel or once into a texture. Coordinates are
millimetres on the mean head: paint follows a person's shape when their vertices carry the mean's positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from faces.morphable import EYES, INNER_MOUTH, TEETH, TONGUE, MorphableModel

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Complexion:
    """Colours (linear albedo, RGB in [0, 1]) and features of one invented person."""

    skin: tuple[float, float, float] = (0.70, 0.44, 0.34)
    """Skin."""
    lips: tuple[float, float, float] = (0.60, 0.26, 0.25)
    """Lips."""
    hair: tuple[float, float, float] = (0.080, 0.047, 0.030)
    """Hair and brows."""
    iris: tuple[float, float, float] = (0.20, 0.22, 0.15)
    """Irises."""
    white: tuple[float, float, float] = (0.76, 0.72, 0.69)
    """The white of the eyes."""
    flush: float = 1.0
    """Redness of cheeks and nose, 0..1.5."""
    freckles: float = 1.0
    """Share of freckles' full contrast, 0..1."""
    socket: float = 1.0
    """Darkness round the eyes, 0..1.5."""
    mottle: float = 1.0
    """Unevenness of the skin, 0.5..2."""
    wrinkles: float = 0.0
    """Lines on forehead, beside the eyes and from nose to mouth, 0..1."""
    stubble: float = 0.0
    """Beard shadow, 0..1."""
    brow: float = 1.0
    """Density of the brows, 0..1."""
    brow_tone: tuple[float, float, float] = (0.096, 0.0564, 0.036)
    """Brows."""
    brow_curve: tuple[tuple[float, float, float], ...] = ()
    """Millimetres from the middle outwards: (|x|, y, half the thickness); empty for the arch of ``paint_skin``."""
    lashes: tuple[tuple[tuple[float, float, float], ...], ...] = ()
    """Lines along which lashes grow, each a run of points in millimetres; the closed eye is seen by them."""
    hair_cover: float = 1.0
    """Density of the hair, 0 (shaven) .. 1."""
    hairline: float = 0.0
    """Millimetres by which the hair begins higher, -8..14."""
    iris_radius: float = 6.0
    """Millimetres, 5.4..6.4."""


class Noise:
    """Smooth noise of about unit deviation in three dimensions, periodic over 64 cells."""

    def __init__(self, seed: int) -> None:
        self._lattice = np.random.default_rng(seed).standard_normal((64, 64, 64)).astype(np.float32)

    def __call__(self, points: Floats, cell_mm: float | tuple[float, float, float]) -> Floats:
        """(N, 3) millimetres -> (N,), varying over ``cell_mm`` (one number, or one per axis)."""
        where = (points / np.asarray(cell_mm)).T % 64
        return map_coordinates(self._lattice, where, order=1, mode="grid-wrap") * 1.7


def smooth_step(x: Floats, low: float, high: float) -> Floats:
    """0 below ``low``, 1 above ``high``, smooth between (``low`` > ``high`` turns it round)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def hair_cover(points: Floats, hairline: float = 0.0) -> Floats:
    """(N, 3) head millimetres -> (N,) 0..1: short hair above a line that falls from the forehead to the nape."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    line = 64.0 + hairline - 1.05 * np.clip(80.0 - z, 0.0, 150.0) + 0.0022 * np.clip(x - 20, 0, None) ** 2
    ear = smooth_step(np.hypot((z - 2.0) / 32.0, (y + 8.0) / 38.0), 1.05, 0.9) * smooth_step(x, 60, 66)
    return smooth_step(y - line, -1.0, 5.0) * (1 - ear)


def paint_skin(look: Complexion, noise: Noise, at: Floats, lip: Floats) -> Floats:
    """(N, 3) head millimetres and (N,) lip mask -> (N, 3) linear albedo of skin, lips, brows and hair."""
    x, y, z = at.T
    lips, hair = np.array(look.lips), np.array(look.hair)
    uneven = 1 + look.mottle * (0.035 * noise(at, 11.0) + 0.045 * noise(at, 2.2))
    tone = np.array(look.skin) * uneven[:, None]
    flush = np.exp(-(((np.abs(x) - 38) / 15) ** 2 + ((y + 32) / 14) ** 2)) + 0.8 * np.exp(
        -((x / 11) ** 2 + ((y + 33) / 12) ** 2)
    )
    tone *= 1 - np.outer(0.5 * look.flush * flush * (z > 30), [0.05, 0.22, 0.20])
    freckles = (
        smooth_step(noise(at, 2.6), 2.0, 2.8) * np.exp(-((x / 48) ** 2 + ((y + 25) / 22) ** 2)) * (z > 40)
    )
    tone *= 1 - np.outer(look.freckles * freckles, [0.25, 0.38, 0.42])
    socket = np.exp(-(((np.abs(x) - 30) / 19) ** 2 + ((y - 2) / 11) ** 2)) * (z > 30)
    tone *= 1 - np.outer(look.socket * socket, [0.13, 0.17, 0.15])
    if look.wrinkles > 0:
        tone *= 1 - np.outer(look.wrinkles * _wrinkles(noise, at), [0.35, 0.42, 0.42])
    if look.stubble > 0:
        tone *= 1 - np.outer(look.stubble * _stubble(noise, at), [0.62, 0.58, 0.52])
    lines = (1 + 0.10 * noise(at, (1.1, 6.0, 6.0)))[:, None]
    tone += (lips * lines - tone) * smooth_step(lip, 0.25, 0.75)[:, None]

    brow = _brows(look, np.abs(x), y)
    hairs = np.clip(0.85 + 0.25 * noise(at + np.outer(y, [0.7, 0, 0]), (0.8, 5.0, 5.0)), 0, 1)
    tone += (np.array(look.brow_tone) - tone) * (look.brow * brow * hairs * (z > 20))[:, None]

    if look.lashes:
        tone *= 1 - 0.85 * np.exp(-((_distance(look.lashes, at) / 1.0) ** 2))[:, None]

    strands = 1 + 0.30 * noise(at, (1.6, 16.0, 16.0)) + 0.12 * noise(at, (0.9, 20.0, 20.0))
    ragged = at + np.outer(1.3 * noise(at, (1.3, 9.0, 9.0)), [0, 1, 0])  # no hairline is a ruler's
    cover = look.hair_cover * smooth_step(hair_cover(ragged, look.hairline), 0.2, 0.8)
    return tone + (hair * strands[:, None] - tone) * cover[:, None]


def _brows(look: Complexion, x: Floats, y: Floats) -> Floats:
    """(N,) 0..1 on the brows, from millimetres beside and above the head's origin."""
    if look.brow_curve:
        across, middle, half = np.array(look.brow_curve).T
        arch, thick = np.interp(x, across, middle), np.interp(x, across, half)
        ends = smooth_step(x, across[0] - 4, across[0] + 2) * smooth_step(x, across[-1] + 3, across[-1] - 3)
        return np.asarray(np.exp(-(((y - arch) / thick) ** 4)) * ends)
    along = np.clip((x - 12.0) / 38.0, 0, 1)
    arch = 17.5 + 7.5 * np.sin(np.pi * np.clip(along, 0, 1) ** 0.85) - 3.0 * along
    thick = 4.6 * (1 - 0.6 * along)
    return np.asarray(np.exp(-(((y - arch) / thick) ** 4)) * smooth_step(x, 9, 15) * smooth_step(x, 53, 46))


def _distance(lines: tuple[tuple[tuple[float, float, float], ...], ...], at: Floats) -> Floats:
    """(N,) millimetres from each point to the nearest of some lines."""
    dense = []
    for line in lines:
        for start, end in pairwise(np.array(line)):
            steps = np.linspace(0, 1, 2 + int(np.linalg.norm(end - start) / 0.4))
            dense.append(start + steps[:, None] * (end - start))
    return np.asarray(cKDTree(np.concatenate(dense)).query(at, distance_upper_bound=6.0)[0])


def _wrinkles(noise: Noise, at: Floats) -> Floats:
    """(N,) 0..1: lines across the forehead, crow's feet, and the fold from nose to mouth."""
    x, y, z = at.T
    wavy = y + 1.5 * noise(at, (14.0, 9.0, 9.0))
    forehead = (
        np.exp(-(((wavy - 42) / 13) ** 2))
        * smooth_step(np.abs(x), 48, 25)
        * smooth_step(np.sin(wavy), 0.75, 1)
    )
    side = np.exp(-(((np.abs(x) - 53) / 7) ** 2 + ((y + 2) / 12) ** 2)) * smooth_step(
        np.sin(1.4 * wavy), 0.7, 1
    )
    down = np.clip((-38 - y) / 26, 0, 1)
    fold = (
        np.exp(-(((np.abs(x) - 20 - 12 * down) / 1.6) ** 2))
        * smooth_step(y, -34, -42)
        * smooth_step(y, -68, -60)
    )
    return np.asarray((0.45 * forehead + 0.4 * side + 0.7 * fold) * (z > 30))


def _stubble(noise: Noise, at: Floats) -> Floats:
    """(N,) 0..1: hairs on jaw, chin and upper lip."""
    x, y, z = at.T
    jaw = smooth_step(y + 0.16 * np.clip(np.abs(x) - 25, 0, None), -44, -62) * smooth_step(y, -125, -108)
    cheeks = smooth_step(y - 1.2 * (np.abs(x) - 62), -30, -46) * (np.abs(x) > 40)
    lip = np.exp(-(((y + 53) / 6) ** 2)) * smooth_step(np.abs(x), 34, 26)
    grain = np.clip(0.75 + 0.3 * noise(at, 0.9), 0, 1)
    area = np.clip(np.maximum(np.maximum(jaw, cheeks), lip), 0, 1)
    return np.asarray(area * grain * smooth_step(z, 0, 25))


def paint_eyes(look: Complexion, balls: tuple[Floats, Floats], at: Floats) -> Floats:
    """Eyeballs.

    Args:
        look: colours.
        balls: vertices (n, 3) of the eyeball at negative x and of the other, millimetres.
        at: (N, 3) points on the balls, with the eyes straight ahead.

    Returns:
        (N, 3) linear albedo.
    """
    result = np.empty((len(at), 3))
    edge = look.iris_radius
    for side, shape in enumerate(balls):
        mine = (at[:, 0] < 0) == (side == 0)
        centre = (shape.min(0) + shape.max(0)) / 2
        ray = at[mine] - centre
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        radius = (
            np.ptp(shape[:, 1]) / 2 * np.arccos(np.clip(ray[:, 2], -1, 1))
        )  # mm along the ball from its front
        angle = np.arctan2(ray[:, 1], ray[:, 0])
        spokes = 1 + 0.25 * np.sin(angle * 23 + 2 * np.sin(angle * 7)) * smooth_step(radius, 2, 4)
        iris = np.array(look.iris) * (spokes * (1.15 - 0.5 * smooth_step(radius, edge - 1.4, edge)))[:, None]
        white = np.array(look.white) * (1 - 0.02 * radius)[:, None]
        colour = white + (iris - white) * smooth_step(radius, edge + 0.3, edge - 0.3)[:, None]
        result[mine] = colour * (1 - 0.96 * smooth_step(radius, 2.5, 2.1))[:, None]
    return result


def paint_head(
    look: Complexion,
    noise: Noise,
    model: MorphableModel,
    shape: Floats,
    lips: Floats,
    part: NDArray[Any],
    at: Floats,
    lip: Floats,
) -> Floats:
    """Albedo of points anywhere on a head.

    Args:
        look: colours and features.
        noise: what makes skin and hair uneven.
        model: the morphable model.
        shape: (V, 3) the head that ``at`` lies on, millimetres.
        lips: (V,) 1 on its lips.
        part: (N,) part of each point.
        at: (N, 3) head millimetres.
        lip: (N,) lip mask.

    Returns:
        (N, 3) linear.
    """
    albedo = np.empty((len(at), 3))
    eye = part == EYES
    left, right = model.eyeballs
    albedo[eye] = paint_eyes(look, (shape[left], shape[right]), at[eye])
    albedo[part == TEETH] = [0.72, 0.66, 0.56]
    albedo[part == TONGUE] = [0.50, 0.20, 0.20]
    albedo[part == INNER_MOUTH] = [0.26, 0.07, 0.07]
    rest = ~np.isin(part, (EYES, TEETH, TONGUE, INNER_MOUTH))
    albedo[rest] = paint_skin(look, noise, at[rest], lip[rest])
    # Less light reaches what lies deep behind the lips.
    inside = np.isin(part, (TEETH, TONGUE, INNER_MOUTH))
    front = shape[lips > 0.5, 2].max()
    albedo[inside] *= np.exp(np.clip((at[inside, 2] - front + 8.0) / 16.0, -3.0, 0.0))[:, None]
    return albedo
