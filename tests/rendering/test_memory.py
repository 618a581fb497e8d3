from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rendering.memory import Memory, MemoryConfig, interpolate_recalled, interpolate_stream
from tests.rendering.moving_blobs import MovingBlobs

E = torch.eye(4)


def small(**changes: float) -> Memory:
    config = {"slots": 3, "key_size": 4, "value_size": 4, "top": 3, "margin": 0.3, "temperature": 0.0}
    memory = Memory(MemoryConfig(**{**config, **changes}))  # type: ignore[arg-type]
    memory.threshold.fill_(0.9)
    return memory


def write(memory: Memory, query: torch.Tensor, value: torch.Tensor, frame: int) -> None:
    memory.update(query[None], value[None], torch.tensor([frame]))


def test_a_new_value_takes_the_first_empty_slot() -> None:
    memory = small()
    write(memory, E[0], E[0], 7)
    assert memory.filled.tolist() == [True, False, False]
    assert torch.equal(memory.keys[0], E[0])
    assert torch.equal(memory.values[0], E[0])
    assert memory.frames[0] == 7
    write(memory, E[0], E[1], 8)  # the same key, but another look
    assert memory.filled.tolist() == [True, True, False]
    assert memory.ages[:2].tolist() == [1, 0]


def test_a_known_value_moves_its_key_and_is_young_again() -> None:
    memory = small()
    write(memory, E[0], E[0], 1)
    write(memory, E[1], E[1], 2)
    query = F.normalize(E[0] + 0.5 * E[2], dim=0)
    write(memory, query, F.normalize(E[0] + 0.1 * E[3], dim=0), 3)
    assert torch.allclose(memory.keys[0], F.normalize(E[0] + query, dim=0))
    assert torch.equal(memory.values[0], E[0])
    assert memory.ages[:2].tolist() == [0, 1]
    assert int(memory.filled.sum()) == 2


def test_the_oldest_slot_is_overwritten() -> None:
    memory = small()
    for k in range(3):
        write(memory, E[k], E[k], k)
    write(memory, E[0], E[0], 0)  # slot 0 is young, slot 1 the oldest
    write(memory, E[3], E[3], 9)
    assert torch.equal(memory.keys[1], E[3])
    assert memory.frames.tolist() == [0, 9, 2]
    assert memory.ages.tolist() == [1, 0, 2]


def test_triplet_loss_by_hand() -> None:
    memory = small()
    for k in range(2):
        write(memory, E[k], E[k], k)
    query = F.normalize(0.6 * E[0] + 0.8 * E[1], dim=0)[None]
    # The value is slot 0's: positive .6, negative .8.
    assert memory.triplet_loss(query, E[:1]).item() == pytest.approx(0.8 - 0.6 + 0.3, abs=1e-6)
    # The value is slot 1's: .6 - .8 + .3.
    assert memory.triplet_loss(query, E[1:2]).item() == pytest.approx(0.1, abs=1e-6)
    # Nothing is alike: no positive, no loss; nor is there one in an empty memory.
    assert memory.triplet_loss(query, E[3:]).item() == 0
    assert small().triplet_loss(query, E[:1]).item() == 0


def test_triplet_loss_pulls_the_query_to_its_positive() -> None:
    memory = small()
    for k in range(2):
        write(memory, E[k], E[k], k)
    query = torch.tensor([[0.6, 0.8, 0.0, 0.0]], requires_grad=True)
    memory.triplet_loss(query, E[:1]).backward()
    assert query.grad is not None
    assert torch.allclose(-query.grad[0], E[0] - E[1])


def test_recall_nearest_softmax_and_apart() -> None:
    memory = small()
    assert memory.recall(E[:1]).abs().max() == 0
    write(memory, E[0], E[0], 10)
    write(memory, E[1], E[1], 50)
    query = F.normalize(E[0] + 0.5 * E[1], dim=0)[None]
    assert torch.equal(memory.recall(query), E[:1])
    assert torch.equal(memory.recall(query, apart=(torch.tensor([15]), 12)), E[1:2])
    assert memory.recall(query, apart=(torch.tensor([30]), 25)).abs().max() == 0
    soft = small(temperature=1.0)
    soft.load_state_dict(memory.state_dict())
    weights = torch.softmax(query[0, :2], dim=0)
    assert torch.allclose(soft.recall(query)[0, :2], weights, atol=1e-4)


def test_threshold_is_the_percentile_of_the_pairs() -> None:
    memory = small(percentile=50.0)
    values = torch.stack([E[0], E[0], E[1]])  # cosines 1, 0, 0
    memory.set_threshold(values)
    assert memory.threshold.item() == 0
    memory = small(percentile=75.0)
    memory.set_threshold(values)
    assert memory.threshold.item() == pytest.approx(0.5)
    memory.set_threshold(values[:1])  # a single frame has no pairs
    assert memory.threshold.item() == pytest.approx(0.5)


def test_keys_are_unit_and_see_the_mouth() -> None:
    torch.manual_seed(0)
    memory, frames = Memory(MemoryConfig(slots=4)), MovingBlobs(4).held_out.network_input()
    keys = memory.query(frames)
    assert torch.allclose(keys.norm(dim=1), torch.ones(4), atol=1e-5)
    changed = frames.clone()
    changed[:, 6:9] = torch.where(frames[:, 13:14] > 0.5, 1.0, frames[:, 6:9])
    assert (memory.query(changed) - keys).abs().max() > 1e-3
    assert memory.query(torch.zeros(1, 15, 128, 128)).isfinite().all()


def test_keys_of_one_person_spread_once_standardised() -> None:
    torch.manual_seed(0)
    memory, frames = Memory(MemoryConfig(slots=4)), MovingBlobs(4).held_out.network_input()
    before = memory.query(frames)
    assert (before @ before.T).min() > 0.9
    memory.encoder.standardise(frames.split(4))
    after = memory.query(frames)
    assert (after @ after.T).min() < 0
    assert torch.equal(memory.query(frames), after)  # asking alone changes nothing
    memory.query(frames[:1], learning=True)
    assert not torch.equal(memory.query(frames), after)


def test_clear_empties_and_keeps_the_encoder() -> None:
    memory = small()
    weight = memory.encoder.key.weight.clone()
    write(memory, E[0], E[0], 1)
    memory.clear()
    assert not memory.filled.any()
    assert torch.equal(memory.encoder.key.weight, weight)
    assert memory.threshold.item() == pytest.approx(0.9)


def test_interpolation_over_time() -> None:
    steps = np.array([[0.0], [0.0], [9.0], [0.0], [0.0]], np.float32)
    assert interpolate_recalled(steps, 2)[:, 0].tolist() == pytest.approx([1.5, 2.25, 3.0, 2.25, 1.5])
    assert np.array_equal(interpolate_recalled(steps, 0), steps)


@pytest.mark.parametrize("sizes", [[1] * 13, [4, 5, 4], [13], [2, 0, 11], [1, 12]])
def test_streamed_interpolation_equals_the_whole(sizes: list[int]) -> None:
    values = np.random.default_rng(0).normal(size=(13, 3)).astype(np.float32)
    chunks = np.split(values, np.cumsum(sizes)[:-1])
    streamed = np.concatenate(list(interpolate_stream(chunks, 2)))
    assert np.allclose(streamed, interpolate_recalled(values, 2), atol=1e-6)
