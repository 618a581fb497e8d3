"""Findings about the face that decide whether a person can be learned: none, too small, too short, several."""

from __future__ import annotations

import numpy as np

from fitting.inspect.config import InspectConfig
from fitting.inspect.report import FaceFigures, Finding
from fitting.inspect.sight import Sight
from media.survey import FPS


def face_findings(
    sights: list[Sight], face: FaceFigures | None, frames: int, longest: float, config: InspectConfig
) -> list[Finding]:
    """Is there one face, large enough and seen long enough?

    Args:
        sights: the frames that were looked at.
        face: their figures.
        frames: of the whole clip, at 25 fps.
        longest: longest side of the normalised clip, px.
        config: thresholds.
    """
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
    return found
