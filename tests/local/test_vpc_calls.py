"""Calls from inside a VPC, made for real by functions there: each refusal has a twin in which the call goes through."""

from __future__ import annotations

import hashlib
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from tests.local.emulated import (
    client_as,
    decided,
    eventually,
    last_sequence,
    make_function,
    make_queue,
    make_role,
    policy,
    set_permissions,
    unique,
)
from tests.local.networking import CALLER, NETWORK, Caller, Vpc, from_group, make_caller, make_vpc
from tests.local.sagemaking import XGBOOST, job_role

CLOSED = "ConnectionClosedError"
ANYBODY = {"Principal": "*", "Resource": "*"}
MAY = {
    "Action": ["s3:GetObject", "sqs:SendMessage", "sts:AssumeRole", "kms:Encrypt", "ssm:GetParameter"],
    "Resource": "*",
}


@pytest.fixture(scope="module")
def vpc(cloud: LocalCloud) -> Vpc:
    """A VPC without endpoints; a test takes its own away again."""
    return make_vpc(cloud)


@pytest.fixture(scope="module")
def caller(cloud: LocalCloud, vpc: Vpc) -> Caller:
    """A function in the VPC."""
    return make_caller(cloud, vpc, MAY)


@pytest.fixture(scope="module")
def outsider(cloud: LocalCloud) -> Caller:
    """A function with the same permissions outside of it."""
    return make_caller(cloud, None, MAY)


@pytest.fixture(scope="module")
def queue(cloud: LocalCloud) -> str:
    """A queue's URL."""
    return make_queue(cloud)[0]


@contextmanager
def there(vpc: Vpc, endpoint: str) -> Iterator[str]:
    """An endpoint for a while."""
    try:
        yield endpoint
    finally:
        vpc.without(endpoint)


def with_object(cloud: LocalCloud, **settings: Any) -> str:
    """A bucket with the object `k`."""
    bucket = unique("bucket")
    cloud.client("s3").create_bucket(Bucket=bucket)
    cloud.client("s3").put_object(Bucket=bucket, Key="k", Body=b"content", **settings)
    return bucket


def only_by(cloud: LocalCloud, bucket: str, condition: dict[str, Any]) -> None:
    """Refuse reading for whom the condition holds."""
    deny = {
        "Sid": "OnlyByTheEndpoint",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": condition,
    }
    cloud.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy(deny))


# --- Whether there is a way


def test_without_an_endpoint_a_connection_is_closed_and_the_decision_says_why(
    cloud: LocalCloud, vpc: Vpc, caller: Caller, outsider: Caller, queue: str
) -> None:
    # Given a VPC without endpoints
    before = last_sequence(cloud)
    # When functions inside and outside of it send the same message
    inside = caller.call("sqs", "send_message", QueueUrl=queue, MessageBody="m")
    outside = outsider.call("sqs", "send_message", QueueUrl=queue, MessageBody="m")
    # Then the one gets no connection, the other an answer
    assert (inside["code"], outside["code"]) == (CLOSED, "")
    # Then it is recorded what was asked for in vain, and why
    role = caller.role.rpartition("/")[2]
    (refused,) = [one for one in decided(cloud, "sqs:SendMessage", "arn:", before) if one["role"] == role]
    assert (refused["allowed"], refused["via"]) == (False, "network")
    assert f"{vpc.id} has no endpoint for com.amazonaws.{cloud.region}.sqs" in refused["reason"]


def test_an_interface_endpoint_lets_in_whom_its_security_group_lets_in(vpc: Vpc, caller: Caller, queue: str) -> None:
    with there(vpc, vpc.interface("sqs")):
        # Given an endpoint, When the function sends, Then it goes through
        assert caller.call("sqs", "send_message", QueueUrl=queue, MessageBody="m")["code"] == ""
        # When the group lets the function in no more, Then nothing gets through
        rule = {"GroupId": vpc.endpoints, "IpPermissions": [from_group(vpc.callers)]}
        vpc.ec2.revoke_security_group_ingress(**rule)
        try:
            assert caller.call("sqs", "send_message", QueueUrl=queue, MessageBody="m")["code"] == CLOSED
        finally:
            vpc.ec2.authorize_security_group_ingress(**rule)


def test_an_endpoint_for_one_service_is_none_for_another(vpc: Vpc, caller: Caller) -> None:
    with there(vpc, vpc.interface("sqs")):
        assert caller.call("sts", "get_caller_identity")["code"] == CLOSED
    with there(vpc, vpc.interface("sts")):
        assert caller.call("sts", "get_caller_identity")["code"] == ""


def test_an_endpoint_of_another_vpc_is_no_way(cloud: LocalCloud, vpc: Vpc, caller: Caller, queue: str) -> None:
    other = make_vpc(cloud)
    with there(other, other.interface("sqs")):
        assert caller.call("sqs", "send_message", QueueUrl=queue, MessageBody="m")["code"] == CLOSED
        # Nor is it in the way of one's own.
        with there(vpc, vpc.interface("sqs")):
            assert caller.call("sqs", "send_message", QueueUrl=queue, MessageBody="m")["code"] == ""


def test_a_private_name_ends_with_the_dns_attributes_of_the_vpc(vpc: Vpc, caller: Caller, queue: str) -> None:
    with there(vpc, vpc.interface("sqs")):
        vpc.ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsHostnames={"Value": False})
        try:
            assert caller.call("sqs", "send_message", QueueUrl=queue, MessageBody="m")["code"] == CLOSED
        finally:
            vpc.ec2.modify_vpc_attribute(VpcId=vpc.id, EnableDnsHostnames={"Value": True})


def test_a_request_without_a_permission_of_its_own_is_closed_as_well(vpc: Vpc, caller: Caller) -> None:
    # GetCallerIdentity is never refused by a role's policies; an endpoint's policy may refuse it.
    closed = policy({**ANYBODY, "Action": "sts:AssumeRole"})
    with there(vpc, vpc.interface("sts", closed)):
        refused = caller.call("sts", "get_caller_identity")
    assert refused["message"].endswith("because no VPC endpoint policy allows the sts:GetCallerIdentity action")


def test_a_route_that_one_subnet_lacks_is_no_way(cloud: LocalCloud, vpc: Vpc, caller: Caller) -> None:
    bucket = with_object(cloud)
    with there(vpc, vpc.gateway("s3", tables=vpc.tables[:1])) as endpoint:
        assert caller.call("s3", "get_object", Bucket=bucket, Key="k")["code"] == CLOSED
        vpc.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=vpc.tables[1:])
        assert caller.call("s3", "get_object", Bucket=bucket, Key="k")["code"] == ""


def test_a_nat_gateway_leads_out_of_the_vpc(cloud: LocalCloud, queue: str) -> None:
    # Given a VPC whose default routes lead to a NAT gateway, and a role that may send from a public address only
    own = make_vpc(cloud)
    address = own.ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = own.ec2.create_nat_gateway(SubnetId=own.subnets[0], AllocationId=address)["NatGateway"]["NatGatewayId"]
    for table in own.tables:
        own.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=gateway)
    public = {"Null": {"aws:SourceIp": "false", "aws:SourceVpc": "true"}}
    goer = make_caller(cloud, own, {"Action": "sqs:SendMessage", "Resource": "*", "Condition": public})
    # When a function there sends, Then it gets out, and is no caller by an endpoint
    assert goer.call("sqs", "send_message", QueueUrl=queue, MessageBody="m")["code"] == ""
    # When the gateway is gone, Then so is the way
    own.ec2.delete_nat_gateway(NatGatewayId=gateway)
    assert goer.call("sqs", "send_message", QueueUrl=queue, MessageBody="m")["code"] == CLOSED


# --- What the endpoint's policy says

BY_NOBODY = "because no VPC endpoint policy allows the s3:GetObject action"
BY_A_DENY = "with an explicit deny in a VPC endpoint policy"


@pytest.mark.parametrize(
    ("statements", "refusal"),
    [
        ([{**ANYBODY, "Sid": "Read", "Action": "s3:GetObject"}], None),
        ([{**ANYBODY, "Sid": "Write", "Action": "s3:PutObject"}], BY_NOBODY),
        ([{**ANYBODY, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::others/*"}], BY_NOBODY),
        ([{**ANYBODY, "Action": "*"}, {**ANYBODY, "Sid": "No", "Effect": "Deny", "Action": "s3:*"}], BY_A_DENY),
    ],
)
def test_the_policy_of_an_endpoint_decides_beside_the_roles(
    cloud: LocalCloud, vpc: Vpc, caller: Caller, statements: list[dict[str, Any]], refusal: str | None
) -> None:
    # Given an endpoint with a policy, and a role that may read
    bucket, before = with_object(cloud), last_sequence(cloud)
    with there(vpc, vpc.gateway("s3", policy(*statements))) as endpoint:
        # When the function reads
        found = caller.call("s3", "get_object", Bucket=bucket, Key="k")
    # Then the policy has decided, in the words of AWS
    assert found["code"] == ("AccessDenied" if refusal else "")
    assert found.get("message", "").endswith(refusal or "")
    # Then the record names the endpoint's statement, or says that none allows it
    decisions = decided(cloud, "s3:GetObject", f"arn:aws:s3:::{bucket}", before)
    decision = next(one for one in decisions if one["via"] == "network")
    assert decision["allowed"] is (refusal is None)
    if refusal == BY_NOBODY:
        assert decision["reason"] == f"No statement of the policy of {endpoint} allows it"
    else:
        assert decision["statement"]["policy"] == endpoint
        assert decision["statement"]["sid"] == statements[-1]["Sid"]
        assert decision["statement"]["index"] == len(statements) - 1


@pytest.mark.parametrize("kind", ["Gateway", "Interface"])
def test_a_principal_is_named_otherwise_at_a_gateway(cloud: LocalCloud, vpc: Vpc, caller: Caller, kind: str) -> None:
    # Given endpoints whose policy names the function's role, once as principal and once by condition
    by_principal = {"Principal": {"AWS": caller.role}, "Action": "s3:GetObject", "Resource": "*"}
    by_condition = {**ANYBODY, "Action": "s3:GetObject", "Condition": {"ArnEquals": {"aws:PrincipalArn": caller.role}}}
    bucket, codes = with_object(cloud), []
    make = vpc.gateway if kind == "Gateway" else vpc.interface
    # When the function reads
    for statement in (by_principal, by_condition):
        with there(vpc, make("s3", policy(statement))):
            codes.append(caller.call("s3", "get_object", Bucket=bucket, Key="k")["code"])
    # Then a gateway knows it by the condition alone
    assert codes == (["AccessDenied", ""] if kind == "Gateway" else ["", ""])


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        ([{**ANYBODY, "Action": "*"}], "because no identity-based policy allows"),
        ([{**ANYBODY, "Action": "s3:GetObject"}], "because no identity-based policy allows"),
        ([{**ANYBODY, "Effect": "Deny", "Action": "*"}], BY_A_DENY),
    ],
)
def test_an_endpoint_policy_gives_no_role_a_permission(
    cloud: LocalCloud, vpc: Vpc, caller: Caller, statements: list[dict[str, Any]], told: str
) -> None:
    bucket = with_object(cloud)
    # Given a role that lacks a permission, When its function calls, Then an endpoint lets nothing through for that; and
    # of two refusals the one that was asked for is told
    with there(vpc, vpc.gateway("s3", policy(*statements))):
        refused = caller.call("s3", "put_object", Bucket=bucket, Key="k", Body="x")
    assert (refused["code"], told in refused["message"]) == ("AccessDenied", True)


def test_to_hand_a_role_over_is_no_call_of_its_own(cloud: LocalCloud, vpc: Vpc) -> None:
    # Given an endpoint that lets models be made and nothing else, and a role that hands another over from there only
    handed = job_role(cloud)
    here = {"StringEquals": {"aws:SourceVpc": vpc.id}, "Bool": {"aws:ViaAWSService": "false"}}
    maker = make_caller(
        cloud,
        vpc,
        {"Action": "sagemaker:CreateModel", "Resource": "*"},
        {"Action": "iam:PassRole", "Resource": handed, "Condition": here},
    )
    model = {"ExecutionRoleArn": handed, "PrimaryContainer": {"Image": XGBOOST}}
    with there(vpc, vpc.interface("sagemaker.api", policy({**ANYBODY, "Action": "sagemaker:CreateModel"}))):
        # When its function makes a model, Then it may
        assert maker.call("sagemaker", "create_model", ModelName=unique("model"), **model)["code"] == ""


@pytest.mark.parametrize("service", ["ssm", "sqs"])
def test_each_protocol_tells_the_refusal(vpc: Vpc, caller: Caller, queue: str, service: str) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "ssm": lambda: caller.call("ssm", "get_parameter", Name="none"),
        "sqs": lambda: caller.call("sqs", "send_message", QueueUrl=queue, MessageBody="m"),
    }
    with there(vpc, vpc.interface(service, policy({**ANYBODY, "Action": f"{service}:Nothing"}))):
        refused = calls[service]()
    assert refused["code"].startswith("AccessDenied")
    assert "because no VPC endpoint policy allows" in refused["message"]


# --- What conditions see


def test_a_bucket_may_refuse_all_that_does_not_come_by_an_endpoint(
    cloud: LocalCloud, vpc: Vpc, caller: Caller, outsider: Caller
) -> None:
    bucket = with_object(cloud)
    with there(vpc, vpc.gateway("s3")) as endpoint:
        # Given a bucket that takes requests by this endpoint only
        only_by(cloud, bucket, {"StringNotEquals": {"aws:SourceVpce": endpoint}})
        # When functions inside and outside read, Then the one gets it, the other does not
        assert caller.call("s3", "get_object", Bucket=bucket, Key="k")["answer"]["Body"] == "content"
        before = last_sequence(cloud)
        assert outsider.call("s3", "get_object", Bucket=bucket, Key="k")["code"] == "AccessDenied"
        (refused,) = decided(cloud, "s3:GetObject", f"arn:aws:s3:::{bucket}", before)
        assert (refused["allowed"], refused["statement"]["sid"]) == (False, "OnlyByTheEndpoint")
        # When a role outside pretends by headers, Then that is of no use
        liar = client_as(cloud, outsider.role, "s3")
        names = ("x-amz-vpce-id", "x-amz-source-vpce", "x-forwarded-for", "local.forwarded")
        liar.meta.events.register(
            "before-sign.s3", lambda request, **_: [request.headers.add_header(name, endpoint) for name in names]
        )
        with pytest.raises(ClientError, match="AccessDenied"):
            liar.get_object(Bucket=bucket, Key="k")
        # When the statement is for another endpoint, Then the function inside is refused, too
        only_by(cloud, bucket, {"StringNotEquals": {"aws:SourceVpce": "vpce-another"}})
        assert caller.call("s3", "get_object", Bucket=bucket, Key="k")["code"] == "AccessDenied"


@pytest.mark.parametrize(
    ("condition", "inside", "outside"),
    [
        (lambda vpc: {"StringEquals": {"aws:SourceVpc": vpc.id}}, True, False),
        (lambda _: {"IpAddress": {"aws:VpcSourceIp": "10.7.0.0/16"}}, True, False),
        (lambda _: {"IpAddress": {"aws:VpcSourceIp": "10.8.0.0/16"}}, False, False),
        (lambda _: {"IpAddress": {"aws:SourceIp": "127.0.0.1/32"}}, False, True),
        (lambda _: {"Null": {"aws:SourceVpce": "true"}}, False, True),
        (lambda _: {"Bool": {"aws:ViaAWSService": "false"}}, True, True),
    ],
)
def test_a_role_may_be_bound_to_where_it_is_used(
    vpc: Vpc,
    caller: Caller,
    outsider: Caller,
    queue: str,
    condition: Callable[[Vpc], dict[str, Any]],
    inside: bool,
    outside: bool,
) -> None:
    # Given two roles that may send under a condition
    grant = {"Action": "sqs:SendMessage", "Resource": "*", "Condition": condition(vpc)}
    try:
        for one in (caller, outsider):
            set_permissions(one.cloud, one.role, NETWORK, grant)
        # When functions inside and outside send, Then the condition tells them apart
        with there(vpc, vpc.interface("sqs")):
            found = [
                one.call("sqs", "send_message", QueueUrl=queue, MessageBody="m")["code"] for one in (caller, outsider)
            ]
    finally:
        for one in (caller, outsider):
            set_permissions(one.cloud, one.role, NETWORK, MAY)
    assert [code == "" for code in found] == [inside, outside]


def test_a_key_may_be_bound_to_an_endpoint(cloud: LocalCloud, vpc: Vpc, caller: Caller, outsider: Caller) -> None:
    with there(vpc, vpc.interface("kms")) as endpoint:
        root = {"Principal": {"AWS": f"arn:aws:iam::{cloud.account}:root"}, "Resource": "*"}
        bound = {
            **root,
            "Action": "kms:Encrypt",
            "Condition": {"StringEquals": {"aws:SourceVpce": endpoint}},
        }
        manage = {**root, "Action": ["kms:Describe*", "kms:Put*", "kms:ScheduleKeyDeletion"]}
        key = cloud.client("kms").create_key(Policy=policy(manage, bound))["KeyMetadata"]["KeyId"]
        given = {"KeyId": key, "Plaintext": "p"}
        assert caller.call("kms", "encrypt", **given)["code"] == ""
        assert outsider.call("kms", "encrypt", **given)["code"].startswith("AccessDenied")


def test_a_service_with_its_callers_rights_calls_from_its_own_network(
    cloud: LocalCloud, vpc: Vpc, caller: Caller
) -> None:
    # Given a bucket that refuses what does not come by the endpoint, and Rekognition's endpoint
    bucket = with_object(cloud)
    set_permissions(
        cloud, caller.role, NETWORK, {"Action": ["s3:GetObject", "rekognition:DetectLabels"], "Resource": "*"}
    )
    image = {"Image": {"S3Object": {"Bucket": bucket, "Name": "k"}}}
    gateway, interface = vpc.gateway("s3"), vpc.interface("rekognition")
    try:
        only_by(cloud, bucket, {"StringNotEquals": {"aws:SourceVpce": gateway}})
        # When the function has Rekognition read there, Then the bucket refuses it
        assert caller.call("rekognition", "detect_labels", **image)["code"] == "InvalidS3ObjectException"
        # When the bucket lets services in that act for somebody, Then it is read: and is no picture
        only_by(
            cloud,
            bucket,
            {"StringNotEquals": {"aws:SourceVpce": gateway}, "Bool": {"aws:ViaAWSService": "false"}},
        )
        assert caller.call("rekognition", "detect_labels", **image)["code"] == "InvalidImageFormatException"
    finally:
        vpc.without(gateway, interface)
        set_permissions(cloud, caller.role, NETWORK, MAY)


def test_a_bucket_uses_its_key_without_an_endpoint_for_keys(cloud: LocalCloud, vpc: Vpc, caller: Caller) -> None:
    # Given an object under a key whose policy lets the role use it by way of a service only
    root = {"Principal": {"AWS": f"arn:aws:iam::{cloud.account}:root"}, "Resource": "*", "Action": "kms:*"}
    key = cloud.client("kms").create_key(Policy=policy(root))["KeyMetadata"]["Arn"]
    bucket = with_object(cloud, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    use = {"Action": "kms:Decrypt", "Resource": key, "Condition": {"Bool": {"aws:ViaAWSService": "true"}}}
    try:
        with there(vpc, vpc.gateway("s3")):
            # When the role lacks that, Then it cannot read; with it, Then it can
            assert caller.call("s3", "get_object", Bucket=bucket, Key="k")["code"] == "AccessDenied"
            set_permissions(cloud, caller.role, NETWORK, MAY, use)
            assert caller.call("s3", "get_object", Bucket=bucket, Key="k")["code"] == ""
    finally:
        set_permissions(cloud, caller.role, NETWORK, MAY)


# --- Whose network it is


def test_a_role_that_is_assumed_inside_is_inside(cloud: LocalCloud, vpc: Vpc, caller: Caller, queue: str) -> None:
    # Given a role that the function gets from STS by its endpoint
    other = make_role(cloud, {"Action": ["sqs:SendMessage", "s3:GetObject"], "Resource": "*"})
    with there(vpc, vpc.interface("sts")):
        found = caller.call("sts", "assume_role", RoleArn=other, RoleSessionName="inner")
    taken = found["answer"]["Credentials"]
    session = {
        "aws_access_key_id": taken["AccessKeyId"],
        "aws_secret_access_key": taken["SecretAccessKey"],
        "aws_session_token": taken["SessionToken"],
    }
    # When somebody outside uses a link that it signed, Then that is a call from outside
    bucket = with_object(cloud)
    signer = boto3.client(
        "s3", cloud.region, endpoint_url=cloud.endpoint_url, config=Config(signature_version="s3v4"), **session
    )
    url = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=str(cloud.ca_bundle))) as answer:
        assert answer.read() == b"content"
    # When it calls with that, Then the VPC's endpoints are its way all the same
    message = {"QueueUrl": queue, "MessageBody": "m"}
    assert caller.call("sqs", "send_message", session, **message)["code"] == CLOSED
    with there(vpc, vpc.interface("sqs")):
        assert caller.call("sqs", "send_message", session, **message)["code"] == ""


def test_the_keys_of_a_function_in_a_vpc_cannot_be_made_up(cloud: LocalCloud, caller: Caller, queue: str) -> None:
    # Given the keys that MiniStack derives from the names of a function and its role
    arn = cloud.client("lambda").get_function_configuration(FunctionName=caller.name)["FunctionArn"]
    digest = hashlib.sha256(f"{arn}:{caller.role}".encode()).hexdigest()
    session = {
        "aws_access_key_id": f"ASIA{digest[:16].upper()}",
        "aws_secret_access_key": hashlib.sha256(f"secret:{digest}".encode()).hexdigest(),
        "aws_session_token": hashlib.sha256(f"token:{digest}".encode()).hexdigest(),
    }
    # When the function calls with them, Then nobody knows them
    found = caller.call("sqs", "send_message", session, QueueUrl=queue, MessageBody="m")
    assert found["code"] == "InvalidClientTokenId"


def test_a_signed_link_is_used_where_its_user_is(cloud: LocalCloud, vpc: Vpc, caller: Caller) -> None:
    # Given a link that the account's root signed
    bucket = with_object(cloud)
    s3 = cloud.client("s3", signature_version="s3v4")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    # When the function uses it without an endpoint, Then it gets no connection
    assert caller.fetch(url)["code"] == "RemoteDisconnected"
    # When there is one, Then it gets the object
    with there(vpc, vpc.gateway("s3")):
        assert caller.fetch(url)["answer"] == "content"


def test_a_function_that_leaves_the_vpc_calls_from_outside(cloud: LocalCloud, vpc: Vpc, queue: str) -> None:
    # Given a function in a VPC without endpoints
    mover = make_caller(cloud, vpc, MAY)
    message = {"QueueUrl": queue, "MessageBody": "m"}
    assert mover.call("sqs", "send_message", **message)["code"] == CLOSED
    # When it is taken out, Then it reaches the service; when it is put back, Then it does not
    lambdas = cloud.client("lambda")
    for config, code in (({"SubnetIds": [], "SecurityGroupIds": []}, ""), (vpc.config, CLOSED)):
        lambdas.update_function_configuration(FunctionName=mover.name, VpcConfig=config)
        eventually(
            lambda: lambdas.get_function_configuration(FunctionName=mover.name)["LastUpdateStatus"] == "Successful"
        )
        assert mover.call("sqs", "send_message", **message)["code"] == code


@pytest.mark.parametrize("action", NETWORK["Action"])
def test_a_role_that_may_not_make_interfaces_gets_no_function_into_a_vpc(
    cloud: LocalCloud, vpc: Vpc, action: str
) -> None:
    # Given a role that lacks one of the actions, When a function in the VPC is made with it, Then Lambda refuses
    rest = {"Action": [one for one in NETWORK["Action"] if one != action], "Resource": "*"}
    with pytest.raises(ClientError, match=f"permissions to call {action.partition(':')[2]} on EC2"):
        make_function(cloud, CALLER, make_role(cloud, rest), VpcConfig=vpc.config)


def test_subnets_of_two_vpcs_are_no_place_for_a_function(cloud: LocalCloud, vpc: Vpc) -> None:
    other = make_vpc(cloud)
    mixed = {"SubnetIds": [vpc.subnets[0], other.subnets[0]], "SecurityGroupIds": [vpc.callers]}
    with pytest.raises(ClientError, match="must be of one VPC"):
        make_function(cloud, CALLER, make_role(cloud, NETWORK), VpcConfig=mixed)


def test_a_denial_that_spares_services_spares_nobody_else(cloud: LocalCloud, outsider: Caller) -> None:
    # Given a bucket that refuses all that neither a service does nor comes from a VPC
    bucket = with_object(cloud)
    only_by(cloud, bucket, {"Null": {"aws:SourceVpc": "true"}, "Bool": {"aws:PrincipalIsAWSService": "false"}})
    # When a function outside reads, Then it is refused
    assert outsider.call("s3", "get_object", Bucket=bucket, Key="k")["code"] == "AccessDenied"
    # When those who call for themselves are spared, Then it is not
    only_by(cloud, bucket, {"Null": {"aws:SourceVpc": "true"}, "Bool": {"aws:PrincipalIsAWSService": "true"}})
    assert outsider.call("s3", "get_object", Bucket=bucket, Key="k")["code"] == ""
