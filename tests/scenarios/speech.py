"""What the scenario tests do to a deployed speech-synthesis stack: the driver of image-labeling, in other words."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import soundfile

from local.cloud import LocalCloud
from tests.local.emulated import subscribed
from tests.scenarios.driver import Driver, Row, plain

ARCHITECTURE = "speech-synthesis"
# Two attempts and short timeouts: a failure is seen through in seconds.
SMALL: Mapping[str, Any] = {"function_timeout_seconds": 30, "maximum_receives": 2}

SHORT = b"The library opens at nine."
# More than an answer takes: 3,000 characters (Amazon Polly Developer Guide, "Quotas in Amazon Polly").
LONG = b"The library opens at nine in the morning. " * 75


class SpeechDriver(Driver):
    """Uploads texts, sends events and notifications by hand, waits for rows, and looks into one deployed stack."""

    def __init__(self, cloud: LocalCloud, outputs: Mapping[str, str]) -> None:
        super().__init__(cloud, {**outputs, "UploadPrefix": outputs["InputPrefix"]})
        self.end_queue = outputs["EndQueueUrl"]

    def clean(self) -> None:
        super().clean()
        self.sqs.purge_queue(QueueUrl=self.end_queue)

    def key(self, name: str = "text.txt") -> str:
        return super().key(name)

    def upload(self, key: str, body: bytes | None = None) -> str:
        return super().upload(key, SHORT if body is None else body)

    def upload_quietly(self, key: str, body: bytes | None = None) -> str:
        with self.rule_off():
            return self.upload(key, body)

    def wait_for(self, key: str, version: str, status: str = "SPOKEN", *, hurry: bool = False) -> Row:
        def reached() -> Row | None:
            row = self.row(key, version)
            return row if row and row["status"] == status else None

        # The first sound of a run loads the model, on a machine that may be busy.
        return self.until(reached, f"{key} to be {status}", hurry=hurry, seconds=60)

    def sound(self, row: Row) -> soundfile.SoundFile:
        """The sound file that a row names, decoded."""
        answer = self.s3.get_object(Bucket=self.bucket, Key=row["output_key"])
        return soundfile.SoundFile(io.BytesIO(answer["Body"].read()))

    def notify(self, task_id: str) -> None:
        """Put a notification of Polly's into the queue of ends."""
        self.sqs.send_message(QueueUrl=self.end_queue, MessageBody=json.dumps({"taskId": task_id}))

    def wait_until_ends_are_recorded(self) -> None:
        self.until(lambda: self.depth(self.end_queue) == (0, 0), "the queue of ends to be empty")

    def calls(self, operation: str = "polly.SynthesizeSpeech") -> int:
        return super().calls(operation)

    @contextmanager
    def end_poller_off(self) -> Iterator[None]:
        """Let notifications gather until the block ends."""
        with self.as_recorder(), self.poller_off():
            yield

    @contextmanager
    def failing_task(self) -> Iterator[Callable[[], list[str]]]:
        """Let the next task fail; gives what the alarms' topic was told since the last look."""
        self.control.faults_add(service="polly", operation="StartSpeechSynthesisTask", kind="fail-job", times=1)
        with subscribed(self.cloud, self.outputs["AlarmTopicArn"]) as told:
            yield told

    @contextmanager
    def as_recorder(self) -> Iterator[None]:
        """What is done to the function and its role is done to the one that records ends."""
        before = self.function, self.role, self.queue
        self.function, self.role = self.outputs["EndFunctionName"], self.outputs["EndFunctionRoleName"]
        self.queue = self.end_queue
        try:
            yield
        finally:
            self.function, self.role, self.queue = before

    def _query(self, image: str) -> dict[str, Row]:
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.outputs["ResultsTableName"],
            KeyConditionExpression="document = :document",
            ExpressionAttributeValues={":document": {"S": image}},
            ConsistentRead=True,
        )
        return {row["version"]: row for page in pages for row in map(plain, page["Items"])}

    def claim_rows(self) -> list[Row]:
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.outputs["ResultsTableName"],
            FilterExpression="#status = :status",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": "STARTING"}},
            ConsistentRead=True,
        )
        return [plain(item) for page in pages for item in page["Items"]]

    def expire_claims(self) -> None:
        for row in self.claim_rows():
            self.dynamodb.update_item(
                TableName=self.outputs["ResultsTableName"],
                Key={name: {"S": row[name]} for name in ("document", "version")},
                UpdateExpression="SET claimed_until = :past",
                ExpressionAttributeValues={":past": {"N": str(int(time.time()) - 5)}},
            )
