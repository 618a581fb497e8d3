from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from problems import InvalidParameter
from provenance import credentials
from provenance.credentials import DEVELOPMENT, DEVELOPMENT_FILE, development, from_files, from_pem


def test_development_credentials_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    made = development(folder)
    assert made == development(folder)
    assert made.development
    assert made.organisation == DEVELOPMENT
    assert made.algorithm == "es256"
    assert (folder / DEVELOPMENT_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [DEVELOPMENT_FILE]
    assert "PRIVATE" not in repr(made)


def test_the_chain_is_what_c2pa_asks_for(tmp_path: Path) -> None:
    leaf, authority = x509.load_pem_x509_certificates(development(tmp_path).chain.encode())
    leaf.verify_directly_issued_by(authority)
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION]


def test_two_processes_at_once_end_with_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: development(tmp_path), range(8)))
    assert len({each.key for each in made}) == 1


@pytest.mark.parametrize("damage", ["", "-----BEGIN CERTIFICATE-----\nnothing"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: str) -> None:
    (tmp_path / DEVELOPMENT_FILE).write_text(damage)
    made = development(tmp_path)
    assert made == development(tmp_path)


def test_one_that_runs_out_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as short:
        short.setattr(credentials, "_LEAST_LEFT", credentials._LIFE / 2)
        first = development(tmp_path)
    monkeypatch.setattr(credentials, "_LEAST_LEFT", credentials._LIFE * 0.99)
    assert development(tmp_path) == first
    monkeypatch.setattr(credentials, "_LIFE", credentials._LIFE * 3)
    monkeypatch.setattr(credentials, "_LEAST_LEFT", credentials._LIFE / 2)
    second = development(tmp_path)
    assert second != first
    assert second == development(tmp_path)


def test_an_operators_own(tmp_path: Path) -> None:
    made = development(tmp_path)
    (tmp_path / "chain.pem").write_text(made.chain)
    (tmp_path / "key.pem").write_text(made.key)
    assert from_files(tmp_path / "chain.pem", tmp_path / "key.pem") == made


def test_what_can_not_sign_is_named(tmp_path: Path) -> None:
    made = development(tmp_path)
    other = ec.generate_private_key(ec.SECP256R1())
    plain, locked = (
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock).decode()
        for lock in (serialization.NoEncryption(), serialization.BestAvailableEncryption(b"secret"))
    )
    for chain, key, word, field in (
        ("none", made.key, "not PEM", "c2pa_certificate"),
        (made.chain, "none", "not PEM", "c2pa_key"),
        (made.chain, locked, "password", "c2pa_key"),
        (made.chain, plain, "not that of", "c2pa_key"),
    ):
        with pytest.raises(InvalidParameter, match=word) as caught:
            from_pem(chain, key)
        assert caught.value.details["field"] == field
        assert "PRIVATE" not in caught.value.message
    with pytest.raises(InvalidParameter, match=r"missing\.pem"):
        from_files(tmp_path / "missing.pem", tmp_path / DEVELOPMENT_FILE)


def test_a_certificate_that_ran_out_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_LIFE", -credentials.timedelta(minutes=-1))
    text = credentials._made()  # ends four minutes ago
    begin = text.index("-----BEGIN CERTIFICATE")
    with pytest.raises(InvalidParameter, match="ran out"):
        from_pem(text[begin:], text[:begin])


def test_a_users_key_is_theirs_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    found, path = credentials.of_user(earlier=tmp_path / "here")
    assert path == tmp_path / "config" / "likeness" / credentials.DEVELOPMENT_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert credentials.of_user(earlier=tmp_path / "there")[0] == found
    assert not (tmp_path / "here").exists()
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert credentials.of_user()[1] == tmp_path / "home/.config/likeness" / credentials.DEVELOPMENT_FILE


def test_a_key_of_an_earlier_version_goes_on_to_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    earlier = credentials.development(tmp_path / "old")
    assert credentials.of_user(earlier=tmp_path / "old")[0] == earlier
    assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("home", ["", "relative", "/proc/nowhere"])
def test_a_user_without_a_place_for_a_key_gets_one_for_once(
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", home)
    found, path = credentials.of_user()
    assert path is None
    assert found.development
    assert not any(tmp_path.iterdir())
