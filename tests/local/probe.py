"""The emulator in this process, without a socket, with a service that does what its caller may do.

Run as a program: prints what happened as JSON. `test_seams_inside` reads it.
"""

import asyncio
import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from local.emulator import decisions, seams
from local.emulator.seams import inside
from local.services.wire import Caller, JsonService, ObjectUnavailable, ServiceError
from tests.local.emulated import policy

ACCOUNT, REGION = "000000000000", "us-east-1"


class Probe(JsonService):
    """Hands out its caller, by the name of a service that nobody else serves here."""

    name: ClassVar[str] = "snowball"
    iam_namespace: ClassVar[str] = "snowball"
    target_prefix: ClassVar[str] = "AWSIESnowballJobManagementService"

    def __init__(self) -> None:
        self.caller: Caller | None = None

    def operations(self) -> Mapping[str, Callable[..., Mapping[str, Any]]]:
        def keep(_request: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
            self.caller = caller
            return {}

        return {"ListClusters": keep}


def start() -> None:
    """Serve in a thread of this process."""
    ready = threading.Event()

    async def serve() -> None:
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "lifespan.startup"})

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "lifespan.startup.complete":
                ready.set()

        await seams.application({"type": "lifespan"}, incoming.get, send)

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    assert ready.wait(30)


def root(service: str) -> Any:
    """A client of the account's root user."""
    return inside.client(service, "test", ACCOUNT, REGION)


def make_role(name: str, service: str, *statements: dict[str, Any]) -> str:
    """A role that a service may assume."""
    trust = policy({"Principal": {"Service": service}, "Action": "sts:AssumeRole"})
    arn: str = root("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    root("iam").put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*statements))
    return arn


def outcome(work: Callable[[], Any]) -> Any:
    """What came of it, as text: a job has neither request nor context of its own."""
    result: list[Any] = []

    def run() -> None:
        try:
            result.append(work())
        except (ObjectUnavailable, ServiceError) as error:
            result.append(error.code)

    # A new thread has an empty context: neither account, nor region, nor request.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0] if result else "raised"


def received(url: str) -> list[Any]:
    """The bodies of all messages of a queue."""
    found = root("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2).get("Messages", [])
    return [json.loads(message["Body"]) for message in found]


def main() -> None:
    """See the module."""
    seams.install()
    probe = Probe()
    seams.register(probe)
    start()
    key = root("kms").create_key()["KeyMetadata"]["Arn"]
    root("s3").create_bucket(Bucket="mine")
    root("s3").put_bucket_notification_configuration(
        Bucket="mine", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    topic = root("sns").create_topic(Name="told")["TopicArn"]
    closed = root("sns").create_topic(Name="closed")["TopicArn"]
    queues = {}
    for name in ("events", "told"):
        queues[name] = root("sqs").create_queue(QueueName=name)["QueueUrl"]
        open_to_all = policy({"Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"})
        root("sqs").set_queue_attributes(QueueUrl=queues[name], Attributes={"Policy": open_to_all})
    root("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:told")
    root("events").put_rule(Name="all", EventPattern=json.dumps({"source": ["aws.s3", "aws.snowball"]}))
    root("events").put_targets(Rule="all", Targets=[{"Id": "q", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:events"}])
    passed = make_role("passed", "snowball.amazonaws.com", {"Action": "sns:Publish", "Resource": topic})
    foreign = make_role("foreign", "lambda.amazonaws.com", {"Action": "sns:Publish", "Resource": topic})
    unnamed = make_role("unnamed", "snowball.amazonaws.com", {"Action": "sns:Publish", "Resource": topic})
    role = make_role(
        "worker",
        "lambda.amazonaws.com",
        {"Action": "snowball:ListClusters", "Resource": "*"},
        {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::mine", "Condition": {"StringLike": {"s3:prefix": "a/*"}}},
        {"Action": ["s3:PutObject", "s3:GetObject"], "Resource": "arn:aws:s3:::mine/a/*"},
        {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key},
        {
            "Action": "iam:PassRole",
            "Resource": [passed, foreign],
            "Condition": {"StringEquals": {"iam:PassedToService": "snowball.amazonaws.com"}},
        },
    )
    session = inside.role_session(role, "job")
    with contextlib.suppress(ClientError):
        inside.client("snowball", session, ACCOUNT, REGION).list_clusters()
    caller = probe.caller
    assert caller is not None
    facts: dict[str, Any] = {"principal": caller.principal_arn}
    facts["written"] = outcome(lambda: caller.write_object("mine", "a/ü 1.json", b"{}", content_type="text/x"))
    facts["encrypted"] = outcome(lambda: caller.write_object("mine", "a/2", b"xyz", kms_key_id=key))
    heads = [root("s3").head_object(Bucket="mine", Key=name) for name in ("a/ü 1.json", "a/2")]
    facts["heads"] = [[head["ContentType"], head.get("SSEKMSKeyId") == key, head["ContentLength"]] for head in heads]
    facts["listed"] = outcome(lambda: caller.list_objects("mine", "a/"))
    facts["read"] = outcome(lambda: caller.read_object("mine", "a/2", None).decode())
    facts["outside"] = [
        outcome(lambda: caller.write_object("mine", "b/1", b"")),
        outcome(lambda: caller.list_objects("mine", "b/")),
        outcome(lambda: caller.write_object("gone", "a/1", b"")),
        outcome(lambda: caller.list_objects("gone", "a/")),
        outcome(lambda: caller.publish(topic, "x")),
    ]
    facts["refused roles"] = [
        outcome(lambda: caller.assume(foreign, "snowball.amazonaws.com")),
        outcome(lambda: caller.assume(unnamed, "snowball.amazonaws.com")),
        outcome(lambda: caller.assume(passed, "rekognition.amazonaws.com")),
    ]
    facts["as the role"] = outcome(
        lambda: caller.assume(passed, "snowball.amazonaws.com").publish(topic, "done", subject="s")
    )
    facts["as the role elsewhere"] = outcome(
        lambda: caller.assume(passed, "snowball.amazonaws.com").publish(closed, "done")
    )
    facts["emitted"] = outcome(lambda: caller.emit("aws.snowball", "Changed", {"id": 1}, ["arn:r"]))
    facts["told"] = [[item["Message"], item["Subject"]] for item in received(queues["told"])]
    facts["events"] = sorted(
        [item["source"], item["detail-type"], item["account"], item["region"]] for item in received(queues["events"])
    )
    facts["decisions"] = decisions.since(0)
    sys.stdout.write(json.dumps(facts, default=str))
    sys.stdout.flush()
    # MiniStack's threads would hold the process.
    os._exit(0)


if __name__ == "__main__":
    main()
