"""The rendering benchmark: resized clips, recordings of a length, and (slow) the whole on the bundled sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.rendering import RenderingBench, _cover, _recording, _resized, run, with_preset
from media.audio import read_wav
from media.decode import read_frames
from media.probe import probe
from problems import InvalidParameter, NotFound


def test_a_clip_is_scaled_to_cover_and_cut() -> None:
    image = np.zeros((90, 160, 3), np.uint8)
    image[:, 80:] = 255
    for width, height in ((64, 64), (320, 180), (100, 40)):
        cut = _cover(image, width, height)
        assert cut.shape == (height, width, 3)
        assert cut[:, : width // 2 - 2].max() < 20  # the middle stays the middle
        assert cut[:, width // 2 + 2 :].min() > 235


def test_resized_clips_keep_frames_and_sound(sample_clip: Path, tmp_path: Path) -> None:
    out = _resized(sample_clip, tmp_path / "small.mp4", 160, 120, 12)
    assert len(list(read_frames(out))) == 12
    info = probe(out)
    assert info.video is not None
    assert (info.video.width, info.video.height) == (160, 120)
    assert info.audio is not None


def test_recordings_repeat_the_speech(tmp_path: Path) -> None:
    speech = np.linspace(-0.5, 0.5, 16_000, dtype=np.float32)
    samples = read_wav(_recording(speech, 2.5, tmp_path))
    assert len(samples) == 40_000
    np.testing.assert_allclose(samples[16_000:32_000], speech, atol=1e-4)


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gone\.mp4"):
        run(RenderingBench(clip=tmp_path / "gone.mp4"))
    with pytest.raises(InvalidParameter, match="finest"):
        with_preset(RenderingBench(), "finest")


@pytest.mark.slow
def test_the_benchmark_runs_on_the_sample() -> None:
    result = run(RenderingBench.quick())
    assert set(result) == {
        "device", "preset", "steps_per_s", "personalize_seconds", "personalize_peak_rss_mb", "split", "dub_fps",
        "peak_rss_mb",
    }  # fmt: skip
    assert result["dub_fps"]["512x512"] > 0
    assert set(result["peak_rss_mb"]) == {"8", "24"}
    assert {"fit.appearance", "render.surroundings"} <= set(result["split"])
