"""Signed addresses that lead straight to the S3 server, and what browsers have to be allowed there for them.

They are signed for the address under which clients reach the server, which need not be the one that the service itself
uses: the host is part of what is signed, so it can't be put right afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from likeness.objects import checked_part
from likeness.s3_client import S3Options, client_of, code_of, s3_errors
from likeness.signed_urls import expiry

log = logging.getLogger("likeness.store")

_RULE = "likeness-browsers"


class S3Addresses:
    """Signs addresses of objects for clients."""

    def __init__(self, options: S3Options) -> None:
        reached = replace(options, endpoint_url=options.public_url or options.endpoint_url)
        with s3_errors():
            self._client = client_of(reached)

    def get(
        self,
        place: Mapping[str, str],
        *,
        expires_s: float,
        filename: str | None = None,
        media_type: str | None = None,
    ) -> str:
        """An address to read an object from; ``place`` is its bucket and name, as parameters of a request."""
        wishes = {}
        if filename is not None:
            wishes["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        if media_type is not None:
            wishes["ResponseContentType"] = media_type
        return self._signed("get_object", {**place, **wishes}, expires_s)

    def put(self, place: Mapping[str, str], *, expires_s: float, size: int, media_type: str) -> str:
        """An address to send an object of so many bytes to."""
        # No encryption headers: the client would have to know and send them. prepare() makes encryption the
        # bucket's default instead.
        return self._signed(
            "put_object", {**place, "ContentLength": size, "ContentType": media_type}, expires_s
        )

    def part(
        self,
        place: Mapping[str, str],
        upload_id: str,
        number: int,
        *,
        expires_s: float,
        size: int | None = None,
    ) -> str:
        """An address to send one part to, of ``size`` bytes where it says so."""
        which: dict[str, Any] = {"UploadId": upload_id, "PartNumber": checked_part(number)}
        if size is not None:
            which["ContentLength"] = size  # becomes part of what is signed
        return self._signed("upload_part", {**place, **which}, expires_s)

    def origin(self, place: Mapping[str, str]) -> str:
        """Scheme and host that the addresses begin with."""
        address = urlsplit(self.get(place, expires_s=1))
        return f"{address.scheme}://{address.netloc}"

    def _signed(self, operation: str, params: Mapping[str, Any], expires_s: float) -> str:
        expiry(expires_s)
        with s3_errors(params["Key"]):
            return str(
                self._client.generate_presigned_url(operation, Params=dict(params), ExpiresIn=int(expires_s))
            )


def allow_browsers(client: Any, bucket: str, origin: str) -> None:
    """Let pages of one origin send parts to the bucket and read from it; other rules stay. A server that knows no such
    rules gets a warning in the log.

    Args:
        origin: scheme and host of the dashboard; empty allows every page: it is the signature that permits.
    """
    rule = {
        "ID": _RULE,
        "AllowedOrigins": [origin or "*"],
        "AllowedMethods": ["GET", "HEAD", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag", "Content-Length", "Content-Range"],
        "MaxAgeSeconds": 3600,
    }
    try:
        try:
            rules = client.get_bucket_cors(Bucket=bucket).get("CORSRules", [])
        except ClientError as error:
            if code_of(error) != "NoSuchCORSConfiguration":
                raise
            rules = []
        if rule in rules:
            return
        # One call replaces every rule of the bucket: those of others are handed back as they are.
        others = [each for each in rules if each.get("ID") != _RULE]
        client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [*others, rule]})
    except (ClientError, BotoCoreError) as error:
        log.warning(
            "the bucket %s has no CORS rule of ours: where its server allows pages of other sites nothing, browsers "
            "can't send parts to it (%s)",
            bucket,
            error,
        )
