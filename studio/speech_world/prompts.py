"""Real voices for the speech world: telephone prompts with their transcripts, aligned once.

Debian's ``asterisk-core-sounds-*`` packages hold some 570 prompts a language by one professional speaker each
(CC-BY-SA-3.0; the Italian and the Russian ones CC-BY-3.0), as ``LANGUAGE_COUNTRY_SEX_SPEAKER/NAME.g722`` with lines
``NAME: TEXT`` in ``core-sounds-LANGUAGE.txt.gz`` under ``/usr/share/doc``. They are read where they lie
and are no part of this repository.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from media.atomic import replacing
from motion.encoder import RATE
from problems import InvalidParameter
from studio.speech import Phoneme, speak
from studio.speech_world.alignment import LONGEST_S, align
from studio.speech_world.voices import Split
from training.progress import Progress, Tick, silent
from training.runtime import available_cores

Array = NDArray[np.float32]

SOUNDS = Path("/usr/share/asterisk/sounds")
"""Where Debian's packages put the recordings."""
TRANSCRIPTS = Path("/usr/share/doc")
"""Where they put the transcripts, a folder a language."""
VOICES = {"en": "en-us", "es": "es", "fr": "fr", "it": "it", "ru": "ru"}
"""espeak-ng's name of the packages' languages."""
HELD_OUT_LANGUAGE = "ru"
"""The language whose speaker no training clip has."""
SHORTEST_S = 0.6
"""A shorter prompt is a digit or a letter."""
MISFIT = 0.62
"""Alignments above this are of other words than the transcript's, or of no words."""
_FORMATS = (".g722", ".wav", ".flac", ".ogg", ".opus")


@dataclass(frozen=True)
class Prompt:
    """A recording with the times of its sounds."""

    path: Path
    """The sound file."""
    language: str
    """espeak-ng's name of it."""
    speaker: str
    """Name of the speaker's folder."""
    phonemes: tuple[Phoneme, ...]
    """Sounds and pauses from 0 to the end, without gaps."""

    def held_out(self) -> bool:
        """Whether training must not hear it: all of one language, and a tenth of the others by a hash of the name."""
        digest = hashlib.sha256(f"{self.speaker}/{self.path.stem}".encode()).digest()
        return self.language == HELD_OUT_LANGUAGE or digest[0] < 26

    def samples(self) -> Array:
        """(N,) at 16 kHz in [-1, 1]."""
        return read_prompt(self.path)


@dataclass(frozen=True)
class Prompts:
    """All usable prompts."""

    prompts: tuple[Prompt, ...]
    """In the order of speakers and names."""

    def of(self, split: Split) -> dict[str, list[Prompt]]:
        """Prompts of one side of the split, by speaker."""
        result: dict[str, list[Prompt]] = {}
        for prompt in self.prompts:
            if prompt.held_out() == (split == "held-out"):
                result.setdefault(prompt.speaker, []).append(prompt)
        return result


def load_prompts(
    cache: Path,
    sounds: Path = SOUNDS,
    transcripts: Path = TRANSCRIPTS,
    progress: Progress = silent,
) -> Prompts:
    """All prompts that are installed and align well; aligned on first use, a minute or two a language.

    Args:
        cache: folder for the alignments, one JSON file a speaker; what is there is taken as it is.
        sounds: folder of the speakers' folders.
        transcripts: folder under which ``core-sounds-*.txt`` or ``.txt.gz`` are found.
        progress: listener.

    Raises:
        InvalidParameter: there are no prompts, or they have no transcripts.
    """
    # LANGUAGE_COUNTRY_SEX_SPEAKER; shorter names beside them are links to these folders.
    speakers = [
        path
        for path in sorted(sounds.glob("*_*_*"))
        if path.is_dir() and not path.is_symlink() and path.name.split("_")[0] in VOICES
    ]
    if not speakers:
        raise InvalidParameter(
            f"{sounds} holds no prompts (folders such as en_US_f_Allison)",
            remedy="apt-get install asterisk-core-sounds-{en,es,fr,it,ru}-g722, or train without prompts",
        )
    prompts: list[Prompt] = []
    for number, folder in enumerate(speakers):
        progress(Tick("motion.prompts", number, len(speakers)))
        times = cache / f"{folder.name}.json"
        if not times.exists():
            _align_speaker(folder, transcripts, times)
        prompts += _read_times(folder, times)
    progress(Tick("motion.prompts", len(speakers), len(speakers)))
    return Prompts(tuple(prompts))


def read_prompt(path: Path) -> Array:
    """A sound file as (N,) samples at 16 kHz in [-1, 1]."""
    with av.open(str(path), format="g722" if path.suffix == ".g722" else None) as file:
        stream = file.streams.audio[0]
        convert = av.AudioResampler(format="flt", layout="mono", rate=stream.rate)
        parts = [out.to_ndarray()[0] for frame in file.decode(stream) for out in convert.resample(frame)]
        samples = np.concatenate(parts)
        return np.asarray(soxr.resample(samples, stream.rate, RATE), np.float32)


def transcript(language: str, folder: Path) -> dict[str, str]:
    """Texts by name of the prompt; stage directions such as ``[beep]`` are no texts.

    Raises:
        InvalidParameter: there is no transcript.
    """
    found = sorted(folder.rglob(f"core-sounds-{language}.txt*"))
    if not found:
        raise InvalidParameter(
            f"no transcript core-sounds-{language}.txt was found under {folder}",
            remedy=f"apt-get install asterisk-core-sounds-{language}",
        )
    content = found[0].read_bytes()
    text = (gzip.decompress(content) if found[0].suffix == ".gz" else content).decode("utf-8", "replace")
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith(";"))
    texts = {name.strip(): said.strip() for name, said in pairs}
    return {name: said for name, said in texts.items() if said and not set(said) & set("[]<>(){}")}


def _align_speaker(folder: Path, transcripts: Path, times: Path) -> None:
    language = folder.name.split("_")[0]
    texts = transcript(language, transcripts)
    files = {
        str(p.relative_to(folder).with_suffix("")): p
        for p in sorted(folder.rglob("*"))
        if p.suffix in _FORMATS
    }
    wanted = [(files[name], texts[name], VOICES[language]) for name in sorted(texts) if name in files]
    with ProcessPoolExecutor(available_cores(), mp_context=get_context("spawn")) as processes:
        aligned = list(processes.map(_align_file, wanted, chunksize=16))
    usable = {
        str(path.relative_to(folder)): {"misfit": round(misfit, 4), "phonemes": phonemes}
        for (path, _, _), (misfit, phonemes) in zip(wanted, aligned, strict=True)
        if misfit <= MISFIT
    }
    with replacing(times) as part:
        part.write_text(json.dumps({"tried": len(wanted), "prompts": usable}, ensure_ascii=False))


def _align_file(job: tuple[Path, str, str]) -> tuple[float, list[tuple[str, float, float]]]:
    """Misfit and sounds of a file; an infinite misfit for what is too short, too long or silent."""
    path, text, voice = job
    samples = read_prompt(path)
    said = speak(text, voice=voice)
    longest = max(len(samples) / RATE, len(said.samples) / said.sample_rate)
    if (
        not len(samples) / RATE >= SHORTEST_S
        or longest > LONGEST_S
        or not said.phonemes
        or samples.std() < 1e-3
    ):
        return float("inf"), []
    result = align(samples, said)
    return result.misfit, [(p.ipa, round(p.start_s, 4), round(p.end_s, 4)) for p in result.phonemes]


def _read_times(folder: Path, times: Path) -> Iterable[Prompt]:
    voice = VOICES[folder.name.split("_")[0]]
    for name, entry in json.loads(times.read_text())["prompts"].items():
        phonemes = tuple(Phoneme(ipa, start, end) for ipa, start, end in entry["phonemes"])
        found = [p for p in (folder / name).parent.glob(Path(name).stem + ".*") if p.suffix in _FORMATS]
        if found:
            yield Prompt(sorted(found)[0], voice, folder.name, phonemes)
