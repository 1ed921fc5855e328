"""A session of the SageMaker SDK that reaches nothing: definitions are built anywhere, and are the same each time."""

# ruff: noqa: E402 (the environment is set before anything imports the SDK)

from __future__ import annotations

import os
import re
from typing import NoReturn

# The SDK writes it into the environment of the models that it registers.
_REGION = "us-east-1"
os.environ |= {
    "AWS_DEFAULT_REGION": _REGION,
    # Parts of the SDK make clients of their own, whose search for credentials would ask the network.
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
}
os.environ.pop("AWS_PROFILE", None)
# The trainer would ask IAM whether its role may do what it needs.
os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"

import boto3
from sagemaker.core.workflow.pipeline_context import PipelineSession

from pipelines.definition.placeholders import placeholder

# The SDK looks every role up in IAM whose name is no ARN, and uploads every input whose location is not in S3. So these
# stand for the placeholders while a definition is built.
_STANDING_IN = {"RoleArn": "arn:aws:iam::000000000000:role/{}", "Uri": "s3://000000000000/{}"}
_FOUND = re.compile(r"(?:arn:aws:iam::000000000000:role|s3://000000000000)/(\w+)")

_CONFIG = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}


class OfflineSession(PipelineSession):  # type: ignore[misc]  # the SDK is not installed where types are checked
    """Answers what the SDK asks while it builds, from here. What would have to reach AWS raises."""

    def __init__(self) -> None:
        boto = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name=_REGION)  # noqa: S106
        super().__init__(boto_session=boto, default_bucket="none", sagemaker_config=_CONFIG)

    def default_bucket(self) -> str:
        """A name that must not end up in a definition; the real one would create a bucket."""
        return "none"

    def upload_data(self, path: str, *_: object, **__: object) -> NoReturn:
        """Refuses: all code is in the source archive, which the stack uploads."""
        raise RuntimeError(f"A definition must not upload anything, and {path} would be")

    def upload_string_as_file_body(self, *_: object, **__: object) -> NoReturn:
        """Refuses, as `upload_data` does."""
        raise RuntimeError("A definition must not upload anything")


def stand_in(name: str) -> str:
    """What stands for the placeholder of a role or a location while a definition is built."""
    placeholder(name)
    return next(form for end, form in _STANDING_IN.items() if name.endswith(end)).format(name)


def with_placeholders(text: str) -> str:
    """A built definition with its placeholders in place of what stood for them."""
    text = text.replace(f'"{_REGION}"', f'"{placeholder("AWS::Region")}"')
    return _FOUND.sub(lambda found: placeholder(found[1]), text)
