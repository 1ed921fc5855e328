"""A Python function that may do nothing but what its stack grants it, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.assets import function_archive
from stacks.blocks.networks import DOORS_TAG, Network, allow_function_interfaces

Target = Literal["lambda", "local"]


class PythonFunction(Construct):
    """`lambdas/<architecture>/<function>` with its own role, log group and tracing.

    The role starts with two grants: writing into this function's log group, and sending traces. It has no right to
    create a log group, so that none reappears after the stack has gone: with `AWSLambdaBasicExecutionRole` a last
    invocation would recreate it. The log group belongs to the stack, ends with it, and expires its entries.

    In a `network` it reaches only what that has endpoints for. Its logs and traces are Lambda's to deliver, which is
    not in the network; nor is the poller of a queue.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        architecture: str,
        function: str,
        target: Target,
        timeout: cdk.Duration,
        memory_mib: int,
        log_retention: logs.RetentionDays,
        environment: Mapping[str, str] | None = None,
        encryption_key: kms.IKey | None = None,
        network: Network | None = None,
        description: str = "",
    ) -> None:
        super().__init__(scope, construct_id)
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            retention=log_retention,
            encryption_key=encryption_key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.allow(["logs:CreateLogStream", "logs:PutLogEvents"], f"{self.log_group.log_group_arn}")
        archive = function_archive(architecture, function, target)
        package = f"lambdas.{architecture.replace('-', '_')}.{function}"
        self.function = lambda_.Function(
            self,
            "Function",
            description=description,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            # The archive's name ends with the digest of all that is in it: no need to read it once more.
            code=lambda_.Code.from_asset(
                str(archive),
                asset_hash=f"{architecture}-{function}-{archive.stem}",
                asset_hash_type=cdk.AssetHashType.CUSTOM,
            ),
            handler=f"{package}.handler.handler",
            timeout=timeout,
            memory_size=memory_mib,
            environment=dict(environment or {}),
            role=self.role,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            # Adds the two X-Ray actions to the role.
            tracing=lambda_.Tracing.ACTIVE,
        )
        if network:
            self._connect(network)

    def allow(self, actions: Sequence[str], *resources: str) -> None:
        """Grants the function these actions on these resources (ARNs, or `*` where an action supports none)."""
        self.role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=list(resources)))

    def _connect(self, network: Network) -> None:
        # By property: CDK's own way attaches a managed policy that lets the role make log groups.
        resource = self.function.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)
        resource.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
            subnet_ids=list(network.subnets), security_group_ids=[network.functions_group]
        )
        allow_function_interfaces(self.role)
        if network.doors:
            cdk.Tags.of(resource).add(DOORS_TAG, " ".join(network.doors))

    def allow_polling(self, queue: sqs.Queue) -> None:
        """Grants what a poller of the queue does as this function (`queues.poller` makes one)."""
        self.allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], queue.queue_arn)
