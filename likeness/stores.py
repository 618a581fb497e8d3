"""Which object store a deployment uses."""

from __future__ import annotations

from likeness.settings import Settings
from likeness.store import LocalStore, ObjectStore


def store_of(settings: Settings) -> ObjectStore:
    """The store of the settings; call its ``prepare`` once where a process begins that is to write to it.

    Raises:
        InternalProblem: the S3 settings are none that can work.
    """
    if settings.store == "local":
        return LocalStore(settings.objects_dir, base_url=settings.public_url, secret=settings.signing_key)
    # boto3 takes half a second to import, which an embedded deployment should not pay.
    from likeness.s3 import S3Store
    from likeness.s3_client import S3Options

    return S3Store(
        S3Options(
            bucket=settings.s3_bucket,
            prefix=settings.s3_prefix,
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key.get_secret_value(),
            path_style=settings.s3_path_style,
            sse=settings.s3_sse,
            kms_key_id=settings.s3_kms_key_id,
            make_bucket=settings.s3_make_bucket,
        )
    )
