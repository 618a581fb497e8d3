"""Where the motion of a video comes from: the person's speech, their clip, or other videos.

The stages dub and speak take it from here, so a preview of the motion shows what the video will do.
"""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.rotation import compose
from faces.track import FaceTrack, Motion
from fitting.fit import Person, fit_landmarks, track_clip
from fitting.inspect.upright import Uprightness, turned_finding
from fitting.photometric import PhotometricFit
from media.audio import stream_wav
from media.decode import read_frames
from media.frames import FrameStore
from media.limits import ClipLimits
from media.normalise import normalise_clip
from motion.extension import Extension, extended, extension_named
from motion.matching import SourceMatcher, reachable_pose
from motion.predict import MotionControls, MotionPredictor
from problems import InvalidParameter, NoFace
from training.progress import Progress, Tick
from workers.package import PersonPackage

FPS = 25.0
POSES = ("learned", "clip", "still", "reference")
MISMATCHES = ("bounce", "loop", "hold", "cut", "silence")
"""What happens when a clip's or a reference's motion and the sound are not equally long. A longer sound: the motion
goes on forth and back, from its beginning, or stays. ``cut``: the video ends with the shorter of the two. ``silence``:
with the longer, the sound followed by silence (or the motion going forth and back)."""
_SAMPLES_PER_FRAME = 640
_LOOK_EVERY = 12
"""Frames between those in which it is looked which way up a driving video is."""

MotionChunks = Iterator[tuple[Motion, NDArray[np.integer]]]


def check_driving(
    pose: str,
    pose_video: Path | None,
    expression_video: Path | None,
    controls: MotionControls | None,
    length_mismatch: str = "bounce",
    face: tuple[float, float] | None = None,
) -> None:
    """Refuse choices that contradict each other, before any work.

    Raises:
        InvalidParameter: which, and what to do.
    """
    if expression_video is not None and controls not in (None, MotionControls()):
        raise InvalidParameter(
            "strengths and smoothing act on predicted motion, and here a video gives all of it",
            remedy="leave out --lip-strength, --head-strength and --smoothing, or the expression video",
            details={"field": "lip_strength"},
        )
    if pose not in POSES:
        raise InvalidParameter(
            f"there is no pose mode {pose!r}",
            remedy=f"use one of {', '.join(POSES)}",
            details={"field": "pose"},
        )
    if pose == "reference" and pose_video is None:
        raise InvalidParameter(
            "pose mode reference needs a video to take the head motion from",
            remedy="give one with --pose-video",
            details={"field": "pose_video"},
        )
    if pose != "reference" and (pose_video or expression_video):
        raise InvalidParameter(
            f"a reference video was given, but the pose mode is {pose}",
            remedy="use --pose reference with it",
            details={"field": "pose"},
        )
    if length_mismatch not in MISMATCHES:
        raise InvalidParameter(
            f"there is no length mismatch {length_mismatch!r}",
            remedy=f"use one of {', '.join(MISMATCHES)}",
            details={"field": "length_mismatch"},
        )
    if length_mismatch != "bounce" and pose not in ("clip", "reference"):
        raise InvalidParameter(
            f"with pose {pose} the motion is as long as the sound: there is no mismatch to settle",
            remedy="leave the length mismatch out, or use pose clip or reference",
            details={"field": "length_mismatch"},
        )
    if face is not None and pose != "reference":
        raise InvalidParameter(
            "a face is chosen among those of a reference video, and there is none",
            remedy="leave the face out, or use pose reference with a video",
            details={"field": "face"},
        )


def same_file(one: Path, other: Path | None) -> bool:
    """Whether two paths hold the same bytes: the service brings an upload once for each of its roles."""
    return other is not None and filecmp.cmp(one, other, shallow=False)


def frames_of(seconds: float) -> int:
    """How many frames a recording of so many seconds is shown in: 1 or more."""
    return max(int(np.ceil(seconds * FPS - 1e-6)), 1)


def frames_to_make(
    package: PersonPackage, sound_frames: int, reference: tuple[Motion, bool] | None, mismatch: str
) -> int:
    """How many frames (25 a second) the video gets whose head a reference leads, or the clip; see
    :data:`MISMATCHES`."""
    if mismatch not in ("cut", "silence"):
        return sound_frames
    if reference is not None:
        led = len(reference[0])
    else:
        led = len(MotionPredictor.load(package.path("motion.safetensors")).model.style.clip)
    return min(sound_frames, led) if mismatch == "cut" else max(sound_frames, led)


def driven_motion(
    package: PersonPackage,
    track: FaceTrack,
    sound: Path,
    pose: str,
    reference: tuple[Motion, bool] | None,
    exact: bool,
    controls: MotionControls,
    seed: int,
    frames: int,
    mismatch: str = "bounce",
) -> MotionChunks:
    """Chunks of motion with their source frames: ``frames`` in all."""
    extension: Extension = "bounce" if mismatch in ("cut", "silence") else extension_named(mismatch)
    if reference is not None and reference[1]:
        whole = _to_length(reference[0], frames, extension)
        chunks: Iterator[Motion] = (whole[start : start + 250] for start in range(0, frames, 250))
    else:
        predictor = MotionPredictor.load(package.path("motion.safetensors"))
        chunks = predictor.stream(
            _sound_of(sound, frames),
            pose=pose,  # type: ignore[arg-type]
            seed=seed,
            reference=reference[0] if reference is not None else None,
            controls=controls,
            extension=extension,
        )
    yield from _matched(_first(chunks, frames), track, pull=not exact)


def _sound_of(sound: Path, frames: int) -> Iterator[NDArray[np.float32]]:
    """The recording's samples in pieces, then silence for as long as the video goes on after them."""
    left = frames * _SAMPLES_PER_FRAME
    for chunk in stream_wav(sound, chunk_s=20.0):
        samples = chunk.samples[chunk.body]
        left -= len(samples)
        yield samples
    second = 25 * _SAMPLES_PER_FRAME
    while left >= _SAMPLES_PER_FRAME:
        yield np.zeros(min(left, second), np.float32)
        left -= second


def _matched(chunks: Iterator[Motion], track: FaceTrack, *, pull: bool, context: int = 24) -> MotionChunks:
    """Give every frame its source frame and pull its pose within reach of it (unless ``pull`` is off).

    The pull smooths over time, so each piece is worked on with ``context`` frames of its neighbours.
    """
    matcher = SourceMatcher(track.motion, track.valid)
    width = track.motion.expression.shape[1]
    none = np.zeros((0, 3), np.float32)
    held = Motion(none, none, np.zeros((0, width), np.float32), none[:, :2])
    index = np.zeros(0, np.int64)
    done = 0  # frames of ``held`` already given out, kept as context

    def ready(final: bool) -> MotionChunks:
        nonlocal held, index, done
        end = len(index) if final else len(index) - context
        if end <= done:
            return
        part = held[: len(index)]
        posed = reachable_pose(part, track.motion, index) if pull else part
        yield posed[done:end], index[done:end]
        keep = max(end - context, 0)
        held, index, done = held[keep:], index[keep:], end - keep

    for chunk in chunks:
        held = Motion.concatenate([held, chunk])
        index = np.concatenate([index, matcher.push(chunk)])
        yield from ready(final=False)
    index = np.concatenate([index, matcher.finish()])
    yield from ready(final=True)


def _first(chunks: Iterator[Motion], frames: int) -> Iterator[Motion]:
    """Exactly ``frames`` frames: a longer stream is cut, a shorter one holds its last frame."""
    left, last = frames, None
    for chunk in chunks:
        part = chunk[:left]
        if len(part):
            yield part
            last, left = part[-1:], left - len(part)
        if left == 0:
            return
    if last is not None:
        yield Motion.concatenate([last] * left)


def _to_length(motion: Motion, frames: int, extension: Extension) -> Motion:
    """So many frames of a motion that goes on after its last frame."""
    parts = (motion.rotation, motion.translation, motion.expression, motion.gaze)
    return Motion(*(extended(part, 0, frames, extension) for part in parts))


def reference_motion(
    track: FaceTrack,
    pose_video: Path | None,
    expression_video: Path | None,
    known: tuple[FaceTrack, FrameStore] | None,
    scratch: Path,
    progress: Progress,
    face: tuple[float, float] | None = None,
) -> tuple[Motion, bool] | None:
    """The reference motion in this person's terms, and whether its expressions count.

    ``face`` says whose motion, where the pose video shows several people (``fitting.landmarks.FollowedFace``).

    With ``known``, the person's own track and clip, the videos are other parts of that recording and taken exactly.
    """
    if pose_video is None:
        return None
    posed = _track_video(pose_video, known, scratch / "pose.mp4", progress, face)
    expressed = posed
    # It is not to be tracked twice.
    if expression_video is not None and not same_file(pose_video, expression_video):
        expressed = _track_video(expression_video, known, scratch / "expression.mp4", progress)
    motion = posed.motion
    if known is None:
        # Another person in another room: their turns and shifts about their own mean, from this person's mean.
        mean, own = motion.rotation.mean(0), track.motion.rotation[track.valid].mean(0)
        shift = motion.translation - motion.translation.mean(0)
        # Shifts count in inter-ocular distances of the picture, whatever the two cameras are.
        ratio = float(track.motion.translation[:, 2].mean() / motion.translation[:, 2].mean())
        motion = Motion(
            compose(own, compose(-mean, motion.rotation)),
            track.motion.translation[track.valid].mean(0) + shift * [ratio, ratio, ratio],
            motion.expression,
            motion.gaze,
        )
    if expression_video is None:
        return motion, False
    shown = _to_length(expressed.motion, len(motion), "bounce")
    return Motion(motion.rotation, motion.translation, shown.expression, shown.gaze), True


def _track_video(
    video: Path,
    known: tuple[FaceTrack, FrameStore] | None,
    normalised: Path,
    progress: Progress,
    face: tuple[float, float] | None = None,
) -> FaceTrack:
    """Track a driving video; with ``known``, as that person in the same picture, from landmarks and pixels."""
    normalise_clip(video, normalised, normalised.with_suffix(".wav"), limits=ClipLimits(max_seconds=None))
    size: list[tuple[int, int]] = []

    def frames(uprightness: Uprightness) -> Iterator[NDArray[np.uint8]]:
        for index, image in enumerate(read_frames(normalised)):
            if not size:
                size.append((image.shape[1], image.shape[0]))
            if index % _LOOK_EVERY == 0:
                uprightness.look(image)
            yield image

    with Uprightness() as uprightness:
        landmarks = track_clip(frames(uprightness), 0, progress, near=face)
    turn = uprightness.turn()
    if turn:
        found = turned_finding(turn)
        raise NoFace(
            f"{video.name}: {found.message}",
            remedy=f"turn it by {turn} degrees clockwise, in the phone's editor for example, and give it again",
            details=found.facts,
        )
    own = known[0] if known else None
    if own is not None and size[0] != (own.camera.width, own.camera.height):
        raise InvalidParameter(
            f"{video.name} has {size[0][0]}x{size[0][1]} pixels and the person's clip "
            f"{own.camera.width}x{own.camera.height}",
            remedy="use a part of the same recording, or leave exact off",
        )
    progress(Tick("dub.reference", 0, 1, f"fitting {video.name}"))
    driven = fit_landmarks(landmarks, size[0], person=Person.of(own) if own else None, progress=progress)
    if known is None or not len(known[0].light):
        return driven
    return PhotometricFit(*known, progress=progress).refine(
        driven, FrameStore.from_clip(normalised, stop=len(driven)), progress
    )
