"""Whatever a phone or a camera wrote, onto the inner clock: 25 frames a second and 16 kHz mono.

Everything is decoded and written in a limited child process; the results appear atomically.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from media.atomic import replacing
from media.audio import SAMPLE_RATE
from media.clock import recording_origin
from media.container import reading, require_video
from media.decode import ToRgb, resampled, timed_frames, video_origin
from media.encode import VideoWriter
from media.interlace import deinterlaced, find_fields
from media.isolate import StepsDone, run_isolated
from media.limits import ClipLimits, RecordingLimits
from media.probe import AudioInfo, MediaInfo, probe, read_info
from media.sound import read_sound
from problems import NoSound, NotFound

FPS = 25.0
"""Frames a second of the inner clock."""
SAMPLES_PER_FRAME = 640
"""Frame k covers samples 640 k to 640 (k + 1)."""


def normalise_clip(
    clip: Path,
    out_video: Path,
    out_audio: Path,
    *,
    limits: ClipLimits | None = None,
    audio_track: int | None = None,
    rotate: int = 0,
    progress: StepsDone | None = None,
) -> MediaInfo:
    """Write a clip as 25 fps upright video and 16 kHz mono sound of the same length.

    ``out_video``: H.264 4:2:0 BT.709, constant rate, square pixels, even size, longest side at most
    ``limits.max_side``, nearly lossless (crf 12), a key frame every 12 frames and no B-frames, no sound.
    ``out_audio``: 16-bit wav whose sample 640 k is at frame k; no file is written when the clip has no sound.

    Args:
        clip: any video file.
        out_video: where to write clip.mp4.
        out_audio: where to write audio.wav; an older file there is removed when the clip has no sound.
        limits: see :class:`media.limits.ClipLimits`.
        audio_track: which of the clip's sound tracks, from 1; None for the one with the voice.
        rotate: degrees clockwise to turn the picture by, beside what the file says: 0, 90, 180 or 270.
        progress: gets (frames done, frames in all).

    Returns:
        what was written: the video, and the wav as ``audio`` (None without sound).

    Raises:
        NotFound, NoVideo, UnreadableMedia, MediaTooLarge, TooShort, DecodeTimeout, OutOfDisk.
        InvalidParameter: there is no such sound track, or no such turn.
    """
    limits = limits or ClipLimits()
    limits.check_bytes(_size(clip))
    budget = limits.budget
    with replacing(Path(out_video)) as video, replacing(Path(out_audio)) as audio:
        run_isolated(
            write_clip,
            str(Path(clip).absolute()),
            str(video.absolute()),
            str(audio.absolute()),
            limits,
            audio_track,
            rotate,
            memory_mb=budget.memory_mb,
            cpu_s=budget.cpu_s,
            wall_s=budget.wall_s,
            file_mb=budget.file_mb,
            progress=progress or _unheard,
        )
        info = probe(video, isolated=False)
        sound = _wav_info(audio) if audio.exists() else None
        if sound is None:
            Path(out_audio).unlink(missing_ok=True)
    return replace(info, audio=sound)


def write_clip(
    path: str,
    out_video: str,
    out_audio: str,
    limits: ClipLimits,
    audio_track: int | None,
    rotate: int,
    progress: StepsDone,
) -> None:
    """:func:`normalise_clip`'s child side."""
    clip, wav = Path(path), Path(out_audio)
    info = MediaInfo.from_dict(read_info(path, audio_track))
    if info.video is not None:
        limits.check_duration(info.video.duration_s)
        limits.check_frame_rate(info.video.fps)
        limits.check_pixels(info.video.coded_width, info.video.coded_height)
    info.check_complete(clip.name)
    origin = video_origin(clip, limits.max_pixels)
    fields = find_fields(clip, limits.max_pixels)
    stop = (
        round(limits.max_seconds * FPS)
        if limits.max_seconds is not None
        else round(limits.max_duration_s * FPS)
    )
    expected = min(stop, round(info.video.duration_s * FPS)) if info.video else 0
    with reading(clip) as container, ToRgb(limits.max_side, even=True, rotate=rotate) as to_rgb:
        stream = require_video(container, clip.name)
        writer: VideoWriter | None = None
        last, image = None, np.empty(0, np.uint8)
        try:
            timed = deinterlaced(timed_frames(container, stream, 0.0, limits.max_pixels), fields)
            for k, frame in resampled(timed, FPS, 0, stop):
                if frame is not last:
                    limits.check_pixels(frame.width, frame.height)
                    last, image = frame, to_rgb(frame, stream)
                if writer is None:
                    writer = VideoWriter(
                        Path(out_video), image.shape[1], image.shape[0], FPS, 12, keyframe_every=12, bframes=0
                    )
                    writer.__enter__()
                writer.write(image)
                if k % 5 == 0:
                    progress(k, max(expected, k))
            frames = writer.frames if writer else 0
            limits.check_frames(frames)
        except BaseException as error:
            if writer is not None:
                writer.__exit__(type(error), error, error.__traceback__)
            raise
        assert writer is not None  # check_frames refused none
        writer.__exit__(None, None, None)
    if info.audio is not None:
        _write_sound(clip, wav, origin, frames, info.audio.track)
    progress(frames, frames)


def _write_sound(clip: Path, wav: Path, origin: float, frames: int, track: int) -> None:
    left = frames * SAMPLES_PER_FRAME
    heard = False
    with soundfile.SoundFile(wav, "w", SAMPLE_RATE, 1, "PCM_16", format="WAV") as file:
        try:
            for samples in read_sound(
                clip, rate=SAMPLE_RATE, origin_s=origin, stop_s=left / SAMPLE_RATE, track=track
            ):
                heard = True
                file.write(np.clip(samples, -1.0, 1.0))
                left -= len(samples)
        except NoSound:
            heard = False
        _write_silence(file, left)
    if not heard:
        wav.unlink()


def _write_silence(file: soundfile.SoundFile, samples: int) -> None:
    while samples > 0:
        count = min(samples, SAMPLE_RATE * 60)
        file.write(np.zeros((count, 1), np.float32))
        samples -= count


def normalise_recording(
    recording: Path,
    out_wav: Path,
    *,
    limits: RecordingLimits | None = None,
    audio_track: int | None = None,
    led: bool = False,
    progress: StepsDone | None = None,
) -> float:
    """Write the sound of any sound or video file as a 16 kHz mono 16-bit wav; memory stays flat for hours.

    Args:
        recording: wav, mp3, m4a, ogg, flac, or a video with sound. Sample 0 is the sound's own beginning, or that of
            the picture where there is one (:func:`media.clock.recording_origin`).
        out_wav: where to write.
        limits: see :class:`media.limits.RecordingLimits`.
        audio_track: which of the file's sound tracks, from 1; None for the one with the voice.
        led: the motion comes from the same file's picture, so what is heard before it is cut.
        progress: gets (seconds done, seconds in all).

    Returns:
        the recording's length, seconds.

    Raises:
        NotFound, UnreadableMedia, MediaTooLarge, DecodeTimeout, OutOfDisk.
        NoSound: no sound stream, or silence from end to end.
        InvalidParameter: there is no such sound track.
        TooShort: less than ``limits.min_seconds``.
    """
    limits = limits or RecordingLimits()
    limits.check_bytes(_size(recording))
    budget = limits.budget
    with replacing(Path(out_wav)) as inside:
        seconds = run_isolated(
            write_recording,
            str(Path(recording).absolute()),
            str(inside.absolute()),
            limits,
            audio_track,
            led,
            memory_mb=budget.memory_mb,
            cpu_s=budget.cpu_s,
            wall_s=budget.wall_s,
            file_mb=budget.file_mb,
            progress=progress or _unheard,
        )
    return float(seconds)


def write_recording(
    path: str, out: str, limits: RecordingLimits, audio_track: int | None, led: bool, progress: StepsDone
) -> float:
    """:func:`normalise_recording`'s child side."""
    recording = Path(path)
    info = MediaInfo.from_dict(read_info(path, audio_track))
    if info.audio is None:
        raise NoSound(f"{recording.name} has no sound", remedy="upload a recording with the voice to speak")
    info.check_complete(recording.name, sound_only=True)
    track = info.audio.track
    origin = recording_origin(recording, track, led=led)
    written, peak = 0, 0.0
    with soundfile.SoundFile(out, "w", SAMPLE_RATE, 1, "PCM_16", format="WAV") as file:
        for samples in read_sound(
            recording, rate=SAMPLE_RATE, origin_s=origin, stop_s=limits.max_seconds + 1.0, track=track
        ):
            file.write(np.clip(samples, -1.0, 1.0))
            before, written = written, written + len(samples)
            peak = max(peak, float(np.abs(samples).max()))
            limits.check_longest(written / SAMPLE_RATE)
            if written // (5 * SAMPLE_RATE) > before // (5 * SAMPLE_RATE):
                progress(written // SAMPLE_RATE, max(int(info.audio.duration_s), written // SAMPLE_RATE))
    seconds = written / SAMPLE_RATE
    limits.check_shortest(seconds)
    if peak < 10 ** (limits.silence_dbfs / 20):
        raise NoSound(
            f"{recording.name} is silent from end to end ({seconds:.1f} s)",
            remedy="record the voice again and check the microphone",
            details={"seconds": seconds, "peak": peak},
        )
    return seconds


def _size(path: Path) -> int:
    if not Path(path).is_file():
        raise NotFound(f"there is no file {path}", remedy="check the path")
    return Path(path).stat().st_size


def _wav_info(path: Path) -> AudioInfo:
    about: Any = soundfile.info(str(path))
    return AudioInfo("pcm_s16le", SAMPLE_RATE, 1, about.frames / SAMPLE_RATE)


def _unheard(done: int, total: int) -> None:
    """The listener that ignores everything."""
