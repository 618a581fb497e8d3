"""Synthetic people who speak: sound with exact phoneme times, faces and heads that move with it."""
