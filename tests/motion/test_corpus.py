"""Corpus shards: what goes in comes out, and what does not fit together is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from motion.corpus import Corpus, SpokenClip, read_shard, write_shard
from motion.features import DIMENSION
from problems import InvalidPackage, InvalidParameter

NAMES = ("jawOpen", "mouthClose", "browInnerUp")


def clip(frames: int, speaker: str, seed: int = 0) -> SpokenClip:
    rng = np.random.default_rng(seed)
    closure = (rng.random(frames) > 0.8).astype(np.float32)
    closure[:2] = np.nan
    return SpokenClip(
        rng.standard_normal((frames, DIMENSION)).astype(np.float32),
        rng.random((frames, len(NAMES))).astype(np.float32),
        rng.standard_normal((frames, 6)).astype(np.float32),
        rng.random(frames) > 0.1,
        closure,
        speaker,
        "de",
    )


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    clips = [clip(20, "a", 1), clip(35, "b", 2)]
    write_shard(tmp_path / "s.safetensors", NAMES, clips)
    names, read = read_shard(tmp_path / "s.safetensors")
    assert names == NAMES
    assert [(c.speaker, c.language, len(c)) for c in read] == [("a", "de", 20), ("b", "de", 35)]
    for before, after in zip(clips, read, strict=True):
        np.testing.assert_allclose(after.features, before.features, rtol=2e-3, atol=1e-3)
        np.testing.assert_allclose(after.expression, before.expression, atol=1e-3)
        np.testing.assert_array_equal(after.valid, before.valid)
        np.testing.assert_array_equal(np.isnan(after.closure), np.isnan(before.closure))


def test_a_corpus_is_all_shards_of_all_folders(tmp_path: Path) -> None:
    write_shard(tmp_path / "one" / "a.safetensors", NAMES, [clip(20, "a")])
    write_shard(tmp_path / "two" / "b.safetensors", NAMES, [clip(20, "b"), clip(30, "c")])
    corpus = Corpus.load([tmp_path / "one", tmp_path / "two"])
    assert [c.speaker for c in corpus.clips] == ["a", "b", "c"]
    assert corpus.frames == 70


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="expression of a clip"):
        write_shard(tmp_path / "s.safetensors", NAMES[:2], [clip(20, "a")])
    assert not (tmp_path / "s.safetensors").exists()
    with pytest.raises(InvalidParameter, match="holds no training data"):
        Corpus.load([tmp_path])
    write_shard(tmp_path / "a.safetensors", NAMES, [clip(20, "a")])
    other = replace(clip(20, "a"), expression=np.zeros((20, 2), np.float32))
    write_shard(tmp_path / "b.safetensors", NAMES[:2], [other])
    with pytest.raises(InvalidParameter, match="another head model"):
        Corpus.load([tmp_path])
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(InvalidPackage):
        Corpus.load([tmp_path])
