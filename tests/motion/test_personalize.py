from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from faces.track import FaceTrack, load_tensors
from motion.adaptation import Adaptation
from motion.features import extract
from motion.general import GeneralModel
from motion.lag import estimate_lag, shift_features
from motion.model import FORMAT, MotionModel
from motion.network import NetworkConfig, SpeechMotionNet, sequence_loss
from motion.personalize import MotionConfig, train_motion
from motion.regression import Ridge, folds, ridge_path, training_mask
from motion.targets import MOUTH_PREFIXES, PoseFrame, mouth_geometry, mouth_mask
from problems import Cancelled, InvalidPackage, NoFace, NoSound, TooShort
from tests.motion.conftest import FRAME, SMALL, Person, speak, track_of
from training.progress import Tick


def test_speech_never_heard_moves_the_mouth_as_it_should(person: Person) -> None:
    held_out = speak(400, seed=2)
    jaw = person.jaw(person.predictor.predict(held_out.samples))
    right = np.corrcoef(jaw, held_out.jaw)[0, 1]
    assert right > 0.8
    wrong = np.corrcoef(person.jaw(person.predictor.predict(speak(400, seed=9).samples)), held_out.jaw)[0, 1]
    assert abs(wrong) < 0.2
    late = [np.corrcoef(np.roll(jaw, shift), held_out.jaw)[0, 1] for shift in (-1, 1)]
    assert right > max(late)  # one frame early or late is worse
    assert 0.8 < jaw.std() / held_out.jaw.std() < 1.2


def test_the_report_says_what_was_found(person: Person) -> None:
    facts = person.predictor.model.facts
    assert facts["lip_r"] > 0.7
    assert facts["lag_frames"] == 0
    assert facts["frames"] == 300
    assert len(facts["fold_steps"]) == SMALL.folds


def test_a_late_picture_is_found_and_undone() -> None:
    speech = speak(300, seed=11)
    features = extract(speech.samples)
    standard = (features - features.mean(0)) / (features.std(0) + 0.1)
    for lag in (0, 1, 2):
        late = np.roll(speech.jaw, lag)
        assert estimate_lag(standard, late, np.ones(300, bool)).frames == lag
    np.testing.assert_array_equal(shift_features(features, 2)[2:], features[:-2])


def test_the_same_seed_gives_the_same_file_and_a_kill_changes_nothing(tmp_path: Path) -> None:
    speech = speak(120, seed=5)
    track = track_of(speech, seed=5)

    def train(name: str, stop_at: int | None = None) -> Path:
        out = tmp_path / f"{name}.safetensors"

        def listen(tick: Tick) -> None:
            if stop_at is not None and tick.stage == "motion" and tick.done == stop_at:
                raise Cancelled("stopped", remedy="go on")

        train_motion(
            track, speech.samples, out, config=SMALL, seed=3, checkpoint_dir=tmp_path / name, progress=listen
        )
        return out

    whole = MotionModel.load(train("whole"))
    with pytest.raises(Cancelled):
        train("killed", stop_at=2)
    assert not (tmp_path / "killed.safetensors").exists()
    seen: list[int] = []
    original = torch.optim.AdamW.step
    try:

        def counted(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            seen.append(1)
            return original(self, *args, **kwargs)

        torch.optim.AdamW.step = counted  # type: ignore[method-assign]
        resumed = MotionModel.load(train("killed"))
    finally:
        torch.optim.AdamW.step = original  # type: ignore[method-assign]
    assert len(seen) <= SMALL.train.steps + 1  # only the last fold was trained again
    for a, b in zip(whole.regressor.nets, resumed.regressor.nets, strict=True):
        for name, value in a.state_dict().items():
            torch.testing.assert_close(value, b.state_dict()[name], rtol=0, atol=0)
    np.testing.assert_array_equal(whole.regressor.ridges.features, resumed.regressor.ridges.features)
    np.testing.assert_array_equal(whole.share, resumed.share)


def test_frames_without_a_face_are_not_learnt_from() -> None:
    speech = speak(200, seed=6)
    valid = np.ones(200, bool)
    valid[50:80] = False
    track = track_of(speech, seed=6, valid=valid)
    spoiled = track.motion.expression.copy()
    spoiled[50:80] = 1.0
    track.motion.expression[:] = spoiled
    pose = PoseFrame.of(track.motion, valid)
    assert np.abs(pose.deviation(track.motion)[valid].mean(0)).max() < 1e-3
    mask = training_mask(200, slice(90, 130), guard=4) & valid
    assert not mask[50:80].any()
    assert not mask[86:134].any()
    assert mask[:50].all()


def test_only_the_chosen_frames_and_their_sound_are_used(person: Person, tmp_path: Path) -> None:
    """Another second half of track and sound changes nothing."""
    speech = person.speech
    other_sound = speech.samples.copy()
    other_sound[150 * FRAME :] = speak(150, seed=99).samples
    other_track = track_of(speech, seed=1)
    other_track.motion.expression[150:] = 0.5
    models = []
    for number, (track, sound) in enumerate(((person.track, speech.samples), (other_track, other_sound))):
        out = tmp_path / f"{number}.safetensors"
        train_motion(
            track,
            sound,
            out,
            config=SMALL,
            seed=0,
            frames=slice(0, 150),
            checkpoint_dir=tmp_path / f"c{number}",
        )
        models.append(MotionModel.load(out))
    np.testing.assert_array_equal(models[0].regressor.ridges.features, models[1].regressor.ridges.features)
    np.testing.assert_array_equal(models[0].style.residual, models[1].style.residual)


def test_a_general_model_is_a_start(person: Person, tmp_path: Path) -> None:
    """Weights of a network that already knows speech are better after the same few steps; sizes are checked."""
    own = person.predictor.model
    taught = own.regressor
    events = torch.nn.Linear(2 * taught.nets[0].config.hidden, 2)
    torch.nn.init.constant_(events.bias, 3.0)  # somebody speaks everywhere, the lips meet everywhere
    general = GeneralModel(
        own.expression_names,
        taught.nets[0],
        events,
        Adaptation(torch.from_numpy(mouth_mask(own.expression_names))),
        taught.normaliser.feature_mean - own.centre,
        taught.normaliser.feature_scale,
        taught.normaliser.target_scale,
    )
    start = tmp_path / "general.safetensors"
    general.save(start)
    loaded = GeneralModel.load(start)
    same = loaded.network_for(own.expression_names)
    torch.testing.assert_close(same.head.weight, taught.nets[0].head.weight)
    fewer = (*own.expression_names[5:], "unheardOf")
    net = loaded.network_for(fewer)
    torch.testing.assert_close(net.head.weight[:3], taught.nets[0].head.weight[5:8])
    assert not net.head.weight[len(fewer) - 1].any()
    speech = speak(100, seed=21)
    train_motion(
        track_of(speech, 21), speech.samples, tmp_path / "m.safetensors", config=SMALL, seed=0, start=start,
        checkpoint_dir=tmp_path / "c",
    )  # fmt: skip
    tuned = MotionModel.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(tuned.regressor.normaliser.feature_scale, general.feature_scale)
    assert tuned.regressor.ridge_share == MotionConfig().ridge_share
    assert own.regressor.ridge_share == MotionConfig().ridge_share_from_scratch
    assert tuned.general is not None
    torch.testing.assert_close(tuned.general.events.weight, events.weight)
    assert tuned.facts["lip_r"] > 0.8


def test_the_file_holds_everything(person: Person, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    person.predictor.model.save(copy)
    # The header's order is free, so the contents are compared.
    once, again = load_tensors(person.path, FORMAT), load_tensors(copy, FORMAT)
    assert once[1] == again[1]
    for name, value in once[0].items():
        np.testing.assert_array_equal(value, again[0][name])
    assert copy.stat().st_size < 16 * 2**20
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(copy.read_bytes()[:5000])
    with pytest.raises(InvalidPackage, match=r"damaged\.safetensors"):
        MotionModel.load(damaged)
    with pytest.raises(InvalidPackage):
        GeneralModel.load(copy)


@pytest.mark.parametrize("kind", ["absent", "silent", "short", "no face", "hum"])
def test_clips_that_teach_nothing_are_refused(kind: str, tmp_path: Path) -> None:
    frames = 30 if kind == "short" else 100
    speech = speak(frames, seed=7)
    samples = {
        "absent": speech.samples[:0],
        "silent": speech.samples * 0,
        "hum": 0.1 * np.random.default_rng(0).standard_normal(frames * FRAME).astype(np.float32),
    }.get(kind, speech.samples)
    track = track_of(speech, 7, valid=np.arange(frames) < 20 if kind == "no face" else None)
    expected = {"short": TooShort, "no face": NoFace}.get(kind, NoSound)
    with pytest.raises(expected) as caught:
        train_motion(track, samples, tmp_path / "m", config=SMALL, seed=0, checkpoint_dir=tmp_path / "c")
    assert caught.value.remedy
    assert not (tmp_path / "m").exists()


def test_a_track_of_another_model_is_accepted(tmp_path: Path) -> None:
    speech = speak(100, seed=8)
    known = track_of(speech, 8)
    names = tuple(f"other{n}" if not n.startswith(MOUTH_PREFIXES) else n for n in known.expression_names)
    track = FaceTrack(**{**vars(known), "model": "another", "expression_names": names})
    geometry = mouth_geometry(track)
    assert geometry.opening[names.index("jawOpen")] > 0
    train_motion(track, speech.samples, tmp_path / "m", config=SMALL, seed=0, checkpoint_dir=tmp_path / "c")
    assert MotionModel.load(tmp_path / "m").expression_names == names


def test_the_loss_weighs_what_moves_the_lips() -> None:
    track = track_of(speak(60, seed=0), 0)
    geometry = mouth_geometry(track)
    names = track.expression_names
    jaw, brow = names.index("jawOpen"), names.index("browInnerUp")
    assert np.linalg.norm(geometry.lips[:, jaw]) > 1.0  # millimetres
    assert np.linalg.norm(geometry.lips[:, brow]) < 1e-6
    assert geometry.opening[jaw] > 0.05
    assert mouth_mask(names)[jaw]
    assert not mouth_mask(names)[brow]


def test_masked_frames_cost_nothing() -> None:
    predicted, target = torch.zeros(1, 6, 2), torch.zeros(1, 6, 2)
    target[0, 3] = 100.0
    mask = torch.ones(1, 6)
    metric = torch.eye(2)
    assert sequence_loss(predicted, target, mask, metric, 0.5) > 0
    mask[0, 3] = 0
    assert sequence_loss(predicted, target, mask, metric, 0.5) == 0


def test_the_network_sees_both_directions() -> None:
    net = SpeechMotionNet(NetworkConfig(8, 3)).eval()
    features = torch.zeros(1, 20, 8)
    before = net(features)
    features[0, 10] = 1.0
    changed = (net(features) - before).abs().sum(-1)[0]
    assert (changed[[9, 11]] > 0).all()


def test_ridge_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 5)).astype(np.float32), rng.standard_normal((40, 2)).astype(np.float32)
    centred = x - x.mean(0)
    penalty = 0.7 * np.square(centred).sum(1).mean()
    expected = np.linalg.solve(centred.T @ centred + penalty * np.eye(5), centred.T @ (y - y.mean(0)))
    ridge: Ridge = ridge_path(x, y, (0.7,))[0]
    np.testing.assert_allclose(ridge.weights, expected, atol=1e-5)
    np.testing.assert_allclose(ridge(x).mean(0), y.mean(0), atol=1e-5)


def test_folds_cover_every_frame_once() -> None:
    blocks = folds(303, 5)
    assert np.concatenate([np.arange(303)[block] for block in blocks]).tolist() == list(range(303))
