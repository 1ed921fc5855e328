"""What a function's worker logs in an invocation is told with that invocation, whole.

MiniStack reads a worker's log until it has been quiet for 5 ms, or for 50 ms where nothing has come yet: on a busy
machine the rest is told with the worker's next invocation, or never. So the worker marks where the log ends.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

from ministack.core import lambda_runtime as _runtime

# Where MiniStack's worker sends what a Python handler answered: its log is complete by then.
ANSWER_SENT = "        _real_stdout.flush()\n\nrun()\n"
END = "\x1eend of this invocation's log\x1e"
_MARKED = f"""        for _stream in (sys.stdout, sys.stderr):
            try:
                _stream.flush()
            except Exception:
                pass
        os.write(2, {(END + chr(10)).encode()!r})
{ANSWER_SENT}"""
# A child of the handler may hold the pipe open when the worker is gone: then nothing more is waited for.
_SECONDS = 2.0


def install() -> None:
    """Have the workers of Python functions mark the end of each invocation's log, and read up to it."""
    _runtime._PYTHON_WORKER_SCRIPT = _runtime._PYTHON_WORKER_SCRIPT.replace(ANSWER_SENT, _MARKED)
    bounded, at_once = _runtime.Worker._drain_stderr_bounded, _runtime.Worker._drain_stderr

    def of_the_answered(worker: Any, *arguments: Any, **keywords: Any) -> str:
        if not str(worker.config.get("Runtime", "")).startswith("python"):
            return str(bounded(worker, *arguments, **keywords))
        return until_the_mark(worker._stderr_queue, worker._stderr_thread)

    def of_the_killed(worker: Any) -> str:
        worker._stderr_thread.join(_SECONDS)
        return str(at_once(worker))

    _runtime.Worker._drain_stderr_bounded = of_the_answered
    _runtime.Worker._drain_stderr = of_the_killed


def until_the_mark(lines: queue.Queue[str], reader: threading.Thread) -> str:
    """The lines up to the mark, without it; or up to the last where `reader`, which brings them, ends before."""
    found: list[str] = []
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        more_may_come = reader.is_alive()
        try:
            line, ended, _ = lines.get(timeout=0.05).partition(END)
        except queue.Empty:
            if not more_may_come:
                break
            continue
        if line or not ended:
            found.append(line)
        if ended:
            break
    return "\n".join(found)
