"""Warnings and hints about the face of a clip that can be learned from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fitting.inspect.config import InspectConfig
from fitting.inspect.figures import Marks
from fitting.inspect.report import FaceFigures, Finding
from fitting.inspect.sight import Sight
from media.survey import FPS

_NAMES = {"right_cheek": "a cheek", "left_cheek": "a cheek", "mouth": "the mouth", "chin": "the chin"}

Row = tuple[bool, str, str, str, tuple[int, ...]]
"""Whether it holds, code, message, remedy, frames."""


def face_remarks(
    sights: list[Sight], face: FaceFigures, marks: Marks, config: InspectConfig
) -> list[Finding]:
    """What does not stand in the way, but spoils the likeness or can't be learned.

    Args:
        sights: the frames that were looked at.
        face: their figures.
        marks: the frames behind those.
        config: thresholds.
    """
    rows = [*_view_rows(sights, face, config), *_picture_rows(sights, face, marks, config)]
    rows += [*_cover_rows(face, marks, config), *_mouth_rows(face, config)]
    found = [
        Finding(code, "warning", message, remedy, which)
        for holds, code, message, remedy, which in rows
        if holds
    ]
    found += [
        Finding(code, "hint", message, remedy)
        for holds, code, message, remedy, _ in _hint_rows(face, config)
        if holds
    ]
    return found


def _where(sights: list[Sight], condition: Callable[[Sight], Any]) -> tuple[int, ...]:
    return tuple(sight.index for sight in sights if sight.seen and condition(sight))


def _view_rows(sights: list[Sight], face: FaceFigures, config: InspectConfig) -> list[Row]:
    missing = tuple(sight.index for sight in sights if not sight.seen)
    hidden = _where(sights, lambda sight: not sight.confirmed)
    turned = _where(sights, lambda sight: abs(sight.yaw) > config.max_yaw_deg)
    return [
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
    ]


def _picture_rows(sights: list[Sight], face: FaceFigures, marks: Marks, config: InspectConfig) -> list[Row]:
    blurred = _where(sights, lambda sight: sight.sharpness < config.min_sharpness)
    throughout = len(blurred) > 0.2 * len(sights)
    soft = tuple(sorted({*blurred, *marks.soft})) if throughout else marks.soft
    return [
        (
            throughout or face.soft > config.max_soft_share,
            "blurred",
            f"the face is blurred in {len(soft)} of {len(sights)} frames looked at",
            "wipe the lens, let it focus on the face, use more light and hold the camera still",
            soft,
        ),
        (
            face.motion_blur > config.max_motion_share,
            "motion_blur",
            f"movement blurs the face in {len(marks.moved)} of {len(sights)} frames looked at",
            "use more light, so that the camera exposes for less time, and move the head more slowly",
            marks.moved,
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
            bool(marks.light),
            "light_jumps",
            f"the light on the face changes suddenly, by up to {face.light_step:.1f} stops",
            "keep lamps and screens steady, and lock the camera's exposure and white balance if it can",
            marks.light,
        ),
        (
            face.light_drift > config.max_light_drift and not marks.light,
            "light_drifts",
            f"the light on the face changes by {face.light_drift:.1f} stops over the clip",
            "film by lamplight or under an even sky, and lock the camera's exposure if it can",
            (),
        ),
    ]


def _cover_rows(face: FaceFigures, marks: Marks, config: InspectConfig) -> list[Row]:
    parts = sorted({_NAMES.get(name, f"the {name}") for name, which in marks.covered.items() if which})
    lips = face.colourless_lips
    return [
        (
            face.covered > config.max_covered_share,
            "face_covered",
            f"something covers {' and '.join(parts[:2]) or 'the face'} in {len(marks.any_covered)} frames",
            "keep hands, hair, cups and microphones away from the face, or cut these frames out",
            marks.any_covered,
        ),
        (
            lips is not None and lips > config.max_colourless_lips,
            "mouth_covered",
            "no lips are to be seen throughout the clip: something grey or dark stands before the mouth",
            "put the microphone below the chin or beside the picture, and take a mask off",
            (),
        ),
    ]


def _mouth_rows(face: FaceFigures, config: InspectConfig) -> list[Row]:
    still = face.mouth_range < config.min_mouth_range
    return [
        (
            still,
            "mouth_still",
            "the mouth hardly moves",
            "the person should speak throughout the clip, so that how they speak can be learned",
            (),
        ),
        (
            not still and face.mouth_widest < config.min_mouth_widest,
            "mouth_narrow",
            f"the mouth hardly opens: at most {face.mouth_widest:.0%} of the distance between the eyes' corners",
            "speak up and clearly, with some open vowels; teeth and the inside of the mouth can't be learned otherwise",
            (),
        ),
    ]


def _hint_rows(face: FaceFigures, config: InspectConfig) -> list[Row]:
    yaw, pitch = (high - low for low, high in (face.yaw_deg, face.pitch_deg))
    return [
        (
            face.blinks == 0,
            "no_blink",
            "no blink was seen in the frames looked at, so it is not known how this person's lids close",
            "nothing need be done; blink as usual when you film",
            (),
        ),
        (
            max(yaw, pitch) < config.still_head_deg,
            "head_still",
            f"the head keeps one pose: it turns by {yaw:.1f} and nods by {pitch:.1f} degrees",
            "small natural movements teach the face's sides",
            (),
        ),
    ]
