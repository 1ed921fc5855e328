"""An invocation's log is whole, and its own, however busy the machine is."""

from __future__ import annotations

import base64
import queue
import threading
import time

from local.cloud import LocalCloud
from local.emulator.seams import worker_logs
from tests.local.emulated import make_function, make_role

SPEAKER = """
import os, subprocess, sys
def handler(event, context):
    if event.get("times_out"):
        print("before the end", flush=True)
        import time; time.sleep(30)
    print("first of", event["n"])
    subprocess.run([sys.executable, "-c", "print('of a child')"], stdout=2, check=True)
    sys.stderr.write("last, without an end of line")
    return os.getpid()
"""


def log_of(cloud: LocalCloud, function: str, payload: bytes) -> list[str]:
    answer = cloud.client("lambda").invoke(FunctionName=function, Payload=payload, LogType="Tail")
    return base64.b64decode(answer["LogResult"]).decode().splitlines()


def test_each_invocation_has_its_own_log_and_all_of_it(cloud: LocalCloud) -> None:
    # Given a function that logs in several ways, the last without an end of line
    function = make_function(cloud, SPEAKER, make_role(cloud))
    for n in range(3):
        # When it is invoked on one worker after another time, Then the log has its lines, in order, and no other
        lines = log_of(cloud, function, b'{"n": %d}' % n)
        assert [line for line in lines if not line.startswith(("START", "END", "REPORT"))] == [
            f"first of {n}",
            "of a child",
            "last, without an end of line",
        ]


def test_what_was_logged_before_the_time_was_out_is_told(cloud: LocalCloud) -> None:
    # Given a function that logs and then takes too long, When it is invoked, Then its line is in the log
    function = make_function(cloud, SPEAKER, make_role(cloud), Timeout=1)
    assert "before the end" in log_of(cloud, function, b'{"times_out": true}')


def test_a_reader_that_is_late_is_waited_for() -> None:
    # Given a log that comes slower than MiniStack waits for
    lines: queue.Queue[str] = queue.Queue()

    def bring() -> None:
        for line in ("one", "", "two", f"three{worker_logs.END}", "of the next invocation"):
            time.sleep(0.1)
            lines.put(line)

    reader = threading.Thread(target=bring)
    reader.start()
    # When it is read, Then all of it is there, and nothing of what follows
    assert worker_logs.until_the_mark(lines, reader) == "one\n\ntwo\nthree"
    reader.join()
    # and of a worker that ended without a mark what it left is told, at once
    started = time.monotonic()
    assert worker_logs.until_the_mark(lines, reader) == "of the next invocation"
    assert time.monotonic() - started < 1
