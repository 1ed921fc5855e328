"""The machines that cost money while nobody works: notebook instances and Studio's apps, behind one face."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Machine:
    """A machine in service: how it is called, since when it runs, and what ends it.

    `arn` is empty for an app, of which the list does not tell it. `operation` is the method of boto3's client for
    SageMaker that stops it, `arguments` are its arguments.
    """

    name: str
    arn: str
    started: datetime.datetime
    operation: str
    arguments: Mapping[str, str]


def running(sagemaker: Any, prefix: str) -> Iterator[Machine]:
    """Every app in service, and every notebook instance in service whose name begins so, page by page."""
    for page in sagemaker.get_paginator("list_notebook_instances").paginate(StatusEquals="InService"):
        for one in page["NotebookInstances"]:
            name = one["NotebookInstanceName"]
            if not name.startswith(prefix):
                continue
            yield Machine(
                name=name,
                arn=one["NotebookInstanceArn"],
                # The last change of an instance in service is that it came into service.
                started=one["LastModifiedTime"],
                operation="stop_notebook_instance",
                arguments={"NotebookInstanceName": name},
            )
    for page in sagemaker.get_paginator("list_apps").paginate():
        for one in page["Apps"]:
            if one["Status"] == "InService":
                arguments = {part: one[part] for part in _PARTS if part in one}
                yield Machine(
                    name="/".join(arguments.values()),
                    arn="",
                    started=one["CreationTime"],
                    operation="delete_app",
                    arguments=arguments,
                )


_PARTS = ("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName")


def tags(sagemaker: Any, machine: Machine) -> dict[str, str]:
    """The machine's tags. Raises ClientError."""
    arn = machine.arn or sagemaker.describe_app(**machine.arguments)["AppArn"]
    pages = sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}
