"""Whatever is sent, each answer is one that the schema tells of, and none is a fault of the server."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from likeness.database import Database
from likeness.health import WorkerState
from likeness.schema import migrate
from likeness.settings import Settings

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("schema") / "data",
        min_free_mb=1,
        max_upload_mb=1,
        allowed_hosts=("testserver", "localhost", "127.0.0.1"),
    )
    database = Database.of(settings)
    migrate(database)
    app = create_app(settings, watch=lambda: WorkerState(True, 1, 0, "alive"))
    yield schemathesis.openapi.from_asgi("/openapi.json", app)
    database.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
def test_every_answer_is_in_the_schema(api: schemathesis.BaseSchema, mode: GenerationMode) -> None:
    """``LIKENESS_SCHEMA_EXAMPLES`` sets how many requests of each operation are tried; bodies are broken only where
    there is one.
    """
    faults, tried = [], 0
    for found in api.get_all_operations():
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue
        tried += 1

        @given(case=operation.as_strategy(generation_mode=mode))
        @hypothesis_settings(
            max_examples=int(os.environ.get("LIKENESS_SCHEMA_EXAMPLES", "4")),
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        def answers_as_told(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        try:
            answers_as_told()
        except Exception as error:  # the others are of interest too
            faults.append(f"{operation.label}: {error}"[:1500])
    assert tried > (60 if mode is GenerationMode.POSITIVE else 12)
    assert not faults, "\n\n".join(faults)
