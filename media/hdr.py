"""High dynamic range and wide gamut to 8-bit BT.709, as one 3D lookup table.

Phones film in HLG (ITU-R BT.2100, also Dolby Vision profile 8.4) or PQ with BT.2020 primaries. Read as if
they were BT.709, faces turn grey. The table undoes the transfer function, turns the primaries, sets HDR
reference white (203 nits, ITU-R BT.2408) to white, rolls off what is brighter, and applies the inverse of
BT.1886.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18
"""Transfer characteristics that are HDR (ITU-T H.273)."""
BT2020, P3_DCI, P3_D65 = 9, 11, 12
"""Colour primaries that are wider than BT.709 (ITU-T H.273)."""
_WHITE_NITS = 203.0
_HLG_PEAK_NITS = 1000.0
_TO_709 = {
    BT2020: [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ],
    P3_D65: [[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]],
}


def needs_mapping(transfer: int, primaries: int) -> bool:
    """Whether a frame with these H.273 numbers must go through the table."""
    return transfer in (PQ, HLG) or primaries in (BT2020, P3_DCI, P3_D65)


def map_to_sdr(signal: NDArray[np.float64], transfer: int, primaries: int) -> NDArray[np.float64]:
    """(..., 3) RGB signal in [0, 1] with the given H.273 numbers -> (..., 3) BT.709 RGB signal in [0, 1]."""
    if transfer == PQ:
        light = _pq_nits(signal) / _WHITE_NITS
    elif transfer == HLG:
        light = _hlg_nits(signal) / _WHITE_NITS
    else:
        light = signal**2.4
    matrix = _TO_709.get(P3_D65 if primaries == P3_DCI else primaries)
    if matrix is not None:
        light = light @ np.array(matrix).T
    light = np.maximum(light, 0.0)
    if transfer in (PQ, HLG):
        light = _roll_off(light)
    return np.clip(light, 0.0, 1.0) ** (1 / 2.4)


def write_cube(path: Path, transfer: int, primaries: int, size: int = 33) -> None:
    """The table as a .cube file for libavfilter's ``lut3d`` (red changes fastest)."""
    axis = np.linspace(0.0, 1.0, size)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    table = map_to_sdr(np.stack([red, green, blue], -1).reshape(-1, 3), transfer, primaries)
    with path.open("w") as file:
        file.write(f"LUT_3D_SIZE {size}\n")
        np.savetxt(file, table, fmt="%.6f")


def _pq_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084 EOTF."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = np.clip(signal, 0.0, 1.0) ** (1 / m2)
    return 10000.0 * (np.maximum(power - c1, 0.0) / (c2 - c3 * power)) ** (1 / m1)


def _hlg_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """BT.2100 HLG: inverse OETF, then the OOTF of a 1000-nit display."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
    return _HLG_PEAK_NITS * scene * np.maximum(luminance, 1e-9)[..., None] ** 0.2


def _roll_off(light: NDArray[np.float64], knee: float = 0.8) -> NDArray[np.float64]:
    """Identity below the knee, then an exponential approach to 1; all channels by one factor, so hue
    stays."""
    brightest = light.max(-1, keepdims=True)
    over = np.maximum(brightest - knee, 0.0) / (1 - knee)
    squeezed = np.where(brightest > knee, knee + (1 - knee) * (1 - np.exp(-over)), brightest)
    return light * (squeezed / np.maximum(brightest, 1e-9))
