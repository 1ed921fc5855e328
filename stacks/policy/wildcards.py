"""No grant is wider than what it is for: no wildcard in an action, none in place of a resource, no open principal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stacks.policy.template import Problem, Statement, Template, statements, text

CHECK = "wildcards"

# Actions that take no resource, so that a grant has to name `*`. Only what stacks use; source: Service Authorization
# Reference, "Actions, resources, and condition keys for ...", column "Resource types", read 2026-11-23.
WITHOUT_RESOURCE = {
    # Read 2026-11-25. PutMetricData is held to a namespace by a condition; what Step Functions needs for its log it
    # asks for with `*` (AWS Step Functions Developer Guide, "Using CloudWatch Logs to log execution history").
    "cloudwatch:PutMetricData": "Amazon CloudWatch",
    "comprehend:BatchDetectEntities": "Amazon Comprehend",
    "comprehend:BatchDetectSentiment": "Amazon Comprehend",
    "comprehend:DetectEntities": "Amazon Comprehend",
    "comprehend:DetectPiiEntities": "Amazon Comprehend",
    "comprehend:DetectSentiment": "Amazon Comprehend",
    "ec2:DescribeNetworkInterfaces": "Amazon EC2",
    "ec2:DescribeSubnets": "Amazon EC2",
    # Read 2026-11-27. A scalable target's ARN ends with an id that the service makes up: conditions hold the grant to
    # SageMaker's variants. A registry's token is for whatever the role may pull.
    "application-autoscaling:DeregisterScalableTarget": "Application Auto Scaling",
    "application-autoscaling:PutScalingPolicy": "Application Auto Scaling",
    "application-autoscaling:RegisterScalableTarget": "Application Auto Scaling",
    "ecr:GetAuthorizationToken": "Amazon Elastic Container Registry",
    "config:PutEvaluations": "AWS Config",
    "sagemaker:ListApps": "Amazon SageMaker",
    "sagemaker:ListEndpointConfigs": "Amazon SageMaker",
    "sagemaker:ListEndpoints": "Amazon SageMaker",
    "sagemaker:ListModels": "Amazon SageMaker",
    "sagemaker:ListTrainingJobs": "Amazon SageMaker",
    "kms:CreateKey": "AWS Key Management Service",
    "sagemaker:ListNotebookInstances": "Amazon SageMaker",
    "sagemaker:ListProcessingJobs": "Amazon SageMaker",
    "logs:CreateLogDelivery": "Amazon CloudWatch Logs",
    "logs:DeleteLogDelivery": "Amazon CloudWatch Logs",
    "logs:DescribeLogGroups": "Amazon CloudWatch Logs",
    "logs:DescribeResourcePolicies": "Amazon CloudWatch Logs",
    "logs:GetLogDelivery": "Amazon CloudWatch Logs",
    "logs:ListLogDeliveries": "Amazon CloudWatch Logs",
    "logs:PutResourcePolicy": "Amazon CloudWatch Logs",
    "logs:UpdateLogDelivery": "Amazon CloudWatch Logs",
    "textract:AnalyzeDocument": "Amazon Textract",
    "textract:GetDocumentAnalysis": "Amazon Textract",
    "textract:StartDocumentAnalysis": "Amazon Textract",
    "xray:GetSamplingRules": "AWS X-Ray",
    "xray:GetSamplingTargets": "AWS X-Ray",
    "comprehend:BatchDetectDominantLanguage": "Amazon Comprehend",
    "comprehend:BatchDetectKeyPhrases": "Amazon Comprehend",
    # Synthesis takes lexicons as resources; a request that names none is authorised on `*` (the policy in "Setting up
    # the IAM policy for asynchronous synthesis", Amazon Polly Developer Guide, read 2026-11-25).
    "polly:GetSpeechSynthesisTask": "Amazon Polly",
    "polly:StartSpeechSynthesisTask": "Amazon Polly",
    "polly:SynthesizeSpeech": "Amazon Polly",
    "rekognition:DetectLabels": "Amazon Rekognition",
    # What is made or started has no name yet that the action could be held to. Translate takes terminologies as
    # resources; asking for a job takes none.
    "transcribe:CreateVocabulary": "Amazon Transcribe",
    "transcribe:CreateVocabularyFilter": "Amazon Transcribe",
    "transcribe:StartTranscriptionJob": "Amazon Transcribe",
    "translate:DescribeTextTranslationJob": "Amazon Translate",
    # Takes terminologies as resources; a request that names none is authorised on `*`.
    "translate:TranslateText": "Amazon Translate",
    "xray:PutTelemetryRecords": "AWS X-Ray",
    "xray:PutTraceSegments": "AWS X-Ray",
}

# The same, of what a stack asks for with a setting only: SageMaker's jobs in a network.
WITHOUT_RESOURCE_BY_SETTING = {
    "ec2:DescribeDhcpOptions": "Amazon EC2",
    "ec2:DescribeSecurityGroups": "Amazon EC2",
    "ec2:DescribeVpcs": "Amazon EC2",
}

# Actions on resources that get their ids when they are made: AWS wants all of the region (`arn:...:ec2:...:*/*`). AWS
# Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC", read 2026-11-27.
WITHOUT_NAME = {
    "ec2:AssignPrivateIpAddresses": "Amazon EC2",
    "ec2:CreateNetworkInterface": "Amazon EC2",
    "ec2:CreateNetworkInterfacePermission": "Amazon EC2",
    "ec2:DeleteNetworkInterface": "Amazon EC2",
    "ec2:DeleteNetworkInterfacePermission": "Amazon EC2",
    "ec2:UnassignPrivateIpAddresses": "Amazon EC2",
}

# What holds an endpoint's policy to one account: an endpoint grants nothing by itself, and the principal of a gateway
# endpoint has to be everybody (AWS PrivateLink Guide, "Gateway endpoints for Amazon S3").
ENDPOINT = "AWS::EC2::VPCEndpoint"
CALLERS, RESOURCES = "aws:PrincipalAccount", "aws:ResourceAccount"
# What an endpoint may let through without that: the resources are AWS's own models and images, or there are none.
OF_AWS = {
    "bedrock:InvokeModel",
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "sts:GetCallerIdentity",
}
ACCOUNT = "${AWS::AccountId}"

# Actions that only read, and whose purpose is to read every resource of a kind in the account.
READS_ALL = {
    "sagemaker:DescribeProcessingJob": "audit judges every job, whatever it is called",
    "sagemaker:DescribeTrainingJob": "audit judges every job, whatever it is called",
}

# The statement that makes IAM policies count for a key; without it a key can become unmanageable (AWS KMS Developer
# Guide, "Default key policy", read 2026-11-23).
KEY_ADMINISTRATION = ("AWS", "arn:${AWS::Partition}:iam::${AWS::AccountId}:root", "kms:*")


def check(template: Template) -> list[Problem]:
    """Every grant that is too wide. Denials may be as wide as they like."""
    problems = []
    limits = boundaries(template)
    for statement in statements(template):
        if statement.allows and statement.logical_id not in limits:
            where = f"{template.architecture} {statement.logical_id}"
            problems += [Problem(CHECK, where, message) for message in _faults(statement)]
    for logical_id, permission in template.resources("AWS::Lambda::Permission"):
        properties = permission["Properties"]
        if not {"SourceArn", "SourceAccount", "PrincipalOrgID"} & set(properties):
            message = f"{properties.get('Principal')} may invoke the function on behalf of anyone: name a source"
            problems.append(Problem(CHECK, f"{template.architecture} {logical_id}", message))
    for logical_id, endpoint in template.resources(ENDPOINT):
        where = f"{template.architecture} {logical_id}"
        problems += [Problem(CHECK, where, message) for message in _open_doors(endpoint["Properties"])]
    return problems


def _open_doors(properties: Mapping[str, Any]) -> Iterator[str]:
    """What an endpoint gets where nothing is said: AWS PrivateLink Guide, "Control access to VPC endpoints using
    endpoint policies", and "Access an AWS service using an interface VPC endpoint", on the default security group."""
    if "PolicyDocument" not in properties:
        yield "lets everything through: give the endpoint a policy"
    if properties.get("VpcEndpointType") == "Interface" and not properties.get("SecurityGroupIds"):
        yield "gets the network's default security group: give the endpoint one of its own"


def boundaries(template: Template) -> set[str]:
    """Policies that are boundaries and nothing else: they grant nothing, whatever they let pass.

    A boundary that roles of tomorrow are to bear, as no role of the template has it yet, is told by the statement that
    demands it of them: a condition on `iam:PermissionsBoundary` names it.
    """
    granting: set[str] = set()
    limiting: set[str] = set()
    for logical_id, resource in template.resources():
        properties = resource.get("Properties", {})
        limiting |= _referred(properties.get("PermissionsBoundary"))
        # What is no reference is a policy of AWS's, by its ARN.
        granting |= _referred(properties.get("ManagedPolicyArns"))
        if {"Roles", "Users", "Groups"} & properties.keys() and resource["Type"] == "AWS::IAM::ManagedPolicy":
            granting.add(logical_id)
    for statement in statements(template):
        for block in statement.body.get("Condition", {}).values():
            limiting |= _referred(block.get("iam:PermissionsBoundary"))
    return limiting - granting


def _referred(value: Any) -> set[str]:
    listed = value if isinstance(value, list) else [value]
    return {one["Ref"] for one in listed if isinstance(one, dict) and "Ref" in one}


def _faults(statement: Statement) -> Iterator[str]:
    for inverted in ("NotAction", "NotResource", "NotPrincipal"):
        if inverted in statement.body:
            yield f"allows by {inverted}: name what is allowed"
    yield from _wide_actions(statement)
    yield from _wide_targets(statement)
    yield from _open_principals(statement)


def _wide_actions(statement: Statement) -> Iterator[str]:
    for action in statement.actions:
        administers = statement.resource_type == "AWS::KMS::Key" and [
            (*principal, action) for principal in statement.principals
        ] == [KEY_ADMINISTRATION]
        if ("*" in action or "?" in action) and not administers:
            yield f"allows {action}: name each action"


def _wide_targets(statement: Statement) -> Iterator[str]:
    if statement.resource_type == "AWS::KMS::Key":
        # In a key policy `*` is this key (AWS KMS Developer Guide, "Key policies in AWS KMS").
        return
    for target in statement.targets:
        if target == "*":
            free = WITHOUT_RESOURCE.keys() | WITHOUT_RESOURCE_BY_SETTING.keys()
            if statement.resource_type == ENDPOINT:
                free |= OF_AWS
            scoped = [action for action in statement.actions if action not in free]
            if scoped and not _held_to_account(statement, RESOURCES):
                yield f"allows {', '.join(scoped)} on every resource"
        elif target.startswith("arn:") and _is_wide(target):
            named = [action for action in statement.actions if action not in WITHOUT_NAME and action not in READS_ALL]
            if named:
                yield f"allows {', '.join(named)} on {target}: name the resource"


def lets_everyone_in(statement: Statement) -> bool:
    """Whether `*` is among its principals, and nothing else holds it.

    An endpoint may lead everybody to what it names, and those of the account anywhere.
    """
    named = statement.resource_type == ENDPOINT and "*" not in statement.targets
    return "*" in {name for _, name in statement.principals} and not named and not _held_to_account(statement, CALLERS)


def _held_to_account(statement: Statement, key: str) -> bool:
    """Whether it is an endpoint's, and by this condition key about the stack's own account only."""
    equals = statement.body.get("Condition", {}).get("StringEquals", {})
    return statement.resource_type == ENDPOINT and text(equals.get(key, "")) == ACCOUNT


def _is_wide(arn: str) -> bool:
    """Whether an ARN leaves open the service, or which resource of a type: `arn:...:table/*` and `arn:...:*` do."""
    fields = arn.split(":", 5)
    if len(fields) < 6 or "*" in fields[2]:  # arn:partition:service:region:account:resource
        return True
    typed = re.split("[:/]", fields[5], maxsplit=1)
    # A bucket has no type before its name.
    name = typed[1] if len(typed) > 1 and fields[2] != "s3" else fields[5]
    return name.startswith("*")


def _open_principals(statement: Statement) -> Iterator[str]:
    for kind, name in statement.principals:
        if name == "*" and lets_everyone_in(statement):
            yield "allows everyone"
        elif kind == "Service" and statement.kind == "resource" and not statement.body.get("Condition"):
            yield f"allows {name} on behalf of anyone: name a source in a condition"
