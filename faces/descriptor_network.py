"""dlib's face descriptor as a torch network: differentiable, for losses, and the same numbers as dlib's own.

The architecture is that of D. King's ``dlib_face_recognition_resnet_model_v1`` (CC0): a ResNet of 29 convolutions
after He et al. 2015, with batch normalisation folded into scales and shifts. Its file is dlib's serialisation; every
parameter tensor in it stands as version, four sizes and little-endian floats, input side first. The file is found in
the installed ``face_recognition_models`` package; that imports ``pkg_resources``, which setuptools 81 removed, so it is
located without being imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from problems import InternalProblem

DESCRIPTOR_SIZE = 128
"""Length of a descriptor."""

_WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
_MEAN = (122.782, 117.001, 104.298)
"""Grey levels that dlib takes from red, green and blue before it divides by 256."""
_LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, blocks, and whether the first block halves the resolution."""


def weights_path() -> Path:
    """Where the installed descriptor weights lie.

    Raises:
        InternalProblem: ``face_recognition_models`` is not installed.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / _WEIGHTS
        if path.is_file():
            return path
    raise InternalProblem(
        f"the face descriptor's weights ({_WEIGHTS}) are not installed",
        remedy="install them: pip install face_recognition_models==0.3.0",
    )


class DescriptorNetwork(nn.Module):
    """(B, 3, 150, 150) aligned faces (``FaceDescriptor.chip``), RGB in [-1, 1] -> (B, 128) descriptors."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.stem = _Scaled(3, 32, 7, stride=2)
        blocks, channels = [], 32
        for width, count, halves in _LEVELS:
            for n in range(count):
                blocks.append(_Block(channels, width, halves=halves and n == 0))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, DESCRIPTOR_SIZE, bias=False)

    def forward(self, faces: Tensor) -> Tensor:
        x = ((faces + 1) * 127.5 - self.mean) / 256
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2)
        described: Tensor = self.head(self.blocks(x).mean((2, 3)))
        return described

    @classmethod
    def load(cls, path: Path | None = None) -> DescriptorNetwork:
        """The frozen network with dlib's weights.

        Raises:
            InternalProblem: the weights are not installed, or are another network's.
        """
        path = path or weights_path()
        network = cls().eval().requires_grad_(False)
        tensors = _tensors(path.read_bytes())
        try:
            blocks = [block for block in network.blocks if isinstance(block, _Block)]
            for layer in (network.stem, *(part for block in blocks for part in (block.first, block.second))):
                layer.fill(next(tensors), next(tensors))
            network.head.weight.copy_(torch.from_numpy(next(tensors).reshape(-1, DESCRIPTOR_SIZE).T.copy()))
        except (StopIteration, RuntimeError, ValueError) as error:
            raise InternalProblem(
                f"{path.name} does not hold the face descriptor's network",
                remedy="install it again: pip install --force-reinstall face_recognition_models==0.3.0",
            ) from error
        return network


class _Scaled(nn.Module):
    """Convolution, then a scale and a shift a channel. dlib pads only where the stride is one."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2 if stride == 1 else 0)
        self.scale = nn.Parameter(torch.ones(outputs, 1, 1))
        self.shift = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.convolution(x) * self.scale + self.shift
        return result

    def fill(self, convolution: NDArray[np.float32], affine: NDArray[np.float32]) -> None:
        """Weights and biases in one row, scales and shifts in another."""
        kernel, bias = self.convolution.weight, self.convolution.bias
        assert bias is not None
        weights, biases = np.split(convolution, [kernel.numel()])
        kernel.copy_(torch.from_numpy(weights.reshape(kernel.shape)))
        bias.copy_(torch.from_numpy(biases))
        scale, shift = np.split(affine, 2)
        self.scale.copy_(torch.from_numpy(scale.reshape(-1, 1, 1)))
        self.shift.copy_(torch.from_numpy(shift.reshape(-1, 1, 1)))


class _Block(nn.Module):
    """Two convolutions beside a short cut, which is averaged where the block halves the resolution."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool) -> None:
        super().__init__()
        self.first = _Scaled(inputs, outputs, 3, stride=2 if halves else 1)
        self.second = _Scaled(outputs, outputs, 3, stride=1)
        self.halves = halves

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(x)))
        short = F.avg_pool2d(x, 2, 2) if self.halves else x
        # dlib adds tensors of different sizes as if the smaller went on with zeros.
        channels, height, width = (max(y.shape[n], short.shape[n]) for n in (1, 2, 3))
        return F.relu(_grown(y, channels, height, width) + _grown(short, channels, height, width))


def _grown(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    return F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1]))


def _tensors(data: bytes) -> Iterator[NDArray[np.float32]]:
    """Parameter tensors in a dlib file, flat, in order.

    dlib writes an integer as a byte that counts the bytes which follow (its highest bit is the sign), then those, the
    lowest first. A tensor is found by its version, 2, and by sizes that make room for what is there.
    """
    at = 0
    while (at := data.find(b"\x01\x02", at)) >= 0:
        sizes, end = [], at + 2
        for _ in range(4):
            count = data[end] if end < len(data) else 0
            if not 1 <= count <= 4:
                break
            sizes.append(int.from_bytes(data[end + 1 : end + 1 + count], "little"))
            end += 1 + count
        length = int(np.prod(sizes, dtype=np.int64)) if len(sizes) == 4 else 0
        if 16 <= length <= 10_000_000 and end + 4 * length <= len(data):
            values = np.frombuffer(data[end : end + 4 * length], "<f4")
            largest = float(np.abs(values).max()) if np.isfinite(values).all() else 0.0
            plausible = 1e-6 < largest < 1e4  # not sizes and flags read as floats
        else:
            plausible = False
        if plausible:
            yield values.astype(np.float32)
            at = end + 4 * length
        else:
            at += 1
