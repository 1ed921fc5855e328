"""What the command line shows: progress on standard error, results on standard output.

On a terminal a running step has a spinner and a changing detail; elsewhere it is one plain line, so that a log stays
readable. Symbols fall back to ASCII where the output's encoding has no others.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

# Where the width is not known (a pipe, a file), lines are as long as a reader of logs bears.
PLAIN_WIDTH = 110
# The times of the steps stand in one column, near the text even on a wide terminal.
STEP_WIDTH = 80


class Step:
    """A step that is running. Set `result` to a few words on what came of it, `seconds` if it began before."""

    def __init__(self, screen: Screen, doing: str) -> None:
        self.result = ""
        self.seconds: float | None = None
        self._screen = screen
        self._doing = doing
        self._status: Status | None = None

    def detail(self, message: str) -> None:
        """Shows for a moment how far the step is; on a terminal only."""
        if self._status is not None:
            self._status.update(self._screen._line(self._doing, message))


class Screen:
    """Both streams. Rich is loaded when it is first needed: `--json` does without."""

    def __init__(self) -> None:
        self._consoles: dict[bool, Console] = {}

    @property
    def out(self) -> Console:
        """For results."""
        return self._console(to_stderr=False)

    @property
    def err(self) -> Console:
        """For progress and complaints."""
        return self._console(to_stderr=True)

    @contextlib.contextmanager
    def step(self, doing: str, done: str) -> Iterator[Step]:
        """Shows that something is going on, and afterwards how long it took. What is raised passes through.

        `doing` and `done` say it in words: "Deploying the stack", "Deployed the stack".
        """
        begin = time.monotonic()
        step = Step(self, doing)
        with self._spinner(step) if self.err.is_terminal else self._begun_line(step):
            yield step
        seconds = time.monotonic() - begin if step.seconds is None else step.seconds
        if self.err.is_terminal:
            self.err.print(self._finished(": ".join(filter(None, (done, step.result))), seconds))
        else:
            self._write_error(", ".join(filter(None, (step.result, f"{seconds:.1f} s"))) + "\n")

    def complain(self, message: str) -> None:
        """One line on standard error, unwrapped: it may be searched for or copied."""
        self.err.print(f"Error: {message}", soft_wrap=True, markup=False, emoji=False)

    def note(self, message: str) -> None:
        """A line of progress that is no step."""
        self.err.print(message, soft_wrap=True, markup=False, emoji=False)

    def say(self, message: str = "") -> None:
        """Text on standard output, unchanged and unwrapped."""
        self.out.print(message, soft_wrap=True, markup=False, emoji=False)

    def symbol(self, fancy: str, plain: str) -> str:
        """`fancy` if standard output can show it."""
        return fancy if _can_show(self.out, fancy) else plain

    def _console(self, *, to_stderr: bool) -> Console:
        if to_stderr not in self._consoles:
            from rich.console import Console

            stream = sys.stderr if to_stderr else sys.stdout
            width = None if stream.isatty() or "COLUMNS" in os.environ else PLAIN_WIDTH
            self._consoles[to_stderr] = Console(stderr=to_stderr, width=width, highlight=False)
        return self._consoles[to_stderr]

    @contextlib.contextmanager
    def _spinner(self, step: Step) -> Iterator[None]:
        from rich.status import Status

        with Status(self._line(step._doing), console=self.err) as step._status:
            yield
        step._status = None

    @contextlib.contextmanager
    def _begun_line(self, step: Step) -> Iterator[None]:
        """The line is begun before the work and ended after it: a log shows where the time goes."""
        try:
            self._write_error(f"{step._doing} ... ")
            yield
        except BaseException:
            self._write_error("\n")
            raise

    def _write_error(self, text: str) -> None:
        self.err.file.write(text)
        self.err.file.flush()

    def _line(self, text: str, detail: str = "") -> Text:
        from rich.text import Text

        line = Text.assemble(text, (f"  {detail}" if detail else "", "dim"))
        # The spinner takes two columns; a line that wraps would leave copies of itself behind.
        line.truncate(max(self.err.width - 3, 1), overflow="ellipsis")
        return line

    def _finished(self, text: str, seconds: float) -> Text:
        from rich.text import Text

        mark = "✓" if _can_show(self.err, "✓") else "*"
        took = f"{seconds:6.1f} s"
        room = min(self.err.width, STEP_WIDTH) - len(mark) - len(took) - 3
        body = Text(text)
        body.truncate(max(room, 1), overflow="ellipsis", pad=True)
        return Text.assemble((mark, "green"), " ", body, " ", (took, "dim"))


def command_line() -> str:
    """How the command line is called. `local/__main__.py` finds the project's own Python by itself.

    Not `python`: on some machines there is none, on others it is Python 2.
    """
    return "python3 -m local"


def _can_show(console: Console, text: str) -> bool:
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
