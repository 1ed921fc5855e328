"""Leaves notebooks and an app in every condition, lets a deployed cost-guard stack look, and tells what it did.

Only AWS APIs. The machines are made for the purpose, with a role of their own, and go in the end, whatever happens. A
run is asked for at a moment two hours ahead, so nobody waits: what a machine reports is told by the tag that its script
would write. Other machines of the account have no report of that moment, and are left alone.

The app needs a Studio domain, which is made in the account's default network; where there is none, the app is left out.
It was never run on AWS, where a domain takes minutes.
"""

from __future__ import annotations

import datetime
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scenarios.cloud import Cloud

Condition = Literal["idle", "at work", "kept", "silent"]

ACTIVITY_TAG, KEEP_ALIVE_TAG = "cost-guard:activity", "cost-guard:keep-alive"
AHEAD = datetime.timedelta(hours=2)
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 1200.0
_EXPECTED: Mapping[Condition, str] = {"idle": "stopped", "at work": "active", "kept": "kept", "silent": "silent"}
# What is made where nobody says otherwise: notebooks by the end of their names.
EVERY_CONDITION: Mapping[str, Condition] = {
    "idle": "idle",
    "at-work": "at work",
    "kept": "kept",
    "silent": "silent",
}
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


class PlanError(ValueError):
    """A file of machines is none. `str()` is one line."""


@dataclass(frozen=True)
class Machine:
    """A machine, in which condition it was left, what the run answered of it, and its status after that."""

    name: str
    kind: Literal["notebook", "app"]
    condition: Condition
    outcome: str
    status: str

    @property
    def right(self) -> bool:
        """Whether the run did with it what its condition asks for."""
        stopped = self.status in ("Stopping", "Stopped", "Deleting", "Deleted")
        return self.outcome == _EXPECTED[self.condition] and stopped == (self.condition == "idle")


@dataclass(frozen=True)
class Report:
    """All machines. `error` is what the run failed with, empty if it did not."""

    machines: tuple[Machine, ...]
    error: str = ""

    @property
    def complete(self) -> bool:
        """Whether every machine was treated as its condition asks for."""
        return bool(self.machines) and all(machine.right for machine in self.machines)


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    files: Sequence[Path] = (),
    progress: Callable[[str], None] = lambda message: None,
) -> Report:
    """Makes the machines, runs the guard once, and takes them away. `outputs` are the stack's.

    `files` say which notebooks: JSON objects of a name and a condition. An idle app is added. Raises PlanError for a
    file that says something else, TimeoutError where a machine does not come up or go, and botocore's errors where the
    cloud refuses.
    """
    with standing(cloud, outputs, progress, plan=read_plan(files) or EVERY_CONDITION) as (names, moment):
        progress("looking two hours later")
        answer, error = look(cloud, outputs, moment)
        return Report(tuple(_machines(cloud, names, answer)), error)


def look(cloud: Cloud, outputs: Mapping[str, str], moment: datetime.datetime) -> tuple[dict[str, list[str]], str]:
    """Has the guard run as at this moment; its answer, and what it failed with."""
    payload = json.dumps({"time": moment.isoformat()}).encode()
    done = cloud.client("lambda").invoke(FunctionName=outputs["FunctionName"], Payload=payload)
    answer = json.loads(done["Payload"].read())
    if "FunctionError" in done:
        return {}, str(answer.get("errorMessage"))
    return answer, ""


def read_plan(files: Sequence[Path]) -> dict[str, Condition]:
    """Notebooks and their conditions. Raises PlanError, OSError."""
    found: dict[str, Condition] = {}
    for path in files:
        try:
            plan = json.loads(path.read_bytes())
        except ValueError as error:
            raise PlanError(f"{path.name} is no JSON: {error}") from None
        if not isinstance(plan, dict):
            raise PlanError(f"{path.name} is no object of names and conditions.")
        for name, condition in plan.items():
            if not _NAME.fullmatch(name):
                raise PlanError(f"{path.name}: {name!r} is no name of a notebook: small letters, digits, hyphens.")
            if condition not in _EXPECTED:
                raise PlanError(f"{path.name}: {condition!r} is none of {', '.join(_EXPECTED)}.")
            found[name] = condition
    return found


@contextmanager
def standing(
    cloud: Cloud,
    outputs: Mapping[str, str],
    progress: Callable[[str], None] = lambda message: None,
    *,
    plan: Mapping[str, Condition] = EVERY_CONDITION,
) -> Iterator[tuple[dict[str, Condition], datetime.datetime]]:
    """Machines in every condition, by name, as at a moment that is given beside them. They go in the end."""
    with ExitStack() as cleanup:
        role = cleanup.enter_context(_role(cloud))
        sagemaker = cloud.client("sagemaker")
        prefix = f"{outputs['NotebookPrefix']}{uuid.uuid4().hex[:6]}"
        names: dict[str, Condition] = {f"{prefix}-{name}": condition for name, condition in plan.items()}
        progress("starting notebooks")
        arns = {}
        cleanup.callback(_remove_notebooks, sagemaker, tuple(names))
        for name in names:
            arns[name] = sagemaker.create_notebook_instance(
                NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=role
            )["NotebookInstanceArn"]
        if app := cleanup.enter_context(_app(cloud, prefix, role)):
            names[app[0]], arns[app[0]] = "idle", app[1]
        for name in arns:
            if "/" not in name:
                _until_notebook(sagemaker, name, "InService")
        moment = _started(sagemaker, arns) + AHEAD
        for name, arn in arns.items():
            if tags := _tags(names[name], moment):
                sagemaker.add_tags(ResourceArn=arn, Tags=tags)
        yield names, moment


def _started(sagemaker: Any, names: Mapping[str, str]) -> datetime.datetime:
    notebooks = [name for name in names if "/" not in name]
    found: datetime.datetime = max(
        sagemaker.describe_notebook_instance(NotebookInstanceName=name)["LastModifiedTime"] for name in notebooks
    )
    return found.astimezone(datetime.timezone.utc).replace(microsecond=0)


def report(active: datetime.datetime, reported: datetime.datetime) -> dict[str, str]:
    """The tag that the script on a machine writes."""
    told = [one.strftime("%Y-%m-%dT%H:%M:%SZ") for one in (active, reported)]
    return {"Key": ACTIVITY_TAG, "Value": f"active={told[0]} reported={told[1]}"}


def _tags(condition: Condition, moment: datetime.datetime) -> list[dict[str, str]]:
    if condition == "silent":
        return []
    active = moment if condition == "at work" else moment - AHEAD
    kept = [{"Key": KEEP_ALIVE_TAG, "Value": moment.date().isoformat()}] if condition == "kept" else []
    return [report(active, moment), *kept]


def _machines(cloud: Cloud, names: Mapping[str, Condition], answer: Mapping[str, list[str]]) -> Iterator[Machine]:
    sagemaker = cloud.client("sagemaker")
    for name, condition in names.items():
        outcome = next((verdict for verdict, listed in answer.items() if name in listed), "not seen")
        is_app = "/" in name
        status = _app_status(sagemaker, name) if is_app else _notebook(sagemaker, name)
        yield Machine(name, "app" if is_app else "notebook", condition, outcome, status)


# --- Making and taking away ------------------------------------------------------------------------------------------


@contextmanager
def _role(cloud: Cloud) -> Iterator[str]:
    """A role for the machines, that may do nothing."""
    iam, name = cloud.client("iam"), f"cost-guard-scenario-{uuid.uuid4().hex[:8]}"
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    try:
        yield made["Role"]["Arn"]
    finally:
        iam.delete_role(RoleName=name)


@contextmanager
def _app(cloud: Cloud, name: str, role: str) -> Iterator[tuple[str, str] | None]:
    """An app in a domain of its own, by the guard's name for it and its ARN; None where there is no default network."""
    ec2, sagemaker = cloud.client("ec2"), cloud.client("sagemaker")
    networks = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"]
    if not networks:
        yield None
        return
    vpc = networks[0]["VpcId"]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    with ExitStack() as cleanup:
        domain = sagemaker.create_domain(
            DomainName=name,
            AuthMode="IAM",
            DefaultUserSettings={"ExecutionRole": role},
            VpcId=vpc,
            SubnetIds=[one["SubnetId"] for one in subnets],
        )["DomainId"]
        profile = {"DomainId": domain, "UserProfileName": "somebody"}
        app = {**profile, "AppType": "KernelGateway", "AppName": "kernel"}
        for kind, named in (("domain", {"DomainId": domain}), ("user_profile", profile), ("app", app)):
            cleanup.callback(_remove, sagemaker, kind, named)
        _until(lambda: _status(sagemaker, "domain", {"DomainId": domain}) == "InService", "the domain")
        sagemaker.create_user_profile(**profile)
        _until(lambda: _status(sagemaker, "user_profile", profile) == "InService", "the profile")
        arn = sagemaker.create_app(**app)["AppArn"]
        _until(lambda: _status(sagemaker, "app", app) == "InService", "the app")
        yield "/".join(app.values()), arn


def _app_status(sagemaker: Any, name: str) -> str:
    parts = ("DomainId", "UserProfileName", "AppType", "AppName")
    return _status(sagemaker, "app", dict(zip(parts, name.split("/"), strict=True)))


def _status(sagemaker: Any, kind: str, named: Mapping[str, str]) -> str:
    """A status of Studio's; Deleted for what is gone."""
    try:
        return str(getattr(sagemaker, f"describe_{kind}")(**named)["Status"])
    except sagemaker.exceptions.ResourceNotFound:
        return "Deleted"


def _remove(sagemaker: Any, kind: str, named: Mapping[str, str]) -> None:
    if _status(sagemaker, kind, named) not in ("Deleted", "Deleting"):
        getattr(sagemaker, f"delete_{kind}")(**named)
    _until(lambda: _status(sagemaker, kind, named) == "Deleted", kind)


def _notebook(sagemaker: Any, name: str) -> str:
    """A notebook's status; Deleted for one that is gone. SageMaker's model has no error of its own for that."""
    found = sagemaker.list_notebook_instances(NameContains=name)["NotebookInstances"]
    return next((one["NotebookInstanceStatus"] for one in found if one["NotebookInstanceName"] == name), "Deleted")


def _until_notebook(sagemaker: Any, name: str, *statuses: str) -> None:
    _until(lambda: _notebook(sagemaker, name) in statuses, name)


def _remove_notebooks(sagemaker: Any, names: Sequence[str]) -> None:
    """All at once, for each takes minutes on AWS."""
    for name in names:
        _until_notebook(sagemaker, name, "Deleted", "InService", "Stopped", "Failed")
        if _notebook(sagemaker, name) == "InService":
            sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    for name in names:
        _until_notebook(sagemaker, name, "Deleted", "Stopped", "Failed")
        if _notebook(sagemaker, name) != "Deleted":
            sagemaker.delete_notebook_instance(NotebookInstanceName=name)
    for name in names:
        _until_notebook(sagemaker, name, "Deleted")


def _until(look: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not look():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} took longer than {PATIENCE_SECONDS:.0f} seconds")
        time.sleep(POLL_SECONDS)
