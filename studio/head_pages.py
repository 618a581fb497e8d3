"""Render the pages of the head model's documentation: identities, every expression, mouths and eyes from near.

python -m studio.head_pages docs/head-model [HEAD.npz]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.camera import to_camera
from faces.light import vertex_normals
from faces.morphable import DEFAULT_MODEL, EYES, SKIN, MorphableModel
from faces.raster import rasterize
from faces.rotation import rotvec_from_euler

Image = NDArray[np.uint8]
KEY, FILL = np.array([0.45, -0.5, -0.74]), np.array([-0.7, 0.0, -0.7])
"""Directions towards the lamps in camera axes (x right, y down, z away)."""
OVERSAMPLE = 3
FONT, LABEL_SCALE, LABEL_LINE = cv2.FONT_HERSHEY_SIMPLEX, 0.36, 14
"""Of the labels: typeface, scale, and pixels a line."""
DISTANCE = 900.0
"""Head to camera in millimetres."""


@dataclass(frozen=True)
class Shot:
    """One picture of a sheet."""

    label: str
    expression: dict[str, float] = field(default_factory=dict)
    identity: NDArray[np.float64] | None = None
    """(K,) standard deviations; None for the mean head."""
    gaze: tuple[float, float] = (0.0, 0.0)
    """Radians, to the image's right and up."""
    euler: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Degrees."""


@dataclass(frozen=True)
class Framing:
    """What part of the head a sheet shows."""

    centre: tuple[float, float, float] = (0.0, -18.0, 0.0)
    """Head point in the picture's middle, millimetres."""
    width: float = 230.0
    """Millimetres across the picture."""
    pixels: tuple[int, int] = (150, 180)
    """Width and height."""


FACE = Framing()


def draw(model: MorphableModel, shot: Shot, framing: Framing = FACE) -> Image:
    """The (height, width, 3) picture of one shot: two lamps, per-vertex colours, sRGB."""
    row = np.zeros((1, len(model.expression_names)))
    for name, amount in shot.expression.items():
        row[0, model.expression_index(name)] = amount
    neutral = model.mean if shot.identity is None else model.neutral(shot.identity)
    shape = model.vertices(neutral, row, np.array([shot.gaze]))[0]
    turn, place = rotvec_from_euler(np.array(shot.euler)), np.array([0.0, 0.0, DISTANCE])
    placed = to_camera(shape, turn, place)
    width, height = (n * OVERSAMPLE for n in framing.pixels)
    focal = width / framing.width * (DISTANCE - 80.0)
    flat = placed[:, :2] / placed[:, 2:] * focal
    middle = to_camera(np.array([framing.centre]), turn, place)[0]
    pixels = flat - middle[:2] / middle[2] * focal + [width / 2, height / 2]
    depth = placed[:, 2] + model.recess
    fragments = rasterize(np.column_stack([pixels, depth]), model.triangles, (height, width))
    normals = vertex_normals(placed, model.triangles)
    values = fragments.interpolate(np.column_stack([model.albedo, normals]), model.triangles)
    normal = values[..., 3:] / (np.linalg.norm(values[..., 3:], axis=-1, keepdims=True) + 1e-9)
    part = np.where(fragments.triangle >= 0, model.triangle_part[np.maximum(fragments.triangle, 0)], SKIN)
    light = np.full(normal.shape[:2], 0.3)
    for lamp, strength in ((KEY, 0.75), (FILL, 0.25)):
        light += strength * np.clip(normal @ (lamp / np.linalg.norm(lamp)), 0, 1)
    light[part == EYES] = 0.55 + 0.35 * light[part == EYES]  # wet and round: shaded less than skin
    colour = np.clip(values[..., :3] * light[..., None], 0, 1) ** (1 / 1.6)
    colour[fragments.triangle < 0] = 0.93
    small = cv2.resize(colour, framing.pixels, interpolation=cv2.INTER_AREA)
    return (small * 255).round().astype(np.uint8)


def sheet(model: MorphableModel, shots: Sequence[Shot], columns: int, framing: Framing = FACE) -> Image:
    """Labelled pictures in rows of ``columns``."""
    width, height = framing.pixels
    rows = -(-len(shots) // columns)
    labels = [wrap(shot.label, width - 6) for shot in shots]
    lines = max(len(label) for label in labels)
    step = height + (LABEL_LINE * lines + 2 if lines else 0)
    page = np.full((rows * step, columns * width, 3), 255, np.uint8)
    for n, shot in enumerate(shots):
        y, x = n // columns * step, n % columns * width
        page[y : y + height, x : x + width] = draw(model, shot, framing)
        for row, line in enumerate(labels[n]):
            place = (x + 3, y + height + 12 + LABEL_LINE * row)
            cv2.putText(page, line, place, FONT, LABEL_SCALE, (20, 20, 20), 1, cv2.LINE_AA)
    return page


def wrap(label: str, width: int) -> list[str]:
    """The label in lines of at most ``width`` pixels, broken after spaces and hyphens; a longer word stands alone."""
    lines: list[str] = []
    for word in re.findall(r"[^ -]*[ -]?", label):
        wider = (lines[-1] if lines else "") + word
        fits = cv2.getTextSize(wider.rstrip(), FONT, LABEL_SCALE, 1)[0][0] <= width
        lines = [*lines[:-1], wider] if lines and fits else [*lines, word] if word else lines
    return [line.rstrip() for line in lines]


def identities(model: MorphableModel) -> list[Shot]:
    """24 random people, N(0, 1) in every component."""
    rng = np.random.default_rng(24)
    return [Shot("", identity=rng.normal(size=model.identity_basis.shape[-1])) for _ in range(24)]


def expressions(model: MorphableModel) -> list[Shot]:
    """Every expression at 1; those that need an open mouth with one."""
    opened = {"mouthClose": 1.0, "tongueOut": 0.5}
    return [
        Shot(name, {name: 1.0} | ({"jawOpen": opened[name]} if name in opened else {}))
        for name in model.expression_names
    ]


def mouths() -> list[Shot]:
    """The mouth closed, open, smiling, pursed; from the front and turned."""
    smile = {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}
    faces: list[tuple[str, dict[str, float]]] = [
        ("closed", {}), ("jawOpen .3", {"jawOpen": 0.3}), ("jawOpen .5", {"jawOpen": 0.5}),
        ("jawOpen .7", {"jawOpen": 0.7}), ("mouthSmile", smile), ("smile, jawOpen .3", smile | {"jawOpen": 0.3}),
        ("tongueOut, jawOpen .5", {"tongueOut": 1.0, "jawOpen": 0.5}),
        ("upperUp, lowerDown", {f"mouth{w}{s}": 0.8 for w in ("UpperUp", "LowerDown") for s in ("Left", "Right")}),
    ]  # fmt: skip
    turned = [Shot(f"{label}, 30 degrees", face, euler=(0, -30, 0)) for label, face in faces[:5]]
    return [Shot(label, face) for label, face in faces] + turned[:4]


def eyes() -> list[Shot]:
    """Both eyes open, closing and closed, and looking about; from the front and turned."""
    shots = []
    for amount in (0.0, 0.5, 0.75, 1.0):
        blink = {"eyeBlinkLeft": amount, "eyeBlinkRight": amount}
        shots += [
            Shot(f"eyeBlink {amount:g}", blink),
            Shot(f"{amount:g}, 30 degrees", blink, euler=(0, -30, 0)),
        ]
    look_left = {"eyeLookInRight": 1.0, "eyeLookOutLeft": 1.0}
    look_up = {"eyeLookUpLeft": 1.0, "eyeLookUpRight": 1.0}
    look_down = {"eyeLookDownLeft": 1.0, "eyeLookDownRight": 1.0}
    wide = {"eyeWideLeft": 1.0, "eyeWideRight": 1.0}
    return [
        *shots,
        Shot("look left", look_left, gaze=(0.45, 0.0)), Shot("look up", look_up, gaze=(0.0, 0.4)),
        Shot("look down", look_down, gaze=(0.0, -0.4)), Shot("eyeWide", wide),
    ]  # fmt: skip


def pages(model: MorphableModel, folder: Path) -> list[Path]:
    """Write the four sheets to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    mouth = Framing(centre=(0.0, -62.0, 95.0), width=86.0, pixels=(300, 240))
    eye = Framing(centre=(0.0, 2.0, 75.0), width=126.0, pixels=(360, 150))
    turned = Framing()
    sheets = {
        "identities": sheet(model, identities(model), 8),
        "expressions": sheet(model, expressions(model), 8),
        "turns": sheet(
            model, [Shot(f"{yaw} degrees", euler=(0, yaw, 0)) for yaw in (-60, -30, 0, 30, 60)], 5, turned
        ),
        "mouth": sheet(model, mouths(), 4, mouth),
        "eyes": sheet(model, eyes(), 4, eye),
    }
    written = []
    for name, page in sheets.items():
        path = folder / f"{name}.png"
        cv2.imwrite(str(path), page[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
        written.append(path)
    return written


def main(arguments: Sequence[str]) -> int:
    """Write the pages of the shipped model, or of another one."""
    model = MorphableModel.load(Path(arguments[1]) if len(arguments) > 1 else DEFAULT_MODEL)
    for path in pages(model, Path(arguments[0])):
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
