"""The speech world: clips whose numbers agree with their truth; shards that repeat."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from motion.corpus import Corpus
from motion.features import DIMENSION
from studio.babble import babble
from studio.speech import Phoneme
from studio.speech_world import world as module
from studio.speech_world.utterances import Utterance, draw_utterance, joined
from studio.speech_world.world import Presenter, SpeechWorld, spoken_clip, write_world
from tests.motion.conftest import speak


def test_a_clip_holds_what_is_true() -> None:
    world = SpeechWorld()
    rng = np.random.default_rng(0)
    said = Utterance(speak(150, seed=1).samples, babble(rng, 6.0), "xx", "nobody", np.zeros(150))
    truth = world.perform(said, Presenter.draw(rng, world.names), rng)
    clip = spoken_clip(truth, "somebody")
    assert clip.features.shape == (150, DIMENSION)
    assert np.abs(clip.pose.mean(0)).max() < 0.05
    np.testing.assert_allclose(
        truth.motion.expression @ world.geometry.opening + world.geometry.rest,
        truth.articulation.opening,
        atol=0.02,
    )
    assert set(np.unique(clip.closure[np.isfinite(clip.closure)].round())) == {0.0, 1.0}
    met = clip.closure > 0.99
    assert truth.articulation.opening[met].max() < 0.003
    track = truth.track()
    assert len(track) == 150
    assert track.valid.all()


def test_joined_phonemes_have_no_gaps() -> None:
    parts = [Phoneme("", 0, 0.2), Phoneme("a", 0.2, 0.5), Phoneme("", 0.5, 0.6), Phoneme("", 0.6, 1.0)]
    result = joined(parts, 1.1, 1.15)
    assert [p.ipa for p in result] == ["", "a", ""]
    assert result[0].start_s == 0
    assert result[-1].end_s == 1.15
    assert all(a.end_s == b.start_s for a, b in pairwise(result))


def test_an_utterances_phonemes_fit_its_sound() -> None:
    pytest.importorskip("espeakng_loader")
    for seed in range(4):
        said = draw_utterance(np.random.default_rng(seed), "train", (5.0, 6.0))
        assert abs(said.phonemes[-1].end_s - len(said.samples) / 16_000) < 1e-6
        assert said.phonemes[0].start_s == 0
        level = np.abs(said.samples)
        spoken = np.zeros(len(level), bool)
        for phoneme in said.phonemes:
            if phoneme.ipa:
                spoken[int(phoneme.start_s * 16_000) : int(phoneme.end_s * 16_000)] = True
        assert level[spoken].mean() > 1.5 * level[~spoken].mean()


def test_a_corpus_repeats_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    monkeypatch.setattr(module, "SHARD_CLIPS", 2)
    write_world(tmp_path / "a", hours=0.02, seed=3)
    write_world(tmp_path / "b", hours=0.02, seed=3)
    first, second = Corpus.load([tmp_path / "a"]), Corpus.load([tmp_path / "b"])
    assert len(first.clips) == len(second.clips) == 4
    for one, other in zip(first.clips, second.clips, strict=True):
        np.testing.assert_array_equal(one.features, other.features)
        assert one.speaker == other.speaker
    kept = sorted((tmp_path / "a").iterdir())[0]
    stamp = kept.stat().st_mtime_ns
    sorted((tmp_path / "a").iterdir())[1].unlink()
    write_world(tmp_path / "a", hours=0.02, seed=3)
    assert kept.stat().st_mtime_ns == stamp
    assert len(Corpus.load([tmp_path / "a"]).clips) == 4
