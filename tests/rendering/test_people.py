from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from problems import InvalidParameter, NotFound
from rendering.batches import PERSON_FRAMES
from rendering.examples import Examples
from rendering.memory import Memory, MemoryConfig
from rendering.people import PeopleDataset, load_people
from tests.rendering.some_examples import some_examples


@pytest.fixture(scope="module")
def people() -> list[Examples]:
    return [some_examples(seed=1, frames=12), some_examples(seed=2, frames=24)]


def test_each_person_is_as_likely_as_another(people: list[Examples]) -> None:
    dataset = PeopleDataset(people)
    frames = dataset.batch(torch.arange(len(dataset)), torch.Generator()).frame
    shares = [float(dataset.weights[frames // PERSON_FRAMES == n].sum()) for n in range(2)]
    assert shares == pytest.approx([1, 1], rel=1e-5)


def test_values_are_told_relative_to_the_person(people: list[Examples]) -> None:
    dataset = PeopleDataset(people, held_out=0)
    batch = dataset.batch(torch.arange(len(dataset)), torch.Generator())
    assert torch.equal(batch.value, dataset.values)
    for n in range(2):
        own = batch.frame // PERSON_FRAMES == n
        rows = batch.frame[own] % PERSON_FRAMES - int(people[n].frame[0])
        raw = people[n].values
        expected = (raw - raw.mean(0)) / raw.std(0).clip(0.01)
        np.testing.assert_allclose(batch.value[own], expected[rows], rtol=1e-4, atol=1e-4)


def test_held_out_frames_are_never_targets(people: list[Examples]) -> None:
    dataset = PeopleDataset(people, held_out=2)
    held = dataset.held_out.frame
    assert (held // PERSON_FRAMES).tolist() == [0, 0, 1, 1]
    learnt = dataset.batch(torch.arange(len(dataset)), torch.Generator()).frame
    assert (learnt[:, None] - held[None]).abs().min() > 2


def test_a_memory_recalls_the_persons_own_moments_alone(people: list[Examples]) -> None:
    dataset = PeopleDataset(people)
    batch = dataset.batch(torch.arange(len(dataset)), torch.Generator())
    memory = Memory(MemoryConfig(slots=64, top=64, temperature=0.1))
    memory.threshold.fill_(2.0)  # every frame gets a slot
    keys = torch.nn.functional.normalize(
        torch.randn(len(batch), 128, generator=torch.Generator().manual_seed(1)), dim=1
    )
    marked = torch.zeros_like(batch.value)
    marked[:, 0] = (batch.frame // PERSON_FRAMES).float()
    memory.update(keys, marked, batch.frame)
    recalled = memory.recall(keys, apart=(batch.frame, 0))
    torch.testing.assert_close(recalled[:, 0], marked[:, 0])


def test_people_are_found_in_folders(people: list[Examples], tmp_path: Path) -> None:
    for n, person in enumerate(people):
        person.save(tmp_path / f"{n}")
    assert len(load_people([tmp_path])) == len(PeopleDataset(people))
    with pytest.raises(NotFound, match="no examples"):
        load_people([tmp_path / "nowhere"])


def test_sizes_can_not_be_mixed(people: list[Examples]) -> None:
    small = Examples(**{**people[0]._arrays(), "target": np.zeros((12, 32, 32, 3), np.uint8)})
    with pytest.raises(InvalidParameter, match=r"\[32, 64\]"):
        PeopleDataset([people[0], small])
    with pytest.raises(InvalidParameter, match="nobody"):
        PeopleDataset([])
