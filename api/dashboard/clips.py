"""Clips and videos that are looked at: is this one fit to learn from, and was that one made here?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from api.dashboard.forms import receive_form, see
from api.dashboard.people import enter_and_train
from api.dashboard.reading import reading_of, training_of
from api.dashboard.render import render
from api.dependencies import AccountDep, DatabaseDep, SettingsDep, StoreDep, needs
from likeness.requests import Preset, record_or_refuse, request_inspection, request_verification
from problems import InvalidParameter

router = APIRouter()
_UPLOADS = [needs("train")]
_ANY_UPLOADS = [needs("train", "render")]


@router.get("/inspections/new", dependencies=_UPLOADS)
def new_inspection(request: Request) -> Response:
    return render(request, "inspection_new.html")


@router.post("/inspections", dependencies=_UPLOADS)
async def inspect(
    request: Request, account: AccountDep, database: DatabaseDep, settings: SettingsDep, store: StoreDep
) -> Response:
    sent = await receive_form(request, account, settings, database, store, purpose="clip")
    job_id = await sent.start(
        lambda: request_inspection(
            database, upload_id=sent.upload_id, tenant_id=account.tenant_id, **reading_of(sent.fields)
        ),
        database,
        store,
        settings,
    )
    return see(f"/jobs/{job_id}")


@router.post("/inspections/{job_id}/train", dependencies=_UPLOADS)
def train_inspected(
    job_id: str,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    name: Annotated[str, Form(max_length=200)],
    subject_name: Annotated[str, Form(max_length=200)] = "",
    attested: Annotated[str, Form(max_length=8)] = "",
    consent_id: Annotated[str, Form(max_length=64)] = "",
    preset: Annotated[Preset, Form()] = "preview",
    accept: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Enter a person with a clip that was inspected, and train."""
    with database.read() as session:
        inspected = record_or_refuse(session, job_id, kind="inspection", tenant_id=account.tenant_id)
    upload_id = inspected.input_id("clip")
    if upload_id is None:
        raise InvalidParameter("the inspected clip was deleted", remedy="upload the clip again")
    person_id = enter_and_train(
        database,
        account,
        settings,
        # Read as it was inspected.
        training_of(
            {**{key: str(value) for key, value in inspected.params.items()}, "accept": accept},
            upload_id,
            preset,
        ),
        name=name,
        consent_id=consent_id or None,
        subject_name=subject_name,
        attested=attested == "yes",
    )
    return see(f"/people/{person_id}")


@router.get("/verifications/new", dependencies=_ANY_UPLOADS)
def new_verification(request: Request) -> Response:
    return render(request, "verification_new.html")


@router.post("/verifications", dependencies=_ANY_UPLOADS)
async def verify(
    request: Request, account: AccountDep, database: DatabaseDep, settings: SettingsDep, store: StoreDep
) -> Response:
    sent = await receive_form(request, account, settings, database, store, purpose="video")
    job_id = await sent.start(
        lambda: request_verification(database, upload_id=sent.upload_id, tenant_id=account.tenant_id),
        database,
        store,
        settings,
    )
    return see(f"/jobs/{job_id}")
