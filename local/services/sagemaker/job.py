"""What processing, training and transform jobs have in common: their life, from Create to an end.

A job waits for one of the machine's cores (`local/services/jobs.py`), gets a folder, runs its container, and ends as
Completed, Failed or Stopped; each change is an event. Faults: `fail-job` and `slow-job` as for any job; `kill-job` ends
the process as the kernel does for want of memory; `interrupt-job` takes a spot instance away.

An event's detail is what Describe answers, with its tags and with times in milliseconds (named from memory).

What a job with a VpcConfig reads and writes in S3, and what its script calls, goes through that VPC ("Give SageMaker
Training Jobs Access to Resources in Your Amazon VPC", Developer Guide, in its public source). That logs and metrics do
not is an assumption: no page was found that says so.

What is recorded but changes nothing here: instance types and sizes, `VolumeKmsKeyId`, traffic encryption,
`ExperimentConfig`. One instance a job: more are refused, for nothing here would be distributed.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from local.emulator import faults
from local.services import jobs
from local.services.sagemaker import records as shelf
from local.services.sagemaker.containers import Container, ContainerError, LogStream, Workspace
from local.services.sagemaker.records import Members, Record, Records, Request
from local.services.wire import Caller, Operation, service_model

TICK_SECONDS = 0.1
PRINCIPAL = "sagemaker.amazonaws.com"

_log = logging.getLogger(__name__)


@dataclass
class Job:
    """A job under way: its record, its request, who asked for it and the role that it acts as.

    `worker` is the same role from where the job's instance sits: inside of the job's VPC, if it has one. What SageMaker
    itself does for the job, logs and metrics, it does as `actor`.
    """

    record: Record
    request: Request
    caller: Caller
    actor: Caller
    worker: Caller
    stopping: threading.Event = field(default_factory=threading.Event)
    retries: int = 0

    @property
    def name(self) -> str:
        """The job's name."""
        return self.record.name


class Stopped(Exception):  # noqa: N818 (an outcome, not an error)
    """The job was asked to stop, and has."""


class TimeUp(Exception):  # noqa: N818 (an outcome, not an error)
    """The job ran out of its time. `limit` is the member of StoppingCondition that ended it."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


class Interrupted(Exception):  # noqa: N818 (an outcome, not an error)
    """The spot instance of the job was taken away."""


class Jobs:
    """The operations of one kind of job."""

    noun: ClassVar[str]  # "Processing": as in names of operations, members and events.
    status_key: ClassVar[str]
    summary: ClassVar[str]  # The shape of a summary.
    summaries: ClassVar[str]  # The member of the List operation that holds them.

    def __init__(self, records: Records) -> None:
        self.records = records
        self._lock = threading.Lock()
        self._running: dict[str, Job] = {}

    @property
    def kind(self) -> str:
        """As in ARNs."""
        return f"{self.noun.lower()}-job"

    @property
    def name_key(self) -> str:
        """The member that holds the name."""
        return f"{self.noun}JobName"

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            f"Create{self.noun}Job": self.create,
            f"Describe{self.noun}Job": self.describe,
            f"List{self.noun}Jobs": self.list,
            f"Stop{self.noun}Job": self.stop,
        }

    # --- To be given by a kind of job ---

    def check(self, request: Request, caller: Caller) -> None:
        """Raises ServiceError for a request that makes no sense or is not served."""
        raise NotImplementedError

    def role_of(self, request: Request, caller: Caller) -> Caller:
        """The role that the job acts as; `iam:PassRole` and its trust are checked."""
        return caller.assume(request["RoleArn"], PRINCIPAL)

    def vpc_of(self, request: Request, caller: Caller) -> Members | None:
        """The VpcConfig of the job's instance, if it has one."""
        found: Members | None = request.get("VpcConfig")
        return found

    def members(self, request: Request, caller: Caller) -> Members:
        """What Describe answers of a new job, beside what every kind has."""
        raise NotImplementedError

    def run(self, job: Job) -> Members:
        """Do the work; returns members of a job that has ended well. Raises ContainerError, Stopped, TimeUp."""
        raise NotImplementedError

    def ended(self, job: Job, status: str) -> Members:
        """Members that go with an end, whichever."""
        return {}

    # --- Operations ---

    def create(self, request: Request, caller: Caller) -> Members:
        """Create<noun>Job."""
        self.check(request, caller)
        record = self.begin(request, caller, self.role_of(request, caller))
        return {f"{self.noun}JobArn": record.arn}

    def begin(self, request: Request, caller: Caller, actor: Caller, **more: Any) -> Record:
        """Start a job that acts as `actor`; `more` are members that no request has. Raises ServiceError."""
        shape: Any = service_model("sagemaker").operation_model(f"Describe{self.noun}Job").output_shape
        worker = placed(actor, self.vpc_of(request, caller))
        now = shelf.now()
        name = request[self.name_key]
        members = {key: value for key, value in request.items() if key in shape.members}
        members |= {
            f"{self.noun}JobArn": shelf.arn_of(self.kind, caller, name),
            self.status_key: "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
            **self.members(request, caller),
            **more,
        }
        known = {key: value for key, value in members.items() if key in shape.members}
        record = self.records.add(self.kind, caller, name, known, request.get("Tags", ()))
        job = Job(record, request, caller, actor, worker)
        with self._lock:
            self._running[record.arn] = job
        self.tell(job)
        self._submit(job)
        return record

    def describe(self, request: Request, caller: Caller) -> Members:
        """Describe<noun>Job."""
        record = self.records.find(self.kind, caller, request[self.name_key])
        shape: Any = service_model("sagemaker").operation_model(f"Describe{self.noun}Job").output_shape
        with self.records.lock:
            return {key: value for key, value in record.members.items() if key in shape.members}

    def list(self, request: Request, caller: Caller) -> Members:
        """List<noun>Jobs."""
        found, token = self.records.listed(
            self.kind, request, caller, shape=self.summary, name=self.name_key, status=self.status_key
        )
        return {self.summaries: found, **token}

    def stop(self, request: Request, caller: Caller) -> Members:
        """Stop<noun>Job: a container is asked to end and has two minutes for it."""
        record = self.records.find(self.kind, caller, request[self.name_key])
        with self._lock:
            job = self._running.get(record.arn)
        status = record.members[self.status_key]
        if job is None or status not in ("InProgress", "Stopping"):
            raise shelf.invalid(f"The request was rejected because the {self.noun.lower()} job is in status {status}.")
        if self.change(job, only_from="InProgress", **{self.status_key: "Stopping"}, **self.stopping_members()):
            job.stopping.set()
        return {}

    def stopping_members(self) -> Members:
        """Members of a job that was asked to stop."""
        return {}

    # --- Life ---

    def change(self, job: Job, *, only_from: str = "", **members: Any) -> bool:
        """Set members of the job, and tell the world by an event. Whether it did: `only_from` is the status needed."""
        with self.records.lock:
            if only_from and job.record.members[self.status_key] != only_from:
                return False
            self.records.change(job.record, **{"LastModifiedTime": shelf.now(), **self.kept(job, members)})
        # Without the lock: whoever is told may ask for something.
        self.tell(job)
        return True

    def kept(self, job: Job, members: Members) -> Members:
        """The members of a change, with what a kind of job adds to them. Called under the lock of the records."""
        return members

    def tell(self, job: Job) -> None:
        """Send the job's state as an event."""
        with self.records.lock:
            detail = shelf.eventful({**job.record.members, "Tags": dict(job.record.tags)})
        job.caller.emit("aws.sagemaker", f"SageMaker {self.noun} Job State Change", detail, [job.record.arn])

    def _submit(self, job: Job) -> None:
        operation = f"Create{self.noun}Job"
        jobs.submit("sagemaker", operation, lambda: self._live(job), lambda error: self._broken(job, error))

    def _live(self, job: Job) -> None:
        if job.stopping.is_set():
            self._end(job, "Stopped", {})
            return
        try:
            self._end(job, "Completed", self.run(job))
        except Stopped:
            self._end(job, "Stopped", {})
        except TimeUp as up:
            self._end(job, "Stopped", self.out_of_time(up.limit))
        except ContainerError as error:
            self._end(job, "Failed", {"FailureReason": str(error)[:1024]})

    def out_of_time(self, limit: str) -> Members:
        """Members of a job that was ended by a limit."""
        return {}

    def _broken(self, job: Job, error: jobs.JobFailedError) -> None:
        """The service failed, not the job's own doing: by a fault, or by a mistake of this stand-in."""
        strategy = job.request.get("RetryStrategy", {})
        if job.retries < strategy.get("MaximumRetryAttempts", 0) and not job.stopping.is_set():
            job.retries += 1
            self._submit(job)
            return
        code = error.code if error.code not in ("", "INTERNAL_ERROR") else "InternalServerError"
        self._end(job, "Failed", {"FailureReason": f"{code}: {error}"})

    def _end(self, job: Job, status: str, members: Members) -> None:
        with self._lock:
            self._running.pop(job.record.arn, None)
        self.change(job, **{self.status_key: status, **self.ended(job, status), **members})


def placed(actor: Caller, vpc: Mapping[str, Any] | None) -> Caller:
    """The role from inside of a VpcConfig; as it is where there is none. Raises ServiceError."""
    return actor.placed(vpc["Subnets"], vpc["SecurityGroupIds"]) if vpc else actor


# --- Running a container ---------------------------------------------------------------------------------------------


def attend(
    job: Job,
    container: Container,
    operation: str,
    *,
    limits: Mapping[str, float],
    spot: bool = False,
    each_tick: Callable[[], None] = lambda: None,
) -> int:
    """Start a container and stay with it until it ends; returns its exit code.

    `limits` are moments of `time.monotonic()` by their name in StoppingCondition. Raises Stopped, TimeUp and
    Interrupted, each when the container has ended.
    """
    kinds = ("kill-job", "interrupt-job") if spot else ("kill-job",)
    seen: set[str] = set()
    struck: dict[str, float] = {}

    def misfortunes() -> None:
        for rule in faults.pick_job("sagemaker", operation, kinds, seen):
            struck[rule.kind] = min(struck.get(rule.kind, math.inf), time.monotonic() + rule.seconds)

    misfortunes()
    container.start()
    while (code := container.wait(TICK_SECONDS)) is None:
        each_tick()
        misfortunes()
        moment = time.monotonic()
        if job.stopping.is_set():
            container.stop()
            raise Stopped
        for limit, until in limits.items():
            if moment >= until:
                container.stop()
                raise TimeUp(limit)
        if moment >= struck.get("interrupt-job", moment + 1):
            container.stop()
            raise Interrupted
        if moment >= struck.get("kill-job", moment + 1):
            return container.kill()
    return code


def log_stream(job: Job, noun: str, host: str = "algo-1") -> LogStream:
    """The stream of a job's container: `/aws/sagemaker/<noun>Jobs`, `<job>/algo-1-<epoch>`."""
    return LogStream(job.actor, f"/aws/sagemaker/{noun}Jobs", f"{job.name}/{host}-{int(shelf.now().timestamp())}")


def warn(job: Job, what: str) -> None:
    """Say in the emulator's log what a job cannot be told."""
    _log.warning("The job %s: %s", job.name, what)


def workspace_of(job: Job) -> Workspace:
    """A new folder for the job's container."""
    workspace = Workspace(job.name)
    for part in ("output", "config", "input/config"):
        (workspace.root / part).mkdir(parents=True)
    return workspace


def refuse(request: Request, unserved: Mapping[str, Any]) -> None:
    """Raises ServiceError for the first of these that the request has. Keys name them, values tell whether it has."""
    for what, present in unserved.items():
        if present:
            raise shelf.unserved(what)
