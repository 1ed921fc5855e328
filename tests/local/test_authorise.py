"""Each service-side path with its permission, and without it: the flow must stop and the decision must say why."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import ROOT, LocalCloud
from local.emulator import authorise
from local.emulator.authorise import PATHS, Path
from tests.local.emulated import (
    client_as,
    decided,
    eventually,
    last_sequence,
    make_function,
    make_queue,
    make_role,
    messages,
    policy,
    set_permissions,
    subscribed,
    unique,
)

ECHO = "def handler(event, context):\n    print('handled', len(event.get('Records', [])))\n    return {}\n"


def let_service_send(cloud: LocalCloud, url: str, queue_arn: str, service: str, source_arn: str) -> None:
    """A queue policy as CDK writes it: the service, from one source; plus a denial of plain HTTP."""
    statements = [
        {
            "Sid": "Sender",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}},
        },
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": queue_arn,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    ]
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(*statements)})


# --- Rule to queue


@dataclass
class Rule:
    """A rule with a queue as its target, and the target's own dead-letter queue."""

    arn: str
    queue_url: str
    queue_arn: str
    dead_url: str
    dead_arn: str
    send: Callable[[str], None]


@pytest.fixture
def rule(cloud: LocalCloud) -> Rule:
    """A rule whose queue and dead-letter queue let it send."""
    events, name, source = cloud.client("events"), unique("rule"), unique("source")
    queue_url, queue_arn = make_queue(cloud)
    dead_url, dead_arn = make_queue(cloud)
    pattern = json.dumps({"source": [source]})
    arn = events.put_rule(Name=name, EventPattern=pattern)["RuleArn"]
    events.put_targets(Rule=name, Targets=[{"Id": "q", "Arn": queue_arn, "DeadLetterConfig": {"Arn": dead_arn}}])
    for url, queue in ((queue_url, queue_arn), (dead_url, dead_arn)):
        let_service_send(cloud, url, queue, "events.amazonaws.com", arn)

    def send(word: str) -> None:
        entry = {"Source": source, "DetailType": "Test", "Detail": json.dumps({"word": word})}
        assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    return Rule(arn, queue_url, queue_arn, dead_url, dead_arn, send)


def word_of(message: dict[str, Any]) -> str:
    """What `Rule.send` put in."""
    return str(json.loads(message["Body"])["detail"]["word"])


def test_a_rule_sends_to_a_queue_that_lets_it(cloud: LocalCloud, rule: Rule) -> None:
    # Given a queue whose policy names the rule, When an event comes
    before = last_sequence(cloud)
    rule.send("hello")
    # Then it is in the queue, and the decision names the statement
    assert [word_of(message) for message in messages(cloud, rule.queue_url)] == ["hello"]
    (decision,) = decided(cloud, "sqs:SendMessage", rule.queue_arn, before)
    assert decision["allowed"]
    assert (decision["principal"], decision["role"], decision["via"], decision["path"]) == (
        "events.amazonaws.com",
        None,
        "service",
        "rule-to-queue",
    )
    assert decision["statement"] == {
        "policy": rule.queue_arn,
        "sid": "Sender",
        "index": 0,
        "action_pattern": "sqs:SendMessage",
        "resource_pattern": rule.queue_arn,
    }


def another_rule(cloud: LocalCloud, rule: Rule) -> None:
    """The queue lets another rule send."""
    let_service_send(cloud, rule.queue_url, rule.queue_arn, "events.amazonaws.com", rule.arn + "-other")


def no_policy(cloud: LocalCloud, rule: Rule) -> None:
    """The queue has no policy."""
    cloud.client("sqs").set_queue_attributes(QueueUrl=rule.queue_url, Attributes={"Policy": ""})


def only_the_account(cloud: LocalCloud, rule: Rule) -> None:
    """The queue lets the account's users send, which a service is not."""
    root = {"AWS": f"arn:aws:iam::{cloud.account}:root"}
    document = policy({"Principal": root, "Action": "sqs:SendMessage", "Resource": rule.queue_arn})
    cloud.client("sqs").set_queue_attributes(QueueUrl=rule.queue_url, Attributes={"Policy": document})


@pytest.mark.parametrize("take_away", [another_rule, no_policy, only_the_account])
def test_a_refused_event_goes_to_the_targets_dead_letter_queue(
    cloud: LocalCloud, rule: Rule, take_away: Callable[[LocalCloud, Rule], None]
) -> None:
    # Given a queue that no longer lets the rule send
    take_away(cloud, rule)
    before = last_sequence(cloud)
    # When an event comes
    rule.send("refused")
    # Then it is not in the queue but in the dead-letter queue, with the reason, and the denial is recorded
    assert messages(cloud, rule.queue_url) == []
    (dead,) = messages(cloud, rule.dead_url)
    assert word_of(dead) == "refused"
    attributes = {name: value["StringValue"] for name, value in dead["MessageAttributes"].items()}
    assert attributes["ERROR_CODE"] == "NO_PERMISSIONS"
    assert attributes["RULE_ARN"] == rule.arn
    assert attributes["TARGET_ARN"] == rule.queue_arn
    (decision,) = decided(cloud, "sqs:SendMessage", rule.queue_arn, before)
    assert (decision["allowed"], decision["statement"]) == (False, None)


def test_an_event_for_a_deleted_queue_goes_to_the_dead_letter_queue(cloud: LocalCloud, rule: Rule) -> None:
    # Given a rule whose queue was deleted
    cloud.client("sqs").delete_queue(QueueUrl=rule.queue_url)
    # When an event comes, Then it is in the dead-letter queue with that reason
    rule.send("homeless")
    (dead,) = messages(cloud, rule.dead_url)
    assert dead["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_RESOURCE"


def test_a_dead_letter_queue_needs_a_policy_too(cloud: LocalCloud, rule: Rule) -> None:
    # Given that neither queue lets the rule send
    no_policy(cloud, rule)
    cloud.client("sqs").set_queue_attributes(QueueUrl=rule.dead_url, Attributes={"Policy": ""})
    before = last_sequence(cloud)
    # When an event comes, Then it is lost, and both denials are recorded
    rule.send("lost")
    assert messages(cloud, rule.queue_url) == messages(cloud, rule.dead_url) == []
    assert [item["allowed"] for item in decided(cloud, "sqs:SendMessage", rule.dead_arn, before)] == [False]


# --- Poller, logs


@dataclass
class Consumer:
    """A function that a queue feeds, and what its role may do."""

    role: str
    queue_url: str
    queue_arn: str
    group: str
    permissions: dict[str, dict[str, Any]]

    def without(self, *actions: str) -> list[dict[str, Any]]:
        """The role's statements but those for `actions`."""
        return [statement for action, statement in self.permissions.items() if action not in actions]


@pytest.fixture
def consumer(cloud: LocalCloud) -> Consumer:
    """A function fed by a queue, its role allowing one action a statement."""
    group = f"/test/{unique('group')}"
    cloud.client("logs").create_log_group(logGroupName=group)
    queue_url, queue_arn = make_queue(cloud, VisibilityTimeout="5")
    logs = f"arn:aws:logs:{cloud.region}:{cloud.account}:log-group:{group}:*"
    permissions = {
        action: {"Sid": action.replace(":", ""), "Action": action, "Resource": resource}
        for action, resource in (
            ("sqs:ReceiveMessage", queue_arn),
            ("sqs:GetQueueAttributes", queue_arn),
            ("sqs:DeleteMessage", queue_arn),
            ("logs:CreateLogStream", logs),
            ("logs:PutLogEvents", logs),
        )
    }
    role = make_role(cloud, *permissions.values())
    function = make_function(cloud, ECHO, role, LoggingConfig={"LogGroup": group, "LogFormat": "Text"})
    cloud.client("lambda").create_event_source_mapping(FunctionName=function, EventSourceArn=queue_arn, BatchSize=1)
    return Consumer(role, queue_url, queue_arn, group, permissions)


def log_lines(cloud: LocalCloud, group: str) -> list[str]:
    """All that is logged in a group; nothing when there is no such group."""
    logs = cloud.client("logs")
    try:
        found: list[dict[str, str]] = logs.filter_log_events(logGroupName=group)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in found]


def waiting(cloud: LocalCloud, url: str) -> tuple[int, int]:
    """Visible messages, and messages in flight."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return int(counts[names[0]]), int(counts[names[1]])


def test_an_allowed_poller_feeds_the_function_and_deletes(cloud: LocalCloud, consumer: Consumer) -> None:
    # Given a role with all permissions, When a message comes
    before = last_sequence(cloud)
    cloud.client("sqs").send_message(QueueUrl=consumer.queue_url, MessageBody="x")
    # Then it is handled, deleted and logged, each by the statement that allows it
    eventually(lambda: "handled 1" in log_lines(cloud, consumer.group))
    eventually(lambda: waiting(cloud, consumer.queue_url) == (0, 0))
    used = {
        item["action"]: item["statement"]["sid"]
        for item in cloud.control.decisions(before)
        if item["role"] == consumer.role.rpartition("/")[2] and item["allowed"] and item["via"] == "service"
    }
    assert used == {action: action.replace(":", "") for action in consumer.permissions}


@pytest.mark.parametrize("action", ["sqs:ReceiveMessage", "sqs:GetQueueAttributes"])
def test_a_poller_that_may_not_receive_feeds_nothing(cloud: LocalCloud, consumer: Consumer, action: str) -> None:
    # Given a role without the permission
    set_permissions(cloud, consumer.role, *consumer.without(action))
    before = last_sequence(cloud)
    # When a message comes
    cloud.client("sqs").send_message(QueueUrl=consumer.queue_url, MessageBody="x")
    # Then the poller is denied and the message waits; with the permission back, it is handled
    eventually(lambda: not all(item["allowed"] for item in decided(cloud, action, consumer.queue_arn, before)))
    assert waiting(cloud, consumer.queue_url) == (1, 0)
    assert log_lines(cloud, consumer.group) == []
    set_permissions(cloud, consumer.role, *consumer.permissions.values())
    eventually(lambda: "handled 1" in log_lines(cloud, consumer.group))


def test_a_poller_that_may_not_delete_sees_its_message_again(cloud: LocalCloud, consumer: Consumer) -> None:
    # Given a role that may receive but not delete
    set_permissions(cloud, consumer.role, *consumer.without("sqs:DeleteMessage"))
    # When a message comes and is handled
    cloud.client("sqs").send_message(QueueUrl=consumer.queue_url, MessageBody="x")
    eventually(lambda: "handled 1" in log_lines(cloud, consumer.group))
    # Then it is still there, and comes back when its visibility timeout is over
    assert waiting(cloud, consumer.queue_url) == (0, 1)
    cloud.control.clock_advance(6)
    eventually(lambda: log_lines(cloud, consumer.group).count("handled 1") >= 2)


@pytest.mark.parametrize("action", ["logs:CreateLogStream", "logs:PutLogEvents"])
def test_a_function_that_may_not_log_runs_unseen(cloud: LocalCloud, consumer: Consumer, action: str) -> None:
    # Given a role without the permission
    set_permissions(cloud, consumer.role, *consumer.without(action))
    before = last_sequence(cloud)
    # When a message is handled
    cloud.client("sqs").send_message(QueueUrl=consumer.queue_url, MessageBody="x")
    eventually(lambda: decided(cloud, "sqs:DeleteMessage", consumer.queue_arn, before))
    # Then nothing was logged, and the denial is recorded
    assert log_lines(cloud, consumer.group) == []
    group = f"arn:aws:logs:{cloud.region}:{cloud.account}:log-group:{consumer.group}"
    assert [item["allowed"] for item in decided(cloud, action, group, before)] == [False]


def test_no_log_group_appears_unless_the_role_may_create_it(cloud: LocalCloud) -> None:
    # Given a function without a log group, whose role may write but not create groups
    everything = {"Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}
    role = make_role(cloud, everything)
    function = make_function(cloud, ECHO, role)
    # When it is invoked, Then no group is made
    cloud.client("lambda").invoke(FunctionName=function)
    group = f"/aws/lambda/{function}"
    found = cloud.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert found == []
    # When the role may create it, Then there is one
    set_permissions(cloud, role, everything, {"Action": "logs:CreateLogGroup", "Resource": "*"})
    cloud.client("lambda").invoke(FunctionName=function)
    assert "handled 0" in log_lines(cloud, group)


# --- Topic to queue


def test_a_topic_needs_the_queues_policy(cloud: LocalCloud) -> None:
    # Given a subscribed queue whose policy names the topic
    topic = cloud.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    url, arn = make_queue(cloud)
    let_service_send(cloud, url, arn, "sns.amazonaws.com", topic)
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    before = last_sequence(cloud)
    # When something is published, Then the queue has it, and the decision is recorded on its path
    cloud.client("sns").publish(TopicArn=topic, Message="one")
    assert len(messages(cloud, url)) == 1
    assert [(item["path"], item["allowed"]) for item in decided(cloud, "sqs:SendMessage", arn, before)] == [
        ("topic-to-queue", True)
    ]
    # When the policy is gone, Then nothing comes
    cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    cloud.client("sns").publish(TopicArn=topic, Message="two")
    assert messages(cloud, url) == []
    assert not decided(cloud, "sqs:SendMessage", arn, before)[-1]["allowed"]


# --- Customer keys


def make_key(cloud: LocalCloud, *statements: dict[str, Any]) -> str:
    """A customer's key; its policy leaves the account to IAM, as CDK's does, plus `statements`."""
    root = {"AWS": f"arn:aws:iam::{cloud.account}:root"}
    document = policy({"Principal": root, "Action": "kms:*", "Resource": "*"}, *statements)
    arn: str = cloud.client("kms").create_key(Policy=document)["KeyMetadata"]["Arn"]
    return arn


def refused_key_use(call: Callable[[], Any]) -> bool:
    """Whether a call fails because of the key."""
    with pytest.raises(ClientError, match="kms:") as raised:
        call()
    return raised.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")


@pytest.mark.parametrize("versioned", [False, True])
def test_an_object_under_a_customer_key_needs_the_key_too(cloud: LocalCloud, versioned: bool) -> None:
    # Given a bucket under a customer's key, and a role that may read and write objects only
    key, bucket, s3 = make_key(cloud), unique("bucket"), cloud.client("s3")
    s3.create_bucket(Bucket=bucket)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    if versioned:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="a/b ü.jpg", Body=b"first")
    s3.put_object(Bucket=bucket, Key="a/b ü.jpg", Body=b"second")
    actions = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
    objects = {"Action": actions, "Resource": f"arn:aws:s3:::{bucket}/*"}
    role = make_role(cloud, objects)
    mine = client_as(cloud, role, "s3")
    which = {"Bucket": bucket, "Key": "a/b ü.jpg", **({"VersionId": first["VersionId"]} if versioned else {})}
    # When it reads or writes, Then the key stops it
    assert refused_key_use(lambda: mine.get_object(**which))
    assert refused_key_use(lambda: mine.put_object(Bucket=bucket, Key="c", Body=b"x"))
    # When it may use the key, Then both work, and the use is recorded
    set_permissions(cloud, role, objects, {"Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key})
    assert mine.get_object(**which)["Body"].read() == (b"first" if versioned else b"second")
    mine.put_object(Bucket=bucket, Key="c", Body=b"x")
    assert decided(cloud, "kms:Decrypt", key)[-1]["path"] == "customer-key"
    # When it may only write with the key, Then a copy of an object cannot be made, as that must be read
    set_permissions(cloud, role, objects, {"Action": "kms:GenerateDataKey", "Resource": key})
    assert refused_key_use(lambda: mine.copy_object(Bucket=bucket, Key="d", CopySource=which))
    set_permissions(cloud, role, objects, {"Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key})
    mine.copy_object(Bucket=bucket, Key="d", CopySource=which)
    assert mine.get_object(Bucket=bucket, Key="d")["Body"].read() == (b"first" if versioned else b"second")


def test_a_table_under_a_customer_key_needs_the_key_too(cloud: LocalCloud) -> None:
    # Given a table under a customer's key, and a role that may read items only
    key, table = make_key(cloud), unique("table")
    cloud.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key},
    )
    arn = f"arn:aws:dynamodb:{cloud.region}:{cloud.account}:table/{table}"
    items = {"Action": ["dynamodb:GetItem", "dynamodb:PutItem"], "Resource": arn}
    role = make_role(cloud, items)
    mine = client_as(cloud, role, "dynamodb")
    write = [{"Put": {"TableName": table, "Item": {"k": {"S": "x"}}}}]
    # When it reads or writes, Then the key stops it
    assert refused_key_use(lambda: mine.get_item(TableName=table, Key={"k": {"S": "x"}}))
    assert refused_key_use(lambda: mine.transact_write_items(TransactItems=write))
    # When it may decrypt, Then both work
    set_permissions(cloud, role, items, {"Action": "kms:Decrypt", "Resource": key})
    mine.transact_write_items(TransactItems=write)
    assert mine.get_item(TableName=table, Key={"k": {"S": "x"}})["Item"]


def test_a_rule_and_a_poller_need_the_queues_key(cloud: LocalCloud, rule: Rule) -> None:
    # Given a rule's queue under a customer's key that lets no service use it
    key = make_key(cloud)
    cloud.client("sqs").set_queue_attributes(QueueUrl=rule.queue_url, Attributes={"KmsMasterKeyId": key})
    # When an event comes, Then it goes to the dead-letter queue
    rule.send("no key")
    assert [word_of(message) for message in messages(cloud, rule.dead_url)] == ["no key"]
    # When the key lets events use it, Then the event arrives
    for_events = {
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
        "Resource": "*",
    }
    open_key = make_key(cloud, for_events)
    cloud.client("sqs").set_queue_attributes(QueueUrl=rule.queue_url, Attributes={"KmsMasterKeyId": open_key})
    rule.send("with key")
    assert waiting(cloud, rule.queue_url) == (1, 0)
    # And a poller whose role may not decrypt receives nothing, and does once it may
    needed = ["sqs:ReceiveMessage", "sqs:GetQueueAttributes", "sqs:DeleteMessage"]
    poll = {"Action": needed, "Resource": rule.queue_arn}
    role = make_role(cloud, poll)
    function = make_function(cloud, ECHO, role)
    before = last_sequence(cloud)
    cloud.client("lambda").create_event_source_mapping(FunctionName=function, EventSourceArn=rule.queue_arn)
    eventually(lambda: decided(cloud, "kms:Decrypt", open_key, before))
    assert waiting(cloud, rule.queue_url) == (1, 0)
    set_permissions(cloud, role, poll, {"Action": "kms:Decrypt", "Resource": open_key})
    eventually(lambda: waiting(cloud, rule.queue_url) == (0, 0))


def test_a_rule_tells_a_topic_that_lets_it_in(cloud: LocalCloud) -> None:
    # Given a rule whose target is a topic under a key, and both let nobody in
    events, sns, sqs = cloud.client("events"), cloud.client("sns"), cloud.client("sqs")
    name, source = unique("rule"), unique("source")
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    topic = sns.create_topic(Name=unique("topic"), Attributes={"KmsMasterKeyId": make_key(cloud)})["TopicArn"]
    dead_url, dead_arn = make_queue(cloud)
    let_rule = {"Principal": {"Service": "events.amazonaws.com"}, "Condition": {"ArnEquals": {"aws:SourceArn": rule}}}
    to_queue = {**let_rule, "Action": "sqs:SendMessage", "Resource": dead_arn}
    sqs.set_queue_attributes(QueueUrl=dead_url, Attributes={"Policy": policy(to_queue)})
    events.put_targets(Rule=name, Targets=[{"Id": "t", "Arn": topic, "DeadLetterConfig": {"Arn": dead_arn}}])

    def send(word: str) -> None:
        events.put_events(Entries=[{"Source": source, "DetailType": "Test", "Detail": json.dumps({"word": word})}])

    with subscribed(cloud, topic) as told:
        # When events come, Then without the topic's policy, and with it but without the key's, they are dead letters
        send("no policy")
        assert len(eventually(lambda: messages(cloud, dead_url))) == 1
        to_topic = {**let_rule, "Action": "sns:Publish", "Resource": topic}
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy(to_topic))
        send("no key")
        assert len(eventually(lambda: messages(cloud, dead_url))) == 1
        assert told() == []
        # And with both the topic is told
        of_topic = {
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:sns:topicArn": topic}},
        }
        key = make_key(cloud, of_topic)
        sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue=key)
        send("with both")
        (message,) = eventually(told)
        assert json.loads(message)["detail"] == {"word": "with both"}
        assert messages(cloud, dead_url) == []


def test_a_key_that_a_service_manages_needs_no_permission(cloud: LocalCloud) -> None:
    # Given an object under S3's own key, and a role that may read objects only
    bucket = unique("bucket")
    cloud.client("s3").create_bucket(Bucket=bucket)
    cloud.client("s3").put_object(
        Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/aws/s3"
    )
    role = make_role(cloud, {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    # When it reads, Then it gets the object
    assert client_as(cloud, role, "s3").get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


# --- The gateway, and the list of paths


def test_the_gateway_records_what_it_allows_and_denies(cloud: LocalCloud) -> None:
    # Given a role with two statements, the second of which allows reading under a prefix
    bucket = unique("bucket")
    cloud.client("s3").create_bucket(Bucket=bucket)
    cloud.client("s3").put_object(Bucket=bucket, Key="in/a", Body=b"x")
    pattern = f"arn:aws:s3:::{bucket}/in/*"
    role = make_role(
        cloud, {"Action": "sqs:SendMessage", "Resource": "*"}, {"Sid": "Read", "Action": "s3:Get*", "Resource": pattern}
    )
    mine = client_as(cloud, role, "s3")
    # When it reads inside twice and outside once
    mine.get_object(Bucket=bucket, Key="in/a")
    mine.get_object(Bucket=bucket, Key="in/a")
    with pytest.raises(ClientError, match="AccessDenied"):
        mine.get_object(Bucket=bucket, Key="out/a")
    # Then the record tells both, with the statement and patterns that decided
    allowed, denied = decided(cloud, "s3:GetObject", f"arn:aws:s3:::{bucket}/")
    assert (allowed["allowed"], allowed["count"], allowed["resource"]) == (True, 2, f"arn:aws:s3:::{bucket}/in/a")
    assert allowed["statement"] == {
        "policy": "permissions",
        "sid": "Read",
        "index": 1,
        "action_pattern": "s3:Get*",
        "resource_pattern": pattern,
    }
    assert (denied["allowed"], denied["statement"], denied["via"]) == (False, None, "gateway")
    assert allowed["role"] == denied["role"] == role.rpartition("/")[2]


def test_an_explicit_denial_names_its_statement(cloud: LocalCloud) -> None:
    # Given a role that may read all but one queue
    _, arn = make_queue(cloud)
    deny = {"Sid": "NotThis", "Effect": "Deny", "Action": "sqs:*", "Resource": arn}
    role = make_role(cloud, {"Action": "sqs:*", "Resource": "*"}, deny)
    # When it asks for that queue, Then the denial names the statement
    with pytest.raises(ClientError, match="explicit deny"):
        client_as(cloud, role, "sqs").get_queue_attributes(
            QueueUrl=cloud.client("sqs").get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
        )
    (decision,) = decided(cloud, "sqs:GetQueueAttributes", arn)
    assert (decision["allowed"], decision["statement"]["sid"], decision["statement"]["index"]) == (False, "NotThis", 1)


def test_a_changed_policy_counts_at_once(cloud: LocalCloud) -> None:
    # Given a role that just listed queues
    statement = {"Action": "sqs:ListQueues", "Resource": "*"}
    role = make_role(cloud, statement)
    mine = client_as(cloud, role, "sqs")
    mine.list_queues()
    # When its policy is taken away, Then the next call is denied
    set_permissions(cloud, role)
    with pytest.raises(ClientError, match="AccessDenied"):
        mine.list_queues()


# For each path and action: the tests in which that permission is taken away and the flow stops.
TAKEN_AWAY: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "rule-to-queue": {
        "sqs:SendMessage": (
            "tests/local/test_authorise.py::test_a_refused_event_goes_to_the_targets_dead_letter_queue",
            "tests/local/test_authorise.py::test_a_dead_letter_queue_needs_a_policy_too",
        )
    },
    "queue-poller": {
        "sqs:ReceiveMessage": ("tests/local/test_authorise.py::test_a_poller_that_may_not_receive_feeds_nothing",),
        "sqs:GetQueueAttributes": ("tests/local/test_authorise.py::test_a_poller_that_may_not_receive_feeds_nothing",),
        "sqs:DeleteMessage": (
            "tests/local/test_authorise.py::test_a_poller_that_may_not_delete_sees_its_message_again",
        ),
    },
    "log-delivery": {
        "logs:CreateLogGroup": (
            "tests/local/test_authorise.py::test_no_log_group_appears_unless_the_role_may_create_it",
        ),
        "logs:CreateLogStream": ("tests/local/test_authorise.py::test_a_function_that_may_not_log_runs_unseen",),
        "logs:PutLogEvents": ("tests/local/test_authorise.py::test_a_function_that_may_not_log_runs_unseen",),
    },
    "tracing": {
        "xray:PutTraceSegments": ("tests/local/test_xray.py::test_without_permission_or_tracing_there_is_no_trace",),
        "xray:PutTelemetryRecords": (
            "tests/local/test_xray.py::test_a_function_that_may_not_send_telemetry_sends_none",
        ),
    },
    "alarm-to-topic": {
        "sns:Publish": ("tests/local/test_alarms.py::test_a_topic_whose_policy_shuts_alarms_out_hears_nothing",)
    },
    "topic-to-queue": {"sqs:SendMessage": ("tests/local/test_authorise.py::test_a_topic_needs_the_queues_policy",)},
    "service-role": {
        "sts:AssumeRole": (
            "tests/local/test_seams_inside.py::test_a_role_is_handed_over_by_whoever_may_pass_it",
            "tests/local/test_states_tasks.py::test_a_role_must_let_step_functions_in",
        )
    },
    "service-to-function": {
        "lambda:InvokeFunction": (
            "tests/local/test_delivery.py::test_a_function_is_invoked_by_whom_its_policy_lets_in",
            "tests/local/test_delivery.py::test_an_api_invokes_a_function_that_lets_it_in",
        )
    },
    "failed-invocation": dict.fromkeys(
        ("sqs:SendMessage", "sns:Publish"),
        ("tests/local/test_delivery.py::test_a_failed_event_reaches_the_dead_letters_that_the_role_may_reach",),
    ),
    "state-machine-task": {
        **dict.fromkeys(
            PATHS["state-machine-task"].actions,
            ("tests/local/test_states_tasks.py::test_a_task_needs_its_roles_permission",),
        ),
        "rekognition:DetectLabels": (
            "tests/local/test_states_tasks.py::test_a_service_that_is_asked_by_a_state_machine_reads_as_its_role",
        ),
    },
    "function-network": dict.fromkeys(
        PATHS["function-network"].actions,
        ("tests/local/test_vpc_calls.py::test_a_role_that_may_not_make_interfaces_gets_no_function_into_a_vpc",),
    ),
    "job-network": dict.fromkeys(
        PATHS["job-network"].actions,
        ("tests/local/test_vpc_sagemaker.py::test_a_role_that_may_not_make_interfaces_runs_no_job_in_a_vpc",),
    ),
    "rule-to-topic": {"sns:Publish": ("tests/local/test_authorise.py::test_a_rule_tells_a_topic_that_lets_it_in",)},
    "rule-to-state-machine": {
        "states:StartExecution": (
            "tests/local/test_delivery.py::test_a_rule_whose_role_may_not_start_the_state_machine_loses_nothing",
        )
    },
    "rule-to-pipeline": {
        "sagemaker:StartPipelineExecution": (
            "tests/local/test_sagemaker_pipelines.py::test_a_rule_whose_role_may_not_start_the_pipeline_loses_nothing",
        )
    },
    "schedule-to-target": dict.fromkeys(
        PATHS["schedule-to-target"].actions,
        ("tests/local/test_scheduler.py::test_a_schedule_whose_role_may_not_call_its_target_loses_nothing",),
    ),
    "pipeline-step": dict.fromkeys(
        PATHS["pipeline-step"].actions,
        ("tests/local/test_sagemaker_pipelines.py::test_a_step_needs_the_permissions_of_the_pipelines_role",),
    ),
    "sagemaker-job": {
        **dict.fromkeys(
            ("s3:ListBucket", "s3:GetObject", "s3:PutObject"),
            ("tests/local/test_sagemaker_processing.py::test_without_a_permission_on_its_data_a_job_fails",),
        ),
        **dict.fromkeys(
            ("logs:CreateLogStream", "logs:PutLogEvents"),
            ("tests/local/test_sagemaker_processing.py::test_a_job_that_may_not_log_runs_unseen",),
        ),
    },
    "api-logs": dict.fromkeys(
        PATHS["api-logs"].actions, ("tests/local/test_apis.py::test_an_access_log_needs_each_permission",)
    ),
    "state-machine-logs": dict.fromkeys(
        PATHS["state-machine-logs"].actions, ("tests/local/test_machines.py::test_logging_needs_each_permission",)
    ),
    "state-machine-traces": dict.fromkeys(
        PATHS["state-machine-traces"].actions, ("tests/local/test_machines.py::test_a_trace_needs_each_permission",)
    ),
    "trail-delivery": dict.fromkeys(
        PATHS["trail-delivery"].actions,
        ("tests/local/test_trails.py::test_without_a_permission_of_the_bucket_nothing_is_delivered_until_it_is_back",),
    ),
    "nested-execution": dict.fromkeys(
        ("events:PutTargets", "events:PutRule", "events:DescribeRule"),
        ("tests/local/test_states_tasks.py::test_waiting_for_another_execution_needs_each_permission",),
    ),
    "replication": dict.fromkeys(
        PATHS["replication"].actions, ("tests/local/test_vaults.py::test_a_copy_needs_each_permission",)
    ),
    "access-logs": {
        "s3:PutObject": ("tests/local/test_buckets.py::test_access_logs_come_only_where_the_destination_lets_them_in",),
    },
    "customer-key": {
        "kms:Decrypt": (
            "tests/local/test_authorise.py::test_an_object_under_a_customer_key_needs_the_key_too",
            "tests/local/test_authorise.py::test_a_table_under_a_customer_key_needs_the_key_too",
            "tests/local/test_authorise.py::test_a_rule_and_a_poller_need_the_queues_key",
        ),
        "kms:Encrypt": (
            "tests/local/test_vaults.py::test_a_copy_needs_both_keys_and_is_made_only_where_it_is_asked_for",
        ),
        "kms:GenerateDataKey": (
            "tests/local/test_authorise.py::test_an_object_under_a_customer_key_needs_the_key_too",
            "tests/local/test_authorise.py::test_a_rule_and_a_poller_need_the_queues_key",
        ),
    },
}
PASSED_OVER = {"skip", "skipif", "xfail", "soak"}


def gaps(
    paths: Mapping[str, Path], taken_away: Mapping[str, Mapping[str, tuple[str, ...]]], found: Mapping[str, set[str]]
) -> list[str]:
    """What is missing: `found` maps each test that pytest collects to the marks it bears."""
    needed = {(name, action) for name, path in paths.items() for action in path.actions}
    listed = {(name, action): tests for name, actions in taken_away.items() for action, tests in actions.items()}
    missing = [f"{name}: {action} is on no such path" for name, action in sorted(set(listed) - needed)]
    for name, action in sorted(needed):
        tests = listed.get((name, action), ())
        missing += [] if tests else [f"{name}: {action} is taken away in no test"]
        for test in tests:
            if test not in found:
                missing.append(f"{name}: {action} names {test}, which does not exist")
            elif passed_over := found[test] & PASSED_OVER:
                missing.append(f"{name}: {action} names {test}, which is marked {passed_over}")
    return missing


def collected() -> dict[str, set[str]]:
    """Names, without parameters, and marks of every test that pytest itself collects in the files that are named."""
    named = (test for actions in TAKEN_AWAY.values() for tests in actions.values() for test in tests)
    files = sorted({test.partition("::")[0] for test in named})
    program = (
        "import pytest, sys\n"
        "class Names:\n"
        "    def pytest_collection_modifyitems(self, items):\n"
        "        for i in items:\n"
        "            name = i.nodeid.partition('[')[0]\n"
        "            print('TEST', name, *[mark.name for mark in i.iter_markers()])\n"
        "pytest.main(['--collect-only', '-qq', '-m', '', *sys.argv[1:]], plugins=[Names()])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, *files], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    lines = [line.split()[1:] for line in answer.stdout.splitlines() if line.startswith("TEST ")]
    assert lines, f"pytest collected nothing:\n{answer.stdout}{answer.stderr}"
    marks: dict[str, set[str]] = {}
    for name, *of_this in lines:
        marks.setdefault(name, set()).update(of_this)
    return marks


def test_every_action_of_every_path_is_taken_away_in_a_test() -> None:
    # Given the list of paths, When it is compared with the tests that exist, Then nothing is missing
    assert gaps(PATHS, TAKEN_AWAY, collected()) == []


@pytest.mark.parametrize(
    ("taken_away", "marks", "missing"),
    [
        ({"p": {"s:A": ("t",)}}, set(), []),
        ({}, set(), ["p: s:A is taken away in no test"]),
        ({"p": {"s:A": ()}}, set(), ["p: s:A is taken away in no test"]),
        ({"p": {"s:A": ("gone",)}}, set(), ["p: s:A names gone, which does not exist"]),
        ({"p": {"s:A": ("t",)}}, {"skip"}, ["p: s:A names t, which is marked {'skip'}"]),
        ({"p": {"s:A": ("t",), "s:B": ("t",)}}, set(), ["p: s:B is on no such path"]),
        ({"p": {"s:A": ("t",)}, "q": {"s:A": ("t",)}}, set(), ["q: s:A is on no such path"]),
    ],
)
def test_a_path_without_its_test_is_found(
    taken_away: dict[str, dict[str, tuple[str, ...]]], marks: set[str], missing: list[str]
) -> None:
    # Given one path of one action, When its tests are looked for, Then exactly what is missing is named
    paths = {"p": Path("p", "somebody", ("s:A",), "nothing happens")}
    assert gaps(paths, taken_away, {"t": marks}) == missing


def test_every_path_is_described() -> None:
    # Given the list of paths, When it is read, Then each says who acts, what is needed and what happens without it
    for name, path in PATHS.items():
        assert path.name == name
        assert path.actor
        assert path.actions
        assert path.when_denied


def test_acting_outside_the_listed_paths_is_an_error() -> None:
    # Given no such path, or an action that a path does not list, When somebody acts, Then it is an error, no answer
    with pytest.raises(KeyError):
        authorise.act_as("events.amazonaws.com", "sqs:SendMessage", "*", path="no-such-path")
    with pytest.raises(ValueError, match="does not list"):
        authorise.act_as("events.amazonaws.com", "s3:PutObject", "*", path="rule-to-queue")
    with pytest.raises(ValueError, match="for a service"):
        authorise.act_as("arn:aws:iam::0:role/r", "states:StartExecution", "*", path="rule-to-state-machine")
