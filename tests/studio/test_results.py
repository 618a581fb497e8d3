from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from evaluation.metrics import METRICS
from evaluation.sheet import SheetConfig
from studio.results import main, split_argument


def evaluation(folder: Path, name: str = "anna.mp4", **reenact: float) -> Path:
    folder.mkdir(parents=True)
    column: dict[str, Any] = {metric.key: 0.5 for metric in METRICS}
    content = {
        "reenact": column | {"psnr_hull": 28.25, "psnr_face": 22.0, "lip_r": 0.913} | reenact,
        "dub": column | {"lip_r": 0.6},
        "ceiling": column | {"lip_r": 0.97},
        "replay": column | {"lip_r": 0.02, "hs": None},
        "seconds": {"validate": 4.0, "fit": 60.0, "dub": 20.0, "personalize": 390.0, "measure": 30.0},
        "peak_rss_mb": 2048.0,
        "protocol": {
            "clip": name, "train_frames": 300, "held_out_frames": 200, "preset": "preview", "seed": 0,
            "dub_frames_per_second": 10.0,
        },
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(content))
    sheet = np.zeros((400 + 3 * SheetConfig().curve, 2000, 3), np.uint8)
    sheet[:400] = (0, 0, 255)  # where the person's frames are
    cv2.imwrite(str(folder / "sheet.png"), sheet)
    return folder


def test_the_page_holds_every_metric_of_every_clip(tmp_path: Path) -> None:
    one, two = evaluation(tmp_path / "a"), evaluation(tmp_path / "b", "ben.mp4")
    out = tmp_path / "docs" / "results.md"
    assert main([str(one), str(two), "--out", str(out)]) == 0
    page = out.read_text()
    assert "## anna.mp4" in page
    assert "## ben.mp4" in page
    assert "| `psnr_hull` | 28.2 | 0.5 | 0.5 | 0.5 | dB |" in page
    assert "| `lip_r` | 0.91 | 0.60 | 0.97 | 0.02 |  |" in page
    assert "| `hs` | 0.500 | 0.500 | 0.500 | - |  |" in page
    assert all(page.count(f"| `{metric.key}` |") == 3 for metric in METRICS)  # explained once, given twice
    assert page.count("Marks: all reached.") == 2
    assert "**6.5 minutes**" in page
    assert "**2.00 GiB**" in page


def test_missed_marks_are_published_too(tmp_path: Path) -> None:
    out = tmp_path / "results.md"
    assert main([str(evaluation(tmp_path / "a", psnr_hull=25.9)), "--out", str(out)]) == 0
    assert "Marks missed: reenact psnr_hull 25.9 is under 26.0." in out.read_text()


@pytest.mark.parametrize("faces", [False, True])
def test_faces_are_published_only_when_asked(tmp_path: Path, faces: bool) -> None:
    out = tmp_path / "results.md"
    assert main([str(evaluation(tmp_path / "a")), "--out", str(out), *(["--faces"] if faces else [])]) == 0
    assert "(results/anna.png)" in out.read_text()
    picture = cv2.imread(str(tmp_path / "results" / "anna.png"))
    assert picture.shape[1] == 1200
    assert (picture[..., 2] > 0).any() == faces


def test_an_unfinished_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "results.md"
    assert main([str(tmp_path / "empty"), "--out", str(out)]) == 1
    assert "no complete evaluation.json" in capsys.readouterr().err
    assert not out.exists()


def test_a_clip_may_name_its_own_training_frames() -> None:
    assert split_argument("a/b.mp4:200", 300) == (Path("a/b.mp4"), 200)
    assert split_argument("c:/b.mp4", 300) == (Path("c:/b.mp4"), 300)
