"""Words and set phrases of a hotel's telephone in English, Spanish, German and French: a table of this project.

This is no translation model, and it does not pretend to be one: there is no grammar, a word has one sense, and what the
table does not know stays as it is. Between two languages other than English it goes by the English entry.
"""

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path

LANGUAGES = {"de": "German", "en": "English", "es": "Spanish", "fr": "French"}

_TABLE = Path(__file__).with_name("phrases.csv")
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")


@functools.cache
def _entries(source: str, target: str) -> Mapping[str, str]:
    lines = [line for line in _TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    head, *rows = (line.split("|") for line in lines)
    one, other = head.index(source), head.index(target)
    entries: dict[str, str] = {}
    for row in rows:
        # The first entry for a word wins.
        entries.setdefault(row[one].casefold(), row[other])
    return entries


@functools.cache
def _pattern(source: str, target: str) -> re.Pattern[str]:
    known = sorted(_entries(source, target), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)", re.IGNORECASE)


def translate(text: str, source: str, target: str) -> str:
    """The text with every phrase and word of the table replaced, longest first; all else stays, case at the start too.

    Raises KeyError for a language that the table does not have.
    """
    if not {source, target} <= LANGUAGES.keys():
        raise KeyError(f"{source} to {target}")
    if source == target:
        return text
    entries = _entries(source, target)

    def replaced(match: re.Match[str]) -> str:
        found, word = match.group(), entries[match.group().casefold()]
        sentence_start = not text[: match.start()].rstrip() or text[: match.start()].rstrip()[-1] in ".!?:\n"
        return word[0].upper() + word[1:] if found[0].isupper() and sentence_start else word

    return _pattern(source, target).sub(replaced, text)


def translate_around(
    text: str, keep: re.Pattern[str] | None, replace: Callable[[str], str], source: str, target: str
) -> str:
    """Translate what lies between the matches of `keep`, and put `replace(match)` in the place of each."""
    if keep is None:
        return translate(text, source, target)
    parts, place = [], 0
    for match in keep.finditer(text):
        parts += [translate(text[place : match.start()], source, target), replace(match.group())]
        place = match.end()
    return "".join([*parts, translate(text[place:], source, target)])


def share_known(text: str, source: str, target: str) -> float:
    """Share of a text's words that the table knows; 1 for a text without words."""
    words = _WORD.findall(text)
    covered = sum(len(_WORD.findall(match.group())) for match in _pattern(source, target).finditer(text))
    return min(1.0, covered / len(words)) if words else 1.0
