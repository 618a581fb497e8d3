from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from problems import InvalidPackage
from rendering.export import OnnxGenerator, Renderer, export_onnx, load_renderer, save_renderer
from rendering.generator import Generator, GeneratorConfig
from rendering.memory import Memory, MemoryConfig, interpolate_recalled
from tests.rendering.moving_blobs import SIZE, MovingBlobs


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    """Random weights, large enough in the heads that every path shows in the image; a memory with gaps."""
    torch.manual_seed(0)
    blobs = MovingBlobs(12)
    generator, memory = (
        Generator(GeneratorConfig(width=8, rank=8)).eval(),
        Memory(MemoryConfig(slots=30)).eval(),
    )
    generator.standardise(blobs.values)
    generator.heads.weight.data.mul_(100)
    memory.set_threshold(blobs.values)
    batch = blobs.batch(torch.arange(12), torch.Generator())
    memory.update(memory.query(batch.network_input()).detach(), batch.value, batch.frame)
    return Renderer(generator, memory, SIZE, {}, {"steps": 5})


@pytest.fixture(scope="module")
def onnx(renderer: Renderer, tmp_path_factory: pytest.TempPathFactory) -> OnnxGenerator:
    path = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    export_onnx(renderer, path)
    assert [file.name for file in path.parent.iterdir()] == ["generator.onnx"]
    return OnnxGenerator(path, threads=1)


@pytest.mark.parametrize("count", [1, 3])
def test_onnx_equals_torch(renderer: Renderer, onnx: OnnxGenerator, count: int) -> None:
    frames = MovingBlobs(4).held_out.network_input()[:count]
    values = renderer.recall(frames)
    with torch.inference_mode():
        expected = renderer.generator(frames, values)
    assert expected.image.sub(frames[:, 6:9]).abs().max() > 0.1  # the network does something
    assert np.abs(onnx.run(frames.numpy(), values.numpy()) - expected.image.numpy()).max() < 1e-3
    assert np.abs(onnx.attention(frames.numpy(), values.numpy()) - expected.attention.numpy()).max() < 1e-3
    assert np.abs(onnx.recall(frames.numpy()) - values.numpy()).max() < 1e-3
    assert (onnx.size, onnx.value_size) == (SIZE, 368)


@pytest.mark.parametrize("sizes", [[4, 4, 4], [1] * 12, [12]])
def test_stream_interpolates_what_is_recalled(onnx: OnnxGenerator, sizes: list[int]) -> None:
    frames = MovingBlobs(12).batch(torch.arange(12), torch.Generator().manual_seed(0)).network_input().numpy()
    whole = onnx.run(frames, interpolate_recalled(onnx.recall(frames), onnx.half_window))
    streamed = np.concatenate(list(onnx.stream(np.split(frames, np.cumsum(sizes)[:-1]))))
    assert streamed.shape == whole.shape
    assert np.abs(streamed - whole).max() < 1e-4


def test_safetensors_round_trip(renderer: Renderer, tmp_path: Path) -> None:
    path = tmp_path / "renderer.safetensors"
    save_renderer(replace(renderer, discriminator={"w": torch.ones(2)}), path)
    loaded = load_renderer(path)
    assert loaded.facts == {"steps": 5}
    assert loaded.size == SIZE
    assert torch.equal(loaded.discriminator["w"], torch.ones(2))
    frames = MovingBlobs(4).held_out.network_input()
    assert torch.equal(loaded.recall(frames), renderer.recall(frames))


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for name, load in (("renderer.safetensors", load_renderer), ("generator.onnx", OnnxGenerator)):
        path = tmp_path / name
        with pytest.raises(InvalidPackage, match=name):
            load(path)
        path.write_bytes(b"not a network")
        with pytest.raises(InvalidPackage, match=name):
            load(path)
