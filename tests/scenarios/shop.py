"""The shop of chilled food as the tests of the three model stacks drive it: its data, its parcels, its stacks.

The stacks are shared by all tests of a run. One model is trained and in service before the first test that asks for it;
each test tells its own executions and deployments from those that were there.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from local.cloud import LocalCloud
from pipelines.deliveries.world import FEATURES, draw
from scenarios import realtime_endpoint, training_pipeline
from tests.local.emulated import subscribed, unique
from tests.local.hosted import artefact
from tests.local.sagemaking import XGBOOST
from tests.waiting import until

TRAINING, SERVING, MONITOR = "training-pipeline", "realtime-endpoint", "model-monitor"

# One instance is one process here; looks are frequent, and nothing bakes.
SMALL: Mapping[str, Mapping[str, Any]] = {
    TRAINING: {},
    SERVING: {
        "instance_count": 1,
        "maximum_instances": 2,
        "poll_seconds": 1,
        "bake_seconds": 0,
        # Its schedules are off, but in the tests that are about them: the clock is moved over many an evening.
        "stop_overnight": True,
    },
    MONITOR: {},
}
# Enough for the test part, a tenth of it, to tell a better model surely.
ROWS = 6000
SECONDS = 60.0
FRIDAY, SATURDAY = 4, 5

# A model whose container ends before it answers its health check.
NEVER_WELL = "raise RuntimeError('this model cannot be loaded')"


def data(count: int = ROWS, seed: int = 1, *, shifted: bool = False) -> bytes:
    """Deliveries with their labels, as CSV with a header."""
    return bytes(draw(count, seed, shifted=shifted).to_csv(index=False).encode())


def parcels(count: int, seed: int, *, shifted: bool = False) -> str:
    """Deliveries as the endpoint is asked about them: CSV without a header or a label."""
    return str(draw(count, seed, shifted=shifted)[list(FEATURES)].to_csv(index=False, header=False))


def switch_nights(cloud: LocalCloud, stack: str, *, on: bool) -> None:
    """Lets the schedules of a stack of realtime-endpoint call, or not."""
    resources = cloud.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    scheduler = cloud.client("scheduler")
    for one in resources:
        if one["ResourceType"] == "AWS::Scheduler::Schedule":
            found = scheduler.get_schedule(Name=one["PhysicalResourceId"])
            members = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
            kept = {member: found[member] for member in members}
            scheduler.update_schedule(**kept, State="ENABLED" if on else "DISABLED")


@contextmanager
def nights(cloud: LocalCloud, stack: str) -> Iterator[None]:
    """The stack's evenings and mornings come within the block only, which begins at noon of a working day.

    The next is a working day, too: over a weekend, evenings would come at the same moment as Monday's morning.
    """
    until_hour(cloud, 12, before=FRIDAY)
    switch_nights(cloud, stack, on=True)
    try:
        yield
    finally:
        switch_nights(cloud, stack, on=False)


def until_hour(cloud: LocalCloud, hour: int, *, before: int = SATURDAY) -> None:
    """Moves the clock to a minute after the next full hour of that name (UTC) on a day of the week before `before`."""
    now = datetime.fromtimestamp(time.time() + cloud.control.clock(), tz=timezone.utc)
    then = now.replace(hour=hour, minute=1, second=0, microsecond=0)
    while then <= now or then.weekday() >= before:
        then += timedelta(days=1)
    cloud.control.clock_advance((then - now).total_seconds())


@contextmanager
def hurried(cloud: LocalCloud) -> Iterator[None]:
    """Time passes quickly: who waits before another attempt waits little."""
    over = threading.Event()

    def hurry() -> None:
        while not over.wait(0.2):
            cloud.control.clock_advance(10)

    mover = threading.Thread(target=hurry)
    mover.start()
    try:
        yield
    finally:
        over.set()
        mover.join()


@dataclass
class Shop:
    """The deployed stacks, by their outputs; those of a stack that was not asked for are empty."""

    cloud: LocalCloud
    training: Mapping[str, str]
    serving: Mapping[str, str]
    monitor: Mapping[str, str]

    def client(self, service: str) -> Any:
        """A client of the cloud."""
        return self.cloud.client(service)

    def train(self, files: Mapping[str, bytes]) -> training_pipeline.Report:
        """Uploads files and the marker, and waits for the end of the execution that they start."""
        before = training_pipeline.executions(self.cloud, self.training)
        training_pipeline.upload(self.cloud, self.training, files)
        return self.follow(before)

    def start(self, **parameters: str) -> str:
        """Starts an execution on the data that is there, past the state machine; returns its ARN."""
        given = [{"Name": name, "Value": value} for name, value in parameters.items()]
        started = self.client("sagemaker").start_pipeline_execution(
            PipelineName=self.training["PipelineName"], PipelineParameters=given
        )
        return str(started["PipelineExecutionArn"])

    def end_of(self, execution: str) -> training_pipeline.Report:
        """Waits for the end of an execution."""
        others = training_pipeline.executions(self.cloud, self.training) - {execution}
        return self.follow(others)

    def again(self, execution: str) -> None:
        """Has an execution that failed or was stopped go on with the step that it stands at."""
        self.client("sagemaker").retry_pipeline_execution(
            PipelineExecutionArn=execution, ClientRequestToken=uuid.uuid4().hex
        )

    def stop(self, execution: str) -> None:
        """Asks an execution to stop."""
        self.client("sagemaker").stop_pipeline_execution(
            PipelineExecutionArn=execution, ClientRequestToken=uuid.uuid4().hex
        )

    def step(self, execution: str, name: str) -> Mapping[str, Any]:
        """A step of an execution, as SageMaker lists it; empty until it begins."""
        listed = self.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
        return next((one for one in listed["PipelineExecutionSteps"] if one["StepName"] == name), {})

    def wait_for_job(self, execution: str, step: str) -> str:
        """The name of a step's job, once there is one."""

        def arn() -> str:
            kinds = self.step(execution, step).get("Metadata", {}).values()
            return next((kind["Arn"] for kind in kinds if "Arn" in kind), "")

        return until(arn, f"the job of {step}", seconds=SECONDS).rpartition("/")[2]

    def hurry(self, found: Callable[[], Any], what: str) -> Any:
        """Waits for something while the cloud's clock leaps, so that pauses between attempts are short."""
        return until(found, what, seconds=SECONDS, meanwhile=lambda: self.cloud.control.clock_advance(20))

    @contextmanager
    def longer_training(self, **hyperparameters: str) -> Iterator[None]:
        """The pipeline with other hyperparameters for a while, such as trainings that last."""
        sagemaker, name = self.client("sagemaker"), self.training["PipelineName"]
        before = sagemaker.describe_pipeline(PipelineName=name)["PipelineDefinition"]
        definition = json.loads(before)
        (train,) = (step for step in definition["Steps"] if step["Type"] == "Training")
        train["Arguments"]["HyperParameters"] |= hyperparameters
        sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=json.dumps(definition))
        try:
            yield
        finally:
            sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=before)

    def follow(self, before: set[str]) -> training_pipeline.Report:
        """Waits for the end of an execution that was not there before."""
        return training_pipeline.follow(self.cloud, self.training, before, patience_seconds=SECONDS)

    def clear(self) -> None:
        """Takes all data away, with its versions."""
        s3, bucket = self.client("s3"), self.training["BucketName"]
        listed = s3.list_object_versions(Bucket=bucket, Prefix=self.training["DataPrefix"])
        found = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
        for version in found:
            s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])

    def forget(self) -> None:
        """Rejects what is approved, so that the next training has nothing to beat. What serves goes on serving."""
        sagemaker = self.client("sagemaker")
        approved = sagemaker.list_model_packages(
            ModelPackageGroupName=self.training["ModelPackageGroupName"], ModelApprovalStatus="Approved"
        )["ModelPackageSummaryList"]
        for package in approved:
            arn = package["ModelPackageArn"]
            sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")

    def trained(self) -> str:
        """The first package that was trained, of the usual world."""
        if not (packages := self.packages()):
            self.clear()
            trained = self.train({"first.csv": data()})
            assert trained.status == "REGISTERED", trained
            packages = [trained.package]
        return packages[-1]

    def ready(self) -> None:
        """Has a model of the usual world in service, the first that was trained, unless it is."""
        switch_nights(self.cloud, SERVING, on=False)
        package = self.trained()
        if self.in_service() != package:
            deployed = self.deploy(package)
            assert deployed.complete, deployed

    def deploy(self, package: str, serving: Mapping[str, str] | None = None) -> realtime_endpoint.Report:
        """Approves a package, whatever was thought of it before, and waits for the end of its deployment."""
        # Approving what is approved is no event.
        self.client("sagemaker").update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
        return realtime_endpoint.deploy(self.cloud, serving or self.serving, package, patience_seconds=SECONDS)

    @contextmanager
    def package(self, script: str) -> Iterator[str]:
        """A package that waits for approval, of a model that is nothing but this script; gone after the block."""
        key = f"models/{unique('script')}/model.tar.gz"
        self.client("s3").put_object(Bucket=self.training["BucketName"], Key=key, Body=artefact(script))
        container = {"Image": XGBOOST, "ModelDataUrl": f"s3://{self.training['BucketName']}/{key}"}
        made = self.client("sagemaker").create_model_package(
            ModelPackageGroupName=self.serving["TrainingStackName"],
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={"Containers": [container], "SupportedContentTypes": ["text/csv"]},
        )["ModelPackageArn"]
        try:
            yield made
        finally:
            self.client("sagemaker").delete_model_package(ModelPackageName=made)

    def made(self) -> tuple[int, int]:
        """How many models and configurations there are of the endpoint's deployments."""
        sagemaker, name = self.client("sagemaker"), f"{self.serving['EndpointName']}-v"
        models = sagemaker.list_models(NameContains=name)["Models"]
        return len(models), len(sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"])

    def tidy(self) -> None:
        """Takes away what a deployment that failed after its model came into service has left of the one before."""
        sagemaker, name, kept = self.client("sagemaker"), f"{self.serving['EndpointName']}-v", self.configuration()
        for config in sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"]:
            if config["EndpointConfigName"] != kept:
                sagemaker.delete_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
        for model in sagemaker.list_models(NameContains=name)["Models"]:
            if model["ModelName"] != kept:
                sagemaker.delete_model(ModelName=model["ModelName"])

    def role_of_nights(self) -> str:
        """The name of the role of the schedules."""
        resources = self.client("cloudformation").describe_stack_resources(StackName=SERVING)["StackResources"]
        roles = (one for one in resources if one["ResourceType"] == "AWS::IAM::Role")
        return str(next(one["PhysicalResourceId"] for one in roles if one["LogicalResourceId"].startswith("NightRole")))

    def configuration(self) -> str:
        """The name of the endpoint configuration that serves: each deployment has its own."""
        described = self.client("sagemaker").describe_endpoint(EndpointName=self.serving["EndpointName"])
        return str(described["EndpointConfigName"])

    def role_of_rule(self) -> str:
        """The name of the role that starts a deployment for an approval."""
        (target,) = self.client("events").list_targets_by_rule(Rule=self.serving["RuleName"])["Targets"]
        return str(target["RoleArn"]).rpartition("/")[2]

    def scaled(self) -> list[str]:
        """The names of the endpoint's scaling policies."""
        found = self.client("application-autoscaling").describe_scaling_policies(
            ServiceNamespace="sagemaker", ResourceId=f"endpoint/{self.serving['EndpointName']}/variant/AllTraffic"
        )
        return [policy["PolicyName"] for policy in found["ScalingPolicies"]]

    @contextmanager
    def redefined(self, old: str, new: str) -> Iterator[None]:
        """Deployments have another text in their definition within the block."""
        states, machine = self.client("stepfunctions"), self.serving["DeploymentArn"]
        definition = states.describe_state_machine(stateMachineArn=machine)["definition"]
        assert old in definition
        states.update_state_machine(stateMachineArn=machine, definition=definition.replace(old, new))
        try:
            yield
        finally:
            states.update_state_machine(stateMachineArn=machine, definition=definition)

    def in_service(self) -> str:
        """The package of the model that answers; empty if none does."""
        if realtime_endpoint.endpoint_status(self.cloud, self.serving) != "InService":
            return ""
        sagemaker, endpoint = self.client("sagemaker"), self.serving["EndpointName"]
        config = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        model = sagemaker.describe_model(ModelName=variant["ModelName"])
        return str((model.get("PrimaryContainer") or model["Containers"][0])["ModelPackageName"])

    def packages(self, **chosen: str) -> list[str]:
        """The ARNs of the group's packages, the newest first; `chosen` are members of ListModelPackages."""
        found = self.client("sagemaker").list_model_packages(
            ModelPackageGroupName=self.serving["TrainingStackName"],
            SortBy="CreationTime",
            SortOrder="Descending",
            **chosen,
        )["ModelPackageSummaryList"]
        return [package["ModelPackageArn"] for package in found]

    def dead_letters(self, outputs: Mapping[str, str]) -> int:
        """How many messages a stack's dead-letter queue holds."""
        answer = self.client("sqs").get_queue_attributes(
            QueueUrl=outputs["DeadLetterQueueUrl"], AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    @contextmanager
    def told(self, topic_arn: str) -> Iterator[Callable[[], list[str]]]:
        """A function that waits for what a topic is told from now on."""
        with subscribed(self.cloud, topic_arn) as look:
            yield lambda: until(look, "the topic to be told", seconds=SECONDS)

    def listening(self, topic_arn: str) -> AbstractContextManager[Callable[[], list[str]]]:
        """A function that looks what a topic was told since the last look."""
        return subscribed(self.cloud, topic_arn)

    def told_once(self, look: Callable[[], list[str]], execution: str, *, hurry: bool = False) -> dict[str, str]:
        """What the topic of failures is told about an execution; others, of earlier tests, may be told late."""
        heard: list[dict[str, str]] = []

        def about_it() -> list[dict[str, str]]:
            heard.extend(json.loads(message) for message in look())
            return [one for one in heard if one.get("execution") == execution]

        what = "the topic to be told"
        (message,) = self.hurry(about_it, what) if hurry else until(about_it, what, seconds=SECONDS)
        return dict(message)

    @contextmanager
    def without(self, role: str, action: str, name: str = "taken-away") -> Iterator[None]:
        """A role that may not do something for a while, whatever its policies say."""
        iam = self.client("iam")
        denial = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": action, "Resource": "*"}}
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(denial))
        try:
            yield
        finally:
            iam.delete_role_policy(RoleName=role, PolicyName=name)
