"""``likeness bench motion``: lips against truth and held-out real frames, heads against the person's own, cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.head_motion import measure_head
from benchmarks.mfcc import mfcc_features
from evaluation.curves import best_lag, correlation
from evaluation.speech_motion import bilabial_hits, silence_motion_ratio
from faces.mouth import mouth_opening
from faces.track import FaceTrack
from media.audio import read_wav
from motion.features import extract
from motion.general import SHIPPED, GeneralModel
from motion.personalize import MotionConfig, train_motion
from motion.predict import MotionPredictor
from motion.prosody import FRAME
from motion.targets import PoseFrame, mouth_geometry
from problems import NotFound
from studio.speech_world.articulators import BILABIALS, gestures_of
from studio.speech_world.voices import draw_voice, sentences
from studio.speech_world.world import SpeechWorld, SpokenTruth
from training.progress import Progress, Tick, silent
from workers.stages import fit, validate

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

_SHIFTS = 8
"""Offsets of the sound at which wrong sound is tried."""


@dataclass(frozen=True)
class MotionBench:
    """What is measured."""

    people: int = 18
    """Synthetic people with held-out voices and manners who are learnt and predicted, a language each in turn."""
    strangers: int = 60
    """Such people whom the general model alone is asked about."""
    seconds: float = 24.0
    """Length of a synthetic person's clip; the first 12 s are learnt."""
    clips: tuple[Path, ...] = ()
    """Real clips, or folders that ``likeness fit`` wrote."""
    learnt: int = 300
    """Frames of a real clip that are learnt (two thirds of a shorter one)."""
    seeds: int = 3
    """Seeds that figures are averaged over."""
    general: Path | None = SHIPPED
    """General weights to start from."""

    @classmethod
    def quick(cls, clips: tuple[Path, ...] = ()) -> MotionBench:
        """Does it run: a minute or two; too few people to publish."""
        return cls(people=2, strangers=6, clips=clips[:1], seeds=1)


def run(bench: MotionBench, progress: Progress = silent) -> dict[str, Any]:
    """Run the benchmark; docs/motion.md explains the figures.

    Returns:
        ``studio``, ``real``, ``clips`` (rows behind ``real``), ``head`` and ``seconds_per_minute``.

    Raises:
        NotFound: a clip is missing.
    """
    for clip in bench.clips:
        if not clip.exists():
            raise NotFound(f"there is no file {clip}", remedy="check the path")
    general = GeneralModel.load(bench.general) if bench.general is not None else None
    with tempfile.TemporaryDirectory(prefix="likeness-bench-") as folder:
        scratch = Path(folder)
        studio = _studio(bench, general, scratch, progress)
        fitted = [fitted_clip(clip, scratch / clip.stem, progress) for clip in bench.clips]
        rows = []
        for number, (clip, (track, sound)) in enumerate(zip(bench.clips, fitted, strict=True)):
            progress(Tick("bench.clips", number, len(fitted)))
            other = fitted[(number + 1) % len(fitted)][0]
            rows.append({"clip": clip.stem, **_clip(bench, general, track, sound, other, scratch / "work")})
        progress(Tick("bench.clips", len(fitted), len(fitted)))
        cost = _seconds_per_minute(bench, scratch)
    return {
        "studio": studio,
        "real": _means([row["lips"] for row in rows]),
        "head": {
            name: _means([row["head"][name] for row in rows]) for name in (rows[0]["head"] if rows else ())
        },
        "seconds_per_minute": cost,
        "clips": rows,
    }


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([row[key] for row in rows])), 4) for key in (rows[0] if rows else ())}


# --- the studio's people -------------------------------------------------------------------------------------------


def _studio(
    bench: MotionBench, general: GeneralModel | None, scratch: Path, progress: Progress
) -> dict[str, Any]:
    world = SpeechWorld()
    slopes = world.geometry.opening
    by_language: dict[str, list[float]] = {}
    alone: list[float] = []
    if general is not None:
        for number in range(bench.strangers):
            progress(Tick("bench.strangers", number, bench.strangers))
            truth = _truth(world, 10_000 + number, bench.seconds)
            predicted, _ = general.predict(extract(truth.utterance.samples)[: len(truth.motion)])
            r = correlation(truth.articulation.opening, predicted[:, : len(slopes)] @ slopes)
            alone.append(r)
            by_language.setdefault(truth.utterance.language, []).append(r)
    rows = []
    for number, seed in enumerate(_seeds_by_language(bench.people)):
        progress(Tick("bench.people", number, bench.people))
        rows.append(_person(_truth(world, seed, bench.seconds), bench, scratch / "studio"))
    progress(Tick("bench.people", bench.people, bench.people))
    hits = np.sum([row["bilabials"] for row in rows], axis=0)
    truth_hits = np.sum([row["true_bilabials"] for row in rows], axis=0)
    return {
        "lip_r": round(float(np.mean([row["lip_r"] for row in rows])), 4),
        "lip_r_general": round(float(np.mean(alone)), 4) if alone else None,
        "lip_r_adapted": _mean_of(rows, "lip_r_adapted"),
        "lip_r_from_scratch": _mean_of(rows, "lip_r_from_scratch"),
        "lip_r_mfcc": _mean_of(rows, "lip_r_mfcc"),
        "by_language": {
            language: {
                key: _mean_of([row for row in rows if row["language"] == language], key)
                for key in ("lip_r", "lip_r_from_scratch", "lip_r_mfcc")
            }
            | {"lip_r_general": round(float(np.mean(by_language.get(language, [np.nan]))), 4)}
            for language in sorted({row["language"] for row in rows})
        },
        "bilabial_hit": _share(hits),
        "bilabial_hit_truth": _share(truth_hits),
        "bilabials": int(hits[1]),
        # Over all people's silent frames together: one who holds quite still must not be the whole figure.
        "silence_motion_ratio": round(
            silence_motion_ratio(*(np.concatenate([row["curves"][n] for row in rows]) for n in range(3))), 4
        ),
    }


def _share(hits: NDArray[np.integer]) -> float | None:
    """Hits over tries; None where there was nothing to hit."""
    return round(float(hits[0] / hits[1]), 4) if hits[1] else None


def _mean_of(rows: Sequence[dict[str, Any]], key: str) -> float:
    return round(float(np.mean([row[key] for row in rows])), 4)


def _seeds_by_language(people: int) -> list[int]:
    """Seeds of held-out people who speak each language in turn."""
    wanted, seed = sorted(sentences()), 20_000
    seeds: list[int] = []
    while len(seeds) < people:
        language = wanted[len(seeds) % len(wanted)]
        while draw_voice(np.random.default_rng(seed), "held-out").language != language:
            seed += 1
        seeds.append(seed)
        seed += 1
    return seeds


def _truth(world: SpeechWorld, seed: int, seconds: float) -> SpokenTruth:
    return world.draw(np.random.default_rng(seed), "held-out", (seconds, seconds))


def _person(truth: SpokenTruth, bench: MotionBench, work: Path) -> dict[str, Any]:
    """Learn the first half of a synthetic person's clip and predict the second."""
    track, samples = truth.track(), truth.utterance.samples
    half = len(track) // 2
    predictor = learn(track, samples, slice(0, half), work, bench.general, seed=0)
    geometry = mouth_geometry(track)
    motion = predictor.predict(samples[half * FRAME :])[: len(track) - half]
    opening = motion.expression @ geometry.opening + geometry.rest
    real = truth.articulation.opening[half:]
    slopes = geometry.opening
    from_scratch = learn(track, samples, slice(0, half), work, None, seed=0)
    mfcc = learn(track, samples, slice(0, half), work, None, seed=0, extractor=mfcc_features)
    silent = _silent(truth)[half:]
    middles = [
        int((p.start_s + p.end_s) / 2 * 25) - half
        for p in truth.utterance.phonemes
        if any(symbol in BILABIALS for symbol in gestures_of(p.ipa))
    ]
    middles = [middle for middle in middles if 0 <= middle < len(real)]
    return {
        "language": truth.utterance.language,
        "lip_r": correlation(real, opening),
        "lip_r_adapted": correlation(real, _adapted(bench.general, track, samples, half) @ slopes),
        "lip_r_from_scratch": _score(from_scratch, samples[half * FRAME :], real, geometry),
        "lip_r_mfcc": correlation(real, _with_mfcc(mfcc, samples[half * FRAME :], len(real)) @ slopes),
        "bilabials": bilabial_hits(opening, middles),
        "true_bilabials": bilabial_hits(real, middles),
        # One frame that is not silent behind each, so that nobody's end meets another's beginning.
        "curves": (np.append(real, 0), np.append(opening, 0), np.append(silent, False)),
    }


def _adapted(start: Path | None, track: FaceTrack, samples: Array, known: int) -> Array:
    """(T - known, E) the general model with its last layer adapted in closed form to the first ``known`` frames."""
    frames = slice(known, len(track))
    if start is None:
        return np.zeros((len(track) - known, track.motion.expression.shape[1]), np.float32)
    motion, shown = track.motion, track.valid & (np.arange(len(track)) < known)
    pose = PoseFrame.of(motion, shown).deviation(motion)
    targets = np.concatenate([motion.expression, pose], axis=1)
    predicted = GeneralModel.load(start).adapted_to(
        extract(samples)[: len(track)], targets - targets[shown].mean(0), shown
    )
    return predicted[frames, : motion.expression.shape[1]]


def _with_mfcc(predictor: MotionPredictor, samples: Array, frames: int) -> Array:
    """(T, E) what a person learnt with MFCC windows predicts from such windows."""
    return predictor.model.deviation(mfcc_features(samples)[:frames])[:, : len(predictor.expression_names)]


def _silent(truth: SpokenTruth) -> NDArray[np.bool_]:
    """(T,) frames a quarter of a second or more inside a pause."""
    silent = np.zeros(len(truth.motion), bool)
    for phoneme in truth.utterance.phonemes:
        if not phoneme.ipa:
            first, last = (phoneme.start_s + 0.25) * 25, (phoneme.end_s - 0.25) * 25
            silent[int(np.ceil(first)) : max(0, int(last))] = True
    return silent


# --- real clips ----------------------------------------------------------------------------------------------------


def fitted_clip(clip: Path, folder: Path, progress: Progress = silent) -> tuple[FaceTrack, Array]:
    """A clip's track and (N,) sound of the same length; fitted now unless ``clip`` is the folder of a finished fit."""
    if clip.is_dir():
        folder = clip
    else:
        validate.run(clip, folder, progress=progress)
        fit.run(folder, frames=None, preset="best", seed=0, progress=progress)
    track = FaceTrack.load(folder / "track.safetensors")
    sound = read_wav(folder / "audio.wav")
    return track, np.pad(sound, (0, max(0, len(track) * FRAME - len(sound))))[: len(track) * FRAME]


def held_out_from(frames: int, learnt: int) -> int:
    """First frame that is not learnt: after ``learnt`` frames, or two thirds of a clip that is hardly longer."""
    return learnt if frames > 1.3 * learnt else 2 * frames // 3


def learn(
    track: FaceTrack,
    samples: Array,
    frames: slice,
    work: Path,
    general: Path | None,
    seed: int,
    **options: Any,
) -> MotionPredictor:
    """Learn some frames of a track and (N,) its sound; ``options`` go to :func:`motion.personalize.train_motion`."""
    with tempfile.TemporaryDirectory(dir=work.parent) as folder:
        out = Path(folder) / "motion.safetensors"
        train_motion(
            track,
            samples,
            out,
            seed=seed,
            start=general,
            frames=frames,
            checkpoint_dir=Path(folder),
            **options,
        )
        return MotionPredictor.load(out)


def _clip(
    bench: MotionBench,
    general: GeneralModel | None,
    track: FaceTrack,
    sound: Array,
    other: FaceTrack,
    work: Path,
) -> dict[str, Any]:
    count = held_out_from(len(track), bench.learnt)
    work.parent.mkdir(parents=True, exist_ok=True)
    learnt, held_out = track.frames(slice(0, count)), track.frames(slice(count, len(track)))
    samples = sound[count * FRAME :]
    geometry = mouth_geometry(track)
    real = np.where(held_out.valid, mouth_opening(held_out.landmarks), np.nan)
    observed = mouth_opening(learnt.landmarks[learnt.valid])
    rows, predictors = [], []
    for seed in range(bench.seeds):
        predictor = learn(track, sound, slice(0, count), work, bench.general, seed)
        predictors.append(predictor)
        opening = (
            predictor.predict(samples, seed=seed).expression[: len(real)] @ geometry.opening + geometry.rest
        )
        lag, _ = best_lag(real, opening)
        wrong = [correlation(real, np.roll(opening, shift)) for shift in _offsets(len(real))]
        rows.append(
            {
                "lip_r": correlation(real, opening),
                "lag_frames": float(lag),
                "lip_range_ratio": float(np.std(opening) / np.nanstd(real)),
                "lip_range_ratio_learnt": float(np.std(opening) / np.std(observed)),
                "lip_r_wrong_sound": float(np.mean(wrong)),
            }
        )
    lips = _means(rows)
    lips["lip_r_from_scratch"] = _score(
        learn(track, sound, slice(0, count), work, None, 0), samples, real, geometry
    )
    baseline = learn(track, sound, slice(0, count), work, None, 0, extractor=mfcc_features)
    lips["lip_r_mfcc"] = correlation(real, _with_mfcc(baseline, samples, len(real)) @ geometry.opening)
    if general is not None:
        adapted = _adapted(bench.general, track, sound, count)
        lips["lip_r_adapted"] = correlation(real, adapted @ geometry.opening)
        alone = (
            general.predict(extract(sound)[: len(track)])[0][:, : len(geometry.opening)] @ geometry.opening
        )
        whole = np.where(track.valid, mouth_opening(track.landmarks), np.nan)
        lips["lip_r_general"] = correlation(real, alone[count:])
        lips["lip_r_general_whole_clip"] = correlation(whole, alone)
    head = measure_head(predictors[0], learnt, held_out, samples, other, range(2 * bench.seeds))
    return {"lips": {key: round(value, 4) for key, value in lips.items()}, "head": head}


def _score(predictor: MotionPredictor, samples: Array, real: Floats, geometry: Any) -> float:
    opening = predictor.predict(samples).expression[: len(real)] @ geometry.opening
    return correlation(real, opening)


def _offsets(frames: int) -> list[int]:
    """Shifts of at least two seconds either way."""
    return [int(shift) for shift in np.linspace(50, frames - 50, _SHIFTS)] if frames > 110 else [frames // 2]


# --- cost ----------------------------------------------------------------------------------------------------------


def _seconds_per_minute(bench: MotionBench, scratch: Path) -> float:
    """Wall seconds from one minute of speech to motion, with a person learnt from a synthetic clip."""
    world = SpeechWorld()
    truth = _truth(world, 30_000, 12.0)
    predictor = learn(
        truth.track(), truth.utterance.samples, slice(0, len(truth.motion)), scratch / "work", bench.general, 0,
        config=MotionConfig(),
    )  # fmt: skip
    speech = _truth(world, 30_001, 60.0).utterance.samples[: 60 * 16_000]
    predictor.predict(speech[: 8 * 16_000])  # the encoder's session is made once in a process
    began = time.perf_counter()
    predictor.predict(speech)
    return round((time.perf_counter() - began) * 60 / (len(speech) / 16_000), 3)
