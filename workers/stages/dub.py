"""Stage dub: PERSON + recording -> video, streamed from the recording's first second to its last."""

from __future__ import annotations

import tempfile
from pathlib import Path

from evaluation.motion_preview import MotionCurves
from faces.texture import Texture
from faces.track import FaceTrack
from media.atomic import replacing
from media.encode import VideoWriter
from media.frames import FrameStore
from media.normalise import normalise_recording
from motion.predict import MotionControls
from problems import InvalidParameter
from rendering.compositor import Compositor, CompositorConfig
from rendering.export import OnnxGenerator
from rendering.renderer import OUTPUTS, FrameRenderer, FrameRendererConfig, Output
from rendering.surroundings import Surroundings
from training.progress import Progress, silent, ticking
from training.runtime import limit_threads
from workers.driving import FPS, check_driving, driven_motion, frames_of, reference_motion
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
    check_driving(pose, pose_video, expression_video, controls)
    shown = _output(output, out)
    limit_threads()
    with open_package(person) as package, tempfile.TemporaryDirectory(prefix="likeness-dub-") as folder:
        scratch = Path(folder)
        sound = scratch / "recording.wav"
        seconds = normalise_recording(recording, sound)
        frames = frames_of(seconds)
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
        reference = reference_motion(track, pose_video, expression_video, known, scratch, progress)
        motion = driven_motion(
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
