"""The ``likeness`` command; ``cli.__main__`` starts it.

Each subcommand lives in a file of its own and adds itself with ``register(app)``. Those files import torch, OpenCV and
the stages inside their command, so that ``likeness --help`` answers in a fraction of a second.
"""

from __future__ import annotations

import typer

from cli import (
    bench,
    doctor,
    dub,
    evaluate,
    fit,
    inspect,
    keys,
    migrate,
    models,
    motion,
    personalize,
    relay,
    train,
    up,
    verify,
    worker,
)

app = typer.Typer(
    name="likeness",
    help="Personalised talking-face video: learn a person from one clip, then dub any recording.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    inspect,
    fit,
    personalize,
    motion,
    dub,
    verify,
    evaluate,
    bench,
    train,
    models,
    up,
    worker,
    relay,
    migrate,
    keys,
    doctor,
):
    command.register(app)
