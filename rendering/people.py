"""Many people's examples as one dataset, to train the general weights that every person starts from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from problems import InvalidParameter, NotFound
from rendering.batches import PERSON_FRAMES, RenderBatch
from rendering.examples import Examples


class PeopleDataset:
    """Examples of several people, each person as likely as any other.

    A value is told relative to its person (mean 0, deviation 1, as the generator sees the values of the one person
    that it is tuned to); frame numbers of different people lie ``PERSON_FRAMES`` apart, so that a memory recalls a
    person's own moments alone.

    Args:
        people: each person's examples, of one size.
        held_out: frames of each person that are never a training target, in the middle of the clip.
    """

    def __init__(self, people: Sequence[Examples], *, held_out: int = 1) -> None:
        if not people:
            raise InvalidParameter(
                "there is nobody to learn from", remedy="give examples of one person or more"
            )
        sizes = {person.target.shape[1] for person in people}
        if len(sizes) > 1:
            raise InvalidParameter(
                f"examples of sizes {sorted(sizes)} can't be mixed", remedy="make them all at one --size"
            )
        self._people = people
        held, train, values, weights = [], [], [], []
        for number, person in enumerate(people):
            rows = np.arange(len(person))
            middle = len(rows) // 2
            near = np.abs(rows - middle) < 2 + held_out
            held += [(number, row) for row in rows[middle : middle + held_out] if near.sum() < len(rows)]
            kept = rows[~near] if near.sum() < len(rows) else rows
            train.append(np.column_stack([np.full(len(kept), number), kept]))
            own = np.asarray(person.values)
            values.append((own - own.mean(0)) / np.maximum(own.std(0), 0.01))
            share = np.asarray(person.weights)[kept]
            weights.append(share / share.sum())
        self._standard = values
        self._held = np.array(held, np.int64).reshape(-1, 2)
        self._train = np.concatenate(train)
        self._weights = torch.from_numpy(np.concatenate(weights).astype(np.float32))
        self._values = torch.from_numpy(
            np.stack([values[number][row] for number, row in self._train]).astype(np.float32)
        )

    def __len__(self) -> int:
        return len(self._train)

    @property
    def values(self) -> Tensor:
        """(N, Dv) float32, relative to each person."""
        return self._values

    @property
    def weights(self) -> Tensor:
        """(N,) float32; each person's sum to one."""
        return self._weights

    @property
    def held_out(self) -> RenderBatch:
        """The frames that are never targets."""
        return self._batch(self._held, np.zeros(len(self._held), np.int64))

    def batch(self, indices: Tensor, generator: torch.Generator) -> RenderBatch:
        """Examples (B,), each with the sources of a random pass."""
        least = min(person.passes for person in self._people)
        which = torch.randint(least, (len(indices),), generator=generator).numpy()
        return self._batch(self._train[indices.numpy()], which)

    def _batch(self, pairs: NDArray[np.int64], passes: NDArray[np.int64]) -> RenderBatch:
        """(B, 2) of person and row."""
        parts = []
        for (number, row), which in zip(pairs, passes, strict=True):
            one = self._people[number].batch(np.array([row]), np.array([which]))
            value = torch.from_numpy(self._standard[number][[row]].astype(np.float32))
            parts.append(replace(one, value=value, frame=one.frame + int(number) * PERSON_FRAMES))
        return RenderBatch(
            *(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(RenderBatch))
        )


def load_people(folders: Iterable[Path]) -> PeopleDataset:
    """All examples found in some folders (one sub-folder a person).

    Raises:
        NotFound: there are none.
        InvalidPackage, InvalidParameter: damaged, or of different sizes.
    """
    found = sorted(
        path.parent
        for folder in folders
        for path in Path(folder).glob("*/target.npy")
        if path.parent.name[0] != "."
    )
    if not found:
        raise NotFound("no examples were found", remedy="make some with: likeness train pictures")
    return PeopleDataset([Examples.load(path) for path in found])
