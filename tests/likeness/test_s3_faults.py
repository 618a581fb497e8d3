"""S3 when something goes wrong: cuts, kills, damage, servers that are out of order, and what the set-up asks for."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from likeness.refusals import StoreUnavailable
from likeness.s3 import S3Store
from likeness.s3_client import S3Options, code_of
from likeness.settings import Settings
from likeness.stores import store_of
from problems import Conflict, InternalProblem, InvalidParameter, Problem
from tests.likeness.object_servers import (
    ACCESS_KEY,
    SECRET_KEY,
    Cable,
    free_port,
    overloaded_server,
    silent_server,
)
from tests.likeness.test_store_contract import MIB, PART, s3_options, varied

QUICK: dict[str, Any] = {"attempts": 1, "connect_timeout_s": 1.0, "read_timeout_s": 2.0, "parallel": 1}


@pytest.fixture
def cable(moto: str) -> Iterator[Cable]:
    cable = Cable(moto)
    yield cable
    cable.close()


@pytest.fixture
def options(moto: str, cable: Cable) -> S3Options:
    """A bucket that is reached over the cable."""
    options = s3_options(cable.url, f"bucket-{uuid.uuid4().hex}", **QUICK)
    S3Store(options).prepare()
    return options


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(varied(22 * MIB))
    return path


def client_of(url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )


def unfinished(url: str, bucket: str) -> list[str]:
    return [each["Key"] for each in client_of(url).list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


def test_an_upload_goes_on_where_it_was_cut(
    options: S3Options, cable: Cable, large: Path, tmp_path: Path, moto: str
) -> None:
    cable.cut_after("up", 12 * MIB)
    with pytest.raises(StoreUnavailable):
        S3Store(options).put_file("a", large)
    assert (tmp_path / ".source.upload.jsonl").exists()
    assert unfinished(moto, options.bucket) == ["tests/likeness/a"]
    cable.mend()
    stored = S3Store(options).put_file("a", large, move=True)
    # 5 parts of 5 MiB (the last of 2): two had arrived
    assert 12 * MIB <= cable.carried["up"] < 13 * MIB
    assert unfinished(moto, options.bucket) == []
    assert list(tmp_path.iterdir()) == []
    S3Store(options).fetch("a", tmp_path / "copy", sha256=stored.sha256)
    assert (tmp_path / "copy").read_bytes() == varied(22 * MIB)


def test_other_bytes_begin_anew(
    options: S3Options, cable: Cable, large: Path, tmp_path: Path, moto: str
) -> None:
    cable.cut_after("up", 12 * MIB)
    with pytest.raises(StoreUnavailable):
        S3Store(options).put_file("a", large)
    cable.mend()
    content = bytearray(varied(22 * MIB))
    content[-1] ^= 1  # the first parts are those that have arrived
    large.write_bytes(content)
    stored = S3Store(options).put_file("a", large)
    assert cable.carried["up"] > 22 * MIB
    assert unfinished(moto, options.bucket) == []
    S3Store(options).fetch("a", tmp_path / "copy", sha256=hashlib.sha256(content).hexdigest())
    assert stored.size == len(content)


def test_the_same_file_under_another_key_begins_anew(
    options: S3Options, cable: Cable, large: Path, moto: str
) -> None:
    cable.cut_after("up", 12 * MIB)
    with pytest.raises(StoreUnavailable):
        S3Store(options).put_file("first", large)
    cable.mend()
    S3Store(options).put_file("second", large)
    assert list(S3Store(options).keys()) == ["second"]
    assert unfinished(moto, options.bucket) == []


def test_a_torn_ledger_costs_only_its_last_line(
    options: S3Options, cable: Cable, large: Path, tmp_path: Path
) -> None:
    cable.cut_after("up", 17 * MIB)
    with pytest.raises(StoreUnavailable):
        S3Store(options).put_file("a", large)
    ledger = tmp_path / ".source.upload.jsonl"
    lines = ledger.read_text().splitlines()
    assert len(lines) == 1 + 3
    ledger.write_text("\n".join(lines)[:-10])
    cable.mend()
    stored = S3Store(options).put_file("a", large)
    assert 12 * MIB <= cable.carried["up"] < 13 * MIB
    S3Store(options).fetch("a", tmp_path / "copy", sha256=stored.sha256)


def test_an_upload_that_the_server_dropped_begins_anew(
    options: S3Options, cable: Cable, large: Path, tmp_path: Path, moto: str
) -> None:
    cable.cut_after("up", 12 * MIB)
    with pytest.raises(StoreUnavailable):
        S3Store(options).put_file("a", large)
    cable.mend()
    client = client_of(moto)
    for each in client.list_multipart_uploads(Bucket=options.bucket)["Uploads"]:
        client.abort_multipart_upload(Bucket=options.bucket, Key=each["Key"], UploadId=each["UploadId"])
    stored = S3Store(options).put_file("a", large)
    S3Store(options).fetch("a", tmp_path / "copy", sha256=stored.sha256)


UPLOADER = """
import sys
from pathlib import Path
from likeness.s3 import S3Store
from likeness.s3_client import S3Options
S3Store(S3Options(bucket=sys.argv[2], endpoint_url=sys.argv[1], access_key="a", secret_key="b", part_size=5 * 2**20,
                  parallel=1)).put_file("a", Path(sys.argv[3]))
"""


def test_an_upload_goes_on_after_a_kill(moto: str, cable: Cable, large: Path, tmp_path: Path) -> None:
    bucket = f"bucket-{uuid.uuid4().hex}"
    client_of(moto).create_bucket(Bucket=bucket)
    command = [sys.executable, "-c", UPLOADER, cable.url, bucket, str(large)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()})
    ledger = tmp_path / ".source.upload.jsonl"
    while not (ledger.exists() and len(ledger.read_text().splitlines()) >= 3):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    noted = len(ledger.read_text().splitlines()) - 1
    cable.mend()
    subprocess.run(command, env={**os.environ, "PYTHONPATH": os.getcwd()}, check=True)
    assert cable.carried["up"] < 22 * MIB - noted * PART + MIB
    assert not ledger.exists()
    body = client_of(moto).get_object(Bucket=bucket, Key="a")["Body"].read()
    assert body == varied(22 * MIB)


def test_a_source_that_changes_meanwhile_is_refused(
    options: S3Options, large: Path, moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from likeness.s3_upload import Plan

    of = Plan.of

    def change_after_hashing(source: Path, part_size: int) -> Plan:
        plan = of(source, part_size)
        with open(source, "r+b") as stream:
            stream.seek(11 * MIB)
            stream.write(b"changed")
        return plan

    monkeypatch.setattr(Plan, "of", change_after_hashing)
    with pytest.raises(Conflict, match="changed"):
        S3Store(options).put_file("a", large)
    assert unfinished(moto, options.bucket) == []
    assert not S3Store(options).exists("a")


# -- downloads -------------------------------------------------------------------------------------------------


def test_a_download_goes_on_where_it_was_cut(
    options: S3Options, cable: Cable, large: Path, tmp_path: Path
) -> None:
    store = S3Store(options)
    stored = store.put_file("a", large)
    cable.mend()
    cable.cut_after("down", 12 * MIB)
    target = tmp_path / "target" / "copy"
    with pytest.raises(StoreUnavailable):
        store.fetch("a", target, sha256=stored.sha256)
    assert not target.exists()
    (part,) = target.parent.iterdir()
    have = part.stat().st_size
    assert have > 8 * MIB
    cable.mend()
    store.fetch("a", target, sha256=stored.sha256)
    assert cable.carried["down"] < 22 * MIB - have + MIB
    assert target.read_bytes() == large.read_bytes()
    assert list(target.parent.iterdir()) == [target]


def test_a_part_with_a_hole_is_fetched_again(
    options: S3Options, cable: Cable, large: Path, tmp_path: Path
) -> None:
    store = S3Store(options)
    stored = store.put_file("a", large)
    for size in (5 * MIB, 22 * MIB, 30 * MIB):  # a part, all, and more than there is
        (tmp_path / f".copy.{stored.sha256[:16]}.part").write_bytes(bytes(size))
        store.fetch("a", tmp_path / "copy", sha256=stored.sha256)
        assert (tmp_path / "copy").read_bytes() == large.read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "source"]


def test_a_whole_part_needs_no_bytes(options: S3Options, cable: Cable, large: Path, tmp_path: Path) -> None:
    store = S3Store(options)
    stored = store.put_file("a", large)
    (tmp_path / f".copy.{stored.sha256[:16]}.part").write_bytes(large.read_bytes())
    cable.mend()
    store.fetch("a", tmp_path / "copy", sha256=stored.sha256)
    assert cable.carried["down"] < MIB


# -- servers that are out of order -----------------------------------------------------------------------------


def calls(store: S3Store, tmp_path: Path) -> list[Any]:
    (tmp_path / "source").write_bytes(b"bytes")
    return [
        store.prepare,
        lambda: store.put_file("a", tmp_path / "source"),
        lambda: store.fetch("a", tmp_path / "copy", sha256="0" * 64),
        lambda: store.exists("a"),
        lambda: store.size("a"),
        lambda: list(store.keys()),
        lambda: store.delete_prefix("a"),
        lambda: store.begin_parts("a"),
        lambda: store.parts("a", "id"),
        lambda: store.abort_parts("a", "id"),
    ]


@pytest.mark.parametrize(
    ("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "TooMany"), (400, "RequestTimeout")]
)
def test_an_overloaded_server_is_a_problem_that_may_pass(status: int, code: str, tmp_path: Path) -> None:
    with overloaded_server(status, code) as (url, seen):
        store = S3Store(s3_options(url, "bucket", **QUICK))
        for number, call in enumerate(calls(store, tmp_path)):
            if status == 400 and number in (0, 3, 4, 5, 6):
                continue  # the answer to a HEAD has no code
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert caught.value.retryable
            assert caught.value.remedy
        assert seen


def test_it_is_asked_again_before_that(tmp_path: Path) -> None:
    with overloaded_server() as (url, seen):
        with pytest.raises(StoreUnavailable):
            S3Store(s3_options(url, "bucket", **{**QUICK, "attempts": 3})).exists("a")
        assert seen == ["HEAD"] * 3


def test_a_silent_server_does_not_hold_up_a_worker(tmp_path: Path) -> None:
    with silent_server() as url:
        store = S3Store(s3_options(url, "bucket", **{**QUICK, "read_timeout_s": 0.2}))
        started = time.monotonic()
        for call in calls(store, tmp_path):
            with pytest.raises(StoreUnavailable):
                call()
        assert time.monotonic() - started < 10 * (0.2 + 0.5)


def test_nobody_at_home(tmp_path: Path) -> None:
    store = S3Store(s3_options(f"http://127.0.0.1:{free_port()}", "bucket", **QUICK))
    for call in calls(store, tmp_path):
        with pytest.raises(StoreUnavailable):
            call()


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket"), (501, "NotImplemented")]
)
def test_a_set_up_that_can_not_work_is_not_tried_again(status: int, code: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"bytes")
    with overloaded_server(status, code) as (url, _):
        store = S3Store(s3_options(url, "bucket", **QUICK))
        with pytest.raises(Problem, match=code) as caught:
            store.put_file("a", tmp_path / "source")
        assert isinstance(caught.value, InternalProblem)
        assert not caught.value.retryable


def test_a_piece_whose_line_breaks_is_asked_for_again(options: S3Options, cable: Cable, large: Path) -> None:
    store = S3Store(replace(options, attempts=5))
    store.put_file("a", large)
    facts = store.describe("a")
    cable.mend()
    cable.cut_after("down", MIB // 2)
    threading.Thread(target=lambda: (cable.was_cut.wait(), cable.mend())).start()
    piece = store.read("a", 7, MIB, etag=facts.etag)
    assert cable.was_cut.is_set()
    assert piece == large.read_bytes()[7 : 7 + MIB]


# -- the set-up ------------------------------------------------------------------------------------------------


def test_a_bucket_that_is_not_there(moto: str) -> None:
    options = s3_options(moto, f"bucket-{uuid.uuid4().hex}", make_bucket=False)
    with pytest.raises(InternalProblem, match="no bucket"):
        S3Store(options).prepare()


def test_the_rule_for_unfinished_uploads_spares_the_rules_of_others(moto: str) -> None:
    options = s3_options(moto, f"bucket-{uuid.uuid4().hex}")
    client = client_of(moto)
    client.create_bucket(Bucket=options.bucket)
    other = {"ID": "other", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 9}}
    client.put_bucket_lifecycle_configuration(
        Bucket=options.bucket, LifecycleConfiguration={"Rules": [other]}
    )
    for _ in range(2):
        S3Store(options).prepare()
    rules = client.get_bucket_lifecycle_configuration(Bucket=options.bucket)["Rules"]
    assert [rule["ID"] for rule in rules] == ["other", "likeness-abort-unfinished-uploads"]
    assert rules[0] == other
    assert rules[1]["Filter"] == {"Prefix": "tests/likeness/"}
    assert rules[1]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def cors_of(url: str, bucket: str) -> list[dict[str, Any]]:
    try:
        rules: list[dict[str, Any]] = client_of(url).get_bucket_cors(Bucket=bucket)["CORSRules"]
    except ClientError as error:
        if code_of(error) != "NoSuchCORSConfiguration":
            raise
        return []
    return rules


def test_pages_may_send_parts_where_addresses_lead_to_the_bucket(moto: str) -> None:
    bucket = f"bucket-{uuid.uuid4().hex}"
    client = client_of(moto)
    client.create_bucket(Bucket=bucket)
    other = {"ID": "other", "AllowedOrigins": ["https://other.example"], "AllowedMethods": ["GET"]}
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [other]})
    given = {
        "store": "s3",
        "s3_bucket": bucket,
        "s3_endpoint_url": moto,
        "s3_access_key": ACCESS_KEY,
        "s3_secret_key": SECRET_KEY,
        "s3_public_url": "https://s3.example.org",
        "public_url": "https://likeness.example.org/",
    }
    for _ in range(2):
        store_of(Settings(**given)).prepare()
    rules = cors_of(moto, bucket)
    assert len(rules) == 2
    assert rules[0]["AllowedOrigins"] == ["https://other.example"]
    assert rules[1]["AllowedOrigins"] == ["https://likeness.example.org"]
    assert set(rules[1]["AllowedMethods"]) == {"GET", "HEAD", "PUT"}
    assert "ETag" in rules[1]["ExposeHeaders"]


def test_a_bucket_that_no_client_reaches_needs_no_rule_for_pages(moto: str) -> None:
    bucket = f"bucket-{uuid.uuid4().hex}"
    given = {"store": "s3", "s3_bucket": bucket, "s3_endpoint_url": moto, "s3_make_bucket": True}
    store_of(Settings(**given, s3_access_key=ACCESS_KEY, s3_secret_key=SECRET_KEY)).prepare()
    assert cors_of(moto, bucket) == []


def test_a_server_that_knows_no_such_rules_is_used_without(rclone: tuple[str, Path], caplog: Any) -> None:
    url, _ = rclone
    options = s3_options(url, f"bucket-{uuid.uuid4().hex}")
    S3Store(options).prepare()
    assert "no CORS rule of ours" in caplog.text


@pytest.mark.parametrize(("sse", "kms"), [("AES256", ""), ("aws:kms", "alias/faces")])
def test_encryption_is_asked_for(moto: str, tmp_path: Path, sse: Any, kms: str) -> None:
    options = s3_options(moto, f"bucket-{uuid.uuid4().hex}", sse=sse, kms_key_id=kms)
    store = S3Store(options)
    store.prepare()
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "large").write_bytes(varied(PART + 1))
    store.put_file("small", tmp_path / "small")
    store.put_file("large", tmp_path / "large")
    client = client_of(moto)
    for key in ("small", "large"):
        head = client.head_object(Bucket=options.bucket, Key=f"tests/likeness/{key}")
        assert (head["ServerSideEncryption"], head.get("SSEKMSKeyId", "")) == (sse, kms)
        assert head["Metadata"]["sha256"] == hashlib.sha256((tmp_path / key).read_bytes()).hexdigest()
    (rule,) = client.get_bucket_encryption(Bucket=options.bucket)["ServerSideEncryptionConfiguration"][
        "Rules"
    ]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == sse


def test_addressing(moto: str) -> None:
    def address(**changes: Any) -> str:
        return S3Store(s3_options("", "faces", **changes)).signed_get("a", expires_s=9).split("?")[0]

    assert address(endpoint_url="http://minio:9000") == "http://minio:9000/faces/tests/likeness/a"
    assert (
        address(endpoint_url="http://minio:9000", path_style=False)
        == "http://faces.minio:9000/tests/likeness/a"
    )
    assert address(region="eu-west-1").startswith("https://faces.s3")
    assert address(region="eu-west-1", path_style=True).startswith(
        "https://s3.eu-west-1.amazonaws.com/faces/"
    )


def test_from_the_settings(moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_STORE", "s3")
    with pytest.raises(InvalidParameter, match="s3_bucket"):
        Settings.load(data_dir=tmp_path)
    for name, value in {
        "BUCKET": f"bucket-{uuid.uuid4().hex}",
        "PREFIX": "faces",
        "ENDPOINT_URL": moto,
        "ACCESS_KEY": ACCESS_KEY,
        "SECRET_KEY": SECRET_KEY,
        "MAKE_BUCKET": "true",
    }.items():
        monkeypatch.setenv(f"LIKENESS_S3_{name}", value)
    settings = Settings.load(data_dir=tmp_path)
    assert SECRET_KEY not in repr(settings)
    store = store_of(settings)
    store.prepare()
    (tmp_path / "small").write_bytes(b"small")
    store.put_file("a", tmp_path / "small")
    listed = client_of(moto).list_objects_v2(Bucket=settings.s3_bucket)["Contents"]
    assert [each["Key"] for each in listed] == ["faces/a"]


@pytest.mark.parametrize(
    "given",
    [
        {"s3_access_key": "a"},
        {"s3_secret_key": "b"},
        {"s3_kms_key_id": "k", "s3_sse": "AES256"},
        {"s3_sse": "rot13"},
        {"store": "floppy"},
    ],
)
def test_settings_that_can_not_work(given: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter):
        Settings.load(**given)
