"""Who called one of the project's services on LocalStack, and what the service may do for that caller.

LocalStack's core enforces no permission, so nothing is refused here either: every call is made with the caller's own
key, which names the account. What an IAM policy says is proven on the embedded cloud.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from local.services.wire import Caller, ObjectUnavailable, ServiceError

# S3's codes that stand in the contract of `ObjectUnavailable`; any other is a denial to whoever asked.
_OBJECT_CODES = ("NoSuchKey", "NoSuchBucket", "AccessDenied")

Client = Callable[[str, str, str], Any]


@dataclass(frozen=True)
class LocalStackCaller:
    """A caller (`local.services.wire.Caller`). `client` makes a client of a service, for a key and a region."""

    access_key: str
    account: str
    region: str
    client: Client
    environment_of: Callable[[str, str], dict[str, str]]
    role_arn: str = ""

    @property
    def principal_arn(self) -> str:
        """Who that is, by STS; the role, where a service acts in it."""
        if self.role_arn:
            return self.role_arn
        return str(self._client("sts").get_caller_identity()["Arn"])

    def read_object(self, bucket: str, key: str, version: str | None) -> bytes:
        """The object's bytes, by GetObject. Raises ObjectUnavailable."""
        chosen = {"VersionId": version} if version else {}
        try:
            answer = self._client("s3").get_object(Bucket=bucket, Key=key, **chosen)
        except ClientError as error:
            raise _unavailable(error) from error
        body: bytes = answer["Body"].read()
        return body

    def list_objects(self, bucket: str, prefix: str) -> list[str]:
        """The keys under a prefix, by ListObjectsV2. Raises ObjectUnavailable."""
        try:
            pages = self._client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return sorted(item["Key"] for page in pages for item in page.get("Contents", []))
        except ClientError as error:
            raise _unavailable(error) from error

    def write_object(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        kms_key_id: str | None = None,
    ) -> None:
        """Write it by PutObject. Raises ObjectUnavailable."""
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_id} if kms_key_id else {}
        try:
            self._client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type, **encryption)
        except ClientError as error:
            raise _unavailable(error) from error

    def publish(self, topic_arn: str, message: str, *, subject: str | None = None) -> None:
        """Publish by SNS. Raises ServiceError (AccessDeniedException), for a missing topic as well."""
        try:
            region = topic_arn.split(":")[3]
            self.client("sns", self.access_key, region).publish(
                TopicArn=topic_arn, Message=message, **({"Subject": subject} if subject else {})
            )
        except (ClientError, IndexError) as error:
            raise ServiceError("AccessDeniedException", f"Cannot publish to {topic_arn}: {error}") from error

    def assume(self, role_arn: str, service_principal: str, *, passed: bool = False) -> Caller:
        """A session of the role, by STS, which asks nobody's permission here. Raises ServiceError for no role's ARN."""
        del passed
        try:
            session = self._client("sts").assume_role(
                RoleArn=role_arn, RoleSessionName=service_principal.partition(".")[0]
            )
        except ClientError as error:
            raise ServiceError("AccessDeniedException", f"{role_arn} cannot be assumed: {error}") from error
        return replace(self, access_key=session["Credentials"]["AccessKeyId"], role_arn=role_arn)

    def placed(self, subnets: Sequence[str], security_groups: Sequence[str]) -> Caller:
        """Nothing sits in a VPC here: raises ServiceError (ValidationException)."""
        raise ServiceError("ValidationException", "On LocalStack nothing runs inside of a VPC.")

    def emit(self, source: str, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str] = ()) -> None:
        """Send an event to the default bus."""
        entry = {
            "Source": source,
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
            "Resources": list(resources),
        }
        self._client("events").put_events(Entries=[entry])

    def require(self, action: str, resource_arn: str, context: Mapping[str, Any] | None = None) -> None:
        """Nothing is refused here."""

    def call(self, service: str, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Another service's operation. Raises ServiceError with that service's code, message and status."""
        try:
            answer: dict[str, Any] = getattr(self._client(service), xform_name(operation))(**arguments)
        except ClientError as error:
            raise ServiceError(
                str(error.response["Error"]["Code"]),
                str(error.response["Error"]["Message"]),
                int(error.response["ResponseMetadata"]["HTTPStatusCode"]),
            ) from error
        return answer

    def environment(self) -> dict[str, str]:
        """What a process needs to act as this caller."""
        return self.environment_of(self.access_key, self.region)

    def _client(self, service: str) -> Any:
        return self.client(service, self.access_key, self.region)


def _unavailable(error: ClientError) -> ObjectUnavailable:
    code = str(error.response["Error"]["Code"])
    # HEAD and some versions answer with the status alone.
    code = {"404": "NoSuchKey", "NoSuchVersion": "NoSuchKey"}.get(code, code)
    return ObjectUnavailable(code if code in _OBJECT_CODES else "AccessDenied", str(error))
