"""The object store on S3, or on a server that speaks it; the same keys, promises and problems as local files.

What is verified is verified by us: sha256 is computed before the bytes leave and checked after they came back, and
stands in the metadata of what :meth:`S3Store.put_file` stored. Tags (ETag) only tell parts apart. Use a bucket
without versioning: in one with it, what is deleted stays.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from likeness.objects import (
    ObjectFacts,
    Part,
    StoredObject,
    checked_key,
    checked_order,
    checked_part,
    no_upload,
)
from likeness.s3_addresses import S3Addresses, allow_browsers
from likeness.s3_client import S3Options, client_of, code_of, s3_errors
from likeness.s3_download import download
from likeness.s3_reading import describe, read_piece
from likeness.s3_upload import Upload, list_parts
from likeness.signed_urls import ApiAddresses, Grant
from problems import InternalProblem, NotFound

log = logging.getLogger("likeness.store")

_RULE = "likeness-abort-unfinished-uploads"
_OCTETS = "application/octet-stream"
_PER_DELETE = 1000


class S3Store:
    """Objects in one bucket, below one prefix; fits :class:`likeness.store.ObjectStore`.

    Every method may raise StoreUnavailable (retryable), and InternalProblem when the set-up can't work.

    Args:
        by_api: what signs addresses where clients can't reach the server: the API then hands the objects out and takes
            parts in. Without it addresses lead to the server.
        page_origin: scheme and host of the pages that send parts to the server and read from it; empty is any.
    """

    def __init__(
        self, options: S3Options, *, by_api: ApiAddresses | None = None, page_origin: str = ""
    ) -> None:
        self.options, self._by_api, self._page_origin = options, by_api, page_origin
        folder = options.prefix.strip("/")
        self._root = f"{checked_key(folder)}/" if folder else ""
        with s3_errors():
            self._client = client_of(options)
        self._direct = S3Addresses(options)

    def prepare(self) -> None:
        """Check the bucket, make it where that is asked for, and set its rules as far as the server knows such.

        Raises:
            InternalProblem: there is no such bucket, or it may not be used.
        """
        bucket = self.options.bucket
        with s3_errors():
            try:
                self._client.head_bucket(Bucket=bucket)
            except ClientError as error:
                if code_of(error) != "404":
                    raise
                if not self.options.make_bucket:
                    raise InternalProblem(
                        f"there is no bucket {bucket}",
                        remedy="make it, correct LIKENESS_S3_BUCKET, or set LIKENESS_S3_MAKE_BUCKET=true",
                        details={"bucket": bucket},
                    ) from error
                self._make_bucket()
        self._abort_unfinished_uploads_some_day()
        self._encrypt_by_default()
        if self._by_api is None:
            allow_browsers(self._client, self.options.bucket, self._page_origin)

    def ping(self) -> None:
        with s3_errors():
            self._client.head_bucket(Bucket=self.options.bucket)

    def put_file(self, key: str, source: Path, *, move: bool = False) -> StoredObject:
        """As the protocol says; a large file that was cut off goes on where it was (:mod:`likeness.s3_upload`).

        Raises:
            Conflict: somebody wrote to ``source`` meanwhile.
        """
        with s3_errors(key):
            plan = Upload(self._client, self.options, self._name(key), source).run()
        if move:
            source.unlink()
        return StoredObject(key, plan.size, plan.sha256)

    def fetch(self, key: str, destination: Path, *, sha256: str) -> None:
        with s3_errors(key):
            download(self._client, self._place(key), key, destination, sha256)

    def exists(self, key: str) -> bool:
        with s3_errors(key):
            try:
                self._client.head_object(**self._place(key))
            except ClientError as error:
                if code_of(error) == "404":
                    return False
                raise
        return True

    def size(self, key: str) -> int:
        with s3_errors(key):
            return int(self._client.head_object(**self._place(key))["ContentLength"])

    def measure(self, key: str) -> StoredObject:
        digest, size = hashlib.sha256(), 0
        with s3_errors(key):
            body = self._client.get_object(**self._place(key))["Body"]
            for block in body.iter_chunks(2**20):
                digest.update(block)
                size += len(block)
        return StoredObject(key, size, digest.hexdigest())

    def delete_prefix(self, prefix: str) -> int:
        self._abort_under(prefix)
        names = [self._name(key) for key in self.keys(prefix)]
        for start in range(0, len(names), _PER_DELETE):
            batch = [{"Key": name} for name in names[start : start + _PER_DELETE]]
            with s3_errors():
                answer = self._client.delete_objects(
                    Bucket=self.options.bucket, Delete={"Objects": batch, "Quiet": True}
                )
                if faults := answer.get("Errors"):
                    raise ClientError({"Error": faults[0]}, "DeleteObjects")
        return len(names)

    def keys(self, prefix: str = "") -> Iterator[str]:
        if prefix and self.exists(prefix):
            yield prefix
        below = f"{self._name(prefix)}/" if prefix else self._root
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.options.bucket, Prefix=below, PaginationConfig={"PageSize": self.options.page_size}
        )
        with s3_errors():
            for page in pages:
                for found in page.get("Contents", []):
                    yield str(found["Key"]).removeprefix(self._root)

    def local_path(self, key: str) -> None:
        checked_key(key)

    def describe(self, key: str) -> ObjectFacts:
        with s3_errors(key):
            return describe(self._client, self._place(key))

    def read(self, key: str, start: int, length: int, *, etag: str) -> bytes:
        with s3_errors(key):
            return read_piece(self._client, self._place(key), key, start, length, etag=etag)

    # -- signed addresses: of the server itself, or of the API where clients can't reach the server --------------

    @property
    def answered_by_api(self) -> bool:
        return self._by_api is not None

    @property
    def address_origin(self) -> str:
        return self._by_api.origin if self._by_api else self._direct.origin(self._place("any"))

    def check_signature(self, method: str, key: str, query: Mapping[str, str]) -> Grant:
        if self._by_api is None:
            raise NotFound(
                "this service hands out no objects itself",
                remedy="use the address as it was given: it leads to the object store",
            )
        return self._by_api.check(method, key, query)

    def signed_get(
        self, key: str, *, expires_s: float, filename: str | None = None, media_type: str | None = None
    ) -> str:
        if self._by_api:
            return self._by_api.get(key, expires_s=expires_s, filename=filename, media_type=media_type)
        place = self._place(key)
        return self._direct.get(place, expires_s=expires_s, filename=filename, media_type=media_type)

    def signed_put(self, key: str, *, expires_s: float, size: int, media_type: str = _OCTETS) -> str:
        if self._by_api:
            return self._by_api.put(key, expires_s=expires_s, size=size, media_type=media_type)
        return self._direct.put(self._place(key), expires_s=expires_s, size=size, media_type=media_type)

    def signed_part(
        self, key: str, upload_id: str, number: int, *, expires_s: float, size: int | None = None
    ) -> str:
        if self._by_api:
            return self._by_api.part(key, upload_id, number, expires_s=expires_s, size=size)
        return self._direct.part(self._place(key), upload_id, number, expires_s=expires_s, size=size)

    def take_part(self, key: str, upload_id: str, number: int, received: Path, sha256: str) -> Part:
        size = received.stat().st_size
        with s3_errors(key), open(received, "rb") as stream:
            sent = self._client.upload_part(
                **self._place(key), UploadId=upload_id, PartNumber=checked_part(number), Body=stream
            )
        return Part(number, size, str(sent["ETag"]))

    def begin_parts(self, key: str) -> str:
        with s3_errors(key):
            begun = self._client.create_multipart_upload(**self._place(key), **self.options.encryption())
        return str(begun["UploadId"])

    def parts(self, key: str, upload_id: str) -> list[Part]:
        with s3_errors(key):
            listed = list_parts(self._client, self._place(key), upload_id)
        if listed is None:
            raise no_upload(key)
        return [Part(int(part["PartNumber"]), int(part["Size"]), str(part["ETag"])) for part in listed]

    def complete_parts(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        named = [{"PartNumber": part.number, "ETag": part.tag} for part in checked_order(parts)]
        with s3_errors(key):
            self._client.complete_multipart_upload(
                **self._place(key), UploadId=upload_id, MultipartUpload={"Parts": named}
            )

    def abort_parts(self, key: str, upload_id: str) -> None:
        with s3_errors(key):
            self._abort(self._name(key), upload_id)

    # -- parts of the above ----------------------------------------------------------------------------------

    def _name(self, key: str) -> str:
        """The object's name in the bucket."""
        return self._root + checked_key(key)

    def _place(self, key: str) -> dict[str, str]:
        return {"Bucket": self.options.bucket, "Key": self._name(key)}

    def _abort(self, name: str, upload_id: str) -> None:
        try:
            self._client.abort_multipart_upload(Bucket=self.options.bucket, Key=name, UploadId=upload_id)
        except ClientError as error:
            if code_of(error) not in ("NoSuchUpload", "404"):
                raise

    def _abort_under(self, prefix: str) -> None:
        """Drop unfinished uploads: their parts hold faces and voices too. MinIO lists only those of the exact
        name; there the rest goes by the lifecycle rule.
        """
        name = self._name(prefix)
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.options.bucket, Prefix=name
        )
        with s3_errors():
            try:
                found = [upload for page in pages for upload in page.get("Uploads", [])]
            except ClientError as error:
                # rclone says NoSuchUpload when there are none
                if code_of(error) in ("NoSuchUpload", "NotImplemented", "MethodNotAllowed"):
                    return
                raise
            for upload in found:
                if upload["Key"] == name or upload["Key"].startswith(f"{name}/"):
                    self._abort(upload["Key"], upload["UploadId"])

    def _make_bucket(self) -> None:
        region = self._client.meta.region_name
        # AWS refuses the name of its first region here.
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            self._client.create_bucket(Bucket=self.options.bucket, **where)
        except ClientError as error:
            if code_of(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise
            self._client.head_bucket(Bucket=self.options.bucket)  # another process made it, or it isn't ours

    def _abort_unfinished_uploads_some_day(self) -> None:
        rule = {
            "ID": _RULE,
            "Status": "Enabled",
            "Filter": {"Prefix": self._root},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": self.options.abort_days},
        }
        bucket = self.options.bucket
        try:
            try:
                rules = self._client.get_bucket_lifecycle_configuration(Bucket=bucket).get("Rules", [])
            except ClientError as error:
                if code_of(error) != "NoSuchLifecycleConfiguration":
                    raise
                rules = []
            if rule in rules:
                return
            # One call replaces every rule of the bucket: those of others are handed back as they are.
            others = [each for each in rules if each.get("ID") != _RULE]
            self._client.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": [*others, rule]}
            )
        except (ClientError, BotoCoreError) as error:
            log.warning("the bucket %s has no rule that drops unfinished uploads: %s", bucket, error)

    def _encrypt_by_default(self) -> None:
        if not self.options.sse:
            return
        key = {"KMSMasterKeyID": self.options.kms_key_id} if self.options.kms_key_id else {}
        default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": self.options.sse, **key}}
        try:
            self._client.put_bucket_encryption(
                Bucket=self.options.bucket, ServerSideEncryptionConfiguration={"Rules": [default]}
            )
        except (ClientError, BotoCoreError) as error:
            log.warning(
                "the bucket %s does not encrypt by default, so what clients upload themselves is not asked to be: %s",
                self.options.bucket,
                error,
            )
