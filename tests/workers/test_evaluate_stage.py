"""The held-out protocol on a drawn clip, with quick stages that really write files and videos.

The drawn face can be tracked from decoded pixels: a bright disc (its centre is the head's place) with a dark
mouth whose height is the lip opening, so the whole way through encoder, decoder, tracker and metrics is
measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from evaluation.identity import Describe
from evaluation.ledger import Ledger, key_of
from evaluation.split import ping_pong
from faces.camera import Camera, to_camera
from faces.morphable import MorphableModel
from media.audio import read_wav, write_wav
from media.decode import read_frames
from media.encode import VideoWriter
from problems import Cancelled, InternalProblem, InvalidParameter, NoFace, NoSound
from training.progress import Tick
from workers.stages.evaluate import GENERATED, Steps, run

WIDTH, HEIGHT, TOTAL, TRAIN = 192, 160, 110, 60
LOWER = [14, 17, 84, 87, 178, 314, 317, 402]
describe: Describe = lambda image, points: np.array([image[..., 0].mean() / 255, 1.0])  # noqa: E731


def performance() -> tuple[np.ndarray, np.ndarray]:
    """(TOTAL, 2) head places and (TOTAL,) lip openings in pixels."""
    rng = np.random.default_rng(0)
    smooth = np.hanning(5) / np.hanning(5).sum()
    opening = 12 + 10 * np.convolve(rng.normal(size=TOTAL + 20), smooth, "same")[10:-10]
    t = np.arange(TOTAL) / 9
    place = np.stack([WIDTH / 2 + 12 * np.sin(t), HEIGHT / 2 + 6 * np.cos(0.7 * t)], axis=1)
    return place, opening.clip(4, 30)


def draw(place: np.ndarray, opening: float) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), (30, 60, 30), np.uint8)
    x, y = place
    cv2.circle(image, (round(x * 16), round(y * 16)), 50 * 16, (230, 180, 160), -1, cv2.LINE_AA, 4)
    half = opening / 2
    corner = (round((x - 14) * 16), round((y + 20 - half) * 16))
    cv2.rectangle(
        image, corner, (round((x + 14) * 16), round((y + 20 + half) * 16)), (20, 10, 10), -1, cv2.LINE_AA, 4
    )
    return image


def track(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Find disc and mouth in each picture and bend the mean head's landmarks accordingly; NaN without a
    disc."""
    camera = Camera.for_image(WIDTH, HEIGHT)
    model = MorphableModel.load()
    points = model.landmark_points(model.mean)
    base = camera.project(to_camera(points, np.zeros(3), np.array([0, 0, 700.0])))
    base = base - base.mean(axis=0)
    found = []
    for image in frames:
        skin = image[..., 0] > 130
        if skin.sum() < 1000:
            found.append(np.full((478, 2), np.nan))
            continue
        ys, xs = np.nonzero(skin)
        centre = np.array([(xs.min() + xs.max() + 1) / 2, (ys.min() + ys.max() + 1) / 2])
        column = image[
            int(centre[1]) : int(centre[1]) + 40, int(centre[0]) - 5 : int(centre[0]) + 5, 0
        ].astype(float)
        height = ((230 - column) / 220).mean(axis=1).clip(0, 1).sum()
        shape = base + centre
        shape[LOWER, 1] += height
        found.append(shape)
    return np.array(found, np.float32)


def make_clip(path: Path, *, sound: bool = True, lose_from: int = TOTAL) -> Path:
    place, opening = performance()
    voice = path.with_suffix(".wav")
    rng = np.random.default_rng(1)
    write_wav(
        voice, (0.3 * rng.uniform(-1, 1, TOTAL * 640) * np.repeat(opening / 30, 640)).astype(np.float32)
    )
    with VideoWriter(
        path, WIDTH, HEIGHT, audio=voice if sound else None, crf=8, keyframe_every=12, bframes=0
    ) as writer:
        for index in range(TOTAL):
            face = draw(place[index], opening[index])
            writer.write(face if index < lose_from else np.full_like(face, 40))
    return path


class Product:
    """Quick stages. The 'person' is the training frames; dubbing shows the one whose mouth fits the driver
    best."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail_in: str | None = None
        self.checkpoints_seen: list[bool] = []

    def _note(self, stage: str) -> None:
        self.calls.append(stage)
        if self.fail_in == stage:
            raise Cancelled("stopped", remedy="start again")

    def validate(self, clip: Path, work: Path, *, progress: Any) -> None:
        self._note("validate")
        work.mkdir(parents=True, exist_ok=True)
        import av

        with av.open(str(clip)) as container:
            has_sound = bool(container.streams.audio)
        with VideoWriter(work / "clip.mp4", WIDTH, HEIGHT, crf=8, keyframe_every=12, bframes=0) as writer:
            for frame in read_frames(clip):
                writer.write(frame)
        if has_sound:
            write_wav(work / "audio.wav", read_wav(clip.with_suffix(".wav")))

    def fit(self, work: Path, *, frames: int, preset: str, seed: int, device: str, progress: Any) -> None:
        self._note("fit")
        seen = list(read_frames(work / "clip.mp4"))
        assert len(seen) == frames == TRAIN
        assert len(read_wav(work / "audio.wav")) == TRAIN * 640
        np.save(work / "track.npy", track(seen))
        (work / "track.npy").rename(work / "track.safetensors")
        (work / "texture.safetensors").write_bytes(b"texture")

    def motion(self, work: Path, *, preset: str, seed: int, progress: Any) -> None:
        self._note("motion")
        (work / "motion.safetensors").write_bytes(f"{preset} {seed}".encode())

    def render(self, work: Path, *, preset: str, seed: int, device: str, progress: Any) -> None:
        checkpoint = work / "checkpoints" / "render" / "last"
        self.checkpoints_seen.append(checkpoint.exists())
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_bytes(b"half way")
        progress(Tick("render", 1, 2))
        self._note("render")
        (work / "renderer.safetensors").write_bytes(b"renderer")

    def publish(self, work: Path, out: Path, **_: Any) -> None:
        self._note("publish")
        out.write_bytes((work / "clip.mp4").read_bytes())

    def dub(
        self,
        person: Path,
        recording: Path,
        out: Path,
        *,
        pose: str,
        seed: int,
        device: str,
        progress: Any,
        pose_video: Path | None = None,
        expression_video: Path | None = None,
        exact: bool = False,
    ) -> None:
        assert exact == (pose == "reference")
        assert expression_video == pose_video
        self._note("reenact" if pose == "reference" else "dub")
        length = round(len(read_wav(recording)) / 640)
        with VideoWriter(out, WIDTH, HEIGHT, audio=recording) as writer:
            for frame in self._frames(person, recording, length, pose_video):
                writer.write(frame)

    def _frames(self, person: Path, recording: Path, length: int, video: Path | None) -> Iterator[np.ndarray]:
        if (
            video is not None
        ):  # the driver's own place and mouth, at a slightly wrong mouth: a good reenactment
            driver = track(read_frames(video))
            for points in driver[:length]:
                yield draw(points.mean(axis=0) * [1, 1] + [0, -1.0], 0.8 * (points[14, 1] - points[13, 1]))
        else:  # a dub that hears loudness
            level = np.abs(read_wav(recording)[: length * 640]).reshape(length, 640).mean(axis=1)
            for value in level:
                yield draw(np.array([WIDTH / 2, HEIGHT / 2]), 200 * value)

    def steps(self) -> Steps:
        return Steps(
            self.validate,
            self.fit,
            self.motion,
            self.render,
            self.publish,
            self.dub,
            track=track,
            describe=describe,
        )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "drawn.mp4")


@pytest.fixture(scope="module")
def finished(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Product, Path, dict[str, Any]]:
    product, out = Product(), tmp_path_factory.mktemp("results") / "drawn"
    return product, out, run(clip, out, train_frames=TRAIN, seed=3, device="cpu", steps=product.steps())


Finished = tuple[Product, Path, dict[str, Any]]


def test_the_result_has_the_issues_keys(finished: Finished) -> None:
    _, out, result = finished
    assert list(result) == ["reenact", "dub", "ceiling", "replay", "seconds", "peak_rss_mb"]
    stages = {"validate", "fit", "motion", "render", "publish", "reenact", "dub", "personalize"}
    assert stages <= set(result["seconds"])
    assert result["peak_rss_mb"] > 50
    written = json.loads((out / "evaluation.json").read_text())
    protocol = written.pop("protocol")
    assert written == json.loads(json.dumps(result))
    assert (protocol["train_frames"], protocol["held_out_frames"], protocol["seed"]) == (
        TRAIN,
        TOTAL - TRAIN,
        3,
    )


def test_every_stage_ran_once_in_order(finished: Finished) -> None:
    product, _, _ = finished
    assert product.calls == ["validate", "fit", "motion", "render", "publish", "reenact", "dub"]


def test_the_metrics_rank_the_columns_rightly(finished: Finished) -> None:
    _, _, result = finished
    ceiling, replay, reenact, dub = (result[name] for name in ("ceiling", "replay", "reenact", "dub"))
    assert ceiling["lip_r"] > 0.97
    assert ceiling["psnr_face"] > 34
    assert ceiling["lmd_lips_pct_iod"] < 1
    assert ceiling["lip_best_lag"] == 0
    assert ceiling["jitter_ratio"] == pytest.approx(1, abs=0.3)
    assert abs(replay["lip_r"]) < 0.5
    assert replay["psnr_face"] < 26
    assert reenact["lip_r"] > 0.95
    assert reenact["lip_range_ratio"] == pytest.approx(0.8, abs=0.12)
    assert dub["lip_r"] > 0.8 > replay["lip_r"] + 0.2
    assert dub["lmd_lips_place_pct_iod"] > 3 * reenact["lmd_lips_place_pct_iod"]
    assert dub["pose_velocity_w1"] >= ceiling["pose_velocity_w1"]
    for name in GENERATED:
        assert result[name]["frames"] == TOTAL - TRAIN
        assert result[name]["frames_face_lost"] == 0
        assert result[name]["identity_distance_real"] is not None


def test_nothing_of_the_held_out_part_reaches_the_person(finished: Finished, clip: Path) -> None:
    _, out, _ = finished
    real = list(read_frames(out / "real" / "clip.mp4"))
    learnt = list(read_frames(out / "work" / "clip.mp4"))
    assert len(learnt) == TRAIN
    assert all(np.array_equal(a, b) for a, b in zip(learnt, real, strict=False))  # the very same pixels
    driving = list(read_frames(out / "held_out.mp4"))
    assert len(driving) == TOTAL - TRAIN
    assert np.abs(driving[0].astype(int) - real[TRAIN]).mean() < 2
    whole = read_wav(out / "real" / "audio.wav")
    assert read_wav(out / "work" / "audio.wav") == pytest.approx(whole[: TRAIN * 640])
    assert read_wav(out / "held_out.wav") == pytest.approx(whole[TRAIN * 640 :])


def test_the_controls_are_what_they_say(finished: Finished) -> None:
    _, out, _ = finished
    real = list(read_frames(out / "real" / "clip.mp4"))
    for name, expected in (("ceiling", range(TRAIN, TOTAL)), ("replay", ping_pong(TRAIN, TOTAL - TRAIN))):
        frames = list(read_frames(out / f"{name}.mp4"))
        assert len(frames) == TOTAL - TRAIN
        for frame, index in zip(frames, expected, strict=True):
            assert np.abs(frame.astype(int) - real[index]).mean() < 3, (name, index)


def test_the_pictures_are_written(finished: Finished) -> None:
    _, out, _ = finished
    sheet = cv2.imread(str(out / "sheet.png"))
    assert sheet.shape[1] > 2000
    assert sheet.shape[0] > 1000
    frames = list(read_frames(out / "side_by_side.mp4"))
    assert len(frames) == TOTAL - TRAIN
    assert frames[0].shape == (HEIGHT, 3 * WIDTH, 3)
    import av

    with av.open(str(out / "side_by_side.mp4")) as container:
        assert container.streams.audio


def test_a_second_run_reuses_everything_and_says_the_same(finished: Finished, clip: Path) -> None:
    _, out, result = finished
    again = Product()

    def blind(frames: Iterable[np.ndarray]) -> np.ndarray:
        raise AssertionError("tracked again")

    steps = replace(again.steps(), track=blind)
    repeated = run(clip, out, train_frames=TRAIN, seed=3, device="cpu", steps=steps)
    assert again.calls == []
    assert {name: repeated[name] for name in GENERATED} == {name: result[name] for name in GENERATED}
    assert repeated["seconds"]["fit"] == result["seconds"]["fit"]


def test_an_interrupted_stage_resumes_and_another_seed_starts_afresh(clip: Path, tmp_path: Path) -> None:
    product = Product()
    product.fail_in = "render"
    with pytest.raises(Cancelled):
        run(clip, tmp_path / "o", train_frames=TRAIN, seed=1, device="cpu", steps=product.steps())
    assert not (tmp_path / "o" / "evaluation.json").exists()
    with pytest.raises(Cancelled):
        run(clip, tmp_path / "o", train_frames=TRAIN, seed=1, device="cpu", steps=product.steps())
    assert product.calls == ["validate", "fit", "motion", "render", "render"]
    assert product.checkpoints_seen == [False, True]  # the second run found the first one's checkpoint
    with pytest.raises(Cancelled):
        run(clip, tmp_path / "o", train_frames=TRAIN, seed=2, device="cpu", steps=product.steps())
    assert product.calls[5:] == ["fit", "motion", "render"]
    assert product.checkpoints_seen == [False, True, False]  # another seed must not go on from it


@pytest.mark.parametrize("train_frames", [49, TOTAL - 24, 300])
def test_an_impossible_split_is_refused_before_anything_is_learnt(
    clip: Path, tmp_path: Path, train_frames: int
) -> None:
    product = Product()
    with pytest.raises(InvalidParameter, match="110 frames") as caught:
        run(clip, tmp_path / "o", train_frames=train_frames, steps=product.steps())
    assert "50 to 85" in caught.value.remedy
    assert product.calls == ["validate"]


def test_a_clip_without_sound_is_refused(tmp_path: Path) -> None:
    mute = make_clip(tmp_path / "mute.mp4", sound=False)
    with pytest.raises(NoSound):
        run(mute, tmp_path / "o", train_frames=TRAIN, steps=Product().steps())


def test_a_held_out_part_without_a_face_is_refused(tmp_path: Path) -> None:
    lost = make_clip(tmp_path / "lost.mp4", lose_from=TRAIN)

    class Blind(Product):
        def _frames(self, *arguments: Any) -> Iterator[np.ndarray]:
            return (np.full((HEIGHT, WIDTH, 3), 90, np.uint8) for _ in range(TOTAL - TRAIN))

    with pytest.raises(NoFace, match="held-out"):
        run(lost, tmp_path / "o", train_frames=TRAIN, steps=Blind().steps())


def test_a_dub_of_the_wrong_length_is_an_error_of_the_product(clip: Path, tmp_path: Path) -> None:
    class Short(Product):
        def _frames(self, *arguments: Any) -> Iterator[np.ndarray]:
            return (np.full((HEIGHT, WIDTH, 3), 90, np.uint8) for _ in range(TOTAL - TRAIN - 2))

    with pytest.raises(InternalProblem, match="48 frames and its sound lasts 50"):
        run(clip, tmp_path / "o", train_frames=TRAIN, steps=Short().steps())


def test_ping_pong_doubles_no_frame() -> None:
    assert ping_pong(4, 9).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert ping_pong(1, 3).tolist() == [0, 0, 0]


def test_the_ledger_survives_damage_and_missing_outputs(tmp_path: Path) -> None:
    made = tmp_path / "a.txt"
    ledger = Ledger(tmp_path)
    key = key_of("a", 1)
    assert key != key_of("a1")
    assert key != key_of("a", 2)
    assert ledger.run("a", key, [made], lambda: made.write_text("1"))
    assert not Ledger(tmp_path).run("a", key, [made], lambda: made.write_text("2"))
    made.unlink()
    assert Ledger(tmp_path).run("a", key, [made], lambda: made.write_text("3"))
    (tmp_path / "stages.json").write_text('{"a": ')
    assert Ledger(tmp_path).run("a", key, [made], lambda: made.write_text("4"))
    assert made.read_text() == "4"
