"""The connection to an S3 server: its options, the client, and its errors as problems of the one family."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
)

from likeness.objects import missing, no_upload
from likeness.refusals import StoreUnavailable
from problems import Conflict, InternalProblem, InvalidParameter, Problem


@dataclass(frozen=True)
class S3Options:
    """How to reach one bucket of one server. Every field but ``bucket`` has a default that works with AWS."""

    bucket: str
    prefix: str = ""
    """Folder inside the bucket that everything lies in; empty means the bucket's root."""
    endpoint_url: str = ""
    """Address of a server other than AWS, ``https://minio.example:9000``."""
    public_url: str = ""
    """Address under which clients reach the server, where it is another than ``endpoint_url``."""
    region: str = ""
    """Empty leaves it to boto3's own chain, and to us-east-1 where that says nothing."""
    access_key: str = ""
    """Empty leaves both keys to boto3's own chain: environment, profile, instance role."""
    secret_key: str = ""
    path_style: bool | None = None
    """Bucket in the path rather than in the host name; None means so where an endpoint is named."""
    sse: Literal["", "AES256", "aws:kms"] = ""
    """Server-side encryption that is asked for; empty leaves it to the bucket."""
    kms_key_id: str = ""
    """Key of ``aws:kms``; empty means the account's own for S3."""
    make_bucket: bool = False
    """Make the bucket when it is missing."""
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0
    """Seconds without a byte after which a request counts as failed."""
    attempts: int = 4
    """Times a request is sent at most, with growing random pauses of up to 20 s between."""
    part_size: int = 16 * 2**20
    """Bytes of a part; larger files go up in parts, at least 5 MiB each (S3's own limit). Grows with the file:
    there are 10 000 parts at most."""
    parallel: int = 4
    """Parts that go up at once; each is in memory."""
    page_size: int = 1000
    """Keys of a listing's page, 1 to 1000."""
    abort_days: int = 7
    """Days after which the server drops a multipart upload that nobody finished."""

    def encryption(self) -> dict[str, str]:
        """The parameters that ask for encryption of a new object."""
        named = {"SSEKMSKeyId": self.kms_key_id} if self.sse == "aws:kms" and self.kms_key_id else {}
        return {"ServerSideEncryption": self.sse, **named} if self.sse else {}


def client_of(options: S3Options) -> Any:
    """A boto3 client; it may be used by several threads at once."""
    session = _session(options.access_key, options.secret_key, options.region)
    # boto3's own "auto" puts the bucket in AWS's host names and in the path of any other server.
    style = {None: "auto", True: "path", False: "virtual"}[options.path_style]
    config = Config(
        signature_version="s3v4",
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": options.attempts},
        s3={"addressing_style": style},
        max_pool_connections=max(10, 2 * options.parallel),
        # Checksums of boto3's own are only half supported elsewhere (rclone answers a range with the whole
        # object's); we hash everything ourselves.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with _MAKING:
        return session.client(
            "s3",
            endpoint_url=options.endpoint_url or None,
            region_name=session.region_name or "us-east-1",
            config=config,
        )


_MAKING = threading.Lock()
"""Clients may be shared by threads; making one from a session may not."""


@functools.cache
def _session(access_key: str, secret_key: str, region: str) -> boto3.session.Session:
    """One for all clients of these keys: it keeps what it read of S3's description, 0.2 s for every client."""
    return boto3.session.Session(
        aws_access_key_id=access_key or None,
        aws_secret_access_key=secret_key or None,
        region_name=region or None,
    )


# -- errors ----------------------------------------------------------------------------------------------------

_MISSING = ("404", "NoSuchKey", "NotFound")
_TRANSIENT = (
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
)
_DENIED = ("401", "403", "AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch")


def code_of(error: ClientError) -> str:
    """The server's word for what went wrong; for a HEAD it is only the status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_transient(error: Exception) -> bool:
    """True when the same request may do better later."""
    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        passing = status in (408, 429) or (status >= 500 and status != 501)
        return passing or code_of(error) in _TRANSIENT
    return isinstance(
        error, (ConnectionError, HTTPClientError, IncompleteReadError, CredentialRetrievalError)
    )


@contextmanager
def s3_errors(key: str = "") -> Iterator[None]:
    """Raise the library's errors in the block as problems.

    Args:
        key: the object that the block is about; without one, 404 is a fault of the set-up.

    Raises:
        StoreUnavailable: no answer, 5xx, or a wish to be asked less often.
        NotFound: no such object or no such unfinished upload.
        InvalidParameter, Conflict: the parts to complete are not as named.
        InternalProblem: anything else, above all a set-up that can't work.
    """
    try:
        yield
    except ClientError as error:
        raise _problem_of(error, key) from error
    except BotoCoreError as error:
        if is_transient(error):
            raise StoreUnavailable(
                f"the object store did not answer ({type(error).__name__})",
                remedy="check that it runs and LIKENESS_S3_ENDPOINT_URL; jobs are tried again by themselves",
                details={"cause": type(error).__name__},
            ) from error
        raise _set_up(f"{type(error).__name__}: {error}", type(error).__name__) from error


def _problem_of(error: ClientError, key: str) -> Problem:
    code = code_of(error)
    if is_transient(error):
        return StoreUnavailable(
            f"the object store can't do its work now ({code or 'no reason given'})",
            remedy="wait for it, or look at its log; jobs are tried again by themselves",
            details={"cause": code},
        )
    if key and code in _MISSING:
        return missing(key)
    if code == "NoSuchUpload":
        return no_upload(key)
    if code in ("InvalidPartOrder", "EntityTooSmall", "MalformedXML"):
        return InvalidParameter(
            f"the parts of {key} can't be put together: {code}",
            remedy="name every part once, by rising number, each but the last of at least 5 MiB",
            details={"field": "parts", "cause": code},
        )
    if code == "InvalidPart":
        return Conflict(
            f"a part of {key} has not arrived as it is named",
            remedy="send the parts again and name them by the tags of the answers",
            details={"key": key},
        )
    if code in _DENIED:
        return _set_up(f"it refused the request ({code})", code)
    return _set_up(f"it answered {code or error}", code)


def _set_up(what: str, cause: str) -> InternalProblem:
    return InternalProblem(
        f"the object store can't be used: {what}",
        remedy="check the LIKENESS_S3_* settings, the bucket, and what the access key may do with it",
        details={"cause": cause},
    )
