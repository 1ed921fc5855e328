"""What a text is, before Polly is asked: whether it can be spoken at all, and whether at once or by a task.

Limits: Amazon Polly Developer Guide, "Quotas in Amazon Polly", read 2026-11-25. Billed characters are those of the text
without SSML tags. Whether tags make sense is for Polly to say; here is only seen what is no XML, so that its line can be
named, and what could grow or reach outside the document.
"""

from __future__ import annotations

import dataclasses
from xml.parsers import expat

from lambdas.speech_synthesis.speak.uploads import Kind

MOST_BILLED, MOST_TOTAL = 3_000, 6_000
MOST_BILLED_TASK, MOST_TOTAL_TASK = 100_000, 200_000
# UTF-8 takes up to four bytes a character: what is larger is not even read.
MOST_BYTES = 4 * MOST_TOTAL_TASK

TOO_LONG = (
    f"The text has more than {MOST_BILLED_TASK:,} billed or {MOST_TOTAL_TASK:,} characters in all, which is all that a"
    " task takes: split it at its chapters and upload the parts."
)


class RefusedError(Exception):
    """The text can never be spoken: a result to record, not a failure to retry. `line` counts from 1, 0 for none."""

    def __init__(self, code: str, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line


@dataclasses.dataclass(frozen=True)
class Script:
    """A text to speak; `billed` are the characters that Polly charges for."""

    text: str
    kind: Kind
    billed: int

    @property
    def is_short(self) -> bool:
        """Whether Polly answers with the sound itself."""
        return self.billed <= MOST_BILLED and len(self.text) <= MOST_TOTAL


def check_size(size: int) -> None:
    """Raises RefusedError for an object of so many bytes that it is too long in any alphabet."""
    if size > MOST_BYTES:
        raise RefusedError("TextTooLong", TOO_LONG)


def script(content: bytes, kind: Kind) -> Script:
    """The text of an object. Raises RefusedError."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RefusedError("NotUtf8", f"The text is not UTF-8 (line {line}): save it as UTF-8.", line) from None
    spoken = _spoken_of_ssml(text) if kind == "ssml" else text
    if not spoken.strip():
        raise RefusedError("EmptyText", "There is nothing to say.")
    found = Script(text, kind, len(spoken))
    if found.billed > MOST_BILLED_TASK or len(text) > MOST_TOTAL_TASK:
        raise RefusedError("TextTooLong", TOO_LONG)
    return found


def _spoken_of_ssml(text: str) -> str:
    spoken: list[str] = []
    parser = expat.ParserCreate("UTF-8")
    parser.CharacterDataHandler = spoken.append

    def refuse(*_: object) -> None:
        line = parser.CurrentLineNumber
        raise RefusedError("InvalidSsml", f"line {line}: a document type and entities are not allowed", line)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise RefusedError("InvalidSsml", f"line {error.lineno}: {reason}", error.lineno) from None
    return "".join(spoken)
