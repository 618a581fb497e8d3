"""A small internet in this process: servers that send exactly the bytes they are told to, names, and public addresses
that really are a port of this machine."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from likeness.outgoing import Network

Script = bytes | Callable[[], Iterable[bytes | float]]
"""What a server answers: bytes, or pieces of them with pauses (seconds) between."""


def answer(body: bytes = b"", *headers: str, status: str = "200 OK", length: int | str | None = -1) -> bytes:
    """A whole HTTP answer; ``length=None`` leaves Content-Length out, any other one may lie."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {location}", status=status)


class Site:
    """A server on a free port of 127.0.0.1, a thread a connection; the page ``*`` stands for all others.

    ``whole_bodies``: a request's body is read before it is answered, and counted in ``received``.
    """

    def __init__(
        self, pages: dict[str, Script], *, tls: ssl.SSLContext | None = None, whole_bodies: bool = False
    ) -> None:
        self.pages, self.requests, self._tls = pages, list[str](), tls
        self.received, self._whole_bodies = 0, whole_bodies
        self._counting = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with suppress(OSError), line:
            if self._tls is not None:
                line = self._tls.wrap_socket(line, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head and (block := line.recv(2**16)):
                head += block
                if head[0] < 32:  # the first byte of a TLS handshake
                    line.sendall(answer(status="400 Bad Request"))
                    return
            if not head:
                return
            head, _, body = head.partition(b"\r\n\r\n")
            self.requests.append(f"{head.decode('latin-1')}\r\n\r\n")
            if self._whole_bodies:
                self._read_body(line, head, len(body))
            path = head.split()[1].decode()
            script = self.pages[path] if path in self.pages else self.pages["*"]
            for piece in (script,) if isinstance(script, bytes) else script():
                if isinstance(piece, float):
                    time.sleep(piece)
                else:
                    line.sendall(piece)
            line.close()

    def _read_body(self, line: socket.socket, head: bytes, count: int) -> None:
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while count < length and (block := line.recv(2**16)):
            count += len(block)
        with self._counting:
            self.received += count

    def close(self) -> None:
        # Closing alone does not wake the thread that accepts.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Internet:
    """Names and addresses. A name's answers are given one after the other, and the last one again and again."""

    def __init__(self) -> None:
        self.names: dict[str, list[Sequence[str]]] = {}
        self.ports: dict[str, int] = {}
        """IP address -> the port of 127.0.0.1 that stands for it, whichever port is asked for."""
        self.asked: list[str] = []
        self.connected: list[tuple[str, int]] = []
        self.trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody

    @property
    def network(self) -> Network:
        return Network(self._look_up, self._connect, lambda: self.trust)

    def _look_up(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        self.connected.append((address, port))
        if address not in self.ports:
            raise ConnectionRefusedError(111, f"{address} refused")
        return socket.create_connection(("127.0.0.1", self.ports[address]), timeout_s)
