"""Taking files in."""

from __future__ import annotations

import hashlib

import pytest
from sqlalchemy.exc import OperationalError

from likeness.database import Database
from likeness.intake import Intake, display_name, safe_suffix
from likeness.repositories.uploads import UploadRepository
from likeness.settings import Settings
from likeness.store import LocalStore
from problems import InvalidParameter, MediaTooLarge, OutOfDisk, Problem, UnreadableMedia


def finish(intake: Intake, **changes: str | None) -> str:
    facts: dict[str, str | None] = {"filename": "a.mp4", "media_type": "video/mp4", "purpose": "clip"}
    return intake.finish(**{**facts, **changes}).id  # type: ignore[arg-type]


def take(
    settings: Settings, database: Database, store: LocalStore, content: bytes, **changes: str | None
) -> str:
    with Intake(settings, database, store) as intake:
        intake.write(content)
        return finish(intake, **changes)


def assert_nothing_left(settings: Settings, database: Database, store: LocalStore) -> None:
    assert list(settings.incoming_dir.iterdir()) == []
    assert list(store.keys()) == []
    with database.read() as session:
        assert UploadRepository(session).page(limit=9, cursor=None).rows == []


def test_a_file_becomes_an_upload(settings: Settings, database: Database, store: LocalStore) -> None:
    with Intake(settings, database, store) as intake:
        intake.write(b"ab")
        intake.write(b"c")
        identifier = finish(intake, sha256=hashlib.sha256(b"abc").hexdigest().upper())
    with database.read() as session:
        upload = UploadRepository(session).get(identifier)
    assert upload is not None
    assert (upload.size, upload.sha256) == (3, hashlib.sha256(b"abc").hexdigest())
    assert store.local_path(upload.object_key).read_bytes() == b"abc"
    assert list(settings.incoming_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "changes", "kind"),
    [
        (b"", {}, UnreadableMedia),
        (b"abc", {"sha256": "00"}, InvalidParameter),
        (b"abc", {"purpose": "movie"}, InvalidParameter),
        (b"x" * (2 * 2**20 + 1), {}, MediaTooLarge),
    ],
)
def test_refusals_leave_nothing(
    settings: Settings,
    database: Database,
    store: LocalStore,
    content: bytes,
    changes: dict[str, str],
    kind: type[Problem],
) -> None:
    with pytest.raises(kind):
        take(settings, database, store, content, **changes)
    assert_nothing_left(settings, database, store)


def test_a_full_disk_is_said_before_it_is_full(
    settings: Settings, database: Database, store: LocalStore
) -> None:
    greedy = settings.model_copy(update={"min_free_mb": 10**9})
    with pytest.raises(OutOfDisk), Intake(greedy, database, store) as intake:
        intake.write(b"abc")
    assert_nothing_left(settings, database, store)


def test_a_lost_database_leaves_no_file(settings: Settings, database: Database, store: LocalStore) -> None:
    broken = Database("sqlite:////nowhere/at/all.db")
    with pytest.raises(OperationalError):
        take(settings, broken, store, b"abc")
    assert_nothing_left(settings, database, store)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("my clip.mp4", "my clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\a.mov", "a.mov"),
        ("a\r\nb\x00.mp4", "ab.mp4"),
        ("", "unnamed"),
        ("é" * 300, "é" * 255),
    ],
)
def test_names_are_made_harmless(given: str, shown: str) -> None:
    assert display_name(given) == shown


def test_suffixes_are_few_plain_letters() -> None:
    assert safe_suffix("a.MP4") == ".mp4"
    assert safe_suffix("a.tar/../b") == ""
    assert safe_suffix("a.longerthan8") == ""
    assert safe_suffix("noend") == ""
