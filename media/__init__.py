"""Pixels and sound in and out of files: probe, decode, normalise, encode. Knows nothing about faces."""
