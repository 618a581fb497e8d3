"""Z-buffer rasterisation: projected triangles to (triangle id, perspective-correct barycentric) per pixel.

One interface, three backends: ``numba`` (the default, CPU), ``torch`` (any device, differentiable, the reference) and
``pytorch3d`` (where it is installed). :func:`rasterize` takes and gives NumPy arrays and runs on any of them;
:func:`rasterize_tensors` takes batches of tensors and lets gradients through.
"""

from faces.raster.interface import (
    Backend,
    Fragments,
    TensorFragments,
    available_backends,
    rasterize,
    rasterize_tensors,
)

__all__ = ["Backend", "Fragments", "TensorFragments", "available_backends", "rasterize", "rasterize_tensors"]
