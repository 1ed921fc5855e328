"""Every door of the private network, tried by real calls: what it refuses as written, it lets through once mutated.

A function in the network whose role may everything makes the calls, so what refuses is the door alone. A caller of
another account is a role there, which that function takes on: its session is bound to the network too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest

from local.assembly import synthesize
from local.cloud import ROOT, LocalCloud
from local.deploy import deploy, destroy
from local.environment import ROOT_KEYS
from stacks.blocks.networks import door_name
from stacks.secure.doors import DOORS, GATEWAYS, PASSAGES, Passage
from tests.local.emulated import last_sequence, policy, unique
from tests.local.networking import Caller, Vpc, make_caller
from tests.scenarios.networked import ARCHITECTURE, Document, Warden

pytestmark = pytest.mark.soak

MINE, THEIRS = LocalCloud.account, "210987654321"
OF_ALL_DOORS: Mapping[str, Passage] = dict([*GATEWAYS.items(), *PASSAGES.items()])
# Doors that no call can be made through here: their policies are evaluated in the tests of the template alone.
NOT_TRIED = {
    "ecr.dkr": "The registry's own protocol, by which images are pulled, is not served by the local cloud.",
}
NOVA = "amazon.nova-lite-v1:0"
# AWS lets everybody ask who he is, whatever a policy says: tried by another call.
NEVER_REFUSED = ("sts",)
# Whose requests name what they are about without its account.
NAMES_ITS_OWN = ("dynamodb", "events", "logs", "s3", "sagemaker.runtime", "sqs", "ssm")
TRIED = [door for door in OF_ALL_DOORS if door not in NOT_TRIED]


@dataclass(frozen=True)
class Asked:
    """A call, by boto3's names, and the IAM action that it asks for.

    `ends` is the code of its answer once it is let through: none where it is done, or the service's own error, which
    comes behind the door.
    """

    service: str
    method: str
    arguments: Mapping[str, Any]
    action: str
    ends: str = ""


@dataclass(frozen=True)
class Tried:
    """What is tried at a door.

    `meant` is what the door is for, `strange` what its list leaves out, `theirs` the same as `meant` on something of
    another account, where a request can say so. `to_others` is how `meant` ends for a caller of another account, once
    the door lets it through: services here look for things in the caller's account. `named` says that the request tells
    whose thing it is about, so that each of the two conditions can be taken out by itself.
    """

    meant: Asked
    strange: Asked
    theirs: Asked | None = None
    to_others: str = ""
    named: bool = False


@dataclass(frozen=True)
class Network:
    """The deployed network with all doors, those who call from inside of it, and what is tried."""

    warden: Warden
    callers: Mapping[str, Caller]
    strangers: Mapping[str, Mapping[str, str]]
    tried: Mapping[str, Tried]

    def ask(self, door: str, asked: Asked, *, stranger: bool = False) -> tuple[bool, str]:
        """Whether the door let a call through, and the code of the answer."""
        since = last_sequence(self.warden.cloud)
        purpose = OF_ALL_DOORS[door].purposes[0]
        keys = self.strangers[purpose] if stranger else None
        answer = self.callers[purpose].call(asked.service, asked.method, keys, **asked.arguments)
        taken = [
            one["allowed"]
            for one in self.warden.decisions(since)
            if one["via"] == "network" and one["action"] == asked.action
        ]
        assert taken, (door, asked, answer)
        refused = "because no VPC endpoint policy allows" in answer.get("message", "")
        assert all(taken) is not refused, (door, asked, answer)
        return not refused, answer["code"]

    @contextmanager
    def changed(self, door: str, change: Callable[[Document], None]) -> Iterator[None]:
        """A door whose statement for this project's calls is changed. (S3's has another one, for layers of images.)"""
        ec2, endpoint = self.warden.ec2, self.warden.endpoint(door_name(door))
        before = self.warden.described(door_name(door))["PolicyDocument"]
        document = json.loads(before)
        change(next(one for one in document["Statement"] if one["Sid"] == "LetThrough"))
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=json.dumps(document))
        try:
            yield
        finally:
            ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=before)


def unconditional(statement: Document) -> None:
    """All conditions taken out."""
    del statement["Condition"]


def without(key: str) -> Callable[[Document], None]:
    """One condition taken out."""

    def change(statement: Document) -> None:
        del statement["Condition"]["StringEquals"][key]

    return change


def things(cloud: LocalCloud, outputs: Mapping[str, str]) -> dict[str, Tried]:
    """What is asked for at each door, of things that are made for it."""
    client = cloud.client
    bucket = unique("doors")
    client("s3").create_bucket(Bucket=bucket)
    client("s3").put_object(Bucket=bucket, Key="k", Body=(ROOT / "samples" / "photos" / "chelsea.jpg").read_bytes())
    client("s3").put_object(Bucket=bucket, Key="text", Body=b"text")
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    topic = client("sns").create_topic(Name=unique("doors"))["TopicArn"]
    queue = client("sqs").create_queue(QueueName=unique("doors"))["QueueUrl"]
    # These let the other account in, so that the door alone keeps it out.
    queue_arn = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    lets = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{THEIRS}:root"}}
    read = {**lets, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    client("s3").put_bucket_policy(Bucket=bucket, Policy=policy(read))
    open_queue = policy({**lets, "Action": "sqs:SendMessage", "Resource": queue_arn})
    client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": open_queue})
    open_topic = policy({**lets, "Action": "sns:Publish", "Resource": topic})
    client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=open_topic)
    group = f"/doors/{unique('group')}"
    client("logs").create_log_group(logGroupName=group)
    secret = client("secretsmanager").create_secret(Name=unique("doors"), SecretString="s")["ARN"]
    parameter = f"/{unique('doors')}"
    client("ssm").put_parameter(Name=parameter, Value="v", Type="String")
    packages = unique("doors")
    packages_arn = client("sagemaker").create_model_package_group(ModelPackageGroupName=packages)[
        "ModelPackageGroupArn"
    ]
    trust = policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": "states.amazonaws.com", "AWS": f"arn:aws:iam::{MINE}:root"},
            "Action": "sts:AssumeRole",
        }
    )
    machine_role = client("iam").create_role(RoleName=unique("doors"), AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    machine = client("stepfunctions").create_state_machine(
        name=unique("doors"),
        roleArn=machine_role,
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
    )["stateMachineArn"]
    text = {"Text": "Ada Lovelace lived in London.", "LanguageCode": "en"}
    picture = {"Image": {"S3Object": {"Bucket": bucket, "Name": "k"}}}
    nothing = {"JobId": "0" * 64}
    tags = [{"Key": "seen", "Value": "now"}]
    row = {"TableName": outputs["TableName"], "Key": {"id": {"S": "x"}}}

    def elsewhere(asked: Asked, *, ends: str = "", **arguments: str) -> Asked:
        """The same call on another account's thing."""
        return replace(
            asked,
            arguments={**asked.arguments, **{name: arn.replace(MINE, THEIRS) for name, arn in arguments.items()}},
            ends=ends,
        )

    speech = {"Text": "Hello", "OutputFormat": "mp3", "VoiceId": "Joanna"}
    metric = {"Namespace": "doors", "MetricData": [{"MetricName": "m", "Value": 1}]}
    of_machine = {"stateMachineArn": machine}
    data_key = Asked("kms", "generate_data_key", {"KeyId": key, "KeySpec": "AES_256"}, "kms:GenerateDataKey")
    publish = Asked("sns", "publish", {"TopicArn": topic, "Message": "m"}, "sns:Publish")
    start = Asked("stepfunctions", "start_execution", {"stateMachineArn": machine}, "states:StartExecution")
    reveal = Asked("secretsmanager", "get_secret_value", {"SecretId": secret}, "secretsmanager:GetSecretValue")
    tag = Asked("sagemaker", "add_tags", {"ResourceArn": packages_arn, "Tags": tags}, "sagemaker:AddTags")
    entry = {"Source": "doors", "DetailType": "d", "Detail": "{}"}
    assume = {"RoleArn": machine_role, "RoleSessionName": "somebody"}
    analysis, detection = "textract:GetDocumentAnalysis", "textract:GetDocumentTextDetection"
    no_job = "InvalidJobIdException"
    endpoint = {"EndpointName": "none"}
    translated = {"Text": "Good morning", "SourceLanguageCode": "en", "TargetLanguageCode": "es"}
    recording = {
        "TranscriptionJobName": unique("doors"),
        "Media": {"MediaFileUri": f"s3://{bucket}/none.wav"},
        "LanguageCode": "en-US",
        "OutputBucketName": bucket,
    }
    return {
        "s3": Tried(
            Asked("s3", "get_object", {"Bucket": bucket, "Key": "text"}, "s3:GetObject"),
            Asked("s3", "get_bucket_location", {"Bucket": bucket}, "s3:GetBucketLocation"),
            named=True,
        ),
        "dynamodb": Tried(
            Asked("dynamodb", "get_item", row, "dynamodb:GetItem"),
            Asked("dynamodb", "scan", {"TableName": outputs["TableName"]}, "dynamodb:Scan"),
            to_others="ResourceNotFoundException",
        ),
        "bedrock-runtime": Tried(
            Asked("bedrock-runtime", "invoke_model", {"modelId": NOVA, "body": "{}"}, "bedrock:InvokeModel"),
            Asked("bedrock-runtime", "list_async_invokes", {}, "bedrock:ListAsyncInvokes"),
        ),
        "comprehend": Tried(
            Asked("comprehend", "detect_entities", text, "comprehend:DetectEntities"),
            Asked("comprehend", "detect_sentiment", text, "comprehend:DetectSentiment"),
        ),
        "ecr.api": Tried(
            Asked("ecr", "get_authorization_token", {}, "ecr:GetAuthorizationToken"),
            Asked("ecr", "describe_repositories", {}, "ecr:DescribeRepositories"),
        ),
        "events": Tried(
            Asked("events", "put_events", {"Entries": [entry]}, "events:PutEvents"),
            Asked("events", "list_rules", {}, "events:ListRules"),
        ),
        "kms": Tried(
            data_key,
            Asked("kms", "describe_key", {"KeyId": key}, "kms:DescribeKey"),
            elsewhere(data_key, ends="NotFoundException", KeyId=key),
            to_others="NotFoundException",
            named=True,
        ),
        "logs": Tried(
            Asked("logs", "describe_log_streams", {"logGroupName": group}, "logs:DescribeLogStreams"),
            Asked("logs", "filter_log_events", {"logGroupName": group}, "logs:FilterLogEvents"),
            to_others="ResourceNotFoundException",
        ),
        "monitoring": Tried(
            Asked("cloudwatch", "put_metric_data", metric, "cloudwatch:PutMetricData"),
            Asked("cloudwatch", "list_metrics", {}, "cloudwatch:ListMetrics"),
        ),
        "polly": Tried(
            Asked("polly", "synthesize_speech", speech, "polly:SynthesizeSpeech"),
            Asked("polly", "describe_voices", {}, "polly:DescribeVoices"),
        ),
        "rekognition": Tried(
            Asked("rekognition", "detect_labels", picture, "rekognition:DetectLabels"),
            Asked("rekognition", "detect_faces", picture, "rekognition:DetectFaces"),
            to_others="InvalidS3ObjectException",
        ),
        "sagemaker.api": Tried(
            tag,
            Asked("sagemaker", "list_models", {}, "sagemaker:ListModels"),
            elsewhere(tag, ends="ValidationException", ResourceArn=packages_arn),
            named=True,
        ),
        "sagemaker.runtime": Tried(
            Asked(
                "sagemaker-runtime",
                "invoke_endpoint",
                {**endpoint, "Body": "1"},
                "sagemaker:InvokeEndpoint",
                "ValidationError",
            ),
            # Not served here, which is said behind the door.
            Asked(
                "sagemaker-runtime",
                "invoke_endpoint_async",
                {**endpoint, "InputLocation": f"s3://{bucket}/k"},
                "sagemaker:InvokeEndpointAsync",
                "NotImplemented",
            ),
            to_others="ValidationError",
        ),
        "secretsmanager": Tried(
            reveal,
            Asked("secretsmanager", "describe_secret", {"SecretId": secret}, "secretsmanager:DescribeSecret"),
            elsewhere(reveal, ends="ResourceNotFoundException", SecretId=secret),
            to_others="ResourceNotFoundException",
            named=True,
        ),
        "sns": Tried(
            publish,
            Asked("sns", "get_topic_attributes", {"TopicArn": topic}, "sns:GetTopicAttributes"),
            elsewhere(publish, ends="NotFound", TopicArn=topic),
            named=True,
        ),
        "sqs": Tried(
            Asked("sqs", "send_message", {"QueueUrl": queue, "MessageBody": "m"}, "sqs:SendMessage"),
            Asked("sqs", "get_queue_attributes", {"QueueUrl": queue}, "sqs:GetQueueAttributes"),
            named=True,
        ),
        "ssm": Tried(
            Asked("ssm", "get_parameter", {"Name": parameter}, "ssm:GetParameter"),
            Asked("ssm", "get_parameters", {"Names": [parameter]}, "ssm:GetParameters"),
            to_others="ParameterNotFound",
        ),
        "states": Tried(
            start,
            Asked("stepfunctions", "describe_state_machine", of_machine, "states:DescribeStateMachine"),
            elsewhere(start, ends="StateMachineDoesNotExist", stateMachineArn=machine),
            to_others="StateMachineDoesNotExist",
            named=True,
        ),
        "sts": Tried(
            Asked("sts", "get_caller_identity", {}, "sts:GetCallerIdentity"),
            Asked("sts", "assume_role", assume, "sts:AssumeRole"),
        ),
        "textract": Tried(
            Asked("textract", "get_document_analysis", nothing, analysis, no_job),
            Asked("textract", "get_document_text_detection", nothing, detection, no_job),
            to_others=no_job,
        ),
        "transcribe": Tried(
            # There is no such recording, which is said behind the door.
            Asked(
                "transcribe",
                "start_transcription_job",
                recording,
                "transcribe:StartTranscriptionJob",
                "BadRequestException",
            ),
            Asked("transcribe", "list_transcription_jobs", {}, "transcribe:ListTranscriptionJobs"),
            to_others="BadRequestException",
        ),
        "translate": Tried(
            Asked("translate", "translate_text", translated, "translate:TranslateText"),
            Asked("translate", "list_languages", {}, "translate:ListLanguages"),
        ),
    }


@pytest.fixture(scope="module")
def network(cloud: LocalCloud) -> Iterator[Network]:
    """The stack with every door."""
    name = f"doors-{os.getpid()}"
    assembly = synthesize(ARCHITECTURE, settings={ARCHITECTURE: {"endpoints": list(DOORS)}})
    try:
        outputs = deploy(cloud, assembly, name, artifact=ARCHITECTURE)
        warden = Warden(cloud, outputs)
        callers = {
            purpose: make_caller(cloud, inside(cloud, outputs, group), {"Action": "*", "Resource": "*"})
            for purpose, group in (("functions", "FunctionsSecurityGroupId"), ("jobs", "JobsSecurityGroupId"))
        }
        role = foreign_role(cloud)
        strangers = {}
        with warden.policy("Sts", lambda one: one["Action"].append("sts:AssumeRole")):
            for purpose, caller in callers.items():
                answer = caller.call("sts", "assume_role", RoleArn=role, RoleSessionName="stranger")
                assert answer["code"] == "", answer
                keys = answer["answer"]["Credentials"]
                strangers[purpose] = {
                    "aws_access_key_id": keys["AccessKeyId"],
                    "aws_secret_access_key": keys["SecretAccessKey"],
                    "aws_session_token": keys["SessionToken"],
                }
        yield Network(warden, callers, strangers, things(cloud, outputs))
    finally:
        destroy(cloud, name)


def inside(cloud: LocalCloud, outputs: Mapping[str, str], group: str) -> Vpc:
    """Where members of a group sit."""
    return Vpc(cloud, outputs["VpcId"], subnets=outputs["SubnetIds"].split(","), callers=outputs[group])


def foreign_role(cloud: LocalCloud) -> str:
    """A role of another account that may everything there, and lets this account in."""
    make: Any = boto3.client
    iam = make(
        "iam",
        endpoint_url=cloud.endpoint_url,
        region_name=cloud.region,
        aws_access_key_id=THEIRS,
        aws_secret_access_key=ROOT_KEYS["AWS_SECRET_ACCESS_KEY"],
        verify=str(cloud.ca_bundle),
    )
    name = unique("stranger")
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{MINE}:root"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=document)
    return str(role)


def test_each_door_is_tried_or_says_why_not() -> None:
    assert set(TRIED) | set(NOT_TRIED) == set(OF_ALL_DOORS)


@pytest.mark.parametrize("door", TRIED)
def test_a_door_is_for_what_is_in_its_list_alone(network: Network, door: str) -> None:
    tried = network.tried[door]

    def widen(statement: Document) -> None:
        written = statement["Action"]
        statement["Action"] = [*([written] if isinstance(written, str) else written), tried.strange.action]

    # Given a door as it is written, Then it lets through what it is for, and nothing else
    assert network.ask(door, tried.meant) == (True, tried.meant.ends)
    assert network.ask(door, tried.strange)[0] is False
    # When its list has the other action too, Then that is let through
    with network.changed(door, widen):
        assert network.ask(door, tried.strange) == (True, tried.strange.ends)
    assert network.ask(door, tried.strange)[0] is False


@pytest.mark.parametrize("door", [door for door in TRIED if door not in NEVER_REFUSED])
def test_a_door_is_for_this_accounts_callers_by_its_condition(network: Network, door: str) -> None:
    tried, own = network.tried[door], OF_ALL_DOORS[door].own
    # Given a caller of another account inside of the network, Then the door refuses
    assert network.ask(door, tried.meant, stranger=True)[0] is False
    # When the condition is taken out (with the other one, where the stranger's thing is no more this account's)
    change = without("aws:PrincipalAccount") if tried.named or not own else unconditional
    with network.changed(door, change):
        # Then the stranger is let through
        assert network.ask(door, tried.meant, stranger=True) == (True, tried.to_others)
    assert network.ask(door, tried.meant, stranger=True)[0] is False


def test_a_stranger_takes_on_no_role_through_the_door_by_its_condition(network: Network) -> None:
    # Given the door of STS, which cannot refuse the one call that it is for: AWS lets everybody ask who he is
    assume = network.tried["sts"].strange

    def widen(statement: Document) -> None:
        statement["Action"] = [assume.action]

    def open_up(statement: Document) -> None:
        widen(statement)
        unconditional(statement)

    # When it is for another call, Then the stranger is refused, and without its condition let through to the role
    with network.changed("sts", widen):
        assert network.ask("sts", assume, stranger=True)[0] is False
    with network.changed("sts", open_up):
        assert network.ask("sts", assume, stranger=True)[0] is True


@pytest.mark.parametrize("door", [door for door in TRIED if OF_ALL_DOORS[door].own])
def test_a_door_leads_to_this_accounts_things_by_its_condition(network: Network, door: str) -> None:
    tried = network.tried[door]
    if tried.theirs is None:
        # A name means this account's own, so there is no call that would ask for another's: the template's test has it.
        assert door in NAMES_ITS_OWN
        return
    # Given another account's thing, Then the door refuses
    assert network.ask(door, tried.theirs)[0] is False
    # When the condition is taken out, Then the way leads there
    with network.changed(door, without("aws:ResourceAccount")):
        assert network.ask(door, tried.theirs) == (True, tried.theirs.ends)
