"""The product's own wav files, and sound as a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.audio import read_wav, stream_wav, write_wav
from media.sound import read_sound
from problems import InvalidParameter, NotFound, UnreadableMedia
from tests.media.generated import tone, write_media


def test_what_is_written_is_read(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples)
    seen = read_wav(tmp_path / "a.wav")
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, samples, atol=1 / 32000)
    write_wav(tmp_path / "loud.wav", np.array([2.0, -2.0]))
    np.testing.assert_allclose(read_wav(tmp_path / "loud.wav"), [1, -1], atol=1e-3)


def test_other_wavs_are_mixed_and_resampled(tmp_path: Path) -> None:
    stereo = np.concatenate([tone(1.0, 44100, level=0.4), tone(1.0, 44100, level=0.2)], 1)
    soundfile.write(tmp_path / "a.wav", stereo, 44100)
    seen = read_wav(tmp_path / "a.wav")
    assert seen.shape == (16000,)
    np.testing.assert_allclose(seen[2000:-2000], tone(1.0, 16000, level=0.3)[2000:-2000, 0], atol=2e-3)


@pytest.mark.parametrize("total", [0, 1, 15999, 16000, 16001, 70000])
@pytest.mark.parametrize("overlap", [0.0, 0.25])
def test_chunks_tile_the_file(tmp_path: Path, total: int, overlap: float) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, total).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples)
    whole = read_wav(tmp_path / "a.wav")
    bodies, position = [], 0
    for chunk in stream_wav(tmp_path / "a.wav", 1.0, overlap):
        np.testing.assert_array_equal(chunk.samples, whole[chunk.start : chunk.start + len(chunk.samples)])
        assert chunk.start + chunk.body.start == position
        body = chunk.samples[chunk.body]
        bodies.append(body)
        position += len(body)
        assert chunk.body.start == min(round(overlap * 16000), position - len(body))
        assert len(chunk.samples) <= 16000 * (1 + 2 * overlap)
    np.testing.assert_array_equal(np.concatenate(bodies) if bodies else np.zeros(0, np.float32), whole)


def test_what_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_wav(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(UnreadableMedia):
        read_wav(tmp_path / "text.wav")
    with pytest.raises(UnreadableMedia):
        next(stream_wav(tmp_path / "text.wav", 1.0))
    soundfile.write(tmp_path / "fast.wav", tone(0.1), 48000)
    with pytest.raises(InvalidParameter, match="48000"):
        next(stream_wav(tmp_path / "fast.wav", 1.0))
    with pytest.raises(InvalidParameter):
        next(stream_wav(tmp_path / "fast.wav", 0.0))


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (96000, 2)])
def test_decoded_sound_equals_its_source(tmp_path: Path, rate: int, channels: int) -> None:
    path = write_media(tmp_path / "a.flac", sound=tone(1.5, rate, channels), sound_codec="flac", rate=rate)
    seen = np.concatenate(list(read_sound(path, rate=16000)))
    assert seen.shape == (24000, 1)
    np.testing.assert_allclose(seen[1000:-1000], tone(1.5, 16000)[1000:-1000], atol=3e-3)


def test_the_window_of_a_sound(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.flac", sound=tone(2.0), sound_codec="flac")
    seen = np.concatenate(list(read_sound(path, origin_s=0.5, stop_s=1.0)))
    np.testing.assert_allclose(seen[500:-500, 0], tone(1.5, 16000)[8500:-500, 0], atol=3e-3)
    before = np.concatenate(list(read_sound(path, origin_s=-0.5, stop_s=1.0)))
    assert np.abs(before[:7900]).max() < 1e-4
    np.testing.assert_allclose(before[8500:, 0], tone(0.5, 16000)[500:, 0], atol=3e-3)
