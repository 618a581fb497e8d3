"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import os

# Before numpy, torch or numba is imported: the tests run tiny problems, on which more threads only cost.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_clips() -> Path:
    """Folder of real clips that some machines have beside the checkout; a test that asks for it skips elsewhere.

    Each such test has an equal one on generated data or on the bundled sample that does not skip.
    """
    folder = ROOT.parent / "shared" / "clips"
    if not any(folder.glob("*.mp4")):
        pytest.skip(f"no real clips in {folder}")
    return folder


@pytest.fixture(scope="session")
def sample_clip() -> Path:
    """The bundled presenter: 12 s of a rendered person who speaks, 512 x 512, 25 fps, with sound."""
    return ROOT / "studio" / "sample" / "presenter.mp4"


@pytest.fixture(scope="session")
def sample_recording() -> Path:
    """The bundled recording: another sentence, 16 kHz mono."""
    return ROOT / "studio" / "sample" / "recording.flac"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own ``LIKENESS_*`` variables must not change what the tests see."""
    for name in [name for name in os.environ if name.startswith("LIKENESS_")]:
        monkeypatch.delenv(name)
