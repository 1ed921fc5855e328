"""What LocalStack loads of this project, into its own process, by LocalStack's entry points.

These modules run in LocalStack's environment, which has none of the models: the services themselves stay in the
project's own environment, in the process that started LocalStack (`local.localstack`), and are asked over HTTPS.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

# APIs of the project's services, by botocore's name, beside what LocalStack's core serves itself.
MOUNTED = (
    "application-autoscaling",
    "comprehend",
    "polly",
    "rekognition",
    "sagemaker",
    "sagemaker-runtime",
    "textract",
    "transcribe",
    "translate",
)
# CloudFormation's types of these services (`local.services.sagemaker.resource_types`).
RESOURCE_TYPES = (
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::SageMaker::DataQualityJobDefinition",
    "AWS::SageMaker::Endpoint",
    "AWS::SageMaker::EndpointConfig",
    "AWS::SageMaker::Model",
    "AWS::SageMaker::ModelPackageGroup",
    "AWS::SageMaker::MonitoringSchedule",
    "AWS::SageMaker::Pipeline",
)


def name_of(mounted: str) -> str:
    """What is mounted, an API or a resource type, as a name in a module: `sagemaker_runtime`, `AWS_SageMaker_Model`."""
    return re.sub(r"\W+", "_", mounted)


# LocalStack's own entry point of each kind, and what it finds there.
_PACKAGE = __name__
ENTRY_POINTS: Mapping[str, Mapping[str, str]] = {
    "localstack.aws.provider": {
        **{f"{api}:mounted": f"{_PACKAGE}.providers:{name_of(api)}" for api in MOUNTED},
        "dynamodb:moto": f"{_PACKAGE}.providers:dynamodb",
    },
    "localstack.cloudformation.resource_providers": {
        "AWS::CloudFormation::CustomResource": f"{_PACKAGE}.resources:CustomResourcePlugin",
        "AWS::CloudWatch::Dashboard": f"{_PACKAGE}.resources:DashboardPlugin",
        "AWS::EC2::FlowLog": f"{_PACKAGE}.resources:FlowLogPlugin",
        **{kind: f"{_PACKAGE}.resources:{name_of(kind)}" for kind in RESOURCE_TYPES},
    },
    "localstack.lambda.runtime_executor": {"process": f"{_PACKAGE}.executor:ProcessExecutorPlugin"},
    "localstack.hooks.on_infra_start": {"mend": f"{_PACKAGE}.mends:mend"},
}

# How LocalStack's process is told where the project's services are: an address, its certificate, a token.
SERVICES_URL, SERVICES_CERTIFICATE, SERVICES_TOKEN = (
    "MOUNTED_SERVICES_URL",
    "MOUNTED_SERVICES_CA",
    "MOUNTED_SERVICES_TOKEN",
)


def write_entry_points(folder: Path) -> None:
    """Make `folder` one that Python takes for an installed package with these entry points, once it is on its path."""
    package = folder / "mounted_services-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mounted-services\nVersion: 1\n")
    lines = []
    for group, names in ENTRY_POINTS.items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in names.items())]
    (package / "entry_points.txt").write_text("\n".join([*lines, ""]))


def settings() -> dict[str, str]:
    """The variables by which LocalStack takes these plug-ins instead of its own."""
    return {
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        "PROVIDER_OVERRIDE_DYNAMODB": "moto",
        **{f"PROVIDER_OVERRIDE_{name_of(api).upper()}": "mounted" for api in MOUNTED},
    }


def services() -> tuple[str, str, str]:
    """Address, certificate file and token of the project's services, for the process that they are mounted in."""
    return os.environ[SERVICES_URL], os.environ[SERVICES_CERTIFICATE], os.environ[SERVICES_TOKEN]
