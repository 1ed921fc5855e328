"""What the scenario tests do to a deployed document-processing stack, in words of the story.

Everything goes through AWS APIs and the review page. Only where a test must look into the machine, or hurry it, does it
use the local cloud's control API.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from lambdas.document_processing.places import document_id
from local.cloud import LocalCloud
from scenarios.document_processing import (
    FINAL,
    Desk,
    Page,
    Review,
    Upload,
    executions,
    findings,
    read_rows,
    upload,
    visit,
)
from tests import waiting
from tests.scenarios.queues import TwoQueues

Row = dict[str, Any]
Found = TypeVar("Found")

ARCHITECTURE = "document-processing"
# A form without this field goes to a person; the drawn ones are read well above the threshold.
SMALL: Mapping[str, Any] = {
    "fields_that_matter": ["Policy"],
    "minimum_confidence": 50,
    "maximum_pages": 3,
    "maximum_megabytes": 1,
    "retry_seconds": 1,
    "retry_attempts": 3,
    "maximum_receives": 2,
    "analysis_timeout_seconds": 900,
    "review_reminder_seconds": 900,
    "review_deadline_seconds": 3600,
}
PATIENCE_SECONDS = 150.0


class Clerk(TwoQueues):
    """Uploads documents, waits for rows, answers reviews, and reads queues, executions and grants of one stack."""

    def __init__(self, cloud: LocalCloud, outputs: Mapping[str, str], desk: Desk | None = None) -> None:
        self.cloud = cloud
        self.control = cloud.control
        self.outputs = outputs
        self.desk = desk
        self.prefix = outputs["UploadPrefix"]
        self.sqs = cloud.client("sqs")
        self.iam = cloud.client("iam")
        self.states = cloud.client("stepfunctions")

    # --- going in

    def key(self, name: str) -> str:
        """A key under the prefix that no other test uses."""
        return f"{self.prefix}{uuid.uuid4().hex[:8]}/{name}"

    def upload(self, body: bytes, name: str = "form.png") -> Upload:
        return upload(self.cloud, self.outputs, self.key(name), body)

    def quietly(self, body: bytes, name: str = "form.png") -> Upload:
        """Put a document while the rule is off, for tests that send the events themselves."""
        events = self.cloud.client("events")
        events.disable_rule(Name=self.outputs["RuleName"])
        try:
            return self.upload(body, name)
        finally:
            events.enable_rule(Name=self.outputs["RuleName"])

    def event(self, uploaded: Upload) -> dict[str, Any]:
        """An "Object Created" event as EventBridge delivers it.

        Source: Amazon S3 User Guide, "EventBridge event message structure" (read 2026-11-23).
        """
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": self.cloud.account,
            "time": "2026-11-25T12:00:00Z",
            "region": self.cloud.region,
            "detail": {
                "bucket": {"name": self.outputs["BucketName"]},
                "object": {"key": uploaded.key, "size": 1000, "version-id": uploaded.version, "sequencer": "0A"},
                "reason": "PutObject",
            },
        }

    def send(self, *bodies: Mapping[str, Any] | str) -> list[str]:
        """Put messages on the uploads' queue at once; returns their ids."""
        entries = [
            {"Id": str(number), "MessageBody": body if isinstance(body, str) else json.dumps(body)}
            for number, body in enumerate(bodies)
        ]
        answer = self.sqs.send_message_batch(QueueUrl=self.outputs["UploadQueueUrl"], Entries=entries)
        return [entry["MessageId"] for entry in sorted(answer["Successful"], key=lambda entry: int(entry["Id"]))]

    def start_again(self, uploaded: Upload) -> None:
        """Start another execution for a document, as an operator would after a failure."""
        bucket = self.outputs["BucketName"]
        given = {
            "bucket": bucket,
            "key": uploaded.key,
            "version": uploaded.version,
            "document": document_id(bucket, uploaded.key, uploaded.version),
        }
        self.states.start_execution(stateMachineArn=self.outputs["StateMachineArn"], input=json.dumps(given))

    # --- coming out

    def row(self, uploaded: Upload) -> Row | None:
        key = (uploaded.document, uploaded.version)
        return read_rows(self.cloud, self.outputs, [key]).get(key)

    def wait_for(self, uploaded: Upload, status: str = "COMPLETED", *, hurry: bool = False) -> Row:
        """The row of a document once it has this status; any other end fails at once."""

        def reached() -> Row | None:
            row = self.row(uploaded)
            if row and row["status"] in FINAL and row["status"] != status:
                raise AssertionError(f"{uploaded.key} is {row['status']}: {row.get('reason')}\n{self.diagnosis(row)}")
            return row if row and row["status"] == status else None

        try:
            return self.until(reached, f"{uploaded.key} to be {status}", hurry=hurry)
        except AssertionError as error:
            row = self.row(uploaded) or {}
            came = self.states_entered(row["execution"]) if "execution" in row else []
            raise AssertionError(f"{error}\nstates: {came}\n{self.diagnosis(row) if came else ''}") from None

    def wait_for_again(self, uploaded: Upload) -> Row:
        """The row of a document that was started again after a failure, once it is COMPLETED."""

        def reached() -> Row | None:
            row = self.row(uploaded)
            return row if row and row["status"] == "COMPLETED" else None

        return self.until(reached, f"{uploaded.key} to be COMPLETED")

    def check_findings(self, uploaded: Upload) -> None:
        """Holds what was found in a document against what its row tells: as many, each once, and the result too."""
        row = self.row(uploaded)
        assert row
        found = findings(self.cloud, self.outputs, uploaded.document, uploaded.version)
        told = [int(row[kind]) for kind in ("fields", "tables", "entities")]
        assert [len(found[kind]) for kind in ("field", "table", "entity")] == told, uploaded.key
        body = self.cloud.client("s3").get_object(Bucket=self.outputs["BucketName"], Key=row["result"])["Body"]
        result = json.loads(body.read())
        assert [len(result[kind]) for kind in ("fields", "tables", "entities")] == told, uploaded.key
        assert [(one["name"], one["value"]) for one in found["field"]] == [
            (one["name"], one["value"]) for one in result["fields"]
        ]
        assert [one["text"] for one in found["entity"]] == [one["text"] for one in result["entities"]]

    def until(
        self, found: Callable[[], Found | None], what: str, *, seconds: float = PATIENCE_SECONDS, hurry: bool = False
    ) -> Found:
        """Wait for something. With `hurry` the cloud's clock runs ahead meanwhile, so that retries come soon."""
        meanwhile = (lambda: self.control.clock_advance(2)) if hurry else None
        return waiting.until(found, what, seconds=seconds, meanwhile=meanwhile)

    def never(self, found: Callable[[], Any], seconds: float = 2.0) -> bool:
        """Whether something stays away for a while."""
        return waiting.never(found, seconds)

    def executions_of(self, uploaded: Upload) -> list[dict[str, Any]]:
        """The executions that a document was started with."""
        row = self.row(uploaded)
        name = row["document_id"] if row else "none"
        return [one for one in executions(self.cloud, self.outputs) if one["name"].startswith(name)]

    def jobs_of(self, row: Mapping[str, Any]) -> list[str]:
        """The Textract jobs that were started for a document."""
        items = self.cloud.client("dynamodb").scan(
            TableName=self.outputs["JobsTableName"],
            FilterExpression="document = :document",
            ExpressionAttributeValues={":document": {"S": row["document_id"]}},
            ConsistentRead=True,
        )["Items"]
        return [item["job"]["S"] for item in items]

    def history(self, execution: str) -> list[dict[str, Any]]:
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def execution_of(self, uploaded: Upload) -> dict[str, Any] | None:
        """The execution that an upload was started with, whether or not there is a row of it."""
        name = document_id(self.outputs["BucketName"], uploaded.key, uploaded.version)
        return next((one for one in executions(self.cloud, self.outputs) if one["name"] == name), None)

    def states_entered(self, execution: str) -> list[str]:
        """The names of the states that an execution came through, in order."""
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in self.history(execution)
            if "stateEnteredEventDetails" in event
        ]

    def diagnosis(self, row: Mapping[str, Any]) -> str:
        """What an execution says of its failures."""
        found = []
        for event in self.history(row["execution"]):
            found += [str(value)[:500] for name, value in event.items() if "Failed" in name or "TimedOut" in name]
        return "\n".join(found)

    def calls(self, operation: str) -> int:
        """How many attempts of an operation ("textract.AnalyzeDocument") the cloud got since it started."""
        return self.control.calls().get(operation, 0)

    def applied(self, fault: str) -> int:
        """How often a fault has been met."""
        return int(next(rule for rule in self.control.faults() if rule["id"] == fault)["applied"])

    # --- reviews

    def review_of(self, uploaded: Upload) -> Review:
        """The open review of a document, once its link has come."""
        desk = self.desk
        assert desk is not None

        def come() -> Review | None:
            desk.look()
            row = self.row(uploaded)
            if row and row["status"] in FINAL:
                raise AssertionError(f"{uploaded.key} is {row['status']}: {row.get('reason')}\n{self.diagnosis(row)}")
            document = row and row.get("document_id")
            return next((one for one in desk.reviews.values() if one.document == document), None)

        return self.until(come, f"the review of {uploaded.key}")

    def review_of_again(self, uploaded: Upload) -> Review:
        """The open review of a document that was started again after a failure."""
        desk = self.desk
        assert desk is not None
        row = self.row(uploaded)
        assert row

        def come() -> Review | None:
            desk.look()
            return next((one for one in desk.reviews.values() if one.document == row["document_id"]), None)

        return self.until(come, f"the review of {uploaded.key}")

    def fresh_worker(self, function: str) -> None:
        """Have a function's next call served by a new worker, which knows nothing from before."""
        client, name = self.cloud.client("lambda"), self.outputs[f"{function}FunctionName"]
        held = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**held, "FRESH": uuid.uuid4().hex}}
        )

    def visit(self, review: Review, answer: Mapping[str, str] | None = None, **more: Any) -> Page:
        return visit(self.cloud, review.url, answer, **more)

    # --- queues

    def empty(self) -> bool:
        """Whether nothing waits in the queues, nor is being worked on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return all(
            int(count) == 0
            for queue in ("UploadQueueUrl", "JobQueueUrl", "EndQueueUrl")
            for count in self.sqs.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=names)[
                "Attributes"
            ].values()
        )

    def clean(self) -> None:
        """Take away faults, and messages that another test left."""
        self.control.faults_clear()
        for kind in ("Upload", "Job", "End"):
            self.sqs.purge_queue(QueueUrl=self.outputs[f"{kind}QueueUrl"])
            self.sqs.purge_queue(QueueUrl=self.outputs[f"{kind}DeadLetterQueueUrl"])

    # --- grants

    @contextmanager
    def without(self, role: str, action: str) -> Iterator[None]:
        """Take one action away from a role of the stack, by editing its policies as an operator would."""
        before = {
            name: self.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for name in self.iam.list_role_policies(RoleName=role)["PolicyNames"]
        }
        held = 0
        try:
            for name, document in before.items():
                kept = []
                for statement in document["Statement"]:
                    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                    held += action in actions
                    if left := [other for other in actions if other != action]:
                        kept.append({**statement, "Action": left})
                if kept:
                    self._put(role, name, {**document, "Statement": kept})
                else:
                    self.iam.delete_role_policy(RoleName=role, PolicyName=name)
            assert held, f"{role} does not hold {action}"
            yield
        finally:
            for name, document in before.items():
                self._put(role, name, document)

    def _put(self, role: str, name: str, document: Mapping[str, Any]) -> None:
        self.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    def log_lines(self, function: str) -> list[str]:
        """What a function wrote ("Look"), or "Workflow" the state machine."""
        return self._lines_of(self.outputs[f"{function}LogGroupName"])

    def all_log_lines(self) -> dict[str, list[str]]:
        """What was written to every log group of the stack, whoever writes there, by its id in the template."""
        formation = self.cloud.client("cloudformation")
        resources = formation.describe_stack_resources(StackName=ARCHITECTURE)["StackResources"]
        return {
            one["LogicalResourceId"][:-8]: self._lines_of(one["PhysicalResourceId"])
            for one in resources
            if one["ResourceType"] == "AWS::Logs::LogGroup"
        }

    def _lines_of(self, group: str) -> list[str]:
        pages = self.cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]
