"""Know who did what: the deployed stack notices what it should, and its archive refuses an administrator."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy
from local.permissions import Status, compare, granted
from scenarios import audit
from scenarios.audit import ATTEMPTS, administrator, archived, attempts, client_as, listening
from stacks.secure.audit_queries import QUERIES, sql
from tests.local.emulated import eventually, last_sequence, unique
from tests.local.networking import JOIN, make_vpc
from tests.local.sagemaking import MACHINE, job_role, make_bucket, of_bucket, processing
from tests.scenarios.removals import without

ARCHITECTURE = "audit"


@pytest.fixture(scope="module")
def outputs(cloud: LocalCloud) -> Iterator[dict[str, str]]:
    """Not shared with the run: its trail would record every other test, and an account has one recorder."""
    yield deploy(cloud, synthesize(ARCHITECTURE), ARCHITECTURE)
    destroy(cloud, ARCHITECTURE)


@pytest.fixture(scope="module")
def story(cloud: LocalCloud, outputs: dict[str, str]) -> audit.Report:
    return audit.run(cloud, outputs)


@pytest.fixture(scope="module")
def told_of_story(cloud: LocalCloud, outputs: dict[str, str], story: audit.Report) -> list[dict[str, Any]]:
    """The archive after the story: tests that take its denials away may delete a file of it."""
    assert story.records
    return archived(cloud, outputs)


# --- What is noticed -------------------------------------------------------------------------------------------------


def test_what_must_not_go_unseen_is_told_at_once(story: audit.Report) -> None:
    # Given the story, When its alarms are read, Then each says who did what
    assert all(story.told.values()), story.told
    assert "PutRolePolicy" in story.told["a role's policy changed"]
    assert ":root called ScheduleKeyDeletion" in story.told["a key to be deleted"]
    assert story.complete


def test_the_archive_says_who_read_what(story: audit.Report) -> None:
    assert (story.read_by, "GetObject", "record.txt") in story.records


# --- The archive, and each of its denials taken out ------------------------------------------------------------------


@contextmanager
def without_denial(cloud: LocalCloud, bucket: str, sid: str, *, condition_only: bool = False) -> Iterator[None]:
    """The archive's policy without one of its denials, or with one that has lost its condition."""
    s3 = cloud.client("s3")
    before = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    document = json.loads(before)
    kept = []
    for one in document["Statement"]:
        if one.get("Sid") != sid:
            kept.append(one)
        elif condition_only:
            kept.append({key: value for key, value in one.items() if key != "Condition"})
    assert kept != document["Statement"], f"there is no {sid}"
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({**document, "Statement": kept}))
    try:
        yield
    finally:
        s3.put_bucket_policy(Bucket=bucket, Policy=before)


@pytest.fixture(scope="module")
def theirs(cloud: LocalCloud, told_of_story: list[dict[str, Any]]) -> Iterator[Any]:
    """S3 as an administrator of the workload, once the archive has something in it."""
    assert told_of_story
    with administrator(cloud) as role:
        yield client_as(cloud, "s3", role)


def test_an_administrator_of_the_workload_cannot_change_the_archive(
    cloud: LocalCloud, outputs: dict[str, str], theirs: Any
) -> None:
    assert attempts(cloud, outputs, theirs) == dict.fromkeys(ATTEMPTS, "AccessDenied")


@pytest.mark.parametrize(
    ("sid", "done"),
    [
        ("OnlyKeepersChangeTheArchive", {ATTEMPTS[0], ATTEMPTS[2], ATTEMPTS[3]}),
        ("OnlyServicesWriteRecords", {ATTEMPTS[1]}),
    ],
)
def test_each_denial_is_what_keeps_the_archive(
    cloud: LocalCloud, outputs: dict[str, str], theirs: Any, sid: str, done: set[str]
) -> None:
    # Given the archive's policy without one denial, When the administrator tries again, Then just what it kept is done
    with without_denial(cloud, outputs["ArchiveName"], sid):
        found = attempts(cloud, outputs, theirs)
    assert {name for name, code in found.items() if not code} == done


def test_a_denial_without_its_condition_keeps_the_trail_out_too(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a denial that has lost who it is not for, When something is to be recorded, Then the trail cannot deliver
    status = cloud.client("cloudtrail").get_trail_status
    with without_denial(cloud, outputs["ArchiveName"], "OnlyServicesWriteRecords", condition_only=True):
        cloud.client("sqs").create_queue(QueueName=unique("lost"))
        eventually(lambda: status(Name=outputs["TrailName"]).get("LatestDeliveryError") == "AccessDenied")
    cloud.client("sqs").create_queue(QueueName=unique("kept"))
    eventually(lambda: "LatestDeliveryError" not in status(Name=outputs["TrailName"]))


def test_without_the_keys_permission_the_trail_waits(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a key whose policy lets CloudTrail in no more
    kms, key = cloud.client("kms"), outputs["KeyArn"]
    status = cloud.client("cloudtrail").get_trail_status
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    document = json.loads(before)
    left = [one for one in document["Statement"] if "cloudtrail" not in json.dumps(one["Principal"])]
    assert len(left) == len(document["Statement"]) - 1
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({**document, "Statement": left}))
    try:
        # When something is to be recorded, Then the status says what is missing
        cloud.client("sqs").create_queue(QueueName=unique("lost"))
        eventually(lambda: status(Name=outputs["TrailName"]).get("LatestDeliveryError") == "KMS.AccessDeniedException")
    finally:
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=before)
    # When it is let in again, Then it delivers
    cloud.client("sqs").create_queue(QueueName=unique("kept"))
    eventually(lambda: "LatestDeliveryError" not in status(Name=outputs["TrailName"]))


# --- The rule on jobs ------------------------------------------------------------------------------------------------


def judged(cloud: LocalCloud, outputs: dict[str, str]) -> dict[str, Any]:
    """The verdict of a new run of the rule."""
    config, name = cloud.client("config"), outputs["JobRuleName"]

    def results() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = config.get_compliance_details_by_config_rule(ConfigRuleName=name)[
            "EvaluationResults"
        ]
        return found

    before = results()
    config.start_config_rules_evaluation(ConfigRuleNames=[name])
    eventually(lambda: results() != before)
    (found,) = results()
    return found


def test_a_job_without_a_vpc_and_keys_is_found_and_one_with_both_is_not(
    cloud: LocalCloud, outputs: dict[str, str]
) -> None:
    # Given no job, Then the rule has nothing to judge. (What other tests ran is older than the clock is then.)
    cloud.control.clock_advance(60 * 60 * 25)
    sagemaker, bucket = cloud.client("sagemaker"), make_bucket(cloud)
    assert judged(cloud, outputs)["ComplianceType"] == "NOT_APPLICABLE"
    # When a job runs in a VPC with a key on its volume, Then that is right
    vpc = make_vpc(cloud)
    inside = {"Subnets": vpc.subnets, "SecurityGroupIds": [vpc.callers]}
    role = job_role(cloud, JOIN, *of_bucket(bucket))
    right = processing(cloud, bucket, "pass", role=role, NetworkConfig={"VpcConfig": inside})
    right["ProcessingResources"] = {"ClusterConfig": {**MACHINE, "VolumeKmsKeyId": "alias/any"}}
    sagemaker.create_processing_job(**right)
    assert judged(cloud, outputs)["ComplianceType"] == "COMPLIANT"
    # When another runs without, Then it is named with what it lacks
    sagemaker.create_processing_job(**(wrong := processing(cloud, bucket, "pass")))
    found = judged(cloud, outputs)
    assert found["ComplianceType"] == "NON_COMPLIANT"
    assert f"1 of 2 jobs. {wrong['ProcessingJobName']}: no VPC, volume key" in found["Annotation"]


def test_a_rule_that_may_not_look_has_no_verdict_and_an_alarm(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a rule whose function may not list jobs
    cloud.control.clock_advance(600)
    name = outputs["JudgeAlarmName"]
    assert cloud.control.evaluate_alarms()[name] == "OK"
    config = cloud.client("config")
    asked = {"ConfigRuleName": outputs["JobRuleName"]}
    before = config.get_compliance_details_by_config_rule(**asked)["EvaluationResults"]
    with without(cloud, outputs["JudgeRoleName"], "sagemaker:ListProcessingJobs"):
        # When it is asked for, Then its alarm is raised, and no verdict is given
        config.start_config_rules_evaluation(ConfigRuleNames=[outputs["JobRuleName"]])

        def raised() -> bool:
            cloud.control.clock_advance(30)
            return bool(cloud.control.evaluate_alarms()[name] == "ALARM")

        eventually(raised)
        assert config.get_compliance_details_by_config_rule(**asked)["EvaluationResults"] == before
    # When it may again, Then it judges, and the alarm clears
    assert judged(cloud, outputs)["ComplianceType"]
    cloud.control.clock_advance(600)
    eventually(lambda: cloud.control.evaluate_alarms()[name] == "OK")


def test_a_throttled_service_is_asked_again(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given that SageMaker throttles twice, When the rule is asked for, Then it has a verdict all the same
    cloud.control.faults_add(service="sagemaker", operation="ListTrainingJobs", kind="throttle", times=2)
    assert judged(cloud, outputs)["ComplianceType"]


def test_an_alarm_that_cannot_be_told_is_a_dead_letter(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given a topic whose policy lets EventBridge in no more
    sns, sqs, topic = cloud.client("sns"), cloud.client("sqs"), outputs["TopicArn"]
    before = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    denials = [one for one in json.loads(before)["Statement"] if one["Effect"] == "Deny"]
    nobody = json.dumps({**json.loads(before), "Statement": denials})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=nobody)
    try:
        # When a key is to be deleted, Then the event is in the queue that an alarm watches
        kms = cloud.client("kms")
        kms.schedule_key_deletion(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], PendingWindowInDays=7)
        (letter,) = eventually(lambda: sqs.receive_message(QueueUrl=outputs["DeadLetterQueueUrl"]).get("Messages"))
        assert "ScheduleKeyDeletion" in letter["Body"]
        cloud.control.clock_advance(60)
        eventually(lambda: cloud.control.evaluate_alarms()[outputs["UntoldAlarmName"]] == "ALARM")
    finally:
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=before)
        sqs.purge_queue(QueueUrl=outputs["DeadLetterQueueUrl"])
    cloud.control.clock_advance(600)
    eventually(lambda: cloud.control.evaluate_alarms()[outputs["UntoldAlarmName"]] == "OK")


# --- The questions ---------------------------------------------------------------------------------------------------


def answers(records: list[dict[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """A question's rows over records, by SQLite: Athena's dialect as far as the questions use it."""
    identity, issuer = "useridentity.arn", "useridentity.sessioncontext.sessionissuer.arn"
    query = sql(name, 30).replace(issuer, f'"{issuer}"').replace(f" {identity}", f' "{identity}"')
    query = query.replace("date_format(current_date - interval '30' day, '%Y/%m/%d')", "'2000/01/01'")
    columns = ["eventtime", "eventsource", "eventname", "errorcode", "sourceipaddress", "readonly", "requestparameters"]
    with sqlite3.connect(":memory:") as store:
        store.row_factory = sqlite3.Row
        store.create_function(
            "json_extract_scalar", 2, lambda text, path: text and json.loads(text).get(path.removeprefix("$."))
        )
        store.execute(f'CREATE TABLE trail ({", ".join(columns)}, "{identity}", "{issuer}", day)')
        for one in records:
            low = {key.casefold(): value for key, value in one.items()}
            who = one["userIdentity"]
            row = [low.get(column) for column in columns[:-1]]
            store.execute(
                f"INSERT INTO trail VALUES ({', '.join('?' * (len(columns) + 3))})",
                [
                    *row,
                    one["requestParameters"] and json.dumps(one["requestParameters"]),
                    who["arn"],
                    who.get("sessionContext", {}).get("sessionIssuer", {}).get("arn"),
                    one["eventTime"][:10].replace("-", "/"),
                ],
            )
        return [dict(row) for row in store.execute(query)]


def test_each_question_finds_in_the_archive_what_it_asks_for(
    cloud: LocalCloud, outputs: dict[str, str], story: audit.Report, told_of_story: list[dict[str, Any]]
) -> None:
    # Given calls of each kind, the refused ones too, When the archive has them
    sagemaker = cloud.client("sagemaker")
    for call, named in (
        (sagemaker.create_training_job, {"TrainingJobName": "asked", "RoleArn": "arn:aws:iam::000000000000:role/none"}),
        (sagemaker.delete_endpoint, {"EndpointName": "asked"}),
    ):
        more = (
            {
                "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "none"},
                "OutputDataConfig": {"S3OutputPath": "s3://none/x"},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                "StoppingCondition": {"MaxRuntimeInSeconds": 1},
            }
            if call == sagemaker.create_training_job
            else {}
        )
        with pytest.raises(ClientError):
            call(**named, **more)
    with pytest.raises(ClientError):
        cloud.client("sagemaker-runtime").invoke_endpoint(EndpointName="asked", Body=b"1")

    def recorded() -> list[dict[str, Any]]:
        found = archived(cloud, outputs)
        return found if "InvokeEndpoint" in {one["eventName"] for one in found} else []

    records = told_of_story + eventually(recorded)
    # Then each question has its rows, and none that it does not ask for
    assert "asked" in {row["what"] for row in answers(records, "who-invoked")}
    assert "asked" in {row["what"] for row in answers(records, "who-trained")}
    assert "asked" in {row["what"] for row in answers(records, "who-deployed")}
    reads = answers(records, "who-read")
    assert any(row["who"].endswith(story.read_by) and row["what"].endswith("/record.txt") for row in reads)
    assert {row["eventname"] for row in reads} == {"GetObject"}
    refused = answers(records, "who-was-refused")
    assert {row["errorcode"] for row in refused} <= {"AccessDenied", "AccessDeniedException"}
    assert any(row["who"].endswith(story.read_by) for row in refused), refused
    changed = {row["eventname"] for row in answers(records, "who-changed-rights")}
    assert {"PutRolePolicy", "ScheduleKeyDeletion"} <= changed


def test_the_questions_are_deployed_as_they_are_written(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    athena = cloud.client("athena")
    ids = athena.list_named_queries(WorkGroup=outputs["WorkGroupName"])["NamedQueryIds"]
    found = {one["Name"]: one["QueryString"] for one in athena.batch_get_named_query(NamedQueryIds=ids)["NamedQueries"]}
    assert found == {name: sql(name, 30) for name in QUERIES}


# --- Permissions -----------------------------------------------------------------------------------------------------


def test_nothing_that_was_wanted_is_refused_and_nothing_is_granted_in_vain(cloud: LocalCloud) -> None:
    # Given a copy of the stack, without what an account has once, When it is deployed, driven and destroyed
    name = f"audited-{os.getpid()}"
    assembly = synthesize(ARCHITECTURE, settings={ARCHITECTURE: {"guardduty": False, "config_rules": False}})
    since = last_sequence(cloud)
    try:
        outputs = deploy(cloud, assembly, name, artifact=ARCHITECTURE)
        with listening(cloud, outputs["TopicArn"]):
            done = audit.run(cloud, outputs)
        assert done.complete, done
        # What a question of Athena would leave; none is answered here.
        cloud.client("s3").put_object(Bucket=outputs["AnswersName"], Key="answer.csv", Body=b"when,who")
        cloud.control.evaluate_alarms()
        grants = granted(cloud, name)
    finally:
        destroy(cloud, name)
    report = compare(grants, cloud.control.decisions(since=since), architecture=ARCHITECTURE)
    # Then nothing was refused but on purpose, and every grant was used or is acknowledged
    assert report.problems == (), "\n".join(report.problems)
    assert report.exercised
    assert report.count(Status.MISSING) == 0
