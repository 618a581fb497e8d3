from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from motion.encoder import CHUNK, log_mel, mel_filters, shared_encoder
from motion.features import (
    ACTIVITY,
    BLOCK_FRAMES,
    DIMENSION,
    ENERGY,
    PITCH,
    VOICING,
    FeatureStream,
    extract,
    extract_stream,
)
from motion.prosody import pitch
from problems import InvalidPackage, InvalidParameter
from tests.motion.conftest import FRAME, RATE, speak


@pytest.mark.parametrize("samples", [0, 1, 639, 640, 641, 64_000, 127_999, 128_001])
def test_there_are_as_many_frames_as_begun_640_samples(samples: int) -> None:
    assert extract(np.full(samples, 0.01, np.float32)).shape == (-(-samples // 640), DIMENSION)


@pytest.mark.parametrize("frame", [3, 60, 99, 100, 101, 160])
@pytest.mark.parametrize("where", [20, 320, 619])
def test_a_click_in_a_frame_is_seen_in_that_frame(frame: int, where: int) -> None:
    """Also on both sides of the edge of a 4 s block; off by one frame fails."""
    samples = 1e-4 * np.random.default_rng(0).standard_normal(200 * FRAME).astype(np.float32)
    quiet = extract(samples)
    samples[frame * FRAME + where] += 0.5
    clicked = extract(samples)
    assert clicked[:, ENERGY].argmax() == frame
    moved = np.linalg.norm((clicked - quiet)[:, :ENERGY], axis=1)
    centre = (moved * np.arange(200))[frame - 3 : frame + 4].sum() / moved[frame - 3 : frame + 4].sum()
    assert abs(centre - (frame + (where - 320) / 640)) < 0.5  # the taps' centre of mass, in frames
    if where == 320:
        assert moved.argmax() == frame


def test_pieces_give_the_same_features_as_the_whole() -> None:
    samples = speak(430, seed=3).samples[: 430 * FRAME - 77]
    whole = extract(samples)
    rng = np.random.default_rng(0)
    cuts = np.sort(rng.integers(0, len(samples), 23))
    parts = list(extract_stream(np.split(samples, cuts)))
    np.testing.assert_array_equal(np.concatenate([part.values for part in parts]), whole)
    starts = np.cumsum([0] + [len(part.values) for part in parts])
    assert [part.start for part in parts] == starts[:-1].tolist()


def test_no_seam_shows_between_chunks() -> None:
    """The same sound on another chunk grid: frames at a chunk's edge differ no more than frames elsewhere."""
    speech = speak(500, seed=4).samples
    shift = 37
    one = extract(speech)[:, :ENERGY]
    other = extract(np.concatenate([np.zeros(shift * FRAME, np.float32), speech]))[shift:, :ENERGY]
    inner = slice(110, 390)  # both have context on both sides
    difference = np.linalg.norm(one - other, axis=1)[inner] / np.linalg.norm(one - one.mean(0), axis=1).mean()
    frames = np.arange(500)[inner]
    edge = np.minimum.reduce([
        np.abs((frames + offset + BLOCK_FRAMES // 2) % BLOCK_FRAMES - BLOCK_FRAMES // 2) for offset in (0, shift)
    ])  # fmt: skip
    assert difference[edge <= 2].mean() < 1.25 * difference[edge > 10].mean()
    # Hard chunks differ by far more at their edges: the test can tell.
    hard = np.concatenate([
        shared_encoder().taps(speech[s : s + CHUNK], float(speech[s : s + CHUNK].std())) for s in (0, CHUNK)
    ])[1::2]  # fmt: skip
    step = np.linalg.norm(np.diff(one, axis=0), axis=1)
    hard_step = np.linalg.norm(np.diff(hard, axis=0), axis=1)
    assert hard_step[199] / np.median(hard_step) > step[199] / np.median(step)


def test_memory_is_flat_however_long_the_sound() -> None:
    stream = FeatureStream()
    piece = speak(100, seed=5).samples
    held = []
    for _ in range(12):
        list(stream.push(piece))
        held.append(len(stream._samples) + len(stream._taps) * 320)
    assert max(held[4:]) <= held[3]


def test_a_quieter_copy_has_nearly_the_same_features() -> None:
    speech = speak(250, seed=6).samples
    loud, quiet = extract(speech), extract(speech * 0.02)
    assert np.abs(loud[:, VOICING:] - quiet[:, VOICING:]).mean() < 0.05
    taps = slice(0, ENERGY)
    assert np.linalg.norm((loud - quiet)[:, taps]) < 0.15 * np.linalg.norm(
        loud[:, taps] - loud[:, taps].mean(0)
    )


@pytest.mark.parametrize("hertz", [75.0, 120.0, 233.0, 420.0])
def test_pitch_of_a_harmonic_tone(hertz: float) -> None:
    time = np.arange(RATE) / RATE
    tone = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 8)).astype(np.float32)
    found, strength = pitch(tone, np.arange(2000, 14_000, 320))
    np.testing.assert_allclose(found, hertz, rtol=0.01)
    assert strength.min() > 0.9


def test_pitch_column_is_relative_to_the_voice() -> None:
    for voice in (100.0, 200.0):
        values = extract(speak(300, seed=7, voice_hz=voice).samples)
        voiced = values[:, VOICING] > 0.8
        assert abs(np.median(values[100:][voiced[100:], PITCH])) < 0.2


def test_activity_tells_speech_from_silence_and_noise() -> None:
    speech = speak(400, seed=8)
    active = extract(speech.samples)[:, ACTIVITY]
    # Away from the borders: activity has a margin on purpose.
    deep = np.convolve(speech.silent, np.ones(15), mode="same") == 15
    assert deep.sum() > 5
    assert active[deep].max() < 0.2
    assert active[~speech.silent].mean() > 0.95
    noise = 0.05 * np.random.default_rng(0).standard_normal(300 * FRAME).astype(np.float32)
    assert extract(noise)[:, ACTIVITY].mean() < 0.1
    assert extract(np.zeros(300 * FRAME, np.float32))[:, ACTIVITY].max() == 0


def test_the_log_mel_front_end() -> None:
    filters = mel_filters()
    assert filters.shape == (80, 201)
    width = 8000 / 200
    np.testing.assert_allclose(filters[45:].sum(1) * width, 1.0, atol=0.06)  # unit area
    chirp = scipy.signal.chirp(np.arange(CHUNK) / RATE, 100, 8, 7000).astype(np.float32)
    mel = log_mel(chirp / chirp.std())
    assert mel.shape == (80, 800)
    assert mel.max() - mel.min() <= 2.0 + 1e-6  # eight decades, over four
    assert (np.diff(mel[:, 20:780].argmax(0)) >= 0).all()


def test_bad_sound_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="finite"):
        extract(np.array([0.0, np.nan], np.float32))
    with pytest.raises(InvalidParameter, match="one channel"):
        extract(np.zeros((2, 100), np.float32))


def test_damaged_weights_are_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from motion.encoder import SpeechEncoder

    (tmp_path / "x.onnx").write_bytes(b"not a model")
    with pytest.raises(InvalidPackage, match=r"x\.onnx"):
        SpeechEncoder(tmp_path / "x.onnx")
