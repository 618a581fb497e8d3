"""Open a media file for reading: only known containers and codecs, only local bytes, errors in our own words.

Call this inside :mod:`media.isolate` for any file that a stranger made.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition

from problems import NotFound, NoVideo, UnreadableMedia

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,flv,wav,w64,mp3,ogg,flac,aac,aiff,caf,amr,asf"
"""Demuxers that may open a file. Playlists (hls, concat, dash) are not among them: they read other files and
URLs."""
_VIDEO_CODECS = """
    h264 hevc vp8 libvpx vp9 libvpx-vp9 av1 libdav1d mpeg4 msmpeg4v3 h263 mpeg1video mpeg2video
    mjpeg prores dnxhd ffv1 theora wmv2 wmv3 vc1 rawvideo png
"""
_AUDIO_CODECS = """
    aac aac_fixed aac_latm mp3 mp3float mp2 mp2float opus libopus vorbis libvorbis flac alac ac3 eac3
    amrnb amrwb wmav1 wmav2 adpcm_ima_wav adpcm_ms gsm_ms pcm_s8 pcm_u8 pcm_s16le pcm_s16be pcm_s24le
    pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be pcm_f64le pcm_alaw pcm_mulaw
"""
VIDEO_CODECS, AUDIO_CODECS = frozenset(_VIDEO_CODECS.split()), frozenset(_AUDIO_CODECS.split())
"""Decoders that may see a file."""
_REMEDY = "upload an mp4, mov, webm or mkv video, or a wav, mp3, m4a, ogg or flac recording"
_PICTURES = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
}


@contextmanager
def reading(path: Path) -> Iterator[InputContainer]:
    """Open ``path``; libav's errors inside the block become :class:`UnreadableMedia`.

    Raises:
        NotFound: there is no such file.
        UnreadableMedia: it is empty, no media file, damaged, or of a container that is not read.
    """
    path = Path(path)
    _look_at_the_bytes(path)
    whitelist = {
        "format_whitelist": CONTAINERS,
        "protocol_whitelist": "file",
        "codec_whitelist": ",".join(sorted(VIDEO_CODECS | AUDIO_CODECS)),
    }
    try:
        # The prefix keeps a file name such as "concat:a|b" from being taken for a protocol.
        with av.open(f"file:{path}", container_options=whitelist, metadata_errors="replace") as container:
            yield container
    except av.error.FFmpegError as error:
        if error.errno in (errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise  # the machine's or the limits' fault, not the file's
        raise UnreadableMedia(
            f"{path.name} can't be read as media: {error.strerror}",
            remedy=f"the file is damaged, cut off or not a media file; {_REMEDY}",
        ) from error


def _look_at_the_bytes(path: Path) -> None:
    if not path.is_file():
        raise NotFound(f"there is no file {path}", remedy="check the path")
    if path.stat().st_size == 0:
        raise UnreadableMedia(
            f"{path.name} is empty (0 bytes)", remedy="the upload or the copy failed: send the file again"
        )
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        raise UnreadableMedia(f"{path.name} is a WebP picture, not a video or a recording", remedy=_REMEDY)
    for magic, name in _PICTURES.items():
        if head.startswith(magic):
            raise UnreadableMedia(f"{path.name} is {name}, not a video or a recording", remedy=_REMEDY)


def video_stream(container: InputContainer) -> Any | None:
    """The video stream to look at, or None. Cover pictures of music files are none."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    return next((s for s in streams if s.disposition & Disposition.default), streams[0] if streams else None)


def audio_stream(container: InputContainer) -> Any | None:
    """The sound stream to listen to, or None."""
    streams = container.streams.audio
    # Phones add tracks that only their maker can decode (spatial sound) beside the common one.
    known = [s for s in streams if s.codec_context is not None and s.codec_context.codec.name in AUDIO_CODECS]
    known = known or [s for s in streams if s.codec_context is not None]
    return next((s for s in known if s.disposition & Disposition.default), known[0] if known else None)


def require_video(container: InputContainer, name: str) -> Any:
    """The video stream, with its codec checked.

    Raises:
        NoVideo: there is none.
        UnreadableMedia: its codec is not read.
    """
    stream = video_stream(container)
    if stream is None:
        raise NoVideo(
            f"{name} has no video, only sound", remedy="upload the video in which the person speaks"
        )
    check_codec(stream, VIDEO_CODECS, name)
    return stream


def check_codec(stream: Any, known: frozenset[str], name: str) -> None:
    """Raise :class:`UnreadableMedia` unless the stream's decoder is one of ``known``."""
    codec = stream.codec_context.codec.name if stream.codec_context is not None else "unknown"
    if codec not in known:
        raise UnreadableMedia(
            f"{name}: the {stream.type} codec {codec} can't be decoded",
            remedy="export it as H.264 mp4 (sound: aac, mp3 or wav)",
            details={"codec": codec},
        )
