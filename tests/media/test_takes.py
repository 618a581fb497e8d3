"""One take is recognised in other files, and two takes are told apart, on the bundled presenter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from media.audio import read_wav
from media.decode import read_frames
from media.normalise import normalise_recording
from media.takes import Take, compare, read_take
from problems import UnreadableMedia
from tests.media.generated import tone, write_media


class Presenter:
    """The bundled clip's frames, small, and her voice."""

    def __init__(self, clip: Path, folder: Path) -> None:
        self.frames = list(read_frames(clip, max_side=192))
        normalise_recording(clip, folder / "voice.wav")
        self.voice = read_wav(folder / "voice.wav")[:, None]

    def film(self, path: Path, begin: int, frames: int, change: Any = None, **options: Any) -> Path:
        """A file with some of the frames and their sound."""

        def picture(index: int) -> NDArray[np.uint8]:
            image = self.frames[begin + index]
            return image if change is None else np.ascontiguousarray(change(image))

        sound = self.voice[begin * 640 : (begin + frames) * 640]
        return write_media(path, picture, frames, **{"sound": sound, "rate": 16000, **options})


@pytest.fixture(scope="module")
def presenter(sample_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Presenter:
    return Presenter(sample_clip, tmp_path_factory.mktemp("presenter"))


@pytest.fixture(scope="module")
def whole(sample_clip: Path) -> Take:
    return read_take(sample_clip)


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _dim_mirror(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (255 * (image[:, ::-1] / 255.0) ** 1.5).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "begin", "frames", "change", "options"),
    [
        ("again.mp4", 0, 250, None, {"options": {"crf": "36", "preset": "ultrafast"}}),
        ("part.mkv", 63, 150, _small, {"options": {"crf": "30", "preset": "ultrafast"}}),
        ("mirror.mp4", 31, 150, _dim_mirror, {"options": {"crf": "28", "preset": "ultrafast"}}),
    ],
    ids=["encoded anew", "a part, scaled, in another container", "mirrored and darkened"],
)
def test_a_copy_is_recognised(
    presenter: Presenter,
    whole: Take,
    tmp_path: Path,
    name: str,
    begin: int,
    frames: int,
    change: Any,
    options: dict[str, Any],
) -> None:
    copy = read_take(presenter.film(tmp_path / name, begin, frames, change, **options))
    for shared in (compare(copy, whole), compare(Take.unpacked(copy.packed()), whole)):
        assert shared.parts == ("picture", "sound")
        assert min(shared.picture_s, shared.sound_s) > 4
    assert compare(whole, copy).parts == ("picture", "sound"), "also when the copy is the shorter one"


def test_one_of_the_two_is_enough(presenter: Presenter, whole: Take, tmp_path: Path) -> None:
    """A clip's picture under other words, and its sound under another picture."""
    dubbed = presenter.film(tmp_path / "dubbed.mp4", 0, 160, sound=presenter.voice[:1:-1][: 160 * 640])
    assert compare(read_take(dubbed), whole).parts == ("picture",)
    scrambled = np.random.default_rng(0).permutation(160)
    other = write_media(
        tmp_path / "other.mp4",
        lambda index: presenter.frames[scrambled[index]],
        160,
        sound=presenter.voice[: 160 * 640],
        rate=16000,
    )
    assert compare(read_take(other), whole).parts == ("sound",)


def test_another_take_is_another_take(presenter: Presenter, tmp_path: Path) -> None:
    """The same person in the same room, light and frame, with the same microphone."""
    one = read_take(presenter.film(tmp_path / "one.mp4", 0, 148))
    two = read_take(presenter.film(tmp_path / "two.mp4", 150, 148))
    for shared in (compare(one, two), compare(two, one)):
        assert shared.parts == ()
        assert (shared.picture_s, shared.sound_s) == (0, 0)


def test_what_stands_still_is_no_take(tmp_path: Path) -> None:
    """Two quiet files with one still picture have nothing in common that says anything."""
    still = np.full((64, 64, 3), 90, np.uint8)
    files = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for file in files:
        write_media(file, lambda _: still, 150, sound=np.zeros((6 * 16000, 1), np.float32), rate=16000)
    one, two = map(read_take, files)
    assert compare(one, two).parts == ()


def test_sound_alone_no_media_and_short_files(tmp_path: Path) -> None:
    tune = read_take(write_media(tmp_path / "tune.wav", None, 0, sound=tone(3), sound_codec="pcm_s16le"))
    assert (len(tune.picture), len(tune.sound) > 50) == (0, True)
    short = read_take(write_media(tmp_path / "short.mp4", lambda _: np.zeros((64, 64, 3), np.uint8), 3))
    assert compare(short, tune).parts == compare(tune, short).parts == ()
    assert len(Take.unpacked(short.packed()).sound) == 0
    (tmp_path / "none.mp4").write_bytes(b"no media")
    with pytest.raises(UnreadableMedia):
        read_take(tmp_path / "none.mp4")


@pytest.mark.slow
def test_real_takes(shared_clips: Path, tmp_path: Path) -> None:
    """No two of the real clips are one take, nor are two parts of one."""
    takes = [read_take(path) for path in sorted(shared_clips.glob("*.mp4"))]
    for index, one in enumerate(takes):
        for other in takes[index + 1 :]:
            assert compare(one, other).parts == ()
        half = len(one.picture) // 2, len(one.sound) // 2
        first, second = (
            Take(one.picture[: half[0]], one.sound[: half[1]]),
            Take(one.picture[half[0] :], one.sound[half[1] :]),
        )
        assert compare(first, second).parts == ()
        assert compare(first, one).parts == ("picture", "sound")
