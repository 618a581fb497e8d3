from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from api import schemas
from likeness.client import ApiProblem, answers
from likeness.client.answers import Person, Progress, Upload
from likeness.client.decoding import decode
from likeness.client.following import messages

PERSON = {"id": "per_1", "name": "Ada", "status": "ready", "created_at": "2026-11-28T12:00:00Z"}


def test_fields_that_came_later_are_ignored_and_missing_ones_have_defaults() -> None:
    person = decode(Person, {**PERSON, "mood": "good", "weights": {"sha256": "a", "size": 3, "kind": "x"}})
    assert (person.weights and person.weights.size, person.consent, person.metadata) == (3, None, {})
    assert person.created_at.utcoffset() is not None
    assert decode(Progress, {"percent": 3}).percent == 3.0


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {**PERSON, "name": 3},
        {**PERSON, "created_at": "soon"},
        {**PERSON, "weights": {"size": 1}},
    ],
)
def test_what_is_no_such_answer_is_said(data: Any) -> None:
    with pytest.raises(ApiProblem) as other:
        decode(Person, data)
    assert other.value.code == "unexpected_answer"


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (answers.Upload, schemas.UploadOut),
        (answers.Consent, schemas.ConsentOut),
        (answers.Person, schemas.PersonOut),
        (answers.Version, schemas.VersionOut),
        (answers.Progress, schemas.Progress),
        (answers.Stage, schemas.StageOut),
        (answers.Training, schemas.TrainingOut),
        (answers.Video, schemas.VideoOut),
        (answers.Inspection, schemas.InspectionOut),
        (answers.ConsentCheck, schemas.ConsentCheckOut),
        (answers.Verification, schemas.VerificationOut),
        (answers.Event, schemas.EventOut),
        (answers.Batch, schemas.BatchOut),
        (answers.DryRun, schemas.DryRunOut),
        (answers.Estimate, schemas.EstimateOut),
        (answers.Usage, schemas.UsageOut),
        (answers.WebhookEndpoint, schemas.WebhookOut),
        (answers.Delivery, schemas.DeliveryOut),
        (answers.ApiKey, schemas.ApiKeyOut),
        (answers.Deletion, schemas.DeletionOut),
        (answers.AuditEvent, schemas.AuditOut),
        (answers.Worker, schemas.WorkerOut),
        (answers.System, schemas.SystemOut),
        (answers.Health, schemas.HealthOut),
    ],
)
def test_the_client_knows_every_field_of_the_service(kind: Any, schema: Any) -> None:
    assert set(schema.model_fields) - {"object"} == set(kind.__dataclass_fields__) - {"object"}


def test_a_stream_is_read_as_the_standard_has_it() -> None:
    stream = b": breath\n\nretry: 2000\n\nid: 7\nevent: stage\ndata: one\ndata:two\n\n"
    stream += b"data: last\r\n\r\nid: 8\ndata: cut of"
    assert list(messages(BytesIO(stream))) == [("stage", "one\ntwo", "7"), ("message", "last", None)]  # type: ignore[arg-type]


def test_parts_are_tuples() -> None:
    facts = {
        "id": "u",
        "purpose": "clip",
        "status": "awaiting",
        "size": 3,
        "created_at": "2026-11-28T12:00:00Z",
    }
    upload = decode(Upload, {**facts, "parts": [{"number": 1, "size": 3, "url": "/x", "received": False}]})
    assert isinstance(upload.parts, tuple)
    assert hash(upload.parts[0])
