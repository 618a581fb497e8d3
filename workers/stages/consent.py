"""Stage consent: does this video show one living person who speaks, the one of the clip? A report, not a verdict on
the words.

What it catches: a photo or a still with sound, a video without a voice, a mouth that does not move, lips that
clearly belong to another sound, a head nailed to its place, several people, somebody other than the clip's person.

What it does not catch, and can't: a video of the person that is played on a screen and filmed, a deepfake, a twin, an
edited sound under a video of the same person speaking. And it does not know what is said: no speech recogniser is
shipped, so the passcode is reported as ``unchecked``, for somebody to listen to. docs/consent.md has the numbers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.identity import DESCRIPTOR_SIZE, FaceDescriptor, identity_distance
from faces.mouth import eye_aperture, inter_ocular_distance, lip_shape, mouth_opening
from fitting.inspect import Finding, InspectConfig, Inspection, inspect_clip
from fitting.inspect.pose import RIGID
from fitting.landmarks import FaceLandmarker
from media.audio import read_wav
from media.decode import read_frames
from media.limits import ClipLimits
from media.normalise import normalise_clip
from media.survey import SurveyFrame, survey_clip
from motion.lip_sync import LipSync, lips_follow_voice
from problems import InvalidInput, InvalidParameter, NoFace
from training.progress import Progress, silent, ticking
from workers.consent_proofs import listen, passcode_finding, reuse_findings
from workers.earlier_takes import EarlierTakes
from workers.hearing import Recogniser

UNCHECKED = "unchecked"
"""What the report says about the passcode until somebody has listened."""


@dataclass(frozen=True)
class ConsentLimits:
    """Where the lines are drawn; docs/consent.md says from what."""

    min_seconds: float = 2.0
    """Seconds of the recording; less is an error."""
    max_seconds: float = 60.0
    """Seconds of the recording; more is an error."""
    max_side: int = 960
    """Longest side at which the face is followed, px."""
    described: int = 16
    """Frames of either video in which the face is described."""
    same_person: float = 0.6
    """Median distance of the face descriptors; from here on it is another person."""
    unsure_person: float = 0.5
    """Median distance from which somebody should look."""
    strange_frames: float = 0.2
    """Share of the recording's described frames that may show a face unlike the clip's, 0..1."""
    min_voice_s: float = 1.0
    """Seconds with a voice; less is an error."""
    min_mouth_range: float = 0.02
    """5th to 95th percentile of the lip opening over the inter-ocular distance; less is an error."""
    furthest_lag: int = 7
    """Frames that the lips may be ahead of the voice or behind it (0.28 s): no phone records later. Among more lags
    chance would find one at which a stranger's voice fits."""
    min_head_range: float = 0.015
    """5th to 95th percentile of the head's place, inter-ocular distances; less is an error: nobody keeps that still."""
    closed_eyes: float = 0.65
    """Lid opening, as part of the recording's 90th percentile, under which the eyes count as closed."""

    def followed(self) -> ClipLimits:
        """For the copy of the recording in which the face is followed."""
        return ClipLimits(max_seconds=self.max_seconds, max_side=self.max_side)


_WARNINGS = (
    "cut",
    "face_hidden",
    "face_covered",
    "mouth_covered",
    "second_face",
    "noisy_sound",
    "quiet_sound",
)
"""What an inspection warns of and somebody who judges a consent wants to know; the rest is about likeness."""
_VOICE = "film the person saying the sentence, with the microphone on"
_REWORDED = {
    "no_sound": ("the recording has no sound", _VOICE),
    "silent_sound": ("the recording is silent", _VOICE),
    "still_image": ("the recording is a still picture: nothing moves", "film the person saying the sentence"),
    "no_face": ("", "film the person's face from the front, in good light"),
    "several_faces": ("", "film the person alone, without mirrors or screens that show faces"),
    "too_short": ("", "film the person from the first word to the last"),
    "upside_down": ("", "turn the video upright in the phone's editor, or film it anew"),
    "sideways": ("", "turn the video upright in the phone's editor, or film it anew"),
}
"""Code -> message (empty keeps the inspection's) and remedy, where those of a clip would mislead."""
_SEVERITIES = ("error", "warning", "info")


def run(
    recording: Path,
    *,
    passcode: str,
    language: str = "en",
    clip: Path | None = None,
    earlier: EarlierTakes | None = None,
    recogniser: Callable[[], Recogniser | None] | None = None,
    limits: ConsentLimits | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Check a recording in which a person consents.

    Args:
        recording: any video file.
        passcode: the words that have to be said; they go into the report, for whoever listens.
        language: in which they are to be said.
        clip: the video that the person is to be learned from; without it nobody's face is compared.
        earlier: what else was handed in: the recording must be none of it, in whatever file.
        recogniser: makes what may hear the words; without it, or when it does not hear them, a person has to listen.
        limits: thresholds.
        progress: gets ticks of the stages ``inspect``, ``fresh`` and ``consent``.

    Returns:
        JSON types: ``accepted`` (no finding is an error), ``findings`` (code, severity, message, remedy, frames at 25
        fps, facts; errors first), ``measures``, and of a recogniser ``words``: ``heard``, ``by``, ``missing`` (never
        what else was said, which holds a name). A file that can't be read is a finding too.

    Raises:
        InvalidParameter: the passcode is empty.
        NotFound, UnreadableMedia, NoFace: of the clip, not of the recording.
        ResourceExhausted: memory, disk or time ran out.
    """
    if not passcode.strip():
        raise InvalidParameter(
            "a consent needs a passcode to be said", remedy="give one", details={"field": "passcode"}
        )
    limits = limits or ConsentLimits()
    measures: dict[str, Any] = {"passcode": UNCHECKED, "language": language}
    found: list[Finding] = []
    words: dict[str, Any] | None = None
    try:
        inspection = inspect_clip(
            recording,
            limits=ClipLimits(max_seconds=limits.max_seconds),
            config=InspectConfig(samples=60, min_frames=round(25 * limits.min_seconds)),
            progress=progress,
        )
        found += [*_length_findings(inspection, limits), *_inspection_findings(inspection)]
        measures |= _inspection_measures(inspection)
        if earlier is not None and not any(finding.severity == "error" for finding in found):
            found += reuse_findings(recording, earlier, measures, progress)
        if not any(finding.severity == "error" for finding in found):
            found += _look_closely(recording, clip, limits, measures, progress)
        if recogniser is not None and not any(finding.severity == "error" for finding in found):
            words = listen(recording, recogniser, passcode, language)
    except InvalidInput as problem:
        if problem.details.get("of") == "clip":
            raise
        found.append(Finding(problem.slug, "error", problem.message, problem.remedy, facts=problem.details))
    found.append(passcode_finding(passcode, language, words))
    measures["passcode"] = UNCHECKED if not words or not words["heard"] else "heard"
    found.sort(key=lambda finding: _SEVERITIES.index(finding.severity))
    return {
        "accepted": all(finding.severity != "error" for finding in found),
        "findings": [{**asdict(finding), "frames": list(finding.frames)} for finding in found],
        "measures": measures,
        **({"words": words} if words is not None else {}),
    }


def same_face(recording: Path, clip: Path, *, limits: ConsentLimits | None = None) -> float:
    """How unlike the faces of two videos are: the median distance of their descriptors over all pairs of frames.

    The same person lies around 0.3, another around 0.8; ``ConsentLimits.same_person`` is the line.

    Raises:
        NotFound, UnreadableMedia: a file can't be read.
        NoFace: one shows no face.
    """
    limits = limits or ConsentLimits()
    return float(np.median(_distances(*(_faces_of(video, limits) for video in (recording, clip)))))


def _faces_of(video: Path, limits: ConsentLimits) -> NDArray[np.float32]:
    """(N, 128) descriptors of evenly spread frames."""
    descriptor, found = FaceDescriptor(), []
    with FaceLandmarker(still=True) as landmarker:
        for item in survey_clip(video, limits=ClipLimits(), samples=limits.described, max_side=1280):
            if isinstance(item, SurveyFrame) and (faces := landmarker.detect(item.image)):
                found.append(descriptor.describe(item.image, faces[0]))
    if not found:
        raise NoFace(
            f"{video.name} shows no face to compare",
            remedy="film one person from the front, in good light",
        )
    return np.stack(found)


def _distances(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 128), (M, 128) -> (N, M)."""
    return identity_distance(one[:, None], other[None])


def _length_findings(inspection: Inspection, limits: ConsentLimits) -> list[Finding]:
    seconds = inspection.media.video.duration_s if inspection.media.video else 0.0
    if seconds <= limits.max_seconds + 0.5:
        return []
    message = f"the recording lasts {seconds:.0f} s; the limit is {limits.max_seconds:.0f} s"
    return [Finding("too_long", "error", message, "film only the sentence", facts={"seconds": seconds})]


def _inspection_findings(inspection: Inspection) -> Iterator[Finding]:
    for finding in inspection.findings:
        if finding.severity == "error" or finding.code in _WARNINGS:
            message, remedy = _REWORDED.get(finding.code, ("", finding.remedy))
            yield replace(finding, message=message or finding.message, remedy=remedy)


def _inspection_measures(inspection: Inspection) -> dict[str, Any]:
    face, video = inspection.face, inspection.media.video
    measures: dict[str, Any] = {"seconds": round(video.duration_s, 2) if video else None}
    if face is not None:
        measures |= {"face_share": face.share, "iod_px": face.iod_px}
    return measures


def _look_closely(
    recording: Path, clip: Path | None, limits: ConsentLimits, measures: dict[str, Any], progress: Progress
) -> list[Finding]:
    """Follow the face through the recording; fills in ``measures``."""
    with tempfile.TemporaryDirectory(prefix="likeness-consent-") as folder:
        video, sound = Path(folder) / "recording.mp4", Path(folder) / "recording.wav"
        written = normalise_clip(recording, video, sound, limits=limits.followed())
        assert written.video is not None
        points, faces = _follow(video, written.video.frames_estimate, limits, progress)
        samples = read_wav(sound)
    valid = np.isfinite(points).all((1, 2))
    opening = np.asarray(mouth_opening(points), np.float32)
    sync = lips_follow_voice(samples, lip_shape(points), valid, limits.furthest_lag)
    found = _voice_findings(sync, opening[valid], limits, measures)
    found += _head_findings(points[valid], limits, measures)
    return found if clip is None else found + _identity_findings(faces, clip, limits, measures)


def _follow(
    video: Path, frames: int, limits: ConsentLimits, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(T, 478, 2) landmarks of a normalised recording, NaN without a face, and (N, 128) descriptors of some frames."""
    wanted = set(np.linspace(0, frames - 1, min(frames, limits.described)).round().astype(int).tolist())
    descriptor, points, described = FaceDescriptor(), [], []
    with FaceLandmarker() as landmarker:
        for index, image in enumerate(ticking(read_frames(video), progress, "consent", frames)):
            seen = landmarker.track([image])
            points.append(seen.points[0])
            if index in wanted and seen.found[0]:
                described.append(descriptor.describe(image, points[-1]))
    return np.stack(points), np.stack(described) if described else np.zeros((0, DESCRIPTOR_SIZE), np.float32)


def _voice_findings(
    sync: LipSync, opening: NDArray[np.float32], limits: ConsentLimits, measures: dict[str, Any]
) -> list[Finding]:
    """Is there a voice, and do the lips (their opening in the frames that show them) go with it?"""
    low, high = np.percentile(opening, [5, 95]) if len(opening) else (0.0, 0.0)
    measures |= {
        "voice_seconds": round(sync.voiced_s, 2),
        "mouth_range": round(float(high - low), 4),
        "lips_follow_voice": round(sync.correlation, 3),
        "lips_lag_frames": sync.lag,
        "lips_z": round(sync.z, 2),
    }
    again = "film the person saying the sentence in one go, and leave the sound as it was recorded"
    facts = {"correlation": round(sync.correlation, 3), "z": round(sync.z, 2), "lag_frames": sync.lag}
    if sync.voiced_s < limits.min_voice_s:
        message = f"nobody is heard speaking: there is a voice for {sync.voiced_s:.1f} s"
        return [Finding("no_voice", "error", message, _VOICE, facts={"voice_seconds": sync.voiced_s})]
    if high - low < limits.min_mouth_range:
        return [Finding("mouth_still", "error", "a voice is heard, but the mouth does not move", again)]
    if sync.verdict == "strange":
        return [
            Finding("lips_strange", "error", "the lips do not move with the voice", again, facts=facts),
        ]
    if sync.verdict in ("unsure", "unheard"):
        message = "it is not clear that the lips move with the voice"
        remedy = "watch the recording with its sound, or film a longer sentence, spoken clearly"
        return [Finding("lips_unsure", "warning", message, remedy, facts=facts)]
    return []


def _head_findings(
    points: NDArray[np.float32], limits: ConsentLimits, measures: dict[str, Any]
) -> list[Finding]:
    moved = _head_range(points)
    measures |= {"head_range": round(moved, 4), "blinks": _blinks(points, limits.closed_eyes)}
    if moved >= limits.min_head_range:
        return []
    return [
        Finding(
            "head_static",
            "error",
            "the head does not move at all, as on a photo",
            "film the living person; there is no need to move on purpose",
            facts={"head_range": round(moved, 4)},
        )
    ]


def _head_range(points: NDArray[np.float32]) -> float:
    """5th to 95th percentile of the head's place in the picture, (T, 478, 2) landmarks -> inter-ocular distances."""
    if len(points) < _STEADY:
        return 0.0
    place = points[:, list(RIGID)].mean(1) / np.median(inter_ocular_distance(points))
    # The detector trembles by a thousandth or two on a photo: a mean over a fifth of a second takes that out.
    steady = np.lib.stride_tricks.sliding_window_view(place, _STEADY, axis=0).mean(-1)
    low, high = np.percentile(steady, [5, 95], axis=0)
    return float((high - low).max())


_STEADY = 5


def _blinks(points: NDArray[np.float32], closed: float) -> int:
    """Runs of frames whose lids are open by less than ``closed`` of what is usual."""
    if not len(points):
        return 0
    lids = eye_aperture(points)
    shut = lids < closed * np.percentile(lids, 90)
    return int(np.count_nonzero(np.diff(np.r_[False, shut].astype(int)) == 1))


def _identity_findings(
    faces: NDArray[np.float32], clip: Path, limits: ConsentLimits, measures: dict[str, Any]
) -> list[Finding]:
    if not len(faces):
        return [Finding("no_face", "error", "no frame shows a face to compare", _REWORDED["no_face"][1])]
    each = np.median(_distances(faces, _enrolled(clip, limits)), axis=1)
    distance, strange = float(np.median(each)), float((each >= limits.same_person).mean())
    measures |= {"identity_distance": round(distance, 3), "identity_strange_frames": round(strange, 3)}
    facts = {"distance": round(distance, 3), "limit": limits.same_person, "strange_frames": round(strange, 3)}
    own = "the person of the clip has to consent, in front of the camera, in good light, without a mask"
    if distance >= limits.same_person:
        message = f"this is not the person of the clip: their faces differ by {distance:.2f}"
        return [Finding("another_person", "error", message, own, facts=facts)]
    if strange > limits.strange_frames:
        message = f"{strange:.0%} of the frames looked at show a face unlike that of the clip"
        return [Finding("another_person", "error", message, own, facts=facts)]
    if distance >= limits.unsure_person:
        message = f"it is not clear that this is the person of the clip: their faces differ by {distance:.2f}"
        return [Finding("person_unsure", "warning", message, "compare the two videos yourself", facts=facts)]
    return []


def _enrolled(clip: Path, limits: ConsentLimits) -> NDArray[np.float32]:
    """The clip's faces; what is wrong with the clip is no finding about the recording."""
    try:
        return _faces_of(clip, limits)
    except InvalidInput as problem:
        problem.details["of"] = "clip"
        raise
