"""Know who did what: the deployed stack notices what it should, and its archive refuses an administrator."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import deploy, destroy, resources
from scenarios import audit
from scenarios.audit import ATTEMPTS, administrator, archived, attempts, listening
from scenarios.roles import client_as
from stacks.secure.audit import CHANGES_OF_THE_ARCHIVE, CHANGES_OF_THE_KEY
from stacks.secure.audit_queries import COLUMNS, QUERIES, sql
from tests.local.emulated import eventually, unique
from tests.local.networking import JOIN, make_vpc
from tests.local.sagemaking import MACHINE, job_role, make_bucket, of_bucket, processing
from tests.mutations import Expectation, Request, of_stack, survivors, wrong
from tests.scenarios.removals import without

ARCHITECTURE = "audit"
EVERYTHING = {"everything": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}


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
    assert ":root called CreateRole" in story.told["a role made"]
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
def their_role(cloud: LocalCloud, told_of_story: list[dict[str, Any]]) -> Iterator[str]:
    """An administrator of the workload, once the archive has something in it."""
    assert told_of_story
    with administrator(cloud) as role:
        yield role


@pytest.fixture(scope="module")
def theirs(cloud: LocalCloud, their_role: str) -> Any:
    """S3 as the administrator."""
    return client_as(cloud, their_role, "s3")


PRIVATE = {"AccessControlPolicy": {"Owner": {"ID": "any"}, "Grants": []}}
RULES: Mapping[str, Any] = {
    "lifecycle": {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]},
    "encryption": {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
    "ownership": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]},
    "replication": {
        "Role": "arn:aws:iam::000000000000:role/any",
        "Rules": [
            {
                "Status": "Enabled",
                "Priority": 1,
                "Filter": {"Prefix": ""},
                "DeleteMarkerReplication": {"Status": "Disabled"},
                "Destination": {"Bucket": "arn:aws:s3:::any"},
            }
        ],
    },
}
OPEN = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False)
# What each denied action is asked for by, of a file of the archive: arguments of the bucket and of the file apart.
CHANGES: Mapping[str, Callable[[Any, dict[str, str], dict[str, str]], Any]] = {
    "s3:BypassGovernanceRetention": lambda s3, b, f: s3.delete_object(**b, **f, BypassGovernanceRetention=True),
    "s3:DeleteBucket": lambda s3, b, _: s3.delete_bucket(**b),
    "s3:DeleteBucketPolicy": lambda s3, b, _: s3.delete_bucket_policy(**b),
    "s3:DeleteObject": lambda s3, b, f: s3.delete_object(**b, Key=f["Key"]),
    "s3:DeleteObjectVersion": lambda s3, b, f: s3.delete_object(**b, **f),
    "s3:PutBucketAcl": lambda s3, b, _: s3.put_bucket_acl(**b, **PRIVATE),
    "s3:PutBucketOwnershipControls": lambda s3, b, _: s3.put_bucket_ownership_controls(
        **b, OwnershipControls=RULES["ownership"]
    ),
    "s3:PutBucketPolicy": lambda s3, b, _: s3.put_bucket_policy(**b, Policy='{"Statement": []}'),
    "s3:PutBucketPublicAccessBlock": lambda s3, b, _: s3.put_public_access_block(
        **b, PublicAccessBlockConfiguration=OPEN
    ),
    "s3:PutBucketVersioning": lambda s3, b, _: s3.put_bucket_versioning(
        **b, VersioningConfiguration={"Status": "Suspended"}
    ),
    "s3:PutEncryptionConfiguration": lambda s3, b, _: s3.put_bucket_encryption(
        **b, ServerSideEncryptionConfiguration=RULES["encryption"]
    ),
    "s3:PutLifecycleConfiguration": lambda s3, b, _: s3.put_bucket_lifecycle_configuration(
        **b, LifecycleConfiguration=RULES["lifecycle"]
    ),
    "s3:PutObjectAcl": lambda s3, b, f: s3.put_object_acl(**b, Key=f["Key"], **PRIVATE),
    "s3:PutObjectVersionAcl": lambda s3, b, f: s3.put_object_acl(**b, **f, **PRIVATE),
    "s3:PutReplicationConfiguration": lambda s3, b, _: s3.put_bucket_replication(
        **b, ReplicationConfiguration=RULES["replication"]
    ),
}
KEY_CHANGES: Mapping[str, Callable[[Any, str], Any]] = {
    "kms:DisableKey": lambda kms, key: kms.disable_key(KeyId=key),
    "kms:DisableKeyRotation": lambda kms, key: kms.disable_key_rotation(KeyId=key),
    "kms:PutKeyPolicy": lambda kms, key: kms.put_key_policy(KeyId=key, PolicyName="default", Policy="{}"),
    "kms:ScheduleKeyDeletion": lambda kms, key: kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7),
}


# What no client asks for: S3 does, for another bucket. The policies, taken apart, have them too.
NOT_ASKED = {"s3:ReplicateDelete", "s3:ReplicateObject"}


@pytest.mark.parametrize("action", sorted(set(CHANGES_OF_THE_ARCHIVE) - NOT_ASKED))
def test_every_change_of_the_archive_is_refused(
    cloud: LocalCloud, outputs: dict[str, str], theirs: Any, action: str
) -> None:
    # Given a file of the archive, When an administrator asks for what would change it, Then the bucket's policy decides
    bucket = {"Bucket": outputs["ArchiveName"]}
    one = cloud.client("s3").list_object_versions(**bucket)["Versions"][0]
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        CHANGES[action](theirs, bucket, {"Key": one["Key"], "VersionId": one["VersionId"]})


@pytest.mark.parametrize("action", CHANGES_OF_THE_KEY)
def test_every_change_of_the_archives_key_is_refused(
    cloud: LocalCloud, outputs: dict[str, str], their_role: str, action: str
) -> None:
    # Given a role with all of KMS, When it would make the records unreadable, Then the key's policy decides
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        KEY_CHANGES[action](client_as(cloud, their_role, "kms"), outputs["KeyArn"])


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


def test_in_a_sandbox_the_stacks_own_function_empties_the_archive_for_whoever_may_invoke_it(
    cloud: LocalCloud, outputs: dict[str, str], told_of_story: list[dict[str, Any]]
) -> None:
    # Given the function that a stack's end has, When somebody else calls it with an end made up, Then the records go:
    # this is what the setting `kept` is for, and what the page says of a sandbox
    assert told_of_story
    functions = cloud.client("lambda").list_functions()["Functions"]
    (name,) = [
        one["FunctionName"]
        for one in functions
        if one["FunctionName"].startswith(f"{ARCHITECTURE}-EmptiedArchiveWorkerFunction")
    ]
    before = {one["VersionId"] for one in _versions(cloud, outputs)}
    made_up = {
        "RequestType": "Delete",
        "ResponseURL": "https://localhost:1/nobody",
        **dict.fromkeys(("StackId", "RequestId", "LogicalResourceId", "PhysicalResourceId"), "made-up"),
        "ResourceProperties": {"BucketName": outputs["ArchiveName"]},
    }
    cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(made_up).encode())
    assert before
    assert not before & {one["VersionId"] for one in _versions(cloud, outputs)}


def _versions(cloud: LocalCloud, outputs: dict[str, str]) -> list[Any]:
    return list(cloud.client("s3").list_object_versions(Bucket=outputs["ArchiveName"]).get("Versions", []))


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
    sagemaker.create_processing_job(**(bare := processing(cloud, bucket, "pass")))
    with listening(cloud, outputs["TopicArn"]) as heard:
        found = judged(cloud, outputs)
        # and the topic tells, once
        told = eventually(lambda: [one for one in heard() if "A rule of Config is broken" in one])
    assert found["ComplianceType"] == "NON_COMPLIANT"
    assert f"1 of 2 jobs. {bare['ProcessingJobName']}: no VPC, volume key" in found["Annotation"]
    (message,) = told
    assert f"{outputs['JobRuleName']} by {LocalCloud.account} in {cloud.region}" in message


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


def leaves(name: str, kind: str) -> Iterator[str]:
    """The columns within a column: `a.b` of a struct `a` with a `b`."""
    if not kind.startswith("struct<"):
        yield name
        return
    depth, start, inner = 0, 0, f"{kind.removeprefix('struct<')[:-1]},"
    for index, letter in enumerate(inner):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "," and not depth:
            field, _, of = inner[start:index].partition(":")
            yield from leaves(f"{name}.{field}", of)
            start = index + 1


def cell(record: Any, column: str) -> Any:
    """What a record has in a column, as the table's serializer gives it: names in any case, JSON as text."""
    for part in column.split("."):
        record = {key.casefold(): value for key, value in (record or {}).items()}.get(part)
    return json.dumps(record) if isinstance(record, (dict, list)) else record


def answers(records: list[dict[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """A question's rows over records, by SQLite: Athena's dialect as far as the questions use it.

    The table has the columns that the deployed one has, so a question that reads another fails.
    """
    columns = [leaf for column, kind in COLUMNS.items() for leaf in leaves(column, kind)]
    query = sql(name, 30).replace("date_format(current_date - interval '30' day, '%Y/%m/%d')", "'2000/01/01'")
    for column in columns:
        if "." in column:
            query = re.sub(rf"(?<![\w.]){re.escape(column)}(?![\w.])", f'"{column}"', query)
    with sqlite3.connect(":memory:") as store:
        store.row_factory = sqlite3.Row
        store.create_function(
            "json_extract_scalar", 2, lambda text, path: text and json.loads(text).get(path.removeprefix("$."))
        )
        quoted = ", ".join(f'"{column}"' for column in columns)
        store.execute(f"CREATE TABLE trail ({quoted}, region, day)")
        store.executemany(
            f"INSERT INTO trail VALUES ({', '.join('?' * (len(columns) + 2))})",
            [
                [
                    *(cell(one, column) for column in columns),
                    one["awsRegion"],
                    one["eventTime"][:10].replace("-", "/"),
                ]
                for one in records
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
        found = told_of_story + archived(cloud, outputs)
        refused = any(row["who"].endswith(story.read_by) for row in answers(found, "who-was-refused"))
        return found if refused and "InvokeEndpoint" in {one["eventName"] for one in found} else []

    records = eventually(recorded, 20)
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


# --- The policies, taken apart --------------------------------------------------------------------------------------


def test_every_denial_and_every_condition_is_missed_when_it_goes(cloud: LocalCloud, outputs: dict[str, str]) -> None:
    # Given all policies of the stack, and what they must allow and refuse
    documents = of_stack(cloud, ARCHITECTURE)
    promises = list(expectations(cloud, outputs))
    assert wrong(promises, documents) == []
    assert sum(not one.allowed for one in promises) >= len(promises) // 2
    # When each denial and each condition is taken out, one by one, Then some promise is broken each time
    assert [str(mutant) for mutant in survivors(promises, documents)] == []


def _judge(cloud: LocalCloud) -> str:
    """The name of the function behind the rule on jobs."""
    found = [name for logical, _, name in resources(cloud, ARCHITECTURE) if logical.startswith("JudgeJobsFunction")]
    return found[0]


def expectations(cloud: LocalCloud, outputs: dict[str, str]) -> Iterator[Expectation]:
    """What the policies promise, in words."""
    account, region = LocalCloud.account, cloud.region
    anybody = f"arn:aws:iam::{account}:role/anybody"
    releaser = f"arn:aws:iam::{account}:role/cdk-x-cfn-exec-role-{account}-{region}"
    archive = f"arn:aws:s3:::{outputs['ArchiveName']}"
    queue = f"arn:aws:sqs:{region}:{account}:{outputs['DeadLetterQueueUrl'].rpartition('/')[2]}"
    trail = {"aws:SourceArn": f"arn:aws:cloudtrail:{region}:{account}:trail/{outputs['TrailName']}"}
    other_trail = {"aws:SourceArn": f"arn:aws:cloudtrail:{region}:{account}:trail/other"}
    ours, others = {"aws:SourceAccount": account}, {"aws:SourceAccount": "999999999999"}

    def on(policy: str, name: str, action: str, resource: str, who: str, *, allowed: bool, **more: Any) -> Expectation:
        key = policy in ("Key", "RecorderRole/trust")
        service = not who.startswith("arn:")
        context = dict(more.get("context", {}))
        if service:
            context["aws:PrincipalServiceName"] = who
        return Expectation(
            f"{policy}: {name}",
            allowed,
            Request(action, resource, who, context),
            resource=[policy],
            required=key,
            extra=EVERYTHING if not service or key else {},
        )

    # Not by plain HTTP, whatever holds something.
    plain = {"aws:SecureTransport": "false"}
    for policy, action, resource in (
        ("ArchivePolicy", "s3:GetObject", f"{archive}/x"),
        ("AnswersPolicy", "s3:GetObject", f"arn:aws:s3:::{outputs['AnswersName']}/x"),
        ("AlarmsPolicy", "sns:Publish", outputs["TopicArn"]),
        ("DeadLettersPolicy", "sqs:ReceiveMessage", queue),
    ):
        yield on(policy, "by TLS", action, resource, anybody, allowed=True)
        yield on(policy, "not by plain HTTP", action, resource, anybody, allowed=False, context=plain)
    # Changes are the keepers' alone.
    for action in CHANGES_OF_THE_ARCHIVE:
        of = archive if "Bucket" in action or "Configuration" in action else f"{archive}/x"
        yield on("ArchivePolicy", f"nobody {action}", action, of, anybody, allowed=False)
        yield on("ArchivePolicy", f"a keeper {action}", action, of, releaser, allowed=True)
    for action in CHANGES_OF_THE_KEY:
        yield on("Key", f"nobody {action}", action, outputs["KeyArn"], anybody, allowed=False)
        yield on("Key", f"a keeper {action}", action, outputs["KeyArn"], releaser, allowed=True)
    # The function that judges jobs is Config's, for this account.
    judge = f"arn:aws:lambda:{region}:{account}:function:{_judge(cloud)}"
    for name, context, allowed in (("for this account", ours, True), ("for no other", others, False)):
        who, action = "config.amazonaws.com", "lambda:InvokeFunction"
        yield on("ConfigMayJudge", name, action, judge, who, allowed=allowed, context=context)
    # Records come from two services, for this trail and this account, and are the owner's.
    own = {"s3:x-amz-acl": "bucket-owner-full-control"}
    file = f"{archive}/AWSLogs/{account}/x"
    yield on("ArchivePolicy", "nobody writes", "s3:PutObject", file, releaser, allowed=False, context=own)
    for who, right, wrong_ in (("cloudtrail", trail, other_trail), ("config", ours, others)):
        service = f"{who}.amazonaws.com"
        for named, context, allowed in (("for us", right, True), ("for others", wrong_, False)):
            where = f"{who} {named}"
            look = {"context": context}
            yield on("ArchivePolicy", f"{where} looks", "s3:GetBucketAcl", archive, service, allowed=allowed, **look)
            write = {"context": {**own, **context}}
            yield on("ArchivePolicy", f"{where} writes", "s3:PutObject", file, service, allowed=allowed, **write)
        keeps = {"context": {"s3:x-amz-acl": "private", **right}}
        yield on("ArchivePolicy", f"{who} keeps what it writes", "s3:PutObject", file, service, allowed=False, **keeps)
    # The key, the topic, the queue and the recorder's role serve this stack's own resources.
    rules = cloud.client("events").list_rules(NamePrefix=f"{ARCHITECTURE}-")["Rules"]
    rule, alarm = rules[0]["Arn"], f"arn:aws:cloudwatch:{region}:{account}:alarm:{outputs['UntoldAlarmName']}"
    encrypted = "kms:EncryptionContext:aws"
    key, topic = outputs["KeyArn"], outputs["TopicArn"]
    for policy, service, action, resource, name, of_ours, of_others in (
        ("Key", "cloudwatch", "kms:Decrypt", key, "aws:SourceArn", alarm, alarm.replace(":audit-", ":other-")),
        (
            "Key",
            f"logs.{region}",
            "kms:Decrypt",
            key,
            f"{encrypted}:logs:arn",
            f"arn:aws:logs:{region}:{account}:log-group:audit-x",
            f"arn:aws:logs:{region}:{account}:log-group:other",
        ),
        (
            "Key",
            "cloudtrail",
            "kms:GenerateDataKey",
            key,
            "aws:SourceArn",
            trail["aws:SourceArn"],
            other_trail["aws:SourceArn"],
        ),
        ("Key", "events", "kms:Decrypt", key, f"{encrypted}:sns:topicArn", topic, topic.replace(":audit-", ":other-")),
        (
            "Key",
            "config",
            "kms:GenerateDataKey",
            key,
            "aws:SourceArn",
            f"arn:aws:config:{region}:{account}:x",
            f"arn:aws:config:{region}:999999999999:x",
        ),
        ("AlarmsPolicy", "events", "sns:Publish", topic, "aws:SourceArn", rule, f"{rule}-other"),
        ("AlarmsPolicy", "cloudwatch", "sns:Publish", topic, "aws:SourceArn", alarm, f"{alarm}-other"),
        ("DeadLettersPolicy", "events", "sqs:SendMessage", queue, "aws:SourceArn", rule, f"{rule}-other"),
        ("RecorderRole/trust", "config", "sts:AssumeRole", "*", "aws:SourceAccount", account, "999999999999"),
    ):
        for value, allowed in ((of_ours, True), (of_others, False)):
            promise = f"{service} for {value}"
            who = f"{service}.amazonaws.com"
            yield on(policy, promise, action, resource, who, allowed=allowed, context={name: value})
