"""REST APIs, secrets, permissions and subscriptions that templates make: all that the template says is there."""

import json
import time
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError, WaiterError

from local.cloud import LocalCloud
from tests.local.emulated import (
    client_as,
    decided,
    eventually,
    last_sequence,
    make_machine,
    make_role,
    messages,
    policy,
    set_permissions,
    unique,
)
from tests.local.test_machines import deploy, role_resource

LOG_ACTIONS = ("logs:CreateLogStream", "logs:PutLogEvents")
FORMAT = json.dumps({"id": "$context.requestId", "status": "$context.status", "path": "$context.resourcePath"})
ECHO = 'def handler(event, context):\n    return {"statusCode": 200, "body": event["body"]}\n'


def api_resources(role: str, log_statement: dict[str, Any] | None) -> dict[str, Any]:
    """A REST API with `POST /items`, its model, validator, usage plan, access log and function."""
    api = {"Ref": "Api"}
    integration = {
        "Type": "AWS_PROXY",
        "IntegrationHttpMethod": "POST",
        "Uri": {
            "Fn::Sub": "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Function.Arn}/invocations"
        },
    }
    schema = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    source = {"Fn::Sub": "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*/POST/items"}
    account = {
        "LogRole": role_resource("apigateway.amazonaws.com", *([log_statement] if log_statement else [])),
        "Account": {
            "Type": "AWS::ApiGateway::Account",
            "Properties": {"CloudWatchRoleArn": {"Fn::GetAtt": ["LogRole", "Arn"]}},
        },
    }
    made: dict[str, Any] = {
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "Role": role,
                "Code": {"ZipFile": ECHO},
            },
        },
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": {"Ref": "Function"},
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": source,
            },
        },
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": unique("api")}},
        "Items": {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {
                "RestApiId": api,
                "ParentId": {"Fn::GetAtt": ["Api", "RootResourceId"]},
                "PathPart": "items",
            },
        },
        "Validator": {
            "Type": "AWS::ApiGateway::RequestValidator",
            "Properties": {"RestApiId": api, "Name": "body", "ValidateRequestBody": True},
        },
        "Model": {
            "Type": "AWS::ApiGateway::Model",
            "Properties": {"RestApiId": api, "ContentType": "application/json", "Name": "Item", "Schema": schema},
        },
        "Post": {
            "Type": "AWS::ApiGateway::Method",
            "Properties": {
                "RestApiId": api,
                "ResourceId": {"Ref": "Items"},
                "HttpMethod": "POST",
                "AuthorizationType": "NONE",
                "RequestValidatorId": {"Ref": "Validator"},
                "RequestModels": {"application/json": {"Ref": "Model"}},
                "Integration": integration,
            },
        },
        "Deployment": {
            "Type": "AWS::ApiGateway::Deployment",
            "DependsOn": ["Post"],
            "Properties": {"RestApiId": api},
        },
        "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {}},
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "DependsOn": ["Account"] if log_statement else [],
            "Properties": {
                "RestApiId": api,
                "DeploymentId": {"Ref": "Deployment"},
                "StageName": "prod",
                "AccessLogSetting": {"DestinationArn": {"Fn::GetAtt": ["Group", "Arn"]}, "Format": FORMAT},
            },
        },
        "Plan": {
            "Type": "AWS::ApiGateway::UsagePlan",
            "Properties": {"ApiStages": [{"ApiId": api, "Stage": {"Ref": "Stage"}}]},
        },
    }
    return {**made, **(account if log_statement else {})}


def total(cloud: LocalCloud, name: str, **dimensions: str) -> float:
    """A metric of an API, of the last minutes."""
    now = time.time() + cloud.control.clock()
    points = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/ApiGateway",
        MetricName=name,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        StartTime=now - 600,
        EndTime=now + 120,
        Period=900,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(point["Sum"] for point in points))


def test_an_api_of_a_template_checks_counts_and_logs_requests(cloud: LocalCloud) -> None:
    # Given a stack with an API, whose role for logs may write
    resources = api_resources(make_role(cloud), {"Action": list(LOG_ACTIONS), "Resource": "*"})
    outputs = deploy(cloud, resources, {"Api": {"Ref": "Api"}, "Group": {"Ref": "Group"}})
    url = f"{cloud.endpoint_url}/_aws/execute-api/{outputs['Api']}/prod/items"

    def post(body: dict[str, Any]) -> int:
        return requests.post(url, json=body, verify=str(cloud.ca_bundle), timeout=20).status_code

    # When a good and a bad request come, Then one is answered and the other refused by the model
    assert [post({"name": "x"}), post({"other": 1})] == [200, 400]
    # And both are counted, by API and by stage, and logged in the format
    name = resources["Api"]["Properties"]["Name"]
    assert [total(cloud, metric, ApiName=name) for metric in ("Count", "4XXError", "5XXError")] == [2, 1, 0]
    assert total(cloud, "Count", ApiName=name, Stage="prod") == 2
    lines = cloud.client("logs").filter_log_events(logGroupName=outputs["Group"])["events"]
    found = [json.loads(line["message"]) for line in lines]
    assert [(line["status"], line["path"]) for line in found] == [("200", "/items"), ("400", "/items")]


@pytest.mark.parametrize("action", LOG_ACTIONS)
def test_an_access_log_needs_each_permission(cloud: LocalCloud, action: str) -> None:
    # Given a stack with an API, whose role for logs lacks one permission
    others = [item for item in LOG_ACTIONS if item != action]
    resources = api_resources(make_role(cloud), {"Action": others, "Resource": "*"})
    outputs = deploy(cloud, resources, {"Api": {"Ref": "Api"}, "Group": {"Ref": "Group"}})
    before = last_sequence(cloud)
    # When a request comes, Then it is answered, and the log has nothing
    url = f"{cloud.endpoint_url}/_aws/execute-api/{outputs['Api']}/prod/items"
    assert requests.post(url, json={"name": "x"}, verify=str(cloud.ca_bundle), timeout=20).status_code == 200
    assert cloud.client("logs").filter_log_events(logGroupName=outputs["Group"])["events"] == []
    arn = f"arn:aws:logs:{cloud.region}:{cloud.account}:log-group:{outputs['Group']}"
    assert [item["allowed"] for item in decided(cloud, action, arn, before)] == [False]


def test_an_access_log_needs_the_accounts_role(cloud: LocalCloud) -> None:
    # Given an account whose settings name no role, When a stack has an access log, Then it cannot be made
    gateway = cloud.client("apigateway")
    role = gateway.get_account().get("cloudwatchRoleArn")
    gateway.update_account(patchOperations=[{"op": "remove", "path": "/cloudwatchRoleArn"}])
    try:
        with pytest.raises(WaiterError):
            deploy(cloud, api_resources(make_role(cloud), None), {})
    finally:
        if role:
            # Other stacks of this cloud log with it.
            gateway.update_account(patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}])


def test_a_generated_secret_is_what_the_template_asks_for(cloud: LocalCloud) -> None:
    # Given a template with a secret under a customer's key, made of capitals and digits
    root = {"AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}}
    document = json.loads(policy({"Principal": root, "Action": "kms:*", "Resource": "*"}))
    wanted = {
        "PasswordLength": 40,
        "ExcludePunctuation": True,
        "ExcludeLowercase": True,
        "ExcludeCharacters": "AEIOU",
        "SecretStringTemplate": '{"user": "x"}',
        "GenerateStringKey": "password",
    }
    resources = {
        "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": document}},
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"KmsKeyId": {"Fn::GetAtt": ["Key", "Arn"]}, "GenerateSecretString": wanted},
        },
    }
    outputs = deploy(cloud, resources, {"Secret": {"Ref": "Secret"}, "Key": {"Fn::GetAtt": ["Key", "Arn"]}})
    # When it is read, Then it is so made
    found = cloud.client("secretsmanager").get_secret_value(SecretId=outputs["Secret"])
    value = json.loads(found["SecretString"])
    password = value["password"]
    assert (value["user"], len(password)) == ("x", 40)
    assert password.isalnum()
    assert password == password.upper()
    assert not set(password) & set("AEIOU")
    # When a role reads it that may not use the key, Then it is refused; with the key, it reads
    read = {"Action": "secretsmanager:GetSecretValue", "Resource": found["ARN"]}
    role = make_role(cloud, read)
    mine = client_as(cloud, role, "secretsmanager")
    with pytest.raises(ClientError, match="kms:Decrypt"):
        mine.get_secret_value(SecretId=found["ARN"])
    set_permissions(cloud, role, read, {"Action": "kms:Decrypt", "Resource": outputs["Key"]})
    assert mine.get_secret_value(SecretId=found["ARN"])["SecretString"] == found["SecretString"]


SLOW = 'import time\n\ndef handler(event, context):\n    time.sleep(6)\n    return {"statusCode": 200}\n'


def test_an_api_refuses_what_is_too_large_and_waits_for_its_function_no_longer_than_it_may(cloud: LocalCloud) -> None:
    # Given an API whose function takes six seconds, and that waits half a second
    resources = api_resources(make_role(cloud), {"Action": list(LOG_ACTIONS), "Resource": "*"})
    resources["Function"]["Properties"] |= {"Code": {"ZipFile": SLOW}, "Timeout": 10}
    resources["Post"]["Properties"]["Integration"]["TimeoutInMillis"] = 500
    url = f"{cloud.endpoint_url}/_aws/execute-api/{deploy(cloud, resources, {'Api': {'Ref': 'Api'}})['Api']}/prod/items"

    def post(body: bytes) -> tuple[int, str]:
        headers = {"content-type": "application/json"}
        answer = requests.post(url, data=body, headers=headers, verify=str(cloud.ca_bundle), timeout=20)
        return answer.status_code, answer.json()["message"]

    # When a body of 10 MB comes, Then it is looked at, and found to be no item; one byte more is refused unread
    assert post(b"x" * 10_485_760)[0] == 400
    assert post(b"x" * 10_485_761) == (413, "Request Too Long")
    # And who asks for something slow is told so before it is done
    began = time.monotonic()
    assert post(b'{"name": "x"}') == (504, "Endpoint request timed out")
    assert time.monotonic() - began < 5
    name = resources["Api"]["Properties"]["Name"]
    assert [total(cloud, metric, ApiName=name) for metric in ("Count", "4XXError", "5XXError")] == [3, 2, 1]


def test_publishing_to_a_topic_under_a_customer_key_needs_the_key(cloud: LocalCloud) -> None:
    # Given a topic under a customer's key, and a role that may publish only
    root = {"AWS": f"arn:aws:iam::{cloud.account}:root"}
    document = policy({"Principal": root, "Action": "kms:*", "Resource": "*"})
    key = cloud.client("kms").create_key(Policy=document)["KeyMetadata"]["Arn"]
    topic = cloud.client("sns").create_topic(Name=unique("topic"), Attributes={"KmsMasterKeyId": key})["TopicArn"]
    publish = {"Action": "sns:Publish", "Resource": topic}
    role = make_role(cloud, publish)
    mine = client_as(cloud, role, "sns")
    # When it publishes, Then the key stops it; with the key, it does not
    with pytest.raises(ClientError, match="kms:"):
        mine.publish(TopicArn=topic, Message="x")
    set_permissions(cloud, role, publish, {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key})
    assert mine.publish(TopicArn=topic, Message="x")["MessageId"]


def test_changing_a_secret_under_a_customer_key_needs_the_key(cloud: LocalCloud) -> None:
    # Given a secret under a customer's key, and a role that may change secrets only
    root = {"AWS": f"arn:aws:iam::{cloud.account}:root"}
    document = policy({"Principal": root, "Action": "kms:*", "Resource": "*"})
    key = cloud.client("kms").create_key(Policy=document)["KeyMetadata"]["Arn"]
    secret = cloud.client("secretsmanager").create_secret(Name=unique("secret"), SecretString="a", KmsKeyId=key)["ARN"]
    change = {"Action": ["secretsmanager:UpdateSecret", "secretsmanager:PutSecretValue"], "Resource": secret}
    role = make_role(cloud, change)
    mine = client_as(cloud, role, "secretsmanager")
    # When it changes the value, Then the key stops it; with the key, it does not
    for change_value in (mine.update_secret, mine.put_secret_value):
        with pytest.raises(ClientError, match="kms:"):
            change_value(SecretId=secret, SecretString="b")
    # And what is not encrypted can be changed without it
    assert mine.update_secret(SecretId=secret, Description="about")["ARN"] == secret
    set_permissions(cloud, role, change, {"Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": key})
    assert mine.update_secret(SecretId=secret, SecretString="b")["VersionId"]


def test_a_templates_subscription_and_policy_deliver(cloud: LocalCloud) -> None:
    # Given a template with a topic, its policy, a queue, the queue's policy and the subscription between them
    send = {
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": {"Fn::GetAtt": ["Queue", "Arn"]},
        "Condition": {"ArnEquals": {"aws:SourceArn": {"Ref": "Topic"}}},
    }
    allow = {
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": {"Ref": "Topic"},
    }
    resources = {
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {}},
        "TopicPolicy": {
            "Type": "AWS::SNS::TopicPolicy",
            "Properties": {"Topics": [{"Ref": "Topic"}], "PolicyDocument": json.loads(policy(allow))},
        },
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {}},
        "QueuePolicy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {"Queues": [{"Ref": "Queue"}], "PolicyDocument": json.loads(policy(send))},
        },
        "Subscription": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": {"Ref": "Topic"},
                "Protocol": "sqs",
                "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]},
                "RawMessageDelivery": True,
                "FilterPolicy": {"kind": ["good"]},
            },
        },
    }
    outputs = deploy(cloud, resources, {"Topic": {"Ref": "Topic"}, "Queue": {"Ref": "Queue"}})
    # When two messages are published, Then the one that the filter wants arrives, raw
    for kind in ("good", "bad"):
        attributes: Any = {"kind": {"DataType": "String", "StringValue": kind}}
        cloud.client("sns").publish(TopicArn=outputs["Topic"], Message=kind, MessageAttributes=attributes)
    assert [message["Body"] for message in eventually(lambda: messages(cloud, outputs["Queue"]))] == ["good"]
    document = cloud.client("sns").get_topic_attributes(TopicArn=outputs["Topic"])["Attributes"]["Policy"]
    assert "cloudwatch.amazonaws.com" in document


def test_making_a_state_machine_needs_its_role_to_be_passed(cloud: LocalCloud) -> None:
    # Given somebody who may make state machines, and a role for them
    definition = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    role = make_role(cloud)
    make = {"Action": "states:CreateStateMachine", "Resource": "*"}
    maker = make_role(cloud, make)
    mine = client_as(cloud, maker, "stepfunctions")

    def create() -> str:
        arn: str = mine.create_state_machine(name=unique("machine"), definition=json.dumps(definition), roleArn=role)[
            "stateMachineArn"
        ]
        return arn

    # When they make one, Then the role may not be passed; with the permission for Step Functions, it may
    with pytest.raises(ClientError, match="iam:PassRole"):
        create()
    condition = {"StringEquals": {"iam:PassedToService": "states.amazonaws.com"}}
    set_permissions(cloud, maker, make, {"Action": "iam:PassRole", "Resource": role, "Condition": condition})
    assert create()
    # And a role that does not trust Step Functions is refused to anybody
    trust = policy({"Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"})
    cloud.client("iam").update_assume_role_policy(RoleName=role.rpartition("/")[2], PolicyDocument=trust)
    with pytest.raises(ClientError, match="authorized to assume"):
        make_machine(cloud, role, definition)
