"""The doors of a private network: for each service an endpoint, and what its policy lets through.

A door lets through what this project's architectures ask of the service, and nothing else; whoever needs more adds it
here. An endpoint policy grants nothing: what a caller may do is decided by its own policies too, and both must allow.

The names are those of aws-cdk-lib's `InterfaceVpcEndpointAwsService` (2.275).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

# Who stands before a door: the functions of a stack, or SageMaker's instances: of jobs, notebooks and Studio's apps.
Purpose = Literal["functions", "jobs"]

Door = Literal[
    "bedrock-runtime",
    "comprehend",
    "ecr.api",
    "ecr.dkr",
    "events",
    "kms",
    "logs",
    "monitoring",
    "polly",
    "rekognition",
    "sagemaker.api",
    "sagemaker.runtime",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
    "states",
    "sts",
    "textract",
    "transcribe",
    "translate",
]
Gate = Literal["s3", "dynamodb"]

DOORS: tuple[Door, ...] = get_args(Door)


@dataclass(frozen=True)
class Passage:
    """What one endpoint lets through.

    `title` is part of a security group's description, where EC2 takes no apostrophe. `actions` are IAM actions. `own`
    holds them to resources of the stack's own account: not where a service knows no resource for them, or where the
    resources are AWS's. `purposes` are the groups whose members reach an interface
    endpoint; a gateway is open to all who are in the network.
    """

    title: str
    actions: tuple[str, ...]
    own: bool = True
    purposes: tuple[Purpose, ...] = ("functions",)


# Free, and reached by a route: gateway endpoints.
GATEWAYS: dict[Gate, Passage] = {
    "s3": Passage(
        "Amazon S3",
        ("s3:AbortMultipartUpload", "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "s3:PutObject"),
    ),
    "dynamodb": Passage(
        "Amazon DynamoDB",
        (
            "dynamodb:BatchWriteItem",
            "dynamodb:DeleteItem",
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:Query",
            "dynamodb:UpdateItem",
        ),
    ),
}

_PULLING = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetAuthorizationToken",
    "ecr:GetDownloadUrlForLayer",
)

# Paid by the hour and zone, and reached by the service's own name: interface endpoints.
PASSAGES: dict[Door, Passage] = {
    "bedrock-runtime": Passage("Amazon Bedrock", ("bedrock:InvokeModel",), own=False),
    "comprehend": Passage("Amazon Comprehend", ("comprehend:DetectEntities",), own=False),
    "ecr.api": Passage("Amazon ECR", _PULLING, own=False, purposes=("jobs",)),
    "ecr.dkr": Passage("the registry of Amazon ECR", _PULLING, own=False, purposes=("jobs",)),
    "events": Passage("Amazon EventBridge", ("events:PutEvents",)),
    "kms": Passage("AWS KMS", ("kms:Decrypt", "kms:GenerateDataKey"), purposes=("functions", "jobs")),
    "logs": Passage(
        "CloudWatch Logs",
        ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"),
        purposes=("functions", "jobs"),
    ),
    "monitoring": Passage(
        "CloudWatch metrics", ("cloudwatch:PutMetricData",), own=False, purposes=("functions", "jobs")
    ),
    "polly": Passage("Amazon Polly", ("polly:SynthesizeSpeech",), own=False),
    "rekognition": Passage("Amazon Rekognition", ("rekognition:DetectLabels",), own=False),
    "sagemaker.api": Passage(
        "Amazon SageMaker",
        (
            # A notebook instance tells by a tag when it was last used.
            "sagemaker:AddTags",
            "sagemaker:CreateProcessingJob",
            "sagemaker:DescribeEndpoint",
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:DescribeModel",
            "sagemaker:DescribeModelPackage",
            "sagemaker:DescribeProcessingJob",
        ),
        purposes=("functions", "jobs"),
    ),
    "sagemaker.runtime": Passage(
        "endpoints of SageMaker", ("sagemaker:InvokeEndpoint",), purposes=("functions", "jobs")
    ),
    "secretsmanager": Passage("AWS Secrets Manager", ("secretsmanager:GetSecretValue",)),
    "sns": Passage("Amazon SNS", ("sns:Publish",)),
    "sqs": Passage("Amazon SQS", ("sqs:SendMessage",)),
    "ssm": Passage("Parameter Store", ("ssm:GetParameter",)),
    "states": Passage(
        "AWS Step Functions",
        ("states:DescribeExecution", "states:SendTaskFailure", "states:SendTaskSuccess", "states:StartExecution"),
    ),
    "sts": Passage("AWS STS", ("sts:GetCallerIdentity",), own=False, purposes=("functions", "jobs")),
    "textract": Passage(
        "Amazon Textract",
        ("textract:AnalyzeDocument", "textract:GetDocumentAnalysis", "textract:StartDocumentAnalysis"),
        own=False,
    ),
    "transcribe": Passage("Amazon Transcribe", ("transcribe:StartTranscriptionJob",), own=False),
    "translate": Passage("Amazon Translate", ("translate:TranslateText",), own=False),
}
