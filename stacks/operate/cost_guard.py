"""Stop what nobody uses, and hear of the bill before it comes: a schedule → Lambda → SageMaker; a budget → topic."""

from __future__ import annotations

from typing import Any, ClassVar

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stacks.blocks.alarms import alarm, errors, tell_of_alarms, waiting_messages
from stacks.blocks.arns import own_arn
from stacks.blocks.python_function import PythonFunction, Target
from stacks.blocks.queues import dead_letter_queue
from stacks.blocks.sagemaker_roles import allow, service_role
from stacks.blocks.topics import MAIL_ADDRESS, topic

ARCHITECTURE = "cost-guard"
# For a machine's next report: there is one each minute, and one may be lost. Less than the shortest time between runs.
WAIT_SECONDS = 135


class CostGuardSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    notebook_prefix: str = Field(
        default="ml-",
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        max_length=31,
        description="notebook instances whose names begin with it are looked at; small letters",
    )
    idle_minutes: int = Field(default=60, ge=15, le=10_080, description="without work, then a machine is stopped")
    run_every_minutes: int = Field(default=15, ge=5, le=60, description="between two looks")
    report_age_minutes: int = Field(
        default=5, ge=2, le=15, description="a machine whose last report is older is silent: no other is waited for"
    )
    monthly_budget: float = Field(default=200, ge=1, le=1_000_000, description="US dollars for the whole account")
    budget_steps: tuple[int, ...] = Field(
        default=(50, 80, 100), min_length=1, max_length=4, description="percent of it that are spent, each tells"
    )
    alarm_email: str | None = Field(
        default=None, pattern=MAIL_ADDRESS, description="an address for all this, which AWS asks to confirm"
    )

    @model_validator(mode="after")
    def _steps_rise(self) -> CostGuardSettings:
        steps = self.budget_steps
        if any(not 1 <= step <= 1000 for step in steps) or list(steps) != sorted(set(steps)):
            raise ValueError("budget_steps must be percentages from 1 to 1000 that rise")
        return self


class CostGuard(cdk.Stack):
    """A scientist goes home, and her notebook bills on until Monday. The invoice says so in the month after.

    **Flow.** On each machine a script looks once a minute when its Jupyter last saw work, and writes that into a tag
    (`secure-studio` brings the script for its notebook instance). Every quarter of an hour a schedule calls a function
    with the time for which it was planned → it lists the notebook instances and Studio apps in service, reads their
    tags, waits for the next report of what looks idle, stops what still is, and tells a topic what it stopped and what
    it could not judge. An app is stopped only if something in it writes that tag, which nothing here does: apps are
    silent until then, and what ends idle JupyterLab and Code Editor apps is Studio's own `IdleSettings`, which
    `secure-studio` sets. A budget tells the same topic when so much of the month's money is spent, and when the
    forecast is more than all of it.

    **What if.** A machine does not report: it may be at work, so it is left alone, however long, and told as silent. A
    user comes back: the report that the run waits for says so; only who comes back after that very report, seconds
    before the stop, is stopped at her desk. A machine must stay: its tag `cost-guard:keep-alive` says for how long. A
    machine cannot be stopped: the others are, then the run fails, and an alarm tells. The schedule cannot call: a dead
    letter, with an alarm. Nothing is tried again with an old time: the next run sees the same machines.

    **Cost** (us-east-1, without free tier; `prices.toml` says which prices a page that was read confirms). Idle:
    two alarms, 0.20 dollars a month, and 2,880 runs of a second at 256 MB, a cent. A thousand runs cost two cents, half
    of it for waiting for reports. A budget without actions costs nothing.
    """

    Settings: ClassVar[type[CostGuardSettings]] = CostGuardSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: CostGuardSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.target = target

        self.topic = topic(self, "Reports", email=settings.alarm_email, encryption_key=None)
        self.dead_letters = dead_letter_queue(self, "DeadLetters", encryption_key=None)
        self.stop_idle = self._stop_idle()
        self.schedule_role = self._schedule()
        self.budget = self._budget()
        self.alarms = self._alarms()
        self._outputs()

    def _stop_idle(self) -> PythonFunction:
        settings = self.settings
        worker = PythonFunction(
            self,
            "StopIdle",
            architecture=ARCHITECTURE,
            function="stop_idle",
            target=self.target,
            description="Stops idle notebook instances and Studio apps",
            timeout=cdk.Duration.minutes(5),
            memory_mib=256,
            log_retention=logs.RetentionDays.ONE_MONTH,
            environment={
                "IDLE_MINUTES": str(settings.idle_minutes),
                "REPORT_AGE_MINUTES": str(settings.report_age_minutes),
                "WAIT_SECONDS": str(WAIT_SECONDS),
                "NOTEBOOK_PREFIX": settings.notebook_prefix,
                "TOPIC_ARN": self.topic.topic_arn,
            },
        )
        notebooks = own_arn(self, "sagemaker", f"notebook-instance/{settings.notebook_prefix}*")
        # A domain's identifier begins so.
        apps = own_arn(self, "sagemaker", "app/d-*")
        worker.allow(["sagemaker:ListApps", "sagemaker:ListNotebookInstances"], "*")
        worker.allow(["sagemaker:ListTags"], notebooks, apps)
        worker.allow(["sagemaker:StopNotebookInstance"], notebooks)
        worker.allow(["sagemaker:DescribeApp", "sagemaker:DeleteApp"], apps)
        worker.allow(["sns:Publish"], self.topic.topic_arn)
        # Lambda itself would repeat a failed run with the time that it was planned for, by which somebody may be back.
        lambda_.CfnEventInvokeConfig(
            self,
            "Attempts",
            function_name=worker.function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=0,
            maximum_event_age_in_seconds=60,
        )
        return worker

    def _schedule(self) -> iam.Role:
        role = service_role(self, "ScheduleRole", "scheduler.amazonaws.com", "Calls the function that stops the idle")
        allow(role, ["lambda:InvokeFunction"], self.stop_idle.function.function_arn)
        allow(role, ["sqs:SendMessage"], self.dead_letters.queue_arn)
        scheduler.CfnSchedule(
            self,
            "Every",
            schedule_expression=f"rate({self.settings.run_every_minutes} minutes)",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self.stop_idle.function.function_arn,
                role_arn=role.role_arn,
                input='{"time": "<aws.scheduler.scheduled-time>"}',
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=60, maximum_retry_attempts=0
                ),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=self.dead_letters.queue_arn),
            ),
        )
        return role

    def _budget(self) -> budgets.CfnBudget:
        """The topic's policy lets AWS Budgets in for this account (AWS Cost Management User Guide, "Creating an Amazon
        SNS topic for budget notifications", as a public repository sums it up, read 2026-11-28)."""
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("budgets.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
            )
        )
        told = [budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=self.topic.topic_arn)]
        steps = [("ACTUAL", step) for step in self.settings.budget_steps] + [("FORECASTED", 100)]
        return budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=self.settings.monthly_budget, unit="USD"),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=step,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=told,
                )
                for kind, step in steps
            ],
        )

    def _alarms(self) -> list[cloudwatch.Alarm]:
        alarms = [
            alarm(
                self,
                "ErrorsAlarm",
                description="A run failed: a machine could not be looked at or stopped, and bills on.",
                metric=errors(self.stop_idle),
            ),
            alarm(
                self,
                "NotCalledAlarm",
                description="The schedule could not call the function: nothing was stopped.",
                metric=waiting_messages(self.dead_letters),
            ),
        ]
        tell_of_alarms(alarms, self.topic)
        return alarms

    def _outputs(self) -> None:
        for name, value in {
            "FunctionName": self.stop_idle.function.function_name,
            "FunctionRoleName": self.stop_idle.role.role_name,
            "ScheduleRoleName": self.schedule_role.role_name,
            "TopicArn": self.topic.topic_arn,
            "DeadLetterQueueUrl": self.dead_letters.queue_url,
            "BudgetName": self.budget.ref,
            "NotebookPrefix": self.settings.notebook_prefix,
            "IdleMinutes": str(self.settings.idle_minutes),
            "RunEveryMinutes": str(self.settings.run_every_minutes),
            "ErrorsAlarmName": self.alarms[0].alarm_name,
            "NotCalledAlarmName": self.alarms[1].alarm_name,
        }.items():
            cdk.CfnOutput(self, name, value=value)
