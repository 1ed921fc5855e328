"""All that a cloud holds, asked for through AWS's own APIs: what a stack leaves behind shows in it.

Every type of the stacks' templates is listed or belongs to one that is; `unlisted` names those that are neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scenarios.cloud import Cloud

# What is listed: by type, the client, its operation, and where the names are in the answer: a list, or a member of each
# of its items.
LISTED: Mapping[str, tuple[str, str, str]] = {
    "AWS::ApiGateway::RestApi": ("apigateway", "get_rest_apis", "items[].id"),
    "AWS::ApplicationAutoScaling::ScalableTarget": (
        "application-autoscaling",
        "describe_scalable_targets",
        "ScalableTargets[].ResourceId",
    ),
    "AWS::Athena::NamedQuery": ("athena", "list_named_queries", "NamedQueryIds"),
    "AWS::Athena::WorkGroup": ("athena", "list_work_groups", "WorkGroups[].Name"),
    "AWS::Budgets::Budget": ("budgets", "describe_budgets", "Budgets[].BudgetName"),
    "AWS::CloudFormation::Stack": ("cloudformation", "describe_stacks", "Stacks[].StackName"),
    "AWS::CloudTrail::Trail": ("cloudtrail", "list_trails", "Trails[].Name"),
    "AWS::CloudWatch::Alarm": ("cloudwatch", "describe_alarms", "MetricAlarms[].AlarmName"),
    "AWS::CloudWatch::CompositeAlarm": ("cloudwatch", "describe_alarms", "CompositeAlarms[].AlarmName"),
    "AWS::CloudWatch::Dashboard": ("cloudwatch", "list_dashboards", "DashboardEntries[].DashboardName"),
    "AWS::Config::ConfigRule": ("config", "describe_config_rules", "ConfigRules[].ConfigRuleName"),
    "AWS::Config::ConfigurationRecorder": (
        "config",
        "describe_configuration_recorders",
        "ConfigurationRecorders[].name",
    ),
    "AWS::Config::DeliveryChannel": ("config", "describe_delivery_channels", "DeliveryChannels[].name"),
    "AWS::DynamoDB::Table": ("dynamodb", "list_tables", "TableNames"),
    "AWS::EC2::FlowLog": ("ec2", "describe_flow_logs", "FlowLogs[].FlowLogId"),
    "AWS::EC2::NetworkInterface": ("ec2", "describe_network_interfaces", "NetworkInterfaces[].NetworkInterfaceId"),
    "AWS::EC2::RouteTable": ("ec2", "describe_route_tables", "RouteTables[].RouteTableId"),
    "AWS::EC2::SecurityGroup": ("ec2", "describe_security_groups", "SecurityGroups[].GroupId"),
    "AWS::EC2::Subnet": ("ec2", "describe_subnets", "Subnets[].SubnetId"),
    "AWS::EC2::VPC": ("ec2", "describe_vpcs", "Vpcs[].VpcId"),
    "AWS::EC2::VPCEndpoint": ("ec2", "describe_vpc_endpoints", "VpcEndpoints[].VpcEndpointId"),
    "AWS::ECR::Repository": ("ecr", "describe_repositories", "repositories[].repositoryName"),
    "AWS::Events::Rule": ("events", "list_rules", "Rules[].Name"),
    "AWS::Glue::Database": ("glue", "get_databases", "DatabaseList[].Name"),
    "AWS::GuardDuty::Detector": ("guardduty", "list_detectors", "DetectorIds"),
    "AWS::IAM::Group": ("iam", "list_groups", "Groups[].GroupName"),
    "AWS::IAM::ManagedPolicy": ("iam", "list_policies", "Policies[].Arn"),
    "AWS::IAM::Role": ("iam", "list_roles", "Roles[].RoleName"),
    "AWS::KMS::Alias": ("kms", "list_aliases", "Aliases[].AliasName"),
    "AWS::KMS::Key": ("kms", "list_keys", "Keys[].KeyId"),
    "AWS::Lambda::EventSourceMapping": ("lambda", "list_event_source_mappings", "EventSourceMappings[].UUID"),
    "AWS::Lambda::Function": ("lambda", "list_functions", "Functions[].FunctionName"),
    "AWS::Logs::LogGroup": ("logs", "describe_log_groups", "logGroups[].logGroupName"),
    "AWS::S3::Bucket": ("s3", "list_buckets", "Buckets[].Name"),
    "AWS::SNS::Subscription": ("sns", "list_subscriptions", "Subscriptions[].SubscriptionArn"),
    "AWS::SNS::Topic": ("sns", "list_topics", "Topics[].TopicArn"),
    "AWS::SQS::Queue": ("sqs", "list_queues", "QueueUrls"),
    "AWS::SSM::Parameter": ("ssm", "describe_parameters", "Parameters[].Name"),
    "AWS::SageMaker::Domain": ("sagemaker", "list_domains", "Domains[].DomainId"),
    "AWS::SageMaker::Endpoint": ("sagemaker", "list_endpoints", "Endpoints[].EndpointName"),
    "AWS::SageMaker::EndpointConfig": ("sagemaker", "list_endpoint_configs", "EndpointConfigs[].EndpointConfigName"),
    "AWS::SageMaker::Model": ("sagemaker", "list_models", "Models[].ModelName"),
    "AWS::SageMaker::ModelPackageGroup": (
        "sagemaker",
        "list_model_package_groups",
        "ModelPackageGroupSummaryList[].ModelPackageGroupName",
    ),
    "AWS::SageMaker::MonitoringSchedule": (
        "sagemaker",
        "list_monitoring_schedules",
        "MonitoringScheduleSummaries[].MonitoringScheduleName",
    ),
    "AWS::SageMaker::NotebookInstance": (
        "sagemaker",
        "list_notebook_instances",
        "NotebookInstances[].NotebookInstanceName",
    ),
    "AWS::SageMaker::NotebookInstanceLifecycleConfig": (
        "sagemaker",
        "list_notebook_instance_lifecycle_configs",
        "NotebookInstanceLifecycleConfigs[].NotebookInstanceLifecycleConfigName",
    ),
    "AWS::SageMaker::Pipeline": ("sagemaker", "list_pipelines", "PipelineSummaries[].PipelineName"),
    "AWS::SageMaker::UserProfile": ("sagemaker", "list_user_profiles", "UserProfiles[].UserProfileName"),
    "AWS::Scheduler::Schedule": ("scheduler", "list_schedules", "Schedules[].Name"),
    "AWS::SecretsManager::Secret": ("secretsmanager", "list_secrets", "SecretList[].Name"),
    "AWS::StepFunctions::StateMachine": ("stepfunctions", "list_state_machines", "stateMachines[].name"),
    # Not of a template by themselves: what a custom resource makes, and what bears a tag and is none of the above.
    "polly lexicon": ("polly", "list_lexicons", "Lexicons[].Name"),
    "tagged": ("resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList[].ResourceARN"),
    "transcribe filter": ("transcribe", "list_vocabulary_filters", "VocabularyFilters[].VocabularyFilterName"),
    "transcribe vocabulary": ("transcribe", "list_vocabularies", "Vocabularies[].VocabularyName"),
    "translate terminology": ("translate", "list_terminologies", "TerminologyPropertiesList[].Name"),
}

ASKED: Mapping[str, Mapping[str, Any]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": {"ServiceNamespace": "sagemaker"},
    "AWS::CloudWatch::CompositeAlarm": {"AlarmTypes": ["CompositeAlarm"]},
    # The others are AWS's.
    "AWS::IAM::ManagedPolicy": {"Scope": "Local"},
}

# What is part of another resource and goes with it, or, of a custom resource, is listed for what it makes.
PARTS = {
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::RequestValidator",
    "AWS::ApiGateway::Resource",
    "AWS::ApiGateway::Stage",
    "AWS::CDK::Metadata",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::Glue::Table",
    "AWS::IAM::Policy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "Custom::EmptiedBucket",
    "Custom::LanguageResources",
    "Custom::PlacedFiles",
    "Custom::ReplicaBucket",
    "Custom::RetiredEndpoint",
    "Custom::RetiredPipeline",
}


def unlisted(assembly: Path) -> set[str]:
    """Types of an assembly's templates of which the inventory would not see what is left."""
    found: set[str] = set()
    for template in assembly.glob("*.template.json"):
        resources = json.loads(template.read_text(encoding="utf-8"))["Resources"]
        found |= {resource["Type"] for resource in resources.values()}
    return found - LISTED.keys() - PARTS


def held(cloud: Cloud, account: str) -> set[tuple[str, str]]:
    """All resources of an account in the cloud's region, as (type, name).

    Without the keys of KMS that wait for their deletion: nobody can delete one at once, here or on AWS.
    """
    gone = {key for key in _names(cloud, account, "AWS::KMS::Key") if _is_going(cloud, key)}
    return {
        (kind, name)
        for kind in LISTED
        for name in _names(cloud, account, kind)
        if name.rpartition("/")[2] not in gone or kind not in ("AWS::KMS::Key", "tagged")
    }


def _names(cloud: Cloud, account: str, kind: str) -> Iterator[str]:
    service, operation, path = LISTED[kind]
    client = cloud.client(service)
    asked = ASKED.get(kind, {}) if kind != "AWS::Budgets::Budget" else {"AccountId": account}
    if client.can_paginate(operation):
        pages = list(client.get_paginator(operation).paginate(**asked))
    else:
        pages = [getattr(client, operation)(**asked)]
    listed, _, member = path.partition("[].")
    for page in pages:
        # SQS answers without a list where there is nothing.
        yield from (item[member] if member else item for item in page.get(listed, []))


def _is_going(cloud: Cloud, key: str) -> bool:
    state: str = cloud.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    return state == "PendingDeletion"
