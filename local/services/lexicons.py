"""Pronunciation lexicons (PLS) as Amazon Polly takes them: read, and applied to what is to be spoken.

Amazon Polly Developer Guide, "Managing lexicons" and "Quotas in Amazon Polly", read 2026-11-25: a lexicon holds up to
4,000 characters, a replacement up to 100, an account up to 100 lexicons; one applies only where its language is the
voice's; the first of several that knows a word wins. Aliases and pronunciations in IPA are served, X-SAMPA is not.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

from local.services.ssml import Part, Text
from local.services.wire import ServiceError

LARGEST = 4_000
LONGEST_REPLACEMENT = 100
MOST = 100


@dataclass
class Lexeme:
    """A word in its spellings, and how it is said: by other words, or by its sounds in IPA."""

    graphemes: list[str] = field(default_factory=list)
    alias: str = ""
    ipa: str = ""


@dataclass(frozen=True)
class Lexicon:
    """A lexicon: its language (`en-US`), alphabet (`ipa`) and lexemes."""

    language: str
    alphabet: str
    lexemes: tuple[Lexeme, ...]


def read(content: str) -> Lexicon:
    """Read a lexicon. Raises ServiceError with the codes of PutLexicon."""
    if len(content) > LARGEST:
        raise ServiceError("LexiconSizeExceededException", f"A lexicon holds up to {LARGEST} characters.")
    reader = _Reader()
    try:
        reader.parser.Parse(content.encode(), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise ServiceError("InvalidLexiconException", f"line {error.lineno}: {reason}") from error
    if reader.alphabet == "x-sampa":
        raise ServiceError("NotImplemented", "This local cloud serves no lexicons in x-sampa; ipa is served.", 501)
    if reader.alphabet not in ("", "ipa"):
        raise ServiceError("UnsupportedPlsAlphabetException", f"The alphabet {reader.alphabet} is not supported.")
    if not reader.language:
        raise ServiceError("InvalidLexiconException", "The lexicon names no language.")
    for lexeme in reader.lexemes:
        if not lexeme.graphemes or not (lexeme.alias or lexeme.ipa):
            raise ServiceError("InvalidLexiconException", "A lexeme has no grapheme, or neither alias nor phoneme.")
        if max(len(lexeme.alias), len(lexeme.ipa)) > LONGEST_REPLACEMENT:
            raise ServiceError(
                "MaxLexemeLengthExceededException", f"A replacement has up to {LONGEST_REPLACEMENT} characters."
            )
    return Lexicon(reader.language, reader.alphabet or "ipa", tuple(reader.lexemes))


def apply(parts: Sequence[Part], lexicons: Sequence[Lexicon], language: str) -> list[Part]:
    """The parts, with the words that a lexicon of this language knows said as it tells. Spelling counts, case too."""
    known: dict[str, Lexeme] = {}
    for lexicon in lexicons:
        if lexicon.language.lower() == language.lower():
            for lexeme in lexicon.lexemes:
                for grapheme in lexeme.graphemes:
                    known.setdefault(grapheme, lexeme)
    if not known:
        return list(parts)
    longest_first = sorted(known, key=len, reverse=True)
    words = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    found: list[Part] = []
    for part in parts:
        found += _replaced(part, words, known) if isinstance(part, Text) and part.literal and not part.ipa else [part]
    return found


def _replaced(text: Text, words: re.Pattern[str], known: dict[str, Lexeme]) -> list[Part]:
    parts: list[Part] = []
    done = 0

    def place(start: int, end: int) -> tuple[int, int]:
        return text.start + len(text.said[:start].encode()), text.start + len(text.said[:end].encode())

    for match in words.finditer(text.said):
        if match.start() > done:
            parts.append(Text(text.said[done : match.start()], *place(done, match.start()), text.manner))
        lexeme = known[match[0]]
        said = lexeme.alias or match[0]
        parts.append(Text(said, *place(*match.span()), text.manner, lexeme.ipa or None, literal=False))
        done = match.end()
    if done < len(text.said):
        parts.append(Text(text.said[done:], *place(done, len(text.said)), text.manner))
    return parts


class _Reader:
    def __init__(self) -> None:
        self.alphabet = ""
        self.language = ""
        self.lexemes: list[Lexeme] = []
        self._path: list[str] = []
        self._text = ""
        self.parser = expat.ParserCreate("UTF-8")
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse

    def _refuse(self, *_: object) -> None:
        raise ServiceError("InvalidLexiconException", "A lexicon has no document type and no entities.")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and name != "lexicon":
            raise ServiceError("InvalidLexiconException", f"The document is a {name}, no lexicon.")
        if name == "lexicon":
            self.alphabet, self.language = attributes.get("alphabet", ""), attributes.get("xml:lang", "")
        elif name == "lexeme":
            self.lexemes.append(Lexeme())
        self._path.append(name)
        self._text = ""

    def _characters(self, text: str) -> None:
        self._text += text

    def _end(self, name: str) -> None:
        self._path.pop()
        text, self._text = self._text.strip(), ""
        if not self.lexemes:
            return
        lexeme = self.lexemes[-1]
        if name == "grapheme":
            lexeme.graphemes.append(text)
        elif name == "alias" and not lexeme.alias:
            lexeme.alias = text
        elif name == "phoneme" and not lexeme.ipa:
            lexeme.ipa = text
