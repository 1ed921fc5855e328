"""Alarms of the local cloud, through AWS APIs: what raises them, what clears them, whom they tell."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.emulator import alarms
from tests.local.emulated import decided, eventually, last_sequence, make_queue, messages, policy, unique

NAMESPACE = "Test"
DIMENSIONS = [{"Name": "Who", "Value": "me"}]
ABOVE_TEN: dict[str, Any] = {
    "Namespace": NAMESPACE,
    "Dimensions": DIMENSIONS,
    "Statistic": "Maximum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 10,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}
"""What a value above 10 in the last whole minute raises; a name and a metric are wanting."""


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """A cloud of this module's own: its clock is moved."""
    with LocalCloud.start(unique("alarms")) as started:
        yield started


class Watched:
    """A metric with one dimension and alarms on it."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.cloudwatch = cloud.client("cloudwatch")
        self.metric = unique("metric")

    def alarm(self, **parts: Any) -> str:
        """An alarm that a value above 10 in the last whole minute raises; returns its name."""
        name = unique("alarm")
        self.cloudwatch.put_metric_alarm(
            **{
                **ABOVE_TEN,
                "AlarmName": name,
                "MetricName": self.metric,
                **parts,
            }
        )
        return name

    def composite(self, rule: str, **parts: Any) -> str:
        name = unique("composite")
        self.cloudwatch.put_composite_alarm(AlarmName=name, AlarmRule=rule, **parts)
        return name

    def put(self, value: float, **dimensions: str) -> None:
        given = [{"Name": name, "Value": text} for name, text in dimensions.items()] or DIMENSIONS
        datum = {"MetricName": self.metric, "Dimensions": given, "Value": value}
        self.cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[datum])

    def minute_later(self, minutes: float = 1) -> dict[str, str]:
        self.cloud.control.clock_advance(60 * minutes)
        return self.cloud.control.evaluate_alarms()

    def described(self, name: str) -> dict[str, Any]:
        kinds = ["MetricAlarm", "CompositeAlarm"]
        found = self.cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=kinds)
        described: dict[str, Any] = (found["MetricAlarms"] + found["CompositeAlarms"])[0]
        return described

    def history(self, name: str, item: str) -> list[str]:
        kinds = ["MetricAlarm", "CompositeAlarm"]
        found = self.cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType=item, AlarmTypes=kinds)
        return [one["HistorySummary"] for one in reversed(found["AlarmHistoryItems"])]


@pytest.fixture
def watched(cloud: LocalCloud) -> Watched:
    return Watched(cloud)


class Told:
    """A topic and a queue that is subscribed to it."""

    def __init__(self, cloud: LocalCloud, **attributes: str) -> None:
        self.cloud = cloud
        sns = cloud.client("sns")
        self.topic: str = sns.create_topic(Name=unique("topic"), Attributes=attributes)["TopicArn"]
        self.url, queue = make_queue(cloud)
        allow = {"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": queue}
        cloud.client("sqs").set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy(allow)})
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})

    def heard(self) -> list[dict[str, Any]]:
        """What has arrived since the last look."""
        found = messages(self.cloud, self.url)
        for message in found:
            self.cloud.client("sqs").delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in found]


@pytest.fixture
def told(cloud: LocalCloud) -> Told:
    return Told(cloud)


def test_a_value_raises_an_alarm_and_a_later_one_clears_it(watched: Watched) -> None:
    # Given an alarm
    name = watched.alarm()

    # When a value breaches its threshold, and a minute later another does not
    before = watched.minute_later()[name]
    watched.put(11)
    raised = watched.minute_later()[name]
    watched.put(9)
    cleared = watched.minute_later()[name]

    # Then it goes to ALARM and back, and its history tells
    assert (before, raised, cleared) == ("OK", "ALARM", "OK")
    assert watched.history(name, "StateUpdate")[-2:] == [
        "Alarm updated from OK to ALARM",
        "Alarm updated from ALARM to OK",
    ]


@pytest.mark.parametrize("dimensions", [{"Who": "other"}, {"Who": "me", "Where": "here"}, {"who": "me"}])
def test_a_datum_of_other_dimensions_leaves_the_alarm_alone(watched: Watched, dimensions: dict[str, str]) -> None:
    # Given an alarm on the metric of one dimension
    name = watched.alarm()

    # When a value that would breach it is put under other dimensions
    watched.put(99, **dimensions)

    # Then the alarm stays as it is; the same value under its own dimension raises it
    assert watched.minute_later()[name] == "OK"
    watched.put(99)
    assert watched.minute_later()[name] == "ALARM"


def test_m_out_of_n_minutes_raise_an_alarm(watched: Watched) -> None:
    # Given an alarm that 2 of the last 3 minutes raise
    name = watched.alarm(EvaluationPeriods=3, DatapointsToAlarm=2)

    # When minutes go by that breach and minutes that do not
    found = []
    for value in (11, 1, 11, 1, 1):
        watched.put(value)
        found.append(watched.minute_later()[name])

    # Then it is in alarm exactly while 2 of 3 breach
    assert found == ["OK", "OK", "ALARM", "OK", "OK"]


@pytest.mark.parametrize(
    ("treatment", "state"),
    [("missing", "INSUFFICIENT_DATA"), ("ignore", "ALARM"), ("breaching", "ALARM"), ("notBreaching", "OK")],
)
def test_data_that_stop_coming_are_treated_as_the_alarm_says(watched: Watched, treatment: str, state: str) -> None:
    # Given an alarm that has been raised
    name = watched.alarm(TreatMissingData=treatment)
    watched.put(11)
    assert watched.minute_later()[name] == "ALARM"

    # When no more data come for longer than its evaluation range
    found = watched.minute_later(5)[name]

    # Then it goes where its treatment of missing data leads
    assert found == state


def test_an_alarm_over_five_minutes_needs_no_five_minutes_of_waiting(watched: Watched) -> None:
    # Given an alarm on a sum over five minutes
    name = watched.alarm(Period=300, Statistic="Sum")
    started = time.monotonic()

    # When values are put over four minutes that only together breach it
    for _ in range(4):
        watched.put(3)
        state = watched.minute_later()[name]

    # Then it is raised, and no minute has gone by
    assert state == "ALARM"
    assert time.monotonic() - started < 30


def test_minutes_that_the_clock_jumps_over_are_evaluated_one_by_one(watched: Watched) -> None:
    # Given an alarm, and a breach in a minute that the clock then leaves far behind
    name = watched.alarm()
    watched.minute_later()
    watched.put(11)

    # When the clock jumps ten minutes
    found = watched.minute_later(10)[name]

    # Then the alarm has been raised and cleared on the way
    assert found == "OK"
    assert watched.history(name, "StateUpdate")[-2:] == [
        "Alarm updated from OK to ALARM",
        "Alarm updated from ALARM to OK",
    ]


def test_minutes_between_an_alarms_making_and_the_first_look_at_it_are_evaluated(watched: Watched) -> None:
    # Given a breach, and the clock moved far on as soon as the alarm is there
    for _ in range(5):
        name = watched.alarm()
        watched.put(11)
        found = watched.minute_later(10)[name]

        # Then the alarm has been raised and cleared on the way
        assert found == "OK"
        assert watched.history(name, "StateUpdate")[-2:] == [
            "Alarm updated from OK to ALARM",
            "Alarm updated from ALARM to OK",
        ]


def test_alarms_are_evaluated_without_being_asked(watched: Watched) -> None:
    # Given an alarm and a value that breaches it
    name = watched.alarm()
    watched.put(11)

    # When a minute goes by and nobody asks for an evaluation
    watched.cloud.control.clock_advance(60)

    # Then the alarm is raised all the same
    eventually(lambda: watched.described(name)["StateValue"] == "ALARM")


def test_the_description_says_why(watched: Watched) -> None:
    # Given an alarm that has been raised
    name = watched.alarm(EvaluationPeriods=2, DatapointsToAlarm=1)
    watched.put(11)
    watched.minute_later()

    # When it is described
    found = watched.described(name)

    # Then reason and data name the value that decided
    assert found["StateReason"].startswith("Threshold Crossed: 1 out of the last 2 datapoints [11.0 (")
    assert json.loads(found["StateReasonData"])["recentDatapoints"] == [11.0]
    assert found["StateTransitionedTimestamp"] == found["StateUpdatedTimestamp"]


def test_a_state_that_was_set_lasts_until_the_next_evaluation(watched: Watched, told: Told) -> None:
    # Given an alarm that is OK
    name = watched.alarm(AlarmActions=[told.topic])
    assert watched.minute_later()[name] == "OK"

    # When somebody sets it to ALARM, with data that no program wrote
    watched.cloudwatch.set_alarm_state(
        AlarmName=name, StateValue="ALARM", StateReason="drill", StateReasonData="just a drill"
    )

    # Then it is, and tells; the next evaluation takes it back
    assert watched.cloud.control.alarms()[name] == "ALARM"
    assert [one["NewStateReason"] for one in told.heard()] == ["drill"]
    assert watched.minute_later()[name] == "OK"


def test_a_state_that_was_set_is_told_although_an_evaluation_came_between(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an alarm that was set to ALARM, and evaluated to OK before anybody was told
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(alarms, "_act", lambda _scope, alarm, old: told.append((old, alarm["StateValue"])))
    monkeypatch.setattr(alarms, "_evaluate_composites", lambda **_: None)
    alarm = {"AlarmName": "a", "StateValue": "OK"}
    # When it is told, Then that it was set is; and it stays as it was evaluated
    alarms.state_was_set("000000000000", "us-east-1", alarm, "OK", "ALARM")
    assert told == [("OK", "ALARM")]
    assert alarm["StateValue"] == "OK"


def test_a_change_of_state_is_told_to_the_topic(watched: Watched, told: Told) -> None:
    # Given an alarm that tells a topic when it is raised and when it clears
    name = watched.alarm(AlarmActions=[told.topic], OKActions=[told.topic], AlarmDescription="Mind this")
    watched.minute_later()
    told.heard()
    since = last_sequence(watched.cloud)

    # When it is raised
    watched.put(11)
    watched.minute_later()

    # Then the subscriber gets CloudWatch's message
    (message,) = told.heard()
    arn = f"arn:aws:cloudwatch:us-east-1:{watched.cloud.account}:alarm:{name}"
    assert (message["AlarmName"], message["AlarmArn"], message["AlarmDescription"]) == (name, arn, "Mind this")
    assert (message["OldStateValue"], message["NewStateValue"]) == ("OK", "ALARM")
    assert message["Region"] == "US East (N. Virginia)"
    assert message["Trigger"]["Dimensions"] == [{"value": "me", "name": "Who"}]
    assert (message["Trigger"]["Statistic"], message["Trigger"]["Threshold"]) == ("MAXIMUM", 10.0)
    # And the decision is on record, and the action in the history
    (decision,) = decided(watched.cloud, "sns:Publish", told.topic, since)
    assert (decision["principal"], decision["path"], decision["allowed"]) == (
        "cloudwatch.amazonaws.com",
        "alarm-to-topic",
        True,
    )
    assert watched.history(name, "Action")[-1] == f"Successfully executed action {told.topic}"


def test_a_topic_whose_policy_shuts_alarms_out_hears_nothing(watched: Watched, told: Told) -> None:
    # Given an alarm whose topic lets only another alarm publish
    name = watched.alarm(AlarmActions=[told.topic])
    watched.minute_later()
    statement = {
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": told.topic,
        "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:cloudwatch:us-east-1:{watched.cloud.account}:alarm:no"}},
    }
    sns = watched.cloud.client("sns")
    sns.set_topic_attributes(TopicArn=told.topic, AttributeName="Policy", AttributeValue=policy(statement))
    since = last_sequence(watched.cloud)

    # When it is raised
    watched.put(11)
    watched.minute_later()

    # Then nobody is told, the denial is on record and the history says so
    assert watched.described(name)["StateValue"] == "ALARM"
    assert told.heard() == []
    assert [one["allowed"] for one in decided(watched.cloud, "sns:Publish", told.topic, since)] == [False]
    assert watched.history(name, "Action")[-1].startswith(f"Failed to execute action {told.topic}. Received error: ")

    # And once the policy names this alarm, it is told
    statement["Condition"] = {"ArnEquals": {"aws:SourceArn": watched.described(name)["AlarmArn"]}}
    sns.set_topic_attributes(TopicArn=told.topic, AttributeName="Policy", AttributeValue=policy(statement))
    watched.minute_later(5)
    watched.put(11)
    watched.minute_later()
    assert [one["NewStateValue"] for one in told.heard()] == ["ALARM"]


def key_policy(cloud: LocalCloud, *services: str) -> str:
    root = {"Principal": {"AWS": f"arn:aws:iam::{cloud.account}:root"}, "Action": "kms:*", "Resource": "*"}
    uses = [
        {"Principal": {"Service": service}, "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*"}
        for service in services
    ]
    return policy(root, *uses)


def test_an_encrypted_topic_hears_what_its_key_lets_through(watched: Watched) -> None:
    # Given topics encrypted with a key that lets alarms in, with one that does not, and with the key that AWS manages
    kms = watched.cloud.client("kms")
    open_key = kms.create_key(Policy=key_policy(watched.cloud, "cloudwatch.amazonaws.com"))["KeyMetadata"]["KeyId"]
    shut_key = kms.create_key(Policy=key_policy(watched.cloud))["KeyMetadata"]["KeyId"]
    told = [Told(watched.cloud, KmsMasterKeyId=key) for key in (open_key, shut_key, "alias/aws/sns")]
    name = watched.alarm(AlarmActions=[one.topic for one in told])

    # When the alarm is raised
    watched.put(11)
    watched.minute_later()

    # Then only the first hears of it
    assert [len(one.heard()) for one in told] == [1, 0, 0]
    assert ["encryption key" in summary for summary in watched.history(name, "Action")] == [False, True, True]


def test_disabled_actions_are_not_carried_out(watched: Watched, told: Told) -> None:
    # Given an alarm whose actions are disabled
    name = watched.alarm(AlarmActions=[told.topic])
    watched.cloudwatch.disable_alarm_actions(AlarmNames=[name])

    # When it is raised, then it changes its state and tells nobody
    watched.put(11)
    assert watched.minute_later()[name] == "ALARM"
    assert told.heard() == []

    # And when they are enabled, the next change is told
    watched.minute_later(5)
    watched.cloudwatch.enable_alarm_actions(AlarmNames=[name])
    watched.put(11)
    watched.minute_later()
    assert [one["NewStateValue"] for one in told.heard()] == ["ALARM"]


def test_lack_of_data_has_actions_of_its_own(watched: Watched, told: Told) -> None:
    # Given an alarm that tells when it lacks data
    name = watched.alarm(InsufficientDataActions=[told.topic], TreatMissingData="missing")
    watched.put(1)
    assert watched.minute_later()[name] == "OK"

    # When data stop coming
    watched.minute_later(5)

    # Then that is told
    assert [one["NewStateValue"] for one in told.heard()] == ["INSUFFICIENT_DATA"]


def test_an_action_that_is_no_topic_is_refused_aloud(watched: Watched) -> None:
    # Given an alarm that would scale something
    action = "arn:aws:automate:us-east-1:ec2:stop"
    name = watched.alarm(AlarmActions=[action])

    # When it is raised, then its history says that the action failed
    watched.put(11)
    watched.minute_later()
    assert watched.history(name, "Action") == [
        f'Failed to execute action {action}. Received error: "This local cloud notifies Amazon SNS topics and scaling'
        ' policies only."'
    ]


def test_a_change_of_state_is_an_event(watched: Watched) -> None:
    # Given a rule on one alarm's changes of state, and a queue behind it
    name = watched.alarm()
    watched.minute_later()
    url, queue = make_queue(watched.cloud)
    events = watched.cloud.client("events")
    pattern = {
        "source": ["aws.cloudwatch"],
        "detail-type": ["CloudWatch Alarm State Change"],
        "detail": {"alarmName": [name], "state": {"value": ["ALARM"]}},
    }
    rule = unique("rule")
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": queue}])
    allow = {"Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": queue}
    watched.cloud.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(allow)})

    # When the alarm is raised
    watched.put(11)
    watched.minute_later()

    # Then the queue has the event
    (message,) = eventually(lambda: messages(watched.cloud, url))
    event = json.loads(message["Body"])
    assert event["resources"] == [watched.described(name)["AlarmArn"]]
    assert event["detail"]["previousState"]["value"] == "OK"
    assert event["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"] == {
        "dimensions": {"Who": "me"},
        "name": watched.metric,
        "namespace": NAMESPACE,
    }


def math(watched: Watched, expression: str) -> dict[str, Any]:
    stat = {
        "Metric": {"Namespace": NAMESPACE, "MetricName": watched.metric, "Dimensions": DIMENSIONS},
        "Period": 60,
        "Stat": "Sum",
    }
    return {
        "AlarmName": unique("math"),
        "EvaluationPeriods": 1,
        "Threshold": 10,
        "ComparisonOperator": "GreaterThanThreshold",
        "Metrics": [
            {"Id": "total", "Expression": expression, "ReturnData": True},
            {"Id": "one", "MetricStat": stat, "ReturnData": False},
        ],
    }


def test_metric_math_alarms_are_kept_whole_and_evaluated(watched: Watched) -> None:
    # Given an alarm on twice a sum
    definition = math(watched, "2 * FILL(one, 0)")
    watched.cloudwatch.put_metric_alarm(**definition)

    # When the sum is 6, then it is raised, and its description holds what was put
    watched.put(6)
    assert watched.minute_later()[definition["AlarmName"]] == "ALARM"
    described = watched.described(definition["AlarmName"])
    assert described["Metrics"] == definition["Metrics"]
    assert "MetricName" not in described


def test_a_metric_math_alarm_of_a_template_is_evaluated(watched: Watched) -> None:
    # Given a stack with an alarm on twice a sum, made by the cloud's clock
    definition = math(watched, "2 * one")
    watched.cloud.control.clock_advance(600)
    template = {"Resources": {"Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": definition}}}
    formation = watched.cloud.client("cloudformation")
    stack = unique("stack")
    formation.create_stack(StackName=stack, TemplateBody=json.dumps(template))
    formation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 0.1})
    made = watched.described(definition["AlarmName"])["AlarmConfigurationUpdatedTimestamp"].timestamp()
    assert made > time.time() + 500

    # When the sum is 6, then it is raised
    watched.put(6)
    assert watched.minute_later()[definition["AlarmName"]] == "ALARM"


def test_a_composite_alarm_of_a_template_follows_its_child_through_an_update(watched: Watched) -> None:
    # Given a stack with a composite over an alarm, under a name that the stack gives it
    child = watched.alarm()
    formation = watched.cloud.client("cloudformation")
    stack = unique("stack")

    def template(rule: str) -> str:
        alarm = {"Type": "AWS::CloudWatch::CompositeAlarm", "Properties": {"AlarmRule": rule}}
        output = {"Value": {"Ref": "Above"}}
        return json.dumps({"Resources": {"Above": alarm}, "Outputs": {"Name": output}})

    formation.create_stack(StackName=stack, TemplateBody=template(f"ALARM({child})"))
    formation.get_waiter("stack_create_complete").wait(StackName=stack, WaiterConfig={"Delay": 0.1})
    name = formation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"][0]["OutputValue"]

    # When the child is raised, and then the rule is turned round by an update
    watched.put(11)
    raised = watched.minute_later()[name]
    formation.update_stack(StackName=stack, TemplateBody=template(f"NOT ALARM({child})"))
    formation.get_waiter("stack_update_complete").wait(StackName=stack, WaiterConfig={"Delay": 0.1})
    turned = watched.cloud.control.evaluate_alarms()[name]

    # Then it follows, and goes with its stack
    assert (raised, turned) == ("ALARM", "OK")
    formation.delete_stack(StackName=stack)
    formation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 0.1})
    assert name not in watched.cloud.control.evaluate_alarms()


def test_what_is_not_evaluated_is_shown_as_such_and_never_ok(watched: Watched) -> None:
    # Given an alarm that needs what is not evaluated here, and a composite that would be OK because of it
    definition = math(watched, "RATE(one)")
    watched.cloudwatch.put_metric_alarm(**definition, TreatMissingData="notBreaching")
    name = definition["AlarmName"]
    above = watched.composite(f"ALARM({name})")

    # When they are evaluated
    watched.put(1)
    found = watched.minute_later()

    # Then both say that they are not evaluated, here and in AWS's terms
    assert found[name].startswith("not evaluated here: metric math: the function RATE is not served")
    assert found[above].startswith("not evaluated here:")
    for one in (name, above):
        assert watched.described(one)["StateValue"] == "INSUFFICIENT_DATA"
    assert watched.described(name)["EvaluationState"] == "EVALUATION_ERROR"

    # And mended, they are
    definition["Metrics"][0]["Expression"] = "one"
    watched.cloudwatch.put_metric_alarm(**definition, TreatMissingData="notBreaching")
    found = watched.minute_later()
    assert (found[name], found[above]) == ("OK", "OK")
    assert "EvaluationState" not in watched.described(name)


def test_composite_alarms_follow_their_children(watched: Watched, told: Told) -> None:
    # Given two alarms, a composite that both must raise, and one above it
    first, second = watched.alarm(), watched.alarm(Threshold=20)
    both = watched.composite(f"ALARM({first}) AND ALARM({second})", AlarmActions=[told.topic])
    above = watched.composite(f'NOT OK("{both}")')
    found = watched.minute_later()
    assert [found[name] for name in (both, above)] == ["OK", "OK"]

    # When the first child is raised, and then both
    watched.put(11)
    one = watched.minute_later()
    watched.put(21)
    two = watched.minute_later()

    # Then the composite follows, the one above too, and the topic hears which alarm it was
    assert [one[name] for name in (both, above)] == ["OK", "OK"]
    assert [two[name] for name in (both, above)] == ["ALARM", "ALARM"]
    assert "transitioned to ALARM at" in watched.described(both)["StateReason"]
    (message,) = told.heard()
    assert (message["AlarmName"], message["NewStateValue"]) == (both, "ALARM")
    assert message["AlarmRule"] == f"ALARM({first}) AND ALARM({second})"

    # And when a child is set to another state by hand, it follows at once
    watched.cloudwatch.set_alarm_state(AlarmName=first, StateValue="OK", StateReason="drill")
    assert watched.described(both)["StateValue"] == "OK"


def test_a_composite_that_was_set_keeps_its_state_until_a_child_changes(watched: Watched) -> None:
    # Given a composite over an alarm, and another alarm beside them
    child = watched.alarm(Threshold=1_000)
    name = watched.composite(f"ALARM({child})")
    other = watched.alarm()
    watched.minute_later()

    # When it is set by hand, and alarms are evaluated without a change below it
    watched.cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="drill")
    watched.put(11)
    watched.cloud.control.clock_advance(60)
    eventually(lambda: watched.described(other)["StateValue"] == "ALARM")
    watched.cloud.control.clock_advance(600)
    eventually(lambda: watched.described(other)["StateValue"] == "OK")

    # Then it keeps the state
    assert watched.described(name)["StateValue"] == "ALARM"


def test_action_suppression_is_refused_instead_of_forgotten(watched: Watched) -> None:
    # Given an alarm that should silence a composite
    child = watched.alarm()

    # When the composite is put, then the answer says that this is not served
    with pytest.raises(ClientError, match="does not serve ActionsSuppressor"):
        watched.composite(
            f"ALARM({child})",
            ActionsSuppressor=child,
            ActionsSuppressorWaitPeriod=60,
            ActionsSuppressorExtensionPeriod=60,
        )


def test_a_new_definition_counts_at_once(watched: Watched) -> None:
    # Given an alarm that a value has not raised
    name = watched.alarm(Threshold=100)
    watched.put(50)
    assert watched.minute_later()[name] == "OK"

    # When its threshold is lowered, then it is raised without a minute going by
    watched.cloudwatch.put_metric_alarm(**{**ABOVE_TEN, "AlarmName": name, "MetricName": watched.metric})
    eventually(lambda: watched.described(name)["StateValue"] == "ALARM")


def test_a_deleted_alarm_is_gone(watched: Watched) -> None:
    # Given an alarm that has been raised
    name = watched.alarm()
    watched.put(11)
    assert watched.minute_later()[name] == "ALARM"

    # When it is deleted, and one of the same name is made
    watched.cloudwatch.delete_alarms(AlarmNames=[name])
    assert name not in watched.cloud.control.evaluate_alarms()
    watched.cloudwatch.put_metric_alarm(**{**ABOVE_TEN, "AlarmName": name, "MetricName": unique("metric")})

    # Then the new one starts from nothing
    assert watched.cloud.control.evaluate_alarms()[name] == "OK"
