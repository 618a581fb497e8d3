"""Pictures of a training under way: when they are made, what they show, and that they change nothing."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rendering.batches import RenderBatch
from rendering.previews import CELL, KEPT, TrainingPreviews, comparison
from rendering.train import train_renderer
from tests.rendering.moving_blobs import SIZE, MovingBlobs
from tests.rendering.test_train import TINY


def frames(colour: int) -> np.ndarray:
    return np.full((3, 32, 32, 3), colour, np.uint8)


def test_real_stands_over_generated() -> None:
    image = comparison(frames(200), frames(60), "generated, step 7")
    assert image.shape == (2 * (CELL + 24), 3 * CELL, 3)
    assert (image[24 : 24 + CELL] == 200).all()
    assert (image[-CELL:] == 60).all()
    assert image.shape[1] <= 900


def test_a_picture_is_due_once_in_a_while_and_at_the_end(tmp_path: Path) -> None:
    painted: list[int] = []
    previews = TrainingPreviews(tmp_path / "previews")

    def offer(step: int, last: bool = False) -> None:
        previews.offer(step, lambda: (painted.append(step) or frames(9), frames(8)), last=last)

    for step in range(1, 5):
        offer(step)
    offer(5, last=True)
    assert painted == [1, 5]
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == [
        "preview-1.jpg",
        "preview-5.jpg",
    ]


def test_slow_painting_is_done_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, painted = [0.0], []
    monkeypatch.setattr("rendering.previews.time.monotonic", lambda: clock[0])
    previews = TrainingPreviews(tmp_path)

    def paint() -> tuple[np.ndarray, np.ndarray]:
        painted.append(clock[0])
        clock[0] += 4.0
        return frames(1), frames(2)

    for step in range(1000):
        previews.offer(step, paint)
        clock[0] += 1.0
    assert len(painted) == 5
    assert 4.0 * len(painted) / clock[0] <= 0.025  # a fiftieth, and the first, which can't know yet


def test_only_the_newest_stay(tmp_path: Path) -> None:
    previews = TrainingPreviews(tmp_path)
    (tmp_path / "held_out.png").write_bytes(b"another file")
    for step in range(95, 95 + KEPT + 3):
        previews.offer(step, lambda: (frames(1), frames(2)), last=True)
    kept = sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".jpg")
    assert kept == sorted(f"preview-{step}.jpg" for step in range(98, 98 + KEPT))
    assert (tmp_path / "held_out.png").exists()


@pytest.mark.parametrize("error", [RuntimeError("no memory"), OSError(28, "disk full"), ValueError("shape")])
def test_what_goes_wrong_is_logged_and_passed_over(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> tuple[np.ndarray, np.ndarray]:
        raise error

    with caplog.at_level(logging.WARNING, "likeness.previews"):
        TrainingPreviews(tmp_path).offer(3, fail)
    assert "step 3" in caplog.text
    assert list(tmp_path.iterdir()) == []


class NothingHeldOut(MovingBlobs):
    """A clip too short to hold frames out."""

    @property
    def held_out(self) -> RenderBatch:
        return self._take(torch.arange(0))


def weights(out: Path, previews: TrainingPreviews | None, dataset: MovingBlobs) -> dict[str, torch.Tensor]:
    train_renderer(
        dataset, out / "renderer.safetensors", config=replace(TINY, steps=6), seed=3,
        device=torch.device("cpu"), checkpoint=out / "checkpoint.pt", previews=previews,
    )  # fmt: skip
    return load_file(out / "renderer.safetensors")


@pytest.mark.parametrize(
    "dataset", [MovingBlobs(12), NothingHeldOut(12)], ids=["held out", "nothing held out"]
)
def test_training_with_and_without_pictures_ends_with_the_same_weights(
    tmp_path: Path, dataset: MovingBlobs
) -> None:
    plain = weights(tmp_path / "plain", None, dataset)
    shown = weights(tmp_path / "shown", TrainingPreviews(tmp_path / "shown", every_s=0.0), dataset)
    assert plain.keys() == shown.keys()
    assert all(torch.equal(plain[name], shown[name]) for name in plain)
    names = sorted(path.name for path in (tmp_path / "shown").glob("*.jpg"))
    assert names[0] == "preview-1.jpg"
    assert names[-1] == "preview-6.jpg"


def test_the_pictures_show_the_held_out_frames(tmp_path: Path) -> None:
    dataset = MovingBlobs(12)
    weights(tmp_path, TrainingPreviews(tmp_path), dataset)
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / "preview-6.jpg")), cv2.COLOR_BGR2RGB)
    first = ((dataset.held_out.target[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    shown = cv2.resize(picture[24 : 24 + CELL, :CELL], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert np.abs(shown - first).mean() < 6
