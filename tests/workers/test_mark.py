from __future__ import annotations

from pathlib import Path

import pytest

from likeness.settings import Settings
from problems import InvalidParameter
from provenance.credentials import DEVELOPMENT_FILE, development
from workers.mark import Mark, credentials_of, spelled, watermark_id


def test_the_number_follows_from_the_id() -> None:
    assert spelled(watermark_id("job_1")) == "bb2632af3674"
    assert spelled(5) == "000000000005"
    assert 0 <= watermark_id("") < 1 << 48


def test_without_settings_a_certificate_is_made_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    made = credentials_of(settings)
    assert made.development
    assert (tmp_path / "provenance" / DEVELOPMENT_FILE).is_file()
    assert credentials_of(settings) == made


def test_the_operators_own_is_taken(tmp_path: Path) -> None:
    own = development(tmp_path / "elsewhere")
    (tmp_path / "chain.pem").write_text(own.chain)
    (tmp_path / "key.pem").write_text(own.key)
    given = {"c2pa_certificate": tmp_path / "chain.pem", "c2pa_key": tmp_path / "key.pem"}
    assert credentials_of(Settings.load(data_dir=tmp_path / "data", **given)) == own
    assert not (tmp_path / "data").exists()
    with pytest.raises(InvalidParameter, match="belong together"):
        Settings.load(c2pa_key=tmp_path / "key.pem")


def test_a_webm_is_left_without_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "video.webm"
    path.write_bytes(b"frames")
    assert not Mark("vid_1", development(tmp_path)).sign(path, "video.webm")
    assert path.read_bytes() == b"frames"
