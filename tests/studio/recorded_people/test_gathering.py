"""Stand-ins for datasets go through fit and features into a corpus that the general training learns from."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from motion.corpus import Corpus
from motion.features import ACTIVITY
from motion.general import GeneralModel
from motion.general_training import GeneralConfig, train_general
from studio.recorded_people import gathering
from studio.recorded_people.gathering import gather

PRESENTER = Path(gathering.__file__).parents[1] / "sample" / "presenter.mp4"


def cut(out: Path, start_s: float, frames: int, sound: bool = True) -> Path:
    """Some frames of the bundled presenter with their sound, encoded anew."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(PRESENTER)) as source, av.open(str(out), "w") as file:
        video, audio = source.streams.video[0], source.streams.audio[0]
        picture = file.add_stream("libx264", rate=25)
        assert isinstance(picture, av.VideoStream)
        picture.width, picture.height, picture.pix_fmt = video.width, video.height, "yuv420p"
        voice = file.add_stream("aac", rate=48000) if sound else None
        taken = 0
        for frame in source.decode(video):
            if frame.time >= start_s and taken < frames:
                own = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")
                own.pts, taken = taken, taken + 1
                file.mux(picture.encode(own))
        file.mux(picture.encode(None))
        if voice is None:
            return out
        source.seek(0)
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=48000)
        parts = [o.to_ndarray()[0] for f in source.decode(audio) for o in resampler.resample(f)]
        samples = np.concatenate(parts)[int(start_s * 48000) : int((start_s + frames / 25) * 48000)]
        for at in range(0, len(samples), 1024):
            block = av.AudioFrame.from_ndarray(samples[None, at : at + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts = 48000, at
            file.mux(voice.encode(block))
        file.mux(voice.encode(None))
    return out


@pytest.fixture(scope="module")
def lrw(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Twenty-nine-frame words, one of them unreadable, gathered once."""
    root, out = tmp_path_factory.mktemp("lrw"), tmp_path_factory.mktemp("corpus")
    for number, start in enumerate((0.5, 3.0, 6.0)):
        cut(root / f"ABOUT/train/ABOUT_{number:05d}.mp4", start, 29)
    cut(root / "ABOUT/test/ABOUT_00001.mp4", 2.0, 29, sound=False)
    (root / "ABOUT/val").mkdir()
    (root / "ABOUT/val/ABOUT_00001.mp4").write_bytes(b"no video")
    gather(root, out)
    return root, out


def test_words_become_a_corpus(lrw: tuple[Path, Path]) -> None:
    _, out = lrw
    corpus = Corpus.load([out])
    assert [len(clip) for clip in corpus.clips] == [29, 29, 29]
    assert {clip.language for clip in corpus.clips} == {"en"}
    for clip in corpus.clips:
        assert np.isnan(clip.closure).all()
        assert clip.valid.mean() > 0.8
        assert np.asarray(clip.features[:, ACTIVITY]).max() > 0.5
        jaw = np.asarray(clip.expression[:, corpus.expression_names.index("jawOpen")], float)
        assert jaw.std() > 0.005  # the presenter speaks


def test_what_was_left_out_is_listed(lrw: tuple[Path, Path]) -> None:
    _, out = lrw
    skipped = json.loads((out / "skipped.json").read_text())
    assert set(skipped) == {"ABOUT/test/ABOUT_00001.mp4", "ABOUT/val/ABOUT_00001.mp4"}
    assert "no sound" in skipped["ABOUT/test/ABOUT_00001.mp4"]


def test_finished_shards_are_kept(lrw: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = lrw

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a finished shard was made again")

    monkeypatch.setattr(gathering, "ProcessPoolExecutor", never)
    again = gather(root, out)
    assert (again.clips, len(again.skipped)) == (3, 2)
    # A clip that came since is another shard.
    cut(root / "ABOUT/train/ABOUT_00009.mp4", 1.0, 29)
    with pytest.raises(AssertionError, match="made again"):
        gather(root, out)
    (root / "ABOUT/train/ABOUT_00009.mp4").unlink()


def test_a_model_is_trained_on_words(lrw: tuple[Path, Path], tmp_path: Path) -> None:
    corpus = Corpus.load([lrw[1]])
    many = Corpus(corpus.expression_names, corpus.clips * 8)
    config = GeneralConfig(
        steps=4, windows=4, length=29, hidden=16, projection=16, look_every=2, held_out=0.0
    )
    report = train_general(many, tmp_path / "g.safetensors", config=config, seed=0, checkpoint_dir=tmp_path)
    assert report.clips == 24
    general = GeneralModel.load(tmp_path / "g.safetensors")
    predicted, events = general.predict(np.asarray(corpus.clips[0].features, np.float32))
    assert np.isfinite(predicted).all()
    assert np.isfinite(events).all()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["hdtf", "mead", "voxceleb", "clips"])
def test_every_layout_is_gathered_by_the_command(layout: str, tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "corpus"
    places = {
        "hdtf": ("RD_Radio1_000.mp4", None),
        "mead": ("M003/video/front/happy/level_2/001.mp4", "M003/audio/happy/level_2/001.m4a"),
        "voxceleb": ("dev/mp4/id00012/abc/00001.mp4", "dev/aac/id00012/abc/00001.m4a"),
        "clips": ("ada/one.mp4", None),
    }
    video, sound = places[layout]
    cut(root / video, 0.0, 125, sound=sound is None)
    if sound is not None:
        whole = cut(tmp_path / "sound.mp4", 0.0, 125)
        (root / sound).parent.mkdir(parents=True)
        with av.open(str(whole)) as source, av.open(str(root / sound), "w", format="ipod") as file:
            stream = file.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    file.mux(packet)
    done = subprocess.run(
        ["likeness", "train", "clips", str(root), "--out", str(out), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1])["layout"] == layout
    (clip,) = Corpus.load([out]).clips
    assert len(clip) == 125
