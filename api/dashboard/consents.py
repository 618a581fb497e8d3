"""Consents: asked for, recorded with the webcam, checked, taken back."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response

from api.dashboard.forms import receive_form, see
from api.dashboard.render import render
from api.dependencies import AccountDep, Cursor, DatabaseDep, SettingsDep, StoreDep, needs
from api.routes.consents import remove_consent, review, revoke
from api.routes.downloads import FILE_EXPIRES_S
from api.schemas import ConsentOut, ReviewIn
from api.views import consent_view
from likeness.accounts import Account
from likeness.consents import attest_consent, record_consent, request_consent
from likeness.database import Database
from likeness.repositories.consents import ConsentRepository
from likeness.requests import consent_or_refuse, upload_or_refuse

router = APIRouter(prefix="/consents")


@router.get("", dependencies=[needs("read")])
def list_consents(
    request: Request, account: AccountDep, database: DatabaseDep, cursor: Cursor = None
) -> Response:
    with database.read() as session:
        page = ConsentRepository(session).page(account.tenant_id, limit=25, cursor=cursor)
        consents = [consent_view(row) for row in page.rows]
    return render(request, "consents.html", consents=consents, next_cursor=page.next_cursor)


def teaching_consents(database: Database, account: Account) -> list[ConsentOut]:
    """The latest recorded consents on which a person may be learned."""
    with database.read() as session:
        rows = ConsentRepository(session).verified(account.tenant_id, limit=100)
        return [consent_view(row) for row in rows if not row.purposes or "train" in row.purposes]


@router.get("/new", dependencies=[needs("train")])
def new_consent(request: Request) -> Response:
    return render(request, "consent_new.html")


@router.post("", dependencies=[needs("train")])
def add_consent(
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    subject_name: Annotated[str, Form(max_length=200)],
    language: Annotated[str, Form(max_length=16)] = "en",
    purposes: Annotated[list[str] | None, Form(max_length=2)] = None,
    how: Annotated[Literal["recorded", "attested"], Form()] = "recorded",
) -> Response:
    """Leads to the page with the statement."""
    if how == "attested":
        consent = attest_consent(
            database, account, settings, subject_name=subject_name, purposes=purposes or []
        )
    else:
        consent = request_consent(
            database, account, subject_name=subject_name, language=language, purposes=purposes or []
        )
    return see(f"/consents/{consent.id}")


@router.get("/{consent_id}", dependencies=[needs("read")])
def show_consent(request: Request, consent_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    return _consent_page(request, consent_id, account, database, "consent.html")


@router.get("/{consent_id}/standing", dependencies=[needs("read")])
def consent_standing(
    request: Request, consent_id: str, account: AccountDep, database: DatabaseDep
) -> Response:
    """The part of the page that changes while the recording is checked."""
    response = _consent_page(request, consent_id, account, database, "consent_standing.html")
    if not response.context["active"]:  # type: ignore[attr-defined]
        response.headers["HX-Refresh"] = "true"
    return response


def _consent_page(
    request: Request, consent_id: str, account: AccountDep, database: DatabaseDep, template: str
) -> Response:
    with database.read() as session:
        consent = consent_view(consent_or_refuse(session, consent_id, tenant_id=account.tenant_id))
        people = [
            {"id": person.id, "name": person.name}
            for person in ConsentRepository(session).people(consent_id)
            if person.tenant_id == account.tenant_id
        ]
    return render(request, template, consent=consent, people=people, active=consent.status == "verifying")


@router.post("/{consent_id}/recording", dependencies=[needs("train")])
async def add_recording(
    request: Request,
    consent_id: str,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    store: StoreDep,
) -> Response:
    sent = await receive_form(request, account, settings, database, store, purpose="consent")

    def start() -> str:
        record_consent(database, account, consent_id, sent.upload_id)
        return consent_id

    return see(f"/consents/{await sent.start(start, database, store, settings)}")


@router.get("/{consent_id}/recording", dependencies=[needs("admin")])
def play_recording(consent_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep) -> Response:
    """What the person said, for whoever reviews it."""
    with database.read() as session:
        consent = consent_or_refuse(session, consent_id, tenant_id=account.tenant_id)
        upload = upload_or_refuse(session, consent.recording_upload_id or "", tenant_id=account.tenant_id)
    kind = upload.media_type if upload.media_type.startswith("video/") else "video/mp4"
    return see(store.signed_get(upload.object_key, expires_s=FILE_EXPIRES_S, media_type=kind))


@router.post("/{consent_id}/review", dependencies=[needs("admin")])
def review_consent(
    consent_id: str,
    account: AccountDep,
    database: DatabaseDep,
    store: StoreDep,
    words: Annotated[Literal["heard", "missing"], Form()],
) -> Response:
    """Enter whether the words were heard."""
    review(consent_id, ReviewIn(words_heard=words == "heard"), account, database, store)
    return see(f"/consents/{consent_id}")


@router.post("/{consent_id}/revoke", dependencies=[needs("train")])
def revoke_consent(consent_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep) -> Response:
    revoke(consent_id, account, database, store)
    return see(f"/consents/{consent_id}")


@router.post("/{consent_id}/delete", dependencies=[needs("train")])
def delete_consent(
    consent_id: str,
    account: AccountDep,
    database: DatabaseDep,
    store: StoreDep,
    settings: SettingsDep,
) -> Response:
    """Leads to the receipt."""
    receipt = remove_consent(consent_id, Response(), account, database, store, settings)
    return see(f"/deletions/{receipt.id}")
