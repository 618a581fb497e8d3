"""Readers of other people's morphable models, one file a format; none of them runs code that a file contains."""
