"""What an account holds, and what is put into the stacks so that one can see whether it is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.deploy import resources, stacks
from stacks.policy import stateful

KEY = "kept/by-the-update.txt"
CONTENT = b"what a user stored"

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
    ("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
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
    """Puts a row into every table and an object into every bucket, and reads every secret.

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
