"""``python -m cli``, and what the ``likeness`` script calls: tuned before anything heavy is imported."""

from __future__ import annotations

import sys

from cli.interrupts import hold_back, ignore_from_now_on, interrupts, let_through
from cli.tuning import tune_process


def main() -> None:
    """Run the command line. SIGINT and SIGTERM end it with exit code 130, whenever they come."""
    hold_back()
    tune_process()
    forever = interrupts(patience_s=0)
    stop = forever.__enter__()  # and never left: while Python takes itself apart a signal must change nothing
    try:
        let_through()
        from cli.console import forgive_consoles

        forgive_consoles()
        from cli.main import app

        app()
    except BaseException as ended:
        # One that comes out although the work has been put down already: Python would end by the signal itself.
        late = stop.caught and isinstance(ended, KeyboardInterrupt)
        if not late:
            if not stop.requested or stop.caught or (isinstance(ended, SystemExit) and not ended.code):
                raise
            stop.caught = True
            print("Stopped.", file=sys.stderr)
        sys.exit(130)
    finally:
        ignore_from_now_on()


if __name__ == "__main__":
    main()
