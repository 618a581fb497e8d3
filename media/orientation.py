"""How a stored picture must be turned to stand upright: the container's display matrix and its pixels'
shape."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems import InvalidParameter


@dataclass(frozen=True)
class Orientation:
    """A turn by a multiple of 90 degrees with mirroring, as: swap the axes first, then flip.

    libav's display matrix maps a stored (x, y) to (a x + c y, b x + d y); phones write only quarter turns,
    others are taken to the nearest.
    """

    transpose: bool = False
    """Swap rows and columns."""
    flip_x: bool = False
    """Then mirror left and right."""
    flip_y: bool = False
    """Then mirror top and bottom."""

    @classmethod
    def of_frame(cls, frame: Any) -> Orientation:
        """Read it from the side data of a decoded ``av.VideoFrame``."""
        for entry in frame.side_data:
            if entry.type.name == "DISPLAYMATRIX" and entry.buffer_size >= 36:
                a, b, _, c, d, *_ = np.frombuffer(bytes(entry), "<i4", 9).astype(float)
                if abs(a) + abs(d) >= abs(b) + abs(c):
                    return cls(False, bool(a < 0), bool(d < 0))
                return cls(True, bool(c < 0), bool(b < 0))
        return cls()

    def turned(self, clockwise_deg: int) -> Orientation:
        """This, and then a turn by 0, 90, 180 or 270 degrees clockwise.

        Raises:
            InvalidParameter: another angle.
        """
        if clockwise_deg not in (0, 90, 180, 270):
            raise InvalidParameter(
                f"a picture can't be turned by {clockwise_deg} degrees",
                remedy="turn it by 0, 90, 180 or 270 degrees clockwise",
                details={"field": "rotate"},
            )
        turn = self
        for _ in range(clockwise_deg // 90):
            # Clockwise by a quarter: swap the axes, then mirror left and right.
            turn = Orientation(not turn.transpose, not turn.flip_y, turn.flip_x)
        return turn

    @property
    def clockwise_deg(self) -> int:
        """The turn in degrees clockwise: 0, 90, 180 or 270; a mirror image counts by its vertical axis."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) as stored -> upright, contiguous."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        image = image[:, ::-1] if self.flip_x else image
        image = image[::-1] if self.flip_y else image
        return np.ascontiguousarray(image)


def square_size(width: int, height: int, aspect: Fraction | None, max_side: int | None) -> tuple[int, int]:
    """The stored size with square pixels: the shorter direction of a pixel is stretched; at most
    ``max_side``.

    Args:
        width, height: stored size, px.
        aspect: width of a pixel over its height (sample aspect ratio), None or 0 for unknown.
        max_side: longest side allowed, px; None for any.
    """
    ratio = float(aspect) if aspect else 1.0
    ratio = ratio if 0.1 < ratio < 10 else 1.0
    wide, high = (width * ratio, float(height)) if ratio >= 1 else (float(width), height / ratio)
    scale = min(1.0, max_side / max(wide, high)) if max_side else 1.0
    return max(1, round(wide * scale)), max(1, round(high * scale))
