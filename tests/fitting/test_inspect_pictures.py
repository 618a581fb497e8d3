"""Pictures of an inspection: the frames that a finding names, the faces in them, and the overview."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fitting.inspect import inspect_clip
from fitting.inspect.pictures import CELL_WIDTH, MOST, OVERVIEW, WIDEST, InspectionPictures
from tests.fitting.inspected_clip import QUICK, clip_of, speech
from tests.fitting.moving_face import except_in, moving_face, scenery
from tests.media.generated import write_media
from training.progress import silent
from workers.runner import STAGES, StageContext


def inspected(clip: Path, folder: Path) -> dict[str, Any]:
    pictures = InspectionPictures()
    inspection = inspect_clip(clip, config=QUICK, watch=pictures.watch)
    report = pictures.write(inspection, folder)
    names = [name for finding in report["findings"] for name in finding["pictures"]]
    written = sorted(path.name for path in folder.iterdir())
    assert written == sorted(names + [OVERVIEW] * (report["overview"] is not None))
    assert {**report, "findings": [], "overview": None} == {
        **inspection.as_dict(),
        "findings": [],
        "overview": None,
    }
    return json.loads(json.dumps(report, allow_nan=False))


def amber(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the frame round the main face is drawn."""
    return np.linalg.norm(image.astype(float) - [0, 196, 255], axis=-1) < 60


def test_a_finding_shows_the_frames_it_names(tmp_path: Path) -> None:
    clip = clip_of(tmp_path, except_in(range(40, 55), moving_face, scenery))
    (tmp_path / "out").mkdir()
    report = inspected(clip, tmp_path / "out")
    [missing] = [finding for finding in report["findings"] if finding["code"] == "face_missing"]
    assert len(missing["pictures"]) == MOST
    frames = [int(name.removesuffix(".jpg").split("-")[-1]) for name in missing["pictures"]]
    assert set(frames) <= set(missing["frames"])
    assert frames[0] == missing["frames"][0]
    assert frames[-1] == missing["frames"][-1]
    for index, name in zip(frames, missing["pictures"], strict=True):
        image = cv2.imread(str(tmp_path / "out" / name))[:-22]
        assert image.shape == (320, 320, 3)
        expected = cv2.cvtColor(scenery(index), cv2.COLOR_RGB2BGR)
        assert np.abs(image.astype(float) - expected).mean() < 8
        assert amber(image).sum() < 20
    # What is no matter of frames has no picture.
    assert all(finding["pictures"] == [] for finding in report["findings"] if not finding["frames"])


def test_every_face_is_framed_where_it_is(tmp_path: Path) -> None:
    def two(index: int) -> NDArray[np.uint8]:
        return np.concatenate([moving_face(index), moving_face(index + 40)], 1)

    (tmp_path / "out").mkdir()
    report = inspected(clip_of(tmp_path, two), tmp_path / "out")
    assert report["trainable"] is False
    [several] = [finding for finding in report["findings"] if finding["code"] == "several_faces"]
    image = cv2.imread(str(tmp_path / "out" / several["pictures"][0]))
    assert image.shape[1] == WIDEST
    main = np.argwhere(amber(image[:-22]))
    other = np.argwhere(np.linalg.norm(image[:-22].astype(float) - [60, 80, 255], axis=-1) < 60)
    middle = WIDEST / 2
    assert len(main) > 100
    assert len(other) > 100
    assert (np.median(main[:, 1]) < middle) != (np.median(other[:, 1]) < middle)


def test_the_overview_shows_the_clip_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    inspected(clip_of(tmp_path, except_in(range(45, 90), moving_face, scenery)), tmp_path / "out")
    page = cv2.imread(str(tmp_path / "out" / OVERVIEW))
    assert page.shape[1] == 4 * CELL_WIDTH
    high = page.shape[0] // 2
    framed = [
        amber(page[top : top + high, left : left + CELL_WIDTH]).sum() > 100
        for top in (0, high)
        for left in range(0, 4 * CELL_WIDTH, CELL_WIDTH)
    ]
    assert framed == [True] * 4 + [False] * 4


def test_an_upright_clip_stays_small(tmp_path: Path) -> None:
    def tall(index: int) -> NDArray[np.uint8]:
        return np.concatenate([scenery(index, 640)] * 2, 0)

    (tmp_path / "out").mkdir()
    report = inspected(clip_of(tmp_path, tall, 30), tmp_path / "out")
    [none] = [finding for finding in report["findings"] if finding["code"] == "no_face"]
    assert cv2.imread(str(tmp_path / "out" / none["pictures"][0])).shape == (640 + 22, 320, 3)


def _stage(clip: Path, work: Path) -> dict[str, Any]:
    work.mkdir()
    return dict(STAGES["inspect"].run(StageContext(work, {"clip": clip}, {}, "cpu", silent)) or {})


def test_the_stage_writes_them_for_a_clip_that_is_refused(tmp_path: Path) -> None:
    report = _stage(clip_of(tmp_path, scenery, 40, sound=None), tmp_path / "work")
    assert report["trainable"] is False
    by_code = {finding["code"]: finding["pictures"] for finding in report["findings"]}
    assert by_code["no_sound"] == []
    assert len(by_code["no_face"]) == MOST
    assert all((tmp_path / "work" / name).is_file() for name in [*by_code["no_face"], report["overview"]])


def test_what_is_not_decoded_has_a_report_without_pictures(tmp_path: Path) -> None:
    write_media(tmp_path / "clip.mp4", sound=speech(1.0))
    report = _stage(tmp_path / "clip.mp4", tmp_path / "work")
    assert [(finding["code"], finding["pictures"]) for finding in report["findings"]] == [("no_video", [])]
    assert report["overview"] is None
    assert list((tmp_path / "work").iterdir()) == []
