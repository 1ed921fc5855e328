"""Remove a sandbox's stacks when their time has come: a schedule → Lambda → CloudFormation.

No architecture of the catalogue: `make deploy ARCH=... CLOUD=aws OPTIONS='--destroy-after HOURS'` puts it beside one.
"""

from __future__ import annotations

import datetime
import json
from typing import Any, ClassVar

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from stacks.blocks.arns import own_arn
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.sagemaker_roles import allow, service_role
from stacks.catalogue import SELF_DESTRUCT
from stacks.policy.acknowledgements import Acknowledgement

GIVES_UP_AFTER = datetime.timedelta(days=1)


class SelfDestructSettings(BaseModel):
    """Which stacks go, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stacks: tuple[str, ...] = Field(
        min_length=1, max_length=10, description="names of CloudFormation stacks in the order in which they go"
    )
    at: AwareDatetime = Field(
        ge=datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc),
        description="when the first is deleted, with its time zone",
    )


class SelfDestruct(cdk.Stack):
    """A sandbox is forgotten on Friday and found on the invoice.

    **Flow.** From the given moment on a schedule calls a function each minute, for a day at most → it deletes the first
    of the stacks that is still there, and waits for one that is on its way. The last is this stack itself.

    **What if.** A stack is needed by another that is not listed: CloudFormation keeps it, the function fails and tries
    again each minute; after a day the schedule ends, and this stack stays as the sign of it. A run is lost: the next
    does the same. The stacks were removed by hand before: it finds nothing, and removes itself.

    **Cost**: none while it waits; at most 1,440 runs of a second at 128 MB.
    """

    Settings: ClassVar[type[SelfDestructSettings]] = SelfDestructSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: SelfDestructSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.tear_down = self._tear_down(target)
        self.schedule_role = self._schedule()
        cdk.CfnOutput(self, "At", value=settings.at.isoformat())
        cdk.CfnOutput(self, "Stacks", value=",".join(settings.stacks))

    def _tear_down(self, target: Target) -> PythonFunction:
        worker = PythonFunction(
            self,
            "TearDown",
            architecture=SELF_DESTRUCT.id,
            function="tear_down",
            target=target,
            description="Deletes the stacks whose time has come",
            timeout=cdk.Duration.seconds(50),
            memory_mib=128,
            log_retention=logs.RetentionDays.ONE_WEEK,
            environment={"STACKS": json.dumps(self.settings.stacks), "OWN_STACK": self.stack_name},
        )
        # A stack's ARN ends with an id that it gets when it is made.
        stacks = [own_arn(self, "cloudformation", f"stack/{name}/*") for name in self.settings.stacks]
        own = own_arn(self, "cloudformation", f"stack/{self.stack_name}/*")
        worker.allow(["cloudformation:DescribeStacks", "cloudformation:DeleteStack"], *stacks, own)
        return worker

    def _schedule(self) -> iam.Role:
        role = service_role(self, "ScheduleRole", "scheduler.amazonaws.com", "Calls the function that deletes stacks")
        allow(role, ["lambda:InvokeFunction"], self.tear_down.function.function_arn)
        scheduler.CfnSchedule(
            self,
            "FromThenOn",
            schedule_expression="rate(1 minute)",
            start_date=_utc(self.settings.at),
            end_date=_utc(self.settings.at + GIVES_UP_AFTER),
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self.tear_down.function.function_arn,
                role_arn=role.role_arn,
                # The next call does the same.
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=60, maximum_retry_attempts=0
                ),
            ),
        )
        return role


def _utc(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def acknowledgements(settings: SelfDestructSettings, stack_name: str) -> tuple[Acknowledgement, ...]:
    """What best-practice checks find in this stack, and why it is right. Its rules depend on which stacks go."""
    role, named = (
        "TearDown/Role/DefaultPolicy/Resource",
        "arn:<AWS::Partition>:cloudformation:<AWS::Region>:<AWS::AccountId>",
    )
    return (
        *(
            Acknowledgement(
                SELF_DESTRUCT.id,
                f"AwsSolutions-IAM5[Resource::{named}:stack/{name}/*]",
                "A stack's ARN ends with an id that it gets when it is made; the name before it is whole.",
                (role,),
            )
            for name in (*settings.stacks, stack_name)
        ),
        Acknowledgement(
            SELF_DESTRUCT.id,
            "AwsSolutions-IAM5[Resource::*]",
            "xray:PutTraceSegments and xray:PutTelemetryRecords support no resource. The check for wildcards lets `*`"
            " pass for these actions alone.",
            (role,),
        ),
        Acknowledgement(
            SELF_DESTRUCT.id,
            "AwsSolutions-L1",
            "python3.13 is the newest Python on which the handlers also run locally. The check for deprecated runtimes"
            " watches the date.",
            ("TearDown/Function/Resource",),
        ),
    )
