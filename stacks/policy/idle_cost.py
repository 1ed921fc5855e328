"""What a stack costs while nobody uses it, and whether the catalogue says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacks.policy.template import Problem, Template

CHECK = "idle cost"

# US dollars a month in us-east-1 for a resource that exists and is not used, without free tier. A type that is not
# here is refused until somebody has looked it up. Sources, read 2026-11-23: the services' pricing pages.
MONTHLY = {
    "AWS::ApiGateway::Deployment": 0.0,
    "AWS::ApiGateway::Method": 0.0,
    "AWS::ApiGateway::RequestValidator": 0.0,
    "AWS::ApiGateway::Resource": 0.0,
    "AWS::ApiGateway::RestApi": 0.0,
    "AWS::ApiGateway::Stage": 0.0,  # without a cache
    # Paid by what is asked, recorded, evaluated or read; the first copy of management events is free (AWS
    # CloudTrail pricing, read 2026-11-28).
    "AWS::Athena::NamedQuery": 0.0,
    "AWS::Athena::WorkGroup": 0.0,
    "AWS::CloudTrail::Trail": 0.0,
    "AWS::Config::ConfigRule": 0.0,
    "AWS::Config::ConfigurationRecorder": 0.0,
    "AWS::Config::DeliveryChannel": 0.0,
    "AWS::Glue::Database": 0.0,
    "AWS::Glue::Table": 0.0,
    "AWS::GuardDuty::Detector": 0.0,
    # Without actions: AWS Budgets pricing, as a public repository quotes it, read 2026-11-28.
    "AWS::Budgets::Budget": 0.0,
    "AWS::CDK::Metadata": 0.0,
    "AWS::CloudWatch::Alarm": 0.10,  # Amazon CloudWatch pricing: a standard alarm, one metric
    "AWS::CloudWatch::CompositeAlarm": 0.50,  # Amazon CloudWatch pricing: a composite alarm; read 2026-11-27
    "AWS::CloudWatch::Dashboard": 3.00,  # Amazon CloudWatch pricing: a custom dashboard; an account's first 3 are free
    "AWS::DynamoDB::Table": 0.0,  # on demand
    "AWS::EC2::FlowLog": 0.0,  # per gigabyte taken in
    "AWS::EC2::RouteTable": 0.0,
    "AWS::EC2::SecurityGroup": 0.0,
    "AWS::EC2::Subnet": 0.0,
    "AWS::EC2::SubnetRouteTableAssociation": 0.0,
    "AWS::EC2::VPC": 0.0,
    # An interface endpoint in one zone, 0.01 an hour, 720 hours (AWS PrivateLink pricing, which counts each zone; the
    # figure is not in the copy of the page that could be read 2026-11-27, other pages give it). Gateways are free.
    "AWS::EC2::VPCEndpoint": 7.20,
    "AWS::Events::Rule": 0.0,
    "AWS::IAM::ManagedPolicy": 0.0,
    "AWS::IAM::Policy": 0.0,
    "AWS::IAM::Role": 0.0,
    "AWS::KMS::Key": 1.00,  # AWS KMS pricing: a customer managed key
    # Five long polls of 20 seconds at a time (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS") are 648,000
    # requests in 30 days, at 0.40 a million (Amazon SQS pricing); an account's first million is free.
    "AWS::Lambda::EventInvokeConfig": 0.0,
    "AWS::Lambda::EventSourceMapping": 0.26,
    "AWS::Lambda::Function": 0.0,
    "AWS::Lambda::Permission": 0.0,
    "AWS::Logs::LogGroup": 0.0,
    "AWS::S3::Bucket": 0.0,
    "AWS::S3::BucketPolicy": 0.0,
    # Definitions and groups cost nothing by themselves; jobs and endpoints are paid by the second that they run. A
    # schedule is paid by the call, and 744 a month are a tenth of a cent. (Read 2026-11-27.)
    "AWS::SageMaker::DataQualityJobDefinition": 0.0,
    "AWS::SageMaker::Domain": 0.0,
    "AWS::SageMaker::UserProfile": 0.0,
    # An ml.t3.medium that runs all month, 0.05 an hour (from memory of the pricing page, 2026-11-27).
    "AWS::SageMaker::NotebookInstance": 36.50,
    "AWS::SageMaker::NotebookInstanceLifecycleConfig": 0.0,
    "AWS::SageMaker::ModelPackageGroup": 0.0,
    "AWS::SageMaker::MonitoringSchedule": 0.0,
    "AWS::SageMaker::Pipeline": 0.0,
    "AWS::Scheduler::Schedule": 0.0,
    "AWS::SecretsManager::Secret": 0.40,  # AWS Secrets Manager pricing: a secret; read 2026-11-25
    "AWS::SNS::Subscription": 0.0,
    "AWS::SNS::Topic": 0.0,
    "AWS::SNS::TopicPolicy": 0.0,
    "AWS::SQS::Queue": 0.0,
    "AWS::SQS::QueuePolicy": 0.0,
    "AWS::StepFunctions::StateMachine": 0.0,  # per state transition
    "Custom::EmptiedBucket": 0.0,
    # Vocabularies, filters and terminologies cost nothing by themselves (Amazon Transcribe and Translate pricing).
    "Custom::LanguageResources": 0.0,
    "Custom::PlacedFiles": 0.0,
    "Custom::ReplicaBucket": 1.00,  # AWS KMS pricing: each replica of a multi-region key; read 2026-11-27
    "Custom::RetiredEndpoint": 0.0,
    "Custom::RetiredPipeline": 0.0,
}


def monthly(template: Template) -> float:
    """US dollars a month for the resources of a template while they are idle; unknown types count nothing."""
    return round(sum(units(resource) * MONTHLY.get(resource["Type"], 0.0) for _, resource in template.resources()), 2)


def units(resource: Mapping[str, Any]) -> int:
    """How many times a resource costs its price: an interface endpoint once a zone, a gateway never."""
    if resource["Type"] != "AWS::EC2::VPCEndpoint":
        return 1
    properties = resource["Properties"]
    return len(properties.get("SubnetIds", ())) if properties.get("VpcEndpointType") == "Interface" else 0


def check(template: Template, declared: float | None = None) -> list[Problem]:
    """Every resource type of which nobody has said what it costs, and a sum that differs from the `declared` one."""
    problems = [
        Problem(CHECK, f"{template.architecture} {logical_id}", f"{resource['Type']}: say what it costs while idle")
        for logical_id, resource in template.resources()
        if resource["Type"] not in MONTHLY
    ]
    if declared is not None and abs(monthly(template) - declared) >= 0.01:
        message = f"costs {monthly(template):.2f} dollars a month while idle, the catalogue says {declared:.2f}"
        problems.append(Problem(CHECK, template.architecture, message))
    return problems
