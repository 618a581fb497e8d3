"""Everything learnt about how a person moves, and its file ``motion.safetensors``.

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
from motion.dataset import Normaliser
from motion.general import GeneralModel, network_from
from motion.network import NetworkConfig, SpeechMotionNet, single_thread
from motion.regression import context
from motion.style import Style
from motion.targets import PoseFrame
from problems import InvalidPackage

Array = NDArray[np.float32]

FORMAT = "likeness.motion/2"


@dataclass(frozen=True)
class Regressor:
    """What predicts the mean motion from speech."""

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

    @property
    def radius(self) -> int:
        """Frames on each side that the ridge sees."""
        return (len(self.ridge_features) // len(self.normaliser.feature_mean) - 1) // 2

    def __call__(self, values: Array) -> Array:
        """(T, D) raw features -> (T, O) standardised prediction."""
        return np.mean(self.fold_predictions(values), axis=0, dtype=np.float32)

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


@dataclass(frozen=True)
class MotionModel:
    """A person's speech-to-motion model."""

    expression_names: tuple[str, ...]
    """Names of the E coefficients."""
    regressor: Regressor
    """Speech to standardised targets."""
    share: Array
    """(O,) factor on its prediction: the gain of the spread for the mouth, the share that is explained elsewhere."""
    lag: int
    """Frames that the clip's picture is behind its sound; training undid it."""
    style: Style
    """The rest of the person."""
    general: GeneralModel | None
    """The model that personalisation began with: it still tells when the lips must meet."""
    facts: dict[str, Any]
    """The report of the training, JSON types."""

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically."""
        style = self.style
        tensors: dict[str, NDArray[Any]] = {
            **asdict(self.regressor.normaliser),
            "ridge_features": self.regressor.ridge_features,
            "ridge_hidden": self.regressor.ridge_hidden,
            "ridge_bias": self.regressor.ridge_bias,
            "share": self.share,
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
        for fold, net in enumerate(self.regressor.nets):
            tensors |= {f"net.{fold}.{name}": value.numpy() for name, value in net.state_dict().items()}
        header = {
            "format": FORMAT,
            "expression_names": json.dumps(self.expression_names),
            "network": json.dumps(asdict(self.regressor.nets[0].config)),
            "folds": str(len(self.regressor.nets)),
            "lag": str(self.lag),
            "blink_rate": repr(style.blinks.rate),
            "opening_rest": repr(style.opening_rest),
            "opening_floor": repr(style.opening_floor),
            "opening_closed": repr(style.opening_closed),
            "facts": json.dumps(self.facts, sort_keys=True),
        }
        if self.general is not None:
            own, fields = self.general.tensors("general.")
            tensors, header = tensors | own, header | fields
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
                regressor=Regressor(
                    Normaliser(
                        *(
                            tensors[n]
                            for n in ("feature_mean", "feature_scale", "target_mean", "target_scale")
                        )
                    ),
                    tuple(network_from(config, tensors, f"net.{fold}.") for fold in folds),
                    tensors["ridge_features"],
                    tensors["ridge_hidden"],
                    tensors["ridge_bias"],
                ),
                share=tensors["share"],
                lag=int(header["lag"]),
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
