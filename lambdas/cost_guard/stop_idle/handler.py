"""Stops what nobody uses: idle notebook instances and Studio apps. Tells a topic what it did.

EventBridge Scheduler calls it with `{"time": "<aws.scheduler.scheduled-time>"}`, the moment for which the run was
planned; without a time it is now. It answers, and tells where there is something to tell, one list of names a verdict
(`idle.Verdict`, but for `due`) and `stopped` and `failed`.

A machine that looks idle is stopped only on a report that was written after the run began. So the run waits for the
next one, at most `WAIT_SECONDS`, and looks every three: who came back meanwhile is seen, and only who comes back
between that report and the stop, a few seconds, is not. A machine whose report does not come is silent.

A notebook instance that is stopped keeps its volume. An app is deleted,
which ends its machine and keeps the user's files (DeleteApp in the API Reference of Amazon SageMaker, in botocore's
service model, read 2026-11-27); what its kernels hold in memory is lost.

A machine that cannot be looked at or stopped does not keep the others waiting; the run fails in the end, so that an
alarm tells of it. A failed run is not repeated with its old time: the next one sees the same machines.

**Settings** (environment variables): `IDLE_MINUTES`, `REPORT_AGE_MINUTES`, `WAIT_SECONDS`, `NOTEBOOK_PREFIX`,
`TOPIC_ARN`.

**Grants**: `sagemaker:ListNotebookInstances` and `sagemaker:ListApps`; `sagemaker:DescribeApp`, `sagemaker:ListTags`,
`sagemaker:StopNotebookInstance`, `sagemaker:DeleteApp` on those; `sns:Publish` on the topic.
"""

from __future__ import annotations

import datetime
import json
import os
import time
from collections.abc import Iterable
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.cost_guard.stop_idle.idle import Limits, moment, verdict
from lambdas.cost_guard.stop_idle.machines import Machine, running, tags
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code

LIMITS = Limits(
    idle=datetime.timedelta(minutes=int(os.environ["IDLE_MINUTES"])),
    report_age=datetime.timedelta(minutes=int(os.environ["REPORT_AGE_MINUTES"])),
)
WAIT_SECONDS = float(os.environ["WAIT_SECONDS"])
# Who comes back after a report is not seen until the next: the shorter, the fewer are stopped at their desks.
POLL_SECONDS = 3.0
PREFIX = os.environ["NOTEBOOK_PREFIX"]
TOPIC = os.environ["TOPIC_ARN"]
# Told beside what was stopped: somebody has to look.
TOLD = ("stopped", "silent", "unclear", "failed")

logger = Logger()
clients = make_clients({"sagemaker": QUICK, "sns": QUICK})


class RunFailedError(RuntimeError):
    """Some machines could not be looked at or stopped; the log says which and why."""


def utc_now() -> datetime.datetime:
    """The moment, to the second, as reports have it."""
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """One run; see above. Raises ValueError for a time that is none, RunFailedError at its end, ClientError."""
    begun = utc_now()
    planned = moment(str(event["time"])) if "time" in event else begun
    if planned is None:
        raise ValueError("The time of the run is no time of ISO 8601 with its zone.")
    done = run(running(clients["sagemaker"], PREFIX), planned, max(planned, begun))
    logger.info("run ended", extra={"counts": {name: len(names) for name, names in done.items()}})
    if any(done[name] for name in TOLD):
        told = {name: done[name] for name in TOLD if done[name]}
        clients["sns"].publish(TopicArn=TOPIC, Subject="cost-guard", Message=json.dumps({"time": str(planned), **told}))
    if done["failed"]:
        raise RunFailedError(f"{len(done['failed'])} machines could not be looked at or stopped.")
    return done


def run(machines: Iterable[Machine], planned: datetime.datetime, since: datetime.datetime) -> dict[str, list[str]]:
    """Looks at every machine and stops the idle ones; the names by what became of them. See `idle.verdict`."""
    until = time.monotonic() + WAIT_SECONDS
    done: dict[str, list[str]] = {name: [] for name in ("stopped", "active", "kept", "silent", "unclear", "failed")}

    def due(machine: Machine) -> bool:
        if (found := _outcome(machine, planned, since)) != "due":
            done[found].append(machine.name)
        return found == "due"

    waiting = [machine for machine in machines if due(machine)]
    while waiting and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        waiting = [machine for machine in waiting if due(machine)]
    done["silent"].extend(machine.name for machine in waiting)
    return done


def _outcome(machine: Machine, planned: datetime.datetime, since: datetime.datetime) -> str:
    try:
        found = verdict(tags(clients["sagemaker"], machine), machine.started, planned, since, LIMITS)
        if found == "idle":
            getattr(clients["sagemaker"], machine.operation)(**machine.arguments)
    except ClientError as error:
        logger.warning("machine failed", extra={"machine": machine.name, "code": error_code(error)})
        return "failed"
    return "stopped" if found == "idle" else found
