from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.provenance import encode, halved, psnr, recoded
from benchmarks.scenes import invented
from media.decode import read_frames
from problems import InvalidParameter
from provenance.watermark import Watermark, read

PAYLOAD = 0xC0FFEE123456


@pytest.fixture(scope="module")
def plain(sample_clip: Path) -> list[NDArray[np.uint8]]:
    """The bundled presenter, 40 frames of 512 x 512."""
    return list(read_frames(sample_clip, stop=40))


@pytest.fixture(scope="module")
def marked(
    plain: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory
) -> list[NDArray[np.uint8]]:
    """The same with a mark, written as the product writes it."""
    folder = tmp_path_factory.mktemp("marked")
    encode(Watermark(PAYLOAD).marked(plain), folder / "video.mp4")
    return list(read_frames(folder / "video.mp4"))


def test_one_frame_is_enough_without_an_attack(marked: list[NDArray[np.uint8]]) -> None:
    reading = read(marked[-1:])
    assert reading.payload == PAYLOAD
    assert reading.frames == 1
    assert reading.part is None
    assert 0.6 < reading.confidence <= 1.0


@pytest.mark.parametrize("crf", [23, 28])
def test_it_survives_h264(marked: list[NDArray[np.uint8]], tmp_path: Path, crf: int) -> None:
    assert read(recoded(marked, tmp_path, crf), search=False).payload == PAYLOAD


def test_it_survives_half_size_and_h264_together(marked: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    assert read(halved(marked)[:4], search=False).payload == PAYLOAD
    assert read(recoded(halved(marked), tmp_path, 28), search=False).payload == PAYLOAD


@pytest.mark.parametrize(
    ("kind", "size", "seed"),
    [("grain", (512, 512), 12), ("texture", (512, 512), 16), ("texture", (640, 480), 17)],
)
def test_it_survives_them_where_codecs_spare_least(
    kind: str, size: tuple[int, int], seed: int, tmp_path: Path
) -> None:
    encode(Watermark(PAYLOAD).marked(invented(kind, 25, size, seed)), tmp_path / "video.mp4")
    small = halved(list(read_frames(tmp_path / "video.mp4")))
    assert read(recoded(small, tmp_path, 28), search=False).payload == PAYLOAD


def test_a_part_of_a_texture_survives_h264(tmp_path: Path) -> None:
    encode(Watermark(PAYLOAD).marked(invented("texture", 25, seed=16)), tmp_path / "video.mp4")
    part = [np.ascontiguousarray(image[26:486, 16:496]) for image in read_frames(tmp_path / "video.mp4")]
    assert read(recoded(part, tmp_path, 28)).payload == PAYLOAD


def test_frames_whose_waves_were_moved_do_not_outvote_the_others(plain: list[NDArray[np.uint8]]) -> None:
    # As a codec does it where the picture moves: the waves go along until the next key frame.
    written = [Watermark(PAYLOAD).mark(image) for image in plain[:24]]
    moved = [np.roll(image, (5 * k, 9 * k), (0, 1)) for k, image in enumerate(written)]
    assert read(written[:2] + moved[2:], search=False).payload == PAYLOAD


def test_light_that_falls_off_is_no_wave() -> None:
    y, x = np.mgrid[:256, :256]
    for wall in (40 + 0.6 * x, 200 - 0.5 * y, 30 + 0.4 * x + 0.4 * y):
        frame = np.repeat(wall.astype(np.uint8)[..., None], 3, 2)
        reading = read([Watermark(PAYLOAD).mark(frame)], search=False)
        assert reading.payload == PAYLOAD
        assert reading.confidence > 0.9


def test_it_is_found_in_a_part_of_the_picture(marked: list[NDArray[np.uint8]]) -> None:
    part = [np.ascontiguousarray(image[26:486, 16:496]) for image in marked[:9]]
    assert read(part, search=False).payload is None
    reading = read(part)
    assert reading.payload == PAYLOAD
    assert reading.part is not None
    np.testing.assert_allclose(reading.part, (16 / 512, 26 / 512, 480 / 512, 460 / 512), atol=0.016)


def test_a_real_clip(shared_clips: Path, tmp_path: Path) -> None:
    frames = list(read_frames(shared_clips / "german_male_20s.mp4", stop=40))
    assert read(frames, search=False).payload is None
    written = list(Watermark(PAYLOAD).marked(frames))
    assert psnr(frames, written) > 45
    encode(written, tmp_path / "video.mp4")
    small = halved(list(read_frames(tmp_path / "video.mp4")))
    assert read(recoded(small, tmp_path, 28), search=False).payload == PAYLOAD


def test_nothing_is_found_where_nothing_is(plain: list[NDArray[np.uint8]]) -> None:
    reading = read(plain[:5])
    assert reading.payload is None
    assert reading.confidence == 0.0
    assert read([]).payload is None
    for level in (0, 128, 255):
        assert read([np.full((64, 64, 3), level, np.uint8)] * 2).payload is None
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (256, 256, 3), np.uint8) for _ in range(15)]
    assert all(read([image], search=False).payload is None for image in noise)


def test_bits_of_unmarked_pictures_look_like_coin_flips(plain: list[NDArray[np.uint8]]) -> None:
    # The rate of false positives rests on it: the CRC of such bits fits by chance only.
    wanted = np.unpackbits(np.frombuffer(PAYLOAD.to_bytes(6, "big"), np.uint8))
    shifted = [np.roll(image, (3 * k, 5 * k), (0, 1)) for k, image in enumerate(plain)]
    agreed = [(read([image], search=False).bits == wanted).mean() for image in shifted]
    assert abs(np.mean(agreed) - 0.5) < 0.06


@pytest.mark.parametrize("payload", [0, 1, (1 << 48) - 1])
def test_every_number_of_48_bits_fits(payload: int) -> None:
    image = invented("grain", 1, (320, 240))[0]
    assert read([Watermark(payload).mark(image)], search=False).payload == payload


@pytest.mark.parametrize("payload", [-1, 1 << 48])
def test_no_other_number_does(payload: int) -> None:
    with pytest.raises(InvalidParameter, match="48 bits"):
        Watermark(payload)


@pytest.mark.parametrize("size", [(96, 128), (301, 255), (1280, 720), (720, 1280)])
def test_any_size(size: tuple[int, int]) -> None:
    frames = invented("texture", 12, size)
    written = list(Watermark(PAYLOAD).marked(frames))
    assert written[0].shape == frames[0].shape
    assert read(written, search=False).payload == PAYLOAD


def test_it_is_faint(plain: list[NDArray[np.uint8]]) -> None:
    written = list(Watermark(PAYLOAD).marked(plain))
    assert len(written) == len(plain)
    assert psnr(plain, written) > 45
    flat = invented("bare wall", 3)
    moved = np.abs(np.stack(list(Watermark(PAYLOAD).marked(flat))).astype(int) - np.stack(flat))
    wall = moved[:, :40]  # nothing hides it there
    assert wall.max() <= 2  # where all three waves meet
    assert wall.mean() < 0.6
    before = plain[0].copy()
    Watermark(PAYLOAD).mark(plain[0])
    np.testing.assert_array_equal(plain[0], before)


def test_its_moves_do_not_flicker(plain: list[NDArray[np.uint8]]) -> None:
    random = np.random.default_rng(0)
    grainy = [
        np.clip(plain[0] + random.normal(0, 2, plain[0].shape), 0, 255).astype(np.uint8) for _ in range(12)
    ]
    moves = np.stack(
        [b.astype(int) - a for a, b in zip(grainy, Watermark(PAYLOAD).marked(grainy), strict=True)]
    )
    assert np.abs(np.diff(moves, axis=0)).mean() < 0.35 * np.abs(moves).mean()


def test_alpha_is_kept() -> None:
    image = np.dstack([invented("grain", 1, (256, 256))[0], np.full((256, 256), 77, np.uint8)])
    written = Watermark(PAYLOAD).mark(image)
    np.testing.assert_array_equal(written[..., 3], image[..., 3])
    assert read([np.ascontiguousarray(written[..., :3])], search=False).payload == PAYLOAD


def test_an_error_of_the_frames_reaches_their_taker() -> None:
    def broken() -> object:
        yield np.zeros((64, 64, 3), np.uint8)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(Watermark(1).marked(broken()))  # type: ignore[arg-type]
