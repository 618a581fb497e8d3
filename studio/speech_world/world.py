"""The studio's speech world: people who speak, as sound, numbers and truth, without pixels.

Every clip is another person: a voice, a way of articulating, a rest mouth, a way of carrying the head. Clips become
shards of a corpus (:mod:`motion.corpus`) that the general model is trained from; the same clips, with everything that
is known about them, are what motion is measured against.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.camera import Camera
from faces.morphable import MorphableModel
from faces.rotation import compose
from faces.track import FaceTrack, Motion
from motion.corpus import SpokenClip, write_shard
from motion.features import extract, frame_count
from motion.targets import MouthGeometry, PoseFrame, head_geometry
from studio.gestures import FPS, wander
from studio.speech import Phoneme
from studio.speech_world.articulation import Articulation, ArticulationStyle, articulate
from studio.speech_world.carriage import Carriage, CarriageStyle, carry
from studio.speech_world.prompts import Prompts, load_prompts
from studio.speech_world.utterances import Utterance, draw_utterance
from studio.speech_world.voices import Split
from training.progress import Progress, Tick, silent
from training.runtime import available_cores, limit_threads

Floats = NDArray[np.float64]

SHARD_CLIPS = 60
"""Clips in a shard."""
_PLACE_MM = (0.0, 0.0, 650.0)


@dataclass(frozen=True)
class Presenter:
    """One synthetic person's manner."""

    articulation: ArticulationStyle
    """How the mouth speaks."""
    carriage: CarriageStyle
    """How the head is carried."""

    @classmethod
    def draw(cls, rng: np.random.Generator, names: tuple[str, ...]) -> Presenter:
        """A person at random."""
        return cls(ArticulationStyle.draw(rng, names), CarriageStyle.draw(rng))


@dataclass(frozen=True)
class SpokenTruth:
    """A clip with all that is known about it."""

    utterance: Utterance
    """Sound and phonemes."""
    articulation: Articulation
    """The mouth, and when the lips meet."""
    carriage: Carriage
    """Head, eyes and brows, and which frames are accented."""
    motion: Motion
    """All of it as one motion of T frames."""

    def track(self) -> FaceTrack:
        """The motion as the track of the mean head, as if a perfect fit had made it; no observed landmarks."""
        model = MorphableModel.load()
        frames = len(self.motion)
        return FaceTrack(
            motion=self.motion,
            model=model.name,
            expression_names=model.expression_names,
            identity=np.zeros(model.identity_basis.shape[2], np.float32),
            offsets=np.zeros_like(model.mean),
            camera=Camera.for_image(512, 512),
            light=np.zeros((0, 27), np.float32),
            valid=np.ones(frames, bool),
            landmarks=np.full((frames, 478, 2), np.nan, np.float32),
            fps=25.0,
        )


class SpeechWorld:
    """Draws people and lets them speak, with the shipped head model's expressions."""

    def __init__(self) -> None:
        model = MorphableModel.load()
        self.names = model.expression_names
        self.geometry: MouthGeometry = head_geometry(model, self.names, model.mean)

    def perform(self, utterance: Utterance, presenter: Presenter, rng: np.random.Generator) -> SpokenTruth:
        """Let somebody say an utterance."""
        frames = frame_count(len(utterance.samples))
        mouth = articulate(
            utterance.phonemes,
            frames,
            presenter.articulation,
            self.names,
            self.geometry,
            utterance.effort[:frames],
            rng,
        )
        carriage = carry(rng, presenter.carriage, utterance.phonemes, frames)
        expression = mouth.expression.copy()
        for name, value in _upper_face(carriage, rng).items():
            index = self.names.index(name)
            expression[:, index] = np.clip(expression[:, index] + value, 0, 1)
        motion = Motion(
            compose(np.zeros(3), carriage.pose[:, :3]).astype(np.float32),
            (carriage.pose[:, 3:] + np.array(_PLACE_MM)).astype(np.float32),
            expression.astype(np.float32),
            np.asarray(carriage.gaze, np.float32),
        )
        return SpokenTruth(utterance, mouth, carriage, motion)

    def draw(
        self,
        rng: np.random.Generator,
        split: Split,
        seconds: tuple[float, float] = (10.0, 30.0),
        prompts: Prompts | None = None,
        share: float = 0.3,
    ) -> SpokenTruth:
        """A new person says something new; see :func:`studio.speech_world.utterances.draw_utterance`."""
        utterance = draw_utterance(rng, split, seconds, prompts, share)
        return self.perform(utterance, Presenter.draw(rng, self.names), rng)


def spoken_clip(truth: SpokenTruth, speaker: str) -> SpokenClip:
    """A truth as training data; contact is unknown while the lips move towards it or away."""
    motion, everywhere = truth.motion, np.ones(len(truth.motion), bool)
    contact = truth.articulation.closure
    return SpokenClip(
        extract(truth.utterance.samples)[: len(motion)],
        motion.expression,
        PoseFrame.of(motion, everywhere).deviation(motion),
        everywhere,
        np.where((contact > 0.1) & (contact < 0.9), np.nan, contact),
        speaker,
        truth.utterance.language,
        speaking_frames(truth.utterance.phonemes, len(motion)),
    )


def speaking_frames(phonemes: tuple[Phoneme, ...], frames: int) -> Floats:
    """(T,) 1 in the frames of sounds, 0 in those of pauses, NaN within a frame of the border between the two."""
    middles = (np.arange(frames) + 0.5) / FPS
    speaking = np.zeros(frames)
    for phoneme in phonemes:
        inside = slice(*np.searchsorted(middles, [phoneme.start_s, phoneme.end_s]))
        speaking[inside] = 1.0 if phoneme.ipa else 0.0
    borders = np.flatnonzero(np.diff(speaking))
    speaking[borders] = speaking[borders + 1] = np.nan
    return speaking


LENGTHS_S = (16.0, 30.0)
"""Seconds of a clip: long enough to learn a person from its greater part and ask about the rest."""


def write_world(
    folder: Path,
    *,
    hours: float,
    seed: int,
    split: Split = "train",
    prompts: Path | None = None,
    share: float = 0.3,
    progress: Progress = silent,
) -> int:
    """Write ``hours`` of people speaking as a corpus; returns the number of clips.

    Shard n depends on the seed and n alone: a run that was killed goes on with the shards that are missing. Each shard
    is spoken by a process of its own, because espeak-ng carries the phase of its last word into the next.

    Args:
        folder: where the shards go.
        hours: length of all clips, above 0.
        seed: of everything.
        split: ``train`` or ``held-out`` voices and languages.
        prompts: folder of real prompts to mix in (:mod:`studio.speech_world.prompts`), or None; their alignments are
            kept in ``folder/prompts``.
        share: how many of the clips they make, 0..1.
        progress: listener.

    Raises:
        InvalidParameter: there are no prompts in that folder.
    """
    cache = folder / "prompts"
    if prompts is not None:
        load_prompts(cache, prompts, progress=progress)
    shards = max(1, round(hours * 3600 / (sum(LENGTHS_S) / 2 * SHARD_CLIPS)))
    kind = f"{split}-{seed}" if prompts is None else f"{split}-{seed}-prompts-{share:g}"
    paths = [folder / f"world-{kind}-{number:05d}.safetensors" for number in range(shards)]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    done = shards - len(missing)
    progress(Tick("motion.world", done, shards))
    with ProcessPoolExecutor(
        available_cores(), mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as processes:
        jobs = [
            processes.submit(_write_shard, paths[number], seed, number, split, SHARD_CLIPS, prompts, share)
            for number in missing
        ]
        for job in as_completed(jobs):
            job.result()
            done += 1
            progress(Tick("motion.world", done, shards))
    return shards * SHARD_CLIPS


def _write_shard(
    path: Path, seed: int, number: int, split: Split, clips: int, sounds: Path | None, share: float
) -> None:
    limit_threads(1)
    prompts = load_prompts(path.parent / "prompts", sounds) if sounds is not None else None
    world = SpeechWorld()
    spoken = []
    for index in range(clips):
        rng = np.random.default_rng([seed, number, index, split == "held-out"])
        truth = world.draw(rng, split, LENGTHS_S, prompts, share)
        spoken.append(spoken_clip(truth, f"{truth.utterance.voice}/{seed}-{number}-{index}"))
    write_shard(path, world.names, spoken)


def _upper_face(carriage: Carriage, rng: np.random.Generator) -> dict[str, Floats]:
    """Brows and lids on ARKit names; ``wander`` keeps both sides from being alike."""
    frames = len(carriage.blink)
    result: dict[str, Floats] = {"browInnerUp": 0.8 * carriage.brow_raise}
    for side in ("Left", "Right"):
        result[f"browOuterUp{side}"] = carriage.brow_raise * (0.8 + 0.1 * wander(rng, frames, 2.0))
        result[f"browDown{side}"] = carriage.brow_frown
        result[f"eyeSquint{side}"] = carriage.squint * (1 - carriage.blink) + 0.3 * carriage.blink
        result[f"eyeBlink{side}"] = carriage.blink
    return result
