from __future__ import annotations

from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
import torch

from faces.descriptor_network import DescriptorNetwork
from faces.identity import FaceDescriptor, weights_path
from problems import InternalProblem
from tests.generated_clip import generated_clip


@pytest.fixture(scope="module")
def network() -> DescriptorNetwork:
    return DescriptorNetwork.load()


@pytest.fixture(scope="module")
def chips() -> np.ndarray:
    """Aligned faces of the generated clip, and pictures that are none: noise, and a soft one."""
    clip, descriptor = generated_clip(), FaceDescriptor()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (150, 150, 3), dtype=np.uint8)
    faces = [descriptor.chip(clip.frames[n], clip.track.landmarks[n]) for n in (3, 20)]
    return np.stack([*faces, noise, cv2.GaussianBlur(noise, (0, 0), 9)])


def _inputs(chips: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(chips).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_it_says_what_dlib_says(network: DescriptorNetwork, chips: np.ndarray) -> None:
    original = dlib.face_recognition_model_v1(str(weights_path()))
    expected = np.array([original.compute_face_descriptor(chip) for chip in chips])
    with torch.inference_mode():
        found = network(_inputs(chips)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.linalg.norm(expected[0] - expected[2]) > 0.3  # and they are not all alike


def test_its_gradient_leads_to_a_likeness(network: DescriptorNetwork, chips: np.ndarray) -> None:
    """A picture that follows the gradient comes nearer to another's descriptor."""
    inputs = _inputs(chips)
    goal, picture = network(inputs[:1]), inputs[3:4].clone().requires_grad_(True)
    before = float((network(picture) - goal).norm().detach())
    optimizer = torch.optim.Adam([picture], lr=0.02)
    for _ in range(8):
        optimizer.zero_grad()
        (network(picture) - goal).norm().backward()
        optimizer.step()
    assert float((network(picture) - goal).norm().detach()) < 0.8 * before
    assert all(not weight.requires_grad for weight in network.parameters())


def test_another_file_is_refused(tmp_path: Path) -> None:
    short = tmp_path / "short.dat"
    short.write_bytes(weights_path().read_bytes()[:3_000_000])
    with pytest.raises(InternalProblem, match="short"):
        DescriptorNetwork.load(short)
