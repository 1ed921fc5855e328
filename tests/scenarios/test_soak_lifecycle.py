"""All stacks side by side, from the version before to the end: deployed, filled, updated, read back, deleted."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import drift
from local.assembly import synthesize
from local.cloud import LocalCloud
from local.deploy import VERSION_PARAMETER, deploy, destroy, resources, stacks
from stacks import catalogue
from stacks.policy import references, stateful
from stacks.policy.template import read
from tests.local.emulated import unique
from tests.scenarios import earlier

pytestmark = pytest.mark.soak

KEY = "kept/by-the-update.txt"
CONTENT = b"what a user stored"

# Buckets that take nothing from here, with the reason.
CLOSED: Mapping[str, str] = {}

# By service what an account has of it: the call, and where the names are in its answer. With a paginator where there
# may be many.
LISTED: Sequence[tuple[str, str, str, str]] = (
    ("apigateway", "get_rest_apis", "items", "id"),
    ("athena", "list_work_groups", "WorkGroups", "Name"),
    ("cloudtrail", "list_trails", "Trails", "Name"),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("cloudwatch", "describe_alarms", "CompositeAlarms", "AlarmName"),
    ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    ("config", "describe_config_rules", "ConfigRules", "ConfigRuleName"),
    ("config", "describe_configuration_recorders", "ConfigurationRecorders", "name"),
    ("config", "describe_delivery_channels", "DeliveryChannels", "name"),
    ("dynamodb", "list_tables", "TableNames", ""),
    ("ec2", "describe_flow_logs", "FlowLogs", "FlowLogId"),
    ("ec2", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    ("ec2", "describe_subnets", "Subnets", "SubnetId"),
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    ("events", "list_rules", "Rules", "Name"),
    ("glue", "get_databases", "DatabaseList", "Name"),
    ("guardduty", "list_detectors", "DetectorIds", ""),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
    ("lambda", "list_functions", "Functions", "FunctionName"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("s3", "list_buckets", "Buckets", "Name"),
    ("sagemaker", "list_domains", "Domains", "DomainId"),
    ("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    ("sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList", "ModelPackageGroupName"),
    ("sagemaker", "list_models", "Models", "ModelName"),
    (
        "sagemaker",
        "list_notebook_instance_lifecycle_configs",
        "NotebookInstanceLifecycleConfigs",
        "NotebookInstanceLifecycleConfigName",
    ),
    ("sagemaker", "list_notebook_instances", "NotebookInstances", "NotebookInstanceName"),
    ("sagemaker", "list_pipelines", "PipelineSummaries", "PipelineName"),
    ("sagemaker", "list_user_profiles", "UserProfiles", "UserProfileName"),
    ("scheduler", "list_schedules", "Schedules", "Name"),
    ("secretsmanager", "list_secrets", "SecretList", "Name"),
    ("sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("sqs", "list_queues", "QueueUrls", ""),
    ("stepfunctions", "list_state_machines", "stateMachines", "name"),
    ("transcribe", "list_vocabularies", "Vocabularies", "VocabularyName"),
    ("transcribe", "list_vocabulary_filters", "VocabularyFilters", "VocabularyFilterName"),
    ("translate", "list_terminologies", "TerminologyPropertiesList", "Name"),
)


@dataclass
class Course:
    """What happened to the stacks."""

    order: Sequence[str]
    # Why there was no version before, where there was none: then this version is deployed twice.
    no_history: str = ""
    filled: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[tuple[str, str], str] = field(default_factory=dict)
    after: Mapping[tuple[str, str], str] = field(default_factory=dict)
    drifted: Mapping[str, drift.Report] = field(default_factory=dict)
    left: Mapping[str, set[str]] = field(default_factory=dict)


def together() -> str:
    """All that is built, last what wants its neighbours with other settings."""
    ids = [one.id for one in catalogue.available()]
    return ",".join([*(one for one in ids if one != "secure-studio"), "secure-studio"])


def inventory(cloud: LocalCloud) -> dict[str, set[str]]:
    """All that the account has, by service and kind."""
    found: dict[str, set[str]] = {"stacks": set(stacks(cloud))}
    for service, operation, answer, name in LISTED:
        client = cloud.client(service)
        if client.can_paginate(operation):
            pages = list(client.get_paginator(operation).paginate())
        else:
            pages = [getattr(client, operation)()]
        items = [item for page in pages for item in page.get(answer, ())]
        found[f"{service} {answer}"] = {item if isinstance(item, str) else item[name] for item in items}
    policies = cloud.client("iam").get_paginator("list_policies").paginate(Scope="Local")
    found["iam Policies"] = {policy["PolicyName"] for page in policies for policy in page["Policies"]}
    account = cloud.client("sts").get_caller_identity()["Account"]
    budgets = cloud.client("budgets").describe_budgets(AccountId=account).get("Budgets", ())
    found["budgets"] = {budget["BudgetName"] for budget in budgets}
    for region in (cloud.region, "us-west-2"):
        kms = cloud.client("kms", region_name=region)
        keys = [key["KeyId"] for page in kms.get_paginator("list_keys").paginate() for key in page["Keys"]]
        described = [kms.describe_key(KeyId=key)["KeyMetadata"] for key in keys]
        # A key cannot go at once: it waits, costs nothing, and can be used no more.
        found[f"kms {region}"] = {key["KeyId"] for key in described if key["KeyState"] != "PendingDeletion"}
    return found


def stored(cloud: LocalCloud, names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """The resources that hold data, as (stack and logical id, type, name)."""
    for stack in names:
        for logical, kind, name in resources(cloud, stack):
            if kind in stateful.HOLDING:
                yield f"{stack} {logical}", kind, name


def fill(cloud: LocalCloud, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Puts a row into every table, an object into every bucket, an event into every log group.

    Returns what is in them by resource, and what was refused with the reason.
    """
    filled, refused = {}, {}
    put: Mapping[str, Callable[[LocalCloud, str], Any]] = {
        "AWS::DynamoDB::Table": put_row,
        "AWS::S3::Bucket": put_object,
        "AWS::SecretsManager::Secret": read_secret,
    }
    for where, kind, name in stored(cloud, names):
        if kind in put:
            try:
                filled[where] = put[kind](cloud, name)
            except ClientError as error:
                refused[where] = error.response["Error"]["Code"]
    return filled, refused


def put_row(cloud: LocalCloud, table: str) -> Any:
    client = cloud.client("dynamodb")
    described = client.describe_table(TableName=table)["Table"]
    kinds = {one["AttributeName"]: one["AttributeType"] for one in described["AttributeDefinitions"]}
    values = {"S": "kept", "N": "1", "B": b"kept"}
    keys = [key["AttributeName"] for key in described["KeySchema"]]
    row = {name: {kinds[name]: values[kinds[name]]} for name in keys}
    client.put_item(TableName=table, Item={**row, "kept": {"S": CONTENT.decode()}})
    return read_row(cloud, table)


def read_row(cloud: LocalCloud, table: str) -> Any:
    found = cloud.client("dynamodb").scan(TableName=table)["Items"]
    return [row for row in found if row.get("kept") == {"S": CONTENT.decode()}]


def put_object(cloud: LocalCloud, bucket: str) -> Any:
    cloud.client("s3").put_object(Bucket=bucket, Key=KEY, Body=CONTENT)
    return read_object(cloud, bucket)


def read_object(cloud: LocalCloud, bucket: str) -> Any:
    return cloud.client("s3").get_object(Bucket=bucket, Key=KEY)["Body"].read()


def read_secret(cloud: LocalCloud, secret: str) -> Any:
    return cloud.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]


def contents(cloud: LocalCloud, names: Sequence[str]) -> dict[str, Any]:
    """What is in the tables, buckets and secrets of these stacks; nothing where it is gone."""
    reading: Mapping[str, Callable[[LocalCloud, str], Any]] = {
        "AWS::DynamoDB::Table": read_row,
        "AWS::S3::Bucket": read_object,
        "AWS::SecretsManager::Secret": read_secret,
    }
    found = {}
    for where, kind, name in stored(cloud, names):
        if kind in reading:
            with contextlib.suppress(ClientError):
                found[where] = reading[kind](cloud, name)
    return found


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Takes all stacks through it, on a cloud of their own."""
    present = synthesize(together())
    order = list(reversed(references.deletion_order(read(present))))
    past, course = present, Course(order)
    earlier_order = order
    try:
        past = earlier.assembly(earlier.version(), together(), tmp_path_factory.mktemp("earlier") / "version")
        there = {template.architecture for template in read(past)}
        earlier_order = [name for name in order if name in there]
    except earlier.NoHistoryError as error:
        course.no_history = str(error)
    with LocalCloud.start(unique("course")) as cloud:
        empty = inventory(cloud)
        for name in earlier_order:
            deploy(cloud, past, name)
        course.filled, course.refused = fill(cloud, earlier_order)
        course.before = {(where, kind): name for where, kind, name in stored(cloud, earlier_order)}
        for name in order:
            deploy(cloud, present, name)
        course.after = {(where, kind): name for where, kind, name in stored(cloud, order)}
        course.kept = contents(cloud, order)
        course.drifted = {name: drift.look(cloud, name) for name in order}
        for name in reversed(order):
            destroy(cloud, name)
        rest = inventory(cloud)
        course.left = {kind: names - empty[kind] for kind, names in rest.items() if names - empty[kind]}
        yield course
    shutil.rmtree(cloud.folder, ignore_errors=True)


def test_an_update_from_the_version_before_keeps_rows_objects_and_secrets(course: Course) -> None:
    # Given the stacks of the version before, with something in each table and bucket
    if course.no_history:
        pytest.skip(f"not run: {course.no_history}")
    assert dict(course.refused) == dict(CLOSED)
    assert len(course.filled) > 20
    assert all(course.filled.values())
    # When each was updated to this version, Then all of it is there
    assert {where: course.kept.get(where) for where in course.filled} == course.filled


def test_an_update_from_the_version_before_makes_nothing_anew_that_holds_data(course: Course) -> None:
    # Given the resources that hold data, as the version before made them
    if course.no_history:
        pytest.skip(f"not run: {course.no_history}")
    assert len(course.before) > 100
    # Then the update left each of them where it was
    moved = {
        what: (name, course.after.get(what)) for what, name in course.before.items() if course.after.get(what) != name
    }
    assert moved == {}


def test_what_is_deployed_is_what_the_templates_say(course: Course) -> None:
    # Given every stack, read back by the services' own APIs
    assert sum(report.compared for report in course.drifted.values()) > 2_000
    # Then nothing differs but what the local cloud is known not to keep
    assert {name: list(map(str, one.differences)) for name, one in course.drifted.items() if one.differences} == {}
    # and that list has nothing that it keeps, nor any reason for a property that is read
    assert {what for one in course.drifted.values() for what in one.not_kept} == drift.NOT_KEPT.keys()
    told = {what for one in course.drifted.values() for what in one.not_read}
    assert {
        what for what in told if what[1] not in ("Tags", "ResourceTags") and not what[0].startswith("Custom::")
    } == (drift.NOT_READ.keys())


def test_deleting_all_stacks_leaves_nothing(course: Course) -> None:
    # Given an account in which all stacks stood, and were deleted, those first that import from others
    # Then it has what it had before, and CDK's bootstrap
    bootstrap = {name for name in course.left.get("s3 Buckets", ()) if name.startswith("cdk-")}
    assert len(bootstrap) == 1
    assert {kind: names - bootstrap for kind, names in course.left.items() if names - bootstrap} == {}
    assert VERSION_PARAMETER
