"""Starts a Textract job and leaves the waiting state's token where the job's end will look for it.

**Jobs table** (partition key `job`): `token`, `document` by this function, `job_status` by `resume`, which hears of the
job's end. Either may come first: the job may end before its token is stored. Each writes its own half and gets the
whole row back in the same request; DynamoDB puts the two in some order, so whoever comes second sees both halves and
answers the state. One who sees both again (a message that comes twice, an attempt after a kill) answers a state that
waits no longer, which changes nothing. Textract's job tag holds 64 characters, a token up to 2,048: that is why it is
kept here.

**Once.** The request token makes Textract return the same job to a second attempt (Amazon Textract API Reference,
"StartDocumentAnalysis", read 2026-11-25), so a function that is killed or tried again starts nothing twice.

**A lost message.** An attempt after the first (the state's time was over, or its worker died) asks the job once whether
it has ended meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from aws_lambda_powertools.logging import Logger
from botocore.exceptions import ClientError

from lambdas.document_processing import tokens
from lambdas.shared.clients import QUICK, make_clients
from lambdas.shared.failures import error_code, told_by_name

JOBS_TABLE = os.environ["JOBS_TABLE"]
TOPIC = os.environ["COMPLETION_TOPIC_ARN"]
NOTIFIER_ROLE = os.environ["NOTIFIER_ROLE_ARN"]

# A job's result is kept for 7 days (Amazon Textract API Reference, "GetDocumentAnalysis"): of what use is the row
# after?
KEPT_SECONDS = 7 * 24 * 3600

# Another attempt would get the same answer.
REFUSALS = ("BadDocumentException", "DocumentTooLargeException", "UnsupportedDocumentException")

logger = Logger()
clients = make_clients({"textract": (10, 2), "dynamodb": QUICK, "stepfunctions": QUICK})


@logger.inject_lambda_context(clear_state=True, log_event=False)
@told_by_name
def handler(event: dict[str, Any], context: Any) -> None:
    """Takes {bucket, key, version, document, execution, attempt, token}. The state waits for the token's answer."""
    try:
        job = _start(event)
    except ClientError as error:
        if error_code(error) not in REFUSALS:
            raise
        tokens.fail(clients["stepfunctions"], event["token"], error_code(error), "Textract refused the document.")
        return
    logger.info("job started", extra={"document": event["document"], "job": job, "attempt": event["attempt"]})
    row = _store_token(job, event)
    status = row.get("job_status", {}).get("S")
    if not status and event["attempt"]:
        status = _ended(job)
    if status:
        tokens.succeed(clients["stepfunctions"], event["token"], {"job": job, "status": status})
        logger.info("the job had ended before", extra={"document": event["document"], "job": job})


def _start(event: dict[str, Any]) -> str:
    location = {"Bucket": event["bucket"], "Name": event["key"], "Version": event["version"]}
    answer = clients["textract"].start_document_analysis(
        DocumentLocation={"S3Object": location},
        FeatureTypes=["FORMS", "TABLES"],
        ClientRequestToken=hashlib.sha256(event["execution"].encode()).hexdigest(),
        JobTag=event["document"],
        NotificationChannel={"SNSTopicArn": TOPIC, "RoleArn": NOTIFIER_ROLE},
    )
    return str(answer["JobId"])


def _store_token(job: str, event: dict[str, Any]) -> dict[str, Any]:
    answer = clients["dynamodb"].update_item(
        TableName=JOBS_TABLE,
        Key={"job": {"S": job}},
        UpdateExpression="SET #token = :token, document = :document, expires = :expires",
        ExpressionAttributeNames={"#token": "token"},
        ExpressionAttributeValues={
            ":token": {"S": event["token"]},
            ":document": {"S": event["document"]},
            ":expires": {"N": str(int(time.time()) + KEPT_SECONDS)},
        },
        ReturnValues="ALL_NEW",
    )
    return dict(answer["Attributes"])


def _ended(job: str) -> str | None:
    status = clients["textract"].get_document_analysis(JobId=job, MaxResults=1)["JobStatus"]
    return None if status == "IN_PROGRESS" else str(status)
