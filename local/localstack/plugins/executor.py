"""Runs the handlers of zip functions as processes of this machine, where LocalStack's own way is a container each.

Each execution environment is a process of AWS's own runtime client (`awslambdaric`) and, for it, a server of the Lambda
Runtime API on a port of its own. What it offers is that API's: the next invocation, its response, its error, and an
error of the initialisation. Source: "Using the Lambda runtime API for custom runtimes", AWS Lambda Developer Guide,
read 2026-11-28.

What is real: the processes, their reuse, time-outs, crashes, environment and logs. What is not: memory limits, the
file system's protection, `/tmp` (the machine's own), layers, and any processor but this machine's.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import LambdaRuntimeException, RuntimeExecutor

HOST = "127.0.0.1"
VERSION = "/2018-06-01/runtime"
# AWS gives the initialisation of a function ten seconds; here two cores may start several at once.
START_SECONDS = 30.0
STOP_SECONDS = 2.0
_LOOK_SECONDS = 0.1
# What a handler's process inherits of this one.
_INHERITED = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR")

_busy = 0
_busy_lock = threading.Lock()


def busy() -> int:
    """How many invocations are under way."""
    return _busy


class _Outcome:
    """What became of one invocation: its body, and whether that is an error."""

    def __init__(self) -> None:
        self.known = threading.Event()
        self.body = b""
        self.is_error = False

    def tell(self, body: bytes, *, is_error: bool) -> None:
        self.body, self.is_error = body, is_error
        self.known.set()


class _RuntimeApi(ThreadingHTTPServer):
    """The Runtime API for one process at a time."""

    daemon_threads = True

    def __init__(self, timeout: int) -> None:
        super().__init__((HOST, 0), _Requests)
        self.function_timeout = timeout
        self.waiting: Queue[dict[str, str] | None] = Queue()
        self.ready = threading.Event()
        self.outcomes: dict[str, _Outcome] = {}
        self.failed_start: bytes | None = None
        threading.Thread(target=self.serve_forever, name="runtime-api", daemon=True).start()

    def next(self) -> dict[str, str] | None:
        self.ready.set()
        return self.waiting.get()

    def end(self) -> None:
        self.waiting.put(None)
        self.shutdown()
        self.server_close()


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _RuntimeApi

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (the name of the overridden one)
        """Requests are not logged."""

    def do_GET(self) -> None:
        if self.path != f"{VERSION}/invocation/next":
            self._answer(404)
            return
        invocation = self.server.next()
        if invocation is None:
            self._answer(410)
            return
        deadline = int((time.time() + self.server.function_timeout) * 1000)
        self._answer(
            200,
            invocation["payload"].encode(),
            {
                "Content-Type": "application/json",
                "Lambda-Runtime-Aws-Request-Id": invocation["invoke-id"],
                "Lambda-Runtime-Deadline-Ms": str(deadline),
                "Lambda-Runtime-Invoked-Function-Arn": invocation["invoked-function-arn"],
                "Lambda-Runtime-Trace-Id": invocation.get("trace-id", ""),
            },
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = self.path.removeprefix(f"{VERSION}/").split("/")
        if parts == ["init", "error"]:
            self.server.failed_start = body
            self.server.ready.set()
        elif len(parts) == 3 and parts[0] == "invocation" and parts[2] in ("response", "error"):
            outcome = self.server.outcomes.get(parts[1])
            if outcome is not None:
                outcome.tell(body, is_error=parts[2] == "error")
        else:
            self._answer(404)
            return
        self._answer(202)

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class ProcessExecutor(RuntimeExecutor):
    """One execution environment of a function. LocalStack starts it, and gives it one invocation at a time."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:  # noqa: A002 (LocalStack's own name)
        super().__init__(id=id, function_version=function_version)
        self._timeout = int(function_version.config.timeout or 3)
        self._api: _RuntimeApi | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._spawn: Callable[[], subprocess.Popen[bytes]] | None = None
        handle, path = tempfile.mkstemp(prefix=f"function-{id}-", suffix=".log")
        os.close(handle)
        self._log = Path(path)

    def start(self, env_vars: dict[str, str]) -> None:
        """Start the process and wait until it asks for work. Raises LambdaRuntimeException where it does not."""
        runtime = self.function_version.config.runtime or ""
        if not runtime.startswith("python"):
            raise LambdaRuntimeException(f"Only Python functions run here, not {runtime!r}.")
        code = str(self.function_version.config.code.get_unzipped_code_location())
        self._api = _RuntimeApi(self._timeout)
        environment = {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            **{name: str(value) for name, value in env_vars.items()},
            "AWS_LAMBDA_RUNTIME_API": f"{HOST}:{self._api.server_port}",
            "LAMBDA_TASK_ROOT": code,
            # The guard against leaving this machine, if there is one, comes by this path; it guards handlers too.
            "PYTHONPATH": os.pathsep.join(filter(None, (code, os.environ.get("FUNCTIONS_PYTHONPATH", "")))),
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", "awslambdaric", self.function_version.config.handler]

        def spawn() -> subprocess.Popen[bytes]:
            with self._log.open("ab") as log:
                return subprocess.Popen(  # noqa: S603 (this interpreter, the function's own code)
                    command, cwd=code, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )

        self._spawn = spawn
        self._begin()

    def _begin(self) -> None:
        api, spawn = self._api, self._spawn
        if api is None or spawn is None:
            raise LambdaRuntimeException("The environment was not started.")
        api.ready.clear()
        api.failed_start = None
        process = self._process = spawn()
        deadline = time.monotonic() + START_SECONDS
        while not api.ready.wait(_LOOK_SECONDS):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise LambdaRuntimeException(f"The function did not start: {self.get_logs()[-800:]}")

    def stop(self) -> None:
        """End the process, gently first."""
        if self._api is not None:
            self._api.end()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.unlink(missing_ok=True)

    def get_address(self) -> str:
        """Where the process is reached."""
        return HOST

    def get_endpoint_from_executor(self) -> str:
        """Where the process reaches LocalStack."""
        return HOST

    def get_runtime_endpoint(self) -> str:
        """Where LocalStack's own runtime program, which is not used here, would report to."""
        return f"http://{HOST}:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Hand one invocation to the process and wait for what comes of it: at most the function's time-out."""
        global _busy  # noqa: PLW0603 (one count a process)
        with _busy_lock:
            _busy += 1
        try:
            return self._invoke(payload)
        finally:
            with _busy_lock:
                _busy -= 1

    def _invoke(self, payload: dict[str, str]) -> InvocationResult:
        api, identifier = self._api, payload["invoke-id"]
        if api is None or self._process is None:
            raise LambdaRuntimeException("The environment was not started.")
        written, began = self._log.stat().st_size, time.monotonic()
        if api.failed_start is not None or self._process.poll() is not None:
            # As on AWS, the next invocation of an environment that broke down begins with its initialisation.
            self._process.kill()
            self._process.wait()
            self._begin()
        if api.failed_start is not None:
            outcome = _Outcome()
            outcome.tell(api.failed_start, is_error=True)
        else:
            outcome = api.outcomes[identifier] = _Outcome()
            api.waiting.put(payload)
            self._await(outcome, identifier)
            del api.outcomes[identifier]
        milliseconds = (time.monotonic() - began) * 1000
        with self._log.open("rb") as log:
            log.seek(written)
            said = log.read().decode(errors="replace")
        logs = (
            f"START RequestId: {identifier} Version: {self.function_version.id.qualifier}\n{said}"
            f"END RequestId: {identifier}\n"
            f"REPORT RequestId: {identifier}\tDuration: {milliseconds:.2f} ms\t"
            f"Billed Duration: {int(milliseconds) + 1} ms\n"
        )
        return InvocationResult(identifier, outcome.body, is_error=outcome.is_error, logs=logs)

    def _await(self, outcome: _Outcome, identifier: str) -> None:
        process, deadline = self._process, time.monotonic() + self._timeout
        if process is None:
            return
        while not outcome.known.wait(_LOOK_SECONDS):
            if process.poll() is not None:
                # It may have answered just before it ended.
                if not outcome.known.is_set():
                    reason = f"Runtime exited with error: exit status {process.returncode}"
                    outcome.tell(_error("Runtime.ExitError", identifier, f"Error: {reason}"), is_error=True)
            elif time.monotonic() > deadline:
                process.kill()
                process.wait()
                text = f"Error: Task timed out after {self._timeout:.2f} seconds"
                outcome.tell(_error("Sandbox.Timedout", identifier, text), is_error=True)

    def get_logs(self) -> str:
        """All that the process has written."""
        return self._log.read_text(errors="replace")

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Unpack the code."""
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """Remove what was unpacked."""
        if function_version.config.code:
            function_version.config.code.destroy_cached()


def _error(kind: str, identifier: str, text: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": f"RequestId: {identifier} {text}"}).encode()


class ProcessExecutorPlugin(RuntimeExecutorPlugin):
    """How LocalStack finds the executor, where LAMBDA_RUNTIME_EXECUTOR is `process`."""

    name = "process"

    def load(self, *_: Any, **__: Any) -> type[ProcessExecutor]:
        """The class of which each execution environment is one."""
        return ProcessExecutor
