"""Whisper's log-mel front end and the early half of its tiny encoder (Radford et al. 2022, arXiv 2212.04356).

The network is ``weights/speech/whisper_tiny_ln4_int8.onnx`` (see the model card beside it). The log-mel recipe is the
one that it was trained with: waveform at zero mean and unit variance, power spectrum of a 400-sample periodic Hann
window every 160 samples, 80 Slaney mel filters, log10, floor at 8 decades under the loudest cell, (x + 4) / 4.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import scipy.fft
from numpy.typing import NDArray

from problems import InvalidPackage
from training.runtime import available_cores

Array = NDArray[np.float32]

RATE = 16_000
WINDOW, HOP, MELS = 400, 160, 80
CHUNK = 8 * RATE
"""Samples that the encoder sees at once."""
TAP = 320
"""Samples per tap: the encoder's 50 Hz. Tap j is centred on sample 320 j of the chunk."""
CHUNK_TAPS = CHUNK // TAP
WIDTH = 384
"""Channels of a tap."""
WEIGHTS = Path(__file__).parent.parent / "weights" / "speech" / "whisper_tiny_ln4_int8.onnx"


@lru_cache(maxsize=1)
def mel_filters() -> Array:
    """(80, 201) Slaney mel filters over 0-8 kHz, each of unit area."""

    def to_mel(hertz: NDArray[Any]) -> NDArray[Any]:
        linear = hertz * 3 / 200
        return np.where(hertz < 1000, linear, 15 + np.log(np.maximum(hertz, 1) / 1000) * 27 / np.log(6.4))

    def to_hertz(mel: NDArray[Any]) -> NDArray[Any]:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    edges = to_hertz(np.linspace(0, to_mel(np.array(RATE / 2.0)), MELS + 2))
    bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return filters.astype(np.float32)


@lru_cache(maxsize=1)
def _hann() -> Array:
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def log_mel(samples: Array) -> Array:
    """(N,) normalised samples at 16 kHz -> (80, N // 160); column i is centred on sample 160 i."""
    padded = np.pad(samples, WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][: len(samples) // HOP]
    spectrum = scipy.fft.rfft(windows * _hann(), axis=-1)
    power = spectrum.real**2 + spectrum.imag**2  # (frames, 201)
    cells = np.log10(np.maximum(mel_filters() @ power.T, 1e-10))
    return ((np.maximum(cells, cells.max() - 8) + 4) / 4).astype(np.float32)


class SpeechEncoder:
    """The ONNX session; one per process is enough, it is safe to call from several threads.

    Raises:
        InvalidPackage: the weights are missing or damaged.
    """

    def __init__(self, weights: Path = WEIGHTS) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = available_cores()
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave the cores to others
        try:
            self._session = onnxruntime.InferenceSession(
                str(weights), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises several unrelated types, some private
            raise InvalidPackage(
                f"the speech encoder {weights.name} is missing or damaged ({type(error).__name__})",
                remedy="restore weights/speech from the checkout, or run python -m studio.extract_speech_encoder",
            ) from error

    def taps(self, chunk: Array, level: float) -> Array:
        """(128000,) samples divided by ``level`` (their standard deviation, floored) -> (400, 384) at 50 Hz."""
        normalised = (chunk - chunk.mean(dtype=np.float64)) / level
        mel = log_mel(normalised.astype(np.float32))
        taps: Array = self._session.run(None, {"input_features": mel[None]})[0][0]
        return taps


@lru_cache(maxsize=1)
def shared_encoder() -> SpeechEncoder:
    """The process's encoder with the shipped weights."""
    return SpeechEncoder()
