"""What the scenario tests do to a deployed image-labeling stack, in words of the story.

Everything goes through AWS APIs. Only where a test must look into the machine (how often was a service called) or
hurry it (the clock) does it use the local cloud's control API.
"""

from __future__ import annotations

import io
import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from boto3.dynamodb.types import TypeDeserializer
from PIL import Image, ImageDraw

from local.cloud import LocalCloud
from tests import waiting

Row = dict[str, Any]
Found = TypeVar("Found")

PHOTOS = Path(__file__).parents[2] / "samples" / "photos"
PATIENCE_SECONDS = 20.0
_numbers = itertools.count(int(time.time()))


def photo(size: tuple[int, int] = (96, 80), kind: str = "JPEG", seed: int = 0) -> bytes:
    """A small valid image, different for every seed. It shows nothing, so nothing need be found in it."""
    image = Image.new("RGB", size, ((37 * seed) % 256, (91 * seed + 40) % 256, (53 * seed + 80) % 256))
    draw = ImageDraw.Draw(image)
    for step in range(6):
        corner = ((seed * 7 + step * size[0] // 6) % size[0], (seed * 13 + step * size[1] // 6) % size[1])
        draw.ellipse(
            (*corner, corner[0] + size[0] // 4, corner[1] + size[1] // 4), fill=(255 - 40 * step, 40 * step, 90)
        )
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def cat(size: tuple[int, int] = (225, 150), kind: str = "JPEG") -> bytes:
    """The tabby cat of the sample photos, in another size and format."""
    with Image.open(PHOTOS / "chelsea.jpg") as original:
        out = io.BytesIO()
        original.resize(size).save(out, kind)
    return out.getvalue()


class Driver:
    """Uploads, sends events by hand, waits for rows, and reads queues, logs and grants of one deployed stack."""

    def __init__(self, cloud: LocalCloud, outputs: Mapping[str, str]) -> None:
        self.cloud = cloud
        self.control = cloud.control
        self.outputs = outputs
        self.bucket = outputs["BucketName"]
        self.prefix = outputs["UploadPrefix"]
        self.queue = outputs["QueueUrl"]
        self.dead_letter_queue = outputs["DeadLetterQueueUrl"]
        self.function = outputs["FunctionName"]
        self.role = outputs["FunctionRoleName"]
        self.s3 = cloud.client("s3")
        self.sqs = cloud.client("sqs")
        self.dynamodb = cloud.client("dynamodb")
        self.iam = cloud.client("iam")

    def clean(self) -> None:
        """Take away faults, and messages that another test left."""
        self.control.faults_clear()
        for queue in (self.queue, self.dead_letter_queue):
            self.sqs.purge_queue(QueueUrl=queue)
        self.until(lambda: self.control.health()["batches"] == 0, "all workers to be idle")

    # --- going in

    def key(self, name: str = "photo.jpg") -> str:
        """A key under the prefix that no other test uses."""
        return f"{self.prefix}{uuid.uuid4().hex[:8]}/{name}"

    def upload(self, key: str, body: bytes | None = None) -> str:
        """Put an object; returns its version id."""
        answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=photo() if body is None else body)
        return str(answer["VersionId"])

    def upload_quietly(self, key: str, body: bytes | None = None) -> str:
        """Put a JPEG file while its rule is off, for tests that send the events themselves."""
        assert key.endswith(".jpg")
        with self.rule_off():
            return self.upload(key, body)

    @contextmanager
    def rule_off(self) -> Iterator[None]:
        """Switch off the rule that the outputs name: the one for JPEG files."""
        events = self.cloud.client("events")
        events.disable_rule(Name=self.outputs["RuleName"])
        try:
            yield
        finally:
            events.enable_rule(Name=self.outputs["RuleName"])

    def sequencer(self) -> str:
        """A sequencer later than all before, in S3's form: hexadecimal digits."""
        return f"{next(_numbers):016X}"

    def event(self, key: str, version: str, sequencer: str | None = None, size: int = 1000) -> dict[str, Any]:
        """An "Object Created" event as EventBridge delivers it.

        Source: Amazon S3 User Guide, "EventBridge event message structure" (read 2026-11-23).
        """
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": self.cloud.account,
            "time": "2026-11-23T12:00:00Z",
            "region": self.cloud.region,
            "resources": [f"arn:aws:s3:::{self.bucket}"],
            "detail": {
                "version": "0",
                "bucket": {"name": self.bucket},
                "object": {
                    "key": key,
                    "size": size,
                    "etag": "b1946ac92492d2347c6235b4d2611184",
                    "version-id": version,
                    "sequencer": sequencer or self.sequencer(),
                },
                "request-id": "N4N7GDK58NMKJ12R",
                "requester": self.cloud.account,
                "source-ip-address": "127.0.0.1",
                "reason": "PutObject",
            },
        }

    def send(self, *events: Mapping[str, Any] | str) -> list[str]:
        """Put up to ten messages on the queue at once; returns their message ids."""
        entries = [
            {"Id": str(i), "MessageBody": event if isinstance(event, str) else json.dumps(event)}
            for i, event in enumerate(events)
        ]
        answer = self.sqs.send_message_batch(QueueUrl=self.queue, Entries=entries)
        return [entry["MessageId"] for entry in sorted(answer["Successful"], key=lambda entry: int(entry["Id"]))]

    # --- coming out

    def rows(self, key: str) -> dict[str, Row]:
        """Every row of an image by its sort key: one a version, and the pointer `latest`."""
        return self._query(f"{self.bucket}/{key}")

    def row(self, key: str, version: str) -> Row | None:
        return self.rows(key).get(version)

    def unreadable(self, message_id: str) -> Row | None:
        return self._query(f"message/{message_id}").get("unreadable")

    def _query(self, image: str) -> dict[str, Row]:
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.outputs["ResultsTableName"],
            KeyConditionExpression="image = :image",
            ExpressionAttributeValues={":image": {"S": image}},
            ConsistentRead=True,
        )
        return {row["version"]: row for page in pages for row in map(plain, page["Items"])}

    def wait_for(self, key: str, version: str, status: str = "LABELED", *, hurry: bool = False) -> Row:
        """The row of one version once it has that status. `hurry` skips visibility timeouts while waiting."""

        def reached() -> Row | None:
            row = self.row(key, version)
            return row if row and row["status"] == status else None

        return self.until(reached, f"{key} to be {status}", hurry=hurry)

    def until(
        self, found: Callable[[], Found | None], what: str, *, hurry: bool = False, seconds: float = PATIENCE_SECONDS
    ) -> Found:
        """Wait for something. Raises AssertionError with what the queues and the log hold if it does not come.

        With `hurry`, whenever nothing is being worked on and messages wait for their visibility timeout, that time is
        made to pass.
        """

        def catch_up() -> None:
            if self.resting():
                self.skip_ahead()

        return waiting.until(
            found, what, seconds=seconds, meanwhile=catch_up if hurry else None, diagnosis=self.diagnosis
        )

    def never(self, found: Callable[[], Any], seconds: float = 1.0) -> bool:
        """Whether something stays away for a while."""
        return waiting.never(found, seconds)

    # --- the queues

    def depth(self, queue: str | None = None) -> tuple[int, int]:
        """Messages of a queue that are visible, and that are in flight."""
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=queue or self.queue,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return (
            int(attributes["ApproximateNumberOfMessages"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        )

    def empty(self) -> bool:
        return self.depth() == (0, 0)

    def wait_until_empty(self, *, hurry: bool = False) -> None:
        self.until(self.empty, "the queue to be empty", hurry=hurry)

    def dead_letters(self) -> list[dict[str, Any]]:
        """The messages in the DLQ; they stay there, and are visible again when this returns."""
        found: list[dict[str, Any]] = []
        while batch := self.sqs.receive_message(
            QueueUrl=self.dead_letter_queue,
            MaxNumberOfMessages=10,
            VisibilityTimeout=60,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages"):
            found += batch
        for message in found:
            self.sqs.change_message_visibility(
                QueueUrl=self.dead_letter_queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        return found

    @staticmethod
    def detail_of(letter: Mapping[str, Any]) -> dict[str, Any]:
        """The detail of the event that a message holds."""
        return dict(json.loads(letter["Body"])["detail"])

    def dead_letter_of(self, key: str) -> dict[str, Any] | None:
        return next((m for m in self.dead_letters() if _key_of(m["Body"]) == key), None)

    def wait_for_dead_letter(self, key: str) -> dict[str, Any]:
        """The message about an image in the DLQ, once all its attempts are used up."""
        return self.until(lambda: self.dead_letter_of(key), f"{key} in the DLQ", hurry=True)

    def remove_dead_letter(self, letter: Mapping[str, Any]) -> None:
        """Delete a message from the DLQ, by a receipt of now: an earlier one is void once it was received again."""

        def removed() -> bool:
            answer = self.sqs.receive_message(QueueUrl=self.dead_letter_queue, VisibilityTimeout=1)
            for current in answer.get("Messages", []):
                if current["MessageId"] == letter["MessageId"]:
                    receipt = current["ReceiptHandle"]
                    self.sqs.delete_message(QueueUrl=self.dead_letter_queue, ReceiptHandle=receipt)
                    return True
            return False

        self.until(removed, "the message to be found in the DLQ")

    def redrive(self, *, undelivered: bool = False) -> None:
        """Move everything from the DLQ back to the queue, as an operator would.

        What EventBridge could not deliver has never been in a queue: SQS must be told where it is to go.
        """
        arn = self.queue_arn(self.dead_letter_queue)
        destination = {"DestinationArn": self.queue_arn(self.queue)} if undelivered else {}
        self.sqs.start_message_move_task(SourceArn=arn, **destination)

        def done() -> bool:
            tasks = self.sqs.list_message_move_tasks(SourceArn=arn)["Results"]
            return bool(tasks) and tasks[0]["Status"] == "COMPLETED"

        self.until(done, "the redrive to be completed")

    def maximum_receives(self) -> int:
        """How often a message is delivered before it goes to the DLQ."""
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["RedrivePolicy"])
        return int(json.loads(answer["Attributes"]["RedrivePolicy"])["maxReceiveCount"])

    @contextmanager
    def poller_off(self) -> Iterator[None]:
        """Let messages gather: the function is fed again, from all of them, when the block ends."""
        client = self.cloud.client("lambda")
        (mapping,) = client.list_event_source_mappings(FunctionName=self.function)["EventSourceMappings"]
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        try:
            yield
        finally:
            client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    def queue_arn(self, url: str) -> str:
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    # --- inside

    def calls(self, operation: str = "rekognition.DetectLabels") -> int:
        """How many attempts of an operation the cloud got since it started."""
        return self.control.calls().get(operation, 0)

    def resting(self) -> bool:
        """Whether messages wait for their visibility timeout and nothing is being worked on."""

        def waiting() -> bool:
            visible, in_flight = self.depth()
            return visible == 0 and in_flight > 0 and self.control.health()["batches"] == 0

        # Twice, because a batch that was just received is not yet counted as being worked on.
        if not waiting():
            return False
        time.sleep(0.01)
        return waiting()

    def skip_ahead(self) -> None:
        """Let as much time pass as a message is invisible after a failed attempt.

        Queues follow the cloud's clock. The handler reads the machine's, so the claims that its workers left, which
        would have run out meanwhile, are made to have run out.
        """
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["VisibilityTimeout"])
        self.expire_claims()
        self.control.clock_advance(int(answer["Attributes"]["VisibilityTimeout"]) + 1)

    def claim_rows(self) -> list[Row]:
        """The idempotency records that a worker has in progress, or has left so."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.outputs["IdempotencyTableName"],
            FilterExpression="#status = :status",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": {"S": "INPROGRESS"}},
            ConsistentRead=True,
        )
        return [plain(item) for page in pages for item in page["Items"]]

    def claims(self) -> list[str]:
        """Their ids."""
        return [str(row["id"]) for row in self.claim_rows()]

    def expire_claims(self) -> None:
        """Date every record in progress back, so that its worker's time is over."""
        for claim in self.claims():
            self.dynamodb.update_item(
                TableName=self.outputs["IdempotencyTableName"],
                Key={"id": {"S": claim}},
                UpdateExpression="SET in_progress_expiration = :past",
                ExpressionAttributeValues={":past": {"N": str(int((time.time() - 1) * 1000))}},
            )

    # --- grants

    @contextmanager
    def without(self, action: str) -> Iterator[None]:
        """Take one action away from the function's role, by editing its policies as an operator would."""
        before = {
            name: self.iam.get_role_policy(RoleName=self.role, PolicyName=name)["PolicyDocument"]
            for name in self.iam.list_role_policies(RoleName=self.role)["PolicyNames"]
        }
        held = 0
        try:
            for name, document in before.items():
                statements = []
                for statement in document["Statement"]:
                    actions = _listed(statement["Action"])
                    held += action in actions
                    if left := [other for other in actions if other != action]:
                        statements.append({**statement, "Action": left})
                self._put_role_policy(name, {**document, "Statement": statements})
            assert held, f"{self.role} does not hold {action}"
            yield
        finally:
            for name, document in before.items():
                self._put_role_policy(name, document)

    def _put_role_policy(self, name: str, document: Mapping[str, Any]) -> None:
        self.iam.put_role_policy(RoleName=self.role, PolicyName=name, PolicyDocument=json.dumps(document))

    @contextmanager
    def without_senders(self) -> Iterator[None]:
        """Take away every permission that the queue's own policy gives; what it forbids stays."""
        before = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["Policy"])["Attributes"]["Policy"]
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": only_denials(before)})
        try:
            yield
        finally:
            self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": before})

    @contextmanager
    def without_publishers(self) -> Iterator[None]:
        """Take away every permission that the topic's own policy gives; what it forbids stays."""
        sns, topic = self.cloud.client("sns"), self.outputs["AlarmTopicArn"]
        before = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=only_denials(before))
        try:
            yield
        finally:
            sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=before)

    # --- telemetry

    def traces(self) -> set[str]:
        """Ids of the traces of the last hour that name the function."""
        # Traces bear the time of the machine, as what the handler itself would send does.
        now = time.time()
        pages = (
            self.cloud.client("xray")
            .get_paginator("get_trace_summaries")
            .paginate(StartTime=now - 3600, EndTime=now + 60)
        )
        return {summary["Id"] for page in pages for summary in page["TraceSummaries"]}

    def log_lines(self) -> list[str]:
        """All lines of the function's log group."""
        logs = self.cloud.client("logs")
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=self.outputs["LogGroupName"])
        return [event["message"] for page in pages for event in page["events"]]

    def diagnosis(self) -> str:
        lines = "".join(line if line.endswith("\n") else f"{line}\n" for line in self.log_lines()[-15:])
        return (
            f"queue {self.depth()}, DLQ {self.depth(self.dead_letter_queue)}, faults {self.control.faults()}\n"
            f"last lines of the function's log:\n{lines}"
        )


def plain(item: Mapping[str, Any]) -> Row:
    """A DynamoDB item as plain Python values."""
    read = TypeDeserializer()
    return {name: read.deserialize(value) for name, value in item.items()}


def _key_of(body: str) -> str | None:
    try:
        return str(json.loads(body)["detail"]["object"]["key"])
    except (ValueError, KeyError, TypeError):
        return None


def only_denials(policy: str) -> str:
    """A policy without what it allows."""
    document = json.loads(policy)
    left = [statement for statement in document["Statement"] if statement["Effect"] == "Deny"]
    assert left != document["Statement"], "the policy gives nothing"
    return json.dumps({**document, "Statement": left})


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def names(labels: Sequence[Mapping[str, Any]]) -> set[str]:
    return {str(label["name"]) for label in labels}
