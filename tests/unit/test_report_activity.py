"""The script on a notebook: what it takes for work, and that the guard reads what it writes."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lambdas.cost_guard.stop_idle.idle import ACTIVITY_TAG, Limits, verdict
from stacks.secure.notebook import report_activity
from stacks.secure.notebook.report_activity import NEVER, TAG, ask, last_activity, moment, value
from stacks.secure.secure_studio import start_script

NOW = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.timezone.utc)
LIMITS = Limits(datetime.timedelta(minutes=60), datetime.timedelta(minutes=2))


def kernel(last: str, state: str = "idle") -> dict[str, str]:
    return {"last_activity": last, "execution_state": state}


def test_a_busy_kernel_is_work_now_else_the_latest_activity_counts() -> None:
    old, new = "2026-11-27T08:00:00.123456Z", "2026-11-27T09:30:00.000001Z"
    assert last_activity([kernel(old), kernel(old, "busy")], [], NOW) == NOW
    assert last_activity([kernel(old)], [{"last_activity": new}], NOW) == moment(new)
    assert last_activity([], [], NOW) == NEVER
    assert moment(new) == datetime.datetime(2026, 11, 27, 9, 30, tzinfo=datetime.timezone.utc)


def test_the_guard_reads_what_the_script_writes() -> None:
    # Given reports of a machine that has run since the morning, When the guard reads them, Then it judges by them
    started = NOW - datetime.timedelta(hours=5)
    assert TAG == ACTIVITY_TAG
    for active, expected in ((NOW - datetime.timedelta(hours=2), "idle"), (NOW, "active"), (NEVER, "idle")):
        assert verdict({TAG: value(active, NOW)}, started, NOW, NOW, LIMITS) == expected


@pytest.fixture
def jupyter() -> Iterator[str]:
    """A server that answers as Jupyter does for kernels, and for nothing else."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/api/kernels"
            self.send_response(200 if known else 404)
            self.end_headers()
            if known:
                self.wfile.write(json.dumps([kernel("2026-11-27T08:00:00Z", "busy")]).encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's own name)
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_jupyter_is_asked_and_what_it_does_not_answer_is_an_error(jupyter: str) -> None:
    assert last_activity(ask("/api/kernels", jupyter), [], NOW) == NOW
    with pytest.raises(OSError, match="404"):
        ask("/api/terminals", jupyter)


def test_the_start_script_brings_the_whole_report_and_fits() -> None:
    # Given the script that runs at each start, Then the report is in it as it is tested here, and nothing is left open
    made = start_script()
    with open(report_activity.__file__, encoding="utf-8") as file:
        assert file.read().rstrip("\n") in made
    assert "@REPORT_ACTIVITY@" not in made
    assert made.startswith("#!/bin/bash\n")
