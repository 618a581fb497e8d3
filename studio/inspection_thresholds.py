"""From which severity on does inspection name a fault, and does it stay silent otherwise?

    python -m studio.inspection_thresholds CLIP ... [--seconds 12] [--samples 60] [--only WORD]

Faults of several sizes (``studio.inspection_faults``) are put into some frames of good clips; everything is detected
anew in those frames and judged as ``likeness inspect`` does. Prints a table in Markdown: how many clips got the
finding, the share of faulty frames that it names, and the share of other frames that it names wrongly. The first row is
the clips as they are. Takes about a minute per clip.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from faces.mouth import mouth_opening
from fitting.inspect import FaceFigures, Finding, InspectConfig
from fitting.inspect.sight import Looker, Sight
from fitting.inspect.verdict import judge_face
from fitting.landmarks import FaceLandmarker
from media.limits import ClipLimits
from media.survey import SurveyFrame, survey_clip
from problems import NoFace
from studio.inspection_faults import Image, Mesh, lit, shaken, unfocused, with_hand, with_microphone

CODES = (
    "light_jumps", "light_drifts", "face_covered", "mouth_covered", "motion_blur", "blurred", "mouth_narrow",
    "mouth_still", "face_hidden", "no_blink", "head_still",
)  # fmt: skip
"""Findings that the table is about."""


@dataclass(frozen=True)
class Frame:
    """A frame with a face."""

    index: int
    """Its number at 25 fps."""
    image: Image
    """(h, w, 3) RGB."""
    mesh: Mesh
    """(478, 3)."""


@dataclass(frozen=True)
class Fault:
    """One fault at one severity."""

    name: str
    """For the table."""
    severity: str
    """For the table, with its unit."""
    code: str
    """The finding that should name it."""
    change: Callable[[Frame, float], Image]
    """A frame and how far into the faulty stretch it lies, 0..1 -> the faulty picture."""
    stretch: tuple[float, float] = (0.4, 0.6)
    """From and to which part of the clip."""
    frames_matter: bool = True
    """Whether the finding names frames."""


def faults() -> tuple[Fault, ...]:
    """All that are tried, from slight to strong."""
    found: list[Fault] = []
    for stops in (0.1, 0.2, 0.3, 0.5, 1.0):
        found.append(
            Fault("brightness jumps", f"{stops} stops", "light_jumps", _brighter(-stops), (0.5, 1.0), False)
        )
    for stops in (0.15, 0.3, 0.5):
        found.append(
            Fault("colour jumps", f"{stops} stops", "light_jumps", _redder(stops), (0.5, 1.0), False)
        )
    for stops in (0.3, 0.6, 1.0):
        found.append(
            Fault("brightness drifts", f"{stops} stops", "light_drifts", _drifting(-stops), (0.0, 1.0), False)
        )
    for place in ("mouth", "cheek"):
        for width in (0.3, 0.5, 0.8, 1.1):
            found.append(Fault(f"hand, {place}", f"{width} IOD", "face_covered", _hand(place, width)))
        for width in (0.3, 0.5, 0.8):
            found.append(
                Fault(f"microphone, {place}", f"{width} IOD", "face_covered", _microphone(place, width))
            )
    for width in (0.4, 0.7):
        found.append(
            Fault(
                "microphone throughout",
                f"{width} IOD",
                "mouth_covered",
                _microphone("mouth", width),
                (0, 1),
                False,
            )
        )
    for length in (0.03, 0.06, 0.1, 0.15):
        found.append(Fault("motion blur", f"{length:.0%} IOD", "motion_blur", _shaken(length)))
    for radius in (0.01, 0.02, 0.04):
        found.append(Fault("out of focus", f"{radius:.0%} IOD", "blurred", _unfocused(radius)))
    return tuple(found)


def _brighter(stops: float) -> Callable[[Frame, float], Image]:
    return lambda frame, _: lit(frame.image, stops)


def _redder(stops: float) -> Callable[[Frame, float], Image]:
    return lambda frame, _: lit(frame.image, -stops, stops)


def _drifting(stops: float) -> Callable[[Frame, float], Image]:
    return lambda frame, part: lit(frame.image, stops * part)


def _hand(place: str, width: float) -> Callable[[Frame, float], Image]:
    return lambda frame, _: with_hand(frame.image, frame.mesh, place, width)


def _microphone(place: str, width: float) -> Callable[[Frame, float], Image]:
    return lambda frame, _: with_microphone(frame.image, frame.mesh, place, width)


def _shaken(length: float) -> Callable[[Frame, float], Image]:
    return lambda frame, _: shaken(frame.image, frame.mesh, length, 40.0 * (frame.index % 5))


def _unfocused(radius: float) -> Callable[[Frame, float], Image]:
    return lambda frame, _: unfocused(frame.image, frame.mesh, radius)


class Bench:
    """A clip whose faces were found once.

    Args:
        path: a good clip.
        seconds: how much of it is used.
        samples: frames that are looked at.

    Raises:
        NoFace: no face was found in it.
    """

    def __init__(self, path: Path, *, seconds: float = 12.0, samples: int = 60) -> None:
        self.name = path.stem
        self.config = InspectConfig(samples=samples)
        self.frames: list[Frame] = []
        limits = ClipLimits(max_seconds=seconds)
        with FaceLandmarker(still=True) as landmarker:
            for item in survey_clip(path, limits=limits, samples=samples, max_side=self.config.max_side):
                if isinstance(item, SurveyFrame) and (found := landmarker.detect(item.image)):
                    self.frames.append(Frame(item.index, item.image, found[0]))
        if not self.frames:
            raise NoFace(f"{path.name} shows no face", remedy="give clips of one person who speaks")
        self._looker = Looker(self.config)
        self.clean = [self.look(SurveyFrame(frame.index, frame.image)) for frame in self.frames]

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._looker.__exit__()

    def look(self, frame: SurveyFrame) -> Sight:
        """What inspection sees in a frame, sizes in the frame's own pixels."""
        return self._looker.look(frame, 1.0)

    def judged(self, sights: Sequence[Sight]) -> tuple[FaceFigures | None, dict[str, Finding]]:
        """Figures, and findings by code."""
        longest = max(self.frames[0].image.shape[:2])
        face, found = judge_face(list(sights), self.frames[-1].index + 1, longest, self.config)
        return face, {finding.code: finding for finding in found}

    def with_fault(self, fault: Fault) -> tuple[list[Sight], list[int]]:
        """All sights, with the fault in its stretch, and the frames of that stretch."""
        first, last = (round(part * len(self.frames)) for part in fault.stretch)
        sights, faulty = list(self.clean), []
        for k in range(first, last):
            frame = self.frames[k]
            image = fault.change(frame, (k - first) / max(1, last - 1 - first))
            sights[k] = self.look(SurveyFrame(frame.index, image))
            faulty.append(frame.index)
        return sights, faulty

    def with_mouth_below(self, widest: float) -> list[Sight]:
        """Only the frames whose lips are open by at most ``widest`` inter-ocular distances."""
        return [
            s for s, f in zip(self.clean, self.frames, strict=True) if float(mouth_opening(f.mesh)) <= widest
        ]


def table(benches: Sequence[Bench], only: str = "") -> Iterator[str]:
    """Lines of the table in Markdown; ``only``: faults with this in their name."""
    yield "| fault | severity | finding | clips | frames named | other frames named |"
    yield "|---|---|---|---:|---:|---:|"
    for bench in benches:
        found = bench.judged(bench.clean)[1]
        yield f"| none: {bench.name} | | {', '.join(c for c in CODES if c in found) or 'none'} | | | |"
    for fault in (fault for fault in faults() if only in fault.name):
        hits, named, wrong = 0, [], []
        for bench in benches:
            sights, faulty = bench.with_fault(fault)
            finding = bench.judged(sights)[1].get(fault.code)
            hits += finding is not None
            frames = set(finding.frames if finding else ())
            named.append(len(frames & set(faulty)) / len(faulty))
            others = {f.index for f in bench.frames} - set(faulty)
            wrong.append(len(frames & others) / max(1, len(others)))
        shares = f"{np.mean(named):.0%} | {np.mean(wrong):.0%}" if fault.frames_matter else " | "
        yield f"| {fault.name} | {fault.severity} | `{fault.code}` | {hits} of {len(benches)} | {shares} |"
    for widest in (0.02, 0.04, 0.05, 0.07, 0.1):
        judged = [(bench, bench.with_mouth_below(widest)) for bench in benches]
        kept = [(bench, sights) for bench, sights in judged if len(sights) >= 5]
        hits = sum(bool({"mouth_narrow", "mouth_still"} & set(b.judged(s)[1])) for b, s in kept)
        yield f"| mouth opens at most | {widest} IOD | `mouth_narrow`, `mouth_still` | {hits} of {len(kept)} | | |"


def figures(benches: Sequence[Bench]) -> Iterator[str]:
    """What the clips measure as they are, one line each."""
    for bench in benches:
        face = bench.judged(bench.clean)[0]
        assert face is not None
        yield (
            f"{bench.name}: yaw {face.yaw_deg}, pitch {face.pitch_deg}, mouth open {face.mouth_open:.0%}, widest "
            f"{face.mouth_widest:.3f}, blinks {face.blinks}, light step {face.light_step}, drift {face.light_drift}, "
            f"covered {face.covered:.0%}, colourless lips {face.colourless_lips}, motion {face.motion_blur:.0%}, "
            f"soft {face.soft:.0%}"
        )


def main() -> None:
    """Measure the clips given and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each clip")
    parser.add_argument("--samples", type=int, default=60, help="frames looked at in each clip")
    parser.add_argument("--only", default="", help="faults with this in their name")
    arguments = parser.parse_args()
    benches = [Bench(clip, seconds=arguments.seconds, samples=arguments.samples) for clip in arguments.clips]
    for line in chain(figures(benches), [""], table(benches, arguments.only)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
