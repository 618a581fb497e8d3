"""Signing in: a key is traded for a cookie that holds none."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from api.dashboard.render import render
from api.dependencies import DatabaseDep, SettingsDep
from api.doorkeeper import COOKIE, session_token
from likeness.accounts import authenticate
from likeness.refusals import Unauthenticated
from likeness.sessions import SESSION_S, end_session, open_session

router = APIRouter()


@router.get("/sign-in")
def show_sign_in(request: Request, settings: SettingsDep, next: str = "/") -> Response:
    return render(request, "sign_in.html", next=_inside(next), accounts=settings.auth == "keys", problem=None)


@router.post("/sign-in")
def sign_in(
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    key: Annotated[str, Form(max_length=200)],
    next: Annotated[str, Form(max_length=500)] = "/",
) -> Response:
    """Sets the cookie. A wrong key shows the form again."""
    try:
        account = authenticate(database, key.strip())
    except Unauthenticated as problem:
        return render(
            request,
            "sign_in.html",
            401,
            next=_inside(next),
            accounts=settings.auth == "keys",
            problem=problem,
        )
    request.state.signed = account
    answer = RedirectResponse(_inside(next), 303)
    answer.set_cookie(
        COOKIE,
        open_session(database, account),
        max_age=SESSION_S,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https" or settings.public_url.startswith("https://"),
    )
    return answer


@router.post("/sign-out")
def sign_out(request: Request, database: DatabaseDep) -> Response:
    """Ends the session here, not only in the browser: its cookie is worth nothing from then on."""
    if token := session_token(request.headers):
        request.state.signed = end_session(database, token)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE)
    return answer


def _inside(path: str) -> str:
    """The path if it is one of ours: a link must not be able to send somebody elsewhere after signing in."""
    try:
        parts = urlsplit(path)
    except ValueError:  # "//["
        return "/"
    safe = (
        path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    )
    return path if safe and path.isprintable() else "/"
