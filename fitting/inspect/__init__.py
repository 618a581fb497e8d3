"""Look at a clip before learning from it: is it usable, and if not, which frames are the trouble and what
helps.

One pass decodes the clip in a limited child process (:mod:`media.survey`); some 120 frames, evenly spread,
are then shown to MediaPipe's mesh (is there a face that the fit can track?) and to its full-range face
detector (is there one that is too far away, half hidden, or not alone?). All frame numbers are those of the
normalised clip, 25 a second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fitting.inspect.clip import (
    block_changes,
    clip_findings,
    find_frozen,
    sound_findings,
    still_findings,
)
from fitting.inspect.config import InspectConfig
from fitting.inspect.cuts import find_cuts
from fitting.inspect.mouth_watch import MouthWatch
from fitting.inspect.notes import note_findings, rate_findings
from fitting.inspect.report import FaceFigures, Finding, Inspection, VoiceFigures
from fitting.inspect.sight import Looker, Sight
from fitting.inspect.upright import Uprightness, turned_finding
from fitting.inspect.verdict import judge_face
from media.limits import ClipLimits
from media.probe import MediaInfo
from media.survey import Survey, SurveyFrame, survey_clip
from problems import InternalProblem
from training.progress import Progress, Tick, silent

__all__ = [
    "FaceFigures",
    "Finding",
    "InspectConfig",
    "Inspection",
    "MouthWatch",
    "VoiceFigures",
    "block_changes",
    "find_cuts",
    "find_frozen",
    "inspect_clip",
]

_SEVERITIES = ("error", "warning", "hint")


def inspect_clip(
    path: Path,
    *,
    limits: ClipLimits | None = None,
    config: InspectConfig | None = None,
    audio_track: int | None = None,
    rotate: int = 0,
    progress: Progress = silent,
    watch: Callable[[SurveyFrame, Sight], None] | None = None,
    mouth: MouthWatch | None = None,
) -> Inspection:
    """Look at a clip for some seconds; :func:`workers.inspection.inspect` listens to it, too.

    Args:
        path: any video file.
        limits: only the first ``limits.max_seconds`` are looked at.
        config: thresholds.
        audio_track: which of the clip's sound tracks, from 1; None for the one with the voice.
        rotate: degrees clockwise to turn the picture by, beside what the file says: 0, 90, 180 or 270.
        progress: gets ticks of stage ``inspect``.
        watch: gets every frame that is searched for faces, with what was seen in it.
        mouth: follows the mouth, frame by frame.

    Raises:
        NotFound, UnreadableMedia, DecodeTimeout: the file can't be read at all; all else is a finding.
        MediaTooLarge: decoding it needs more memory than its limit.
        InvalidParameter: there is no such sound track, or no such turn.
    """
    limits, config = limits or ClipLimits(), config or InspectConfig()
    media: MediaInfo | None = None
    survey: Survey | None = None
    sights: list[Sight] = []
    every = max(1, config.samples // 8)
    with Looker(config) as looker, Uprightness() as uprightness:
        for item in survey_clip(
            path,
            limits=limits,
            samples=config.samples,
            max_side=config.max_side,
            audio_track=audio_track,
            rotate=rotate,
            followed=mouth.most if mouth is not None else 0,
        ):
            if isinstance(item, MediaInfo):
                media = item
                progress(Tick("inspect", 0, config.samples))
            elif isinstance(item, SurveyFrame):
                assert media is not None
                if mouth is not None:
                    mouth.see(item)
                if not item.sampled:
                    continue
                sights.append(looker.look(item, _longest_side(media, limits) / max(item.image.shape[:2])))
                if len(sights) % every == 1 or every == 1:
                    uprightness.look(item.image)
                if watch is not None:
                    watch(item, sights[-1])
                progress(Tick("inspect", len(sights), max(config.samples, len(sights))))
            else:
                survey = item
                if mouth is not None:
                    mouth.hear(item)
    if survey is None or media is None:
        raise InternalProblem(
            "the survey of the clip ended early", remedy="report this with the clip, if you may"
        )
    return _judge(Path(path), survey, sights, uprightness.turn(), limits, config)


def _longest_side(media: MediaInfo, limits: ClipLimits) -> float:
    """Of the normalised clip, px."""
    assert media.video is not None
    return float(min(max(media.video.width, media.video.height), limits.max_side))


def _judge(
    path: Path, survey: Survey, sights: list[Sight], turn: int, limits: ClipLimits, config: InspectConfig
) -> Inspection:
    found: list[Finding] = []
    face: FaceFigures | None = None
    cuts: tuple[int, ...] = ()
    if survey.refused is not None:
        problem = survey.refused
        found.append(Finding(problem.slug, "error", problem.message, problem.remedy, facts=problem.details))
    else:
        cuts = find_cuts(survey.thumbnails, config)
        face, about_face = judge_face(
            sights, len(survey.thumbnails), _longest_side(survey.info, limits), config
        )
        found += still_findings(survey.thumbnails, config)
        # What is measured on a face that is not upright means nothing.
        found += [turned_finding(turn)] if turn else about_face
        found += rate_findings(survey, config)
        found += note_findings(survey.info)
        found += sound_findings(survey, config)
        found += clip_findings(survey, cuts, limits)
    return Inspection(
        name=path.name,
        media=survey.info,
        frames=len(survey.thumbnails),
        sampled=tuple(sight.index for sight in sights),
        face=face,
        sound=survey.sound,
        cuts=cuts,
        findings=tuple(sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity))),
    )
