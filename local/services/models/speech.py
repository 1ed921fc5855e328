"""What is to be spoken (`local.services.ssml`) as sound, as speech marks, and as a file.

The voices are those of `scenarios.speech.voices`. Files are written by libsndfile (LGPL-2.1), which the package
soundfile (BSD-3-Clause) brings as a library of its own: MP3 by LAME, Ogg Vorbis and Opus. Sentences are rendered one
after another, so that a long text takes no more memory than a short one.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from local.services.ssml import Mark, Part, Pause, Text
from scenarios.speech import voices
from scenarios.speech.voices import Piece, Samples, Sound, Spoken, Voice, Word

MODEL_VERSION = "hibari-0.2.1"

MarkType = Literal["sentence", "word", "ssml"]

# botocore's model of Polly, SynthesizeSpeechInput and SynthesizeSpeechOutput: the rates that each format takes, the
# rate of standard and neural voices where none is asked for, and the content type.
RATES: dict[str, tuple[int, ...]] = {
    "mp3": (8_000, 16_000, 22_050, 24_000, 44_100, 48_000),
    "ogg_vorbis": (8_000, 16_000, 22_050, 24_000, 44_100, 48_000),
    "ogg_opus": (48_000,),
    "pcm": (8_000, 16_000),
    "mulaw": (8_000,),
    "alaw": (8_000,),
}
CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "ogg_vorbis": "audio/ogg",
    "ogg_opus": "audio/ogg",
    "pcm": "audio/pcm",
    "mulaw": "audio/mulaw",
    "alaw": "audio/alaw",
    "json": "application/x-json-stream",
}
_ENCODINGS = {
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg_vorbis": ("OGG", "VORBIS"),
    "ogg_opus": ("OGG", "OPUS"),
    "pcm": ("RAW", "PCM_16"),
    "mulaw": ("RAW", "ULAW"),
    "alaw": ("RAW", "ALAW"),
}


@dataclass(frozen=True)
class SpeechMark:
    """Something in the source and when it is said: `milliseconds` from the start, `start` and `end` in bytes."""

    milliseconds: int
    type: MarkType
    start: int
    end: int
    value: str

    def line(self) -> str:
        """As Polly writes it (Amazon Polly Developer Guide, "Speech mark output", read 2026-11-25)."""
        fields = {"time": self.milliseconds, "type": self.type, "start": self.start, "end": self.end}
        return json.dumps({**fields, "value": self.value}, ensure_ascii=False)


@dataclass(frozen=True)
class Stretch:
    """Some sound, and the marks in it; `sound` is at `voices.SAMPLE_RATE`."""

    sound: Sound
    marks: tuple[SpeechMark, ...] = ()


def render(source: str, parts: Sequence[Part], voice: Voice, *, seed: int = 0) -> Iterator[Stretch]:
    """The parts spoken, stretch by stretch. Raises ValueError for a pronunciation that the model cannot say."""
    encoded = source.encode()
    position = 0
    for group in _groups(parts):
        if isinstance(group, Pause):
            stretches: Iterable[tuple[Sound, list[SpeechMark]]] = [
                (np.zeros(round(group.seconds * voices.SAMPLE_RATE), np.float32), [])
            ]
        else:
            stretches = _said(encoded, group, voice, seed)
        for sound, marks in stretches:
            shift = round(position * 1000 / voices.SAMPLE_RATE)
            yield Stretch(
                sound,
                tuple(
                    SpeechMark(mark.milliseconds + shift, mark.type, mark.start, mark.end, mark.value) for mark in marks
                ),
            )
            position += len(sound)


def encode(
    stretches: Iterable[Stretch], output_format: str, rate: int, *, longest_seconds: float | None = None
) -> bytes:
    """The file in one of Polly's formats; what is longer than `longest_seconds` is cut off."""
    import soundfile

    kind, subtype = _ENCODINGS[output_format]
    file = io.BytesIO()
    left = None if longest_seconds is None else round(longest_seconds * rate)
    with soundfile.SoundFile(
        file, "w", samplerate=rate, channels=1, format=kind, subtype=subtype, endian="LITTLE" if kind == "RAW" else None
    ) as writer:
        for stretch in stretches:
            samples = _at(stretch.sound, rate)[:left]
            writer.write(samples)
            if left is not None:
                left -= len(samples)
                if left <= 0:
                    break
    return file.getvalue()


def _at(sound: Sound, rate: int) -> Samples:
    return voices.to_pcm(voices.resample(sound, voices.SAMPLE_RATE, rate))


def _groups(parts: Sequence[Part]) -> Iterator[Pause | list[Text | Mark]]:
    group: list[Text | Mark] = []
    for part in parts:
        if not isinstance(part, Pause):
            group.append(part)
            continue
        if group:
            yield group
            group = []
        yield part
    if group:
        yield group


def _said(
    source: bytes, group: Sequence[Text | Mark], voice: Voice, seed: int
) -> Iterator[tuple[Sound, list[SpeechMark]]]:
    texts = [part for part in group if isinstance(part, Text)]
    pieces = [
        Piece(
            text.said,
            pitch=text.manner.pitch,
            rate=text.manner.rate,
            gain=text.manner.gain,
            phonemes=voices.phonemes_of_ipa(text.ipa, british=voice.british) if text.ipa else None,
        )
        for text in texts
    ]
    # An author's mark stands before the text that follows it, and is reached with that text's first word.
    waiting = [
        (mark, sum(isinstance(part, Text) for part in group[:at]))
        for at, mark in enumerate(group)
        if isinstance(mark, Mark)
    ]
    cursors = [text.start for text in texts]
    last = np.zeros(0, np.float32)
    spoken = voices.speak(pieces, voice, seed)
    for sentence in spoken:
        marks = list(_word_marks(source, sentence, texts, cursors))
        if marks:
            start, end = marks[0].start, max(mark.end for mark in marks)
            value = source[start:end].decode(errors="replace")
            marks.insert(0, SpeechMark(marks[0].milliseconds, "sentence", start, end, value))
        for word in sentence.words:
            while waiting and waiting[0][1] <= word.piece:
                marks.append(_author_mark(waiting.pop(0)[0], word.start))
        if sentence is spoken[-1]:
            marks += [_author_mark(mark, len(sentence.sound)) for mark, _ in waiting]
            waiting = []
        yield sentence.sound, sorted(marks, key=lambda mark: mark.milliseconds)
    if waiting:
        yield last, [_author_mark(mark, 0) for mark, _ in waiting]


def _author_mark(mark: Mark, sample: int) -> SpeechMark:
    return SpeechMark(_milliseconds(sample), "ssml", mark.start, mark.end, mark.name)


def _milliseconds(sample: int) -> int:
    return round(sample * 1000 / voices.SAMPLE_RATE)


def _word_marks(source: bytes, sentence: Spoken, texts: Sequence[Text], cursors: list[int]) -> Iterator[SpeechMark]:
    """Where each word of the source is said. `cursors` say how far each text was read, in bytes; they are moved on.

    What the model writes out ("km" becomes "kilometers") is found by what stands between the words that it left alone;
    a replacement (say-as, sub, lexicon) is one word, with the source's own text.
    """
    for number, words in _by_piece(sentence.words):
        text = texts[number]
        if not text.literal or text.ipa:
            if cursors[number] < text.end:
                cursors[number] = text.end
                value = source[text.start : text.end].decode(errors="replace")
                yield SpeechMark(_milliseconds(words[0].start), "word", text.start, text.end, value)
            continue
        written_out: list[Word] = []
        for word in words:
            found = _find(source, word.text, cursors[number], text.end)
            if found is None:
                written_out.append(word)
                continue
            yield from _between(source, written_out, cursors[number], found[0])
            written_out = []
            cursors[number] = found[1]
            if any(letter.isalnum() or letter in _SPOKEN_SIGNS for letter in word.text):
                value = source[found[0] : found[1]].decode(errors="replace")
                yield SpeechMark(_milliseconds(word.start), "word", *found, value)
        if written_out:
            rest = source[cursors[number] : text.end].split(b"\n")[0]
            end = cursors[number] + len(rest)
            yield from _between(source, written_out, cursors[number], end)
            cursors[number] = end


def _by_piece(words: Sequence[Word]) -> list[tuple[int, list[Word]]]:
    found: list[tuple[int, list[Word]]] = []
    for word in words:
        if not found or found[-1][0] != word.piece:
            found.append((word.piece, []))
        found[-1][1].append(word)
    return found


_SPOKEN_SIGNS = "&%+=@#<>"
# How XML writes them; plain text has them as they are.
_ESCAPED = {"&": rb"&(?:amp;)?", "<": rb"(?:&lt;|<)", ">": rb"(?:&gt;|>)"}
_REACH = 60  # Bytes of the source in which the next word must be found, or it was written out.


def _find(source: bytes, word: str, start: int, end: int) -> tuple[int, int] | None:
    wanted = _ESCAPED.get(word) or re.escape(word.encode())
    edges = (rb"(?<!\w)" + wanted + rb"(?!\w)") if word[:1].isalnum() and word[-1:].isalnum() else wanted
    found = re.compile(edges).search(source, start, min(end, start + _REACH + len(wanted)))
    return found.span() if found else None


def _between(source: bytes, words: Sequence[Word], start: int, end: int) -> Iterator[SpeechMark]:
    gap = source[start:end]
    value = gap.strip()
    if words and value:
        begin = start + len(gap) - len(gap.lstrip())
        place = (begin, begin + len(value))
        yield SpeechMark(_milliseconds(words[0].start), "word", *place, value.decode(errors="replace"))


def marks_document(stretches: Iterable[Stretch], wanted: Iterable[Any]) -> bytes:
    """The speech marks of these types, a JSON object a line."""
    types = set(wanted)
    lines = [mark.line() for stretch in stretches for mark in stretch.marks if mark.type in types]
    return "".join(f"{line}\n" for line in lines).encode()
