"""What a manifest is signed with: an operator's own certificate, or one made here that is trusted by nobody.

C2PA wants a certificate that an authority issued, for a key of one of seven kinds, with one of a few purposes (C2PA
2.1, 14.5). Trust is a matter of the reader's list: a development certificate signs as well as any, and every reader
says that it doesn't know who that is.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from problems import InvalidParameter

DEVELOPMENT = "Likeness development (self-signed)"
"""Organisation in certificates that are made here; whatever shows a signer shows it."""
DEVELOPMENT_FILE = "c2pa-development.pem"
_LIFE = timedelta(days=365)
_LEAST_LEFT = timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Credentials:
    """A chain of certificates with the key of its first."""

    chain: str
    """PEM, the signer's own first."""
    key: str = field(repr=False)
    """PEM, PKCS #8."""
    algorithm: str
    """As C2PA names it: es256, es384, es512, ps256 or ed25519."""
    organisation: str
    """Who signs, as the certificate says."""

    @property
    def development(self) -> bool:
        """Whether they were made here and prove nothing but that the file was not changed since."""
        return self.organisation == DEVELOPMENT


def from_files(certificate: Path, key: Path) -> Credentials:
    """The operator's own.

    Args:
        certificate: PEM: the signer's certificate, then those of the authorities up to, but without, the root.
        key: PEM without a password.

    Raises:
        InvalidParameter: a file is missing or not PEM, they do not belong together, or the certificate has run out.
    """
    texts = {}
    for name, path in (("c2pa_certificate", certificate), ("c2pa_key", key)):
        try:
            texts[name] = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(name, f"{path} can't be read") from error
    return from_pem(texts["c2pa_certificate"], texts["c2pa_key"])


def from_pem(chain: str, key: str) -> Credentials:
    """The same from text.

    Raises:
        InvalidParameter: not PEM, they do not belong together, or the certificate has run out.
    """
    try:
        certificate = x509.load_pem_x509_certificates(chain.encode())[0]
    except ValueError as error:
        raise _unusable("c2pa_certificate", "the C2PA certificate is not PEM") from error
    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _unusable(
            "c2pa_key", "the C2PA key is not PEM, is of an unknown kind or wants a password"
        ) from error
    if not isinstance(private, Key):
        raise _unusable("c2pa_key", "the C2PA key is neither elliptic, nor RSA, nor Ed25519")
    if private.public_key() != certificate.public_key():
        raise _unusable("c2pa_key", "the C2PA key is not that of the certificate")
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise _unusable("c2pa_certificate", f"the C2PA certificate ran out {certificate.not_valid_after_utc}")
    return Credentials(chain, _pem(private), _algorithm(private), _organisation(certificate))


def development(folder: Path) -> Credentials:
    """Those of this folder, made at first use: certificate and key in one file that only its owner can read.

    Two processes that make them at once end with the same; before they run out they are made anew.
    """
    path = Path(folder) / DEVELOPMENT_FILE
    with suppress(FileNotFoundError):
        found = _parted(path.read_text())
        if found is not None:
            return found
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w") as stream:
            stream.write(_made())
            stream.flush()
            os.fsync(stream.fileno())
        # A link, not a replacement: the first of two stays, and both read it.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    found = _parted(path.read_text())
    assert found is not None, f"{path} was written by somebody else"
    return found


def of_user(earlier: Path | None = None) -> tuple[Credentials, Path | None]:
    """Those of the user who runs a command, whatever folder it runs in; made at first use.

    They lie in ``$XDG_CONFIG_HOME/likeness``, else ``~/.config/likeness``.

    Args:
        earlier: a folder whose credentials are used where it has good ones, as earlier versions made them there.

    Returns:
        The credentials and their file; None instead of it when the user has no place that can be written: then they
        are gone with the process.
    """
    if earlier is not None:
        path = Path(earlier) / DEVELOPMENT_FILE
        with suppress(OSError, UnicodeDecodeError):
            found = _parted(path.read_text())
            if found is not None:
                return found, path
    with suppress(OSError, RuntimeError):  # RuntimeError: nobody knows where the user is at home
        configured = os.environ.get("XDG_CONFIG_HOME", "")
        # A relative folder is none, the XDG specification says: it would be another one wherever a command runs.
        base = Path(configured) if os.path.isabs(configured) else Path.home() / ".config"
        if not base.is_absolute() or base == Path("/.config"):  # HOME is relative, or empty
            raise RuntimeError("HOME is no folder of the user's")
        folder = base / "likeness"
        return development(folder), folder / DEVELOPMENT_FILE
    made = _parted(_made())
    assert made is not None
    return made, None


def _parted(text: str) -> Credentials | None:
    """Key and chain out of one file; None if they are damaged or about to run out."""
    begin = text.find("-----BEGIN CERTIFICATE-----")
    try:
        found = from_pem(text[max(begin, 0) :], text[: max(begin, 0)])
        ends = x509.load_pem_x509_certificates(found.chain.encode())[0].not_valid_after_utc
    except InvalidParameter:
        return None
    return found if ends - datetime.now(UTC) > _LEAST_LEFT else None


def _made() -> str:
    """PEM of a new key, its certificate, and that of an authority whose own key is thrown away at once."""
    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    begin = datetime.now(UTC) - timedelta(minutes=5)  # another machine's clock may be behind

    def begun(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_named(subject))
            .issuer_name(_named("Likeness development root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + _LIFE)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False
            )
        )

    authority = (
        begun("Likeness development root", root)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(root, hashes.SHA256())
    )
    leaf = (
        begun("Likeness development", own)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(root, hashes.SHA256())
    )
    chain = [each.public_bytes(serialization.Encoding.PEM).decode() for each in (leaf, authority)]
    return _pem(own) + "".join(chain)


def _named(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, DEVELOPMENT),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _algorithm(key: Key) -> str:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    curves = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
    if key.curve.name not in curves:
        raise _unusable("c2pa_key", f"C2PA knows no signatures with the curve {key.curve.name}")
    return curves[key.curve.name]


def _organisation(certificate: x509.Certificate) -> str:
    for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for attribute in certificate.subject.get_attributes_for_oid(kind):
            return str(attribute.value)
    return "unknown"


def _unusable(field_name: str, message: str) -> InvalidParameter:
    return InvalidParameter(
        message,
        remedy="give a PEM chain and its key without a password, as docs/provenance.md says, or neither of "
        "the two for a development certificate",
        details={"field": field_name},
    )
