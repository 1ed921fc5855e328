"""What a stand-in has started and not yet ended: jobs in threads, no more at once than the machine has cores.

A job outlives the request that started it, and ends with the emulator: nothing of it is kept on disk. Tests make a job
fail or dawdle by a fault (`fail-job`, `slow-job`) of its service and the operation that started it.
"""

import contextvars
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from local.emulator import faults

_log = logging.getLogger(__name__)
_pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="job")


class JobFailedError(Exception):
    """A job ends as FAILED. `str()` is the reason that the service reports; `code` its error code, where it has one."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


def submit(service: str, operation: str, work: Callable[[], None], failed: Callable[[JobFailedError], None]) -> None:
    """Run `work` soon, in another thread and the same request's context; call `failed` with why it could not end.

    `operation` is the one that started the job ("StartDocumentAnalysis"). What `work` raises other than JobFailedError
    is a bug of the stand-in: it is logged, and the job fails as an internal error.
    """

    def run() -> None:
        try:
            _misbehave(service, operation)
            work()
        except JobFailedError as error:
            failed(error)
        except Exception:  # noqa: BLE001 (a bug here must not leave a job in progress for ever)
            _log.exception("A job of %s.%s failed", service, operation)
            failed(JobFailedError("The local cloud failed; its log says why.", "INTERNAL_ERROR"))

    _pool.submit(contextvars.copy_context().run, run)


def _misbehave(service: str, operation: str) -> None:
    for rule in faults.pick_job(service, operation):
        time.sleep(rule.seconds)
        if rule.kind == "fail-job":
            raise JobFailedError("Internal error (a fault that was asked for)", rule.code or "INTERNAL_ERROR")
