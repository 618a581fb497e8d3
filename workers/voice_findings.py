"""From how lips follow a voice to what is said about it: in an inspection, and of a person that was learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fitting.inspect import Finding, VoiceFigures
from motion.features import extract
from motion.lip_sync import LipSync, follow
from motion.personalize import MotionReport
from motion.prosody import FRAME
from motion.shift import shifted
from motion.sound_ranges import Hole, heard_frames
from motion.spoken_ranges import Range, SpokenRanges, find_ranges

POOR_LIP_R = 0.3
"""Held-out correlation of a training's lips under which nobody should be content; clips whose sound is their own reach
0.5 to 0.9 (docs/motion.md), those with another sound 0.1."""
TELLING_HOLE_S = 1.0
"""Seconds without sound at the start or the end from which it is told."""

_AGAIN = "film again, and leave the sound as it was recorded"
_ACCEPT = "if you are sure that it is the right one, accept this finding: lips_strange"


def listen(samples: NDArray[np.float32], lips: NDArray[np.floating]) -> tuple[VoiceFigures, list[Finding]]:
    """Say whether lips and voice belong together, by how much one is late, and where one of them is missing.

    Args:
        samples: (N,) at 16 kHz; sample 640 k is at frame k.
        lips: (T, 2) of :func:`faces.mouth.lip_shape`, NaN where no mouth was seen; every second frame is enough.
    """
    frames = len(lips)
    samples = np.pad(samples[: frames * FRAME], (0, max(0, frames * FRAME - len(samples))))
    features = extract(samples)
    sync = follow(features, lips, np.isfinite(lips).all(1) & heard_frames(samples, frames))
    moved_ms = undone_ms(sync)
    if moved_ms:
        samples = shifted(samples, moved_ms)
        features = extract(samples)
    ranges = find_ranges(samples, features, lips)
    # What the shift itself leaves empty at one end is no fault of the clip.
    holes = [hole for hole in ranges.holes if not _made_by(hole, moved_ms)]
    figures = VoiceFigures(
        verdict=sync.verdict,
        correlation=round(sync.correlation, 3),
        sound_late_ms=sync.sound_late_ms,
        z=round(sync.z, 2),
        power=round(sync.power, 2),
        shifted_ms=moved_ms,
        voiced_s=round(sync.voiced_s, 2),
        frames=sync.frames,
        windows=sync.windows,
        missing=tuple((hole.first, hole.last - 1) for hole in holes),
        unvoiced=ranges.unvoiced,
        unmoved=ranges.unmoved,
    )
    return figures, [*sync_findings(sync), *_range_findings(holes, ranges)]


def undone_ms(sync: LipSync) -> int:
    """Milliseconds by which the sound is to be moved forward: its lag, where the evidence is strong enough, else 0."""
    return sync.sound_late_ms if sync.verdict == "shifted" else 0


def sync_findings(sync: LipSync) -> Iterator[Finding]:
    """What to say about lips and voice as a whole."""
    late = sync.sound_late_ms
    facts = {
        "correlation": round(sync.correlation, 3),
        "z": round(sync.z, 2),
        "power": round(sync.power, 2),
        "sound_late_ms": late,
    }
    how = f"correlation {sync.correlation:.2f}, {sync.z:.1f} standard deviations beyond chance"
    if sync.verdict == "shifted":
        when = f"{late} ms after" if late > 0 else f"{-late} ms before"
        yield Finding(
            "sound_late" if late > 0 else "sound_early",
            "warning",
            f"the sound comes {when} the lips ({how})",
            "nothing need be done: training moves the sound to the lips; if the figure is wrong, correct the file",
            facts=facts,
        )
    elif sync.verdict == "strange":
        yield Finding(
            "lips_strange",
            "error",
            f"the lips do not move with the voice, at no lag up to 1.2 s ({how}): it is another person's, another "
            "take's, or translated",
            f"use the sound that was recorded with the picture; {_ACCEPT}",
            facts=facts,
        )
    elif sync.verdict == "unsure":
        hint = f"; they would fit best with the sound {late} ms late" if abs(late) > 80 else ""
        yield Finding(
            "lips_unsure",
            "warning",
            f"it is not clear that the lips move with the voice ({how}){hint}",
            "watch the clip with its sound; film 12 s or more, spoken clearly, without music, to be sure",
            facts=facts,
        )


def _range_findings(holes: Sequence[Hole], ranges: SpokenRanges) -> Iterator[Finding]:
    left_out = "its frames are shown, but nothing is learnt from them about speech"
    for hole in holes:
        facts = {"from_s": hole.first / 25, "to_s": hole.last / 25}
        span = f"from {hole.first / 25:.1f} to {hole.last / 25:.1f} s"
        if hole.place == "middle":
            yield Finding(
                "sound_drops_out",
                "warning",
                f"there is no sound {span}, while the lips move; {left_out}",
                _AGAIN,
                _spread(hole.first, hole.last - 1),
                facts,
            )
        elif hole.seconds >= TELLING_HOLE_S:
            code = "sound_starts_late" if hole.place == "start" else "sound_ends_early"
            does = "begins" if hole.place == "start" else "ends"
            at = hole.last if hole.place == "start" else hole.first
            yield Finding(
                code,
                "warning",
                f"the sound {does} at {at / 25:.1f} s, and there is none {span}; {left_out}",
                f"check how the file was made or sent, or {_AGAIN}",
                _spread(hole.first, hole.last - 1),
                facts,
            )
    if ranges.unvoiced:
        yield Finding(
            "lips_without_voice",
            "warning",
            f"the lips move as in speech, and no voice is heard: {_spans(ranges.unvoiced)}",
            "check the microphone there, or cut these seconds out",
            _all_of(ranges.unvoiced),
            {"ranges": [list(each) for each in ranges.unvoiced]},
        )
    if ranges.unmoved:
        yield Finding(
            "voice_without_lips",
            "warning",
            f"a voice is heard, and the lips keep still: {_spans(ranges.unmoved)}",
            "somebody else may be speaking: cut these seconds out, or let the person alone speak",
            _all_of(ranges.unmoved),
            {"ranges": [list(each) for each in ranges.unmoved]},
        )


def training_findings(report: MotionReport) -> list[Finding]:
    """What to know about a person whose motion was learnt."""
    found = []
    if report.lip_r < POOR_LIP_R:
        found.append(
            Finding(
                "lips_poorly_learnt",
                "warning",
                f"the lips were learnt poorly: on frames that were held out they follow the voice by a correlation of "
                f"{report.lip_r:.2f}; {POOR_LIP_R:g} and more is usual",
                "inspect the clip: its sound may be another's or shifted, the face small or covered, or the speech too "
                "short; then train on a better one",
                facts={"lip_r": report.lip_r, "usual": POOR_LIP_R},
            )
        )
    if report.sound_late_ms:
        when = f"{abs(report.sound_late_ms)} ms {'late' if report.sound_late_ms > 0 else 'early'}"
        found.append(
            Finding(
                "sound_late" if report.sound_late_ms > 0 else "sound_early",
                "warning",
                f"the clip's sound was {when}; it was moved to the lips before anything was learnt",
                "nothing need be done",
                facts={"sound_late_ms": report.sound_late_ms},
            )
        )
    if report.frames_without_sound:
        found.append(
            Finding(
                "sound_missing",
                "warning",
                f"{report.frames_without_sound} frames have no sound; nothing was learnt from them about speech",
                "nothing need be done; a clip with sound throughout teaches more",
                facts={"frames": report.frames_without_sound},
            )
        )
    return found


def _made_by(hole: Hole, moved_ms: int) -> bool:
    """Whether a hole is no longer than what moving the sound has emptied, with a frame of grace at either side."""
    place = "end" if moved_ms > 0 else "start"
    return bool(moved_ms) and hole.place == place and hole.last - hole.first <= abs(moved_ms) / 40 + 2


def _spread(first: int, last: int) -> tuple[int, ...]:
    """Some frames of a range, ten a second at most: a finding names those that show it."""
    return tuple(range(first, last + 1, 5))


def _all_of(ranges: Sequence[Range]) -> tuple[int, ...]:
    return tuple(frame for first, last in ranges for frame in _spread(first, last))


def _spans(ranges: Sequence[Range]) -> str:
    return ", ".join(f"{first / 25:.1f} to {(last + 1) / 25:.1f} s" for first, last in ranges[:5])
