"""Stage dub: PERSON + recording -> video, streamed from the recording's first second to its last."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.motion_preview import MotionCurves
from faces.rotation import compose
from faces.texture import Texture
from faces.track import FaceTrack, Motion
from fitting.fit import Person, fit_landmarks, track_clip
from fitting.photometric import PhotometricFit
from media.atomic import replacing
from media.audio import stream_wav
from media.decode import read_frames
from media.encode import VideoWriter
from media.frames import FrameStore
from media.limits import ClipLimits
from media.normalise import normalise_clip, normalise_recording
from motion.matching import SourceMatcher, reachable_pose
from motion.predict import MotionControls, MotionPredictor
from problems import InvalidParameter
from rendering.compositor import Compositor, CompositorConfig
from rendering.export import OnnxGenerator
from rendering.renderer import OUTPUTS, FrameRenderer, FrameRendererConfig, Output
from rendering.surroundings import Surroundings
from training.progress import Progress, Tick, silent, ticking
from training.runtime import limit_threads
from workers.mark import Mark
from workers.package import PersonPackage, members_of, open_package
from workers.presets import preset_named

FPS = 25.0
SAMPLES_PER_FRAME = 640
POSES = ("learned", "clip", "still", "reference")

MotionChunks = Iterator[tuple[Motion, NDArray[np.integer]]]


def run(
    person: Path,
    recording: Path,
    out: Path,
    *,
    pose: str = "learned",
    pose_video: Path | None = None,
    expression_video: Path | None = None,
    exact: bool = False,
    controls: MotionControls | None = None,
    preset: str | None = None,
    output: str = "frame",
    seed: int = 0,
    device: str = "auto",
    mark: Mark | None = None,
    motion_picture: Path | None = None,
    progress: Progress = silent,
) -> int:
    """Make the person say the recording; returns the number of frames written.

    Args:
        person: a PERSON file.
        recording: any sound or video file; its sound becomes the video's.
        pose: ``learned`` (predicted from speech, in the person's manner), ``clip`` (the clip's own), ``still``, or
            ``reference`` (of ``pose_video``).
        pose_video: whose head motion to take with ``reference``.
        expression_video: whose expressions to take as well: reenactment.
        exact: take the reference's pose as it is, not relative to its mean; for another part of the same clip.
        controls: strengths of lips and head, and smoothing; they do not touch what videos give.
        preset: ``instant`` leaves the network out: layers only, faster. By default the person's own.
        output: ``frame``, the clip's whole picture; ``face``, a square of it; ``alpha``, what was drawn on nothing: a
            webm with transparency (``rendering.renderer``).
        seed: of the sampled head motion.
        mark: what to write into the pixels and the file about where the video comes from; a webm can hold no C2PA
            manifest and gets the first only.
        motion_picture: a PNG to write with the curves of head and jaw (``evaluation.motion_preview``).

    Raises:
        InvalidParameter: the preset is neither, the output is unknown or does not go with the file's name, or ``pose``
            and the videos do not fit together.
        Problem: what is wrong with the person, the recording or a video.
    """
    if preset not in (None, "instant"):
        raise InvalidParameter(
            f"a person is dubbed with what was learnt of them or with preset instant, not {preset!r}",
            remedy="use instant, or leave the preset out",
            details={"field": "preset"},
        )
    _check(pose, pose_video, expression_video, controls)
    shown = _output(output, out)
    limit_threads()
    with open_package(person) as package, tempfile.TemporaryDirectory(prefix="likeness-dub-") as folder:
        scratch = Path(folder)
        sound = scratch / "recording.wav"
        seconds = normalise_recording(recording, sound)
        frames = max(int(np.ceil(seconds * FPS - 1e-6)), 1)
        track = FaceTrack.load(package.path("track.safetensors"))
        clip = FrameStore.from_clip(package.path("clip.mp4"), stop=len(track))
        settings = preset_named(str(package.manifest.get("preset", "preview")))
        compositor = Compositor(
            track,
            Texture.load(package.path("texture.safetensors")),
            clip,
            surroundings=Surroundings.load(package.path("surroundings.safetensors")),
            config=CompositorConfig(max_crop_px=settings.max_crop_px),
        )
        known = (track, clip) if exact else None
        reference = _reference(track, pose_video, expression_video, known, scratch, progress)
        motion = _motion(
            package, track, sound, pose, reference, exact, controls or MotionControls(), seed, frames
        )
        curves = MotionCurves(track.expression_names)
        bare = preset == "instant" or "generator.onnx" not in members_of(package.manifest.get("preset"))
        # One thread each: the renderer paints several frames at a time.
        generator = None if bare else OnnxGenerator(package.path("generator.onnx"), threads=1)
        renderer = FrameRenderer(compositor, generator, config=FrameRendererConfig(output=shown))
        width, height = renderer.size
        images = renderer.render(curves.watching(motion))
        if mark is not None:
            images = mark.watermark().marked(images)
        # The manifest comes last, and before the video has its name: nobody sees it without.
        with replacing(out) as unsigned:
            with VideoWriter(
                unsigned, width, height, fps=FPS, audio=recording, alpha=shown == "alpha"
            ) as writer:
                for image in ticking(images, progress, "dub", frames):
                    writer.write(image)
            if mark is not None:
                mark.sign(unsigned, out.name)
    if motion_picture is not None:
        curves.draw(motion_picture)
    return frames


def _output(output: str, out: Path) -> Output:
    wanted = ".webm" if output == "alpha" else ".mp4"
    for known in OUTPUTS:
        if known == output and out.suffix.lower() == wanted:
            return known
    if output in OUTPUTS:
        raise InvalidParameter(
            f"output {output} is written as {wanted}, and {out.name} is none",
            remedy=f"name the video {out.stem}{wanted}",
            details={"field": "output"},
        )
    raise InvalidParameter(
        f"there is no output {output!r}",
        remedy=f"use one of {', '.join(OUTPUTS)}",
        details={"field": "output"},
    )


def _check(
    pose: str, pose_video: Path | None, expression_video: Path | None, controls: MotionControls | None
) -> None:
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


def _motion(
    package: PersonPackage,
    track: FaceTrack,
    sound: Path,
    pose: str,
    reference: tuple[Motion, bool] | None,
    exact: bool,
    controls: MotionControls,
    seed: int,
    frames: int,
) -> MotionChunks:
    """Chunks of motion with their source frames: ``frames`` in all."""
    if reference is not None and reference[1]:
        whole = _to_length(reference[0], frames)
        chunks: Iterator[Motion] = (whole[start : start + 250] for start in range(0, frames, 250))
    else:
        predictor = MotionPredictor.load(package.path("motion.safetensors"))
        chunks = predictor.stream(
            (chunk.samples[chunk.body] for chunk in stream_wav(sound, chunk_s=20.0)),
            pose=pose,  # type: ignore[arg-type]
            seed=seed,
            reference=reference[0] if reference is not None else None,
            controls=controls,
        )
    yield from _matched(_first(chunks, frames), track, pull=not exact)


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


def _to_length(motion: Motion, frames: int) -> Motion:
    """Play to and fro until ``frames`` are reached."""
    period = max(2 * len(motion) - 2, 1)
    index = np.arange(frames) % period
    return motion[np.where(index < len(motion), index, period - index)]


def _reference(
    track: FaceTrack,
    pose_video: Path | None,
    expression_video: Path | None,
    known: tuple[FaceTrack, FrameStore] | None,
    scratch: Path,
    progress: Progress,
) -> tuple[Motion, bool] | None:
    """The reference motion in this person's terms, and whether its expressions count.

    With ``known``, the person's own track and clip, the videos are other parts of that recording and taken exactly.
    """
    if pose_video is None:
        return None
    posed = _track_video(pose_video, known, scratch / "pose.mp4", progress)
    expressed = posed
    if expression_video is not None and expression_video != pose_video:
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
    face = _to_length(expressed.motion, len(motion))
    return Motion(motion.rotation, motion.translation, face.expression, face.gaze), True


def _track_video(
    video: Path, known: tuple[FaceTrack, FrameStore] | None, normalised: Path, progress: Progress
) -> FaceTrack:
    """Track a driving video; with ``known``, as that person in the same picture, from landmarks and pixels."""
    normalise_clip(video, normalised, normalised.with_suffix(".wav"), limits=ClipLimits(max_seconds=None))
    size: list[tuple[int, int]] = []

    def frames() -> Iterator[NDArray[np.uint8]]:
        for image in read_frames(normalised):
            if not size:
                size.append((image.shape[1], image.shape[0]))
            yield image

    landmarks = track_clip(frames(), 0, progress)
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
