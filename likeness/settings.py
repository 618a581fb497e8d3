"""Settings of a deployment, from ``LIKENESS_*`` environment variables; every one has a default that works."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from likeness.signed_urls import secret_of
from problems import InvalidParameter

MEBIBYTE = 2**20
NOBODY = "none"
"""Of ``s3_public_url``: no client can reach the S3 server."""
LEAST_SECRET = 32
"""Characters of a ``secret_key``: 16 random bytes in hexadecimal."""
KNOWN_SECRETS = frozenset(
    (
        "admin",
        "change-me",
        "change_me",
        "changeme",
        "default",
        "example",
        "garage",
        "guest",
        "likeness",
        "minio",
        "minioadmin",
        "password",
        "postgres",
        "redis",
        "root",
        "rustfsadmin",
        "secret",
        "test",
        "user",
        "versitygw",
    )
)
"""Passwords that examples and images ship with; anybody may know them."""


class Settings(BaseSettings):
    """One frozen object, made at the start of a process and handed down."""

    model_config = SettingsConfigDict(
        env_prefix="LIKENESS_",
        frozen=True,
        extra="ignore",
        # Compose can't leave a variable out: it hands on what the operator did not set as nothing.
        env_ignore_empty=True,
    )

    environment: Literal["development", "production"] = "development"
    """In production the service refuses to start on secrets that are missing, short or known; see
    :meth:`Settings.require_safe`."""
    auth: Literal["local", "keys"] = "local"
    """Who may use the service: whoever reaches the port (for one's own machine), or holders of an API key."""
    consent: Literal["attested", "recorded"] = "attested"
    """What a training needs: the user's word that the person agreed, or a recording of them saying so."""
    consent_words: bool | None = None
    """Whether a training on a recorded consent needs that the words in it were heard; unset: in production it does."""
    recogniser: Literal["", "pocketsphinx", "faster-whisper"] = ""
    """What hears the words of a recorded consent on the workers; empty: a person does."""
    recogniser_model: Path | None = None
    """Folder of its model; pocketsphinx has one of its own."""
    rate_per_minute: int = Field(default=1200, ge=0)
    """Requests that one API key may make a minute; 0 is without limit."""
    secret_key: SecretStr = SecretStr("")
    """What the service signs with, at least 32 characters; empty: in development one is made in the data folder."""
    data_dir: Path = Path(".likeness")
    """Folder for the database, uploads, artifacts and work folders; made when it is missing."""
    database_url: str = ""
    """SQLAlchemy URL; empty means SQLite in the data folder. ``postgresql://`` uses psycopg 3."""
    store: Literal["local", "s3"] = "local"
    """Where objects lie: files in the data folder, or a bucket."""
    s3_bucket: str = ""
    """The bucket; the ``s3`` store needs one."""
    s3_prefix: str = ""
    """Folder inside the bucket, of plain segments; empty means its root."""
    s3_endpoint_url: str = ""
    """Address of an S3 server, as the service itself reaches it; empty means AWS."""
    s3_public_url: str = ""
    """Address of the same server as clients reach it: signed addresses lead there. ``none``: clients can't reach it, so
    the API hands objects out itself and takes parts in. Empty: the endpoint's own where that has a public name, else as
    ``none``."""
    s3_region: str = ""
    """Region; empty leaves it to boto3's own chain, then us-east-1."""
    s3_access_key: str = ""
    """Access key; empty leaves both keys to boto3's own chain (environment, profile, instance role)."""
    s3_secret_key: SecretStr = SecretStr("")
    """Its secret."""
    s3_path_style: bool | None = None
    """Bucket in the path rather than in the host name; unset means so where an endpoint is named."""
    s3_sse: Literal["", "AES256", "aws:kms"] = ""
    """Server-side encryption to ask for; empty leaves it to the bucket."""
    s3_kms_key_id: str = ""
    """Key for ``aws:kms``; empty means the account's own."""
    s3_make_bucket: bool = False
    """Make the bucket when it is missing."""
    public_url: str = ""
    """Address under which clients reach the service, ``https://likeness.example``: signed addresses that the API
    answers begin with it, and with https the cookie of a sign-in is for https only. Empty makes addresses relative to
    the host."""
    host: str = "127.0.0.1"
    """Address the service listens on. Another than this machine's own opens it to that network; with ``auth`` local,
    everybody there can do everything."""
    port: int = Field(default=8000, ge=0, le=65535)
    """TCP port the service listens on."""
    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    """Host names a request may carry (JSON list in the environment); ``*`` allows any."""
    max_upload_mb: int = Field(default=2048, ge=1)
    """Largest upload, MiB."""
    min_free_mb: int = Field(default=1024, ge=0)
    """Free disk below which uploads are refused and stages wait, MiB."""
    device: str = "auto"
    """Device of the worker: auto, cpu, cuda or cuda:N."""
    lease_s: float = Field(default=60.0, gt=0)
    """Seconds without a heartbeat after which a stage may be taken over."""
    heartbeat_s: float = Field(default=10.0, gt=0, le=40)
    """Seconds between heartbeats of a worker; at most 40, so that whoever was not seen for 120 s is gone."""
    progress_every_s: float = Field(default=0.5, ge=0)
    """Seconds between two progress rows of one stage."""
    poll_s: float = Field(default=0.5, gt=0)
    """Seconds an idle worker waits before it looks for work again."""
    max_attempts: int = Field(default=4, ge=1)
    """Times a stage may be started before it counts as failed."""
    retry_backoff_s: float = Field(default=5.0, ge=0)
    """Seconds before a retryable failure is tried again; doubles with each attempt."""
    broker_url: str = ""
    """Where wake-ups for Celery workers go, ``redis://…``; empty: one embedded worker beside the API, no broker."""
    stage_limit_s: float = Field(default=4 * 3600.0, gt=0)
    """Longest a stage may run, s; a Celery worker ends it then."""
    orphan_grace_s: float = Field(default=24 * 3600.0, ge=0)
    """Seconds after which the relay deletes outputs that no row names (of workers killed before their commit)."""
    fetch_from_private: bool = False
    """Whether files may be fetched from addresses inside of a private network."""
    webhooks_to_private: bool = False
    """Whether webhooks may go to addresses inside of a private network."""
    sweep_s: float = Field(default=15.0, gt=0)
    """Seconds between two looks of the relay for expired leases and lost wake-ups."""
    checkpoint_every_s: float = Field(default=30.0, gt=0)
    """Seconds between two copies of a running stage's checkpoints to the object store (with a broker only)."""
    stop_grace_s: float = Field(default=20.0, ge=0)
    """Seconds a stopping worker gets to put down its stage before it is killed."""
    c2pa_certificate: Path | None = None
    """PEM chain that videos are signed with, the signer's own first; unset: a development one, trusted by nobody."""
    c2pa_key: Path | None = None
    """PEM key of the chain's first certificate, without a password."""
    metrics_token: SecretStr = SecretStr("")
    """With keys: what Prometheus and others who watch the service send as ``Authorization: Bearer …`` to /metrics and
    /readyz; empty: an admin's key alone sees both whole."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe log line that is written."""
    log_format: Literal["text", "json"] = "text"
    """How a log line is written: for people, or as one JSON object with the ids of request, job and stage."""

    @field_validator("public_url", "s3_endpoint_url", "s3_public_url")
    @classmethod
    def _web_address(cls, url: str, about: ValidationInfo) -> str:
        if not url or (url == NOBODY and about.field_name == "s3_public_url"):
            return url
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url[:100]!r} is no address such as https://likeness.example")
        return url.rstrip("/")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @model_validator(mode="after")
    def _heartbeat_fits_lease(self) -> Self:
        if self.heartbeat_s * 2 > self.lease_s:
            raise ValueError("heartbeat_s must be at most half of lease_s, or one late beat loses the lease")
        return self

    @model_validator(mode="after")
    def _c2pa_is_whole(self) -> Self:
        if (self.c2pa_certificate is None) != (self.c2pa_key is None):
            raise ValueError("c2pa_certificate and c2pa_key belong together: give both or none")
        return self

    @model_validator(mode="after")
    def _s3_is_whole(self) -> Self:
        if self.store == "s3" and not self.s3_bucket:
            raise ValueError("store is s3, so s3_bucket must name a bucket")
        if bool(self.s3_access_key) != bool(self.s3_secret_key.get_secret_value()):
            raise ValueError("s3_access_key and s3_secret_key belong together: give both or none")
        if self.s3_kms_key_id and self.s3_sse != "aws:kms":
            raise ValueError("s3_kms_key_id has a meaning with s3_sse=aws:kms only")
        return self

    @cached_property
    def resolved_database_url(self) -> str:
        """The URL that is really used."""
        if not self.database_url:
            return f"sqlite:///{self.data_dir / 'likeness.db'}"
        if self.database_url.startswith("postgresql://"):
            return "postgresql+psycopg://" + self.database_url.removeprefix("postgresql://")
        return self.database_url

    @property
    def words_needed(self) -> bool:
        """Whether a recorded consent counts only once its words were heard."""
        return self.environment == "production" if self.consent_words is None else self.consent_words

    @property
    def carries_checkpoints(self) -> bool:
        """Whether another machine might have to go on with a stage."""
        return bool(self.broker_url)

    @property
    def objects_dir(self) -> Path:
        """Root of the local object store."""
        return self.data_dir / "objects"

    @property
    def work_dir(self) -> Path:
        """Root of the work folders, one per job."""
        return self.data_dir / "work"

    @property
    def provenance_dir(self) -> Path:
        """Where the development certificate lies."""
        return self.data_dir / "provenance"

    @property
    def incoming_dir(self) -> Path:
        """Where bytes of an upload wait until they are whole."""
        return self.data_dir / "incoming"

    @property
    def locks_dir(self) -> Path:
        """Files whose kernel locks say who is alive."""
        return self.data_dir / "locks"

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * MEBIBYTE

    @property
    def min_free_bytes(self) -> int:
        return self.min_free_mb * MEBIBYTE

    @cached_property
    def secret_values(self) -> Mapping[str, str]:
        """Every secret there is, by the variable it came from: secret fields, and passwords in URLs; none empty."""
        found = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                secret = value.get_secret_value()
            elif name.endswith(("secret_key", "password", "token")):
                secret = str(value)
            elif isinstance(value, str) and "://" in value:
                secret = unquote(urlsplit(value).password or "")
            else:
                continue
            if secret:
                found[f"LIKENESS_{name.upper()}"] = secret
        return found

    def require_safe(self) -> None:
        """Refuse to go on in production with what only a developer's own machine may have.

        Raises:
            InvalidParameter: names each variable and what is wrong with it; never its value.
        """
        if self.environment != "production":
            return
        faults = {
            name: "is a password that everybody knows"
            for name, secret in self.secret_values.items()
            if secret.lower() in KNOWN_SECRETS
        }
        length = len(self.secret_key.get_secret_value())
        if length < LEAST_SECRET:
            wrong = f"has {length} characters, fewer than {LEAST_SECRET}" if length else "is not set"
            faults.setdefault("LIKENESS_SECRET_KEY", wrong)
        elif len(set(self.secret_key.get_secret_value())) < 8:
            faults.setdefault("LIKENESS_SECRET_KEY", "repeats a few characters; it is not random")
        token = self.metrics_token.get_secret_value()
        if token and len(token) < LEAST_SECRET:
            faults.setdefault(
                "LIKENESS_METRICS_TOKEN", f"has {len(token)} characters, fewer than {LEAST_SECRET}"
            )
        if self.auth != "keys":
            faults["LIKENESS_AUTH"] = (
                "is local, so whoever reaches the port can do everything; set it to keys"
            )
        if self.broker_url and self.resolved_database_url.startswith("sqlite"):
            faults["LIKENESS_DATABASE_URL"] = "is SQLite, which workers on other machines can't reach"
        if faults:
            raise InvalidParameter(
                "not safe for production: " + "; ".join(f"{name} {fault}" for name, fault in faults.items()),
                remedy="make secrets with `openssl rand -hex 32` and put them into the environment (.env.example "
                "lists them); LIKENESS_ENVIRONMENT=development is for your own machine only",
                details={"fields": list(faults)},
            )

    def signing_key(self) -> bytes:
        """What to sign with: ``secret_key``, or in development one that is made in the data folder at first use.

        Raises:
            InvalidParameter: production without a ``secret_key``.
        """
        if given := self.secret_key.get_secret_value():
            return given.encode()
        self.require_safe()
        self.prepare_folders()
        return secret_of(self.data_dir / "secret_key", lambda: secrets.token_hex(32).encode())

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """From the environment, with those overrides that are not None.

        Raises:
            InvalidParameter: a value is out of range; the message names the variable.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            return cls(**given)  # type: ignore[arg-type]
        except (ValidationError, SettingsError) as error:
            faults = error.errors() if isinstance(error, ValidationError) else []
            names = [f"LIKENESS_{part}".upper() for fault in faults for part in fault["loc"][:1]]
            reason = "; ".join(str(fault["msg"]) for fault in faults) or str(error)
            raise InvalidParameter(
                f"the settings can't be used: {', '.join(names) or 'LIKENESS_*'}: {reason}",
                remedy="correct the environment variable; docs/operations.md lists them with their ranges",
                details={"field": names[0] if names else ""},
            ) from error

    def prepare_folders(self) -> None:
        """Make the data folder and its parts, readable by the owner only: they hold faces and voices.

        Raises:
            InvalidParameter: the data folder can't be made where it is wanted.
        """
        for folder in (self.data_dir, self.objects_dir, self.work_dir, self.incoming_dir, self.locks_dir):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except (PermissionError, FileNotFoundError, NotADirectoryError, FileExistsError) as error:
                raise _no_folder(folder, error) from error
            except OSError as error:
                if error.errno in (errno.EROFS, errno.ENAMETOOLONG):
                    raise _no_folder(folder, error) from error
                raise


def _no_folder(folder: Path, error: OSError) -> InvalidParameter:
    return InvalidParameter(
        f"the data folder can't be used: {folder}: {error.strerror}",
        remedy="set LIKENESS_DATA_DIR (or --data-dir) to a folder that may be written",
        details={"field": "LIKENESS_DATA_DIR"},
    )
