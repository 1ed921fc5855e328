"""What each kind of person may do, and what none of them ever may: the statements of access-control's policies.

Two documents a role. Its *policy* grants, by name: what begins with the project that somebody has signed in for. Its
*boundary* grants nothing and limits: an action that the `Ceiling` does not list is refused, and so is what a denial
names, whatever somebody attaches to the role later. So the denials stand in the boundaries.

`PROJECT` is IAM's variable for the tag `project` of a session ("IAM policy elements: Variables and tags", IAM User
Guide, read 2026-11-27).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Statement = dict[str, Any]

PROJECT = "${aws:PrincipalTag/project}"

TRAINING = ("sagemaker:CreateTrainingJob", "sagemaker:CreateProcessingJob")
TRAINING_JOBS = ("sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob")
PROCESSING_JOBS = ("sagemaker:DescribeProcessingJob", "sagemaker:StopProcessingJob")
JOBS = (*TRAINING_JOBS, *PROCESSING_JOBS)
MAKES_SERVING = ("sagemaker:CreateModel", "sagemaker:CreateEndpointConfig", "sagemaker:CreateEndpoint")
CHANGES_SERVING = (
    "sagemaker:UpdateEndpoint",
    "sagemaker:DeleteEndpoint",
    "sagemaker:DeleteEndpointConfig",
    "sagemaker:DeleteModel",
)
SERVES = ("sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint")
APPROVES = ("sagemaker:UpdateModelPackage",)
CHANGES_ROLES = (
    "iam:CreateRole",
    "iam:PutRolePolicy",
    "iam:DeleteRolePolicy",
    "iam:DeleteRole",
)
READS_ROLES = ("iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies")


@dataclass(frozen=True)
class Places:
    """Where things are: ARNs and parts of ARNs, as tokens of the stack, and the settings that policies name."""

    bucket: str
    key: str
    people: str  # role/STACK/people/*
    job_roles: str  # role/STACK/jobs, to which /PROJECT/training/* is added
    policies: str  # policy/STACK-*
    sagemaker: str  # arn:...:sagemaker:REGION:ACCOUNT
    s3_service: str  # s3.REGION.amazonaws.com
    training_machines: Sequence[str]
    hosting_machines: Sequence[str]
    subnets: Sequence[str]
    security_groups: Sequence[str]
    longest_seconds: int

    def named(self, *kinds: str) -> list[str]:
        """ARNs of what SageMaker has of these kinds under the project's name, `PROJECT-...`."""
        return [f"{self.sagemaker}:{kind}/{PROJECT}-*" for kind in kinds]


def _statement(effect: str, sid: str, actions: Sequence[str], *resources: str, where: Any = None) -> Statement:
    found = {"Sid": sid, "Effect": effect, "Action": sorted(actions), "Resource": list(resources)}
    return {**found, "Condition": where} if where else found


def allow(sid: str, actions: Sequence[str], *resources: str, where: Mapping[str, Any] | None = None) -> Statement:
    """A grant under a name."""
    return _statement("Allow", sid, actions, *resources, where=where)


def deny(sid: str, actions: Sequence[str], *resources: str, where: Mapping[str, Any] | None = None) -> Statement:
    """A denial under a name; of every resource unless some are given."""
    return _statement("Deny", sid, actions, *(resources or ("*",)), where=where)


# --- Grants ----------------------------------------------------------------------------------------------------------


def scientist(at: Places) -> list[Statement]:
    """Trains and registers, in the own project."""
    return [
        allow("Train", (*TRAINING[:1], *TRAINING_JOBS, "sagemaker:AddTags"), *at.named("training-job")),
        allow("Process", (*TRAINING[1:], *PROCESSING_JOBS, "sagemaker:AddTags"), *at.named("processing-job")),
        allow("ListJobs", ["sagemaker:ListTrainingJobs"], "*"),
        allow(
            "Register",
            ["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage"],
            *at.named("model-package"),
        ),
        _pass("PassJobRole", f"{at.job_roles}/{PROJECT}/training/*"),
        allow("ReadData", ["s3:GetObject"], f"{at.bucket}/{PROJECT}/*"),
        allow("ListData", ["s3:ListBucket"], at.bucket, where={"StringLike": {"s3:prefix": [f"{PROJECT}/*"]}}),
        allow("WriteWork", ["s3:PutObject"], f"{at.bucket}/{PROJECT}/work/*"),
        _use_key(at, "kms:Decrypt", "kms:GenerateDataKey"),
    ]


def engineer(at: Places) -> list[Statement]:
    """Approves, deploys and looks after what serves, in the own project."""
    return [
        allow(
            "MakeModels",
            ["sagemaker:CreateModel", "sagemaker:DeleteModel", "sagemaker:AddTags"],
            *at.named("model"),
        ),
        allow(
            "Configure",
            ["sagemaker:CreateEndpointConfig", "sagemaker:DeleteEndpointConfig", "sagemaker:AddTags"],
            *at.named("endpoint-config"),
        ),
        # AWS asks for both: what is deployed, and as which endpoint.
        allow(
            "Deploy", ["sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"], *at.named("endpoint", "endpoint-config")
        ),
        allow(
            "KeepEndpoints",
            ["sagemaker:DeleteEndpoint", "sagemaker:DescribeEndpoint", "sagemaker:AddTags"],
            *at.named("endpoint"),
        ),
        allow("Invoke", ["sagemaker:InvokeEndpoint"], *at.named("endpoint")),
        allow("Approve", (*APPROVES, "sagemaker:DescribeModelPackage"), *at.named("model-package")),
        _pass("PassHostingRole", f"{at.job_roles}/{PROJECT}/hosting/*"),
        allow("ReadModels", ["s3:GetObject"], f"{at.bucket}/{PROJECT}/models/*"),
        _use_key(at, "kms:Decrypt"),
        # Whoever creates an endpoint whose disks have a key lets EC2 have it (Amazon SageMaker AI Developer Guide,
        # "SageMaker AI API Permissions", read 2026-11-27).
        allow("DisksHaveKey", ["kms:CreateGrant"], at.key, where={"Bool": {"kms:GrantIsForAWSResource": "true"}}),
    ]


def administrator(at: Places) -> list[Statement]:
    """Makes the roles that jobs and endpoints act as, and stops what runs wild."""
    return [
        allow("KeepJobRoles", (*CHANGES_ROLES, *READS_ROLES), f"{at.job_roles}/{PROJECT}/*"),
        allow("StopTraining", TRAINING_JOBS, *at.named("training-job")),
        allow("StopProcessing", PROCESSING_JOBS, *at.named("processing-job")),
        allow("SeeKey", ["kms:DescribeKey"], at.key),
    ]


def auditor(at: Places) -> list[Statement]:
    """Sees who may do what and what there is; no content. What happened is told by `audit`."""
    return [
        allow("SeePeople", ["iam:GetRole", "iam:ListAttachedRolePolicies", "iam:SimulatePrincipalPolicy"], at.people),
        allow(
            "SeeJobRoles", ["iam:GetRole", "iam:GetRolePolicy", "iam:ListRolePolicies"], f"{at.job_roles}/{PROJECT}/*"
        ),
        allow("SeePolicies", ["iam:GetPolicy", "iam:GetPolicyVersion"], at.policies),
        allow("SeeTraining", ["sagemaker:DescribeTrainingJob"], *at.named("training-job")),
        allow("SeeEndpoints", ["sagemaker:DescribeEndpoint"], *at.named("endpoint")),
        allow("ListWork", ["sagemaker:ListEndpoints", "sagemaker:ListTrainingJobs"], "*"),
        allow("SeeBucket", ["s3:GetBucketPolicy", "s3:GetBucketVersioning"], at.bucket),
        allow("SeeKey", ["kms:DescribeKey", "kms:GetKeyPolicy"], at.key),
    ]


def visitor(at: Places) -> list[Statement]:
    """The policy of a session: a scientist who is only to look, for as long as the session lasts."""
    return [
        allow("LookAtJobs", ["sagemaker:DescribeTrainingJob"], *at.named("training-job")),
        allow("LookAtWork", ["s3:GetObject"], f"{at.bucket}/{PROJECT}/work/*"),
        allow("UseKey", ["kms:Decrypt"], at.key),
    ]


def _pass(sid: str, roles: str) -> Statement:
    # By path: a role's tags cannot limit who may pass it ("Grant a user permissions to pass a role to an AWS service",
    # IAM User Guide; not read again).
    where = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    return allow(sid, ["iam:PassRole"], roles, where=where)


def _use_key(at: Places, *actions: str) -> Statement:
    where = {"StringEquals": {"kms:ViaService": at.s3_service}}
    return allow("UseKeyByS3", actions, at.key, where=where)


# --- Limits ----------------------------------------------------------------------------------------------------------


def ceiling(at: Places) -> Statement:
    """Every action that anybody's policy grants, and no other."""
    granted = {
        action
        for policy in (scientist, engineer, administrator, auditor)
        for statement in policy(at)
        for action in statement["Action"]
    }
    return allow("Ceiling", sorted(granted), "*")


def scientist_limits(at: Places) -> list[Statement]:
    """No deployment, no approval, no rights; jobs only as the project's rules have them."""
    return [
        ceiling(at),
        deny("ScientistsDoNotDeploy", (*MAKES_SERVING, *CHANGES_SERVING)),
        deny("ScientistsDoNotApprove", APPROVES),
        deny("OnlyAdministratorsMakeRoles", CHANGES_ROLES),
        *_network(at, TRAINING),
        deny("VolumesUnderTheKey", TRAINING, where={"ArnNotEquals": {"sagemaker:VolumeKmsKey": at.key}}),
        deny("OutputUnderTheKey", TRAINING, where={"ArnNotEquals": {"sagemaker:OutputKmsKey": at.key}}),
        deny("Isolated", TRAINING, where={"BoolIfExists": {"sagemaker:NetworkIsolation": "false"}}),
        deny(
            "TrafficEncrypted",
            TRAINING,
            where={"BoolIfExists": {"sagemaker:InterContainerTrafficEncryption": "false"}},
        ),
        _machines(TRAINING, at.training_machines),
        deny(
            "NotTooLong",
            TRAINING,
            where={"NumericGreaterThan": {"sagemaker:MaxRuntimeInSeconds": str(at.longest_seconds)}},
        ),
        *_by_project(TRAINING, JOBS),
    ]


def engineer_limits(at: Places) -> list[Statement]:
    """No training, no data, no rights; what serves only as the project's rules have it."""
    makes_model, makes_configuration = MAKES_SERVING[:1], MAKES_SERVING[1:2]
    return [
        ceiling(at),
        deny("EngineersDoNotTrain", TRAINING),
        {
            **deny("EngineersReadModelsOnly", ["s3:GetObject", "s3:PutObject"]),
            "Resource": None,
            "NotResource": [f"{at.bucket}/*/models/*"],
        },
        deny("OnlyAdministratorsMakeRoles", CHANGES_ROLES),
        *_network(at, makes_model),
        deny("Isolated", makes_model, where={"BoolIfExists": {"sagemaker:NetworkIsolation": "false"}}),
        deny("VolumesUnderTheKey", makes_configuration, where={"ArnNotEquals": {"sagemaker:VolumeKmsKey": at.key}}),
        _machines(makes_configuration, at.hosting_machines),
        *_by_project(MAKES_SERVING, (*CHANGES_SERVING, *SERVES, *APPROVES)),
    ]


def administrator_limits(at: Places, boundary: str) -> list[Statement]:
    """No work, no content; only roles of jobs, and none without their boundary. `boundary` is that one's ARN."""
    gives = ("iam:CreateRole", "iam:PutRolePolicy")
    return [
        ceiling(at),
        deny("AdministratorsDoNotWork", (*TRAINING, *MAKES_SERVING, "sagemaker:InvokeEndpoint")),
        deny("AdministratorsReadNothing", ["s3:GetObject", "s3:PutObject", "kms:Decrypt"]),
        deny("RolesBearTheBoundary", gives, where={"ArnNotEquals": {"iam:PermissionsBoundary": boundary}}),
        {
            **deny("RolesOfPeopleStay", CHANGES_ROLES),
            "Resource": None,
            "NotResource": [f"{at.job_roles}/{PROJECT}/*"],
        },
    ]


def auditor_limits(at: Places) -> list[Statement]:
    """Nothing but what the auditor's own policy names."""
    reads = {action for statement in auditor(at) for action in statement["Action"]}
    only = {"Sid": "AuditorsOnlyLook", "Effect": "Deny", "NotAction": sorted(reads), "Resource": ["*"]}
    return [ceiling(at), only]


def job_limits(at: Places) -> list[Statement]:
    """What a role of a job or an endpoint may have at most: content of the bucket, its image, its logs, its network.

    Which actions a role needs for a network: Amazon SageMaker Developer Guide, "SageMaker Roles", read 2026-11-27.
    """
    return [
        allow("Content", ["s3:GetObject", "s3:ListBucket", "s3:PutObject"], at.bucket, f"{at.bucket}/*"),
        allow("Key", ["kms:Decrypt", "kms:GenerateDataKey"], at.key),
        allow("Disk", ["kms:CreateGrant"], at.key, where={"Bool": {"kms:GrantIsForAWSResource": "true"}}),
        allow(
            "Run",
            [
                "cloudwatch:PutMetricData",
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetAuthorizationToken",
                "ecr:GetDownloadUrlForLayer",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            "*",
        ),
    ]


def _network(at: Places, actions: Sequence[str]) -> list[Statement]:
    """In some network; where subnets and security groups were chosen, in these and no other."""
    found = [deny("InsideANetwork", actions, where={"Null": {"sagemaker:VpcSubnets": "true"}})]
    for sid, key, chosen in (
        ("InTheseSubnets", "sagemaker:VpcSubnets", at.subnets),
        ("InTheseSecurityGroups", "sagemaker:VpcSecurityGroupIds", at.security_groups),
    ):
        if chosen:
            found.append(deny(sid, actions, where={"ForAnyValue:StringNotEquals": {key: list(chosen)}}))
    return found


def _machines(actions: Sequence[str], chosen: Sequence[str]) -> Statement:
    return deny(
        "OnTheseMachines", actions, where={"ForAnyValue:StringNotEquals": {"sagemaker:InstanceTypes": list(chosen)}}
    )


def _by_project(makes: Sequence[str], touches: Sequence[str]) -> list[Statement]:
    """What is made bears the maker's project; what bears another is not touched; and nobody relabels."""
    return [
        deny("BearsTheProject", makes, where={"StringNotEquals": {"aws:RequestTag/project": PROJECT}}),
        deny("OtherProjects", touches, where={"StringNotEquals": {"aws:ResourceTag/project": PROJECT}}),
        deny(
            "ProjectStays",
            ["sagemaker:AddTags"],
            where={
                "ForAnyValue:StringEquals": {"aws:TagKeys": "project"},
                # Who makes something with tags needs AddTags too, and then the key says what is made.
                "Null": {"sagemaker:TaggingAction": "true"},
            },
        ),
    ]


def document(statements: Sequence[Statement]) -> dict[str, Any]:
    """A policy of these statements."""
    kept = [{name: value for name, value in one.items() if value is not None} for one in statements]
    return {"Version": "2012-10-17", "Statement": kept}
