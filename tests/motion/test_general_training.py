"""General training learns a mapping that other speakers share, and a killed run ends like one that was not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from faces.morphable import MorphableModel
from motion.corpus import Corpus, SpokenClip
from motion.features import extract, speech_centre
from motion.general import SHIPPED, GeneralModel
from motion.general_training import GeneralConfig, train_general
from problems import Cancelled, InvalidParameter
from tests.motion.conftest import speak
from training.progress import Tick

NAMES = MorphableModel.load().expression_names
SMALL = GeneralConfig(steps=60, windows=8, length=160, hidden=32, projection=32, look_every=20, held_out=0.3)


def spoken(seed: int) -> SpokenClip:
    """Another voice and another size of movement for every seed."""
    speech = speak(200, seed=seed, voice_hz=90 + 25 * (seed % 6))
    rng = np.random.default_rng(seed)
    expression = np.full((200, len(NAMES)), 0.05, np.float32)
    expression[:, NAMES.index("jawOpen")] = rng.uniform(0.6, 1.2) * speech.jaw + rng.uniform(0, 0.1)
    closure = (speech.jaw < 0.02).astype(np.float32)
    return SpokenClip(
        extract(speech.samples)[:200],
        expression,
        np.zeros((200, 6), np.float32),
        np.ones(200, bool),
        closure,
        f"speaker {seed}",
        "ab" if seed % 2 else "cd",
        (~speech.silent).astype(np.float32),
    )


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(NAMES, tuple(spoken(seed) for seed in range(12)))


def test_other_speakers_are_predicted(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "general.safetensors"
    report = train_general(corpus, out, config=SMALL, seed=0, checkpoint_dir=tmp_path)
    assert report.clips < 12
    assert report.lip_r > 0.6
    assert report.lip_r_adapted > 0.6
    assert report.bilabial_auc > 0.85
    assert report.speaking_auc > 0.9
    assert set(report.lip_r_by_language) <= {"ab", "cd"}
    general = GeneralModel.load(out)
    stranger = spoken(77)
    jaw = stranger.expression[:, NAMES.index("jawOpen")]
    predicted, logits = general.predict(np.asarray(stranger.features, np.float32))
    assert np.corrcoef(predicted[:, NAMES.index("jawOpen")], jaw)[0, 1] > 0.6
    assert logits[stranger.closure > 0.5, 0].mean() > logits[stranger.closure < 0.5, 0].mean()


def test_the_voice_is_taken_out(corpus: Corpus, tmp_path: Path) -> None:
    """A constant added to all taps, as another microphone adds one, changes nothing."""
    out = tmp_path / "general.safetensors"
    train_general(corpus, out, config=replace(SMALL, steps=2), seed=0, checkpoint_dir=tmp_path)
    general = GeneralModel.load(out)
    values = np.asarray(corpus.clips[0].features, np.float32)
    coloured = values.copy()
    coloured[:, :384] += np.random.default_rng(0).standard_normal(384).astype(np.float32)
    assert np.abs(speech_centre(coloured) - speech_centre(values)).max() > 1
    np.testing.assert_allclose(general.predict(coloured)[0], general.predict(values)[0], atol=1e-4)


def test_a_kill_changes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    def train(name: str, stop_at: int | None) -> Path:
        def listen(tick: Tick) -> None:
            if tick.done == stop_at:
                raise Cancelled("stopped", remedy="go on")

        out = tmp_path / f"{name}.safetensors"
        train_general(corpus, out, config=SMALL, seed=1, checkpoint_dir=tmp_path / name, progress=listen)
        return out

    whole = GeneralModel.load(train("whole", None))
    with pytest.raises(Cancelled):
        train("killed", 60)
    assert not (tmp_path / "killed.safetensors").exists()
    resumed = GeneralModel.load(train("killed", None))
    for name, value in whole.net.state_dict().items():
        torch.testing.assert_close(resumed.net.state_dict()[name], value, rtol=0, atol=0)


def test_too_little_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    short = replace(corpus, clips=tuple(replace_length(clip, 20) for clip in corpus.clips[:2]))
    with pytest.raises(InvalidParameter, match="frames to learn from"):
        train_general(short, tmp_path / "g", seed=0, checkpoint_dir=tmp_path)
    foreign = Corpus(("unheardOf",), tuple(replace(c, expression=c.expression[:, :1]) for c in corpus.clips))
    with pytest.raises(InvalidParameter, match="head model"):
        train_general(foreign, tmp_path / "g", config=SMALL, seed=0, checkpoint_dir=tmp_path)


def replace_length(clip: SpokenClip, frames: int) -> SpokenClip:
    return replace(
        clip,
        features=clip.features[:frames],
        expression=clip.expression[:frames],
        pose=clip.pose[:frames],
        valid=clip.valid[:frames],
        closure=clip.closure[:frames],
        speaking=None,
    )


def test_the_shipped_weights_load_and_fit_the_shipped_head() -> None:
    general = GeneralModel.load(SHIPPED)
    assert SHIPPED.stat().st_size < 16 * 2**20
    assert set(general.expression_names) == set(NAMES)
    speech = speak(150, seed=3)
    predicted, logits = general.predict(extract(speech.samples)[:150])
    assert predicted.shape == (150, len(NAMES) + 6)
    assert np.isfinite(predicted).all()
    assert logits.shape == (150, 2)
    assert np.isfinite(logits).all()
