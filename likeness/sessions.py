"""Sessions of the dashboard: a signed-in browser holds a random token, and the row of its digest is the session.

Signing out deletes the row, which ends the session for every process at once; so does revoking the key it was opened
with. Requests that go on for long ask now and then whether their account still stands.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import timedelta

from likeness.accounts import Account, account_of
from likeness.clock import now
from likeness.database import Database
from likeness.repositories.accounts import KeyRepository
from likeness.repositories.sessions import SessionRepository

SESSION_S = 12 * 3600
"""Seconds that a signed-in browser stays so."""
MOST_SESSIONS = 100
"""That one key may have open at the same time; the oldest end."""


def open_session(database: Database, account: Account) -> str:
    """Sign a browser in; returns the token for its cookie, which nobody can read again."""
    assert account.key_id is not None
    token, moment = secrets.token_urlsafe(32), now()
    with database.write() as session:
        sessions = SessionRepository(session)
        sessions.keep_newest(account.key_id, MOST_SESSIONS - 1)
        sessions.add(_digest(token), account.key_id, moment, moment + timedelta(seconds=SESSION_S))
    return token


def account_of_session(database: Database, token: str) -> Account | None:
    """The account of a token; None when it is not ours, has expired or was signed out, or its key was revoked."""
    digest = _digest(token)
    with database.read() as session:
        key_id = SessionRepository(session).key_of(digest, now())
        found = KeyRepository(session).by_id(key_id) if key_id is not None else None
    return replace(account_of(found), session=digest) if found is not None else None


def end_session(database: Database, token: str) -> Account | None:
    """Sign out, for every process at once; returns whose session it was."""
    account = account_of_session(database, token)
    with database.write() as session:
        SessionRepository(session).delete(_digest(token))
    return account


def still_stands(database: Database, account: Account) -> bool:
    """Whether a request that goes on may go on: its key was not revoked, its session not signed out or expired."""
    if account.key_id is None:
        return True
    with database.read() as session:
        if account.session is not None and SessionRepository(session).key_of(account.session, now()) is None:
            return False
        return KeyRepository(session).by_id(account.key_id) is not None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
