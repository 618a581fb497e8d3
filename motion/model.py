"""Everything learnt about how a person moves, and its file ``motion.safetensors``.

The prediction for one frame is the mean over folds of a weighted mean of network and ridge. A ridge sees the network's
hidden states and the features of the frames around; being linear, the folds' ridges are one on the features and one
each on the hidden states.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faces.track import Motion, load_tensors, save_tensors
from motion.blinks import Blinks
from motion.dataset import Normaliser
from motion.general import GeneralModel, network_from
from motion.network import NetworkConfig, SpeechMotionNet, single_thread
from motion.regression import context
from motion.style import Style
from motion.targets import PoseFrame, calmed
from problems import InvalidPackage

Array = NDArray[np.float32]

FORMAT = "likeness.motion/4"


@dataclass(frozen=True)
class FoldRidges:
    """Closed-form ridges beside some folds' networks."""

    features: Array
    """((2 radius + 1) D, O) on the standardised features of the frames around, mean over folds."""
    hidden: Array
    """(F, H, O) on each fold's hidden states; apply the mean over F of the products."""
    bias: Array
    """(O,) mean over folds."""

    def on_features(self, features: Array) -> Array:
        """(T, D) standardised features -> (T, O), the hidden states' part left out."""
        radius = (len(self.features) // features.shape[1] - 1) // 2
        return context(features, radius) @ self.features + self.bias


@dataclass(frozen=True)
class Regressor:
    """What predicts the mean motion from speech."""

    normaliser: Normaliser
    """Of the features and the targets."""
    nets: tuple[SpeechMotionNet, ...]
    """One network a fold, in eval mode."""
    ridges: FoldRidges
    """What stands beside the networks."""
    ridge_share: float
    """Weight of the ridges, 0..1; the networks have the rest."""

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Everything as named arrays."""
        tensors: dict[str, NDArray[Any]] = asdict(self.normaliser)
        tensors |= {f"ridge_{name}": value for name, value in asdict(self.ridges).items()}
        for fold, net in enumerate(self.nets):
            tensors |= {f"net.{fold}.{name}": value.numpy() for name, value in net.state_dict().items()}
        return tensors

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, NDArray[Any]], config: NetworkConfig, folds: int, ridge_share: float
    ) -> Regressor:
        """The inverse of :meth:`tensors`; raises KeyError or RuntimeError if it does not fit."""
        return cls(
            Normaliser(*(tensors[field.name] for field in fields(Normaliser))),
            tuple(network_from(config, tensors, f"net.{fold}.") for fold in range(folds)),
            FoldRidges(*(tensors[f"ridge_{field.name}"] for field in fields(FoldRidges))),
            ridge_share,
        )

    def __call__(self, values: Array) -> Array:
        """(T, D) raw features -> (T, O) deviation from the mean, in the targets' units."""
        return np.mean(self.fold_predictions(values), axis=0, dtype=np.float32)

    @torch.no_grad()
    def fold_predictions(self, values: Array) -> list[Array]:
        """(T, D) raw features -> each fold's (T, O) deviation; the ridge on the features is shared by all."""
        features = self.normaliser.features(values)
        share, ridges = self.ridge_share, self.ridges
        direct = ridges.on_features(features)  # (T, O)
        batch = torch.from_numpy(features)[None]
        parts = []
        with single_thread():
            for fold, net in enumerate(self.nets):
                hidden = net.hidden_states(batch)  # (1, T, H)
                ridge = direct + hidden[0].numpy() @ ridges.hidden[fold]
                standard = (1 - share) * net.head(hidden)[0].numpy() + share * ridge
                parts.append(standard * self.normaliser.target_scale)
        return parts


@dataclass(frozen=True)
class MotionModel:
    """A person's speech-to-motion model."""

    expression_names: tuple[str, ...]
    """Names of the E coefficients."""
    regressor: Regressor
    """Speech to the deviation from the mean face and pose."""
    share: Array
    """(O,) factor on its prediction: the gain of the spread for the mouth, the share that is explained elsewhere."""
    lag: int
    """Frames that the clip's picture is behind its sound; training undid it."""
    centre: Array
    """(D,) of the clip's voice."""
    style: Style
    """The rest of the person."""
    general: GeneralModel | None
    """The model that personalisation began with: it still tells when the lips must meet."""
    facts: dict[str, Any]
    """The report of the training, JSON types."""

    @property
    def mean(self) -> Array:
        """(O,) the person's mean targets, which deviations are added to."""
        return self.regressor.normaliser.target_mean

    def deviation(self, values: Array) -> Array:
        """(T, D) raw features -> (T, O) predicted deviation from :attr:`mean`, spread restored."""
        return calmed(self.regressor(values), self.expression_names) * self.share

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically."""
        style = self.style
        tensors: dict[str, NDArray[Any]] = {
            "share": self.share,
            "centre": self.centre,
            "pose_rotation": style.pose.rotation,
            "pose_translation": style.pose.translation,
            "residual": style.residual,
            "usable": style.usable.astype(np.uint8),
            "prosody": style.prosody,
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
        tensors |= self.regressor.tensors()
        header = {
            "format": FORMAT,
            "expression_names": json.dumps(self.expression_names),
            "network": json.dumps(asdict(self.regressor.nets[0].config)),
            "folds": str(len(self.regressor.nets)),
            "ridge_share": repr(self.regressor.ridge_share),
            "lag": str(self.lag),
            "blink_rate": repr(style.blinks.rate),
            "opening_rest": repr(style.opening_rest),
            "opening_floor": repr(style.opening_floor),
            "opening_closed": repr(style.opening_closed),
            "facts": json.dumps(self.facts, sort_keys=True),
        }
        if self.general is not None:
            own, described = self.general.tensors("general.")
            tensors, header = tensors | own, header | described
        save_tensors(path, tensors, header)

    @classmethod
    def load(cls, path: Path) -> MotionModel:
        """Read what :meth:`save` wrote.

        Raises:
            InvalidPackage: the file is missing, damaged, incomplete or of another format.
        """
        tensors, header = load_tensors(path, FORMAT)
        try:
            network = NetworkConfig(**json.loads(header["network"]))
            share = float(header["ridge_share"])
            regressor = Regressor.from_tensors(tensors, network, int(header["folds"]), share)
            return cls(
                expression_names=tuple(json.loads(header["expression_names"])),
                regressor=regressor,
                share=tensors["share"],
                lag=int(header["lag"]),
                centre=tensors["centre"],
                style=Style(
                    pose=PoseFrame(tensors["pose_rotation"], tensors["pose_translation"]),
                    residual=tensors["residual"],
                    usable=tensors["usable"].astype(bool),
                    prosody=tensors["prosody"],
                    speed_limits=tensors["speed_limits"],
                    blinks=Blinks(float(header["blink_rate"]), tensors["blink_shapes"]),
                    rest=tensors["rest"],
                    gaze=tensors["mean_gaze"],
                    lids=tensors["mean_lids"],
                    opening=tensors["opening"],
                    opening_rest=float(header["opening_rest"]),
                    opening_floor=float(header["opening_floor"]),
                    opening_closed=float(header["opening_closed"]),
                    closing=tensors["closing"],
                    clip=Motion(
                        *(tensors[f"clip_{n}"] for n in ("rotation", "translation", "expression", "gaze"))
                    ),
                ),
                general=GeneralModel.from_tensors(tensors, header, "general.")
                if "general.network" in header
                else None,
                facts=json.loads(header["facts"]),
            )
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise InvalidPackage(
                f"{path.name} is not a whole motion model ({error})", remedy="personalise the clip again"
            ) from error
