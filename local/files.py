"""Files that the user names for a demo: checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


class FilesRefusedError(Exception):
    """Some of the files named cannot be uploaded. `str()` is a line for each."""


@dataclass(frozen=True)
class FileKind:
    """A kind of file that an architecture takes.

    `one` and `many` name it ("photograph", "photographs"), `endings` are in small letters with the dot, `takes` tells
    whether a file of this name starts the flow, `refused` says what is not done with others ("labelled"), `option` how
    the command line names such files.
    """

    one: str
    many: str
    endings: tuple[str, ...]
    takes: Callable[[str], bool]
    refused: str
    option: str = "--file"
    # Far beyond what anyone has; it would be read into memory.
    largest_bytes: int = 100_000_000

    def counted(self, number: int) -> str:
        """ "1 photograph", "2 photographs"."""
        return f"{number} {self.one if number == 1 else self.many}"


def check(paths: Sequence[Path], kind: FileKind) -> list[Path]:
    """These files, each once, if all of them can be uploaded. What a file holds is for the architecture to judge.

    Raises FilesRefusedError with a line for each file that cannot.
    """
    first: dict[Path, Path] = {}
    for path in paths:
        first.setdefault(path.absolute(), path)
    unique = list(first.values())
    complaints = [complaint for path in unique if (complaint := _complaint(path, kind))]
    if complaints:
        raise FilesRefusedError("\n".join(complaints))
    return unique


def _complaint(path: Path, kind: FileKind) -> str | None:
    valid = str(path).encode(errors="backslashreplace").decode()
    shown = printable(valid)
    complaint: str | None = None
    try:
        if valid != str(path):
            complaint = "the name is not valid UTF-8, which S3 needs. Rename the file."
        elif path.is_dir():
            complaint = f"this is a folder. Name the {kind.many} in it, for example {shown}/*{kind.endings[0]}"
        elif not path.exists():
            complaint = "there is no such file."
        elif not path.is_file():
            complaint = "this is not a file."
        elif not kind.takes(path.name):
            ending = f"files that end in {path.suffix}" if path.suffix else "files without an ending"
            complaint = f"{ending} are not {kind.refused}, only {', '.join(kind.endings)} (or all in capitals)."
        elif (size := path.stat().st_size) > kind.largest_bytes:
            complaint = f"it has {size / 1e6:,.0f} MB; the limit here is {kind.largest_bytes / 1e6:.0f} MB."
        else:
            path.open("rb").close()
    except OSError as error:
        complaint = f"it cannot be read: {error.strerror}."
    return complaint and f"{shown}: {complaint}"


def printable(text: str) -> str:
    """The text with what no terminal shows replaced."""
    return "".join(character if character.isprintable() else "?" for character in text)
