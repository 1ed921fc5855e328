"""Stops what nobody uses: idle notebook instances and Studio apps. Tells a topic what it did.

EventBridge Scheduler calls it with `{"time": "<aws.scheduler.scheduled-time>"}`, the moment for which the run was
planned; without a time it is now. It answers, and tells where there is something to tell, one list of names a verdict
(`idle.Verdict`) and `stopped` and `failed`. A notebook instance that is stopped keeps its volume. An app is deleted,
which ends its machine and keeps the user's files (DeleteApp in the API Reference of Amazon SageMaker, in botocore's
service model, read 2026-11-27); what its kernels hold in memory is lost.

A machine that cannot be looked at or stopped does not keep the others waiting; the run fails in the end, so that an
alarm tells of it. A failed run is not repeated with its old time: the next one sees the same machines.

**Settings** (environment variables): `IDLE_MINUTES`, `REPORT_AGE_MINUTES`, `NOTEBOOK_PREFIX`,
`TOPIC_ARN`.

**Grants**: `sagemaker:ListNotebookInstances` and `sagemaker:ListApps`; `sagemaker:DescribeApp`, `sagemaker:ListTags`,
`sagemaker:StopNotebookInstance`, `sagemaker:DeleteApp` on those; `sns:Publish` on the topic.
"""

from __future__ import annotations

import datetime
import json
import os
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
PREFIX = os.environ["NOTEBOOK_PREFIX"]
TOPIC = os.environ["TOPIC_ARN"]
# Told beside what was stopped: somebody has to look.
TOLD = ("stopped", "silent", "unclear", "failed")

logger = Logger()
clients = make_clients({"sagemaker": QUICK, "sns": QUICK})


class RunFailedError(RuntimeError):
    """Some machines could not be looked at or stopped; the log says which and why."""


@logger.inject_lambda_context(clear_state=True, log_event=False)
def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    """One run; see above. Raises ValueError for a time that is none, RunFailedError at its end, ClientError."""
    now = datetime.datetime.now(datetime.timezone.utc) if "time" not in event else moment(str(event["time"]))
    if now is None:
        raise ValueError("The time of the run is no time of ISO 8601 with its zone.")
    done = run(running(clients["sagemaker"], PREFIX), now)
    logger.info("run ended", extra={"counts": {name: len(names) for name, names in done.items()}})
    if any(done[name] for name in TOLD):
        told = {name: done[name] for name in TOLD if done[name]}
        clients["sns"].publish(TopicArn=TOPIC, Subject="cost-guard", Message=json.dumps({"time": str(now), **told}))
    if done["failed"]:
        raise RunFailedError(f"{len(done['failed'])} machines could not be looked at or stopped.")
    return done


def run(machines: Iterable[Machine], now: datetime.datetime) -> dict[str, list[str]]:
    """Looks at every machine and stops the idle ones; the names by what became of them."""
    done: dict[str, list[str]] = {name: [] for name in ("stopped", "active", "kept", "silent", "unclear", "failed")}
    for machine in machines:
        done[_outcome(machine, now)].append(machine.name)
    return done


def _outcome(machine: Machine, now: datetime.datetime) -> str:
    try:
        found = verdict(tags(clients["sagemaker"], machine), machine.started, now, LIMITS)
        if found == "idle":
            getattr(clients["sagemaker"], machine.operation)(**machine.arguments)
    except ClientError as error:
        logger.warning("machine failed", extra={"machine": machine.name, "code": error_code(error)})
        return "failed"
    return "stopped" if found == "idle" else found
