"""The ``likeness`` command, one file a subcommand."""
