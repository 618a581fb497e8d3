from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rendering import general
from rendering.discriminator import DiscriminatorConfig
from rendering.export import load_renderer
from rendering.general import general_weights, train_general_renderer
from rendering.generator import GeneratorConfig
from rendering.people import PeopleDataset
from rendering.train import RendererConfig, train_renderer
from tests.rendering.moving_blobs import MovingBlobs
from tests.rendering.some_examples import SIZE, some_examples

SMALL = RendererConfig(
    size=SIZE,
    rate=2e-3,
    generator=GeneratorConfig(width=8, rank=16),
    discriminator=DiscriminatorConfig(width=4),
)


@pytest.mark.slow
def test_a_person_begins_better_with_what_others_taught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RendererConfig, "preset", staticmethod(lambda _: SMALL))
    people = PeopleDataset([some_examples(seed) for seed in range(3)])
    out = tmp_path / "general.safetensors"
    report = train_general_renderer(
        people,
        out,
        preset="preview",
        steps=120,
        batch=4,
        seed=2,
        device=torch.device("cpu"),
        work=tmp_path / "work",
    )
    assert report.steps == 120
    assert report.held_out["psnr_face"] > report.held_out["composite_psnr_face"] + 1
    assert (tmp_path / "work" / "held_out.png").is_file()
    trained = load_renderer(out)
    assert trained.memory.config.slots == 1  # nobody's memories are handed on
    assert not trained.memory.filled.any()
    assert trained.facts["preset"] == "preview"

    def tuned(start: Path | None, name: str) -> float:
        return train_renderer(
            MovingBlobs(), tmp_path / name, config=replace(SMALL, steps=20), seed=1, device=torch.device("cpu"),
            checkpoint=tmp_path / f"{name}.pt", start=start,
        ).held_out["psnr_face"]  # fmt: skip

    assert tuned(out, "with") > tuned(None, "without") + 1


def test_only_shipped_presets_have_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(general, "SHIPPED", tmp_path)
    assert general_weights("preview") is None
    (tmp_path / "preview.safetensors").touch()
    assert general_weights("preview") == tmp_path / "preview.safetensors"
    assert general_weights("best") is None
