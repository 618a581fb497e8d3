"""Where signed addresses of objects lead, by the settings."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.stores import clients_reach_s3, store_of
from problems import InvalidParameter

SECRET = "0123456789abcdef0123456789abcdef"


def bucket(tmp_path: Path, **given: str) -> Settings:
    return Settings(
        data_dir=tmp_path,
        store="s3",
        s3_bucket="likeness",
        s3_access_key="key",
        s3_secret_key="secret",
        secret_key=SECRET,
        **given,
    )


def addresses(store: ObjectStore) -> list[str]:
    """One of each kind that a client is ever handed."""
    return [
        store.signed_get("people/a", expires_s=60, filename="a.mp4"),
        store.signed_put("uploads/a", expires_s=60, size=1),
        store.signed_part("uploads/a", "upload", 1, expires_s=60),
    ]


@pytest.mark.parametrize(
    ("endpoint", "reached"),
    [
        ("", True),
        ("https://s3.eu-central-1.amazonaws.com", True),
        ("https://minio.example.org:9000", True),
        ("http://8.8.8.8:9000", True),
        ("http://s3:7070", False),
        ("http://localhost:9000", False),
        ("http://127.0.0.1:9000", False),
        ("http://[::1]:9000", False),
        ("http://10.0.0.7:9000", False),
        ("http://192.168.1.4:9000", False),
        ("http://169.254.7.7", False),
        ("http://minio.storage.svc.cluster.local", False),
        ("http://minio.local:9000", False),
        ("http://store.internal", False),
        ("http://nas.home.arpa", False),
    ],
)
def test_who_can_reach_an_endpoint_is_told_from_its_name(
    tmp_path: Path, endpoint: str, reached: bool
) -> None:
    settings = bucket(tmp_path, s3_endpoint_url=endpoint)
    assert clients_reach_s3(settings) is reached
    for address in addresses(store_of(settings)):
        if reached:
            assert (urlsplit(address).hostname or "").endswith(urlsplit(endpoint).hostname or "amazonaws.com")
        else:
            assert address.startswith("/v1/objects/")


def test_a_public_address_is_what_addresses_are_signed_for(tmp_path: Path) -> None:
    """Also where the endpoint's own name looks public; and the other way round for ``none``."""
    settings = bucket(tmp_path, s3_endpoint_url="http://s3:7070", s3_public_url="https://files.example.org/")
    store = store_of(settings)
    assert (store.answered_by_api, store.address_origin) == (False, "https://files.example.org")
    assert all(address.startswith("https://files.example.org/likeness/") for address in addresses(store))
    hidden = bucket(tmp_path, s3_endpoint_url="https://s3.example.org", s3_public_url="none")
    assert all(address.startswith("/v1/objects/") for address in addresses(store_of(hidden)))


def test_addresses_of_the_service_begin_with_its_public_one(tmp_path: Path) -> None:
    settings = bucket(tmp_path, s3_endpoint_url="http://s3:7070", public_url="https://likeness.example")
    store = store_of(settings)
    assert (store.answered_by_api, store.address_origin) == (True, "https://likeness.example")
    assert all(address.startswith("https://likeness.example/v1/objects/") for address in addresses(store))


def test_each_process_signs_alike(tmp_path: Path) -> None:
    """An address from one API process is good at another, and local files are signed as the bucket is."""
    one = store_of(bucket(tmp_path / "one", s3_endpoint_url="http://s3:7070"))
    other = store_of(bucket(tmp_path / "other", s3_endpoint_url="http://s3:7070"))
    address = urlsplit(one.signed_get("people/a", expires_s=60))
    query = dict(pair.split("=") for pair in address.query.split("&"))
    assert other.check_signature("GET", "people/a", query).key == "people/a"


@pytest.mark.parametrize("name", ["public_url", "s3_public_url", "s3_endpoint_url"])
@pytest.mark.parametrize("wrong", ["likeness.example", "ftp://a.example", "https://", "https://a/?b", "None"])
def test_what_is_no_address_is_refused_at_the_start(name: str, wrong: str) -> None:
    with pytest.raises(InvalidParameter, match=f"LIKENESS_{name.upper()}"):
        Settings.load(**{name: wrong})
