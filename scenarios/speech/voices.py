"""Text to speech in voices that can be told apart, from one small model.

The model is `hibari-tts` (Apache-2.0): American and British English, one speaker in the package. It is a vocoder whose
network answers, for each frame of 12.5 ms, a fundamental frequency and the spectra that shape pulses and noise; so the
pitch and the size of the speaker's vocal tract (formants) can be changed apart from each other, before the sound is
made. A `Voice` names such a change. Every voice is therefore a variant of one speaker: told apart by pitch, formants
and pace, not by another person's manner of speaking.

Here, and not beside the stand-ins, because scenarios synthesize calls and know nothing of the local cloud; the stand-in
for Polly speaks with the same functions.
"""

import functools
import re
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache, cached

SAMPLE_RATE = 24_000
"""Samples a second of everything that this module returns."""

FRAME = 300
"""Samples a frame of the model: 12.5 ms."""

PITCHES = (0.4, 2.5)
FORMANTS = (0.7, 1.4)
RATES = (0.2, 2.0)

_SPEEDS = (0.5, 2.0)  # What the model was trained for (its documentation); slower speech is drawn out a second time.
_LEVEL = 0.06  # Root mean square of a sentence's sound, of full scale: leaves room to speak louder.
_CEILING = 0.97

Samples = npt.NDArray[np.int16]
Sound = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Voice:
    """How a speaker differs from the model's own.

    `pitch` multiplies the fundamental frequency (about 185 Hz in the model's own voice), `formant` the frequencies at
    which the vocal tract resonates (below 1: a larger speaker), `rate` the pace. `british` chooses the pronunciation.
    """

    pitch: float = 1.0
    formant: float = 1.0
    rate: float = 1.0
    british: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in (("pitch", PITCHES), ("formant", FORMANTS), ("rate", RATES)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}, not between {low} and {high}")


@dataclass(frozen=True)
class Piece:
    """A stretch of text, spoken in its own way.

    `pitch` and `rate` multiply the voice's, `gain` the loudness. `phonemes` (see `phonemes_of_ipa`) replaces the
    pronunciation of the whole text.
    """

    text: str
    pitch: float = 1.0
    rate: float = 1.0
    gain: float = 1.0
    phonemes: str | None = None


@dataclass(frozen=True)
class Word:
    """A stretch of the text that is spoken as one, and where: samples from the start of its sentence's sound.

    `piece` is the number of the piece that it comes from. Numbers and abbreviations are written out: `4 kg` is two
    words, "4" and "kilograms".
    """

    text: str
    start: int
    end: int
    piece: int = 0


@dataclass(frozen=True)
class Spoken:
    """One sentence: its sound between -1 and 1, and its words in order."""

    sound: Sound
    words: tuple[Word, ...]


# Speakers of a call: far enough apart in pitch and formants to be told apart, all understood by a recogniser.
SPEAKERS: dict[str, Voice] = {
    "heart": Voice(),
    "low": Voice(pitch=0.55, formant=0.85),
    "middle": Voice(pitch=0.75, formant=0.92, rate=1.05),
    "high": Voice(pitch=1.35, formant=1.06),
}


def synthesize(text: str, voice: Voice | None = None, seed: int = 0) -> tuple[Samples, int]:
    """The text spoken: mono samples, and how many make a second. The same arguments give the same samples."""
    said = [sentence.sound for sentence in speak(text, voice or Voice(), seed)]
    return to_pcm(np.concatenate(said) if said else np.zeros(0, np.float32)), SAMPLE_RATE


def speak(text: str | Sequence[Piece], voice: Voice, seed: int = 0) -> list[Spoken]:
    """The text sentence by sentence, with the place of every word. A sentence may go on over several pieces.

    What was said before is not worked out again; nobody can write to its sound.
    """
    pieces = (Piece(text),) if isinstance(text, str) else tuple(text)
    return list(_speak(pieces, voice, seed))


# Five minutes of sound.
_KEPT: LRUCache[Any, tuple[Spoken, ...]] = LRUCache(
    300 * SAMPLE_RATE * 4, getsizeof=lambda said: sum(sentence.sound.nbytes for sentence in said)
)


@cached(_KEPT, lock=threading.Lock())
def _speak(pieces: tuple[Piece, ...], voice: Voice, seed: int) -> tuple[Spoken, ...]:
    said = tuple(_model(voice.british).speak(pieces, voice, seed))
    for sentence in said:
        sentence.sound.flags.writeable = False
    return said


def phonemes_of_ipa(ipa: str, *, british: bool = False) -> str:
    """A pronunciation in the International Phonetic Alphabet, as the model writes it. Raises ValueError for a sound
    that it does not know."""
    written = ipa.replace("\u0361", "").replace("g", "\u0261").replace(".", "").replace(" ", "")
    for sound, phoneme in _IPA:
        written = written.replace(sound, phoneme)
    known = _model(british).phonemes
    if unknown := sorted({sound for sound in written if sound not in known}):
        raise ValueError(f"the model has no sound for {' '.join(unknown)}")
    if not written:
        raise ValueError("no pronunciation is given")
    return written


# The model writes diphthongs and affricates as one letter each ("misaki", the alphabet of Kokoro-82M).
_IPA = (
    ("e\u026a", "A"), ("a\u026a", "I"), ("a\u028a", "W"), ("\u0254\u026a", "Y"), ("o\u028a", "O"),
    ("\u0259\u028a", "Q"), ("d\u0292", "\u02a4"), ("t\u0283", "\u02a7"), ("\u025d", "\u025c\u0279"),
    ("\u025a", "\u0259\u0279"), ("r", "\u0279"),
)  # fmt: skip


def to_pcm(sound: Sound) -> Samples:
    """Sound between -1 and 1 as 16-bit samples; what is louder is cut."""
    return np.rint(np.clip(sound, -1.0, 1.0) * 32_767).astype(np.int16)


def resample(sound: Sound, rate: int, wanted: int) -> Sound:
    """The same sound at another number of samples a second, band-limited: by the Fourier transform of the whole."""
    if rate == wanted or not len(sound):
        return sound
    count = round(len(sound) * wanted / rate)
    # Padded to lengths that are divided well, or a long sound with a prime number of samples takes minutes.
    block = rate // np.gcd(rate, wanted)
    padded = -(-len(sound) // (block * 4096)) * block * 4096
    spectrum = np.fft.rfft(sound, padded)
    target = padded * wanted // rate
    kept = np.zeros(target // 2 + 1, spectrum.dtype)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    resampled: Sound = (np.fft.irfft(kept, target)[:count] * (target / padded)).astype(np.float32)
    return resampled


_Token = tuple[str, str, int]
"""A token's text, its phonemes, and the number of the piece that it comes from."""


@functools.cache
def _model(british: bool) -> "_Model":
    return _Model(british)


class _Model:
    """hibari with one pronunciation. Answers one caller at a time."""

    def __init__(self, british: bool) -> None:
        import hibari
        import onnxruntime
        from hibari.g2p import G2P

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._hibari = hibari.Hibari(g2p=G2P(british=british))
        self._session = onnxruntime.InferenceSession(
            _with_durations(Path(self._hibari.model_path)), options, providers=["CPUExecutionProvider"]
        )
        self._turn = threading.Lock()

    @property
    def phonemes(self) -> Collection[str]:
        """Every sound that the model knows, a letter each."""
        known: Collection[str] = self._hibari.vocab
        return known

    def speak(self, pieces: Sequence[Piece], voice: Voice, seed: int) -> list[Spoken]:
        noise = np.random.default_rng(seed)
        with self._turn:
            return [
                self._say(part, pieces, voice, noise)
                for sentence in self._sentences(pieces)
                for part in _breaths(sentence)
                if any(phonemes.strip() for _, phonemes, _ in part)
            ]

    def _sentences(self, pieces: Sequence[Piece]) -> list[list[_Token]]:
        """The tokens of each sentence. A piece that does not end one goes on in the next piece."""
        sentences: list[list[_Token]] = [[]]
        for number, piece in enumerate(pieces):
            if piece.phonemes is not None:
                sentences[-1].append((piece.text, f"{piece.phonemes} ", number))
                continue
            for part in self._hibari.split_sentences(piece.text):
                if sentences[-1] and _SENTENCE_END.search(sentences[-1][-1][1]):
                    sentences.append([])
                sentences[-1] += [(text, phonemes, number) for text, phonemes in self._tokens(part)]
            if piece.text.endswith("\n"):
                sentences.append([])
        return [sentence for sentence in sentences if sentence]

    def _tokens(self, text: str) -> list[tuple[str, str]]:
        """Tokens of a text with the phonemes of each, the space behind it included."""
        from hibari.g2p import normalize

        g2p = self._hibari.g2p
        # Its own mark for a pronunciation, "[word](/sounds/)", means nothing in a text.
        tokens = g2p.phonemize_tokens(g2p.tokenize(normalize(text.replace("](", "] ("))))
        found = [(token.text, (token.phonemes or "") + (" " if token.whitespace else "")) for token in tokens]
        if found and text[-1:].isalnum():
            found[-1] = (found[-1][0], f"{found[-1][1].rstrip()} ")
        return found

    def _say(
        self, tokens: Sequence[_Token], pieces: Sequence[Piece], voice: Voice, noise: np.random.Generator
    ) -> Spoken:
        from hibari import dsp

        ids, spans = self._numbered(tokens)
        rates = {pieces[number].rate for *_, number in spans}
        pace = voice.rate * (rates.pop() if len(rates) == 1 else 1.0)
        speed = min(max(pace, _SPEEDS[0]), _SPEEDS[1])
        given = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([speed], np.float32)}
        *batches, durations = self._session.run(None, given)
        lh, theta, ln, lr, phi, f0 = (batch[0] for batch in batches)
        ends = np.concatenate(([0], np.cumsum(durations.reshape(-1))))
        parts = [lh, theta, ln, lr, phi]
        if voice.formant != 1.0:
            parts = [_warped(part, voice.formant, whole=part is phi) for part in parts]

        owners = np.zeros(len(f0), np.int64)
        for _, start, _, number in spans:
            owners[ends[start] :] = number
        owners[: ends[spans[0][1]]] = spans[0][3]
        pitches, gains, wanted = (
            np.asarray([getattr(piece, name) for piece in pieces]) for name in ("pitch", "gain", "rate")
        )
        # What the model's own pace leaves to do: frames are left out or said again.
        lengths = speed / (voice.rate * wanted[owners])
        reached = np.concatenate(([0.0], np.cumsum(lengths)))
        count = max(round(reached[-1]), 1)
        chosen = np.minimum(np.searchsorted(reached, np.arange(count) + 0.5) - 1, len(f0) - 1)
        owners, f0 = owners[chosen], f0[chosen]
        if voice.pitch != 1.0 or np.any(pitches != 1.0):
            parts[0] = _smoothed(parts[0])
        sound = dsp.synth(
            *(np.ascontiguousarray(part[:, chosen]) for part in parts),
            (f0 * voice.pitch * pitches[owners]).astype(np.float32),
            noise,
        )
        samples = np.rint(reached[ends]).astype(np.int64) * FRAME
        return Spoken(
            sound=np.asarray(_levelled(sound) * np.repeat(gains[owners], FRAME), np.float32),
            words=tuple(
                Word(text.strip(), int(samples[start]), int(samples[end]), number)
                for text, start, end, number in spans
                if end > start
            ),
        )

    def _numbered(self, tokens: Sequence[_Token]) -> tuple[list[int], list[tuple[str, int, int, int]]]:
        """The model's numbers for all sounds, and each token's text, first and behind-last sound, and piece."""
        known = self._hibari.vocab
        ids = [0]
        spans = []
        for text, phonemes, piece in tokens:
            start = len(ids)
            ids += [known[phoneme] for phoneme in phonemes if phoneme in known]
            spans.append((text, start, start + sum(phoneme in known for phoneme in phonemes.rstrip()), piece))
        return [*ids, 0], spans


_SENTENCE_END = re.compile(r"[.!?…][”\"]?\s*$")
_CLAUSE_END = re.compile(r"[,;:—.!?…][”\"]?\s*$")
_BREATH = 400  # Phonemes that the model is given at once: its own package's limit.


def _breaths(words: Sequence[_Token]) -> list[list[_Token]]:
    """Sentences longer than the model takes, cut where a clause ends, or between two words when none does."""
    parts: list[list[_Token]] = [[]]
    length = clause = 0
    for word in words:
        if length + len(word[1]) > _BREATH and parts[-1]:
            clause = clause or len(parts[-1])
            parts.append(parts[-1][clause:])
            del parts[-2][clause:]
            length, clause = sum(len(phonemes) for _, phonemes, _ in parts[-1]), 0
        parts[-1].append(word)
        length += len(word[1])
        if _CLAUSE_END.search(word[1]):
            clause = len(parts[-1])
    return [part for part in parts if part]


def _warped(part: npt.NDArray[np.float32], factor: float, *, whole: bool) -> npt.NDArray[np.float32]:
    """A spectrum [bins, frames] with its frequencies multiplied. `whole`: angles, which are not to be averaged."""
    last = len(part) - 1
    source = np.minimum(np.arange(len(part)) / factor, last)
    if whole:
        nearest: npt.NDArray[np.float32] = part[np.rint(source).astype(np.int64)]
        return nearest
    below = source.astype(np.int64)
    share = (source - below)[:, None].astype(np.float32)
    mixed: npt.NDArray[np.float32] = part[below] * (1 - share) + part[np.minimum(below + 1, last)] * share
    return mixed


_COMB = 11  # Bins of 20 Hz: one more than lie between two harmonics of the model's own voice.


def _smoothed(envelope: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The spectrum of the harmonics [bins, frames] without the traces that the model's own pitch leaves in it.

    With them a voice that is made deeper has two pitches at once: 129 Hz wanted, 145 Hz measured.
    """
    weights = np.hanning(_COMB + 2)[1:-1]
    padded = np.pad(envelope, ((_COMB // 2, _COMB // 2), (0, 0)), mode="edge")
    shifted = (padded[at : at + len(envelope)] * weight for at, weight in enumerate(weights / weights.sum()))
    smooth: npt.NDArray[np.float32] = np.sum(list(shifted), axis=0, dtype=np.float32)
    return smooth


def _levelled(sound: Sound) -> Sound:
    """Every voice equally loud: the changes of pitch and formants change the level too."""
    level = float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0
    if level < 1e-6:
        return sound
    peak = float(np.max(np.abs(sound)))
    return np.asarray(sound * min(_LEVEL / level, _CEILING / peak), np.float32)


_DURATIONS = "/Cast_32_output_0"


def _with_durations(path: Path) -> bytes:
    """hibari's graph, which also answers how many frames each phoneme lasts: a value that it computes on its way."""
    import onnx

    model: Any = onnx.load(str(path))
    makers = [node for node in model.graph.node if _DURATIONS in node.output]
    if not makers or not any("speed" in node.input for node in model.graph.node):
        raise RuntimeError("hibari's graph has changed: the frames of each phoneme are no longer where they were.")
    model.graph.output.append(onnx.helper.make_tensor_value_info(_DURATIONS, onnx.TensorProto.INT64, None))
    content: bytes = model.SerializeToString()
    return content
