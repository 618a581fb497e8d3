from __future__ import annotations

import json
import pickle
import re

import pytest

import problems
from problems import (
    DecodeTimeout,
    InternalProblem,
    InvalidInput,
    NoFace,
    Problem,
    ResourceExhausted,
    problem_from_dict,
)


def _family(kind: type[Problem] = Problem) -> list[type[Problem]]:
    return [kind, *(member for child in kind.__subclasses__() for member in _family(child))]


def _declared() -> list[type[Problem]]:
    return [kind for kind in _family() if kind.__module__ == "problems"]


def test_slugs_are_unique_and_stable_words() -> None:
    slugs = [kind.slug for kind in _declared()]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", slug) for slug in slugs)


@pytest.mark.parametrize("kind", _declared(), ids=lambda kind: kind.__name__)
def test_each_has_a_title_a_status_and_survives_the_way_between_processes(kind: type[Problem]) -> None:
    assert kind.title
    assert 400 <= kind.status <= 599
    assert {"title", "slug"} <= set(vars(kind))  # its own, not the parent's
    problem = kind("frames 3 and 4 are dark", remedy="film by daylight", details={"frames": [3, 4]})
    for copy in (
        pickle.loads(pickle.dumps(problem)),
        problem_from_dict(json.loads(json.dumps(problem.as_dict()))),
    ):
        assert type(copy) is kind
        assert (copy.message, copy.remedy, copy.details) == (problem.message, problem.remedy, problem.details)
        assert str(copy) == "frames 3 and 4 are dark"


@pytest.mark.parametrize("kind", _declared(), ids=lambda kind: kind.__name__)
def test_the_tree_in_the_docstring_is_the_tree(kind: type[Problem]) -> None:
    text = problems.__doc__ or ""
    assert re.search(rf"\b{kind.__name__}\b", text)
    line = next(row for row in text.splitlines() if re.search(rf"\b{kind.__name__}\b", row))
    written = re.search(r"\((\d{3})\)", line)
    if written:
        assert int(written.group(1)) == kind.status


def test_who_may_try_again() -> None:
    assert ResourceExhausted.retryable
    assert not DecodeTimeout.retryable
    assert not any(kind.retryable for kind in _family(InvalidInput))
    assert all(400 <= kind.status < 500 for kind in _family(InvalidInput))


def test_as_dict_names_everything() -> None:
    told = NoFace("no face", remedy="look at the camera").as_dict()
    assert set(told) == {"slug", "title", "status", "retryable", "message", "remedy", "details"}
    assert (told["slug"], told["status"], told["details"]) == ("no_face", 422, {})


def test_an_unknown_slug_is_an_internal_problem() -> None:
    problem = problem_from_dict({"slug": "from_the_future", "message": "m", "remedy": "r"})
    assert type(problem) is InternalProblem
    assert (problem.message, problem.remedy, problem.details) == ("m", "r", {})
    assert type(problem_from_dict({})) is InternalProblem


def test_details_are_the_problems_own() -> None:
    details = {"field": "seed"}
    problem = NoFace("m", remedy="r", details=details)
    details["field"] = "other"
    assert problem.details == {"field": "seed"}


def test_a_remedy_is_required() -> None:
    with pytest.raises(TypeError):
        Problem("only a message")  # type: ignore[call-arg]
