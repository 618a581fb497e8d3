"""Is a consent's recording new, and does it say its words? The other checks are in ``workers.stages.consent``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fitting.inspect import Finding
from likeness.consents import vocabulary
from media.audio import read_wav
from media.normalise import normalise_recording
from media.takes import compare
from problems import InvalidParameter
from training.progress import Progress, Tick
from workers.earlier_takes import EarlierTakes
from workers.hearing import Recogniser, words_missing


def reuse_findings(
    recording: Path, earlier: EarlierTakes, measures: dict[str, Any], progress: Progress
) -> list[Finding]:
    """Was this take handed in before, in whatever file? The first that is found is enough."""
    own, count = earlier.of("consent", recording), 0
    for other in earlier.others():
        progress(Tick("fresh", count, 0))
        count += 1
        shared = compare(own, other.take)
        if not shared.parts:
            continue
        what = " and ".join(shared.parts)
        seconds = round(max(shared.picture_s, shared.sound_s), 1)
        return [
            Finding(
                "recording_reused",
                "error",
                f"this is no new recording: its {what} is that of the {other.purpose} {other.upload_id}",
                "film the person saying the statement now",
                facts={"upload_id": other.upload_id, "same": list(shared.parts), "seconds": seconds},
            )
        ]
    measures["compared_uploads"] = count
    return []


def listen(
    recording: Path, recogniser: Callable[[], Recogniser | None], passcode: str, language: str
) -> dict[str, Any] | None:
    """What a recogniser made of it; None when there is none for the language."""
    try:
        hearing = recogniser()
    except InvalidParameter as problem:
        return {"heard": False, "by": "", "missing": passcode.split(), "fault": problem.message}
    if hearing is None or language not in hearing.languages:
        return None
    with tempfile.TemporaryDirectory(prefix="likeness-words-") as folder:
        sound = Path(folder) / "recording.wav"
        normalise_recording(recording, sound)
        heard = hearing.hear(read_wav(sound), language, vocabulary(language))
    missing = words_missing(heard, passcode, vocabulary(language))
    return {"heard": not missing, "by": hearing.name, "missing": missing}


def passcode_finding(passcode: str, language: str, words: dict[str, Any] | None) -> Finding:
    facts = {"passcode": passcode, "language": language}
    listen = f"listen to the recording: it has to say “{passcode}”"
    if words is None:
        message = "what is said was not checked: no recogniser listens here"
        return Finding("passcode_unchecked", "info", message, listen, facts=facts)
    if words["heard"]:
        message = f"{words['by']} heard the words “{passcode}”"
        return Finding(
            "passcode_heard", "info", message, "nothing: it may be listened to all the same", facts=facts
        )
    missing = ", ".join(words["missing"])
    message = words.get("fault") or f"{words['by']} did not hear {missing}; it may be wrong"
    return Finding(
        "passcode_not_heard", "warning", message, listen, facts={**facts, "missing": words["missing"]}
    )
