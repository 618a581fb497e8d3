from __future__ import annotations

from dataclasses import fields

import torch

from rendering.augment import AugmentConfig, augment
from rendering.batches import RenderBatch

SIDE, COUNT = 64, 6
STILL = AugmentConfig(turn=0, scale=0, shift=0, mirror=0, tint=0)


def _batch() -> RenderBatch:
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(COUNT, 3, 8, 8, generator=draw) * 1.2 - 0.6
    picture = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic").clamp(-1, 1)
    masks = (picture > 0).float()
    return RenderBatch(
        composite_window=torch.stack([picture, picture, picture], dim=1),
        source=picture.clone(),
        masks=masks,
        target=picture.clone(),
        valid=torch.ones(COUNT, 1, SIDE, SIDE),
        value=torch.rand(COUNT, 5, generator=draw),
        frame=torch.arange(COUNT),
    )


def _rng(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_asked_nothing_changed() -> None:
    batch = _batch()
    same = augment(batch, STILL, _rng())
    for field in fields(RenderBatch):
        torch.testing.assert_close(getattr(same, field.name), getattr(batch, field.name), atol=1e-5, rtol=0)


def test_all_parts_move_together() -> None:
    """Composite, source and target were one picture, and still are; the masks moved with them."""
    batch = _batch()
    moved = augment(batch, AugmentConfig(), _rng())
    assert (moved.target - batch.target).abs().mean() > 0.05
    for part in (moved.source, moved.composite, moved.composite_window[:, 0]):
        torch.testing.assert_close(part, moved.target, atol=1e-5, rtol=0)
    untinted = augment(batch, AugmentConfig(tint=0), _rng())
    agree = ((untinted.target > 0) == (untinted.masks > 0.5))[untinted.valid.expand(-1, 3, -1, -1) > 0.99]
    assert agree.float().mean() > 0.97
    assert torch.equal(moved.value, batch.value)
    assert torch.equal(moved.frame, batch.frame)


def test_ranges_hold_and_what_comes_from_beyond_does_not_count() -> None:
    moved = augment(_batch(), AugmentConfig(turn=0.5, scale=0.4, shift=0.3, tint=0.5), _rng())
    assert moved.target.abs().max() <= 1
    assert moved.masks.min() >= 0
    assert moved.masks.max() <= 1 + 1e-5
    assert (moved.valid < 0.01).any()  # corners that turned in


def test_mirroring() -> None:
    batch = _batch()
    mirrored = augment(batch, AugmentConfig(turn=0, scale=0, shift=0, mirror=1, tint=0), _rng())
    torch.testing.assert_close(mirrored.target, batch.target.flip(-1), atol=1e-4, rtol=0)


def test_the_generator_decides() -> None:
    one, again, other = (augment(_batch(), AugmentConfig(), _rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.target, again.target)
    assert not torch.equal(one.target, other.target)
