"""A general model of speech to motion, trained on many people: the start of a personalisation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from faces.track import load_tensors, save_tensors
from motion.adaptation import Adaptation, with_bias
from motion.features import speech_centre
from motion.network import NetworkConfig, SpeechMotionNet, single_thread
from motion.targets import POSE, mouth_mask
from problems import InvalidPackage

Array = NDArray[np.float32]

FORMAT = "likeness.motion-general/4"
SHIPPED = Path(__file__).parent.parent / "weights" / "motion" / "general.safetensors"
"""The general weights that the product begins with."""


@dataclass(frozen=True)
class GeneralModel:
    """A network trained on many people, from which personalisation starts."""

    expression_names: tuple[str, ...]
    """Names of its E coefficients; a person's track may have others."""
    net: SpeechMotionNet
    """The network; its last six outputs are the pose deviation."""
    events: torch.nn.Linear
    """Hidden states to two logits: that the lips meet for a bilabial, and that somebody speaks."""
    adaptation: Adaptation
    """How the last layer follows one person's frames."""
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
            (T, O) deviation from the mean face in its own units, and (T, 2) logits of :attr:`events`.
        """
        with single_thread():
            hidden = self._hidden(values, centre)
            targets = self.net.head(hidden)[0].cpu().numpy() * self.target_scale
            return targets, self.events(hidden)[0].cpu().numpy()

    @torch.no_grad()
    def adapted_to(
        self, values: Array, targets: Array, known: NDArray[np.bool_], centre: Array | None = None
    ) -> Array:
        """The mapping with its last layer adapted to some frames of one person.

        Args:
            values: (T, D) raw features.
            targets: (T, O) deviation from the known frames' mean, in its own units.
            known: (T,) True for the frames to adapt to.
            centre: (D,) of the voice.

        Returns:
            (T, O) deviation from the known frames' mean.
        """
        with single_thread():
            hidden = self._hidden(values, centre)
            plain = self.net.head(hidden)
            standard, mask = self._on_device(targets / self.target_scale), self._on_device(known)
            change = self.adaptation(hidden, standard[None] - plain, mask[None])
            return (plain + with_bias(hidden) @ change)[0].cpu().numpy() * self.target_scale

    def _hidden(self, values: Array, centre: Array | None) -> torch.Tensor:
        """(1, T, H) of raw features."""
        centre = speech_centre(values) if centre is None else centre
        return self.net.hidden_states(
            self._on_device((values - centre - self.feature_mean) / self.feature_scale)[None]
        )

    def _on_device(self, values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self.events.weight.device)

    def event_chances(self, values: Array, centre: Array | None = None) -> Array:
        """(T, D) raw features -> (T, 2) probabilities that the lips meet for a bilabial, and that somebody speaks."""
        return (1 / (1 + np.exp(-self.predict(values, centre)[1]))).astype(np.float32)

    def tensors(self, prefix: str = "") -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Everything as named arrays and header fields, for this model's own file or a person's."""
        tensors: dict[str, NDArray[Any]] = {
            "feature_mean": self.feature_mean,
            "feature_scale": self.feature_scale,
            "target_scale": self.target_scale,
            "log_strength": self.adaptation.log_strength.detach().numpy(),
        }
        tensors |= {f"net.{name}": value.numpy() for name, value in self.net.state_dict().items()}
        tensors |= {f"events.{name}": value.numpy() for name, value in self.events.state_dict().items()}
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
        names = tuple(json.loads(header[f"{prefix}expression_names"]))
        events = torch.nn.Linear(2 * config.hidden, 2)
        events.load_state_dict(state_from(tensors, f"{prefix}events."))
        adaptation = Adaptation(torch.from_numpy(mouth_mask(names)))
        with torch.no_grad():
            adaptation.log_strength.copy_(torch.from_numpy(tensors[f"{prefix}log_strength"].copy()))
        return cls(
            names,
            network_from(config, tensors, f"{prefix}net."),
            events,
            adaptation,
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

    def network_for(self, names: tuple[str, ...]) -> SpeechMotionNet:
        """A fresh network with these weights for a person with the expressions ``names``.

        Outputs that the general model lacks start at zero.
        """
        net = SpeechMotionNet(replace(self.net.config, outputs=len(names) + POSE))
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
