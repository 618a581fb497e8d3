"""Speech with exact phoneme times, from espeak-ng.

espeak-ng (GPL-3) is a tool for making data: ``pip install espeakng-loader==0.2.4`` brings the library and its voices.
The product never imports this module.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_SYNCHRONOUS, _PHONEME_EVENTS, _IPA, _UTF8 = 2, 0x1, 0x2, 1
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_END, _PHONEME = 0, 7  # espeak_EVENT_TYPE


@dataclass(frozen=True)
class Phoneme:
    """One sound of a sentence."""

    ipa: str
    """Its IPA symbols with stress marks; empty for a pause."""
    start_s: float
    """When it begins, in seconds."""
    end_s: float
    """When the next one begins, in seconds."""


@dataclass(frozen=True)
class Speech:
    """A spoken sentence."""

    samples: NDArray[np.float32]
    """(N,) mono in [-1, 1]."""
    sample_rate: int
    """Samples a second."""
    phonemes: tuple[Phoneme, ...]
    """Every sound and pause, in order, without gaps."""


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    """The library and its sample rate; it can be started once in a process only."""
    import espeakng_loader

    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    data = str(Path(espeakng_loader.get_data_path())).encode()
    return library, library.espeak_Initialize(_SYNCHRONOUS, 0, data, _PHONEME_EVENTS | _IPA)


def speak(text: str, *, voice: str = "en-us", words_per_minute: int = 155, pitch: int = 50) -> Speech:
    """Speak ``text``.

    Args:
        text: plain text.
        voice: an espeak-ng voice, with a variant if wanted, e.g. ``en-us+f3``.
        words_per_minute: 80..450.
        pitch: 0..100.

    Raises:
        ModuleNotFoundError: espeakng-loader is not installed.
        ValueError: there is no such voice.
    """
    library, sample_rate = _library()
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice!r}")
    for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, 60)):
        library.espeak_SetParameter(parameter, value, 0)

    chunks: list[NDArray[np.int16]] = []
    marks: list[tuple[int, str]] = []

    def receive(wav: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if count > 0:
            chunks.append(np.ctypeslib.as_array(wav, (count,)).copy())
        index = 0
        while events[index].type != _END:
            if events[index].type == _PHONEME:
                marks.append((events[index].sample, bytes(events[index].id.string).decode("utf-8", "ignore")))
            index += 1
        return 0

    callback = _Callback(receive)
    library.espeak_SetSynthCallback(callback)
    encoded = text.encode()
    library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, _UTF8, None, None)
    samples = np.concatenate(chunks).astype(np.float32) / 32768.0
    starts = [start / sample_rate for start, _ in marks]
    ends = [*starts[1:], len(samples) / sample_rate]
    phonemes = (Phoneme(ipa, a, b) for (_, ipa), a, b in zip(marks, starts, ends, strict=True))
    return Speech(samples, sample_rate, tuple(p for p in phonemes if p.end_s > p.start_s))
