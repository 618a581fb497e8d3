"""A foreign model made into one of the product's own: head axes, ARKit expressions, landmarks, and missing parts.

What the other model lacks (eyeballs, teeth, tongue, the inside of the mouth) comes from the shipped head, laid over
it: so every later stage finds the same parts, and none has to know which model it works with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from faces.adapters.foreign import ForeignModel
from faces.morphable import EYES, INNER_MOUTH, SKIN, MorphableModel
from faces.mouth import LEFT_IRIS, RIGHT_IRIS
from fitting.closest import Floats, Surface, vertex_normals
from fitting.completion import Mesh, complete, open_eyes
from fitting.registration import Registration, RegistrationConfig, register
from fitting.transfer import SEPARATED, TransferConfig, project_on_own, transfer_expressions

IRIS_OF = (RIGHT_IRIS, LEFT_IRIS)


@dataclass(frozen=True)
class EmbedConfig:
    """How a foreign model is taken over."""

    registration: RegistrationConfig = field(default_factory=RegistrationConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    weld: float = 5.0
    """Largest distance at which the inner mouth's border is joined to the other model's lips, millimetres."""


@dataclass(frozen=True)
class Embedding:
    """The model, and how well it came over."""

    model: MorphableModel
    registration: Registration
    own_expressions: tuple[str, ...]
    """Expressions that the foreign model's own shapes give; the others are transferred from the shipped head."""
    added: tuple[str, ...]
    """Parts that come from the shipped head."""
    opened: int
    """Triangles that were cut out between the lids."""


def embed(
    foreign: ForeignModel, name: str, head: MorphableModel | None = None, config: EmbedConfig | None = None
) -> Embedding:
    """Make ``foreign`` a model of the product's own.

    Args:
        foreign: what a reader gave.
        name: the model's name in tracks.
        head: the shipped head.

    Raises:
        InvalidPackage: the two heads can't be laid on each other.
    """
    config, head = config or EmbedConfig(), head or MorphableModel.load()
    laid = register(foreign, head, config.registration)
    identity = np.einsum("ij,vjk->vik", laid.rotation.astype(np.float32), foreign.identity)
    soft = np.isin(foreign.part, (SKIN, INNER_MOUTH))
    expression = transfer_expressions(
        head, laid.shipped, laid.scale, laid.mean, foreign.triangles[soft], config.transfer
    )
    expression, own = _own_expressions(foreign, laid, expression, head, config)
    albedo = _albedo(foreign, laid, head)
    mesh = Mesh(
        laid.mean, identity, expression, albedo, foreign.triangles.astype(np.int64), foreign.part.copy()
    )
    triangle, weights = _embed_on_skin(mesh, laid, head)
    opened = open_eyes(mesh, triangle, weights)
    if opened:  # indices of triangles have changed
        triangle, weights = _embed_on_skin(mesh, laid, head)
    added = complete(mesh, triangle, weights, laid, head, config.weld)
    centres = _embed_irises(mesh, laid, head, triangle, weights)
    model = MorphableModel(
        name=name,
        mean=mesh.vertices.astype(np.float32),
        identity_basis=mesh.identity.astype(np.float32),
        expression_basis=mesh.expression.astype(np.float32),
        expression_names=head.expression_names,
        triangles=mesh.triangles.astype(np.int32),
        triangle_part=mesh.part.astype(np.uint8),
        albedo=mesh.albedo.astype(np.float32),
        eye_centres=centres.astype(np.float32),
        landmark_triangles=triangle,
        landmark_barycentric=weights.astype(np.float32),
        # The detector sees its points on this head where it sees them on the shipped one.
        landmark_bias=None
        if head.landmark_bias is None
        else (laid.scale * head.landmark_bias).astype(np.float32),
    )
    return Embedding(model, laid, own, added, opened)


def _own_expressions(
    foreign: ForeignModel, laid: Registration, transferred: Floats, head: MorphableModel, config: EmbedConfig
) -> tuple[Floats, tuple[str, ...]]:
    if not foreign.expression.shape[-1]:
        return transferred, ()
    own = np.einsum("ij,vje->vie", laid.rotation.astype(np.float32), foreign.expression)
    if foreign.expression_names:
        shared = [n for n in foreign.expression_names if n in head.expression_names]
        result = transferred.copy()
        for name in shared:
            result[..., head.expression_index(name)] = own[..., foreign.expression_names.index(name)]
        # The eyeballs turn by gaze angles; the eyeLook shapes keep only what they do to the lids.
        eyes = np.unique(foreign.triangles[foreign.part == EYES])
        look = [n for n, name in enumerate(head.expression_names) if name.startswith("eyeLook")]
        result[np.ix_(eyes, range(3), look)] = 0.0
        return result, tuple(shared)
    skin = np.unique(foreign.triangles[foreign.part == SKIN])
    near = cKDTree(laid.shipped).query(laid.mean[skin])[0] < 15.0
    result, good = project_on_own(transferred, own, skin[near], config.transfer)
    return result, tuple(n for n, used in zip(head.expression_names, good, strict=True) if used)


def _albedo(foreign: ForeignModel, laid: Registration, head: MorphableModel) -> Floats:
    if foreign.albedo is not None:
        return foreign.albedo.astype(np.float64)
    result = np.tile(head.albedo[head.vertex_part == SKIN].mean(0).astype(np.float64), (len(laid.mean), 1))
    for part in np.unique(foreign.part):
        theirs = np.unique(foreign.triangles[foreign.part == part])
        ours = head.triangles[head.triangle_part == part]
        source = Surface(laid.shipped, ours, normal_weight=3.0)
        normals = vertex_normals(laid.mean, foreign.triangles[foreign.part == part])
        near, weights, _ = source.look_up(laid.mean[theirs], normals[theirs])
        result[theirs] = source.at(near[:, 0], weights[:, 0], head.albedo)
    return result


def _embed_on_skin(mesh: Mesh, laid: Registration, head: MorphableModel) -> tuple[NDArray[np.int64], Floats]:
    """All landmarks but the irises: the closest point of skin that faces the same way and moves the same way."""
    skin = np.nonzero(mesh.part == SKIN)[0]
    moves = [head.expression_index(n) for n in SEPARATED]

    def traits(expression: NDArray[Any]) -> Floats:
        result: Floats = 0.3 * expression[..., moves].reshape(len(expression), -1)
        return result

    surface = Surface(mesh.vertices, mesh.triangles[skin], traits=traits(mesh.expression), normal_weight=4.0)
    normals = vertex_normals(laid.shipped, head.triangles[np.isin(head.triangle_part, (SKIN, INNER_MOUTH))])
    corners = head.triangles[head.landmark_triangles]
    shares = head.landmark_barycentric.astype(np.float64)

    def at_landmarks(values: NDArray[Any]) -> Floats:
        result: Floats = np.einsum("lk,lkd->ld", shares, values[corners])
        return result

    found, weights, _ = surface.look_up(
        at_landmarks(laid.shipped),
        at_landmarks(normals),
        at_landmarks(laid.scale * traits(head.expression_basis)),
    )
    return skin[found[:, 0]], weights[:, 0]


def _embed_irises(
    mesh: Mesh, laid: Registration, head: MorphableModel, triangle: NDArray[np.int64], weights: Floats
) -> Floats:
    """Put the irises on the eyeballs, in place; returns the (2, 3) centres of the eyeballs."""
    eyes = np.nonzero(mesh.part == EYES)[0]
    surface = Surface(mesh.vertices, mesh.triangles[eyes], normal_weight=0.0)
    middle = mesh.vertices[mesh.triangles[eyes]].mean(1)
    points = np.einsum(
        "lk,lkd->ld", head.landmark_barycentric.astype(np.float64),
        laid.shipped[head.triangles[head.landmark_triangles]],
    )  # fmt: skip
    centres = np.zeros((2, 3))
    for side, (eye, iris) in enumerate(zip(head.eyeballs, IRIS_OF, strict=True)):
        ball = mesh.vertices[mesh.triangles[eyes[(middle[:, 0] < 0) == (side == 0)]]].reshape(-1, 3)
        centres[side] = (ball.min(0) + ball.max(0)) / 2
        ours = laid.shipped[eye]
        grow = np.ptp(ball, axis=0).max() / np.ptp(ours, axis=0).max()
        place = centres[side] + grow * (points[list(iris)] - (ours.min(0) + ours.max(0)) / 2)
        found, shares, _ = surface.look_up(place, np.zeros_like(place))
        triangle[list(iris)], weights[list(iris)] = eyes[found[:, 0]], shares[:, 0]
    return centres
