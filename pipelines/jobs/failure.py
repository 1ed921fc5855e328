"""How a job says why it failed: a line in the file that SageMaker reads, and an exit code.

The reason goes where the service shows it: `message` for a processing job (its `ExitMessage`, "Save and Access Metadata
Information About Your Processing Job"), `failure` for a training job (its `FailureReason`, "How Amazon SageMaker AI
Processes Training Output"; Amazon SageMaker AI Developer Guide, both read 2026-11-27). Each takes 1 KB. Whoever may
describe the job can read it, so it names lines and columns and never what stands in them.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

LONGEST = 1000


class JobError(Exception):
    """The job cannot go on. `str()` is one or a few lines that say why, without the content of the data."""


def run(job: Callable[[], None], told_in: Path | None) -> int:
    """Runs a job and returns its exit code: 0, or 1 with the reason in the file `told_in` and in the log."""
    try:
        job()
    except JobError as error:
        print(f"ERROR {error}", flush=True)
        _tell(told_in, str(error))
        return 1
    except Exception as error:  # noqa: BLE001 (whatever it is, it is told and ends the job)
        traceback.print_exc()
        # The text of an unforeseen error may quote data.
        _tell(told_in, f"{type(error).__name__}: see the job's log")
        return 1
    return 0


def _tell(file: Path | None, reason: str) -> None:
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(reason.encode()[:LONGEST].decode(errors="ignore"), encoding="utf-8")
    except OSError as error:
        print(f"The reason cannot be told in {file}: {error}", file=sys.stderr, flush=True)
