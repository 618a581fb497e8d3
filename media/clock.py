"""One clock for all tracks of a file: second 0 is the beginning of its picture.

Containers place every track on one time line, and tracks seldom begin together on it: an encoder's delay, B-frames, a
camera whose microphone wakes up later, a stream that is joined in its middle. What belongs together is what the time
stamps say, never what comes first in each track. So the picture's first shown frame is second 0, for whoever reads
the picture and for whoever reads the sound: sound that begins later is preceded by silence, what is heard before is
cut. A file without a picture begins with its sound.

Decodes in the calling process: for a stranger's file call it inside :func:`media.isolate.run_isolated`.
"""

from __future__ import annotations

from pathlib import Path

from media.container import audio_stream, reading, video_stream
from media.decode import first_time, video_origin
from problems import Problem

LEAD_IN_S = 0.5
"""Seconds of sound before the picture that are cut from a recording in any case; see :func:`recording_origin`."""
_MOST_PIXELS = 8192 * 4352


def recording_origin(path: Path, track: int, *, led: bool = False) -> float | None:
    """The container's time that becomes sample 0 of a recording.

    The picture's beginning, so that the recording stays with the picture whatever is done with either. A recording
    whose sound begins more than :data:`LEAD_IN_S` before the picture, as in a stream that was joined between two key
    frames, begins with its sound, so that no word is lost; unless the same file's picture leads the video.

    Args:
        path: a sound or video file.
        track: the sound track, from 1.
        led: whether this file's picture gives the motion, too: its beginning counts, come what may.

    Returns:
        seconds, or None for the sound's own beginning.

    Raises:
        NotFound, UnreadableMedia: see :func:`media.container.reading`.
    """
    picture = picture_start(path)
    if picture is None or led:
        return picture
    with reading(path) as container:
        begin = first_time(container, audio_stream(container, track))
    return picture if begin is None or begin >= picture - LEAD_IN_S else None


def picture_start(path: Path) -> float | None:
    """The container's time of the first shown frame, seconds; None for a file without a picture.

    A picture that can't be decoded counts by its packets: only its sound is wanted then.
    """
    with reading(path) as container:
        stream = video_stream(container)
        if stream is None:
            return None
    try:
        return video_origin(path, _MOST_PIXELS)
    except Problem:
        with reading(path) as container:
            stream = video_stream(container)
            times = (
                float(packet.pts * packet.time_base)
                for packet in container.demux(stream)
                if packet.pts is not None and packet.size and not packet.is_discard
            )
            return min((time for time, _ in zip(times, range(32), strict=False)), default=None)
