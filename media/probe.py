"""What a media file says about itself, and whether its packets agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from media.container import VIDEO_CODECS, audio_stream, reading, video_stream
from media.decode import decoded_frames, prepare
from media.isolate import run_isolated
from media.orientation import Orientation, square_size
from media.packets import PacketTimes, is_whole, read_packets
from media.tracks import SoundChoice, choose_sound
from problems import UnreadableMedia

_MOST_PIXELS = 8192 * 4352


@dataclass(frozen=True)
class VideoInfo:
    """A video stream."""

    codec: str
    """libav's name of the codec, e.g. ``h264``."""
    width: int
    """Pixels, upright and with square pixels."""
    height: int
    """Pixels, upright and with square pixels."""
    coded_width: int
    """Pixels as stored."""
    coded_height: int
    """Pixels as stored."""
    fps: float
    """Average frames a second."""
    variable_fps: bool
    """The gaps between frames differ by more than the container's rounding."""
    frames_estimate: int
    """Frames in the file, counted from its packets."""
    rotation_deg: int
    """Degrees the stored picture must be turned clockwise to stand upright: 0, 90, 180 or 270."""
    duration_s: float
    """Seconds from the first frame to the end of the last."""
    declared_s: float = 0.0
    """Seconds that the file promises for this stream, 0 when it does not."""
    interlaced: bool = False
    """Each frame holds two moments, line by line, and is deinterlaced when it is read."""

    def turned(self, clockwise_deg: int) -> VideoInfo:
        """The same when its picture is turned by 0, 90, 180 or 270 degrees beside what the file says."""
        size = (self.width, self.height) if clockwise_deg % 180 == 0 else (self.height, self.width)
        degrees = (self.rotation_deg + clockwise_deg) % 360
        return replace(self, width=size[0], height=size[1], rotation_deg=degrees)


@dataclass(frozen=True)
class AudioInfo:
    """A sound stream."""

    codec: str
    """libav's name of the codec, e.g. ``aac``."""
    sample_rate: int
    """Hz."""
    channels: int
    """1 mono, 2 stereo, ..."""
    duration_s: float
    """Seconds, from its packets."""
    declared_s: float = 0.0
    """Seconds that the file promises for this stream, 0 when it does not."""
    start_s: float = 0.0
    """Seconds after the picture's beginning at which it begins; negative: before."""
    track: int = 1
    """Which of the file's sound tracks this is, from 1."""
    tracks: int = 1
    """How many sound tracks the file has."""
    choice: str = "default"
    """Why this track: ``default``, the file prefers it; ``voice``, that one is silent or mere noise; ``asked``."""
    mix: str = "mean"
    """How its channels become one: ``mean``, or ``left`` or ``right`` alone where they are out of phase."""


@dataclass(frozen=True)
class MediaInfo:
    """A media file."""

    container: str
    """libav's name of the demuxer, e.g. ``mov,mp4,m4a,3gp,3g2,mj2``."""
    duration_s: float
    """Seconds: the longer of picture and sound, as found."""
    declared_s: float
    """Seconds that the header promises, 0 when it does not."""
    video: VideoInfo | None
    """The picture, if there is one."""
    audio: AudioInfo | None
    """The sound, if there is any."""

    whole: bool = False
    """All the bytes are there that the container announces; False also where it announces none."""

    @property
    def truncated(self) -> bool:
        """The file is known to be cut off: picture or sound ends early, see :meth:`check_complete`."""
        return any(self._missing(stream) for stream in (self.video, self.audio))

    def check_complete(self, name: str, *, sound_only: bool = False) -> None:
        """Raise :class:`UnreadableMedia` for a file whose picture or sound ends over a second and a tenth before what
        the file promises *for this very stream*. Other tracks, such as subtitles, may be as long as they like.

        A container that holds all the bytes it announces is never cut off, whatever its header says. Only mov/mp4 and
        mkv/webm state durations; elsewhere libav guesses them from the bit rate.

        Args:
            name: of the file, for the message.
            sound_only: the picture does not matter.
        """
        for what, stream in (("picture", None if sound_only else self.video), ("sound", self.audio)):
            if stream is not None and self._missing(stream):
                raise UnreadableMedia(
                    f"{name} is cut off: its {what} ends after {stream.duration_s:.1f} s of {stream.declared_s:.1f} s",
                    remedy="the copy or the upload was interrupted: send the whole file again",
                    details={"found_s": stream.duration_s, "declared_s": stream.declared_s, "stream": what},
                )

    def _missing(self, stream: VideoInfo | AudioInfo | None) -> bool:
        if stream is None or self.whole or not {"mov", "matroska"} & set(self.container.split(",")):
            return False
        return stream.declared_s - stream.duration_s > max(1.0, 0.1 * stream.declared_s)

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MediaInfo:
        """The inverse of :meth:`as_dict`."""
        video, audio = data["video"], data["audio"]
        return cls(
            container=data["container"],
            duration_s=data["duration_s"],
            declared_s=data["declared_s"],
            video=VideoInfo(**video) if video else None,
            audio=AudioInfo(**audio) if audio else None,
            whole=data.get("whole", False),
        )


def probe(path: Path, *, isolated: bool = True, audio_track: int | None = None) -> MediaInfo:
    """Read the header, the packets' times and one frame of a media file.

    Args:
        path: any media file.
        isolated: do it in a limited child process (0.3 s). False only for files the product wrote, or inside
            a child.
        audio_track: the sound track to tell of, from 1; None for the one with the voice.

    Raises:
        InvalidParameter: there is no such sound track.
        NotFound: there is no such file.
        UnreadableMedia: empty, damaged, or no media file.
    """
    path = Path(path).absolute()
    if not isolated:
        return MediaInfo.from_dict(read_info(str(path), audio_track))
    return MediaInfo.from_dict(
        run_isolated(read_info, str(path), audio_track, memory_mb=1024, cpu_s=60, wall_s=120)
    )


def read_info(path: str, audio_track: int | None = None) -> dict[str, Any]:
    """:func:`probe`'s inside: :meth:`MediaInfo.as_dict` of ``path``."""
    choice = choose_sound(Path(path), audio_track)
    with reading(Path(path)) as container:
        video, audio = video_stream(container), audio_stream(container, choice.track if choice else None)
        if video is None and audio is None:
            raise UnreadableMedia(
                f"{Path(path).name} holds neither video nor sound",
                remedy="upload a video with the person's voice, or a recording",
            )
        packets = read_packets(container, video)
        used = [stream.index for stream in (video, audio) if stream is not None]
        origin = min((packets.starts[index] for index in used if index in packets.starts), default=0.0)
        end = max((packets.ends[index] for index in used if index in packets.ends), default=origin)
        info = MediaInfo(
            container=container.format.name,
            duration_s=end - origin,
            declared_s=container.duration / 1e6 if container.duration and container.duration > 0 else 0.0,
            video=_video_info(video, packets) if video is not None else None,
            audio=_audio_info(audio, packets, choice, video) if audio is not None and choice else None,
            whole=is_whole(Path(path), container.format.name),
        )
        info = replace(
            info,
            video=replace(info.video, declared_s=packets.promised(video, container)) if info.video else None,
            audio=replace(info.audio, declared_s=packets.promised(audio, container)) if info.audio else None,
        )
    return replace(info, video=_turned(info.video, path) if info.video else None).as_dict()


def _turned(video: VideoInfo, path: str) -> VideoInfo:
    """The display matrix and the pixels' shape come with the first frame."""
    with reading(Path(path)) as container:
        stream: Any = video_stream(container)
        if (
            stream.codec_context.codec.name not in VIDEO_CODECS
            or video.coded_width * video.coded_height > _MOST_PIXELS
        ):
            return video
        prepare(stream, _MOST_PIXELS)
        frame = next(decoded_frames(container, stream), None)
    if frame is None:
        return video
    turn = Orientation.of_frame(frame)
    width, height = square_size(frame.width, frame.height, stream.sample_aspect_ratio, None)
    if turn.transpose:
        width, height = height, width
    return replace(
        video,
        width=width,
        height=height,
        rotation_deg=turn.clockwise_deg,
        interlaced=bool(frame.interlaced_frame),
    )


def _video_info(stream: Any, packets: PacketTimes) -> VideoInfo:
    context, times, length = stream.codec_context, packets.times, packets.length(stream)
    gaps = np.diff(times)
    gaps = gaps[gaps > 0]
    gap = float(np.median(gaps)) if len(gaps) else 0.0
    if gap and length - (times[-1] - times[0]) < gap / 2:
        length += gap  # the container gives its last frame no duration
    average = len(times) / length if length > 0 and len(times) > 1 else float(stream.average_rate or 0)
    tick = float(stream.time_base or 0)
    return VideoInfo(
        codec=context.codec.canonical_name,
        width=context.width,
        height=context.height,
        coded_width=context.width,
        coded_height=context.height,
        fps=round(average, 3),
        # Two ticks of rounding are the container's; more than a twentieth of a frame is the camera's.
        variable_fps=bool(
            len(gaps) > 2 and np.percentile(np.abs(gaps - gap), 98) > max(2 * tick, 0.05 * gap)
        ),
        frames_estimate=len(times) or int(stream.frames),
        rotation_deg=0,
        duration_s=length,
    )


def _audio_info(stream: Any, packets: PacketTimes, choice: SoundChoice, video: Any) -> AudioInfo:
    context = stream.codec_context
    begins = packets.starts.get(stream.index, 0.0)
    return AudioInfo(
        codec=context.codec.name if context is not None else "unknown",
        sample_rate=int(context.sample_rate or 0) if context is not None else 0,
        channels=int(context.channels or 0) if context is not None else 0,
        duration_s=packets.length(stream),
        start_s=begins - packets.starts.get(video.index, begins) if video is not None else 0.0,
        track=choice.track,
        tracks=choice.tracks,
        choice=choice.why,
        mix=choice.mix,
    )
