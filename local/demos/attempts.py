"""The table of what was tried in a demo, and how it came out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.box import Box
    from rich.table import Table

    from scenarios.attempts import Attempt


def attempts_table(attempts: Iterable[Attempt], lines: Box) -> Table:
    """A row an attempt; red where it did not come out as it should."""
    from rich.table import Table
    from rich.text import Text

    tried = Table(box=lines, expand=False, pad_edge=False, header_style="bold")
    for head in ("Tried", "Came out"):
        tried.add_column(head, overflow="fold")
    for attempt in attempts:
        what = f"refused ({attempt.code})" if attempt.refused else "allowed"
        tried.add_row(attempt.what, Text(what, "" if attempt.right else "red"))
    return tried
