"""``likeness keys``: API keys and limits, made on the server itself, where no key is needed yet.

Works on the database directly, as ``LIKENESS_DATABASE_URL`` or the data folder has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from cli.terminal import JsonOption, exit_code, print_json, show_problem
from problems import Conflict, InvalidParameter, NotFound, Problem

if TYPE_CHECKING:
    from likeness.accounts import Limits
    from likeness.database import Database
    from likeness.tables import ApiKey, Tenant

keys = typer.Typer(no_args_is_help=True, help="API keys and limits of tenants, on the server itself.")

DataDirOption = Annotated[
    Path | None, typer.Option(help="Folder for everything.", show_default="./.likeness")
]
TenantOption = Annotated[
    str | None,
    typer.Option(help="Whose, by name or id.", show_default="those who need no account"),
]
_NONE = "none"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="keys")


@keys.command("create")
def create(
    name: Annotated[str, typer.Option(help="What the key is for, such as ci.")] = "key",
    tenant: Annotated[
        str | None,
        typer.Option(
            help="Whose; made when there is none of this name.", show_default="those without account"
        ),
    ] = None,
    scopes: Annotated[
        str,
        typer.Option(
            help="What it may do, with commas: read, train, render, admin.",
        ),
    ] = "read,train,render",
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it, once: only its hash is kept."""
    from likeness.accounts import create_key, create_tenant

    with _database(data_dir, as_json=as_json) as database:
        found = _find(database, tenant)
        tenant_id = found.id if found is not None else None
        wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        if tenant_id is None:
            _require_scopes(wanted)  # before the tenant is made: a typing error leaves nothing behind
            tenant_id = create_tenant(database, tenant or "")
        row, secret = create_key(database, tenant_id=tenant_id, name=name, scopes=wanted)
        if as_json:
            print_json({"key": secret, "tenant_id": tenant_id, "tenant_made": found is None, **_facts(row)})
        else:
            made = "" if found is not None else f"; the tenant {tenant} is new"
            print(secret)
            Console(stderr=True, highlight=False, soft_wrap=True).print(
                f"This is the only time that the key is shown ({row.id}, {', '.join(row.scopes)}{made}).\n"
                f"Use it: export LIKENESS_API_KEY=…"
            )


@keys.command("list")
def list_keys(
    tenant: TenantOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """List keys of everybody or of one tenant, revoked ones included."""
    from likeness.repositories.accounts import KeyRepository, TenantRepository

    with _database(data_dir, as_json=as_json) as database:
        whose = _existing(database, tenant).id if tenant is not None else None
        with database.read() as session:
            rows = KeyRepository(session).of_tenant(whose)
            names = {each.id: each.name for each in TenantRepository(session).all()}
        if as_json:
            print_json({"keys": [{**_facts(row), "tenant": names[row.tenant_id]} for row in rows]})
            return
        _show(
            [
                (
                    row.id,
                    row.prefix,
                    row.name,
                    names[row.tenant_id],
                    ",".join(row.scopes),
                    f"{row.last_used_at:%Y-%m-%d}" if row.last_used_at else "never",
                    f"revoked {row.revoked_at:%Y-%m-%d}" if row.revoked_at else "good",
                )
                for row in rows
            ]
        )


def _show(rows: list[tuple[str, ...]]) -> None:
    """As columns, whole: an id that was cut off could not be revoked."""
    table = [("key", "begins with", "name", "tenant", "scopes", "used", "state"), *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@keys.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="key_…, as `likeness keys list` has it.")],
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key, at once and for every process; the last admin key too."""
    from likeness.accounts import revoke_key

    with _database(data_dir, as_json=as_json) as database:
        revoke_key(database, key_id)
        if as_json:
            print_json({"id": key_id, "revoked": True})
        else:
            print(f"{key_id} is revoked")


@keys.command("limits")
def limits(
    tenant: Annotated[str, typer.Option(help="Whose, by name or id.")],
    concurrent_jobs: Annotated[
        str | None, typer.Option(help="Jobs that wait or run at the same time; none is without limit.")
    ] = None,
    video_minutes: Annotated[
        str | None, typer.Option(help="Minutes of video made in a calendar month; or none.")
    ] = None,
    storage_gb: Annotated[
        str | None, typer.Option(help="Gigabytes of uploads that are kept; or none.")
    ] = None,
    requests_per_minute: Annotated[
        str | None, typer.Option(help="Of each key; none is the deployment's own rate.")
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a tenant may use, and change what is named."""
    from likeness.accounts import Limits, set_limits

    with _database(data_dir, as_json=as_json) as database:
        found = _existing(database, tenant)
        before = Limits.of(found.limits)
        after = _changed(before, concurrent_jobs, video_minutes, storage_gb, requests_per_minute)
        if after != before:
            set_limits(database, found.id, after)
        if as_json:
            print_json({"tenant_id": found.id, "tenant": found.name, "limits": asdict(after)})
            return
        for name, value in asdict(after).items():
            print(f"{name:24} {'without limit' if value is None else f'{value:g}'}")


def _changed(
    limits: Limits, jobs: str | None, minutes: str | None, storage_gb: str | None, requests: str | None
) -> Limits:
    changes: dict[str, Any] = {}
    for field, option, text, scale in (
        ("concurrent_jobs", "--concurrent-jobs", jobs, 1),
        ("video_minutes_per_month", "--video-minutes", minutes, 1),
        ("storage_bytes", "--storage-gb", storage_gb, 10**9),
        ("requests_per_minute", "--requests-per-minute", requests, 1),
    ):
        if text is not None:
            value = _number(option, text)
            whole = field != "video_minutes_per_month"
            changes[field] = None if value is None else int(value * scale) if whole else value
    return replace(limits, **changes)


def _number(option: str, text: str) -> float | None:
    if text.lower() == _NONE:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e15:
        raise InvalidParameter(
            f"{option} is {text!r}", remedy="use a number from 0 on, or none", details={"field": option}
        )
    return value


def _require_scopes(wanted: list[str]) -> None:
    from likeness.accounts import SCOPES

    if not wanted or not set(wanted) <= set(SCOPES):
        raise InvalidParameter(
            f"{', '.join(wanted) or 'nothing'} are no scopes",
            remedy=f"use one or more of {', '.join(SCOPES)}, with commas",
            details={"field": "scopes"},
        )


@contextmanager
def _database(data_dir: Path | None, *, as_json: bool) -> Iterator[Database]:
    """The database, with a schema that this code knows; problems become two lines and an exit code."""
    from likeness.database import Database
    from likeness.schema import current_revision, head_revision, migrate
    from likeness.settings import Settings

    try:
        database = Database.of(Settings.load(data_dir=data_dir))
        try:
            revision = current_revision(database)
            if revision is None:
                migrate(database)  # the first key may be made before the service was ever started
            elif revision != head_revision():
                raise Conflict(
                    f"the database is at revision {revision}, this program wants {head_revision()}",
                    remedy="run `likeness migrate`, or the program that the database was written by",
                    details={"revision": revision},
                )
            yield database
        finally:
            database.close()
    except Problem as problem:
        show_problem(problem)
        if as_json:
            print_json({"error": problem.as_dict()})
        raise typer.Exit(exit_code(problem)) from None


def _find(database: Database, tenant: str | None) -> Tenant | None:
    """By id or name; without either those who need no account."""
    from likeness.repositories.accounts import TenantRepository
    from likeness.tables import EMBEDDED

    with database.read() as session:
        everybody = TenantRepository(session).all()
    wanted = EMBEDDED if tenant is None else tenant.strip()
    found = [each for each in everybody if wanted in (each.id, each.name)]
    if len(found) > 1:
        raise Conflict(
            f"{len(found)} tenants are called {wanted!r}",
            remedy=f"name one by its id: {', '.join(each.id for each in found)}",
            details={"ids": [each.id for each in found]},
        )
    return found[0] if found else None


def _existing(database: Database, tenant: str) -> Tenant:
    found = _find(database, tenant)
    if found is None:
        raise NotFound(
            f"there is no tenant {tenant!r}",
            remedy=f"make them with their first key: likeness keys create --tenant {tenant!r}",
            details={"tenant": tenant},
        )
    return found


def _facts(row: ApiKey) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": list(row.scopes),
        "created_at": row.created_at.isoformat(),
        "last_used_at": row.last_used_at.isoformat() if row.last_used_at else None,
        "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
    }
