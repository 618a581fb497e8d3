"""Look at a clip before learning from it: is it usable, and if not, which frames are the trouble and what
helps.

One pass decodes the clip in a limited child process (:mod:`media.survey`); some 120 frames, evenly spread,
are then shown to MediaPipe's mesh (is there a face that the fit can track?) and to its full-range face
detector (is there one that is too far away, half hidden, or not alone?). All frame numbers are those of the
normalised clip, 25 a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.mouth import inter_ocular_distance, mouth_opening
from fitting.landmarks import FaceLandmarker
from media.limits import ClipLimits
from media.probe import MediaInfo
from media.survey import FPS, SoundFigures, Survey, SurveyFrame, survey_clip
from problems import (
    FaceTooSmall,
    InternalProblem,
    NoFace,
    NoSound,
    Problem,
    SeveralFaces,
    StillImage,
    TooShort,
    problem_from_dict,
)
from training.progress import Progress, Tick, silent

_FROZEN_LEVEL = 0.3  # of any block, from one frame to the next; the stillest real webcam frames reach 0.36
_FOREHEAD, _CHIN, _RIGHT_CORNER, _LEFT_CORNER = 10, 152, 33, 263


@dataclass(frozen=True)
class InspectConfig:
    """Where the lines are drawn; docs/recording.md explains them to users."""

    samples: int = 120
    """Frames looked at for faces."""
    max_side: int = 1280
    """Longest side at which they are looked at, px; sizes are reported for the normalised clip."""
    min_frames: int = 75
    """Frames with a usable face, at 25 fps; fewer is an error."""
    good_frames: int = 200
    """Frames with a usable face, at 25 fps; fewer is a warning."""
    min_face_share: float = 0.6
    """Share of frames with a usable face, 0..1; less is an error."""
    max_second_share: float = 0.1
    """Share of frames with a second face, 0..1; more is an error."""
    second_face_size: float = 0.35
    """A face narrower than this part of the main one is background (a poster, a passer-by)."""
    min_iod: float = 24.0
    """Inter-ocular distance (outer corners), px; less is an error."""
    good_iod: float = 60.0
    """Inter-ocular distance, px; less is a warning."""
    far_iod_share: float = 0.075
    """Inter-ocular distance over the picture's longest side; below it the mesh no longer finds the face."""
    min_sharpness: float = 0.03
    """Variance of the Laplacian over the face's own variance at an inter-ocular distance of 64 px; less is a
    warning."""
    dark: float = 40.0
    """Mean grey of the face, 0..255; less is a warning."""
    bright: float = 225.0
    """Mean grey of the face, 0..255; more is a warning."""
    max_yaw_deg: float = 40.0
    """Turn of the head to the side; frames beyond it are a warning."""
    silence_dbfs: float = -60.0
    """Sound whose peak stays below it is silence: an error."""
    quiet_dbfs: float = -42.0
    """Level of the louder half, dB of full scale; less is a warning."""
    noisy_snr_db: float = 12.0
    """Loud over quiet windows; less is a warning."""
    clipped_share: float = 0.01
    """Share of 20 ms windows that are clipped; more is a warning."""
    still_level: float = 1.5
    """Largest change of any 8x8 block of the 96 px thumbnails, grey levels; a video below it is a still
    image."""
    frozen_frames: int = 13
    """Frames in a row that repeat the one before; so many are a warning."""
    cut_level: float = 5.0
    """Mean change of a thumbnail, grey levels, and ..."""
    cut_ratio: float = 5.0
    """... over the median around it, that make a cut."""


@dataclass(frozen=True)
class Finding:
    """One thing to know about a clip."""

    code: str
    """Stable name, e.g. ``no_face``."""
    severity: str
    """``error``: can't be trained on; ``warning``: can, with this in mind."""
    message: str
    """What was found."""
    remedy: str
    """What helps."""
    frames: tuple[int, ...] = ()
    """Frames at 25 fps that show it, where it is a matter of frames."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The numbers behind the message, JSON types."""


@dataclass(frozen=True)
class FaceFigures:
    """The faces of the frames that were looked at; px are those of the normalised clip."""

    share: float
    """Share of frames with a usable face, 0..1."""
    usable_frames: int
    """Estimate for the whole clip, frames at 25 fps."""
    counts: tuple[int, ...]
    """Faces in each sampled frame."""
    iod_px: float
    """Median distance between the outer eye corners, px."""
    box_px: tuple[float, float]
    """Median width and height of the landmarks' box, px."""
    sharpness: float
    """Median sharpness of the face, see :attr:`InspectConfig.min_sharpness`; under .03 is blurred."""
    brightness: float
    """Median grey of the face, 0..255."""
    yaw_deg: tuple[float, float]
    """5th and 95th percentile of the turn to the side, degrees, rough; positive: the nose points to the
    image's right."""
    pitch_deg: tuple[float, float]
    """The same for the nod, positive: up; a neutral face may read 10 off."""
    mouth_range: float
    """5th to 95th percentile of the inner-lip opening over the inter-ocular distance."""


@dataclass(frozen=True)
class Inspection:
    """What was seen in a clip."""

    name: str
    """File name."""
    media: MediaInfo
    """Container, codecs, sizes, rates."""
    frames: int
    """Frames at 25 fps that were looked at: those that training would use."""
    sampled: tuple[int, ...]
    """The frames that were searched for faces."""
    face: FaceFigures | None
    """None when no face was seen."""
    sound: SoundFigures | None
    """None when there is no sound."""
    cuts: tuple[int, ...]
    """First frames after a cut."""
    findings: tuple[Finding, ...]
    """Errors first."""

    @property
    def trainable(self) -> bool:
        """Whether a person can be learned from the clip."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stand in the way."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    def raise_if_untrainable(self) -> None:
        """Raise the problem of the first error, with ``details.frames`` and ``details.findings``."""
        if self.trainable:
            return
        first = self.errors[0]
        details = {**first.facts, "frames": list(first.frames), "findings": [asdict(f) for f in self.errors]}
        kind = _PROBLEMS.get(first.code)
        if kind is not None:
            raise kind(first.message, remedy=first.remedy, details=details)
        raise problem_from_dict(
            {"slug": first.code, "message": first.message, "remedy": first.remedy, "details": details}
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON types: the fields, with ``trainable`` on top."""
        return {"trainable": self.trainable, **_plain(asdict(self))}


_PROBLEMS: dict[str, type[Problem]] = {
    "no_face": NoFace,
    "several_faces": SeveralFaces,
    "face_too_small": FaceTooSmall,
    "too_short": TooShort,
    "still_image": StillImage,
    "no_sound": NoSound,
    "silent_sound": NoSound,
}
"""Errors that are found here; the codes of others are the slugs of the problems that reading met."""


@dataclass(frozen=True)
class _Sight:
    """One sampled frame."""

    index: int
    seen: bool  # by the mesh: the fit can use it
    confirmed: bool  # by the full-range detector
    count: int
    iod: float  # px; from the detector's eyes when only that sees a face, NaN without a face
    box: tuple[float, float]
    sharpness: float
    brightness: float
    yaw: float
    pitch: float
    mouth: float


def inspect_clip(
    path: Path,
    *,
    limits: ClipLimits | None = None,
    config: InspectConfig | None = None,
    progress: Progress = silent,
) -> Inspection:
    """Look at a clip for some seconds.

    Args:
        path: any video file.
        limits: only the first ``limits.max_seconds`` are looked at.
        config: thresholds.
        progress: gets ticks of stage ``inspect``.

    Raises:
        NotFound, UnreadableMedia, DecodeTimeout: the file can't be read at all; all else is a finding.
        MediaTooLarge: decoding it needs more memory than its limit.
    """
    limits, config = limits or ClipLimits(), config or InspectConfig()
    media: MediaInfo | None = None
    survey: Survey | None = None
    sights: list[_Sight] = []
    with _Looker(config) as looker:
        for item in survey_clip(path, limits=limits, samples=config.samples, max_side=config.max_side):
            if isinstance(item, MediaInfo):
                media = item
                progress(Tick("inspect", 0, config.samples))
            elif isinstance(item, SurveyFrame):
                assert media is not None
                sights.append(looker.look(item, _longest_side(media, limits) / max(item.image.shape[:2])))
                progress(Tick("inspect", len(sights), max(config.samples, len(sights))))
            else:
                survey = item
    if survey is None or media is None:
        raise InternalProblem(
            "the survey of the clip ended early", remedy="report this with the clip, if you may"
        )
    return _judge(Path(path), survey, sights, limits, config)


def _longest_side(media: MediaInfo, limits: ClipLimits) -> float:
    """Of the normalised clip, px."""
    assert media.video is not None
    return float(min(max(media.video.width, media.video.height), limits.max_side))


class _Looker:
    """The face models, on single frames."""

    def __init__(self, config: InspectConfig) -> None:
        from mediapipe.python.solutions.face_detection import FaceDetection

        self._config = config
        self._mesh = FaceLandmarker(still=True, max_faces=2)  # the larger one is the face
        self._detector: Any = FaceDetection(model_selection=1, min_detection_confidence=0.6)

    def __enter__(self) -> _Looker:
        return self

    def __exit__(self, *_: object) -> None:
        self._mesh.close()
        self._detector.close()

    def look(self, frame: SurveyFrame, scale: float) -> _Sight:
        """``scale``: px of the normalised clip over px of the image."""
        image = frame.image
        height, width = image.shape[:2]
        meshes = self._mesh.detect(image)
        boxes, eyes = [], []
        for detection in self._detector.process(image).detections or []:
            box = detection.location_data.relative_bounding_box
            boxes.append((box.xmin * width, box.ymin * height, box.width * width, box.height * height))
            right, left = detection.location_data.relative_keypoints[:2]
            eyes.append(np.hypot((right.x - left.x) * width, (right.y - left.y) * height))
        # Only the detector counts: the mesh alone sees faces in collars and folds.
        count = _distinct(boxes, self._config.second_face_size) or int(bool(meshes))
        if not meshes:
            # The detector gives the eyes' centres; their outer corners are about 1.5 times as far apart.
            iod = 1.5 * float(max(eyes)) * scale if eyes else np.nan
            return _Sight(
                frame.index, False, bool(boxes), count, iod, (np.nan, np.nan), *([float("nan")] * 5)
            )
        mesh = meshes[0]
        box = np.ptp(mesh[:, :2], axis=0) * scale
        sharpness, brightness = _face_pixels(image, mesh)
        yaw, pitch = _pose(mesh)
        return _Sight(
            index=frame.index,
            seen=True,
            confirmed=any(
                _overlap(other, (*mesh[:, :2].min(0), *np.ptp(mesh[:, :2], axis=0))) > 0.2 for other in boxes
            ),
            count=count,
            iod=float(inter_ocular_distance(mesh)) * scale,
            box=(float(box[0]), float(box[1])),
            sharpness=sharpness,
            brightness=brightness,
            yaw=yaw,
            pitch=pitch,
            mouth=float(mouth_opening(mesh)),
        )


def _distinct(boxes: Sequence[tuple[float, ...]], smallest: float) -> int:
    """How many different faces the boxes (x, y, w, h) show, leaving out those far smaller than the
    largest."""
    kept: list[tuple[float, ...]] = []
    for box in sorted(boxes, key=lambda b: -b[2]):
        if all(_overlap(box, other) < 0.2 for other in kept) and (
            not kept or box[2] >= smallest * kept[0][2]
        ):
            kept.append(box)
    return len(kept)


def _overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Shared area over the smaller one's."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high) / max(1e-6, min(a[2] * a[3], b[2] * b[3]))


def _face_pixels(image: NDArray[np.uint8], mesh: NDArray[np.float32]) -> tuple[float, float]:
    """(sharpness, mean grey) of the landmarks' box, seen with 64 px between the eye corners."""
    low = np.maximum(mesh[:, :2].min(0), 0).astype(int)
    high = np.minimum(mesh[:, :2].max(0) + 1, image.shape[1::-1]).astype(int)
    crop = image[low[1] : high[1], low[0] : high[0]]
    if min(crop.shape[:2]) < 4:
        return float("nan"), float("nan")
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    shrink = 64.0 / float(inter_ocular_distance(mesh))
    if shrink < 1:
        grey = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    contrast = float(grey.var())
    edges = cv2.Laplacian(grey, cv2.CV_64F)
    return float(edges.var()) / max(contrast, 1.0), float(grey.mean())


def _pose(mesh: NDArray[np.float32]) -> tuple[float, float]:
    """Rough (yaw, pitch) in degrees from the relative depth of the eye corners, and of forehead and chin."""
    across, up = mesh[_LEFT_CORNER] - mesh[_RIGHT_CORNER], mesh[_FOREHEAD] - mesh[_CHIN]
    yaw = np.degrees(np.arctan2(across[2], np.hypot(across[0], across[1])))
    pitch = np.degrees(np.arctan2(up[2], np.hypot(up[0], up[1])))
    return float(yaw), float(pitch)


def _judge(
    path: Path, survey: Survey, sights: list[_Sight], limits: ClipLimits, config: InspectConfig
) -> Inspection:
    found: list[Finding] = []
    face: FaceFigures | None = None
    cuts: tuple[int, ...] = ()
    if survey.refused is not None:
        problem = survey.refused
        found.append(Finding(problem.slug, "error", problem.message, problem.remedy, facts=problem.details))
    else:
        cuts = find_cuts(survey.thumbnails, config)
        face = _face_figures(sights, len(survey.thumbnails))
        found += _still_findings(survey.thumbnails, config)
        found += _face_findings(
            sights, face, len(survey.thumbnails), _longest_side(survey.info, limits), config
        )
        found += _sound_findings(survey, config)
        found += _clip_findings(survey, cuts, limits)
    return Inspection(
        name=path.name,
        media=survey.info,
        frames=len(survey.thumbnails),
        sampled=tuple(sight.index for sight in sights),
        face=face,
        sound=survey.sound,
        cuts=cuts,
        findings=tuple(sorted(found, key=lambda finding: finding.severity != "error")),
    )


def _face_figures(sights: list[_Sight], frames: int) -> FaceFigures | None:
    seen = [sight for sight in sights if sight.seen]
    if not seen:
        return None

    def middle(name: str) -> float:
        return round(float(np.nanmedian([getattr(sight, name) for sight in seen])), 4)

    def span(name: str) -> tuple[float, float]:
        low, high = np.percentile([getattr(sight, name) for sight in seen], [5, 95])
        return round(float(low), 1), round(float(high), 1)

    share = len(seen) / len(sights)
    mouth = np.percentile([sight.mouth for sight in seen], [5, 95])
    return FaceFigures(
        share=round(share, 4),
        usable_frames=round(share * frames),
        counts=tuple(sight.count for sight in sights),
        iod_px=round(middle("iod"), 1),
        box_px=tuple(np.median([sight.box for sight in seen], axis=0).round(1).tolist()),
        sharpness=middle("sharpness"),
        brightness=round(middle("brightness"), 1),
        yaw_deg=span("yaw"),
        pitch_deg=span("pitch"),
        mouth_range=round(float(mouth[1] - mouth[0]), 4),
    )


def _face_findings(
    sights: list[_Sight], face: FaceFigures | None, frames: int, longest: float, config: InspectConfig
) -> list[Finding]:
    """``longest``: longest side of the normalised clip, px."""
    missing = tuple(sight.index for sight in sights if not sight.seen)
    found: list[Finding] = []
    share = face.share if face else 0.0
    iods = [sight.iod for sight in sights if np.isfinite(sight.iod)]
    iod = float(np.median(iods)) if iods else float("nan")
    anyone = sum(sight.seen or sight.confirmed for sight in sights) / max(1, len(sights))
    far = iod < config.min_iod or (share < config.min_face_share and iod < config.far_iod_share * longest)
    closer = "film head and shoulders, so that the face fills a third of the picture's height"
    if anyone >= config.min_face_share and far:
        found.append(
            Finding(
                "face_too_small",
                "error",
                f"the face is too small: {iod:.0f} px between the outer eye corners",
                f"{closer}; at least {config.min_iod:.0f} px are needed, {config.good_iod:.0f} are good",
                missing,
                {"iod_px": round(iod, 1)},
            )
        )
    elif share < config.min_face_share:
        what = "no face was found" if not share else f"only {share:.0%} of the frames show a usable face"
        found.append(
            Finding(
                "no_face",
                "error",
                f"{what} ({len(missing)} of {len(sights)} frames looked at have none)",
                "film one person from the front, in good light, the face a third of the picture's height",
                missing,
                {"share": share},
            )
        )
    elif frames and face is not None and face.usable_frames < config.min_frames:
        found.append(
            Finding(
                "too_short",
                "error",
                f"{face.usable_frames} frames with a face ({face.usable_frames / FPS:.1f} s) are too few",
                f"film at least {config.min_frames / FPS:.0f} s, better 12 s, of the person speaking",
                missing,
                {"usable_frames": face.usable_frames, "needed": config.min_frames},
            )
        )
    several = tuple(sight.index for sight in sights if sight.count > 1)
    if several:
        fatal = len(several) > config.max_second_share * len(sights)
        found.append(
            Finding(
                "several_faces" if fatal else "second_face",
                "error" if fatal else "warning",
                f"{len(several)} of {len(sights)} frames looked at show more than one face",
                "film one person alone, without mirrors or screens that show faces"
                if fatal
                else "the largest face is taken; cut these frames out if that is the wrong one",
                several,
                {"share": round(len(several) / len(sights), 4)},
            )
        )
    if face is not None and not any(finding.severity == "error" for finding in found):
        found += _face_warnings(sights, face, missing, config)
    return found


def _face_warnings(
    sights: list[_Sight], face: FaceFigures, missing: tuple[int, ...], config: InspectConfig
) -> list[Finding]:
    def frames(condition: Any) -> tuple[int, ...]:
        return tuple(sight.index for sight in sights if sight.seen and condition(sight))

    hidden = frames(lambda sight: not sight.confirmed)
    turned = frames(lambda sight: abs(sight.yaw) > config.max_yaw_deg)
    blurred = frames(lambda sight: sight.sharpness < config.min_sharpness)
    still_open = face.mouth_range < 0.02
    rows = (
        (
            bool(missing),
            "face_missing",
            f"{len(missing)} of {len(sights)} frames looked at show no face; they are skipped",
            "nothing need be done; film without covering or turning away the face for the best result",
            missing,
        ),
        (
            bool(hidden),
            "face_hidden",
            f"the face is partly hidden or seen from far aside in {len(hidden)} frames",
            "keep hands, hair and microphones away from the face",
            hidden,
        ),
        (
            bool(turned),
            "head_turned",
            f"the head is turned by more than {config.max_yaw_deg:.0f} degrees in {len(turned)} frames",
            "look towards the camera; small turns are welcome",
            turned,
        ),
        (
            face.usable_frames < config.good_frames,
            "short",
            f"{face.usable_frames / FPS:.1f} s show a face; 12 s give a better likeness",
            "film 12 s or more",
            (),
        ),
        (
            face.iod_px < config.good_iod,
            "small_face",
            f"the face is small: {face.iod_px:.0f} px between the eyes' outer corners",
            f"go closer or film at 1080p; {config.good_iod:.0f} px or more show teeth and eyes well",
            (),
        ),
        (
            len(blurred) > 0.2 * len(sights),
            "blurred",
            f"the face is blurred in {len(blurred)} of {len(sights)} frames looked at",
            "wipe the lens, let it focus on the face, use more light and hold the camera still",
            blurred,
        ),
        (
            face.brightness < config.dark,
            "dark",
            f"the face is dark: mean grey {face.brightness:.0f} of 255",
            "face a window or a lamp",
            (),
        ),
        (
            face.brightness > config.bright,
            "overexposed",
            f"the face is overexposed: mean grey {face.brightness:.0f} of 255",
            "turn the light or the exposure down",
            (),
        ),
        (
            still_open,
            "mouth_still",
            "the mouth hardly moves",
            "the person should speak throughout the clip, so that how they speak can be learned",
            (),
        ),
    )
    return [
        Finding(code, "warning", message, remedy, which)
        for holds, code, message, remedy, which in rows
        if holds
    ]


def _sound_findings(survey: Survey, config: InspectConfig) -> list[Finding]:
    sound = survey.sound
    speak = "film the person speaking, with the microphone on"
    if sound is None:
        return [
            Finding("no_sound", "error", "the clip has no sound", f"{speak}: lips are learned from the voice")
        ]
    if sound.peak_dbfs < config.silence_dbfs:
        message = f"the sound is silent: its peak is {sound.peak_dbfs:.0f} dB of full scale"
        return [Finding("silent_sound", "error", message, speak, facts={"peak_dbfs": sound.peak_dbfs})]
    rows = (
        (
            sound.level_dbfs < config.quiet_dbfs,
            "quiet_sound",
            f"the sound is quiet: {sound.level_dbfs:.0f} dB of full scale",
            "go closer to the microphone, or speak up",
        ),
        (
            sound.clipped > config.clipped_share,
            "clipped_sound",
            f"the sound is clipped in {sound.clipped:.0%} of the time",
            "turn the recording level down, or go away from the microphone",
        ),
        (
            sound.snr_db < config.noisy_snr_db,
            "noisy_sound",
            f"speech is only {sound.snr_db:.0f} dB over the background",
            "film in a quiet room, without music",
        ),
    )
    return [Finding(code, "warning", message, remedy) for holds, code, message, remedy in rows if holds]


def _still_findings(thumbnails: NDArray[np.uint8], config: InspectConfig) -> list[Finding]:
    changes = block_changes(thumbnails)
    if len(thumbnails) > 1 and float(changes.max()) < config.still_level:
        return [
            Finding(
                "still_image",
                "error",
                "the video is a still image: nothing moves",
                "upload a video in which the person speaks",
                facts={"largest_change": round(float(changes.max()), 3)},
            )
        ]
    frozen = find_frozen(thumbnails, config.frozen_frames)
    if frozen:
        message = f"the picture stands still for {len(frozen)} frames while the clip goes on"
        return [Finding("frozen", "warning", message, "cut these frames out, or film again", frozen)]
    return []


def _clip_findings(survey: Survey, cuts: tuple[int, ...], limits: ClipLimits) -> list[Finding]:
    found = []
    if cuts:
        found.append(
            Finding(
                "cut",
                "warning",
                f"the clip jumps to other content at {len(cuts)} place{'s' * (len(cuts) != 1)}",
                "film in one go; a cut to another person or place spoils the likeness",
                cuts,
            )
        )
    video = survey.info.video
    if video is not None and limits.max_seconds is not None and video.duration_s > limits.max_seconds + 0.5:
        message = f"the clip lasts {video.duration_s:.0f} s; the first {limits.max_seconds:.0f} s are used"
        found.append(Finding("trimmed", "warning", message, "put the best part first, or cut the clip"))
    return found


def block_changes(thumbnails: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(T, h, w) -> (T,): largest mean change of any block against the clip's median picture, grey levels."""
    if not len(thumbnails):
        return np.zeros(0)
    return _largest_block(
        np.abs(thumbnails.astype(np.float32) - np.median(thumbnails, axis=0).astype(np.float32))
    )


def _largest_block(change: NDArray[np.float32], block: int = 8) -> NDArray[np.float64]:
    """(T, h, w) -> (T,): the largest mean of any block."""
    frames, height, width = change.shape
    high, wide = max(1, height // block), max(1, width // block)
    change = change[:, : high * min(block, height), : wide * min(block, width)]
    blocks = change.reshape(frames, high, change.shape[1] // high, wide, change.shape[2] // wide)
    return blocks.mean((2, 4)).max((1, 2)).astype(np.float64)


def find_cuts(thumbnails: NDArray[np.uint8], config: InspectConfig) -> tuple[int, ...]:
    """First frames after a cut: a jump far above the movement around it, after which the picture stays
    changed."""
    pictures = thumbnails.astype(np.float32)
    if len(pictures) < 3:
        return ()
    jumps = np.abs(np.diff(pictures, axis=0)).mean((1, 2))
    cuts: list[int] = []
    for k, jump in enumerate(jumps, start=1):
        around = np.delete(jumps[max(0, k - 13) : k + 12], min(k - 1, 12))
        if jump < max(config.cut_level, config.cut_ratio * float(np.median(around)) if len(around) else 0.0):
            continue
        # A flash or a glitch goes back to where it was; a cut does not.
        later, earlier = pictures[min(len(pictures) - 1, k + 3)], pictures[max(0, k - 2)]
        if float(np.abs(later - earlier).mean()) > 0.7 * jump:
            cuts.append(k)
    return tuple(cuts)


def find_frozen(thumbnails: NDArray[np.uint8], shortest: int) -> tuple[int, ...]:
    """Frames inside runs of at least ``shortest`` that repeat the one before."""
    if len(thumbnails) < 2:
        return ()
    same = _largest_block(np.abs(np.diff(thumbnails.astype(np.float32), axis=0))) < _FROZEN_LEVEL
    found: list[int] = []
    run: list[int] = []
    for k, repeats in enumerate([*same.tolist(), False], start=1):
        if repeats:
            run.append(k)
        else:
            found += run if len(run) >= shortest else []
            run = []
    return tuple(found)


def _plain(value: Any) -> Any:
    """JSON types: tuples become lists, numbers that are none become None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
