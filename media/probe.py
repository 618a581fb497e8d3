"""What a media file says about itself, and whether its packets agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from av.container import InputContainer

from media.container import VIDEO_CODECS, audio_stream, reading, video_stream
from media.decode import decoded_frames, prepare
from media.isolate import run_isolated
from media.orientation import Orientation, square_size
from problems import UnreadableMedia

_MOST_PACKETS = 2_000_000
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

    @property
    def truncated(self) -> bool:
        """The header promises over a second and a tenth more than the packets hold.

        Only mov/mp4 and mkv/webm state a duration; elsewhere libav guesses it from the bit rate.
        """
        if not {"mov", "matroska"} & set(self.container.split(",")):
            return False
        return self.declared_s - self.duration_s > max(1.0, 0.1 * self.declared_s)

    def check_complete(self, name: str) -> None:
        """Raise :class:`UnreadableMedia` for a truncated file."""
        if self.truncated:
            raise UnreadableMedia(
                f"{name} is cut off: it ends after {self.duration_s:.1f} s of {self.declared_s:.1f} s",
                remedy="the copy or the upload was interrupted: send the whole file again",
                details={"found_s": self.duration_s, "declared_s": self.declared_s},
            )

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
        )


def probe(path: Path, *, isolated: bool = True) -> MediaInfo:
    """Read the header, the packets' times and one frame of a media file.

    Args:
        path: any media file.
        isolated: do it in a limited child process (0.3 s). False only for files the product wrote, or inside
            a child.

    Raises:
        NotFound: there is no such file.
        UnreadableMedia: empty, damaged, or no media file.
    """
    path = Path(path).absolute()
    if not isolated:
        return MediaInfo.from_dict(read_info(str(path)))
    return MediaInfo.from_dict(run_isolated(read_info, str(path), memory_mb=1024, cpu_s=60, wall_s=120))


def read_info(path: str) -> dict[str, Any]:
    """:func:`probe`'s inside: :meth:`MediaInfo.as_dict` of ``path``."""
    with reading(Path(path)) as container:
        video, audio = video_stream(container), audio_stream(container)
        if video is None and audio is None:
            raise UnreadableMedia(
                f"{Path(path).name} holds neither video nor sound",
                remedy="upload a video with the person's voice, or a recording",
            )
        times, ends, starts = _packet_times(container, video, audio)
        origin = min(starts.values(), default=0.0)
        lengths = {index: ends[index] - starts[index] for index in ends}
        info = MediaInfo(
            container=container.format.name,
            duration_s=max(ends.values(), default=origin) - origin,
            declared_s=container.duration / 1e6 if container.duration and container.duration > 0 else 0.0,
            video=_video_info(video, times, lengths.get(video.index, 0.0)) if video is not None else None,
            audio=_audio_info(audio, lengths.get(audio.index, 0.0)) if audio is not None else None,
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
    return replace(video, width=width, height=height, rotation_deg=turn.clockwise_deg)


def _packet_times(
    container: InputContainer, video: Any, audio: Any
) -> tuple[np.ndarray, dict[int, float], dict[int, float]]:
    """Sorted presentation times of the shown video packets, and each stream's end and start, seconds."""
    wanted = [stream for stream in (video, audio) if stream is not None]
    times: list[float] = []
    starts: dict[int, float] = {}
    ends: dict[int, float] = {}
    for count, packet in enumerate(container.demux(wanted)):
        if packet.pts is None or packet.size == 0 or packet.is_discard or count > _MOST_PACKETS:
            continue
        index, begin = packet.stream_index, float(packet.pts * packet.time_base)
        end = begin + float((packet.duration or 0) * packet.time_base)
        starts[index] = min(begin, starts.get(index, math.inf))
        ends[index] = max(end, ends.get(index, -math.inf))
        if video is not None and index == video.index:
            times.append(begin)
    return np.sort(np.array(times)), ends, starts


def _video_info(stream: Any, times: np.ndarray, length: float) -> VideoInfo:
    context = stream.codec_context
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


def _audio_info(stream: Any, length: float) -> AudioInfo:
    context = stream.codec_context
    return AudioInfo(context.codec.name, int(context.sample_rate or 0), int(context.channels or 0), length)
