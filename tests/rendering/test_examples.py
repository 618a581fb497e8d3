from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from problems import InvalidPackage
from rendering.examples import Examples
from tests.rendering.some_examples import SIZE, some_examples


def test_a_batch_shows_the_window_before_each_frame() -> None:
    examples = some_examples(seed=1)
    batch = examples.batch(np.array([0, 4]), np.array([1, 0]))
    assert batch.composite_window.shape == (2, 3, 3, SIZE, SIZE)
    for row, numbers, which in ((0, (0, 0, 0), 1), (1, (2, 3, 4), 0)):
        for back, number in enumerate(numbers):
            expected = torch.from_numpy(examples.composite[which, number]).permute(2, 0, 1) / 127.5 - 1
            torch.testing.assert_close(batch.composite_window[row, back], expected)
    assert batch.frame.tolist() == examples.frame[[0, 4]].tolist()
    assert batch.valid[0].sum() == (SIZE - 4) * SIZE  # four columns lie outside of the frame


def test_saved_and_mapped_it_is_the_same(tmp_path: Path) -> None:
    examples = some_examples(seed=2)
    examples.save(tmp_path / "one")
    loaded = Examples.load(tmp_path / "one")
    assert isinstance(loaded.composite, np.memmap)
    for name, value in examples._arrays().items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    rows, passes = np.array([1, 3]), np.array([0, 1])
    for mine, other in zip(
        vars(loaded.batch(rows, passes)).values(), vars(examples.batch(rows, passes)).values(), strict=True
    ):
        assert torch.equal(mine, other)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_half_written_folder_is_refused(tmp_path: Path) -> None:
    some_examples(seed=2).save(tmp_path / "one")
    (tmp_path / "one" / "values.npy").unlink()
    with pytest.raises(InvalidPackage, match="values"):
        Examples.load(tmp_path / "one")
