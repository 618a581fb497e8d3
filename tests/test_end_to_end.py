"""The whole way in small: a clip and a recording in, a dubbed video out, with a network trained for a few steps.

On the bundled sample; `./dev long` also takes a real clip where there is one beside the checkout.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from evaluation.motion_preview import MotionCurves
from faces.mouth import mouth_opening
from faces.track import FaceTrack, Motion
from fitting.landmarks import FaceLandmarker
from likeness.settings import Settings
from media.audio import read_wav, write_wav
from media.decode import read_frames
from media.encode import Encoding
from media.normalise import normalise_recording
from media.probe import probe
from media.sound import read_sound
from motion.predict import MotionControls, MotionPredictor
from problems import InternalProblem, InvalidPackage, InvalidParameter, UnreadableMedia
from provenance.credentials import development
from rendering.discriminator import DiscriminatorConfig
from rendering.generator import GeneratorConfig
from rendering.train import RendererConfig
from training.progress import Progress, silent
from workers.driving import MISMATCHES, driven_motion, frames_to_make
from workers.mark import Mark
from workers.meter import expected
from workers.package import open_package
from workers.runner import STAGES, StageContext
from workers.stages import dub, fit, motion, publish, render, speak, validate, verify

FRAMES = 90
TINY = RendererConfig(
    size=128,
    batch=2,
    steps=6,
    report_every=2,
    preview_every=6,
    generator=GeneratorConfig(width=8),
    discriminator=DiscriminatorConfig(width=8),
)


def learn(clip: Path, folder: Path) -> Path:
    """A PERSON from the first frames of ``clip``; whatever is said of its progress is in the plan of it."""
    work = folder / "work"
    work.mkdir(parents=True)
    person = folder / "person.likeness"
    told: dict[str, set[str]] = defaultdict(set)

    def listen(stage: str) -> Progress:
        return lambda tick: told[stage].add(tick.stage)

    validate.run(clip, work, progress=listen("validate"))
    fit.run(work, frames=FRAMES, preset="preview", seed=0, progress=listen("fit"))
    motion.run(work, preset="preview", seed=0, progress=listen("motion"))
    report = render.run(work, preset="preview", seed=0, device="cpu", config=TINY, progress=listen("render"))
    assert report is not None
    assert report.steps == TINY.steps
    publish.run(work, person, preset="preview", seed=0)
    for stage, ticks in told.items():
        assert ticks == set(expected(STAGES[stage].seconds, {"preset": "preview"}, ())), stage
    return person


@pytest.fixture(scope="module", params=["sample", pytest.param("real", marks=pytest.mark.slow)])
def person(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person per kind of clip."""
    if request.param == "sample":
        clip = request.getfixturevalue("sample_clip")
    else:
        clip = request.getfixturevalue("shared_clips") / "german_male_20s.mp4"
    return learn(clip, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def recording(sample_recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.7 s of the bundled recording: not a whole number of frames."""
    folder = tmp_path_factory.mktemp("recording")
    normalise_recording(sample_recording, folder / "whole.wav")
    write_wav(folder / "part.wav", read_wav(folder / "whole.wav")[: int(1.7 * 16000)])
    return folder / "part.wav"


def test_instant_dub_needs_no_network(person: Path, recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    assert dub.run(person, recording, out, seed=1, preset="instant") == 43
    whole = np.stack(list(read_frames(out))).astype(int)
    dub.run(person, recording, tmp_path / "network.mp4", seed=1)
    drawn = np.stack(list(read_frames(tmp_path / "network.mp4"))).astype(int)
    assert whole.shape == drawn.shape
    assert np.abs(whole - drawn).max() > 5  # the face was painted by the network in one of them
    assert np.abs(whole - drawn).mean() < 3
    with pytest.raises(InvalidParameter, match="best"):
        dub.run(person, recording, tmp_path / "best.mp4", preset="best")


@pytest.mark.slow
def test_what_is_shown_can_be_chosen(person: Path, recording: Path, tmp_path: Path) -> None:
    assert dub.run(person, recording, tmp_path / "face.mp4", preset="instant", output="face") == 43
    assert dub.run(person, recording, tmp_path / "alpha.webm", preset="instant", output="alpha") == 43
    face, alpha = probe(tmp_path / "face.mp4"), probe(tmp_path / "alpha.webm")
    assert face.video is not None
    assert alpha.video is not None
    assert face.video.width == face.video.height
    assert face.audio is not None
    assert alpha.audio is not None
    assert abs(alpha.duration_s - 1.7) <= 1 / 25 + 0.01
    for output, name in (("alpha", "out.mp4"), ("frame", "out.avi"), ("ghost", "out.mp4")):
        with pytest.raises(InvalidParameter):
            dub.run(person, recording, tmp_path / name, output=output)
    with pytest.raises(InvalidParameter, match="mov"):
        dub.run(person, recording, tmp_path / "out.mp4", encoding=Encoding("mov"))


def test_a_job_writes_what_was_asked_for(person: Path, recording: Path, tmp_path: Path) -> None:
    """43 frames of the clock are 52 at 30 a second, drawn at their own moments: none repeats the one before."""
    asked = {
        "pose": "clip",
        "seed": 0,
        "preset": "instant",
        "format": "mov",
        "height": 200,
        "fps": 30,
        "crf": None,
    }
    context = StageContext(
        tmp_path,
        {"person": person, "recording": recording},
        {**asked, "length_mismatch": "hold", "face": None},
        "cpu",
        silent,
        "job_1",
        Settings(data_dir=tmp_path / "data"),
    )
    result = STAGES["dub"].run(context)
    assert result == {"frames": 52, "video_seconds": 52 / 30}
    out = tmp_path / "video.mov"
    info = probe(out)
    assert info.video is not None
    assert info.audio is not None
    assert (info.video.height, info.video.frames_estimate) == (200, 52)
    assert info.video.fps == pytest.approx(30)
    assert abs(info.duration_s - 52 / 30) <= 1 / 25 + 0.01
    frames = [image.astype(int) for image in read_frames(out, fps=30)]
    assert min(np.abs(a - b).mean() for a, b in pairwise(frames)) > 0
    found = verify.run(out)
    assert found["watermark"]["found"] is True
    assert found["c2pa"]["valid"] is True


def test_the_motion_is_as_long_as_was_asked_for(person: Path, recording: Path, tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    write_wav(long, np.tile(read_wav(recording), 3)[: 115 * 640])
    with open_package(person) as package:
        track = FaceTrack.load(package.path("track.safetensors"))
        clip = len(MotionPredictor.load(package.path("motion.safetensors")).model.style.clip)
        assert 43 < clip < 115
        for sound, heard in ((recording, 43), (long, 115)):
            made = {}
            for mismatch in MISMATCHES:
                frames = frames_to_make(package, heard, None, mismatch)
                chunks = driven_motion(
                    package, track, sound, "clip", None, False, MotionControls(), 0, frames, mismatch
                )
                made[mismatch] = Motion.concatenate([motion for motion, _ in chunks])
                assert len(made[mismatch]) == frames
            lengths = {mismatch: len(motion) for mismatch, motion in made.items()}
            assert lengths == {
                **dict.fromkeys(("bounce", "loop", "hold"), heard),
                "cut": min(heard, clip),
                "silence": max(heard, clip),
            }
            if heard > clip:
                ends = [made[how].rotation[-1] for how in ("bounce", "loop", "hold")]
                assert all(np.abs(a - b).max() > 1e-4 for a, b in combinations(ends, 2))


@pytest.mark.slow
def test_silence_follows_a_sound_that_ends_before_the_motion(
    person: Path, recording: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    frames = dub.run(person, recording, out, preset="instant", pose="clip", length_mismatch="silence")
    assert frames > 43
    info = probe(out)
    assert info.audio is not None
    assert abs(info.audio.duration_s - frames / 25) <= 1 / 25 + 0.01
    heard = np.concatenate(list(read_sound(out, rate=16000)))
    assert np.abs(heard[: 43 * 640]).max() > 0.05
    assert np.abs(heard[45 * 640 :]).max() < 1e-3


def test_choices_that_contradict_each_other_are_refused(
    person: Path, recording: Path, tmp_path: Path
) -> None:
    for wrong, said in (
        ({"pose": "still", "length_mismatch": "loop"}, "no mismatch"),
        ({"pose": "clip", "length_mismatch": "rewind"}, "rewind"),
        ({"pose": "clip", "face": (0.5, 0.5)}, "reference video"),
    ):
        with pytest.raises(InvalidParameter, match=said):
            dub.run(person, recording, tmp_path / "out.mp4", **wrong)


def test_a_dub_is_marked_and_signed(
    person: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = Mark("job_1", development(tmp_path / "credentials"), "attested", "con_1")
    out = tmp_path / "out.mp4"
    assert dub.run(person, recording, out, seed=1, preset="instant", mark=mark) == 43
    dub.run(person, recording, tmp_path / "plain.mp4", seed=1, preset="instant")
    report = verify.run(out)
    assert report["watermark"]["payload"] == f"{mark.number:012x}"
    assert report["c2pa"]["valid"]
    assert report["c2pa"]["title"] == "out.mp4"
    assert report["c2pa"]["consent"]["video_id"] == "job_1"
    assert report["agree"] is True
    plain = verify.run(tmp_path / "plain.mp4", search=False)
    assert plain["c2pa"] is None
    assert not plain["watermark"]["found"]
    one, other = (np.stack(list(read_frames(path))).astype(float) for path in (out, tmp_path / "plain.mp4"))
    assert 10 * np.log10(255**2 / ((one - other) ** 2).mean()) > 38  # H.264 on both sides, too

    def fails(*_: object) -> None:
        raise InternalProblem("no signature", remedy="none")

    monkeypatch.setattr("provenance.manifest.sign", fails)
    kept = out.read_bytes()
    with pytest.raises(InternalProblem, match="no signature"):
        dub.run(person, recording, out, preset="instant", mark=mark)
    assert out.read_bytes() == kept  # never a video without its manifest
    dub.run(person, recording, tmp_path / "alpha.webm", preset="instant", output="alpha", mark=mark)
    webm = verify.run(tmp_path / "alpha.webm")
    assert webm["c2pa"] is None
    assert webm["watermark"]["payload"] == f"{mark.number:012x}"


@pytest.mark.parametrize(
    "mode",
    [
        "learned",
        *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("clip", "reference", "expressions")),
    ],
)
def test_the_preview_moves_as_the_video_does(
    mode: str, person: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Motion] = []

    class Watched(MotionCurves):
        def add(self, motion: Motion) -> None:
            shown.append(motion)
            super().add(motion)

    options: dict[str, Any] = {"pose": mode, "seed": 3, "controls": MotionControls(1.2, 0.7, 0.5)}
    if mode in ("reference", "expressions"):
        other = tmp_path / "other.mp4"
        dub.run(person, recording, other, seed=8, preset="instant")
        options = {"pose": "reference", "seed": 3, "pose_video": other}
        if mode == "expressions":
            options["expression_video"] = shutil.copy(other, tmp_path / "again.mp4")
    small, dubbed = tmp_path / "small.png", tmp_path / "dubbed.png"
    figures = speak.run(person, recording, tmp_path, **options, motion_picture=small, preview=True)
    monkeypatch.setattr(dub, "MotionCurves", Watched)
    dub.run(person, recording, tmp_path / "o.mp4", **options, preset="instant", motion_picture=dubbed)
    one, two = FaceTrack.load(tmp_path / "track.safetensors").motion, Motion.concatenate(shown)
    for name in ("rotation", "translation", "expression", "gaze"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    assert small.read_bytes() == dubbed.read_bytes()
    assert figures["frames"] == 43
    preview = probe(tmp_path / "preview.mp4")
    assert preview.video is not None
    assert preview.audio is not None
    assert abs(preview.duration_s - 1.7) <= 1 / 25 + 1e-3


def test_dub(person: Path, recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    curves = tmp_path / "motion.png"
    assert dub.run(person, recording, out, seed=1, device="cpu", motion_picture=curves) == 43
    assert cv2.imread(str(curves)).shape == (240, 600, 3)
    info = probe(out)
    assert info.video is not None
    assert info.audio is not None
    assert abs(info.duration_s - 1.7) <= 1 / 25 + 1e-3
    with open_package(person) as package:
        camera = FaceTrack.load(package.path("track.safetensors")).camera
    assert (info.video.width, info.video.height) == (camera.width, camera.height)

    frames = list(read_frames(out))
    assert len(frames) == 43
    with FaceLandmarker() as landmarker:
        found = landmarker.track(frames)
    assert found.found.mean() > 0.95, "the face of the dubbed video is not found"
    moved = np.abs(np.diff(np.stack(frames).astype(np.int16), axis=0)).mean((1, 2, 3))
    assert (moved > 0).mean() > 0.9, "frames stand still"
    assert mouth_opening(found.points[found.found]).std() > 0.002, "the mouth does not move"
    assert not list(tmp_path.glob(".*")), "temporary files are left"


@pytest.mark.slow
def test_same_seed_same_video_other_seed_other_head(person: Path, recording: Path, tmp_path: Path) -> None:
    pictures = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        dub.run(person, recording, tmp_path / f"{name}.mp4", seed=seed, device="cpu")
        pictures.append(np.stack(list(read_frames(tmp_path / f"{name}.mp4"))).astype(np.int16))
    assert np.array_equal(pictures[0], pictures[1])
    assert np.abs(pictures[0] - pictures[2]).mean() > 0.1


@pytest.mark.parametrize("pose", ["clip", "still"])
def test_pose_modes(person: Path, recording: Path, tmp_path: Path, pose: str) -> None:
    assert dub.run(person, recording, tmp_path / "out.mp4", pose=pose, device="cpu") == 43


def test_bad_input_leaves_nothing(person: Path, recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "video.mp4"
    out.parent.mkdir()
    text = tmp_path / "notes.wav"
    text.write_text("not a sound")
    with pytest.raises(UnreadableMedia):
        dub.run(person, text, out)
    with pytest.raises(InvalidPackage):
        dub.run(recording, recording, out)
    with pytest.raises(InvalidParameter, match="reference"):
        dub.run(person, recording, out, pose="reference")
    with pytest.raises(InvalidParameter):
        dub.run(person, recording, out, pose="dancing")
    assert not list(out.parent.iterdir())
