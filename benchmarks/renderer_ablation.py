"""What each part of the network is worth: ``python -m benchmarks.renderer_ablation CLIP --work DIR -o docs/rendering``.

One network a row, each without one part, all trained on the same clip for as many steps and judged on the frames after
it, driven by their own motion. Rows that are there already are not trained again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.identity import describe_frames
from evaluation.scores import Take, score
from evaluation.sheet import save_png
from faces.camera import Camera
from faces.identity import FaceDescriptor
from faces.mouth import LEFT_EYE, LIPS, RIGHT_EYE, eye_aperture, mouth_opening
from faces.texture import Texture
from faces.track import FaceTrack
from fitting.fit import Person, fit_landmarks
from fitting.landmarks import FaceLandmarker, Landmarks
from fitting.photometric import PhotometricFit
from media.frames import FrameStore
from motion.matching import match_sources
from rendering.batches import RenderBatch
from rendering.compositor import Compositor
from rendering.dataset import ClipDataset, DatasetConfig, draw_examples
from rendering.examples import Examples
from rendering.export import OnnxGenerator, export_onnx, load_renderer
from rendering.general import general_weights
from rendering.renderer import FrameRenderer
from rendering.surroundings import Surroundings
from rendering.train import RendererConfig, train_renderer
from training.runtime import limit_threads
from workers.stages import fit, render, validate

Image = NDArray[np.uint8]
HELD_OUT = 150
"""Frames after the clip that are judged, at most."""


@dataclass(frozen=True)
class Row:
    """One network."""

    name: str
    change: Callable[[RendererConfig], RendererConfig] = lambda config: config
    """Of the training."""
    see: Callable[[RenderBatch], RenderBatch] | None = None
    """What it sees instead of a batch."""
    general: bool = False
    """Begins from the shipped general weights."""
    memory: bool = True
    textured: bool = True


def _one_frame(batch: RenderBatch) -> RenderBatch:
    return replace(batch, composite_window=batch.composite[:, None].expand_as(batch.composite_window))


def _no_attention(config: RendererConfig) -> RendererConfig:
    # A gate that far on its closed side stays shut: the picture is the painted colour alone.
    return replace(
        config,
        generator=replace(config.generator, attention=1e-6),
        loss=replace(config.loss, attention_mean=0.0, attention_keep=0.0, attention_smooth=0.0),
    )


ROWS = (
    Row("from the general weights", general=True),
    Row("from scratch"),
    Row("... no memory", memory=False),
    Row("... one frame, not three", see=_one_frame),
    Row("... no attention", _no_attention),
    Row("... no texture under it", textured=False),
    # About its share when every pixel weighs the same.
    Row(
        "... mouth and eyes not weighted",
        lambda config: replace(config, loss=replace(config.loss, mouth_share=0.08, eyes_share=0.05)),
    ),
    Row("... no discriminator", lambda c: replace(c, adversarial_start=1.0)),
)  # fmt: skip


class Seen:
    """A clip's dataset, as one row sees it."""

    def __init__(self, dataset: ClipDataset, row: Row) -> None:
        self._dataset, self._row = dataset, row
        self._mean = dataset.values.mean(0)

    def __len__(self) -> int:
        return len(self._dataset)

    @property
    def values(self) -> Tensor:
        return self._dataset.values

    @property
    def weights(self) -> Tensor:
        return self._dataset.weights

    @property
    def held_out(self) -> RenderBatch:
        return self._as_seen(self._dataset.held_out)

    def batch(self, indices: Tensor, generator: torch.Generator) -> RenderBatch:
        return self._as_seen(self._dataset.batch(indices, generator))

    def _as_seen(self, batch: RenderBatch) -> RenderBatch:
        if not self._row.memory:
            batch = replace(batch, value=self._mean.expand_as(batch.value))
        return self._row.see(batch) if self._row.see else batch


class Painting(OnnxGenerator):
    """A row's network, which is shown what it was shown in training."""

    def __init__(self, path: Path, row: Row, mean: NDArray[np.float32]) -> None:
        super().__init__(path, threads=1)
        self._row, self._mean = row, mean

    def recall(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self._row.memory:
            return np.broadcast_to(self._mean, (len(frames), len(self._mean))).astype(np.float32)
        return super().recall(frames)

    def paint(
        self, frames: NDArray[np.float32], value: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if self._row.see is _one_frame:
            frames = frames.copy()
            frames[:, 0:3] = frames[:, 3:6] = frames[:, 6:9]
        return super().paint(frames, value)


class Clip:
    """One clip: learnt from its first frames, judged on the next ones."""

    def __init__(self, path: Path, work: Path, frames: int) -> None:
        person = work / "person"
        if not (person / "surroundings.safetensors").is_file():
            person.mkdir(parents=True, exist_ok=True)
            validate.run(path, person)
            fit.run(person, frames=frames, preset="preview", seed=0)
            render.run(person, preset="instant", seed=0)
        self.work = work
        track = FaceTrack.load(person / "track.safetensors")
        texture = Texture.load(person / "texture.safetensors")
        store = FrameStore.from_clip(person / "clip.mp4", stop=len(track))
        self.rest = FrameStore.from_clip(person / "clip.mp4", start=len(track), stop=len(track) + HELD_OUT)
        make = partial(
            Compositor, track, frames=store,
            surroundings=Surroundings.load(person / "surroundings.safetensors"),
        )  # fmt: skip
        flat = np.broadcast_to(
            texture.image[texture.seen > 128].mean(0).astype(np.uint8), texture.image.shape
        )
        self.layers = make(texture)
        self.plain = make(Texture(np.ascontiguousarray(flat), texture.seen))
        self.real, self.descriptors = _found(self.rest)
        driven = fit_landmarks(self.real, store.size, person=Person.of(track))
        self.motion = PhotometricFit(track, store).refine(driven, self.rest).motion
        self.sources = match_sources(self.motion, track.motion, track.valid)
        _, described = _found(list(store)[::10])
        self.enrolled = described.mean(0)

    def dataset(self, row: Row) -> ClipDataset:
        folder = self.work / ("examples" if row.textured else "examples-plain")
        if not folder.is_dir():
            config = DatasetConfig(size=RendererConfig.preset("preview").size, passes=2)
            draw_examples(self.layers if row.textured else self.plain, config=config).save(folder)
        return ClipDataset(Examples.load(folder))

    def judge(self, frames: list[Image]) -> dict[str, Any]:
        seen, descriptors = _found(frames)
        height, width = frames[0].shape[:2]
        return score(
            Take(iter(self.rest), self.real.points, self.descriptors),
            Take(iter(frames), seen.points, descriptors),
            self.enrolled,
            camera=Camera.for_image(width, height),
        ).as_dict()


def _found(frames: Any) -> tuple[Landmarks, NDArray[Any]]:
    describe = FaceDescriptor().describe
    with FaceLandmarker() as landmarker:
        landmarks = landmarker.track(iter(frames))
    return landmarks, describe_frames(iter(frames), landmarks.points, describe)


def run(path: Path, work: Path, *, frames: int = 300, steps: int = 600) -> dict[str, dict[str, Any]]:
    """Every row's scores (``evaluation.scores``) on the frames after the clip, and ``within_...`` on frames inside.

    Writes ``rows.json`` and each row's pictures of the same four frames into ``work``.
    """
    limit_threads()
    clip = Clip(path, work, frames)
    store = work / "rows.json"
    rows: dict[str, dict[str, Any]] = json.loads(store.read_text()) if store.is_file() else {}
    moments = _moments(clip.real.points)
    _keep(work, "real", [clip.rest[t] for t in moments], moments, clip)
    for row in (Row("the layers alone"), *ROWS):
        if row.name in rows:
            continue
        facts: dict[str, Any] = {}
        if row.name == "the layers alone":
            renderer = FrameRenderer(clip.layers, None)
        else:
            network, facts = _train(row, clip, steps)
            renderer = FrameRenderer(clip.layers if row.textured else clip.plain, network)
        pictures = list(renderer.render([(clip.motion, clip.sources)]))
        _keep(work, row.name, [pictures[t] for t in moments], moments, clip)
        rows[row.name] = clip.judge(pictures) | facts
        store.write_text(json.dumps(rows, indent=1))
        print(row.name, {k: v for k, v in rows[row.name].items() if "psnr" in k or "lip_r" in k}, flush=True)
    return rows


def _train(row: Row, clip: Clip, steps: int) -> tuple[Painting, dict[str, Any]]:
    name = row.name.strip(". ").replace(" ", "-").replace(",", "")
    folder = clip.work / name
    folder.mkdir(exist_ok=True)
    config = replace(
        RendererConfig.preset("preview"),
        steps=steps,
        max_seconds=float("inf"),
        patience=0,
        preview_every=steps,
    )
    config = row.change(config)
    if not row.memory:
        config = replace(config, recalled=0.0)
    dataset = Seen(clip.dataset(row), row)
    report = train_renderer(
        dataset, folder / "renderer.safetensors", config=config, seed=0, device=torch.device("cpu"),
        checkpoint=folder / "checkpoint.pt", start=general_weights("preview") if row.general else None,
    )  # fmt: skip
    export_onnx(load_renderer(folder / "renderer.safetensors"), folder / "generator.onnx")
    mean = dataset.values.mean(0).numpy()
    within = {f"within_{key}": round(value, 3) for key, value in report.held_out.items()}
    facts = {
        **within,
        "mouth_share": round(report.metrics["mouth_share"], 3),
        "train_s": round(report.seconds),
    }
    return Painting(folder / "generator.onnx", row, mean), facts


def _moments(points: NDArray[np.float32]) -> list[int]:
    """The widest mouth, a middling one, closed eyes, the farthest from the mean place."""
    opening, eyes = mouth_opening(points), eye_aperture(points)
    place = points.mean(1)
    away = np.linalg.norm(place - place.mean(0), axis=1)
    middling = int(np.abs(opening - np.percentile(opening, 75)).argmin())
    return [int(opening.argmax()), middling, int(eyes.argmin()), int(away.argmax())]


def _keep(work: Path, name: str, pictures: list[Image], moments: list[int], clip: Clip) -> None:
    """Mouth and eyes of each picture, enlarged, side by side."""
    cells = []
    for picture, t in zip(pictures, moments, strict=True):
        points = clip.real.points[t]
        around = points[[*LIPS, *LEFT_EYE, *RIGHT_EYE]]
        low, high = around.min(0), around.max(0)
        side = 1.25 * (high - low).max()
        left, top = ((low + high) / 2 - side / 2).astype(int).clip(0)
        cut = picture[top : top + int(side), left : left + int(side)]
        cells.append(cv2.resize(cut, (240, 240), interpolation=cv2.INTER_CUBIC))
    save_png(np.hstack(cells), work / f"{name.strip('. ').replace(' ', '-').replace(',', '')}.png")


def table(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Markdown."""
    heads = ("", "within: face, mouth dB", "after: hull, face, mouth dB", "lip r", "eye r", "mouth sharpness")
    yield f"| {' | '.join((*heads, 'identity', 'jitter'))} |"
    yield "|" + "---|" * 8
    layers = next((row for row in rows.values() if "within_composite_psnr_face" in row), {})
    for name, row in rows.items():
        kind = "within_" if "within_psnr_face" in row else "within_composite_"
        inside = row if kind == "within_" else layers
        within = ", ".join(
            f"{inside.get(f'{kind}psnr_{part}', float('nan')):.1f}" for part in ("face", "mouth")
        )
        after = ", ".join(f"{row[f'psnr_{part}']:.2f}" for part in ("hull", "face", "mouth"))
        rest = " | ".join(
            f"{row[key]:.2f}" if row[key] is not None else "-"
            for key in ("lip_r", "eye_aperture_r", "sharpness_mouth_ratio")
        )
        yield f"| {name} | {within} | {after} | {rest} | {row['identity_distance']:.3f} | {row['jitter_ratio']:.2f} |"


def sheet(work: Path, names: list[str]) -> Image:
    """The rows' pictures under one another, the real frames first."""
    strips = []
    for name in ("real", *names):
        strip = cv2.imread(str(work / f"{name.strip('. ').replace(' ', '-').replace(',', '')}.png"))
        label = np.full((22, strip.shape[1], 3), 255, np.uint8)
        cv2.putText(
            label, name.strip(". "), (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA
        )
        strips += [label, strip]
    return cv2.cvtColor(np.vstack(strips), cv2.COLOR_BGR2RGB).astype(np.uint8)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.renderer_ablation", description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=300, help="learn from so many")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("-o", "--out", type=Path, help="folder for the pictures")
    asked = parser.parse_args()
    rows = run(asked.clip, asked.work, frames=asked.frames, steps=asked.steps)
    print("\n".join(table(rows)))
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        save_png(sheet(asked.work, list(rows)), asked.out / f"ablation-{asked.clip.stem}.png")


if __name__ == "__main__":
    main()
