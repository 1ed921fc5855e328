"""The request for one hour's job: pure, so that each hour has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from lambdas.model_monitor.start_monitor.baseline import Production

INPUT = "/opt/ml/processing/input"
OUTPUT = "/opt/ml/processing/output"

# A job has ten inputs at most (SageMaker API Reference, "CreateProcessingJob", read 2026-11-27): code, baseline,
# captures, labels, and the days of which labels may be.
MAXIMUM_LABEL_DAYS = 5
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Settings:
    """The function's settings; `handler` says what each means."""

    endpoint: str
    variant: str
    captures: str
    ground_truth: str
    label_days: int
    reports: str
    code: str
    schema_file: str
    job_name_prefix: str
    role: str
    image: str
    key: str
    instance_type: str
    volume_gb: int
    maximum_seconds: int
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    namespace: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Raises KeyError for a variable that is missing, ValueError for a wrong one."""
        days = int(environment.get("LABEL_DAYS", "2"))
        if not 0 <= days <= MAXIMUM_LABEL_DAYS:
            raise ValueError(f"LABEL_DAYS is {days}; it may be 0 to {MAXIMUM_LABEL_DAYS}.")
        return cls(
            endpoint=environment["ENDPOINT_NAME"],
            variant=environment.get("VARIANT_NAME", "AllTraffic"),
            captures=environment["CAPTURE_URI"].rstrip("/"),
            ground_truth=environment["GROUND_TRUTH_URI"].rstrip("/"),
            label_days=days,
            reports=environment["REPORT_URI"].rstrip("/"),
            code=environment["CODE_URI"],
            schema_file=environment.get("SCHEMA_FILE", "pipelines/deliveries/schema.json"),
            job_name_prefix=environment["JOB_NAME_PREFIX"],
            role=environment["JOB_ROLE_ARN"],
            image=environment["IMAGE_URI"],
            key=environment["KEY_ARN"],
            instance_type=environment.get("INSTANCE_TYPE", "ml.t3.medium"),
            volume_gb=int(environment.get("VOLUME_GB", "10")),
            maximum_seconds=int(environment.get("MAXIMUM_SECONDS", "1800")),
            subnets=_listed(environment.get("SUBNET_IDS", "")),
            security_groups=_listed(environment.get("SECURITY_GROUP_IDS", "")),
            namespace=environment["METRIC_NAMESPACE"],
        )

    def wanted(self, hour: datetime) -> Found:
        """All folders that a job of this hour could read."""
        captured = f"{self.captures}/{self.endpoint}/{self.variant}"
        days = [hour - timedelta(days=back) for back in range(self.label_days, -1, -1)]
        return Found(
            captures=(f"{captured}/{hour:%Y/%m/%d/%H}/",),
            ground_truth=(f"{self.ground_truth}/{hour:%Y/%m/%d/%H}/",),
            history=tuple(f"{captured}/{day:%Y/%m/%d}/" for day in days),
        )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


@dataclass(frozen=True)
class Found:
    """Folders in S3, as `s3://bucket/prefix/`: the hour's captures and labels, and days that the labels may be of."""

    captures: tuple[str, ...]
    ground_truth: tuple[str, ...]
    history: tuple[str, ...]

    def only(self, holds_something: Callable[[str], bool]) -> Found:
        """Those with something in them. Without labels, nobody needs the days."""
        labels = tuple(filter(holds_something, self.ground_truth))
        return Found(
            captures=tuple(filter(holds_something, self.captures)),
            ground_truth=labels,
            history=tuple(filter(holds_something, self.history)) if labels else (),
        )

    @property
    def anything_to_judge(self) -> bool:
        """Traffic of the hour, or labels for earlier traffic."""
        return bool(self.captures or (self.ground_truth and self.history))


def last_full_hour(time: str) -> datetime:
    """The start (UTC) of the hour that had ended at a time like `2026-11-27T10:15:00Z`. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(time.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError("The event has no time like 2026-11-27T10:15:00Z.") from None
    if moment.tzinfo is None:
        raise ValueError("The event's time has no zone.")
    started = moment.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)
    return started - HOUR


def window(hour: datetime, production: Production) -> tuple[datetime, datetime] | None:
    """The part of an hour, to the second, in which the model in production alone has answered; None if there is none.

    Another model's answers would be judged by a baseline that is not theirs.
    """
    start = max(hour, whole(production.since))
    end = min(hour + HOUR, production.until.astimezone(timezone.utc)) if production.until else hour + HOUR
    return (start, end) if start < end else None


def whole(moment: datetime) -> datetime:
    """The first full second from a moment on, in UTC: captures tell their time in whole seconds."""
    utc = moment.astimezone(timezone.utc)
    return utc.replace(microsecond=0) + timedelta(seconds=bool(utc.microsecond))


def job_name(settings: Settings, hour: datetime, attempt: int = 1) -> str:
    """The one name that the first, or a later, attempt at this hour can have."""
    return f"{settings.job_name_prefix}-{hour:%Y%m%d%H}" + (f"-{attempt}" if attempt > 1 else "")


def request(
    settings: Settings,
    hour: datetime,
    found: Found,
    production: Production,
    attempt: int = 1,
) -> dict[str, Any]:
    """What CreateProcessingJob is asked for, of an hour that has a `window`."""
    name = job_name(settings, hour, attempt)
    between = window(hour, production)
    if between is None:
        raise ValueError("No part of the hour is the model's in production.")
    inputs = [_input("code", settings.code), _input("baseline", production.baseline)]
    arguments = ["--baseline", f"{INPUT}/baseline", "--output", f"{OUTPUT}/report"]
    if found.captures:
        inputs += [_input("captures", uri) for uri in found.captures]
        arguments += ["--captures", f"{INPUT}/captures"]
    if found.ground_truth and found.history:
        inputs += [_input("ground-truth", uri) for uri in found.ground_truth]
        inputs += [_input(f"history-{at}", uri, f"history/{at}") for at, uri in enumerate(found.history)]
        arguments += ["--ground-truth", f"{INPUT}/ground-truth", "--history", f"{INPUT}/history"]
    start, end, since = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (*between, whole(production.since)))
    arguments += ["--start", start, "--end", end, "--since", since]
    arguments += ["--schema", f"{INPUT}/code/{settings.schema_file}"]
    arguments += ["--message", "/opt/ml/output/message", "--plot"]
    # A word of a command has 256 characters at most (SageMaker API Reference, "AppSpecification"), so the arguments
    # come by themselves; `bash -c` has the first word after its text as `$0`.
    command = f'cd {INPUT}/code && tar -xzf sourcedir.tar.gz && exec python3 -m "$0" "$@"'
    job: dict[str, Any] = {
        "ProcessingJobName": name,
        "AppSpecification": {
            "ImageUri": settings.image,
            "ContainerEntrypoint": ["bash", "-c", command, "pipelines.monitoring.monitor"],
            "ContainerArguments": arguments,
        },
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "report",
                    "S3Output": {
                        "S3Uri": f"{settings.reports}/{name}/",
                        "LocalPath": f"{OUTPUT}/report",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ],
            "KmsKeyId": settings.key,
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": settings.instance_type,
                "VolumeSizeInGB": settings.volume_gb,
                "VolumeKmsKeyId": settings.key,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": settings.maximum_seconds},
        "NetworkConfig": {"EnableNetworkIsolation": True, "EnableInterContainerTrafficEncryption": True},
        "RoleArn": settings.role,
    }
    if settings.subnets:
        job["NetworkConfig"]["VpcConfig"] = {
            "Subnets": list(settings.subnets),
            "SecurityGroupIds": list(settings.security_groups),
        }
    return job


def _input(name: str, uri: str, folder: str = "") -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{INPUT}/{folder or name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }
