"""Many clients that ask a server again and again, cheap enough that what is timed is the server.

httpx and its like spend 5-10 ms of processor time a request with 200 connections open, which on a small machine is
what one would measure.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np


@dataclass
class Polling:
    """What came of it."""

    times_ms: list[float] = field(default_factory=list)
    errors: int = 0
    """Answers that were not 200, and requests without an answer."""

    def spread(self) -> dict[str, float]:
        """``p50`` and ``p99`` (ms), ``requests`` and ``errors``."""
        p50, p99 = np.percentile(self.times_ms, (50, 99)) if self.times_ms else (float("nan"),) * 2
        return {
            "p50": round(float(p50), 1),
            "p99": round(float(p99), 1),
            "requests": len(self.times_ms),
            "errors": self.errors,
        }


async def poll(
    address: str,
    paths: Sequence[str],
    *,
    clients: int,
    seconds: float,
    every_s: float = 1.0,
    headers: str = "",
    over: asyncio.Event | None = None,
) -> Polling:
    """Let ``clients`` connections ask for one path each, every ``every_s`` seconds, for so long.

    Args:
        address: scheme, host and port; plain HTTP.
        paths: client i asks for the i-th of them, in turn.
        headers: further lines of each request, each with its line break.
        over: ends it earlier.
    """
    result, over = Polling(), over or asyncio.Event()
    until = time.monotonic() + seconds
    await asyncio.gather(
        *(
            _client(
                address,
                paths[index % len(paths)],
                index * every_s / clients,
                lambda: not over.is_set() and time.monotonic() < until,
                every_s,
                headers,
                result,
            )
            for index in range(clients)
        )
    )
    return result


async def _client(
    address: str,
    path: str,
    delay: float,
    goes_on: Callable[[], bool],
    every_s: float,
    headers: str,
    result: Polling,
) -> None:
    parts = urlsplit(address)
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{headers}\r\n".encode()
    await asyncio.sleep(delay)
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while goes_on():
        began = time.perf_counter()
        try:
            connection = connection or await asyncio.open_connection(parts.hostname, parts.port)
            async with asyncio.timeout(60):
                result.errors += await _ask(*connection, request) != 200
        except (OSError, EOFError, TimeoutError):
            result.errors += 1
            if connection is not None:
                connection[1].close()
            connection = None
        took = time.perf_counter() - began
        result.times_ms.append(1000 * took)
        await asyncio.sleep(max(0.0, every_s - took))
    if connection is not None:
        connection[1].close()
        with suppress(OSError):
            await connection[1].wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """Status of the answer; its body is read and dropped."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    await reader.readexactly(int(length or 0))
    return int(head.split(b" ", 2)[1])
