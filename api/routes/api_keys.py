"""The keys of a tenant."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.dependencies import AccountDep, DatabaseDep, needs
from api.problem_details import answers, changes
from api.schemas import ApiKeyIn, ApiKeyOut, ApiKeysOut
from likeness.accounts import create_key, revoke_key
from likeness.repositories.accounts import KeyRepository
from likeness.tables import ApiKey
from problems import Conflict, NotFound

router = APIRouter(prefix="/v1/api-keys", tags=["api keys"], dependencies=[needs("admin")])


@router.post("", status_code=201, responses=changes(), summary="Make a key")
def add_key(body: ApiKeyIn, response: Response, account: AccountDep, database: DatabaseDep) -> ApiKeyOut:
    """The answer shows the key, once: only its hash is kept. Sent again with the same `Idempotency-Key`, the answer has
    everything but the key."""
    row, secret = create_key(
        database, tenant_id=account.tenant_id, name=body.name, scopes=body.scopes, actor=account.actor
    )
    response.headers["Location"] = f"/v1/api-keys/{row.id}"
    return _view(row, secret)


@router.get("", responses=answers(), summary="List keys")
def list_keys(account: AccountDep, database: DatabaseDep) -> ApiKeysOut:
    """Newest first, revoked ones included."""
    with database.read() as session:
        return ApiKeysOut(data=[_view(row) for row in KeyRepository(session).of_tenant(account.tenant_id)])


@router.delete(
    "/{key_id}",
    status_code=204,
    response_class=Response,
    responses=changes(NotFound, Conflict),
    summary="Revoke a key",
)
def remove_key(key_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    """At once. The last key that may make keys can't be revoked here."""
    revoke_key(database, key_id, tenant_id=account.tenant_id, actor=account.actor)
    return Response(status_code=204)


def _view(row: ApiKey, secret: str | None = None) -> ApiKeyOut:
    names = ("id", "name", "prefix", "scopes", "created_at", "last_used_at", "revoked_at")
    return ApiKeyOut.model_validate({**{name: getattr(row, name) for name in names}, "key": secret})
