"""Rotations as axis-angle vectors (radians) and the head's Euler angles (degrees).

The head frame has x to the image's right, y up and z out of the face; the camera frame has x right, y down and z into
the scene. ``camera.to_camera`` flips between them, so the zero rotation is a head that looks straight at the camera.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Floats = NDArray[np.floating]


def exp_map(rotvec: Floats) -> Floats:
    """(..., 3) axis-angle in radians -> (..., 3, 3) rotation matrices (Rodrigues)."""
    flat = np.asarray(rotvec, dtype=np.float64).reshape(-1, 3)
    return Rotation.from_rotvec(flat).as_matrix().reshape(*np.shape(rotvec)[:-1], 3, 3)


def log_map(matrices: Floats) -> Floats:
    """(..., 3, 3) rotation matrices -> (..., 3) axis-angle in radians, angle in [0, pi]."""
    flat = np.asarray(matrices, dtype=np.float64).reshape(-1, 3, 3)
    return Rotation.from_matrix(flat).as_rotvec().reshape(*np.shape(matrices)[:-2], 3)


def euler_from_rotvec(rotvec: Floats) -> Floats:
    """(..., 3) axis-angle -> (..., 3) degrees: pitch (nodding, about x), yaw (shaking, about y), roll (about z).

    R = Rx(pitch) Ry(yaw) Rz(roll) in the head frame (intrinsic order x, y, z). Positive pitch lowers the nose, positive
    yaw turns it to the image's right (the person's left), positive roll tilts the crown to the image's left.
    """
    flat = np.asarray(rotvec, dtype=np.float64).reshape(-1, 3)
    return Rotation.from_rotvec(flat).as_euler("XYZ", degrees=True).reshape(*np.shape(rotvec)[:-1], 3)


def rotvec_from_euler(euler_deg: Floats) -> Floats:
    """Inverse of :func:`euler_from_rotvec`: (..., 3) degrees -> (..., 3) axis-angle in radians."""
    flat = np.asarray(euler_deg, dtype=np.float64).reshape(-1, 3)
    return Rotation.from_euler("XYZ", flat, degrees=True).as_rotvec().reshape(*np.shape(euler_deg)[:-1], 3)


def compose(left: Floats, right: Floats) -> Floats:
    """Axis-angle of ``exp(left) @ exp(right)``, elementwise over (..., 3)."""
    shape = np.broadcast_shapes(np.shape(left), np.shape(right))
    a = Rotation.from_rotvec(np.array(np.broadcast_to(left, shape)).reshape(-1, 3))
    b = Rotation.from_rotvec(np.array(np.broadcast_to(right, shape)).reshape(-1, 3))
    return (a * b).as_rotvec().reshape(shape)
