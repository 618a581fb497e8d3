"""Open a media file for reading: only known containers and codecs, only local bytes, errors in our own words.

Call this inside :mod:`media.isolate` for any file that a stranger made.
"""

from __future__ import annotations

import errno
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition

from problems import InvalidParameter, NotFound, NoVideo, UnreadableMedia

_CONTAINERS = """
    mov mp4 m4a 3gp 3g2 mj2 matroska webm avi mpegts mpeg mpegvideo mxf dv flv asf ivf h264 hevc m4v yuv4mpegpipe
    wav w64 mp3 ogg flac aac loas aiff caf amr au ac3 eac3 dts wv tta voc
"""
CONTAINERS = ",".join(_CONTAINERS.split())
"""Demuxers that may open a file. Playlists (hls, concat, dash) and patterns of pictures (image2) are not among them:
they read other files and URLs."""
_VIDEO_CODECS = """
    h264 hevc vp8 libvpx vp9 libvpx-vp9 av1 libdav1d mpeg4 msmpeg4 msmpeg4v2 msmpeg4v3 h263 h263i h263p flv
    mpeg1video mpeg2video dvvideo mjpeg prores dnxhd ffv1 huffyuv ffvhuff utvideo qtrle theora wmv1 wmv2 wmv3 vc1
    rawvideo v210 png
"""
_AUDIO_CODECS = """
    aac aac_fixed aac_latm mp3 mp3float mp2 mp2float mp1 mp1float opus libopus vorbis libvorbis flac alac ac3
    ac3_fixed eac3 dca wavpack tta speex libspeex amrnb amrwb wmav1 wmav2 wmapro wmavoice adpcm_ima_wav
    adpcm_ima_qt adpcm_ms adpcm_swf adpcm_g722 gsm gsm_ms pcm_s8 pcm_u8 pcm_s16le pcm_s16be pcm_u16le pcm_u16be
    pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be pcm_f64le pcm_f64be pcm_alaw pcm_mulaw
    pcm_dvd pcm_bluray
"""
VIDEO_CODECS, AUDIO_CODECS = frozenset(_VIDEO_CODECS.split()), frozenset(_AUDIO_CODECS.split())
"""Decoders that may see a file."""
_NO_TRACK = "leave the sound track out, or give a file with sound"
_REMEDY = "upload an mp4, mov, webm or mkv video, or a wav, mp3, m4a, ogg or flac recording"
_OTHER_FILES = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF: it has no sound and too few colours",
    b"BM": "a BMP picture",
    b"II*\x00": "a TIFF or raw picture",
    b"MM\x00*": "a TIFF or raw picture",
    b"8BPS": "a Photoshop picture",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"Rar!": "a rar archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x1f\x8b": "a gzip archive",
    b"#EXTM3U": "a playlist: it only names other files",
    b"ffconcat": "a playlist: it only names other files",
    b"[playlist]": "a playlist: it only names other files",
    b"<MPD": "a playlist: it only names other files",
    b"<?xml": "an XML file",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
    b"MThd": "a MIDI file: notes, without a voice",
    b".RMF": "a RealMedia file, which is not read",
    b".ra\xfd": "a RealAudio file, which is not read",
    b"MAC ": "a Monkey's Audio file, which is not read",
    b"FWS": "a Flash animation",
    b"CWS": "a Flash animation",
    b"NSV": "a Nullsoft video, which is not read",
    b"BLENDER": "a Blender file",
}
"""Names of what people send by mistake, or what is not read, by the first bytes."""
_STILLS = {
    b"heic": "a HEIC picture",
    b"heix": "a HEIC picture",
    b"mif1": "a HEIF picture",
    b"avif": "an AVIF picture",
}


_NO_PICTURE = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


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
        if isinstance(error, av.error.ExternalError) and _short_of_memory():
            raise MemoryError from error  # of x264 and others: they say no more than that they failed
        raise UnreadableMedia(
            f"{path.name} can't be read as media: {error.strerror}",
            remedy=f"the file is damaged, cut off or not a media file; {_REMEDY}",
        ) from error


def _short_of_memory() -> bool:
    """Whether this process came close to the limit on its address space, if it has one."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return False
    peak = re.search(r"^VmPeak:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return peak is not None and int(peak[1]) * 1024 > 0.75 * limit


def _look_at_the_bytes(path: Path) -> None:
    if not path.is_file():
        raise NotFound(f"there is no file {path}", remedy="check the path")
    if path.stat().st_size == 0:
        raise UnreadableMedia(
            f"{path.name} is empty (0 bytes)", remedy="the upload or the copy failed: send the file again"
        )
    with path.open("rb") as file:
        head = file.read(64)
    name = _other_file(head, path)
    if name is not None:
        raise UnreadableMedia(f"{path.name} is {name}", remedy=_REMEDY)


def _other_file(head: bytes, path: Path) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        animated = head[12:16] == b"VP8X" and bool(head[20] & 2)
        return (
            "an animated WebP: it has no sound" if animated else "a WebP picture, not a video or a recording"
        )
    if head.startswith(b"\x89PNG"):
        with path.open("rb") as file:
            animated = b"acTL" in file.read(4096)
        return "an animated PNG: it has no sound" if animated else "a PNG picture, not a video or a recording"
    if head[4:8] == b"ftyp" and head[8:12] in _STILLS:
        return f"{_STILLS[head[8:12]]}, not a video or a recording"
    for magic, name in _OTHER_FILES.items():
        if head.startswith(magic):
            return (
                f"{name}, not a video or a recording"
                if name.endswith(("picture", "document", "archive"))
                else name
            )
    return None


def video_stream(container: InputContainer) -> Any | None:
    """The video stream to look at, or None. Cover pictures of music files, thumbnails and stills are none; what can be
    decoded goes before what can't."""
    streams = [s for s in container.streams.video if not s.disposition & _NO_PICTURE]
    moving = [s for s in streams if s.frames != 1] or streams
    known = [s for s in moving if s.codec_context is not None and s.codec_context.codec.name in VIDEO_CODECS]
    best = known or moving
    return next((s for s in best if s.disposition & Disposition.default), best[0] if best else None)


def audio_stream(container: InputContainer, track: int | None = None) -> Any | None:
    """The sound stream to listen to, or None if there is none.

    Args:
        container: an open file.
        track: which of its sound tracks, from 1; None for the one the file prefers (:mod:`media.tracks` knows better
            which is the voice's).

    Raises:
        InvalidParameter: there is no such track.
    """
    streams = container.streams.audio
    if track is not None:
        if not 1 <= track <= len(streams):
            count = f"{len(streams) or 'no'} sound track{'s' * (len(streams) != 1)}"
            raise InvalidParameter(
                f"{Path(container.name).name} has {count}: there is no sound track {track}",
                remedy=f"choose 1 to {len(streams)}, or leave the sound track out" if streams else _NO_TRACK,
                details={"field": "audio_track", "tracks": len(streams)},
            )
        return streams[track - 1]
    known = known_sound(container) or [s for s in streams if s.codec_context is not None]
    return next((s for s in known if s.disposition & Disposition.default), known[0] if known else None)


def known_sound(container: InputContainer) -> list[Any]:
    """The sound streams that can be decoded. Phones add tracks that only their maker can decode (spatial sound) beside
    the common one."""
    return [
        s
        for s in container.streams.audio
        if s.codec_context is not None and s.codec_context.codec.name in AUDIO_CODECS
    ]


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
