"""The questions that an auditor asks of the trail's archive, as SQL of Athena.

Each names the table `trail` and reads only columns of it. `{days}` stands for how far back to look.
"""

from __future__ import annotations

from collections.abc import Mapping

# Columns of the table: those of CloudTrail's records that the questions read ("Create a table for
# CloudTrail logs in Athena using manual partitioning", Amazon Athena User Guide, read 2026-11-28: requestparameters and
# the like are text). That the serializer is the JsonSerDe is from memory.
_ISSUER = "struct<arn:string,username:string>"
IDENTITY = (
    f"struct<type:string,principalid:string,arn:string,accountid:string,sessioncontext:struct<sessionissuer:{_ISSUER}>>"
)
COLUMNS: Mapping[str, str] = {
    "eventtime": "string",
    "eventsource": "string",
    "eventname": "string",
    "awsregion": "string",
    "sourceipaddress": "string",
    "errorcode": "string",
    "readonly": "boolean",
    "requestparameters": "string",
    "resources": "array<struct<arn:string,type:string>>",
    "useridentity": IDENTITY,
}

_WHO = "coalesce(useridentity.sessioncontext.sessionissuer.arn, useridentity.arn) AS who"
_SINCE = "day >= date_format(current_date - interval '{days}' day, '%Y/%m/%d')"


def _asked(what: str, where: str) -> str:
    # Nothing of a user's is in it: these are the constants of this module.
    return (
        f"SELECT eventtime, {_WHO}, {what}, eventname, errorcode, sourceipaddress FROM trail"  # noqa: S608
        f" WHERE {where} AND {_SINCE} ORDER BY eventtime DESC"
    )


def _parameter(name: str) -> str:
    return f"json_extract_scalar(requestparameters, '$.{name}')"


QUERIES: Mapping[str, tuple[str, str]] = {
    "who-invoked": (
        "Who asked a model, or called a function",
        _asked(
            f"coalesce({_parameter('endpointName')}, {_parameter('functionName')}) AS what",
            "eventname IN ('InvokeEndpoint', 'InvokeEndpointWithResponseStream', 'Invoke')",
        ),
    ),
    "who-trained": (
        "Who started a training, a processing job or a pipeline",
        _asked(
            f"coalesce({_parameter('trainingJobName')}, {_parameter('processingJobName')},"
            f" {_parameter('pipelineName')}) AS what",
            "eventsource = 'sagemaker.amazonaws.com'"
            " AND eventname IN ('CreateTrainingJob', 'CreateProcessingJob', 'StartPipelineExecution')",
        ),
    ),
    "who-deployed": (
        "Who approved, deployed or changed a model",
        _asked(
            f"coalesce({_parameter('endpointName')}, {_parameter('modelPackageArn')}, {_parameter('modelName')})"
            " AS what",
            "eventsource = 'sagemaker.amazonaws.com'"
            " AND eventname IN ('CreateEndpoint', 'UpdateEndpoint', 'DeleteEndpoint', 'UpdateModelPackage',"
            " 'CreateModel')",
        ),
    ),
    "who-read": (
        "Who read an object",
        _asked(
            f"{_parameter('bucketName')} || '/' || {_parameter('key')} AS what",
            "eventsource = 's3.amazonaws.com' AND eventname = 'GetObject'",
        ),
    ),
    "who-was-refused": (
        "Who tried what is not allowed",
        _asked(
            "eventsource AS what", "errorcode IN ('AccessDenied', 'AccessDeniedException', 'UnauthorizedOperation')"
        ),
    ),
    "who-changed-rights": (
        "Who changed a policy, a role or a key",
        _asked(
            f"coalesce({_parameter('roleName')}, {_parameter('bucketName')}, {_parameter('keyId')}) AS what",
            "readonly = false AND (eventsource = 'iam.amazonaws.com' OR eventname IN ('PutBucketPolicy',"
            " 'DeleteBucketPolicy', 'PutKeyPolicy', 'ScheduleKeyDeletion', 'DisableKey'))",
        ),
    ),
}


def sql(name: str, days: int) -> str:
    """A question's SQL, over so many days. Raises KeyError."""
    return QUERIES[name][1].format(days=days)
