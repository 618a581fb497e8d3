"""A trained renderer as files: safetensors to go on learning from, ONNX to dub with."""

from __future__ import annotations

import json
import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx.utils
import onnxruntime
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from problems import InvalidPackage
from rendering.batches import INPUT_CHANNELS
from rendering.generator import Generator, GeneratorConfig
from rendering.memory import Memory, MemoryConfig, interpolate_stream

FORMAT = "likeness.renderer/1"
Array = NDArray[np.float32]


@dataclass(frozen=True)
class Renderer:
    """What one person's training leaves behind."""

    generator: Generator
    """Running mean of the weights (EMA), in eval mode."""
    memory: Memory
    """Key encoder and slots, in eval mode."""
    size: int
    """Side of the frames it was trained on, pixels."""
    discriminator: Mapping[str, Tensor]
    """Weights to start another training from; may be empty."""
    facts: Mapping[str, Any]
    """Everything else in the file's metadata: steps, seconds, scores."""

    @torch.inference_mode()
    def recall(self, frames: Tensor) -> Tensor:
        """(B, 15, S, S) -> (B, Dv): each frame's value, not yet interpolated over time."""
        return self.memory.recall(self.memory.query(frames))


def save_renderer(renderer: Renderer, path: Path) -> None:
    """Write one safetensors file atomically; the metadata is one JSON object under ``likeness``."""
    tensors = {f"generator.{name}": value for name, value in renderer.generator.state_dict().items()}
    tensors |= {f"memory.{name}": value for name, value in renderer.memory.state_dict().items()}
    tensors |= {f"discriminator.{name}": value for name, value in renderer.discriminator.items()}
    metadata = {
        "format": FORMAT,
        "size": renderer.size,
        "generator": asdict(renderer.generator.config),
        "memory": asdict(renderer.memory.config),
        **renderer.facts,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    _write(path, lambda temporary: save_file(tensors, temporary, metadata={"likeness": json.dumps(metadata)}))


def load_renderer(path: Path) -> Renderer:
    """Read a renderer on the CPU.

    Raises:
        InvalidPackage: the file is missing, damaged, or of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["likeness"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if facts.pop("format") != FORMAT:
            raise KeyError("format")
        generator = Generator(GeneratorConfig(**facts.pop("generator")))
        memory = Memory(MemoryConfig(**facts.pop("memory")))
        generator.load_state_dict(part(tensors, "generator"))
        memory.load_state_dict(part(tensors, "memory"))
        size = int(facts.pop("size"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InvalidPackage(
            f"{path.name} is not a renderer of format {FORMAT}: {error}",
            remedy="train the person again with this version of Likeness",
        ) from error
    return Renderer(generator.eval(), memory.eval(), size, part(tensors, "discriminator"), facts)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix.``, without it."""
    return {
        name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(prefix + ".")
    }


class _Graph(nn.Module):
    """Generator and recall in one graph; either output can be asked for alone."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__()
        self.generator, self.memory = renderer.generator, renderer.memory

    def forward(self, frames: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output = self.generator(frames, value)
        return output.image, output.attention, self.memory.recall(self.memory.query(frames))


def export_onnx(renderer: Renderer, path: Path, *, size: int | None = None) -> None:
    """Write generator and memory as one ONNX file: any batch, fixed size S, opset 17.

    Inputs ``frames`` (B, 15, S, S) and ``value`` (B, Dv); outputs ``image`` (B, 3, S, S), ``attention`` (B,
    1, S, S), ``recalled`` (B, Dv). Empty slots are left out.
    """
    side = size or renderer.size
    graph = _Graph(Renderer(renderer.generator, _without_empty_slots(renderer.memory), side, {}, {})).eval()
    frames = torch.zeros(2, INPUT_CHANNELS, side, side)
    value = torch.zeros(2, renderer.generator.config.value_size)

    def write(temporary: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's deprecation notes; parity is tested
            torch.onnx.export(
                graph,
                (frames, value),
                str(temporary),
                input_names=["frames", "value"],
                output_names=["image", "attention", "recalled"],
                dynamic_axes={
                    name: {0: "batch"} for name in ("frames", "value", "image", "attention", "recalled")
                },
                opset_version=17,
                dynamo=False,  # the newer exporter needs onnxscript and gains nothing here
            )

    _write(path, write)


def _without_empty_slots(memory: Memory) -> Memory:
    filled = memory.filled if bool(memory.filled.any()) else torch.arange(len(memory.ages)) < 1
    config = MemoryConfig(**{**asdict(memory.config), "slots": int(filled.sum())})
    small = Memory(config).eval()
    state = memory.state_dict()
    for name in ("keys", "values", "ages", "frames"):
        state[name] = state[name][filled]
    small.load_state_dict(state)
    return small


def _write(path: Path, write: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class OnnxGenerator:
    """The renderer in ONNX Runtime: 1.4-2 times as fast as torch on a CPU. All arrays are float32 numpy.

    Raises:
        InvalidPackage: the file is missing or damaged.
    """

    def __init__(self, path: Path, threads: int = 0, *, half_window: int = MemoryConfig.half_window) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads  # 0: as many as there are cores
        try:
            # ONNX Runtime computes a whole graph, whatever outputs are asked for: so one session per question.
            extractor = onnx.utils.Extractor(onnx.load(path))
            self._painting, self._recalling = (
                onnxruntime.InferenceSession(
                    extractor.extract_model(inputs, outputs).SerializeToString(),
                    sess_options=options,
                    providers=["CPUExecutionProvider"],
                )
                for inputs, outputs in (
                    (["frames", "value"], ["image", "attention"]),
                    (["frames"], ["recalled"]),
                )
            )
        except Exception as error:  # onnx's and onnxruntime's error classes are private
            raise InvalidPackage(
                f"{path.name} can't be loaded as a generator: {error}",
                remedy="train the person again with this version of Likeness",
            ) from error
        frames, value = self._painting.get_inputs()
        self.size: int = frames.shape[-1]
        self.value_size: int = value.shape[-1]
        self.half_window = half_window

    def recall(self, frames: Array) -> Array:
        """frames (B, 15, S, S) as ``RenderBatch.network_input`` -> (B, Dv); interpolate over time before
        :meth:`run`."""
        recalled: Array = self._recalling.run(["recalled"], {"frames": np.ascontiguousarray(frames)})[0]
        return recalled

    def run(self, frames: Array, value: Array) -> Array:
        """frames (B, 15, S, S), value (B, Dv) -> image (B, 3, S, S) RGB in [-1, 1]."""
        return self._paint("image", frames, value)

    def paint(self, frames: Array, value: Array) -> tuple[Array, Array]:
        """frames (B, 15, S, S), value (B, Dv) -> image (B, 3, S, S) in [-1, 1] and attention (B, 1, S, S) in
        [0, 1]."""
        feeds = {"frames": np.ascontiguousarray(frames), "value": np.ascontiguousarray(value)}
        image, attention = self._painting.run(["image", "attention"], feeds)
        return image, attention

    def attention(self, frames: Array, value: Array) -> Array:
        """frames (B, 15, S, S), value (B, Dv) -> (B, 1, S, S) in [0, 1]: where the composite is kept."""
        return self._paint("attention", frames, value)

    def stream(self, chunks: Iterable[Array]) -> Iterator[Array]:
        """Consecutive frames in chunks (T, 15, S, S) -> images (T', 3, S, S), as many in all, ``half_window``
        later.

        Recalls, interpolates over time, generates. Memory stays flat: at most a chunk and the window are
        held.
        """
        waiting: deque[Array] = deque()

        def recalled() -> Iterator[Array]:
            for chunk in chunks:
                if len(chunk):
                    waiting.extend(chunk)
                    yield self.recall(chunk)

        for values in interpolate_stream(recalled(), self.half_window):
            yield self.run(np.stack([waiting.popleft() for _ in values]), values)

    def _paint(self, name: str, frames: Array, value: Array) -> Array:
        feeds = {"frames": np.ascontiguousarray(frames), "value": np.ascontiguousarray(value)}
        result: Array = self._painting.run([name], feeds)[0]
        return result
