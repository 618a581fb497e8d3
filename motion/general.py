"""A general model of speech to motion, trained on many people: the start of a personalisation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faces.track import load_tensors, save_tensors
from motion.network import NetworkConfig, SpeechMotionNet
from motion.targets import POSE
from problems import InvalidPackage

Array = NDArray[np.float32]

FORMAT = "likeness.motion-general/1"


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
            "format": FORMAT,
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
        tensors, header = load_tensors(path, FORMAT)
        try:
            return cls(
                tuple(json.loads(header["expression_names"])),
                network_from(NetworkConfig(**json.loads(header["network"])), tensors, "net."),
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


def network_from(config: NetworkConfig, tensors: dict[str, NDArray[Any]], prefix: str) -> SpeechMotionNet:
    """A network in eval mode from the tensors whose names start with ``prefix``."""
    net = SpeechMotionNet(config)
    state = {
        n.removeprefix(prefix): torch.from_numpy(v.copy()) for n, v in tensors.items() if n.startswith(prefix)
    }
    net.load_state_dict(state)
    return net.eval()
