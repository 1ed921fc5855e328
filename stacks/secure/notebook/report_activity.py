"""Runs on a notebook instance once a minute: tells by a tag when its Jupyter last saw work.

It asks the Jupyter of this machine for its kernels and terminals. A kernel that is busy is at work now; else what
counts is when a kernel or a terminal was last active. What cannot be asked is not reported: who reads the tag must take
silence for work. Standard library and AWS's command line only, for that is what the machine has.

Sources: `GET /api/kernels` and `GET /api/terminals` of the Jupyter Server REST API, members `execution_state` and
`last_activity`; the address of Jupyter and the file that tells the machine's ARN, as in AWS's own samples of lifecycle
configurations for notebook instances. All from memory of 2026-11-27: it never ran on AWS.
"""

from __future__ import annotations

import datetime
import json
import ssl
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

JUPYTER = "https://localhost:8443"
METADATA = "/opt/ml/metadata/resource-metadata.json"
TAG = "cost-guard:activity"
NEVER = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)


def last_activity(
    kernels: Sequence[Mapping[str, Any]], terminals: Sequence[Mapping[str, Any]], now: datetime.datetime
) -> datetime.datetime:
    """When this machine last saw work, of what Jupyter says; NEVER if nothing ever ran. Times have zones."""
    if any(kernel.get("execution_state") == "busy" for kernel in kernels):
        return now
    told = [one["last_activity"] for one in [*kernels, *terminals] if one.get("last_activity")]
    return max((moment(one) for one in told), default=NEVER)


def moment(text: str) -> datetime.datetime:
    """A time of Jupyter's, in UTC to the second; the machine's Python may know neither Z nor fractions."""
    return datetime.datetime.strptime(text[:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z")


def value(active: datetime.datetime, now: datetime.datetime) -> str:
    """The tag's value."""
    shown = [one.strftime("%Y-%m-%dT%H:%M:%SZ") for one in (active, now)]
    return f"active={shown[0]} reported={shown[1]}"


def ask(path: str, base: str = JUPYTER) -> Any:
    """What the Jupyter of this machine answers. Raises OSError, ValueError."""
    own = base.startswith("https://localhost:")
    trusting = ssl._create_unverified_context() if own else None  # noqa: S323 (its own certificate, on this machine)
    with urllib.request.urlopen(base + path, timeout=10, context=trusting) as answer:  # noqa: S310 (the same)
        return json.loads(answer.read())


def main() -> None:
    """One report. Raises OSError, ValueError or CalledProcessError where there is none."""
    now = datetime.datetime.now(datetime.timezone.utc)
    with open(METADATA, encoding="utf-8") as file:
        machine = json.load(file)["ResourceArn"]
    # Where nothing ever ran, only the start of the machine counts, which the guard knows itself.
    told = value(last_activity(ask("/api/kernels"), ask("/api/terminals"), now), now)
    tags = json.dumps([{"Key": TAG, "Value": told}])
    region = ["--region", machine.split(":")[3]]
    command = ["aws", "sagemaker", "add-tags", *region, "--resource-arn", machine, "--tags", tags]
    subprocess.run(command, check=True, timeout=50, stdout=subprocess.DEVNULL)  # noqa: S603 (nothing of a user's)


if __name__ == "__main__":
    main()
