"""Stage dub: PERSON + recording -> video, streamed from the recording's first second to its last."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from evaluation.motion_preview import MotionCurves
from faces.texture import Texture
from faces.track import FaceTrack
from media.atomic import replacing
from media.encode import CONTAINERS, Encoding, VideoWriter
from media.frames import FrameStore
from media.normalise import normalise_recording
from media.scale import scaled
from motion.predict import MotionControls
from motion.rate import at_rate
from problems import InvalidParameter
from rendering.compositor import Compositor, CompositorConfig
from rendering.export import OnnxGenerator
from rendering.portraits import write_thumbnail
from rendering.renderer import OUTPUTS, FrameRenderer, FrameRendererConfig, Output
from rendering.surroundings import Surroundings
from training.progress import Progress, silent, ticking
from training.runtime import limit_threads
from workers.driving import (
    FPS,
    check_driving,
    driven_motion,
    frames_of,
    frames_to_make,
    reference_motion,
    same_file,
)
from workers.mark import Mark
from workers.package import members_of, open_package
from workers.presets import preset_named


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
    encoding: Encoding | None = None,
    length_mismatch: str = "bounce",
    face: tuple[float, float] | None = None,
    audio_track: int | None = None,
    seed: int = 0,
    device: str = "auto",
    mark: Mark | None = None,
    motion_picture: Path | None = None,
    thumbnail: Path | None = None,
    progress: Progress = silent,
) -> int:
    """Make the person say the recording; returns the number of frames written.

    Args:
        person: a PERSON file.
        recording: any sound or video file; its sound becomes the video's. Where the same file gives the motion, too,
            lips and sound stay together as its time stamps say (``media.clock``).
        pose: ``learned`` (predicted from speech, in the person's manner), ``clip`` (the clip's own), ``still``, or
            ``reference`` (of ``pose_video``).
        pose_video: whose head motion to take with ``reference``.
        expression_video: whose expressions to take as well: reenactment.
        exact: take the reference's pose as it is, not relative to its mean; for another part of the same clip.
        controls: strengths of lips and head, and smoothing; they do not touch what videos give.
        preset: ``instant`` leaves the network out: layers only, faster. By default the person's own.
        output: ``frame``, the clip's whole picture; ``face``, a square of it; ``alpha``, what was drawn on nothing
            (``rendering.renderer``).
        encoding: container, height, frame rate and quality; by default what the name of ``out`` says at the clip's
            size. Other frame rates than the clock's 25 are drawn, not repeated (``motion.rate``).
        length_mismatch: what happens where ``pose`` clip or reference and the recording are not equally long
            (``workers.driving.MISMATCHES``).
        face: whose motion to take where the pose video shows several people, x and y in 0..1 of the picture's sides.
        audio_track: which of the recording's sound tracks, from 1; None for the one with the voice.
        seed: of the sampled head motion.
        mark: what to write into the pixels and the file about where the video comes from; a webm can hold no C2PA
            manifest and gets the first only.
        motion_picture: a PNG to write with the curves of head and jaw (``evaluation.motion_preview``).
        thumbnail: a small JPEG to write of the frame in the middle, marked as the video is.

    Raises:
        InvalidParameter: the preset is neither, the output is unknown or does not go with the file's name, or ``pose``
            and what was given with it do not fit together.
        Problem: what is wrong with the person, the recording or a video.
    """
    if preset not in (None, "instant"):
        raise InvalidParameter(
            f"a person is dubbed with what was learnt of them or with preset instant, not {preset!r}",
            remedy="use instant, or leave the preset out",
            details={"field": "preset"},
        )
    check_driving(pose, pose_video, expression_video, controls, length_mismatch, face)
    shown, wanted = _output(output), _encoding(encoding, output, out)
    limit_threads()
    with open_package(person) as package, tempfile.TemporaryDirectory(prefix="likeness-dub-") as folder:
        scratch = Path(folder)
        sound = scratch / "recording.wav"
        led = same_file(recording, pose_video) or same_file(recording, expression_video)
        seconds = normalise_recording(recording, sound, audio_track=audio_track, led=led)
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
        reference = reference_motion(track, pose_video, expression_video, known, scratch, progress, face)
        clock_frames = frames_to_make(package, frames_of(seconds), reference, length_mismatch)
        motion = driven_motion(
            package, track, sound, pose, reference, exact, controls or MotionControls(), seed, clock_frames,
            length_mismatch,
        )  # fmt: skip
        frames = int(np.ceil(clock_frames * wanted.fps / FPS - 1e-6))
        curves = MotionCurves(track.expression_names)
        bare = preset == "instant" or "generator.onnx" not in members_of(package.manifest.get("preset"))
        # One thread each: the renderer paints several frames at a time.
        generator = None if bare else OnnxGenerator(package.path("generator.onnx"), threads=1)
        renderer = FrameRenderer(compositor, generator, config=FrameRendererConfig(output=shown))
        width, height = wanted.size(*renderer.size)
        images = scaled(renderer.render(at_rate(curves.watching(motion), wanted.fps)), width, height)
        if mark is not None:
            images = mark.watermark().marked(images)
        # The manifest comes last, and before the video has its name: nobody sees it without.
        with replacing(out) as unsigned:
            with VideoWriter(
                unsigned, width, height, wanted.fps, wanted.crf, audio=recording,
                keyframe_every=round(5 * wanted.fps), alpha=shown == "alpha", container=wanted.container,
                audio_track=audio_track, audio_led=led,
            ) as writer:  # fmt: skip
                for number, image in enumerate(ticking(images, progress, "dub", frames)):
                    writer.write(image)
                    if thumbnail is not None and number == frames // 2:
                        write_thumbnail(image, thumbnail)
            if mark is not None:
                mark.sign(unsigned, out.name)
    if motion_picture is not None:
        curves.draw(motion_picture)
    return frames


def _output(output: str) -> Output:
    for known in OUTPUTS:
        if known == output:
            return known
    raise InvalidParameter(
        f"there is no output {output!r}",
        remedy=f"use one of {', '.join(OUTPUTS)}",
        details={"field": "output"},
    )


def _encoding(encoding: Encoding | None, output: str, out: Path) -> Encoding:
    """What was asked for, or what the file's name says."""
    suffix = out.suffix.lower().removeprefix(".")
    fits = [kind for kind in CONTAINERS if output != "alpha" or kind != "mp4"]
    if encoding is None and suffix in fits:
        encoding = Encoding(next(kind for kind in fits if kind == suffix))
    if encoding is None or encoding.container not in fits or encoding.container != suffix:
        raise InvalidParameter(
            f"output {output} is written as {' or '.join(fits)}, and {out.name} is none",
            remedy=f"name the video {out.stem}.{fits[0]}",
            details={"field": "output"},
        )
    return encoding
