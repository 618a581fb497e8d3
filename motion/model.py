"""Everything learnt about how a person moves, and its file ``motion.safetensors``; also the general start's file.

The prediction for one frame is the mean over folds of (network + ridge) / 2, in standardised targets. The ridge sees
the network's hidden states and the features of the frames around; being linear, the folds' ridges are one on the
features and one each on the hidden states.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faces.track import Motion, load_tensors, save_tensors
from motion.blinks import Blinks
from motion.network import NetworkConfig, SpeechMotionNet, single_thread
from motion.regression import context
from motion.targets import POSE, PoseFrame
from problems import InvalidPackage

Array = NDArray[np.float32]

FORMAT = "likeness.motion/1"
GENERAL_FORMAT = "likeness.motion-general/1"


@dataclass(frozen=True)
class Normaliser:
    """Features and targets as the networks see them."""

    feature_mean: Array
    """(D,)."""
    feature_scale: Array
    """(D,) positive."""
    target_mean: Array
    """(O,) E expressions, then the pose deviation."""
    target_scale: Array
    """(O,) positive."""

    def features(self, values: Array) -> Array:
        """(T, D) raw -> standardised."""
        return ((values - self.feature_mean) / self.feature_scale).astype(np.float32)

    def targets(self, values: Array) -> Array:
        """(T, O) in their own units -> standardised."""
        return ((values - self.target_mean) / self.target_scale).astype(np.float32)


@dataclass(frozen=True)
class Style:
    """How this person moves beside what speech tells."""

    pose: PoseFrame
    """The mean pose."""
    residual: Array
    """(T, C) what speech leaves over: pose (6), face coefficients that are neither mouth nor lids, gaze (2), lids."""
    usable: NDArray[np.bool_]
    """(T,) frames whose track was observed."""
    speed_limits: Array
    """(2,) the clip's 99.5th percentile of a frame's rotation step (radians) and translation step (mm)."""
    blinks: Blinks
    """Rate and shapes."""
    rest: Array
    """(E,) the face in this person's pauses; only the mouth's coefficients are used."""
    gaze: Array
    """(2,) mean gaze, radians."""
    lids: Array
    """(lids,) mean of the lids without blinks."""
    opening: Array
    """(E,) inner-lip opening per unit of each coefficient, in inter-ocular distances."""
    opening_rest: float
    """Opening of the neutral face."""
    opening_floor: float
    """The person's tightest closure: predictions do not press the lips through each other."""
    closing: Array
    """(E,) how this person's mouth coefficients change per unit of opening."""
    clip: Motion
    """The clip's own motion, for the mode ``clip``."""


@dataclass(frozen=True)
class MotionModel:
    """A person's speech-to-motion model."""

    expression_names: tuple[str, ...]
    """Names of the E coefficients."""
    normaliser: Normaliser
    """Of the features and the targets."""
    nets: tuple[SpeechMotionNet, ...]
    """One network a fold, in eval mode."""
    ridge_features: Array
    """((2 radius + 1) D, O) ridge on the features of the frames around, mean over folds."""
    ridge_hidden: Array
    """(F, H, O) ridge on each fold's hidden states; apply the mean over F of the products."""
    ridge_bias: Array
    """(O,) mean over folds."""
    share: Array
    """(O,) factor on the standardised prediction: the spread's gain for the mouth, the share explained elsewhere."""
    lag: int
    """Frames that the clip's picture is behind its sound; training undid it."""
    style: Style
    """The rest of the person."""
    facts: dict[str, Any]
    """The report of the training, JSON types."""

    @property
    def radius(self) -> int:
        """Frames on each side that the ridge sees."""
        return (len(self.ridge_features) // len(self.normaliser.feature_mean) - 1) // 2

    def regress(self, values: Array) -> Array:
        """(T, D) raw features -> (T, O) standardised prediction, before ``share``."""
        return sum(self.fold_predictions(values)) / len(self.nets)  # type: ignore[return-value]

    @torch.no_grad()
    def fold_predictions(self, values: Array) -> list[Array]:
        """(T, D) raw features -> each fold's (T, O); the ridge on the features is shared by all."""
        features = self.normaliser.features(values)
        direct = context(features, self.radius) @ self.ridge_features + self.ridge_bias  # (T, O)
        batch = torch.from_numpy(features)[None]
        parts = []
        with single_thread():
            for net, weights in zip(self.nets, self.ridge_hidden, strict=True):
                hidden = net.hidden_states(batch)  # (1, T, H)
                parts.append((net.head(hidden)[0].numpy() + direct + hidden[0].numpy() @ weights) / 2)
        return parts

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically."""
        style = self.style
        tensors: dict[str, NDArray[Any]] = {
            **asdict(self.normaliser),
            "ridge_features": self.ridge_features,
            "ridge_hidden": self.ridge_hidden,
            "ridge_bias": self.ridge_bias,
            "share": self.share,
            "pose_rotation": style.pose.rotation,
            "pose_translation": style.pose.translation,
            "residual": style.residual,
            "usable": style.usable.astype(np.uint8),
            "speed_limits": style.speed_limits,
            "blink_shapes": style.blinks.shapes,
            "rest": style.rest,
            "mean_gaze": style.gaze,
            "mean_lids": style.lids,
            "opening": style.opening,
            "closing": style.closing,
            "clip_rotation": style.clip.rotation,
            "clip_translation": style.clip.translation,
            "clip_expression": style.clip.expression,
            "clip_gaze": style.clip.gaze,
        }
        for fold, net in enumerate(self.nets):
            tensors |= {f"net.{fold}.{name}": value.numpy() for name, value in net.state_dict().items()}
        header = {
            "format": FORMAT,
            "expression_names": json.dumps(self.expression_names),
            "network": json.dumps(asdict(self.nets[0].config)),
            "folds": str(len(self.nets)),
            "lag": str(self.lag),
            "blink_rate": repr(style.blinks.rate),
            "opening_rest": repr(style.opening_rest),
            "opening_floor": repr(style.opening_floor),
            "facts": json.dumps(self.facts, sort_keys=True),
        }
        save_tensors(path, tensors, header)

    @classmethod
    def load(cls, path: Path) -> MotionModel:
        """Read what :meth:`save` wrote.

        Raises:
            InvalidPackage: the file is missing, damaged, incomplete or of another format.
        """
        tensors, header = load_tensors(path, FORMAT)
        try:
            config = NetworkConfig(**json.loads(header["network"]))
            folds = range(int(header["folds"]))
            return cls(
                expression_names=tuple(json.loads(header["expression_names"])),
                normaliser=Normaliser(
                    *(tensors[n] for n in ("feature_mean", "feature_scale", "target_mean", "target_scale"))
                ),
                nets=tuple(_network(config, tensors, f"net.{fold}.") for fold in folds),
                ridge_features=tensors["ridge_features"],
                ridge_hidden=tensors["ridge_hidden"],
                ridge_bias=tensors["ridge_bias"],
                share=tensors["share"],
                lag=int(header["lag"]),
                style=Style(
                    pose=PoseFrame(tensors["pose_rotation"], tensors["pose_translation"]),
                    residual=tensors["residual"],
                    usable=tensors["usable"].astype(bool),
                    speed_limits=tensors["speed_limits"],
                    blinks=Blinks(float(header["blink_rate"]), tensors["blink_shapes"]),
                    rest=tensors["rest"],
                    gaze=tensors["mean_gaze"],
                    lids=tensors["mean_lids"],
                    opening=tensors["opening"],
                    opening_rest=float(header["opening_rest"]),
                    opening_floor=float(header["opening_floor"]),
                    closing=tensors["closing"],
                    clip=Motion(*(tensors[f"clip_{n}"] for n in ("rotation", "translation", "expression", "gaze"))),
                ),
                facts=json.loads(header["facts"]),
            )
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise InvalidPackage(
                f"{path.name} is not a whole motion model ({error})", remedy="personalise the clip again"
            ) from error


@dataclass(frozen=True)
class GeneralModel:
    """A network trained on many people, from which personalisation starts."""

    expression_names: tuple[str, ...]
    """Names of its E coefficients; a person's track may have others."""
    net: SpeechMotionNet
    """The network; its last six outputs are the pose deviation."""
    feature_mean: Array
    """(D,)."""
    feature_scale: Array
    """(D,)."""
    target_scale: Array
    """(O,)."""

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically."""
        tensors: dict[str, NDArray[Any]] = {
            "feature_mean": self.feature_mean,
            "feature_scale": self.feature_scale,
            "target_scale": self.target_scale,
        }
        tensors |= {f"net.{name}": value.numpy() for name, value in self.net.state_dict().items()}
        header = {
            "format": GENERAL_FORMAT,
            "expression_names": json.dumps(self.expression_names),
            "network": json.dumps(asdict(self.net.config)),
        }
        save_tensors(path, tensors, header)

    @classmethod
    def load(cls, path: Path) -> GeneralModel:
        """Read what :meth:`save` wrote.

        Raises:
            InvalidPackage: the file is missing, damaged, incomplete or of another format.
        """
        tensors, header = load_tensors(path, GENERAL_FORMAT)
        try:
            return cls(
                tuple(json.loads(header["expression_names"])),
                _network(NetworkConfig(**json.loads(header["network"])), tensors, "net."),
                tensors["feature_mean"],
                tensors["feature_scale"],
                tensors["target_scale"],
            )
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise InvalidPackage(
                f"{path.name} is not a whole general motion model ({error})",
                remedy="restore weights/motion from the checkout, or start without general weights",
            ) from error

    def columns(self, names: tuple[str, ...]) -> NDArray[np.int64]:
        """(O,) this model's output for each target of a person with the expressions ``names``; -1 where it has none."""
        known = {name: index for index, name in enumerate(self.expression_names)}
        pose = len(self.expression_names) + np.arange(POSE)
        return np.array([*(known.get(name, -1) for name in names), *pose], dtype=np.int64)

    def network_for(self, names: tuple[str, ...], config: NetworkConfig) -> SpeechMotionNet:
        """A fresh network with these weights; outputs that the general model lacks start near zero.

        Raises:
            InvalidPackage: the sizes do not fit.
        """
        own = self.net.config
        if (own.inputs, own.projection, own.hidden) != (config.inputs, config.projection, config.hidden):
            raise InvalidPackage(
                f"the general motion model has sizes {own}, this version needs {config}",
                remedy="train the general model again with this version, or start without it",
            )
        net = SpeechMotionNet(config)
        columns = torch.from_numpy(self.columns(names))
        state = dict(self.net.state_dict())
        for name in ("head.weight", "head.bias"):
            values = torch.zeros_like(net.state_dict()[name])
            values[columns >= 0] = state[name][columns[columns >= 0]]
            state[name] = values
        net.load_state_dict(state)
        return net


def _network(config: NetworkConfig, tensors: dict[str, NDArray[Any]], prefix: str) -> SpeechMotionNet:
    net = SpeechMotionNet(config)
    state = {n.removeprefix(prefix): torch.from_numpy(v.copy()) for n, v in tensors.items() if n.startswith(prefix)}
    net.load_state_dict(state)
    return net.eval()
