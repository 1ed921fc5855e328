"""No grant is wider than what it is for: no wildcard in an action, none in place of a resource, no open principal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacks.policy.template import Problem, Statement, Template, statements

CHECK = "wildcards"

# Actions that take no resource, so that a grant has to name `*`. Only what stacks use; source: Service Authorization
# Reference, "Actions, resources, and condition keys for ...", column "Resource types", read 2026-11-23.
WITHOUT_RESOURCE = {
    # Read 2026-11-25. PutMetricData is held to a namespace by a condition; what Step Functions needs for its log it
    # asks for with `*` (AWS Step Functions Developer Guide, "Using CloudWatch Logs to log execution history").
    "cloudwatch:PutMetricData": "Amazon CloudWatch",
    "comprehend:BatchDetectEntities": "Amazon Comprehend",
    "comprehend:BatchDetectSentiment": "Amazon Comprehend",
    "comprehend:DetectPiiEntities": "Amazon Comprehend",
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
    "sagemaker:ListNotebookInstances": "Amazon SageMaker",
    "sagemaker:ListProcessingJobs": "Amazon SageMaker",
    "sagemaker:ListTrainingJobs": "Amazon SageMaker",
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
    "xray:PutTelemetryRecords": "AWS X-Ray",
    "xray:PutTraceSegments": "AWS X-Ray",
}

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
    for statement in statements(template):
        if statement.allows:
            where = f"{template.architecture} {statement.logical_id}"
            problems += [Problem(CHECK, where, message) for message in _faults(statement)]
    for logical_id, permission in template.resources("AWS::Lambda::Permission"):
        properties = permission["Properties"]
        if not {"SourceArn", "SourceAccount", "PrincipalOrgID"} & set(properties):
            message = f"{properties.get('Principal')} may invoke the function on behalf of anyone: name a source"
            problems.append(Problem(CHECK, f"{template.architecture} {logical_id}", message))
    return problems


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
            scoped = [action for action in statement.actions if action not in WITHOUT_RESOURCE]
            if scoped:
                yield f"allows {', '.join(scoped)} on every resource"
        elif target.startswith("arn:") and _is_wide(target) and not READS_ALL.keys() >= set(statement.actions):
            yield f"allows {', '.join(statement.actions)} on {target}: name the resource"


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
        if name == "*":
            yield "allows everyone"
        elif kind == "Service" and statement.kind == "resource" and not statement.body.get("Condition"):
            yield f"allows {name} on behalf of anyone: name a source in a condition"
