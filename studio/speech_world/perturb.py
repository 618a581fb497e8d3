"""What happens to a voice between a mouth and a file: pitch, room, noise, loudspeaker and telephone bands, codecs.

Every step keeps the time of what it is given to well within a frame, so phoneme times stay true; only the change of
pitch and speed scales them, by a factor that is reported.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, correlate, fftconvolve, sosfilt

Array = NDArray[np.float32]

RATE = 16_000
CLEAN = 0.4
"""Share of the sounds that only their level changes in."""


def perturb(samples: Array, rng: np.random.Generator) -> tuple[Array, float]:
    """A recording as it might have come.

    Args:
        samples: (N,) clean speech at 16 kHz.
        rng: source of chance.

    Returns:
        (M,) samples in [-1, 1], and M / N: the factor on all times.
    """
    factor = float(np.exp(np.clip(rng.normal(0, 0.06), -0.13, 0.13))) if rng.random() < 0.6 else 1.0
    result = change_speed(samples, factor)
    if rng.random() >= CLEAN:
        steps: tuple[tuple[float, Callable[[Array, np.random.Generator], Array]], ...] = (
            (0.4, add_room),
            (0.4, shape_band),
            (0.75, add_noise),
            (0.1, clip_softly),
            (0.25, through_codec),
        )
        for chance, step in steps:
            if rng.random() < chance:
                result = step(result, rng)
    level = 10 ** (rng.uniform(-32, -3) / 20)
    result = result * (level / max(float(np.abs(result).max()), 1e-6))
    return result.astype(np.float32), len(result) / max(len(samples), 1)


def change_speed(samples: Array, factor: float) -> Array:
    """Longer by ``factor`` and lower by as much."""
    if factor == 1.0:
        return samples
    return np.asarray(soxr.resample(samples, RATE, RATE * factor), np.float32)


def add_room(samples: Array, rng: np.random.Generator) -> Array:
    """A room's echo: noise that decays by 60 dB in 0.15 to 0.6 s, behind a direct sound that does not move."""
    decay_s = rng.uniform(0.15, 0.6)
    time = np.arange(int(decay_s * RATE)) / RATE
    echo = rng.standard_normal(len(time)) * np.exp(-6.9 * time / decay_s)
    echo[: int(rng.uniform(0.002, 0.01) * RATE)] = 0
    echo *= rng.uniform(0.1, 0.6) / max(float(np.sqrt((echo**2).sum())), 1e-9)
    echo[0] = 1.0
    return fftconvolve(samples, echo)[: len(samples)].astype(np.float32)


def shape_band(samples: Array, rng: np.random.Generator) -> Array:
    """A telephone, a laptop's microphone or a dull one: second-order filters, whose delay is a millisecond at most."""
    low, high = rng.choice([(300, 3400), (150, 7000), (60, 4500), (200, 6000)])
    sections = butter(2, [low, min(high, 7900)], "bandpass", fs=RATE, output="sos")
    return np.asarray(sosfilt(sections, samples), np.float32)


def add_noise(samples: Array, rng: np.random.Generator) -> Array:
    """White, pink or brown noise, or a mains hum, 8 to 40 dB below the speech."""
    kind = rng.integers(4)
    if kind == 3:
        time = np.arange(len(samples)) / RATE
        noise = sum(np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 6)) / k for k in range(1, 6))
    else:
        spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
        spectrum /= np.maximum(np.arange(len(spectrum)), 20.0) ** (kind / 2)
        noise = np.fft.irfft(spectrum, len(samples))
    noise = np.asarray(noise) / max(float(np.std(noise)), 1e-9)
    return (samples + noise * samples.std() * 10 ** (-rng.uniform(8, 40) / 20)).astype(np.float32)


def clip_softly(samples: Array, rng: np.random.Generator) -> Array:
    """An input turned up too far."""
    drive = rng.uniform(1.5, 4.0) / max(float(np.abs(samples).max()), 1e-6)
    return np.tanh(drive * samples).astype(np.float32)


def through_codec(samples: Array, rng: np.random.Generator) -> Array:
    """Mu-law at 8 kHz, or MP3 or Opus at a low rate; the codec's delay is taken out again."""
    kind = rng.integers(3)
    if kind == 0:
        narrow = soxr.resample(samples, RATE, 8000)
        top = max(float(np.abs(narrow).max()), 1e-6)
        coded = np.round(127 * np.sign(narrow) * np.log1p(255 * np.abs(narrow) / top) / np.log(256)) / 127
        wide = soxr.resample(top * np.sign(coded) * np.expm1(np.abs(coded) * np.log(256)) / 255, 8000, RATE)
        return np.pad(np.asarray(wide, np.float32), (0, 8))[: len(samples)]
    codec, container = (("libmp3lame", "mp3"), ("libopus", "ogg"))[kind - 1]
    return _roundtrip(samples, codec, container, int(rng.choice([24_000, 32_000, 48_000])))


def _roundtrip(samples: Array, codec: str, container: str, bit_rate: int) -> Array:
    rate = 48_000 if codec == "libopus" else RATE
    wide = soxr.resample(samples, RATE, rate) if rate != RATE else samples
    decoded = _decoded(_encoded(np.asarray(wide, np.float32), rate, codec, container, bit_rate))
    # The delay is the encoder's and the container's; nobody tells it exactly, so it is measured.
    span = min(len(samples), len(decoded), 4 * RATE)
    lags = correlate(decoded[:span], samples[:span], mode="full", method="fft")
    delay = int(lags[span - 1 - 2400 : span + 2400].argmax()) - 2400
    aligned = decoded[delay:] if delay >= 0 else np.pad(decoded, (-delay, 0))
    return np.pad(aligned, (0, max(0, len(samples) - len(aligned))))[: len(samples)].astype(np.float32)


def _encoded(samples: Array, rate: int, codec: str, container: str, bit_rate: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = bit_rate
        pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = rate
        context = stream.codec_context
        resampler = av.AudioResampler(format=context.format, layout="mono", rate=rate)
        fifo = av.AudioFifo()
        for part in resampler.resample(frame):
            fifo.write(part)
        while (piece := fifo.read(context.frame_size or 960, partial=True)) is not None:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def _decoded(content: bytes) -> Array:
    with av.open(io.BytesIO(content), "r") as file:
        convert = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        parts = [out.to_ndarray()[0] for frame in file.decode(audio=0) for out in convert.resample(frame)]
    return np.concatenate(parts).astype(np.float32)
