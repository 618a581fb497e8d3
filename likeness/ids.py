"""Identifiers that say what they name and sort by the time they were made."""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing that reads like something else


def new_id(prefix: str) -> str:
    """``prefix_`` and 26 letters: 48 bits of milliseconds, then 80 random bits; ids serve as cursors."""
    return _spell(prefix, time.time_ns() // 1_000_000, secrets.randbits(80))


def least_id(prefix: str, moment: datetime) -> str:
    """An id that is smaller than all that are made from ``moment`` on, and greater than earlier ones."""
    return _spell(prefix, max(0, int(moment.timestamp() * 1000)), 0)


def mark_of(video_id: str) -> str:
    """The 48 bits that the watermark of a video holds, as 12 hexadecimal digits: the first of the id's SHA-256."""
    return hashlib.sha256(video_id.encode()).hexdigest()[:12]


def _spell(prefix: str, milliseconds: int, random: int) -> str:
    number = milliseconds << 80 | random
    letters = [_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(letters)}"
