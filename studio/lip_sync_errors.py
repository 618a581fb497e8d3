"""How often is a lag found, a stranger's voice taken for the own one, or the own one for a stranger's?

    python -m studio.lip_sync_errors CLIP ...

prints the tables of docs/recording.md for clips whose sound is their own. Windows of each clip are compared with their
own sound, with that sound moved by -1 to 1 s, and with sound from the other clips and from elsewhere in the clip.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.mouth import lip_shape
from fitting.landmarks import FaceLandmarker
from media.audio import read_wav
from media.decode import read_frames
from media.limits import ClipLimits
from media.normalise import normalise_clip
from motion.features import extract
from motion.lip_sync import FURTHEST, LipSync, Verdict, follow
from motion.prosody import FRAME
from motion.shift import shifted

SECONDS = (3, 6, 8, 10, 12, 20)
LAGS = tuple(lag for lag in range(-25, 26, 5) if lag)
_VERDICTS: tuple[Verdict, ...] = ("together", "shifted", "unsure", "strange")


@dataclass(frozen=True)
class Watched:
    """A clip at 25 fps."""

    name: str
    samples: NDArray[np.float32]
    features: NDArray[np.float32]
    lips: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.lips)

    def against(
        self, other: Watched, first: int, heard: int, frames: int, furthest: int = FURTHEST
    ) -> LipSync:
        """These lips from ``first`` on with the sound of another from ``heard`` on."""
        lips = self.lips[first : first + frames]
        return follow(other.features[heard : heard + frames], lips, np.isfinite(lips).all(1), furthest)


def watch(clip: Path) -> Watched:
    """Follow the lips through a clip and extract the features of its sound."""
    with tempfile.TemporaryDirectory(prefix="likeness-lips-") as folder, FaceLandmarker() as landmarker:
        video, sound = Path(folder) / "clip.mp4", Path(folder) / "clip.wav"
        normalise_clip(clip, video, sound, limits=ClipLimits(max_seconds=60, max_side=960))
        lips = lip_shape(landmarker.track(read_frames(video)).points)
        samples = read_wav(sound)[: len(lips) * FRAME]
    return Watched(clip.stem, samples, extract(samples), lips)


def own(clips: list[Watched], frames: int, furthest: int) -> Iterator[LipSync]:
    """Windows with their own sound."""
    for clip in clips:
        for first in range(0, len(clip) - frames + 1, 25):
            yield clip.against(clip, first, first, frames, furthest)


def moved(clips: list[Watched], frames: int) -> Iterator[tuple[LipSync, float]]:
    """Windows whose sound is moved by some frames, and the error of the lag found, ms."""
    for clip in clips:
        usual = clip.against(clip, 0, 0, len(clip)).lag_frames
        for lag in LAGS:
            for first in range(max(0, -lag), min(len(clip), len(clip) - lag) - frames + 1, 50):
                sync = clip.against(clip, first + lag, first, frames)
                yield sync, 40 * (sync.lag_frames + lag - usual)


def strangers(clips: list[Watched], frames: int, furthest: int) -> Iterator[LipSync]:
    """Windows with sound from other clips, and from elsewhere in the same one."""
    for clip in clips:
        for first in range(0, len(clip) - frames + 1, 50):
            for other in clips:
                for heard in range(0, len(other) - frames + 1, 100):
                    if other is not clip or abs(heard - first) > 2 * FURTHEST:
                        yield clip.against(other, first, heard, frames, furthest)


def shares(found: list[LipSync]) -> str:
    """Verdicts as cells of a table."""
    count = Counter(sync.verdict for sync in found)
    cells = [f"{100 * count[verdict] / max(1, len(found)):.1f} %" for verdict in _VERDICTS]
    return " | ".join([str(len(found)), *cells])


def main(paths: list[Path]) -> None:
    """Print the tables."""
    clips = [watch(path) for path in paths]
    for clip in clips:
        whole = clip.against(clip, 0, 0, len(clip))
        exact = [
            (late, follow(extract(shifted(clip.samples, -late)), clip.lips, np.isfinite(clip.lips).all(1)))
            for late in (-990, -333, 130, 570)
        ]
        errors = [sync.sound_late_ms - late - whole.sound_late_ms for late, sync in exact]
        print(
            f"| {clip.name} | {len(clip) / 25:.0f} s | {whole.correlation:.2f} | {whole.z:.1f} | {whole.power:.1f} | "
            f"{whole.sound_late_ms} | {', '.join(str(error) for error in errors)} |",
            flush=True,
        )
    for furthest in (FURTHEST, 7):
        for seconds in SECONDS:
            frames = 25 * seconds
            print(f"| {furthest} | {seconds} s | own | {shares(list(own(clips, frames, furthest)))} |")
            print(
                f"| {furthest} | {seconds} s | strange | {shares(list(strangers(clips, frames, furthest)))} |",
                flush=True,
            )
            if furthest == FURTHEST:
                lagged = list(moved(clips, frames))
                misses = [abs(error) for sync, error in lagged if sync.verdict in ("together", "shifted")]
                spread = (
                    ", ".join(f"{value:.0f}" for value in np.percentile(misses, [50, 95, 100]))
                    if misses
                    else "-"
                )
                print(
                    f"| {furthest} | {seconds} s | moved | {shares([s for s, _ in lagged])} | {spread} ms |",
                    flush=True,
                )


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
