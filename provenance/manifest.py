"""C2PA: a signed statement inside of the file about what it shows and who made it. No network is ever asked.

The manifest binds the file's every byte, so it is the last thing that is written; whatever rewrites the file, a copy of
its streams into a new container included, takes it away. That is what the watermark is for.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import c2pa

from problems import InternalProblem, OutOfDisk, UnreadableMedia
from provenance.credentials import DEVELOPMENT, Credentials

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's word for real pictures with parts that a trained model made."""
CONSENT = "org.likeness.consent"
"""Label of our own assertion."""
FORMATS = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime"}
"""Containers that a manifest can be written into. WebM is none: C2PA says nothing of Matroska."""
_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
_ENOSPC = 28


@dataclass(frozen=True)
class Claim:
    """What the manifest says."""

    title: str
    """The video's name."""
    video_id: str
    """The product's id of the video or its job."""
    watermark: str | None
    """The number in the pixels, 12 hexadecimal digits."""
    consent_kind: str | None
    """``attested`` (an operator says that the person agreed) or ``verified`` (the person did so themself)."""
    consent_id: str | None
    """The consent's id where the video was made; no name."""
    version: str
    """Of the product."""


@dataclass(frozen=True)
class ManifestReading:
    """What a file's manifest says, and whether it may be believed."""

    signer: str
    """Organisation in the certificate, or what else it names."""
    trusted: bool
    """Whether the certificate leads to an authority that the reader trusts."""
    valid: bool
    """Whether signature and bytes fit: nothing was changed since it was signed."""
    problems: tuple[str, ...]
    """What is wrong, in C2PA's codes, such as ``assertion.bmffHash.mismatch``; ``signingCredential.untrusted`` is
    here, too."""
    development: bool
    """Signed with a certificate that is made at first use and proves nothing about who that was."""
    title: str | None
    generator: str | None
    """Name and version of what made the video."""
    source_type: str | None
    """IPTC's word for how it was made."""
    consent: Mapping[str, Any] | None
    """Our own assertion: video, watermark and consent; None in others' manifests."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self), "problems": list(self.problems)}


def can_sign(path: Path) -> bool:
    """Whether a manifest can be written into a file of this name."""
    return Path(path).suffix.lower() in FORMATS


def sign(path: Path, credentials: Credentials, claim: Claim) -> None:
    """Write a manifest into a video, in place: the file is the old one or the signed one, whatever fails.

    Raises:
        UnreadableMedia: the container can't hold one (see :func:`can_sign`) or is damaged.
        InternalProblem: the certificate is refused.
        OutOfDisk: no room for the copy that takes the file's place.
    """
    path = Path(path)
    if not can_sign(path):
        raise UnreadableMedia(
            f"{path.name} can't hold a C2PA manifest",
            remedy=f"write the video as one of {', '.join(FORMATS)}",
            details={"container": path.suffix},
        )
    signed = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(path, signed, credentials, claim)
        os.replace(signed, path)
    except c2pa.C2paError as error:
        raise _refused(path, credentials, error) from error
    except OSError as error:
        if error.errno == _ENOSPC:
            raise OutOfDisk(
                f"the disk is full: {path.name} could not be signed",
                remedy="free some space, as much as the video takes, then start again",
            ) from error
        raise
    finally:
        signed.unlink(missing_ok=True)


def _write(path: Path, out: Path, credentials: Credentials, claim: Claim) -> None:
    info = c2pa.C2paSignerInfo(
        credentials.algorithm.encode(), credentials.chain.encode(), credentials.key.encode(), None
    )
    with (
        c2pa.Context(c2pa.Settings.from_dict(_OFFLINE)) as context,
        c2pa.Signer.from_info(info) as signer,
        c2pa.Builder(json.dumps(_definition(path, claim)), context=context) as builder,
        path.open("rb") as source,
        out.open("w+b") as target,
    ):
        os.fchmod(target.fileno(), path.stat().st_mode & 0o777)
        builder.sign(signer, FORMATS[path.suffix.lower()], source, target)
        target.flush()
        os.fsync(target.fileno())


def _definition(path: Path, claim: Claim) -> dict[str, Any]:
    created = {
        "action": "c2pa.created",
        "digitalSourceType": SOURCE_TYPE,
        "softwareAgent": {"name": "Likeness", "version": claim.version},
    }
    ours = {
        "video_id": claim.video_id,
        "watermark": claim.watermark,
        "consent_kind": claim.consent_kind,
        "consent_id": claim.consent_id,
    }
    return {
        "claim_generator_info": [{"name": "Likeness", "version": claim.version}],
        "title": claim.title,
        "format": FORMATS[path.suffix.lower()],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": CONSENT, "data": {name: value for name, value in ours.items() if value is not None}},
        ],
    }


def _refused(path: Path, credentials: Credentials, error: Exception) -> UnreadableMedia | InternalProblem:
    text = str(error)
    if any(word in text.lower() for word in ("certificate", "cose", "signature", "key")):
        return InternalProblem(
            f"the certificate of {credentials.organisation} can't sign: {text}",
            remedy="use a certificate with a purpose and key that C2PA allows (docs/provenance.md)",
            details={"field": "c2pa_certificate"},
        )
    return UnreadableMedia(
        f"{path.name} can't be signed: {text}", remedy="is it a whole mp4 file? make it again"
    )


def read(path: Path, *, anchors: str | None = None) -> ManifestReading | None:
    """The manifest in a file, None if there is none or the container can hold none.

    Args:
        path: any file; its kind is told by its bytes.
        anchors: PEM certificates of authorities to trust; without any nobody is trusted.
    """
    settings: dict[str, Any] = dict(_OFFLINE)
    if anchors is not None:
        settings["trust"] = {"user_anchors": anchors}
    with c2pa.Context(c2pa.Settings.from_dict(settings)) as context, Path(path).open("rb") as stream:
        try:
            reader = c2pa.Reader.try_create(FORMATS.get(path.suffix.lower()), stream, context=context)
        except c2pa.C2paError as error:
            return _damaged(path, error)
        if reader is None:
            return None
        with reader:
            return _reading(json.loads(reader.json()))


def _damaged(path: Path, error: Exception) -> ManifestReading | None:
    """None for a file that can hold no manifest; one that says it is damaged where there might be one."""
    if path.suffix.lower() not in FORMATS or "NotSupported" in type(error).__name__:
        return None
    return ManifestReading("unknown", False, False, (str(error),), False, None, None, None, None)


def _reading(store: Mapping[str, Any]) -> ManifestReading:
    manifest = store["manifests"][store["active_manifest"]]
    faults = [fault["code"] for fault in store.get("validation_status", ())]
    trusted = store.get("validation_state") == "Trusted"
    assertions = {each["label"]: each["data"] for each in manifest.get("assertions", ())}
    actions = (assertions.get("c2pa.actions.v2") or assertions.get("c2pa.actions") or {}).get("actions", [])
    generators = manifest.get("claim_generator_info") or [{}]
    signature = manifest.get("signature_info") or {}
    signer = str(signature.get("issuer") or signature.get("common_name") or "unknown")
    return ManifestReading(
        signer=signer,
        trusted=trusted,
        valid=store.get("validation_state") in ("Valid", "Trusted"),
        problems=tuple(dict.fromkeys(faults)),
        development=signer == DEVELOPMENT,
        title=manifest.get("title"),
        generator=" ".join(str(generators[0][name]) for name in ("name", "version") if name in generators[0])
        or None,
        source_type=next(
            (each["digitalSourceType"] for each in actions if "digitalSourceType" in each), None
        ),
        consent=assertions.get(CONSENT),
    )
