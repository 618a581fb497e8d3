"""What a person chooses a preset by: what it gives, what it needs, and how long it takes here."""

from __future__ import annotations

from dataclasses import dataclass

from api.dashboard.render import duration_about
from likeness.database import Database
from likeness.estimates import estimate
from likeness.requests import Preset

PRESETS: tuple[Preset, ...] = ("preview", "instant", "standard", "best")
_GIVES: dict[Preset, str] = {
    "preview": "the usual one",
    "instant": "quickest: layers only, mouth and edges less exact",
    "standard": "larger network, more of the clip",
    "best": "largest network, up to a minute of the clip",
}
_NEEDS: dict[Preset, str] = {
    "preview": "two cores",
    "instant": "two cores",
    "standard": "a GPU",
    "best": "a GPU",
}


@dataclass(frozen=True)
class PresetChoice:
    """One option of a form."""

    name: Preset
    words: str
    """Such as ``preview: about 4 min on two cores; the usual one``."""


def preset_choices(database: Database) -> list[PresetChoice]:
    """Every preset with its time: that of earlier trainings here, else what was measured on the machine it is for."""
    choices = []
    with database.read() as session:
        for name in PRESETS:
            guess = estimate(session, kind="training", preset=name, seconds=None)
            where = f"here; needs {_NEEDS[name]}" if guess.from_history else f"on {_NEEDS[name]}"
            choices.append(
                PresetChoice(
                    name,
                    f"{name}: {duration_about(guess.compute_seconds)} {where}. {_GIVES[name].capitalize()}",
                )
            )
    return choices
