"""``likeness doctor``: looks at a deployment and says what is wrong with it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import urllib.error
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal import exit_code, show_problem
from problems import Problem

if TYPE_CHECKING:
    from likeness.health import Check
    from likeness.settings import Settings

_PARTS = ("torch", "cv2", "mediapipe", "av", "onnxruntime", "numba", "safetensors", "soundfile")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for everything. [default: ./.likeness]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object last.")] = False,
) -> None:
    """Check secrets, disk, database, broker, store, workers, relay, clock, addresses, libraries, device and service.

    Addresses are tried as a browser would: a probe is read and a part is sent at those that users are handed.

    Exit code 1 if one is bad. A part that this machine does not have (the libraries of a worker in the API's image)
    is no fault.
    """
    from likeness.database import Database
    from likeness.health import Check, check_disk, deployment_checks
    from likeness.reach import check_addresses
    from likeness.settings import Settings
    from likeness.stores import store_of

    try:
        settings = Settings.load(data_dir=data_dir)
    except Problem as problem:
        show_problem(problem)
        raise typer.Exit(exit_code(problem)) from None
    disk = check_disk(settings)
    if disk.ok:
        database = Database.of(settings)
        store = store_of(settings)
        found: list[Check] = deployment_checks(database, store, settings)
        good = {check.name for check in found if check.ok}
        if {"secrets", "store"} <= good:  # without a secret nothing can be signed
            found += check_addresses(store, settings)
        database.close()
    else:
        found = [disk]
    if importlib.util.find_spec("torch") is None:
        found.append(Check("libraries", True, "none of a worker's: this is an API, a relay or migrations"))
    else:
        found += [_check_libraries(), _check_device(settings), _check_recogniser(settings)]
    found.append(_check_service(settings))
    for check in found:
        mark, colour = (
            ("ok  ", None) if check.ok else ("warn", "yellow") if check.warning else ("BAD ", "red")
        )
        typer.secho(f"{mark} {check.name:<10} {check.detail}", fg=colour)
    sound = all(check.ok or check.warning for check in found)
    if as_json:
        typer.echo(json.dumps({"ok": sound, "checks": [asdict(check) for check in found]}))
    if not sound:
        raise typer.Exit(1)


def _check_libraries() -> Check:
    from likeness.health import Check

    missing = []
    for name in _PARTS:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken binary may raise anything at import
            missing.append(f"{name} ({type(error).__name__}: {error})")
    if missing:
        return Check(
            "libraries", False, f"can't be imported: {'; '.join(missing)}; install as the README says"
        )
    return Check("libraries", True, f"{len(_PARTS)} libraries of the worker can be imported")


def _check_device(settings: Settings) -> Check:
    from likeness.health import Check
    from training.runtime import available_cores, pick_device

    try:
        device = pick_device(settings.device)
    except Problem as problem:
        return Check("device", False, f"{problem.message}; {problem.remedy}")
    return Check("device", True, f"{device}, {available_cores()} CPU core(s)")


def _check_recogniser(settings: Settings) -> Check:
    from likeness.health import Check
    from workers.hearing import recogniser_of

    needed = "a training needs them" if settings.words_needed else "a training does not need them"
    try:
        found = recogniser_of(settings)
    except Problem as problem:
        return Check("recogniser", False, f"{problem.message}; {problem.remedy}")
    if found is None:
        return Check(
            "recogniser", True, f"none: a person hears the words of a recorded consent, and {needed}"
        )
    languages = " and ".join(found.languages)
    return Check(
        "recogniser", True, f"{found.name} hears words of a recorded consent in {languages}; {needed}"
    )


def _check_service(settings: Settings) -> Check:
    from likeness.health import Check

    url = f"http://127.0.0.1:{settings.port}/readyz"
    try:
        token = settings.metrics_token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=3):
            return Check("service", True, f"ready on port {settings.port}")
    except urllib.error.HTTPError as error:
        try:
            detail = json.loads(error.read())["detail"]
        except (ValueError, KeyError):
            detail = f"{url} answers {error.code}; something else may listen there"
        return Check("service", False, str(detail))
    except OSError:
        return Check("service", True, f"not running on port {settings.port} (start it with `likeness up`)")
