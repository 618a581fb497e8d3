"""``python -m cli``, and what the ``likeness`` script calls: tuned before anything heavy is imported."""

from __future__ import annotations

from cli.tuning import tune_process


def main() -> None:
    """Run the command line."""
    tune_process()
    from cli.console import forgive_consoles

    forgive_consoles()
    from cli.main import app

    app()


if __name__ == "__main__":
    main()
