"""Standard output and errors that take any text and outlive their reader."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class ForgivingStream(io.TextIOWrapper):
    """Text that its encoding doesn't have is written as escapes; what nobody reads any more goes nowhere."""

    def write(self, text: str) -> int:
        """Write; never fails for a letter or for want of a reader."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._to_nowhere()
            return len(text)

    def flush(self) -> None:
        """Flush; never fails for want of a reader."""
        try:
            super().flush()
        except BrokenPipeError:
            self._to_nowhere()

    def _to_nowhere(self) -> None:
        # The buffer keeps what could not be written, and the interpreter writes it once more at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def forgive_consoles() -> None:
    """Put such streams in place of stdout and stderr.

    A console may know ASCII only, `| head` goes away early, and a service manager may have closed either.
    """
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream: Any = getattr(sys, name)
        if stream is None:
            # The next file that is opened would take the number, and be written into.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115 - for the whole process
            continue
        if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, ForgivingStream):
            continue
        stream.flush()
        settings = (stream.encoding, stream.line_buffering, stream.write_through)
        encoding, lines, through = settings
        setattr(
            sys,
            name,
            ForgivingStream(
                stream.detach(),
                encoding=encoding,
                errors="backslashreplace",
                line_buffering=lines,
                write_through=through,
            ),
        )
