"""What a deployed stack's resources are, beside what its template says: read back by each service's own API.

Every property of every resource is compared, or told as not read with the reason. What only AWS knows before it is
deployed, a name or an attribute of another resource, is taken from the stack where it can be, and may else be anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from botocore.exceptions import ClientError

from local.deploy import DeployError, resources
from scenarios.cloud import Cloud
from stacks.policy.template import Template
from stacks.policy.values import Place, evaluate

Properties = Mapping[str, Any]
Reader = Callable[[Cloud, str, Properties], Properties]


@dataclass(frozen=True)
class Difference:
    """A property that is not what the template says. Where the API does not tell it, `found` is None."""

    logical_id: str
    resource_type: str
    name: str
    wanted: Any
    found: Any

    def __str__(self) -> str:
        found = "nothing" if self.found is None else json.dumps(self.found, default=str, sort_keys=True)
        return f"{self.logical_id} {self.name}: {json.dumps(self.wanted, sort_keys=True)} is wanted, {found} is there"


@dataclass(frozen=True)
class Report:
    """How many properties were compared, and which differ.

    `not_kept` are those that differ as this cloud is known to, `not_read` those that were not compared: by type and
    property, with the reason.
    """

    compared: int
    differences: Sequence[Difference]
    not_kept: Mapping[tuple[str, str], str]
    not_read: Mapping[tuple[str, str], str]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON has it: `differences` by resource and property, `not_kept` and `not_read` with reasons."""
        listed = {
            name: [{"type": kind, "property": part, "reason": reason} for (kind, part), reason in sorted(told.items())]
            for name, told in (("not_kept", self.not_kept), ("not_read", self.not_read))
        }
        return {"compared": self.compared, "differences": [asdict(one) for one in self.differences], **listed}


# What no API returns, or not as the template has it. A type with `*` is not read at all.
NOT_READ: Mapping[tuple[str, str], str] = {
    ("AWS::ApiGateway::Deployment", "*"): "says when an API was published, and nothing else",
    ("AWS::ApiGateway::Resource", "ParentId"): "the root has an id that only the API knows",
    ("AWS::EC2::SubnetRouteTableAssociation", "*"): "has nothing but the two that it joins",
    ("AWS::IAM::Policy", "PolicyName"): "is how the policy is found",
    ("AWS::KMS::Key", "PendingWindowInDays"): "is for the key's end",
    ("AWS::Lambda::Function", "Code"): "the package has another place and form",
    ("AWS::Lambda::Permission", "FunctionName"): "is how the permission is found",
    ("AWS::S3::BucketPolicy", "Bucket"): "is how the policy is found",
    ("AWS::SNS::TopicPolicy", "Topics"): "is how the policy is found",
    ("AWS::SQS::QueuePolicy", "Queues"): "is how the policy is found",
    ("AWS::SecretsManager::Secret", "GenerateSecretString"): "is for making it: the secret is not to be read",
    ("AWS::Athena::WorkGroup", "RecursiveDeleteOption"): "is for the workgroup's end",
}
NOT_SET = "the local cloud's CloudFormation makes the resource without it"
# What the local cloud does not keep of a template, so that it differs from it there and not on AWS.
NOT_KEPT: Mapping[tuple[str, str], str] = {
    ("AWS::ApiGateway::RestApi", "EndpointConfiguration"): NOT_SET,
    ("AWS::DynamoDB::Table", "PointInTimeRecoverySpecification"): NOT_SET,
    ("AWS::DynamoDB::Table", "SSESpecification"): NOT_SET,
    ("AWS::DynamoDB::Table", "TimeToLiveSpecification"): NOT_SET,
    ("AWS::S3::Bucket", "LifecycleConfiguration"): NOT_SET,
}
CUSTOM = "a custom resource is what its function makes: its scenario looks at it"
TAGS = "tags are read by another call in each service, and grant nothing here unless a scenario shows it"


def look(cloud: Cloud, stack: str, known: Mapping[tuple[str, str], str] = NOT_KEPT) -> Report:
    """Compares a deployed stack with its template.

    `known` are properties, by type and name, that this cloud is known not to keep, with the reason. Raises DeployError
    if there is no such stack, or a resource in it of a type that nobody can read yet.
    """
    parts = {logical: (kind, name) for logical, kind, name in resources(cloud, stack)}
    formation = cloud.client("cloudformation")
    body = formation.get_template(StackName=stack)["TemplateBody"]
    template = Template(stack, json.loads(body) if isinstance(body, str) else json.loads(json.dumps(body)))
    described = formation.describe_stacks(StackName=stack)["Stacks"][0]
    for parameter in described.get("Parameters", ()):
        given = template.body["Parameters"].setdefault(parameter["ParameterKey"], {})
        given["Default"] = parameter["ParameterValue"]
    place = _place(cloud, described, {logical: name for logical, (_, name) in parts.items()} | _exports(cloud))
    compared = 0
    differences: list[Difference] = []
    not_kept: dict[tuple[str, str], str] = {}
    not_read: dict[tuple[str, str], str] = {}
    for logical, resource in template.resources():
        kind = resource["Type"]
        if reason := CUSTOM if kind.startswith("Custom::") else NOT_READ.get((kind, "*")):
            not_read[kind, "*"] = reason
            continue
        wanted = _filled(evaluate(resource.get("Properties", {}), template, place), place.made)
        found = _read(cloud, kind, parts[logical][1], wanted)
        for name, value in wanted.items():
            if reason := TAGS if name in ("Tags", "ResourceTags") else NOT_READ.get((kind, name)):
                not_read[kind, name] = reason
                continue
            compared += 1
            if same(value, found.get(name)):
                continue
            if (kind, name) in known:
                not_kept[kind, name] = known[kind, name]
            else:
                differences.append(Difference(logical, kind, name, value, found.get(name)))
    return Report(compared, differences, not_kept, not_read)


def same(wanted: Any, found: Any) -> bool:
    """Whether what is there is what is wanted: more may be there, numbers and truths may be text, JSON may be parsed.

    Lists are compared without their order, as services do not keep it. `*` stands for what could not be known.
    """
    if wanted == "*":
        return found is not None
    wanted, found = _parsed(wanted), _parsed(found)
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(same(part, found.get(key)) for key, part in wanted.items())
    if isinstance(wanted, list):
        return _same_list(wanted, list(found) if isinstance(found, list) else [found])
    if isinstance(found, list) and len(found) == 1:
        return same(wanted, found[0])
    if isinstance(wanted, str) and "*" in wanted and isinstance(found, str):
        return re.fullmatch(re.escape(wanted).replace(r"\*", ".*"), found, re.DOTALL) is not None
    return _plain(wanted) == _plain(found)


def _same_list(wanted: Sequence[Any], found: list[Any]) -> bool:
    for part in wanted:
        match = next((number for number, one in enumerate(found) if same(part, one)), None)
        if match is None:
            return False
        found.pop(match)
    return not found


def _plain(value: Any) -> str:
    text = "" if value is None else str(value).strip()
    if text.lower() in ("true", "false"):
        return text.lower()
    try:
        return str(float(text))
    except ValueError:
        return text


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _place(cloud: Cloud, described: Mapping[str, Any], made: Mapping[str, str]) -> Place:
    _, _, _, region, account, path = described["StackId"].split(":", 5)
    return Place(described["StackName"], region or cloud.region, account, path.rpartition("/")[2], made)


def _exports(cloud: Cloud) -> dict[str, str]:
    pages = cloud.client("cloudformation").get_paginator("list_exports").paginate()
    return {f"export:{export['Name']}": export["Value"] for page in pages for export in page["Exports"]}


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """The value with `*` for what is not known, and for what is around a resource's name in its ARN."""

    def put(match: re.Match[str]) -> str:
        resource, _, attribute = match[1].partition(".")
        if attribute == "Arn" and resource in names:
            return f"*{re.split('[:/]', names[resource])[-1]}*"
        return "*"

    if isinstance(value, str):
        return re.sub(r"\$\{((?:[^{}]|\{[^{}]*\})*)\}", put, value)
    if isinstance(value, list):
        return [_filled(part, names) for part in value]
    if isinstance(value, dict):
        return {_filled(key, names): _filled(part, names) for key, part in value.items()}
    return value


def _read(cloud: Cloud, kind: str, name: str, wanted: Properties) -> Properties:
    if kind not in READERS:
        raise DeployError(f"{kind} cannot be read back yet: say how in {__name__.replace('.', '/')}.py.")
    return READERS[kind](cloud, name, wanted)


def _capital(key: str) -> str:
    return key[:1].upper() + key[1:]


def _capitals(value: Any) -> Any:
    """A value whose keys begin small, as some services have it, with the template's capitals."""
    if isinstance(value, Mapping):
        return {_capital(key): _capitals(part) for key, part in value.items()}
    return [_capitals(part) for part in value] if isinstance(value, list) else value


def _maybe(call: Callable[[], Any]) -> Any:
    """The answer, or an empty one where the resource has no such setting."""
    try:
        return call()
    except ClientError as error:
        if "NotFound" in error.response["Error"]["Code"] or error.response["Error"]["Code"].startswith("NoSuch"):
            return {}
        raise


def _bucket(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    s3 = cloud.client("s3")
    # By property: the call and the part of its answer that has the template's form, or nearly.
    logging = _maybe(lambda: s3.get_bucket_logging(Bucket=name)).get("LoggingEnabled", {})
    lock = _maybe(lambda: s3.get_object_lock_configuration(Bucket=name)).get("ObjectLockConfiguration", {})
    notified = _maybe(lambda: s3.get_bucket_notification_configuration(Bucket=name))
    rules = _maybe(lambda: s3.get_bucket_encryption(Bucket=name)).get("ServerSideEncryptionConfiguration", {})
    encryption = [
        {"BucketKeyEnabled": rule.get("BucketKeyEnabled"), "ServerSideEncryptionByDefault": default}
        for rule in rules.get("Rules", ())
        for default in [rule.get("ApplyServerSideEncryptionByDefault")]
    ]
    kept = _maybe(lambda: s3.get_bucket_lifecycle_configuration(Bucket=name)).get("Rules", [])
    copied = _maybe(lambda: s3.get_bucket_replication(Bucket=name)).get("ReplicationConfiguration", {})
    owned = _maybe(lambda: s3.get_bucket_ownership_controls(Bucket=name)).get("OwnershipControls", {})
    public = _maybe(lambda: s3.get_public_access_block(Bucket=name)).get("PublicAccessBlockConfiguration")
    return {
        "AccelerateConfiguration": None,
        "BucketEncryption": {"ServerSideEncryptionConfiguration": encryption},
        "BucketName": name,
        "LifecycleConfiguration": {"Rules": [_lifecycle(rule) for rule in kept]},
        "LoggingConfiguration": {
            "DestinationBucketName": logging.get("TargetBucket"),
            "LogFilePrefix": logging.get("TargetPrefix"),
            "TargetObjectKeyFormat": logging.get("TargetObjectKeyFormat"),
        },
        "NotificationConfiguration": {
            "EventBridgeConfiguration": {"EventBridgeEnabled": "EventBridgeConfiguration" in notified}
        },
        "ObjectLockConfiguration": lock,
        "ObjectLockEnabled": lock.get("ObjectLockEnabled") == "Enabled",
        "OwnershipControls": owned,
        "PublicAccessBlockConfiguration": public,
        "ReplicationConfiguration": {**copied, "Rules": [_replication(rule) for rule in copied.get("Rules", [])]},
        "VersioningConfiguration": {"Status": s3.get_bucket_versioning(Bucket=name).get("Status")},
    }


def _lifecycle(rule: Properties) -> Properties:
    filtered = rule.get("Filter", {})
    expiration = rule.get("Expiration", {})
    old = rule.get("NoncurrentVersionExpiration", {})
    unfinished = rule.get("AbortIncompleteMultipartUpload", {})
    return {
        **rule,
        "Id": rule.get("ID"),
        "Prefix": filtered.get("Prefix", rule.get("Prefix")),
        "ExpirationInDays": expiration.get("Days"),
        "ExpiredObjectDeleteMarker": expiration.get("ExpiredObjectDeleteMarker"),
        "NoncurrentVersionExpiration": old,
        "AbortIncompleteMultipartUpload": unfinished,
    }


def _replication(rule: Properties) -> Properties:
    return {**rule, "Id": rule.get("ID")}


def _bucket_policy(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    return {"PolicyDocument": cloud.client("s3").get_bucket_policy(Bucket=wanted["Bucket"])["Policy"]}


def _table(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    dynamodb = cloud.client("dynamodb")
    table = dynamodb.describe_table(TableName=name)["Table"]
    ends = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    kept = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    sealed = table.get("SSEDescription", {})
    return {
        **table,
        "BillingMode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "TimeToLiveSpecification": {
            "AttributeName": ends.get("AttributeName"),
            "Enabled": ends.get("TimeToLiveStatus") == "ENABLED",
        },
        "PointInTimeRecoverySpecification": {
            "PointInTimeRecoveryEnabled": kept.get("PointInTimeRecoveryDescription", {}).get(
                "PointInTimeRecoveryStatus"
            )
            == "ENABLED"
        },
        "SSESpecification": {
            "SSEEnabled": sealed.get("Status") == "ENABLED",
            "SSEType": sealed.get("SSEType"),
            "KMSMasterKeyId": sealed.get("KMSMasterKeyArn"),
        },
    }


def _queue(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    answer = cloud.client("sqs").get_queue_attributes(QueueUrl=name, AttributeNames=["All"])["Attributes"]
    return dict(answer)


def _queue_policy(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    return {"PolicyDocument": _queue(cloud, wanted["Queues"][0], {}).get("Policy")}


def _topic(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    return dict(cloud.client("sns").get_topic_attributes(TopicArn=name)["Attributes"])


def _topic_policy(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    return {"PolicyDocument": _topic(cloud, wanted["Topics"][0], {}).get("Policy")}


def _subscription(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    sns = cloud.client("sns")
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=wanted["TopicArn"])
    listed = [one for page in pages for one in page["Subscriptions"] if one["SubscriptionArn"] == name]
    return {**sns.get_subscription_attributes(SubscriptionArn=name).get("Attributes", {}), **dict(*listed)}


def _function(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    answer = cloud.client("lambda").get_function_configuration(FunctionName=name)
    return {**answer, "KmsKeyArn": answer.get("KMSKeyArn")}


def _permission(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    function = wanted["FunctionName"].strip("*")
    policy = json.loads(cloud.client("lambda").get_policy(FunctionName=function)["Policy"])
    for statement in policy["Statement"]:
        principal, conditions = statement["Principal"], statement.get("Condition", {})
        values = {key: value for test in conditions.values() for key, value in test.items()}
        found = {
            "Action": statement["Action"],
            "Principal": next(iter(principal.values())) if isinstance(principal, dict) else principal,
            "SourceArn": values.get("AWS:SourceArn", values.get("aws:SourceArn")),
            "SourceAccount": values.get("AWS:SourceAccount", values.get("aws:SourceAccount")),
        }
        if all(same(wanted[key], found.get(key)) for key in wanted if key != "FunctionName"):
            return found
    return {}


def _invoking(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    chosen = {"FunctionName": wanted["FunctionName"], "Qualifier": wanted["Qualifier"]}
    answer = cloud.client("lambda").get_function_event_invoke_config(**chosen)
    return {**chosen, **answer}


def _mapping(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    answer = cloud.client("lambda").get_event_source_mapping(UUID=name)
    return {
        **answer,
        "Enabled": answer.get("State") in ("Enabled", "Enabling", "Creating"),
        "FunctionName": answer["FunctionArn"].rpartition(":")[2],
    }


def _role(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    iam = cloud.client("iam")
    role = iam.get_role(RoleName=name)["Role"]
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    return {
        **role,
        "ManagedPolicyArns": [one["PolicyArn"] for one in attached],
        "PermissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "Policies": [
            {"PolicyName": one, "PolicyDocument": iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"]}
            for one in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ],
    }


def _inline(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    iam = cloud.client("iam")
    documents = [
        iam.get_role_policy(RoleName=role, PolicyName=wanted["PolicyName"])["PolicyDocument"]
        for role in wanted["Roles"]
    ]
    alike = all(document == documents[0] for document in documents)
    return {"PolicyDocument": documents[0] if alike else documents, "Roles": list(wanted["Roles"])}


def _managed(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    iam = cloud.client("iam")
    policy = iam.get_policy(PolicyArn=name)["Policy"]
    version = iam.get_policy_version(PolicyArn=name, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    holders = iam.list_entities_for_policy(PolicyArn=name).get("PolicyRoles", ())
    return {
        **policy,
        "PolicyDocument": version["Document"],
        "ManagedPolicyName": policy["PolicyName"],
        "Roles": [role["RoleName"] for role in holders],
    }


def _key(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    kms = cloud.client("kms")
    key = kms.describe_key(KeyId=name)["KeyMetadata"]
    turned = kms.get_key_rotation_status(KeyId=name)
    policy = kms.get_key_policy(KeyId=name, PolicyName="default")["Policy"]
    rotation = {
        "EnableKeyRotation": turned["KeyRotationEnabled"],
        "RotationPeriodInDays": turned.get("RotationPeriodInDays"),
    }
    return {**key, **rotation, "KeyPolicy": policy}


def _log_group(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return next((_capitals(group) for group in groups if group["logGroupName"] == name), {})


def _dashboard(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    return dict(cloud.client("cloudwatch").get_dashboard(DashboardName=name))


def _alarm(kind: str) -> Reader:
    def read(cloud: Cloud, name: str, wanted: Properties) -> Properties:
        answer = cloud.client("cloudwatch").describe_alarms(AlarmNames=[name], AlarmTypes=[kind])
        return dict(next(iter(answer[f"{kind}s"]), {}))

    return read


def _rule(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    events = cloud.client("events")
    rule = events.describe_rule(Name=name.rpartition("/")[2])
    return {**rule, "Targets": events.list_targets_by_rule(Rule=rule["Name"])["Targets"]}


def _machine(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    answer = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=name)
    return {
        "DefinitionString": answer["definition"],
        "EncryptionConfiguration": _capitals(answer.get("encryptionConfiguration")),
        "LoggingConfiguration": _capitals(answer.get("loggingConfiguration")),
        "RoleArn": answer["roleArn"],
        "StateMachineName": answer["name"],
        "StateMachineType": answer.get("type"),
        "TracingConfiguration": _capitals(answer.get("tracingConfiguration")),
    }


def _schedule(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    return dict(cloud.client("scheduler").get_schedule(Name=name.rpartition("/")[2]))


def _secret(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    return dict(cloud.client("secretsmanager").describe_secret(SecretId=name))


def _api(operation: str, *arguments: str) -> Reader:
    """A part of an API, found by what the template says of it and by its own id."""

    def read(cloud: Cloud, name: str, wanted: Properties) -> Properties:
        values = {
            "restApiId": wanted.get("RestApiId", name),
            "resourceId": wanted.get("ResourceId", name),
            "httpMethod": wanted.get("HttpMethod"),
            "stageName": wanted.get("StageName"),
            "requestValidatorId": name,
        }
        found = getattr(cloud.client("apigateway"), operation)(**{one: values[one] for one in arguments})
        answer = _capitals({key: value for key, value in found.items() if key != "ResponseMetadata"})
        if "MethodIntegration" in answer:
            integration = answer["MethodIntegration"]
            answer["Integration"] = {**integration, "IntegrationHttpMethod": integration.get("HttpMethod")}
        if "requestParameters" in found:
            answer["RequestParameters"] = found["requestParameters"]
        for whole in ("RestApiId", "ResourceId", "StageName"):
            if whole in wanted:
                answer.setdefault(whole, wanted[whole])
        return {
            **answer,
            "MethodSettings": _method_settings(answer),
            "AccessLogSetting": answer.get("AccessLogSettings"),
        }

    return read


def _method_settings(stage: Properties) -> list[Properties]:
    return [
        {
            **settings,
            "ResourcePath": f"/{path.rpartition('/')[0]}",
            "HttpMethod": path.rpartition("/")[2],
            "DataTraceEnabled": settings.get("DataTraceEnabled", False),
        }
        for path, settings in (stage.get("MethodSettings") or {}).items()
    ]


def _described(operation: str, argument: str, answer: str) -> Reader:
    """A part of a network: the answer is a list of one."""

    def read(cloud: Cloud, name: str, wanted: Properties) -> Properties:
        found = getattr(cloud.client("ec2"), operation)(**{argument: [name]})[answer]
        return dict(found[0]) if found else {}

    return read


def _vpc(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    ec2 = cloud.client("ec2")
    support = ec2.describe_vpc_attribute(VpcId=name, Attribute="enableDnsSupport")
    hostnames = ec2.describe_vpc_attribute(VpcId=name, Attribute="enableDnsHostnames")
    return {
        **_described("describe_vpcs", "VpcIds", "Vpcs")(cloud, name, wanted),
        "EnableDnsSupport": support["EnableDnsSupport"]["Value"],
        "EnableDnsHostnames": hostnames["EnableDnsHostnames"]["Value"],
    }


def _endpoint(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    found = _described("describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints")(cloud, name, wanted)
    return {**found, "SecurityGroupIds": [group["GroupId"] for group in found.get("Groups", ())]}


def _security_group(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    found = _described("describe_security_groups", "GroupIds", "SecurityGroups")(cloud, name, wanted)
    return {
        **found,
        "GroupDescription": found.get("Description"),
        "SecurityGroupIngress": list(_group_rules(found.get("IpPermissions", ()))),
        "SecurityGroupEgress": list(_group_rules(found.get("IpPermissionsEgress", ()))),
    }


def _group_rules(permissions: Sequence[Properties]) -> Iterator[Properties]:
    for permission in permissions:
        common = {key: permission.get(key) for key in ("IpProtocol", "FromPort", "ToPort")}
        for one in permission.get("IpRanges", ()):
            yield {**common, "CidrIp": one["CidrIp"], "Description": one.get("Description")}
        for one in permission.get("UserIdGroupPairs", ()):
            yield {**common, "SourceSecurityGroupId": one["GroupId"], "Description": one.get("Description")}
        for one in permission.get("PrefixListIds", ()):
            yield {**common, "DestinationPrefixListId": one["PrefixListId"], "Description": one.get("Description")}


def _flow_log(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    found = cloud.client("ec2").describe_flow_logs(FlowLogIds=[name])["FlowLogs"]
    return {**found[0], "ResourceType": "VPC"} if found else {}


def _domain(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    return dict(cloud.client("sagemaker").describe_domain(DomainId=name))


def _profile(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    chosen = {"DomainId": wanted["DomainId"], "UserProfileName": wanted["UserProfileName"]}
    if "*" in chosen["DomainId"]:
        (domain,) = cloud.client("sagemaker").list_domains()["Domains"]
        chosen["DomainId"] = domain["DomainId"]
    return dict(cloud.client("sagemaker").describe_user_profile(**chosen))


def _notebook(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    found = cloud.client("sagemaker").describe_notebook_instance(NotebookInstanceName=_last(name))
    renamed = {
        "LifecycleConfigName": found.get("NotebookInstanceLifecycleConfigName"),
        "SecurityGroupIds": found.get("SecurityGroups"),
    }
    return {**found, **renamed}


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _sagemaker(operation: str, argument: str) -> Reader:
    def read(cloud: Cloud, name: str, wanted: Properties) -> Properties:
        return dict(getattr(cloud.client("sagemaker"), operation)(**{argument: _last(name)}))

    return read


def _pipeline(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    found = cloud.client("sagemaker").describe_pipeline(PipelineName=name)
    return {**found, "PipelineDefinition": {"PipelineDefinitionBody": found["PipelineDefinition"]}}


def _workgroup(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    found = cloud.client("athena").get_work_group(WorkGroup=name)["WorkGroup"]
    return {**found, "WorkGroupConfiguration": found["Configuration"]}


def _query(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    return dict(cloud.client("athena").get_named_query(NamedQueryId=name)["NamedQuery"])


def _database(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    found = cloud.client("glue").get_database(Name=name)["Database"]
    return {"CatalogId": found.get("CatalogId", wanted.get("CatalogId")), "DatabaseInput": found}


def _catalogued(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    chosen = {"DatabaseName": wanted["DatabaseName"], "Name": wanted["TableInput"]["Name"]}
    found = cloud.client("glue").get_table(**chosen)["Table"]
    return {**found, "CatalogId": found.get("CatalogId", wanted.get("CatalogId")), "TableInput": found}


def _trail(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    cloudtrail = cloud.client("cloudtrail")
    found = cloudtrail.get_trail(Name=name)["Trail"]
    return {
        **found,
        "TrailName": found["Name"],
        "EnableLogFileValidation": found.get("LogFileValidationEnabled"),
        "KMSKeyId": found.get("KmsKeyId"),
        "IsLogging": cloudtrail.get_trail_status(Name=name)["IsLogging"],
        "AdvancedEventSelectors": cloudtrail.get_event_selectors(TrailName=name).get("AdvancedEventSelectors"),
    }


def _configured(operation: str, argument: str, answer: str) -> Reader:
    """A part of AWS Config: some of its keys begin small."""

    def read(cloud: Cloud, name: str, wanted: Properties) -> Properties:
        found = getattr(cloud.client("config"), operation)(**{argument: [name]})[answer]
        parts = _capitals(found[0]) if found else {}
        return {**parts, "RoleARN": parts.get("RoleARN")}

    return read


def _detector(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    found = cloud.client("guardduty").get_detector(DetectorId=name)
    return {**found, "Enable": found.get("Status") == "ENABLED"}


def _budget(cloud: Cloud, name: str, wanted: Properties) -> Properties:
    budgets = cloud.client("budgets")
    account = cloud.client("sts").get_caller_identity()["Account"]
    found = budgets.describe_budget(AccountId=account, BudgetName=name)["Budget"]
    chosen = {"AccountId": account, "BudgetName": name}
    told = budgets.describe_notifications_for_budget(**chosen).get("Notifications", [])
    subscribed = [
        {
            "Notification": one,
            "Subscribers": budgets.describe_subscribers_for_notification(**chosen, Notification=one)["Subscribers"],
        }
        for one in told
    ]
    return {"Budget": found, "NotificationsWithSubscribers": subscribed}


READERS: Mapping[str, Reader] = {
    "AWS::ApiGateway::Method": _api("get_method", "restApiId", "resourceId", "httpMethod"),
    "AWS::ApiGateway::RequestValidator": _api("get_request_validator", "restApiId", "requestValidatorId"),
    "AWS::ApiGateway::Resource": _api("get_resource", "restApiId", "resourceId"),
    "AWS::ApiGateway::RestApi": _api("get_rest_api", "restApiId"),
    "AWS::ApiGateway::Stage": _api("get_stage", "restApiId", "stageName"),
    "AWS::Athena::NamedQuery": _query,
    "AWS::Athena::WorkGroup": _workgroup,
    "AWS::Budgets::Budget": _budget,
    "AWS::CloudTrail::Trail": _trail,
    "AWS::CloudWatch::Alarm": _alarm("MetricAlarm"),
    "AWS::CloudWatch::CompositeAlarm": _alarm("CompositeAlarm"),
    "AWS::CloudWatch::Dashboard": _dashboard,
    "AWS::Config::ConfigRule": _configured("describe_config_rules", "ConfigRuleNames", "ConfigRules"),
    "AWS::Config::ConfigurationRecorder": _configured(
        "describe_configuration_recorders", "ConfigurationRecorderNames", "ConfigurationRecorders"
    ),
    "AWS::Config::DeliveryChannel": _configured(
        "describe_delivery_channels", "DeliveryChannelNames", "DeliveryChannels"
    ),
    "AWS::DynamoDB::Table": _table,
    "AWS::EC2::FlowLog": _flow_log,
    "AWS::EC2::RouteTable": _described("describe_route_tables", "RouteTableIds", "RouteTables"),
    "AWS::EC2::SecurityGroup": _security_group,
    "AWS::EC2::Subnet": _described("describe_subnets", "SubnetIds", "Subnets"),
    "AWS::EC2::VPC": _vpc,
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::Events::Rule": _rule,
    "AWS::Glue::Database": _database,
    "AWS::Glue::Table": _catalogued,
    "AWS::GuardDuty::Detector": _detector,
    "AWS::IAM::ManagedPolicy": _managed,
    "AWS::IAM::Policy": _inline,
    "AWS::IAM::Role": _role,
    "AWS::KMS::Key": _key,
    "AWS::Lambda::EventInvokeConfig": _invoking,
    "AWS::Lambda::EventSourceMapping": _mapping,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::Permission": _permission,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::Topic": _topic,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::SQS::Queue": _queue,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::SageMaker::Domain": _domain,
    "AWS::SageMaker::ModelPackageGroup": _sagemaker("describe_model_package_group", "ModelPackageGroupName"),
    "AWS::SageMaker::NotebookInstance": _notebook,
    "AWS::SageMaker::NotebookInstanceLifecycleConfig": _sagemaker(
        "describe_notebook_instance_lifecycle_config", "NotebookInstanceLifecycleConfigName"
    ),
    "AWS::SageMaker::Pipeline": _pipeline,
    "AWS::SageMaker::UserProfile": _profile,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::SecretsManager::Secret": _secret,
    "AWS::StepFunctions::StateMachine": _machine,
}
