"""An S3 server as a process (rclone, a development package) and a line to it that can be cut."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from contextlib import suppress
from pathlib import Path

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RcloneServer:
    """An S3 on a folder; it checks signatures."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                f"{sysconfig.get_path('scripts')}/rclone",
                *("serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"),
                *("--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"),
            ],
            env={**os.environ, "RCLONE_CONFIG": "/dev/null"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise TimeoutError("rclone did not start within 30 s")
            time.sleep(0.02)

    def freeze(self, seconds: float) -> None:
        """Answer nothing for a while."""
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class Cable:
    """A TCP proxy before a server. It counts what it carries, and is cut after some bytes in one direction: what is
    under way breaks off, and new connections are closed at once until it is mended.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.carried = {"up": 0, "down": 0}
        self._left: dict[str, int] = {}
        self._cut = False
        self.was_cut = threading.Event()
        """Set once it broke off something that was under way."""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, direction: str, count: int) -> None:
        """Cut once so many more bytes went ``up`` (to the server) or ``down``."""
        self._left[direction] = count

    def cut_now(self) -> None:
        """Cut: what is under way breaks off, and nobody gets through."""
        with self._lock:
            self._cut = True
        self._break()

    def mend(self) -> None:
        """Carry everything again, and count anew."""
        with self._lock:
            self._cut, self._left = False, {}
            self.carried = {"up": 0, "down": 0}

    def close(self) -> None:
        """Carry nothing any more."""
        self._listener.close()
        self._break()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                client.close()
                continue
            server = socket.create_connection(self._target)
            with self._lock:
                self._open |= {client, server}
            for source, sink, direction in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self._carry, args=(source, sink, direction), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                with self._lock:
                    self.carried[direction] += len(block)
                    if direction in self._left:
                        self._left[direction] -= len(block)
                        self._cut = self._cut or self._left[direction] <= 0
                if self._cut:
                    self._break()
                    self.was_cut.set()
                    return
                sink.sendall(block)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _break(self) -> None:
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
