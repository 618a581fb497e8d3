"""Batches of tensors through every backend that takes them, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from faces.raster import Backend, available_backends, rasterize, rasterize_tensors
from problems import InvalidParameter
from tests.faces.test_raster import head_in, random_mesh

BACKENDS = [name for name in available_backends() if name != "numba"]


def _tent() -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures of four triangles round a point, partly in front of a fifth; no centre lies near a side."""
    rim = [[1.2, 1.3, 300.0], [10.7, 0.9, 340.0], [9.9, 8.6, 280.0], [0.8, 9.1, 320.0], [5.3, 4.4, 260.0]]
    behind = [[-3.1, 2.2, 500.0], [14.3, -1.7, 450.0], [7.6, 12.9, 620.0]]
    one = torch.tensor(rim + behind, dtype=torch.float64)
    other = one * torch.tensor([0.93, 1.04, 1.2], dtype=torch.float64) + torch.tensor([0.61, 0.33, 7.0])
    faces = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [5, 6, 7]])
    return torch.stack([one, other]), faces


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_batch_equals_its_pictures_one_by_one(backend: Backend, dtype: torch.dtype) -> None:
    meshes = [random_mesh(seed) for seed in range(3)]
    faces = meshes[0][1]
    batch = torch.from_numpy(np.stack([vertices for vertices, _ in meshes])).to(dtype)
    values = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 90, 2))).to(dtype)
    for cull in (False, True):
        found = rasterize_tensors(
            batch, torch.from_numpy(faces), (48, 64), cull_backfaces=cull, backend=backend
        )
        assert found.triangle.shape == (3, 48, 64)
        assert found.barycentric.dtype == dtype
        mixed = found.interpolate(values, torch.from_numpy(faces))
        for n in range(3):
            alone = rasterize(batch[n].numpy(), faces, (48, 64), cull_backfaces=cull, backend=backend)
            np.testing.assert_array_equal(found.triangle[n], alone.triangle)
            np.testing.assert_allclose(found.barycentric[n], alone.barycentric, atol=1e-5)
            np.testing.assert_allclose(mixed[n], alone.interpolate(values[n].numpy(), faces), atol=1e-4)


def test_values_may_be_shared_by_the_batch_and_lie_at_corners() -> None:
    vertices, faces = _tent()
    found = rasterize_tensors(vertices, faces, (10, 12))
    values = torch.randn(8, 3, dtype=torch.float64)
    shared = found.interpolate(values, faces)
    assert shared.shape == (2, 10, 12, 3)
    for same in (
        found.interpolate(values.expand(2, 8, 3), faces),
        found.interpolate_corners(values[faces]),
        found.interpolate_corners(values[faces].expand(2, 5, 3, 3)),
    ):
        torch.testing.assert_close(same, shared)
    assert not shared[found.triangle < 0].any()


def test_gradients_of_weights_in_float64() -> None:
    vertices, faces = _tent()
    assert set(rasterize_tensors(vertices, faces, (10, 12)).triangle.unique().tolist()) == {-1, 0, 1, 2, 3, 4}

    def weights(points: torch.Tensor) -> torch.Tensor:
        return rasterize_tensors(points, faces, (10, 12)).barycentric

    assert torch.autograd.gradcheck(weights, vertices.requires_grad_())


def test_gradients_of_interpolation_in_float64() -> None:
    vertices, faces = _tent()
    values = torch.randn(2, 8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4))

    def picture(points: torch.Tensor, attributes: torch.Tensor) -> torch.Tensor:
        return rasterize_tensors(points, faces, (10, 12)).interpolate(attributes, faces)

    assert torch.autograd.gradcheck(picture, (vertices.requires_grad_(), values.requires_grad_()))


def test_every_coordinate_and_every_value_gets_a_gradient() -> None:
    vertices, faces = _tent()
    vertices.requires_grad_()
    values = torch.randn(
        8, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(5)
    ).requires_grad_()
    rasterize_tensors(vertices, faces, (10, 12)).interpolate(values, faces).square().sum().backward()
    assert (vertices.grad != 0).all()
    assert (values.grad != 0).all()


def test_a_descent_recovers_depth_and_place() -> None:
    """What the gradients are for: from a picture of positions back to the vertices."""
    truth, faces = _tent()
    truth, faces = truth[:1], faces[:4]
    values = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    target = rasterize_tensors(truth, faces, (10, 12)).interpolate(values, faces)
    moved = truth.clone()
    moved[0, 4] += torch.tensor([0.6, -0.5, 60.0])
    moved.requires_grad_()
    scale = torch.tensor([1.0, 1.0, 100.0], dtype=torch.float64)
    step = torch.optim.Adam([free := torch.zeros(3, dtype=torch.float64, requires_grad=True)], lr=0.03)
    for _ in range(150):
        step.zero_grad()
        points = moved.detach().clone()
        points[0, 4] = points[0, 4] + free * scale
        found = rasterize_tensors(points, faces, (10, 12))
        (found.interpolate(values, faces) - target).square().sum().backward()
        step.step()
    np.testing.assert_allclose(points[0, 4].detach(), truth[0, 4], rtol=0.01, atol=0.05)


@pytest.mark.skipif("pytorch3d" not in available_backends(), reason="pytorch3d is not installed")
def test_gradients_of_pytorch3d_are_those_of_the_reference() -> None:
    grads = []
    for backend in ("torch", "pytorch3d"):
        vertices, faces = _tent()
        vertices = vertices.float().requires_grad_()
        values = torch.randn(8, 2, generator=torch.Generator().manual_seed(7)).requires_grad_()
        found = rasterize_tensors(vertices, faces, (10, 12), backend=backend)  # type: ignore[arg-type]
        found.interpolate(values, faces).square().sum().backward()
        grads.append((vertices.grad, values.grad))
    for reference, other in zip(*grads, strict=True):
        torch.testing.assert_close(other, reference, rtol=1e-3, atol=1e-4)


def test_a_head_of_any_number_of_triangles_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of pairs is worked on in parts; where it is cut must not matter."""
    from faces.raster import torch_backend

    vertices, faces = head_in(96)
    points, triangles = torch.from_numpy(vertices)[None], torch.from_numpy(faces)
    whole = rasterize_tensors(points, triangles, (96, 96))
    sizes: list[int] = []
    original = torch_backend._try

    def counted(corners: Any, column: Any, row: Any) -> Any:
        sizes.append(len(corners))
        return original(corners, column, row)

    monkeypatch.setattr(torch_backend, "_try", counted)
    monkeypatch.setitem(torch_backend.PAIRS, "cpu", 1009)
    parts = rasterize_tensors(points, triangles, (96, 96))
    assert max(sizes) <= 1009
    assert len(sizes) > 20
    assert torch.equal(parts.triangle, whole.triangle)
    assert torch.equal(parts.barycentric, whole.barycentric)


def test_wrong_shapes_and_backends() -> None:
    vertices, faces = _tent()
    with pytest.raises(ValueError, match="expected"):
        rasterize_tensors(vertices[0], faces, (8, 8))
    with pytest.raises(InvalidParameter, match="numba"):
        rasterize_tensors(vertices, faces, (8, 8), backend="numba")
    assert not rasterize_tensors(vertices[:0], faces, (8, 8)).triangle.numel()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees() -> None:
    vertices, faces = head_in(256)
    points, triangles = torch.from_numpy(vertices)[None], torch.from_numpy(faces)
    here = rasterize_tensors(points, triangles, (256, 256))
    there = rasterize_tensors(points.cuda(), triangles.cuda(), (256, 256))
    assert (here.triangle == there.triangle.cpu()).double().mean() >= 0.999
