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
from motion.features import speech_centre
from motion.network import NetworkConfig, SpeechMotionNet, single_thread
from motion.targets import POSE
from problems import InvalidPackage

Array = NDArray[np.float32]

FORMAT = "likeness.motion-general/3"
SHIPPED = Path(__file__).parent.parent / "weights" / "motion" / "general.safetensors"
"""The general weights that the product begins with."""


@dataclass(frozen=True)
class GeneralModel:
    """A network trained on many people, from which personalisation starts."""

    expression_names: tuple[str, ...]
    """Names of its E coefficients; a person's track may have others."""
    net: SpeechMotionNet
    """The network; its last six outputs are the pose deviation."""
    closure: torch.nn.Linear
    """Hidden states to the logit that the lips meet for a bilabial."""
    feature_mean: Array
    """(D,) of features whose voice is taken out (:func:`motion.features.speech_centre`)."""
    feature_scale: Array
    """(D,)."""
    target_scale: Array
    """(O,)."""

    @torch.no_grad()
    def predict(self, values: Array, centre: Array | None = None) -> tuple[Array, Array]:
        """The mapping as it is, without any person.

        Args:
            values: (T, D) raw features.
            centre: (D,) of the voice, see :func:`motion.features.speech_centre`; None takes that of ``values``.

        Returns:
            (T, O) deviation from the mean face in its own units, and (T,) logit that the lips meet for a bilabial.
        """
        centre = speech_centre(values) if centre is None else centre
        features = ((values - centre - self.feature_mean) / self.feature_scale).astype(np.float32)
        with single_thread():
            hidden = self.net.hidden_states(torch.from_numpy(features)[None])
            targets = self.net.head(hidden)[0].numpy() * self.target_scale
            return targets, self.closure(hidden)[0, :, 0].numpy()

    def contact(self, values: Array, centre: Array | None = None) -> Array:
        """(T, D) raw features -> (T,) probability that the lips meet for a bilabial."""
        return (1 / (1 + np.exp(-self.predict(values, centre)[1]))).astype(np.float32)

    def tensors(self, prefix: str = "") -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Everything as named arrays and header fields, for this model's own file or a person's."""
        tensors: dict[str, NDArray[Any]] = {
            "feature_mean": self.feature_mean,
            "feature_scale": self.feature_scale,
            "target_scale": self.target_scale,
        }
        tensors |= {f"net.{name}": value.numpy() for name, value in self.net.state_dict().items()}
        tensors |= {f"closure.{name}": value.numpy() for name, value in self.closure.state_dict().items()}
        header = {
            "expression_names": json.dumps(self.expression_names),
            "network": json.dumps(asdict(self.net.config)),
        }
        return {prefix + k: v for k, v in tensors.items()}, {prefix + k: v for k, v in header.items()}

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, NDArray[Any]], header: dict[str, str], prefix: str = ""
    ) -> GeneralModel:
        """The inverse of :meth:`tensors`; raises KeyError, ValueError, TypeError or RuntimeError if it does not fit."""
        config = NetworkConfig(**json.loads(header[f"{prefix}network"]))
        closure = torch.nn.Linear(2 * config.hidden, 1)
        closure.load_state_dict(state_from(tensors, f"{prefix}closure."))
        return cls(
            tuple(json.loads(header[f"{prefix}expression_names"])),
            network_from(config, tensors, f"{prefix}net."),
            closure,
            tensors[f"{prefix}feature_mean"],
            tensors[f"{prefix}feature_scale"],
            tensors[f"{prefix}target_scale"],
        )

    def save(self, path: Path, facts: dict[str, Any] | None = None) -> None:
        """Write one safetensors file, atomically; ``facts`` (JSON types) go into its header."""
        tensors, header = self.tensors()
        save_tensors(
            path, tensors, {"format": FORMAT, "facts": json.dumps(facts or {}, sort_keys=True), **header}
        )

    @classmethod
    def load(cls, path: Path) -> GeneralModel:
        """Read what :meth:`save` wrote.

        Raises:
            InvalidPackage: the file is missing, damaged, incomplete or of another format.
        """
        tensors, header = load_tensors(path, FORMAT)
        try:
            return cls.from_tensors(tensors, header)
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
    net.load_state_dict(state_from(tensors, prefix))
    return net.eval()


def state_from(tensors: dict[str, NDArray[Any]], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names start with ``prefix``, under the rest of their names."""
    return {
        name.removeprefix(prefix): torch.from_numpy(value.copy())
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
