from __future__ import annotations

import anyio
from anyio import to_thread
from starlette.requests import Request
from starlette.types import Message

from api.receive import pump


def test_an_upload_does_not_queue_behind_other_requests() -> None:
    """Every thread that answers requests is busy; a file comes in all the same."""
    blocks = [bytes([number]) * 300_000 for number in range(9)]
    waiting = [*blocks]

    async def receive() -> Message:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    received = bytearray()

    async def upload() -> None:
        threads = to_thread.current_default_thread_limiter()
        for _ in range(int(threads.total_tokens)):
            await threads.acquire_on_behalf_of(object())
        with anyio.fail_after(10):
            await pump(Request({"type": "http", "method": "POST"}, receive), received.extend)

    anyio.run(upload)
    assert bytes(received) == b"".join(blocks)
