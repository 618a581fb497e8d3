"""What a training found of lips and voice: in the answer and on the page; and what may be accepted beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.calls import person, problem, upload
from tests.workers.tiny_stages import publish
from workers.runner import Runner, StageContext, StageSpec

POOR = {
    "code": "lips_poorly_learnt",
    "severity": "warning",
    "message": "the lips were learnt poorly",
    "remedy": "inspect the clip",
    "frames": [],
    "facts": {"lip_r": 0.05},
}


def _poorly_learnt(context: StageContext) -> Mapping[str, Any]:
    return {**publish(context), "metrics": {"lip_r": 0.05}, "findings": [POOR]}


def test_a_poor_training_says_so_in_its_answer_and_on_its_page(client: TestClient, runner: Runner) -> None:
    runner.registry = {
        **runner.registry,
        "publish": StageSpec(_poorly_learnt, "1", params=("preset", "seed"), produces=("person.likeness",)),
    }
    where = client.post(
        f"/v1/persons/{person(client)}/trainings", json={"upload_id": upload(client)}
    ).headers["location"]
    runner.run_all()
    result = client.get(where).json()["result"]
    assert result["findings"] == [POOR]
    assert result["metrics"]["lip_r"] == 0.05
    page = client.get(where.replace("/v1/trainings/", "/jobs/")).text
    assert POOR["message"] in page
    assert "What to do: inspect the clip" in page
    assert "0.05" in page


@pytest.mark.parametrize(("accept", "told"), [([], ()), (["lips_strange"], ["lips_strange"])])
def test_what_is_accepted_reaches_the_stage(
    client: TestClient, runner: Runner, accept: list[str], told: Any
) -> None:
    seen: list[Any] = []
    validate = runner.registry["validate"]

    def listening(context: StageContext) -> Mapping[str, Any] | None:
        seen.append(context.params.get("accept") or ())
        return validate.run(context)

    runner.registry = {
        **runner.registry,
        "validate": StageSpec(listening, "1", reads=validate.reads, produces=validate.produces),
    }
    body = {"upload_id": upload(client), "accept": accept}
    client.post(f"/v1/persons/{person(client)}/trainings", json=body)
    runner.run_once()
    assert seen == [told]


def test_nothing_else_may_be_accepted(client: TestClient) -> None:
    body = {"upload_id": upload(client), "accept": ["no_face"]}
    found = client.post(f"/v1/persons/{person(client)}/trainings", json=body)
    problem(found, 422, "invalid_parameter")
