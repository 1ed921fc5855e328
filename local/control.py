"""Client of the emulator's control API: faults, decisions, call counts, the clock and the alarms.

It is for tests, the bench and the command line. Nothing that also runs against AWS may use it.
"""

import http.client
import json
import select
import ssl
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote


class ControlError(Exception):
    """The control API refused a request; the message says why."""


class Control:
    """Speaks to the control API of one running local cloud. Every call raises `ControlError` when it is refused."""

    def __init__(self, port: int, token: str, ca_bundle: Path, timeout: float = 120.0) -> None:
        self._port = port
        self._token = token
        self._ca_bundle = ca_bundle
        self._timeout = timeout
        # A connection of each thread: to make one takes both sides ten times as long as an answer.
        self._kept = threading.local()

    def health(self) -> dict[str, Any]:
        """Process id, versions, `rss` (resident bytes of the emulator, workers excluded), `batches` being worked on."""
        return self._object("GET", "health")

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force, with `id` and how often each was applied (`applied`)."""
        rules: list[dict[str, Any]] = self._object("GET", "faults")["faults"]
        return rules

    def faults_add(self, **rule: Any) -> str:
        """Add a rule and return its id. See `local.emulator.faults.Rule` for the fields."""
        return str(self._object("POST", "faults", rule)["id"])

    def faults_clear(self, rule_id: str | None = None) -> None:
        """Remove one rule, or all."""
        self._object("DELETE", f"faults?id={quote(rule_id)}" if rule_id else "faults")

    def decisions(self, since: int = 0) -> list[dict[str, Any]]:
        """Authorisation decisions whose last occurrence has a `seq` greater than `since`, oldest first."""
        records: list[dict[str, Any]] = self._object("GET", f"decisions?since={since}")["decisions"]
        return records

    def last_decision(self) -> int:
        """The `seq` of the latest decision, 0 where there was none yet."""
        return int(self._object("GET", "decisions/last")["seq"])

    def decisions_clear(self) -> None:
        """Forget every decision."""
        self._object("DELETE", "decisions")

    def calls(self) -> dict[str, int]:
        """How many HTTP attempts the emulator got, by `service.Operation`, refused and failed ones included."""
        counts: dict[str, int] = self._object("GET", "calls")["calls"]
        return counts

    def calls_clear(self) -> None:
        """Start counting anew."""
        self._object("DELETE", "calls")

    def clock(self) -> float:
        """Seconds by which the emulator's clock runs ahead."""
        return float(self._object("GET", "clock")["offset_seconds"])

    def clock_advance(self, seconds: float) -> float:
        """Move the clock of queues, metrics, alarms and telemetry forward; returns the whole offset in seconds."""
        return float(self._object("POST", "clock", {"advance_seconds": seconds})["offset_seconds"])

    def alarms(self) -> dict[str, Any]:
        """Alarm name to state, as of the last evaluation."""
        states: dict[str, Any] = self._object("GET", "alarms")["alarms"]
        return states

    def evaluate_alarms(self) -> dict[str, Any]:
        """Evaluate every alarm now; returns alarm name to state."""
        states: dict[str, Any] = self._object("POST", "alarms/evaluate")["alarms"]
        return states

    def telemetry(self) -> list[dict[str, Any]]:
        """X-Ray's latest telemetry records, oldest first, as PutTelemetryRecords takes them.

        `Timestamp` is in epoch seconds; `Account` and `Region` say whose they are.
        """
        records: list[dict[str, Any]] = self._object("GET", "telemetry")["telemetry"]
        return records

    def _object(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        payload = None if body is None else json.dumps(body)
        connection = self._connection()
        try:
            connection.request(
                method,
                f"/_local/{path}",
                body=payload,
                headers={"x-local-token": self._token, "content-type": "application/json"},
            )
            answer = connection.getresponse()
            content: dict[str, Any] = json.loads(answer.read() or b"{}")
        except BaseException:
            # Nothing is known of what is still to come on it.
            connection.close()
            raise
        if answer.status != http.HTTPStatus.OK:
            raise ControlError(content.get("error", f"HTTP {answer.status}"))
        return content

    def _connection(self) -> http.client.HTTPSConnection:
        """This thread's connection, new where there is none or where the other side has closed it."""
        found: http.client.HTTPSConnection | None = getattr(self._kept, "connection", None)
        if found is None:
            context = ssl.create_default_context(cafile=str(self._ca_bundle))
            found = http.client.HTTPSConnection("127.0.0.1", self._port, context=context, timeout=self._timeout)
            self._kept.connection = found
        elif found.sock is not None and select.select([found.sock], [], [], 0)[0]:
            # An idle connection has nothing to say but its end. http.client opens the next one by itself.
            found.close()
        return found
