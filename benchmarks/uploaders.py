"""Many clients that upload a large file each, at once: ``python -m benchmarks.uploaders ADDRESS COUNT MEGABYTES``.

A process of its own, so that sending does not hold up those whose answers are timed (:mod:`benchmarks.pollers`). Ends
with one JSON object: ``seconds`` from the first byte to the last answer, ``errors``, ``slowest_s`` of one upload.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from urllib.parse import urlsplit

_BLOCK = 2**18


async def upload_all(address: str, count: int, megabytes: int) -> dict[str, float]:
    """Upload ``count`` files of so many MB (10^6 bytes) at once, each on a connection of its own."""
    block = os.urandom(_BLOCK)
    began = time.perf_counter()
    times = await asyncio.gather(
        *(_upload(address, index, megabytes * 10**6, block) for index in range(count)), return_exceptions=True
    )
    done = [took for took in times if isinstance(took, float)]
    return {
        "seconds": round(time.perf_counter() - began, 3),
        "errors": count - len(done),
        "slowest_s": round(max(done, default=float("nan")), 3),
    }


async def _upload(address: str, index: int, size: int, block: bytes) -> float:
    """Seconds that it took.

    Raises:
        OSError, EOFError: the connection broke.
        ValueError: another answer than 201.
    """
    began = time.perf_counter()
    place = urlsplit(address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(
            f"POST /v1/uploads?purpose=clip&filename={index}.mp4 HTTP/1.1\r\nHost: {place.netloc}\r\n"
            f"Content-Type: video/mp4\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n".encode()
        )
        left = memoryview(block)
        while size:
            left = left[:size]
            writer.write(left)
            size -= len(left)
            await writer.drain()
        status = (await reader.readline()).split()[1:2]
        if status != [b"201"]:
            raise ValueError(f"answered {status}")
        await reader.read()
    finally:
        writer.close()
    return time.perf_counter() - began


def main() -> None:
    """The command."""
    address, count, megabytes = sys.argv[1:]
    print(json.dumps(asyncio.run(upload_all(address, int(count), int(megabytes)))))


if __name__ == "__main__":
    main()
