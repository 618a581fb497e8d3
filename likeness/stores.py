"""Which object store a deployment uses, and where clients read from it and write to it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from likeness.settings import NOBODY, Settings
from likeness.signed_urls import ApiAddresses, object_secret
from likeness.store import LocalStore, ObjectStore

_INNER_NAMES = re.compile(
    r"[^.]*|.*\.(?:localhost|localdomain|local|lan|home|internal|intranet|private|corp|svc|test|home\.arpa)\.?"
)
"""Names that mean something inside of one network only: those of a container (``s3``), a cluster, a home."""


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

    api = ApiAddresses(settings.public_url, lambda: object_secret(settings.signing_key()))
    return S3Store(
        S3Options(
            bucket=settings.s3_bucket,
            prefix=settings.s3_prefix,
            endpoint_url=settings.s3_endpoint_url,
            public_url="" if settings.s3_public_url == NOBODY else settings.s3_public_url,
            region=settings.s3_region,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key.get_secret_value(),
            path_style=settings.s3_path_style,
            sse=settings.s3_sse,
            kms_key_id=settings.s3_kms_key_id,
            make_bucket=settings.s3_make_bucket,
        ),
        by_api=None if clients_reach_s3(settings) else api,
        page_origin=api.origin,
    )


def clients_reach_s3(settings: Settings) -> bool:
    """Whether signed addresses may lead to the S3 server: said by ``s3_public_url``, else told from the endpoint's
    name. Nothing is looked up: whether the address works is for ``likeness doctor`` to say.
    """
    if settings.s3_public_url:
        return settings.s3_public_url != NOBODY
    if not settings.s3_endpoint_url:
        return True  # AWS
    host = (urlsplit(settings.s3_endpoint_url).hostname or "").lower()
    try:
        return ip_address(host).is_global
    except ValueError:
        return not _INNER_NAMES.fullmatch(host)
