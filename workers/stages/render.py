"""Stage render: clip, track and texture -> surroundings, renderer (safetensors) and generator.onnx, resumable."""

from __future__ import annotations

from pathlib import Path

from faces.texture import Texture
from faces.track import FaceTrack
from media.frames import FrameStore
from rendering.compositor import Compositor, CompositorConfig
from rendering.dataset import ClipDataset, DatasetConfig
from rendering.export import export_onnx, load_renderer
from rendering.follow import learn_surroundings
from rendering.general import general_weights
from rendering.portraits import layers_beside_real, write_picture
from rendering.previews import TrainingPreviews
from rendering.train import RendererConfig, RendererReport, train_renderer
from training.progress import Progress, silent
from training.runtime import limit_threads, pick_device, seed_everything
from workers.presets import Preset, preset_named


def run(
    work: Path,
    *,
    preset: str,
    seed: int,
    device: str = "auto",
    progress: Progress = silent,
    start: Path | None = None,
    config: RendererConfig | None = None,
) -> RendererReport | None:
    """Learn the surroundings and train the generator; a checkpoint in ``work/checkpoints/render`` is continued.

    Args:
        start: general weights to begin from; the shipped ones of the preset by default.
        config: overrides the preset's training (tests and benchmarks), which then begins from nothing by default.
    """
    settings = preset_named(preset)
    limit_threads()
    seed_everything(seed)
    compositor = layers_of(work, settings, seed=seed, progress=progress)
    if not settings.passes:  # preset instant: the layers are all
        write_picture(lambda: layers_beside_real(compositor), work / "previews" / "preview-0.jpg")
        return None
    start = start or (general_weights(preset) if config is None else None)
    config = config or RendererConfig.preset(preset)
    dataset = ClipDataset.of(
        compositor,
        config=DatasetConfig(size=config.size, passes=settings.passes),
        seed=seed,
        progress=progress,
    )
    where = pick_device(device)
    report = train_renderer(
        dataset.to(where),
        work / "renderer.safetensors",
        config=config,
        seed=seed,
        device=where,
        start=start,
        checkpoint=work / "checkpoints" / "render" / "checkpoint.pt",
        progress=progress,
        preview=work / "previews" / "held_out.png",
        previews=TrainingPreviews(work / "previews"),
    )
    export_onnx(load_renderer(work / "renderer.safetensors"), work / "generator.onnx")
    return report


def layers_of(work: Path, settings: Preset, *, seed: int, progress: Progress = silent) -> Compositor:
    """The layers of a fitted clip in ``work``; its surroundings are learnt and written there."""
    track = FaceTrack.load(work / "track.safetensors")
    compositor = Compositor(
        track,
        Texture.load(work / "texture.safetensors"),
        FrameStore.from_clip(work / "clip.mp4", stop=len(track)),
        config=CompositorConfig(max_crop_px=settings.max_crop_px),
    )
    compositor.surroundings = learn_surroundings(compositor, seed=seed, progress=progress)
    compositor.surroundings.save(work / "surroundings.safetensors")
    return compositor
