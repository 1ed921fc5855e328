"""SSML as Amazon Polly takes it, read into what is to be spoken: texts with their manner, pauses and marks.

Tags and their rules: Amazon Polly Developer Guide, "Supported SSML tags" and the pages of the tags, read 2026-11-25.
Served: speak, p, s, break, prosody (rate, pitch, volume), emphasis (as loudness and pace), say-as (characters,
spell-out, digits, cardinal, number, ordinal, telephone), sub, mark, phoneme (IPA). What Polly knows beyond that (lang,
w, amazon:effect, amazon:domain, amazon:auto-breaths, amazon:breath, amazon:max-duration, other say-as) is refused as
not served here; what Polly does not know is invalid. With the neural engine Polly refuses emphasis and a prosody's
pitch, so they are invalid there too.

How strong "slow" or "x-loud" is Polly does not say; the figures below are this local cloud's own.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from xml.parsers import expat

Engine = Literal["standard", "neural"]


class InvalidSsmlError(Exception):
    """The document is not SSML that Polly takes. `line` and `column` count from 1."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {problem}")
        self.line = line
        self.column = column


class NotServedError(Exception):
    """Polly takes this, this local cloud does not."""


@dataclass(frozen=True)
class Manner:
    """How something is spoken. The factors are of pitch, pace and loudness (amplitude)."""

    pitch: float = 1.0
    rate: float = 1.0
    gain: float = 1.0


@dataclass(frozen=True)
class Text:
    """Something to say. `said` is spoken; `start` and `end` are where it stands in the document, in bytes of UTF-8.

    `ipa` is its pronunciation where the document gives one; `literal` tells that `said` is the document's own text.
    """

    said: str
    start: int
    end: int
    manner: Manner = Manner()
    ipa: str | None = None
    literal: bool = True


@dataclass(frozen=True)
class Pause:
    """Silence, in seconds. It ends a sentence's flow."""

    seconds: float


@dataclass(frozen=True)
class Mark:
    """A place in the document that the author named. `start` and `end` as of a text: of its tag."""

    name: str
    start: int
    end: int


Part = Text | Pause | Mark

LONGEST_BREAK = 10.0
RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "fast": 1.3, "x-fast": 1.6, "default": 1.0}
PITCHES = {"x-low": 0.6, "low": 0.8, "medium": 1.0, "high": 1.25, "x-high": 1.5, "default": 1.0}
DECIBELS = {"x-soft": -12.0, "soft": -6.0, "medium": 0.0, "loud": 4.0, "x-loud": 6.0, "default": 0.0}
EMPHASIS = {
    "strong": Manner(rate=0.85, gain=1.6),
    "moderate": Manner(rate=0.93, gain=1.25),
    "reduced": Manner(gain=0.7),
}
BREAKS = {"none": 0.0, "x-weak": 0.0, "weak": 0.25, "medium": 0.25, "strong": 0.5, "x-strong": 0.9}
SENTENCE_PAUSE = 0.3
PARAGRAPH_PAUSE = 0.6

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")
_SIGNED_PERCENT = re.compile(r"([+-]\d+(?:\.\d+)?)%")
_DECIBEL = re.compile(r"([+-]\d+(?:\.\d+)?)dB")
_SECONDS = re.compile(r"\+?(\d+(?:\.\d+)?)(ms|s)")
_ELSEWHERE = {"lang", "w", "amazon:effect", "amazon:domain", "amazon:auto-breaths", "amazon:breath"}
_OTHER_SAY_AS = {"fraction", "unit", "date", "time", "address", "expletive"}


def parse(document: str, engine: Engine = "standard") -> list[Part]:
    """What the document says, in order. Raises InvalidSsmlError and NotServedError.

    Entities and document types are refused, so that no document can grow or reach outside itself.
    """
    return _Reader(document, engine).read()


@dataclass
class _Open:
    """A tag that is not closed yet: its name, how its text is spoken, and what it does with it."""

    name: str
    manner: Manner
    attributes: Mapping[str, str] = field(default_factory=dict)
    replacement: Callable[[str], str] | None = None
    start: int = 0


class _Reader:
    def __init__(self, document: str, engine: Engine) -> None:
        self._source = document.encode()
        self._engine = engine
        self._open: list[_Open] = []
        self._parts: list[Part] = []
        self._text: list[str] = []
        self._text_start = 0
        # Without namespaces: Polly's own tags have a prefix that documents do not declare.
        self._parser = expat.ParserCreate("UTF-8")
        self._parser.buffer_text = False
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = lambda *_: self._fail("a document type is not allowed")
        self._parser.EntityDeclHandler = lambda *_: self._fail("an entity is not allowed")
        self._parser.ProcessingInstructionHandler = lambda *_: self._fail("a processing instruction is not allowed")

    def read(self) -> list[Part]:
        try:
            self._parser.Parse(self._source, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise InvalidSsmlError(reason, error.lineno, error.offset + 1) from error
        return self._parts

    def _fail(self, problem: str) -> None:
        raise InvalidSsmlError(problem, self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._flush()
        if not self._open and name != "speak":
            self._fail(f"the document begins with <{name}>, not <speak>")
        if self._open and self._open[-1].name in ("break", "mark", "say-as", "sub", "phoneme"):
            self._fail(f"<{self._open[-1].name}> holds another tag")
        if name in _ELSEWHERE:
            raise NotServedError(f"the tag <{name}>")
        begin = getattr(self, f"_begin_{name.replace('-', '_')}", None)
        if begin is None:
            self._fail(f"there is no tag <{name}>")
        here = self._parser.CurrentByteIndex
        manner = self._open[-1].manner if self._open else Manner()
        opened = _Open(name, manner, attributes, start=here)
        assert begin is not None
        begin(opened)
        self._open.append(opened)

    def _end(self, name: str) -> None:
        self._flush()
        closed = self._open.pop()
        if name == "mark":
            end = self._source.find(b">", closed.start) + 1
            self._parts.append(Mark(closed.attributes["name"], closed.start, end))
        elif name in ("p", "s"):
            self._pause(PARAGRAPH_PAUSE if name == "p" else SENTENCE_PAUSE)
        elif name in ("sub", "phoneme") and closed.name == name and not self._spoke_since(closed.start):
            self._fail(f"<{name}> holds no text")

    def _characters(self, text: str) -> None:
        if not self._text:
            self._text_start = self._parser.CurrentByteIndex
        if text.strip() and self._open[-1].name in ("break", "mark"):
            self._fail(f"<{self._open[-1].name}> holds a text")
        self._text.append(text)

    def _flush(self) -> None:
        text, self._text = "".join(self._text), []
        if not text:
            return
        inside = self._open[-1]
        said = re.sub(r"\s+", " ", text)
        literal = inside.replacement is None
        if inside.replacement is not None:
            said = inside.replacement(said.strip())
        if not said.strip() and not self._parts:
            return
        end = self._parser.CurrentByteIndex
        self._parts.append(
            Text(
                said,
                self._text_start,
                end,
                inside.manner,
                inside.attributes.get("ph") if inside.name == "phoneme" else None,
                literal,
            )
        )

    def _spoke_since(self, start: int) -> bool:
        last = self._parts[-1] if self._parts else None
        return isinstance(last, Text) and last.start >= start and bool(last.said.strip())

    def _pause(self, seconds: float) -> None:
        last = self._parts[-1] if self._parts else None
        if isinstance(last, Pause):
            self._parts[-1] = Pause(max(last.seconds, seconds))
        elif seconds:
            self._parts.append(Pause(seconds))

    # One method a tag; each checks the attributes.

    def _begin_speak(self, tag: _Open) -> None:
        if self._open:
            self._fail("<speak> within <speak>")
        self._only(tag, "version", "xml:lang", "xmlns", "xmlns:xsi", "xsi:schemaLocation", "xmlns:amazon")

    def _begin_p(self, tag: _Open) -> None:
        self._only(tag)
        if any(one.name in ("p", "s") for one in self._open):
            self._fail("<p> within a paragraph or a sentence")
        self._pause(PARAGRAPH_PAUSE if self._parts else 0.0)

    def _begin_s(self, tag: _Open) -> None:
        self._only(tag)
        if any(one.name == "s" for one in self._open):
            self._fail("<s> within <s>")
        self._pause(SENTENCE_PAUSE if self._parts else 0.0)

    def _begin_break(self, tag: _Open) -> None:
        self._only(tag, "strength", "time")
        if "time" in tag.attributes:
            found = _SECONDS.fullmatch(tag.attributes["time"])
            seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else -1.0
            if not 0 <= seconds <= LONGEST_BREAK:
                self._fail(f"a break's time is 0s to {LONGEST_BREAK:.0f}s, not {tag.attributes['time']!r}")
        else:
            seconds = BREAKS[self._choice(tag, "strength", BREAKS, "medium")]
        if seconds:
            self._parts.append(Pause(seconds))

    def _begin_prosody(self, tag: _Open) -> None:
        if "amazon:max-duration" in tag.attributes:
            raise NotServedError("prosody's amazon:max-duration")
        self._only(tag, "rate", "pitch", "volume")
        if not tag.attributes:
            self._fail("<prosody> has no attribute")
        if "rate" in tag.attributes:
            rate = self._figure(tag, "rate", RATES, _PERCENT)
            self._scale(tag, rate=rate if tag.attributes["rate"] in RATES else rate / 100, low=0.2, high=2.0)
        if "pitch" in tag.attributes:
            if self._engine == "neural":
                self._fail("the neural engine takes no pitch")
            pitch = self._figure(tag, "pitch", PITCHES, _SIGNED_PERCENT)
            self._scale(tag, pitch=pitch if tag.attributes["pitch"] in PITCHES else 1 + pitch / 100, low=0.5, high=1.5)
        if tag.attributes.get("volume") == "silent":
            tag.manner = replace(tag.manner, gain=0.0)
        elif "volume" in tag.attributes:
            decibels = self._figure(tag, "volume", DECIBELS, _DECIBEL)
            tag.manner = replace(tag.manner, gain=tag.manner.gain * 10 ** (min(decibels, 6.0) / 20))

    def _scale(self, tag: _Open, *, rate: float = 1.0, pitch: float = 1.0, low: float, high: float) -> None:
        if not low <= rate * pitch <= high:
            self._fail(f"a change of prosody lies between {low:.0%} and {high:.0%}")
        tag.manner = replace(
            tag.manner,
            rate=min(max(tag.manner.rate * rate, 0.2), 2.0),
            pitch=min(max(tag.manner.pitch * pitch, 0.5), 1.5),
        )

    def _begin_emphasis(self, tag: _Open) -> None:
        if self._engine == "neural":
            self._fail("the neural engine takes no <emphasis>")
        self._only(tag, "level")
        change = EMPHASIS[self._choice(tag, "level", EMPHASIS, "moderate")]
        tag.manner = replace(tag.manner, rate=tag.manner.rate * change.rate, gain=tag.manner.gain * change.gain)

    def _begin_say_as(self, tag: _Open) -> None:
        self._only(tag, "interpret-as", "format")
        kind = tag.attributes.get("interpret-as", "")
        if kind in _OTHER_SAY_AS:
            raise NotServedError(f"say-as {kind}")
        if kind not in _SAY_AS:
            self._fail(f"there is no interpret-as {kind!r}")
        tag.replacement = _SAY_AS[kind]

    def _begin_sub(self, tag: _Open) -> None:
        self._only(tag, "alias")
        alias = self._needed(tag, "alias")
        tag.replacement = lambda _: alias

    def _begin_mark(self, tag: _Open) -> None:
        self._only(tag, "name")
        self._needed(tag, "name")

    def _begin_phoneme(self, tag: _Open) -> None:
        self._only(tag, "alphabet", "ph")
        self._needed(tag, "ph")
        alphabet = tag.attributes.get("alphabet", "ipa")
        if alphabet in ("x-sampa", "x-amazon-pinyin", "x-amazon-pron-kana", "x-amazon-yomigana", "x-amazon-jyutping"):
            raise NotServedError(f"pronunciations in {alphabet}")
        if alphabet != "ipa":
            self._fail(f"there is no alphabet {alphabet!r}")

    def _only(self, tag: _Open, *names: str) -> None:
        for name in tag.attributes:
            if name not in names:
                self._fail(f"<{tag.name}> has no attribute {name!r}")

    def _needed(self, tag: _Open, name: str) -> str:
        if not tag.attributes.get(name, "").strip():
            self._fail(f"<{tag.name}> wants the attribute {name!r}")
        return tag.attributes[name]

    def _choice(self, tag: _Open, name: str, choices: Mapping[str, object], default: str) -> str:
        given = tag.attributes.get(name, default)
        if given not in choices:
            self._fail(f"{name} is one of {', '.join(choices)}, not {given!r}")
        return given

    def _figure(self, tag: _Open, name: str, words: Mapping[str, float], figure: re.Pattern[str]) -> float:
        given = tag.attributes[name]
        if given in words:
            return words[given]
        found = figure.fullmatch(given)
        if found is None:
            self._fail(f"{name} is one of {', '.join(words)}, or a figure, not {given!r}")
        assert found is not None
        return float(found[1])


def _spelt(text: str) -> str:
    return " ".join(f"{letter.upper()}," for letter in text if not letter.isspace()).rstrip(",")


def _digits(text: str) -> str:
    return " ".join(letter for letter in text if letter.isalnum())


def _telephone(text: str) -> str:
    return ", ".join(_digits(group) for group in re.split(r"[\s().-]+", text) if group)


def _ordinal(text: str) -> str:
    digits = text.strip()
    if not digits.isdecimal():
        return text
    ending = "th" if digits[-2:] in ("11", "12", "13") else {"1": "st", "2": "nd", "3": "rd"}.get(digits[-1], "th")
    return digits + ending


_SAY_AS: Mapping[str, Callable[[str], str]] = {
    "characters": _spelt,
    "spell-out": _spelt,
    "digits": _digits,
    "cardinal": lambda text: text,
    "number": lambda text: text,
    "ordinal": _ordinal,
    "telephone": _telephone,
}
