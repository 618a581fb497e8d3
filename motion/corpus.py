"""A corpus for general training: many people's speech features with the motion that goes with them, in shards.

Whatever makes a corpus (the studio's speech world, a folder of clips, a research dataset) writes the same shards, and
:mod:`motion.general_training` reads them. A shard is one safetensors file with all its clips' frames end to end, in
half precision, written atomically: a run that was killed goes on with the next shard.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.track import load_tensors, save_tensors
from motion.features import DIMENSION
from motion.targets import POSE
from problems import InvalidParameter

Array = NDArray[np.float32]

FORMAT = "likeness.motion-corpus/2"


@dataclass(frozen=True)
class SpokenClip:
    """One person's speech and motion, T consecutive frames at 25 fps."""

    features: NDArray[np.floating]
    """(T, D) as :func:`motion.features.extract` gives them, not normalised."""
    expression: NDArray[np.floating]
    """(T, E) coefficients in [0, 1]."""
    pose: NDArray[np.floating]
    """(T, 6) deviation from the clip's mean pose: axis-angle in radians, translation in mm."""
    valid: NDArray[np.bool_]
    """(T,) frames that may be learnt from."""
    closure: NDArray[np.floating]
    """(T,) 1 where the sound is a bilabial (the lips must meet), 0 where it is not, NaN where nobody knows."""
    speaker: str
    """Whose voice and manner; clips of one speaker are kept on one side of a split."""
    language: str
    """BCP 47 code, or empty."""
    speaking: NDArray[np.floating] | None = None
    """(T,) 1 where a sound is being spoken, 0 in a pause, NaN where nobody knows; None: unknown everywhere."""

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Corpus:
    """Clips with the same expressions."""

    expression_names: tuple[str, ...]
    """Names of the E coefficients."""
    clips: tuple[SpokenClip, ...]
    """In the order of the shards."""

    @property
    def frames(self) -> int:
        """Frames in all."""
        return sum(len(clip) for clip in self.clips)

    @classmethod
    def load(cls, folders: Iterable[Path]) -> Corpus:
        """Read every shard of some corpus folders.

        Raises:
            InvalidParameter: a folder holds no shard, or the shards' expressions differ.
            InvalidPackage: a shard is damaged.
        """
        names: tuple[str, ...] | None = None
        clips: list[SpokenClip] = []
        for folder in folders:
            shards = sorted(folder.glob("*.safetensors"))
            if not shards:
                raise InvalidParameter(
                    f"{folder} holds no training data",
                    remedy="name a folder that `likeness train world` or `likeness train clips` wrote",
                )
            for shard in shards:
                own, part = read_shard(shard)
                if names is not None and own != names:
                    raise InvalidParameter(
                        f"{shard} was made with another head model than the shards before it",
                        remedy="train from corpora that were made with one head model",
                    )
                names = own
                clips += part
        if names is None:
            raise InvalidParameter("no corpus was named", remedy="name at least one folder")
        return cls(names, tuple(clips))


def write_shard(path: Path, names: tuple[str, ...], clips: Iterable[SpokenClip]) -> None:
    """Write some clips as one file, atomically.

    Raises:
        InvalidParameter: a clip's shapes do not fit together.
    """
    clips = list(clips)
    for clip in clips:
        expected = {
            "features": (len(clip), DIMENSION),
            "expression": (len(clip), len(names)),
            "pose": (len(clip), POSE),
            "valid": (len(clip),),
            "closure": (len(clip),),
        }
        for field, shape in expected.items():
            if getattr(clip, field).shape != shape:
                raise InvalidParameter(
                    f"{field} of a clip is {getattr(clip, field).shape}, not {shape}",
                    remedy="make the clip with this version's features and head model",
                )
    joined: dict[str, NDArray[Any]] = {
        field: np.concatenate([getattr(clip, field) for clip in clips]).astype(np.float16)
        for field in ("features", "expression", "pose", "closure")
    }
    unknown = [np.full(len(clip), np.nan) if clip.speaking is None else clip.speaking for clip in clips]
    joined["speaking"] = np.concatenate(unknown).astype(np.float16)
    joined["valid"] = np.concatenate([clip.valid for clip in clips]).astype(np.uint8)
    joined["lengths"] = np.array([len(clip) for clip in clips], np.int64)
    header = {
        "format": FORMAT,
        "expression_names": json.dumps(names),
        "speakers": json.dumps([[clip.speaker, clip.language] for clip in clips]),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, joined, header)


def read_shard(path: Path) -> tuple[tuple[str, ...], list[SpokenClip]]:
    """Expression names and clips of one file; arrays stay in half precision.

    Raises:
        InvalidPackage: the file is damaged or no shard.
    """
    tensors, header = load_tensors(path, FORMAT)
    stops = np.cumsum(tensors["lengths"])
    clips = []
    for start, stop, (speaker, language) in zip(
        stops - tensors["lengths"], stops, json.loads(header["speakers"]), strict=True
    ):
        part = slice(int(start), int(stop))
        clips.append(
            SpokenClip(
                tensors["features"][part],
                tensors["expression"][part],
                tensors["pose"][part],
                tensors["valid"][part].astype(bool),
                tensors["closure"][part],
                speaker,
                language,
                tensors["speaking"][part],
            )
        )
    return tuple(json.loads(header["expression_names"])), clips
