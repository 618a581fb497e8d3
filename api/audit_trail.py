"""What goes into the audit log beside changes: sign-ins, downloads, and requests that were refused.

All three can come by the thousand, so each is written at once when it is new and then at most once a minute with the
``count`` of those that came meanwhile: a player that asks for ranges, or somebody who guesses keys, writes two rows a
minute at most. Strangers share one such entry, in the log of the deployment's own tenant.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from likeness.accounts import Account
from likeness.database import Database
from likeness.repositories.audit import AuditRepository
from likeness.tables import EMBEDDED

log = logging.getLogger("likeness.audit")

SPELL_S = 60.0
"""Seconds within which what repeats itself is counted rather than written."""
STRANGER = "stranger"
"""The actor of requests without a key that is known."""
REFUSALS = (401, 403, 429)
"""Statuses of answers that go into the log."""
_HANDED_OUT = ("play_recording", "show_clip")
_MOST_ADDRESSES = 10
_MOST_SPELLS = 10_000


def hands_out(route_name: str) -> bool:
    """Whether the route of this name hands out a person's weights, a video, a motion or a recording."""
    return route_name.startswith("download_") or route_name in _HANDED_OUT


_Key = tuple[str, str, str, str]
"""Tenant, actor, action, subject."""


@dataclass
class _Spell:
    begun: float
    more: int = 0
    details: dict[str, Any] = field(default_factory=dict)
    """Of the last one that was only counted."""
    addresses: dict[str, int] = field(default_factory=dict)


class AuditTrail:
    """Of one process. What can't be written is logged: no request fails because of it."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._spells: dict[_Key, _Spell] = {}
        self._look_at = clock() + SPELL_S

    async def signed_in(self, account: Account, scope: Scope) -> None:
        """A browser was signed in, or signed out."""
        await self._note(account, "sign_out" if "sign-out" in scope["path"] else "sign_in", "", scope)

    async def downloaded(self, account: Account, action: str, subject: str, scope: Scope) -> None:
        """A file of a person was handed out."""
        await self._note(account, action, subject, scope)

    async def refused(self, account: Account | None, status: int, code: str, scope: Scope) -> None:
        """A request was answered with one of ``REFUSALS``."""
        await self._note(account, "refused", "", scope, status=status, code=code)

    async def look(self) -> None:
        """Write down what was only counted and is a minute old; cheap when nothing is due."""
        moment = self._clock()
        if moment >= self._look_at:
            self._look_at = moment + SPELL_S
            await self._write(self._over(moment - SPELL_S))

    def close(self) -> None:
        """Write down everything that was only counted."""
        self._enter(self._over(float("inf")))

    async def _note(
        self, account: Account | None, action: str, subject: str, scope: Scope, **more: object
    ) -> None:
        address = (scope.get("client") or ("", 0))[0]
        details = {
            "method": scope["method"],
            "path": scope["path"][:200].replace("\0", ""),
            "request_id": scope.get("request_id"),
            "address": address,
            **more,
        }
        tenant, actor = (EMBEDDED, STRANGER) if account is None else (account.tenant_id, account.actor)
        key, moment = (tenant, actor, action, subject), self._clock()
        spell = self._spells.get(key)
        if spell is not None and moment - spell.begun < SPELL_S:
            spell.more += 1
            spell.details = details
            if address in spell.addresses or len(spell.addresses) < _MOST_ADDRESSES:
                spell.addresses[address] = spell.addresses.get(address, 0) + 1
            return
        due = self._over(moment - SPELL_S) if spell is not None else []
        if len(self._spells) >= _MOST_SPELLS:
            due += self._over(float("inf"))
        self._spells[key] = _Spell(moment)
        await self._write([*due, (key, {**details, "count": 1})])

    def _over(self, before: float) -> list[tuple[_Key, dict[str, Any]]]:
        """Take out the spells that began before; what of them is still to be written."""
        ended = [(key, spell) for key, spell in self._spells.items() if spell.begun <= before]
        for key, _ in ended:
            del self._spells[key]
        return [
            (key, {**spell.details, "count": spell.more, "addresses": spell.addresses})
            for key, spell in ended
            if spell.more
        ]

    async def _write(self, entries: list[tuple[_Key, dict[str, Any]]]) -> None:
        if entries:
            await run_in_threadpool(self._enter, entries)

    def _enter(self, entries: list[tuple[_Key, dict[str, Any]]]) -> None:
        if not entries:
            return
        try:
            with self._database.write() as session:
                audit = AuditRepository(session)
                for (tenant, actor, action, subject), details in entries:
                    audit.enter(tenant, actor, action, subject, details)
        except Exception:
            log.exception("%d entries of the audit log could not be written", len(entries))
