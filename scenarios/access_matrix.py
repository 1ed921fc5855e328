"""Who may do what in access-control: person, action, thing, and the statement that decides.

Data only, and the one place for it: the scenario calls what is here, the page shows it, and the tests hold it against
the policies in three ways: by simulating each request, by really making it, and by taking the policies apart.

In texts `<name>` stands for what a deployed stack gives: `<bucket>`, `<key>` (an ARN), `<account>`, `<region>`,
`<path>` (`/STACK/jobs/`), `<boundary>` (of jobs), `<scientist>` (the role's ARN), `<stack>`, `<subnet>`, `<group>`,
`<run>` (a word of the run's own, so that names are free), `<sealed>` (something that the key has encrypted).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Person = Literal["scientist", "engineer", "administrator", "auditor", "visitor", "broker", "job"]
Layer = Literal["identity", "boundary", "session", "resource"]

PERSONS: Mapping[Person, str] = {
    "scientist": "a data scientist",
    "engineer": "an ML engineer",
    "administrator": "an ML administrator",
    "auditor": "an auditor",
    "visitor": "a visiting scientist, whose session has a policy of its own",
    "broker": "the company's sign-in",
    "job": "a job, whose role an administrator has made",
}


@dataclass(frozen=True)
class Call:
    """A request, by botocore's names."""

    service: str
    operation: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One question and its answer.

    `action` on `resource` is decided by the statement `by` of the `layer`. For a refusal without a denial, `by` is the
    grant of that layer that would have to allow it: its condition, its resources or its list of actions leave it out.
    `widened`: somebody has attached a policy to the role that allows everything. `lent`: actions that policy and
    boundary have for this one request, where it would be refused for want of them before it came to the question.
    `call` is None where the local cloud does not serve the question: `why_not` says so. `context` holds condition keys
    that do not follow from the call. `tagged` is the project of the thing, where it is there. `chosen_network`: only
    where the stack names subnets.
    """

    person: Person
    wish: str
    action: str
    resource: str
    allowed: bool
    by: str
    layer: Layer
    call: Call | None
    project: str = "fraud"
    widened: bool = False
    lent: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    tagged: str | None = None
    chosen_network: bool = False
    why_not: str = ""

    @property
    def name(self) -> str:
        """Unique, and made of words."""
        return f"{self.person}{' with *' if self.widened else ''}: {self.wish}"


# --- What is asked for -----------------------------------------------------------------------------------------------

TAGS = [{"Key": "project", "Value": "fraud"}]
NETWORK = {"SecurityGroupIds": ["<group>"], "Subnets": ["<subnet>"]}
# AWS's own of us-east-1.
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
NO_IMAGE = "<account>.dkr.ecr.<region>.amazonaws.com/nothing:none"

TRAIN: Mapping[str, Any] = {
    "TrainingJobName": "fraud-<run>",
    "RoleArn": "<job role:fraud/training>",
    # Nothing is to run: there is no such image.
    "AlgorithmSpecification": {"TrainingImage": NO_IMAGE, "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://<bucket>/fraud/work/", "KmsKeyId": "<key>"},
    "ResourceConfig": {
        "InstanceCount": 1,
        "InstanceType": "ml.m5.large",
        "VolumeSizeInGB": 1,
        "VolumeKmsKeyId": "<key>",
    },
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "VpcConfig": NETWORK,
    "EnableNetworkIsolation": True,
    "EnableInterContainerTrafficEncryption": True,
    "Tags": TAGS,
}
PROCESS: Mapping[str, Any] = {
    "ProcessingJobName": "fraud-<run>",
    "RoleArn": "<job role:fraud/training>",
    "AppSpecification": {"ImageUri": NO_IMAGE},
    "ProcessingResources": {
        "ClusterConfig": {
            "InstanceCount": 1,
            "InstanceType": "ml.m5.large",
            "VolumeSizeInGB": 1,
            "VolumeKmsKeyId": "<key>",
        }
    },
    "ProcessingOutputConfig": {
        "Outputs": [
            {
                "OutputName": "rows",
                "S3Output": {
                    "S3Uri": "s3://<bucket>/fraud/work/",
                    "LocalPath": "/opt/ml/processing/rows",
                    "S3UploadMode": "EndOfJob",
                },
            }
        ],
        "KmsKeyId": "<key>",
    },
    "NetworkConfig": {
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        "VpcConfig": NETWORK,
    },
    "Tags": TAGS,
}
MODEL: Mapping[str, Any] = {
    "ModelName": "fraud-<run>",
    "ExecutionRoleArn": "<job role:fraud/hosting>",
    "PrimaryContainer": {
        "Image": SKLEARN,
        "ModelDataUrl": "s3://<bucket>/fraud/models/model.tar.gz",
        # How AWS's image finds the script.
        "Environment": {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        },
    },
    "VpcConfig": NETWORK,
    "EnableNetworkIsolation": True,
    "Tags": TAGS,
}
CONFIGURATION: Mapping[str, Any] = {
    "EndpointConfigName": "fraud-<run>",
    "ProductionVariants": [
        {
            "VariantName": "all",
            "ModelName": "fraud-<run>",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
    ],
    "KmsKeyId": "<key>",
    "Tags": TAGS,
}
ENDPOINT: Mapping[str, Any] = {"EndpointName": "fraud-<run>", "EndpointConfigName": "fraud-<run>", "Tags": TAGS}
PACKAGE: Mapping[str, Any] = {
    "ModelPackageGroupName": "fraud-<run>",
    "ModelApprovalStatus": "PendingManualApproval",
    "InferenceSpecification": {
        "Containers": [{"Image": NO_IMAGE, "ModelDataUrl": "s3://<bucket>/fraud/models/model.tar.gz"}],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    },
}
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                # The account too, so that the scenario can act as a job without running one.
                "Principal": {"Service": "sagemaker.amazonaws.com", "AWS": "arn:aws:iam::<account>:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


def changed(request: Mapping[str, Any], **members: Any) -> dict[str, Any]:
    """A request with other members; `A__B` is the member B of A, and None leaves one out."""
    found: dict[str, Any] = json.loads(json.dumps(request))
    for path, value in members.items():
        *outer, last = path.split("__")
        place = found
        for name in outer:
            place = place[name]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return found


def _job(name: str, kind: str = "training-job") -> str:
    return f"arn:aws:sagemaker:<region>:<account>:{kind}/{name}"


def _object(key: str) -> str:
    return f"arn:aws:s3:::<bucket>/{key}"


def _role(path: str) -> str:
    return f"arn:aws:iam::<account>:role<path>{path}-<run>"


BUCKET = "arn:aws:s3:::<bucket>"
FRAUD, CHURN, NEXT = "fraud-<run>", "churn-<run>", "fraud-next-<run>"
BY_A_SERVICE = "Only EC2 asks this, for a disk under the key; the local cloud makes no such disks."


def _yes(  # noqa: PLR0917 (a row of a table)
    person: Person, wish: str, action: str, resource: str, by: str, call: Call | None, **more: Any
) -> Cell:
    return Cell(person, wish, action, resource, allowed=True, by=by, layer="identity", call=call, **more)


def _no(  # noqa: PLR0917 (a row of a table)
    person: Person, wish: str, action: str, resource: str, by: str, layer: Layer, call: Call | None, **more: Any
) -> Cell:
    return Cell(person, wish, action, resource, allowed=False, by=by, layer=layer, call=call, **more)


def _train(wish: str, by: str, **members: Any) -> Cell:
    """A scientist's training that leaves out, or asks for, what the boundary forbids."""
    network = {"chosen_network": True} if by.startswith("InThese") else {}
    call = Call("sagemaker", "CreateTrainingJob", changed(TRAIN, **{"TrainingJobName": "fraud-no-<run>", **members}))
    return _no(
        "scientist", wish, "sagemaker:CreateTrainingJob", _job("fraud-no-<run>"), by, "boundary", call, **network
    )


def _make_role(where: str, **members: Any) -> Call:
    request = {
        "RoleName": f"{where.rpartition('/')[2]}-<run>",
        "Path": f"<path>{where.rpartition('/')[0]}/",
        "AssumeRolePolicyDocument": TRUST,
        "PermissionsBoundary": "<boundary>",
        **members,
    }
    return Call("iam", "CreateRole", {name: value for name, value in request.items() if value is not None})


def _sagemaker(operation: str, **arguments: Any) -> Call:
    return Call("sagemaker", operation, arguments)


def _state_machine(role: str) -> Call:
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    arguments = {"name": "fraud-no-<run>", "definition": definition, "roleArn": role}
    return Call("stepfunctions", "CreateStateMachine", arguments)


def _s3(operation: str, key: str) -> Call:
    body = {"Body": "x"} if operation == "PutObject" else {}
    return Call("s3", operation, {"Bucket": "<bucket>", "Key": key, **body})


EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
DATA_KEY = Call("kms", "GenerateDataKey", {"KeyId": "<key>", "KeySpec": "AES_256"})
GRANT = Call(
    "kms",
    "CreateGrant",
    {"KeyId": "<key>", "GranteePrincipal": "<scientist>", "Operations": ["Decrypt"]},
)

# --- The matrix. In order: what one row makes, a later one uses. -----------------------------------------------------

_ADMINISTRATOR = (
    _yes(
        "administrator",
        "make a role for training, with the jobs' boundary",
        "iam:CreateRole",
        _role("fraud/training/train"),
        "KeepJobRoles",
        _make_role("fraud/training/train"),
        context={"iam:PermissionsBoundary": "<boundary>"},
    ),
    _yes(
        "administrator",
        "make a role for hosting, with the jobs' boundary",
        "iam:CreateRole",
        _role("fraud/hosting/host"),
        "KeepJobRoles",
        _make_role("fraud/hosting/host"),
        context={"iam:PermissionsBoundary": "<boundary>"},
    ),
    _no(
        "administrator",
        "make a role without a boundary",
        "iam:CreateRole",
        _role("fraud/training/free"),
        "RolesBearTheBoundary",
        "boundary",
        _make_role("fraud/training/free", PermissionsBoundary=None),
    ),
    _no(
        "administrator",
        "make a role with a boundary of another's",
        "iam:CreateRole",
        _role("fraud/training/free"),
        "RolesBearTheBoundary",
        "boundary",
        _make_role("fraud/training/free", PermissionsBoundary="<administrator boundary>"),
        context={"iam:PermissionsBoundary": "<administrator boundary>"},
    ),
    _no(
        "administrator",
        "make a role for another project",
        "iam:CreateRole",
        _role("churn/training/train"),
        "RolesOfPeopleStay",
        "boundary",
        _make_role("churn/training/train"),
        context={"iam:PermissionsBoundary": "<boundary>"},
    ),
    _no(
        "administrator",
        "make a role for a person",
        "iam:CreateRole",
        "arn:aws:iam::<account>:role/<stack>/people/me-<run>",
        "RolesOfPeopleStay",
        "boundary",
        _make_role("me", Path="/<stack>/people/"),
        widened=True,
        context={"iam:PermissionsBoundary": "<boundary>"},
    ),
    _yes(
        "administrator",
        "give a job's role a policy, be it everything",
        "iam:PutRolePolicy",
        _role("fraud/training/train"),
        "KeepJobRoles",
        Call(
            "iam",
            "PutRolePolicy",
            {"RoleName": "train-<run>", "PolicyName": "work", "PolicyDocument": EVERYTHING},
        ),
        context={"iam:PermissionsBoundary": "<boundary>"},
    ),
    _yes(
        "administrator",
        "give a hosting role a policy",
        "iam:PutRolePolicy",
        _role("fraud/hosting/host"),
        "KeepJobRoles",
        Call("iam", "PutRolePolicy", {"RoleName": "host-<run>", "PolicyName": "work", "PolicyDocument": EVERYTHING}),
        context={"iam:PermissionsBoundary": "<boundary>"},
    ),
    _no(
        "administrator",
        "give more to a role that has no boundary",
        "iam:PutRolePolicy",
        _role("fraud/training/old"),
        "RolesBearTheBoundary",
        "boundary",
        Call("iam", "PutRolePolicy", {"RoleName": "old-<run>", "PolicyName": "work", "PolicyDocument": EVERYTHING}),
    ),
    _no(
        "administrator",
        "give more to the scientists' role",
        "iam:PutRolePolicy",
        "<scientist>",
        "RolesBearTheBoundary",
        "boundary",
        Call(
            "iam",
            "PutRolePolicy",
            {"RoleName": "<scientist name>", "PolicyName": "more", "PolicyDocument": EVERYTHING},
        ),
        context={"iam:PermissionsBoundary": "<scientist boundary>"},
    ),
    _no(
        "administrator",
        "delete the scientists' role",
        "iam:DeleteRole",
        "<scientist>",
        "RolesOfPeopleStay",
        "boundary",
        Call("iam", "DeleteRole", {"RoleName": "<scientist name>"}),
    ),
    _no(
        "administrator",
        "take the boundary off the scientists' role",
        "iam:DeleteRolePermissionsBoundary",
        "<scientist>",
        "Ceiling",
        "boundary",
        Call("iam", "DeleteRolePermissionsBoundary", {"RoleName": "<scientist name>"}),
        widened=True,
    ),
    _no(
        "administrator",
        "rewrite the scientists' boundary",
        "iam:CreatePolicyVersion",
        "<scientist boundary>",
        "Ceiling",
        "boundary",
        Call(
            "iam",
            "CreatePolicyVersion",
            {"PolicyArn": "<scientist boundary>", "PolicyDocument": EVERYTHING, "SetAsDefault": True},
        ),
        widened=True,
    ),
    *(
        _yes("administrator", f"{operation} of a job's role", f"iam:{operation}", _role("fraud/training/train"),
             "KeepJobRoles", Call("iam", operation, {"RoleName": "train-<run>", **more}))
        for operation, more in {
            "GetRole": {},
            "GetRolePolicy": {"PolicyName": "work"},
            "ListAttachedRolePolicies": {},
            "ListRolePolicies": {},
        }.items()
    ),
    _yes("administrator", "look at the key", "kms:DescribeKey", "<key>", "SeeKey",
         Call("kms", "DescribeKey", {"KeyId": "<key>"})),
    _no(
        "administrator",
        "train",
        "sagemaker:CreateTrainingJob",
        _job("fraud-no-<run>"),
        "AdministratorsDoNotWork",
        "boundary",
        Call("sagemaker", "CreateTrainingJob", changed(TRAIN, TrainingJobName="fraud-no-<run>")),
        widened=True,
    ),
    _no(
        "administrator",
        "deploy",
        "sagemaker:CreateEndpoint",
        _job("fraud-no-<run>", "endpoint"),
        "AdministratorsDoNotWork",
        "boundary",
        Call("sagemaker", "CreateEndpoint", changed(ENDPOINT, EndpointName="fraud-no-<run>")),
    ),
    _no(
        "administrator",
        "ask an endpoint",
        "sagemaker:InvokeEndpoint",
        _job(FRAUD, "endpoint"),
        "AdministratorsDoNotWork",
        "boundary",
        Call("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": FRAUD, "Body": "1"}),
    ),
    _no(
        "administrator",
        "read data",
        "s3:GetObject",
        _object("fraud/data.csv"),
        "AdministratorsReadNothing",
        "boundary",
        _s3("GetObject", "fraud/data.csv"),
        widened=True,
    ),
    _no(
        "administrator",
        "write data",
        "s3:PutObject",
        _object("fraud/data.csv"),
        "AdministratorsReadNothing",
        "boundary",
        _s3("PutObject", "fraud/data.csv"),
    ),
)  # fmt: skip

_SCIENTIST = (
    _yes(
        "scientist",
        "train in the own project, by its rules",
        "sagemaker:CreateTrainingJob",
        _job(FRAUD),
        "Train",
        Call("sagemaker", "CreateTrainingJob", TRAIN),
    ),
    _yes(
        "scientist",
        "pass a training role of the own project to SageMaker",
        "iam:PassRole",
        _role("fraud/training/train"),
        "PassJobRole",
        Call("sagemaker", "CreateTrainingJob", changed(TRAIN, TrainingJobName="fraud-again-<run>")),
        context={"iam:PassedToService": "sagemaker.amazonaws.com"},
    ),
    _train("train outside a network", "InsideANetwork", VpcConfig=None),
    _train("train in another subnet", "InTheseSubnets", VpcConfig__Subnets=["subnet-0000000000000bad0"]),
    _train(
        "train with another security group",
        "InTheseSecurityGroups",
        VpcConfig__SecurityGroupIds=["<group>", "sg-0000000000000bad0"],
    ),
    _train("train on a disk without a key", "VolumesUnderTheKey", ResourceConfig__VolumeKmsKeyId=None),
    _train(
        "train on a disk with another key",
        "VolumesUnderTheKey",
        ResourceConfig__VolumeKmsKeyId="arn:aws:kms:<region>:<account>:key/00000000-0000-0000-0000-000000000000",
    ),
    _train("write a model without a key", "OutputUnderTheKey", OutputDataConfig__KmsKeyId=None),
    _train("train with a way out of the container", "Isolated", EnableNetworkIsolation=False),
    _train("train and not say whether there is a way out", "Isolated", EnableNetworkIsolation=None),
    _train("train with plain traffic between machines", "TrafficEncrypted", EnableInterContainerTrafficEncryption=None),
    _train("train on a machine that is too large", "OnTheseMachines", ResourceConfig__InstanceType="ml.p4d.24xlarge"),
    _train("train for five days", "NotTooLong", StoppingCondition__MaxRuntimeInSeconds=432000),
    _train("train without a project's tag", "BearsTheProject", Tags=None),
    _train("train under another project's tag", "BearsTheProject", Tags=[{"Key": "project", "Value": "churn"}]),
    _no(
        "scientist",
        "train under another project's name",
        "sagemaker:CreateTrainingJob",
        _job("churn-no-<run>"),
        "Train",
        "identity",
        Call("sagemaker", "CreateTrainingJob", changed(TRAIN, TrainingJobName="churn-no-<run>")),
    ),
    _no(
        "scientist",
        "pass the hosting role on",
        "iam:PassRole",
        _role("fraud/hosting/host"),
        "PassJobRole",
        "identity",
        Call(
            "sagemaker",
            "CreateTrainingJob",
            changed(TRAIN, TrainingJobName="fraud-no-<run>", RoleArn="<job role:fraud/hosting>"),
        ),
        context={"iam:PassedToService": "sagemaker.amazonaws.com"},
    ),
    _no(
        "scientist",
        "pass another project's role on",
        "iam:PassRole",
        _role("churn/training/train"),
        "PassJobRole",
        "identity",
        Call(
            "sagemaker",
            "CreateTrainingJob",
            changed(TRAIN, TrainingJobName="fraud-no-<run>", RoleArn="<job role:churn/training>"),
        ),
        context={"iam:PassedToService": "sagemaker.amazonaws.com"},
    ),
    _no(
        "scientist",
        "pass a training role to Step Functions, which it may use for once",
        "iam:PassRole",
        _role("fraud/training/train"),
        "PassJobRole",
        "identity",
        _state_machine("<job role:fraud/training>"),
        context={"iam:PassedToService": "states.amazonaws.com"},
        lent=("states:CreateStateMachine",),
    ),
    _yes(
        "scientist",
        "process data in the own project, by its rules",
        "sagemaker:CreateProcessingJob",
        _job(FRAUD, "processing-job"),
        "Process",
        Call("sagemaker", "CreateProcessingJob", PROCESS),
    ),
    *(
        _no(
            "scientist",
            f"process data {wish}",
            "sagemaker:CreateProcessingJob",
            _job("fraud-no-<run>", "processing-job"),
            by,
            "boundary",
            Call("sagemaker", "CreateProcessingJob", changed(PROCESS, ProcessingJobName="fraud-no-<run>", **members)),
        )
        for wish, by, members in (
            ("outside a network", "InsideANetwork", {"NetworkConfig__VpcConfig": None}),
            ("with a way out of the container", "Isolated", {"NetworkConfig__EnableNetworkIsolation": False}),
            ("and leave the rows without a key", "OutputUnderTheKey", {"ProcessingOutputConfig__KmsKeyId": None}),
        )
    ),
    _yes(
        "scientist",
        "train in the other project, who is in it",
        "sagemaker:CreateTrainingJob",
        _job(CHURN),
        "Train",
        Call(
            "sagemaker",
            "CreateTrainingJob",
            changed(
                TRAIN,
                TrainingJobName=CHURN,
                RoleArn="<job role:churn/training>",
                OutputDataConfig__S3OutputPath="s3://<bucket>/churn/work/",
                Tags=[{"Key": "project", "Value": "churn"}],
            ),
        ),
        project="churn",
    ),
    *(
        _yes("scientist", f"{operation} of the own project", f"sagemaker:{operation}", _job(FRAUD, kind),
             "Train" if noun == "Training" else "Process",
             _sagemaker(operation, **{f"{noun}JobName": FRAUD}), tagged="fraud")
        for operation, kind, noun in (
            ("DescribeTrainingJob", "training-job", "Training"),
            ("StopTrainingJob", "training-job", "Training"),
            ("DescribeProcessingJob", "processing-job", "Processing"),
            ("StopProcessingJob", "processing-job", "Processing"),
        )
    ),
    *(
        _no("scientist", f"{operation} of the other project", f"sagemaker:{operation}", _job(CHURN), "OtherProjects",
            "boundary", _sagemaker(operation, TrainingJobName=CHURN), widened=widened, tagged="churn")
        for operation, widened in (("DescribeTrainingJob", True), ("StopTrainingJob", False))
    ),
    _yes(
        "scientist",
        "tag the own job",
        "sagemaker:AddTags",
        _job(FRAUD),
        "Train",
        _sagemaker("AddTags", ResourceArn=_job(FRAUD), Tags=[{"Key": "team", "Value": "blue"}]),
        tagged="fraud",
        context={"aws:TagKeys": ["team"]},
    ),
    _yes(
        "scientist",
        "tag the own processing job",
        "sagemaker:AddTags",
        _job(FRAUD, "processing-job"),
        "Process",
        _sagemaker("AddTags", ResourceArn=_job(FRAUD, "processing-job"), Tags=[{"Key": "team", "Value": "blue"}]),
        tagged="fraud",
        context={"aws:TagKeys": ["team"]},
    ),
    _no(
        "scientist",
        "move the own job to another project",
        "sagemaker:AddTags",
        _job(FRAUD),
        "ProjectStays",
        "boundary",
        _sagemaker("AddTags", ResourceArn=_job(FRAUD), Tags=[{"Key": "project", "Value": "churn"}]),
        tagged="fraud",
        context={"aws:TagKeys": ["project"]},
    ),
    _yes(
        "scientist",
        "tag a job while it is made",
        "sagemaker:AddTags",
        _job("fraud-tagged-<run>"),
        "Train",
        Call("sagemaker", "CreateTrainingJob", changed(TRAIN, TrainingJobName="fraud-tagged-<run>")),
        context={"sagemaker:TaggingAction": "CreateTrainingJob"},
    ),
    _yes("scientist", "list jobs", "sagemaker:ListTrainingJobs", "*", "ListJobs", _sagemaker("ListTrainingJobs")),
    _yes(
        "scientist",
        "register a model in the own group",
        "sagemaker:CreateModelPackage",
        _job("fraud-<run>/*", "model-package"),
        "Register",
        Call("sagemaker", "CreateModelPackage", PACKAGE),
    ),
    _yes(
        "scientist",
        "look at a registered model",
        "sagemaker:DescribeModelPackage",
        _job("fraud-<run>/1", "model-package"),
        "Register",
        _sagemaker("DescribeModelPackage", ModelPackageName=_job("fraud-<run>/1", "model-package")),
    ),
    _no(
        "scientist",
        "register a model in another project's group",
        "sagemaker:CreateModelPackage",
        _job("churn-<run>/*", "model-package"),
        "Register",
        "identity",
        Call("sagemaker", "CreateModelPackage", changed(PACKAGE, ModelPackageGroupName=CHURN)),
    ),
    _no(
        "scientist",
        "approve the own model",
        "sagemaker:UpdateModelPackage",
        _job("fraud-<run>/1", "model-package"),
        "ScientistsDoNotApprove",
        "boundary",
        _sagemaker(
            "UpdateModelPackage",
            ModelPackageArn=_job("fraud-<run>/1", "model-package"),
            ModelApprovalStatus="Approved",
        ),
        widened=True,
        tagged="fraud",
    ),
    *(
        _no("scientist", wish, f"sagemaker:{call.operation}", _job(FRAUD, kind), "ScientistsDoNotDeploy", "boundary",
            call, widened=call.operation == "CreateModel")
        for wish, kind, call in (
            ("make a model to deploy", "model", Call("sagemaker", "CreateModel", MODEL)),
            ("make an endpoint's configuration", "endpoint-config",
             Call("sagemaker", "CreateEndpointConfig", CONFIGURATION)),
            ("deploy", "endpoint", Call("sagemaker", "CreateEndpoint", ENDPOINT)),
            ("delete an endpoint", "endpoint", _sagemaker("DeleteEndpoint", EndpointName=FRAUD)),
        )
    ),
    _no(
        "scientist",
        "make a role",
        "iam:CreateRole",
        _role("fraud/training/own"),
        "OnlyAdministratorsMakeRoles",
        "boundary",
        _make_role("fraud/training/own"),
        widened=True,
        context={"iam:PermissionsBoundary": "<boundary>"},
    ),
    _no(
        "scientist",
        "make a user",
        "iam:CreateUser",
        "arn:aws:iam::<account>:user/me-<run>",
        "Ceiling",
        "boundary",
        Call("iam", "CreateUser", {"UserName": "me-<run>"}),
        widened=True,
    ),
    _no(
        "scientist",
        "start a notebook instance",
        "sagemaker:CreateNotebookInstance",
        _job(FRAUD, "notebook-instance"),
        "Ceiling",
        "boundary",
        _sagemaker(
            "CreateNotebookInstance",
            NotebookInstanceName=FRAUD,
            InstanceType="ml.t3.medium",
            RoleArn="<job role:fraud/training>",
        ),
        widened=True,
    ),
    _yes(
        "scientist",
        "read the own project's data",
        "s3:GetObject",
        _object("fraud/data.csv"),
        "ReadData",
        _s3("GetObject", "fraud/data.csv"),
    ),
    _no(
        "scientist",
        "read another project's data",
        "s3:GetObject",
        _object("churn/data.csv"),
        "ReadData",
        "identity",
        _s3("GetObject", "churn/data.csv"),
    ),
    _yes(
        "scientist",
        "list the own project's data",
        "s3:ListBucket",
        BUCKET,
        "ListData",
        Call("s3", "ListObjectsV2", {"Bucket": "<bucket>", "Prefix": "fraud/"}),
        context={"s3:prefix": "fraud/"},
    ),
    _no(
        "scientist",
        "list the whole bucket",
        "s3:ListBucket",
        BUCKET,
        "ListData",
        "identity",
        Call("s3", "ListObjectsV2", {"Bucket": "<bucket>"}),
    ),
    _no(
        "scientist",
        "list another project's data",
        "s3:ListBucket",
        BUCKET,
        "ListData",
        "identity",
        Call("s3", "ListObjectsV2", {"Bucket": "<bucket>", "Prefix": "churn/"}),
        context={"s3:prefix": "churn/"},
    ),
    _yes(
        "scientist",
        "write work",
        "s3:PutObject",
        _object("fraud/work/notes.txt"),
        "WriteWork",
        _s3("PutObject", "fraud/work/notes.txt"),
    ),
    _no(
        "scientist",
        "write over the data",
        "s3:PutObject",
        _object("fraud/data.csv"),
        "WriteWork",
        "identity",
        _s3("PutObject", "fraud/data.csv"),
    ),
    _yes(
        "scientist",
        "have S3 open an object with the key",
        "kms:Decrypt",
        "<key>",
        "UseKeyByS3",
        _s3("GetObject", "fraud/data.csv"),
        context={"kms:ViaService": "s3.<region>.amazonaws.com"},
    ),
    _no("scientist", "use the key without S3", "kms:GenerateDataKey", "<key>", "UseKeyByS3", "identity", DATA_KEY),
)  # fmt: skip

_ENGINEER = (
    _yes("engineer", "make a model to deploy, by the rules", "sagemaker:CreateModel", _job(FRAUD, "model"),
         "MakeModels", Call("sagemaker", "CreateModel", MODEL)),
    _yes("engineer", "pass a hosting role of the own project to SageMaker", "iam:PassRole",
         _role("fraud/hosting/host"), "PassHostingRole",
         Call("sagemaker", "CreateModel", changed(MODEL, ModelName="fraud-again-<run>")),
         context={"iam:PassedToService": "sagemaker.amazonaws.com"}),
    *(
        _no("engineer", wish, "sagemaker:CreateModel", _job("fraud-no-<run>", "model"), by, "boundary",
            Call("sagemaker", "CreateModel", changed(MODEL, ModelName="fraud-no-<run>", **members)),
            chosen_network=by.startswith("InThese"))
        for wish, by, members in (
            ("make a model outside a network", "InsideANetwork", {"VpcConfig": None}),
            ("make a model for another subnet", "InTheseSubnets", {"VpcConfig__Subnets": ["subnet-0000000000000bad0"]}),
            ("make a model with another security group", "InTheseSecurityGroups",
             {"VpcConfig__SecurityGroupIds": ["sg-0000000000000bad0"]}),
            ("make a model with a way out of the container", "Isolated", {"EnableNetworkIsolation": None}),
            ("make a model without a project's tag", "BearsTheProject", {"Tags": None}),
        )
    ),
    _yes("engineer", "make an endpoint's configuration, by the rules", "sagemaker:CreateEndpointConfig",
         _job(FRAUD, "endpoint-config"), "Configure", Call("sagemaker", "CreateEndpointConfig", CONFIGURATION)),
    *(
        _no("engineer", wish, "sagemaker:CreateEndpointConfig", _job("fraud-no-<run>", "endpoint-config"), by,
            "boundary",
            Call("sagemaker", "CreateEndpointConfig",
                 changed(CONFIGURATION, EndpointConfigName="fraud-no-<run>", **members)))
        for wish, by, members in (
            ("serve from a disk without a key", "VolumesUnderTheKey", {"KmsKeyId": None}),
            ("serve on a machine that is too large", "OnTheseMachines",
             {"ProductionVariants": [{**CONFIGURATION["ProductionVariants"][0], "InstanceType": "ml.p4d.24xlarge"}]}),
        )
    ),
    _yes("engineer", "make the configuration that follows it", "sagemaker:CreateEndpointConfig",
         _job(NEXT, "endpoint-config"), "Configure",
         Call("sagemaker", "CreateEndpointConfig", changed(CONFIGURATION, EndpointConfigName=NEXT))),
    _yes("engineer", "deploy in the own project", "sagemaker:CreateEndpoint", _job(FRAUD, "endpoint"), "Deploy",
         Call("sagemaker", "CreateEndpoint", ENDPOINT)),
    _yes("engineer", "DescribeEndpoint of the own project", "sagemaker:DescribeEndpoint", _job(FRAUD, "endpoint"),
         "KeepEndpoints", _sagemaker("DescribeEndpoint", EndpointName=FRAUD), tagged="fraud"),
    _yes("engineer", "InvokeEndpoint of the own project", "sagemaker:InvokeEndpoint", _job(FRAUD, "endpoint"),
         "Invoke",
         Call("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": FRAUD, "ContentType": "text/csv", "Body": "1"}),
         tagged="fraud"),
    _yes("engineer", "UpdateEndpoint of the own project", "sagemaker:UpdateEndpoint", _job(FRAUD, "endpoint"),
         "Deploy", _sagemaker("UpdateEndpoint", EndpointName=FRAUD, EndpointConfigName=NEXT), tagged="fraud"),
    *(
        _no("engineer", wish, f"sagemaker:{operation}", _job("churn-<run>", "endpoint"), "OtherProjects", "boundary",
            call, tagged="churn", widened=widened)
        for wish, operation, widened, call in (
            ("change another project's endpoint", "UpdateEndpoint", True,
             _sagemaker("UpdateEndpoint", EndpointName=CHURN, EndpointConfigName=FRAUD)),
            ("delete another project's endpoint", "DeleteEndpoint", False,
             _sagemaker("DeleteEndpoint", EndpointName=CHURN)),
            ("ask another project's endpoint", "InvokeEndpoint", True,
             Call("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": CHURN, "Body": "1"})),
        )
    ),
    _yes("engineer", "approve a model of the own project", "sagemaker:UpdateModelPackage",
         _job("fraud-<run>/1", "model-package"), "Approve",
         _sagemaker("UpdateModelPackage", ModelPackageArn=_job("fraud-<run>/1", "model-package"),
                    ModelApprovalStatus="Approved"), tagged="fraud"),
    _yes("engineer", "look at a registered model", "sagemaker:DescribeModelPackage",
         _job("fraud-<run>/1", "model-package"), "Approve",
         _sagemaker("DescribeModelPackage", ModelPackageName=_job("fraud-<run>/1", "model-package")), tagged="fraud"),
    _no("engineer", "approve another project's model", "sagemaker:UpdateModelPackage",
        _job("churn-<run>/1", "model-package"), "OtherProjects", "boundary",
        _sagemaker("UpdateModelPackage", ModelPackageArn=_job("churn-<run>/1", "model-package"),
                   ModelApprovalStatus="Approved"), tagged="churn", widened=True),
    _no("engineer", "train", "sagemaker:CreateTrainingJob", _job("fraud-no-<run>"), "EngineersDoNotTrain", "boundary",
        Call("sagemaker", "CreateTrainingJob", changed(TRAIN, TrainingJobName="fraud-no-<run>")), widened=True),
    _no("engineer", "process data", "sagemaker:CreateProcessingJob", _job("fraud-no-<run>", "processing-job"),
        "EngineersDoNotTrain", "boundary",
        Call("sagemaker", "CreateProcessingJob", changed(PROCESS, ProcessingJobName="fraud-no-<run>"))),
    _yes("engineer", "read a model", "s3:GetObject", _object("fraud/models/model.tar.gz"), "ReadModels",
         _s3("GetObject", "fraud/models/model.tar.gz")),
    _no("engineer", "read data", "s3:GetObject", _object("fraud/data.csv"), "EngineersReadModelsOnly", "boundary",
        _s3("GetObject", "fraud/data.csv"), widened=True),
    _no("engineer", "read another project's model", "s3:GetObject", _object("churn/models/model.tar.gz"), "ReadModels",
        "identity", _s3("GetObject", "churn/models/model.tar.gz")),
    _no("engineer", "make a role", "iam:CreateRole", _role("fraud/hosting/own"), "OnlyAdministratorsMakeRoles",
        "boundary", _make_role("fraud/hosting/own"), widened=True, context={"iam:PermissionsBoundary": "<boundary>"}),
    _no("engineer", "pass a training role on", "iam:PassRole", _role("fraud/training/train"), "PassHostingRole",
        "identity",
        Call("sagemaker", "CreateModel",
             changed(MODEL, ModelName="fraud-no-<run>", ExecutionRoleArn="<job role:fraud/training>")),
        context={"iam:PassedToService": "sagemaker.amazonaws.com"}),
    _no("engineer", "pass a hosting role to Step Functions, which it may use for once", "iam:PassRole",
        _role("fraud/hosting/host"), "PassHostingRole", "identity", _state_machine("<job role:fraud/hosting>"),
        context={"iam:PassedToService": "states.amazonaws.com"}, lent=("states:CreateStateMachine",)),
    _yes("engineer", "tag the own model", "sagemaker:AddTags", _job(FRAUD, "model"), "MakeModels",
         _sagemaker("AddTags", ResourceArn=_job(FRAUD, "model"), Tags=[{"Key": "team", "Value": "blue"}]),
         tagged="fraud", context={"aws:TagKeys": ["team"]}),
    _yes("engineer", "tag the own configuration", "sagemaker:AddTags", _job(FRAUD, "endpoint-config"), "Configure",
         _sagemaker("AddTags", ResourceArn=_job(FRAUD, "endpoint-config"), Tags=[{"Key": "team", "Value": "blue"}]),
         tagged="fraud", context={"aws:TagKeys": ["team"]}),
    _yes("engineer", "tag the own endpoint", "sagemaker:AddTags", _job(FRAUD, "endpoint"), "KeepEndpoints",
         _sagemaker("AddTags", ResourceArn=_job(FRAUD, "endpoint"), Tags=[{"Key": "team", "Value": "blue"}]),
         tagged="fraud", context={"aws:TagKeys": ["team"]}),
    _no("engineer", "move the own model to another project", "sagemaker:AddTags", _job(FRAUD, "model"), "ProjectStays",
        "boundary",
        _sagemaker("AddTags", ResourceArn=_job(FRAUD, "model"), Tags=[{"Key": "project", "Value": "churn"}]),
        tagged="fraud", context={"aws:TagKeys": ["project"]}),
    _yes("engineer", "tag a model while it is made", "sagemaker:AddTags", _job("fraud-tagged-<run>", "model"),
         "MakeModels", Call("sagemaker", "CreateModel", changed(MODEL, ModelName="fraud-tagged-<run>")),
         context={"sagemaker:TaggingAction": "CreateModel"}),
    _yes("engineer", "have S3 open a model with the key", "kms:Decrypt", "<key>", "UseKeyByS3",
         _s3("GetObject", "fraud/models/model.tar.gz"), context={"kms:ViaService": "s3.<region>.amazonaws.com"}),
    _no("engineer", "use the key without S3", "kms:Decrypt", "<key>", "UseKeyByS3", "identity",
        Call("kms", "Decrypt", {"KeyId": "<key>", "CiphertextBlob": "<sealed>"})),
    _yes("engineer", "let EC2 have the key for a disk", "kms:CreateGrant", "<key>", "DisksHaveKey", None,
         context={"kms:GrantIsForAWSResource": "true"}, why_not=BY_A_SERVICE),
    _no("engineer", "let somebody have the key", "kms:CreateGrant", "<key>", "DisksHaveKey", "identity", GRANT),
)  # fmt: skip

_AUDITOR = (
    *(
        _yes("auditor", f"{operation} of the scientists' role", f"iam:{operation}", "<scientist>", "SeePeople",
             Call("iam", operation, {"RoleName": "<scientist name>"}))
        for operation in ("GetRole", "ListAttachedRolePolicies")
    ),
    *(
        _yes("auditor", f"{operation} of a job's role", f"iam:{operation}", _role("fraud/training/train"),
             "SeeJobRoles", Call("iam", operation, {"RoleName": "train-<run>"}))
        for operation in ("GetRole", "ListRolePolicies")
    ),
    _yes("auditor", "read a job role's policy", "iam:GetRolePolicy", _role("fraud/training/train"), "SeeJobRoles",
         Call("iam", "GetRolePolicy", {"RoleName": "train-<run>", "PolicyName": "work"})),
    _yes("auditor", "ask what scientists may do", "iam:SimulatePrincipalPolicy", "<scientist>", "SeePeople",
         Call("iam", "SimulatePrincipalPolicy",
              {"PolicySourceArn": "<scientist>", "ActionNames": ["sagemaker:CreateEndpoint"]})),
    _yes("auditor", "look at the scientists' boundary", "iam:GetPolicy", "<scientist boundary>", "SeePolicies",
         Call("iam", "GetPolicy", {"PolicyArn": "<scientist boundary>"})),
    _yes("auditor", "read the scientists' boundary", "iam:GetPolicyVersion", "<scientist boundary>", "SeePolicies",
         Call("iam", "GetPolicyVersion", {"PolicyArn": "<scientist boundary>", "VersionId": "v1"})),
    _yes("auditor", "look at a job", "sagemaker:DescribeTrainingJob", _job(FRAUD), "SeeTraining",
         _sagemaker("DescribeTrainingJob", TrainingJobName=FRAUD), tagged="fraud"),
    _yes("auditor", "look at an endpoint", "sagemaker:DescribeEndpoint", _job(FRAUD, "endpoint"), "SeeEndpoints",
         _sagemaker("DescribeEndpoint", EndpointName=FRAUD), tagged="fraud"),
    _yes("auditor", "list jobs", "sagemaker:ListTrainingJobs", "*", "ListWork", _sagemaker("ListTrainingJobs")),
    _yes("auditor", "list endpoints", "sagemaker:ListEndpoints", "*", "ListWork", _sagemaker("ListEndpoints")),
    _yes("auditor", "read the bucket's policy", "s3:GetBucketPolicy", BUCKET, "SeeBucket",
         Call("s3", "GetBucketPolicy", {"Bucket": "<bucket>"})),
    _yes("auditor", "see whether the bucket keeps versions", "s3:GetBucketVersioning", BUCKET, "SeeBucket",
         Call("s3", "GetBucketVersioning", {"Bucket": "<bucket>"})),
    _yes("auditor", "look at the key", "kms:DescribeKey", "<key>", "SeeKey",
         Call("kms", "DescribeKey", {"KeyId": "<key>"})),
    _yes("auditor", "read the key's policy", "kms:GetKeyPolicy", "<key>", "SeeKey",
         Call("kms", "GetKeyPolicy", {"KeyId": "<key>", "PolicyName": "default"})),
    *(
        _no("auditor", wish, action, resource, "AuditorsOnlyLook", "boundary", call, widened=widened, **more)
        for wish, action, resource, call, widened, more in (
            ("read data", "s3:GetObject", _object("fraud/data.csv"), _s3("GetObject", "fraud/data.csv"), True, {}),
            ("write data", "s3:PutObject", _object("fraud/data.csv"), _s3("PutObject", "fraud/data.csv"), False, {}),
            ("use the key", "kms:GenerateDataKey", "<key>", DATA_KEY, True, {}),
            ("stop a job", "sagemaker:StopTrainingJob", _job(FRAUD),
             _sagemaker("StopTrainingJob", TrainingJobName=FRAUD), True, {"tagged": "fraud"}),
            ("train", "sagemaker:CreateTrainingJob", _job("fraud-no-<run>"),
             Call("sagemaker", "CreateTrainingJob", changed(TRAIN, TrainingJobName="fraud-no-<run>")), False, {}),
            ("approve a model", "sagemaker:UpdateModelPackage", _job("fraud-<run>/1", "model-package"),
             _sagemaker("UpdateModelPackage", ModelPackageArn=_job("fraud-<run>/1", "model-package"),
                        ModelApprovalStatus="Rejected"), True, {"tagged": "fraud"}),
            ("make a role", "iam:CreateRole", _role("fraud/training/own"), _make_role("fraud/training/own"), False,
             {"context": {"iam:PermissionsBoundary": "<boundary>"}}),
        )
    ),
)  # fmt: skip

_VISITOR = (
    _yes("visitor", "look at a job", "sagemaker:DescribeTrainingJob", _job(FRAUD), "Train",
         _sagemaker("DescribeTrainingJob", TrainingJobName=FRAUD), tagged="fraud"),
    _yes("visitor", "read work", "s3:GetObject", _object("fraud/work/notes.txt"), "ReadData",
         _s3("GetObject", "fraud/work/notes.txt")),
    _yes("visitor", "have S3 open an object with the key", "kms:Decrypt", "<key>", "UseKeyByS3",
         _s3("GetObject", "fraud/work/notes.txt"), context={"kms:ViaService": "s3.<region>.amazonaws.com"}),
    _no("visitor", "read data", "s3:GetObject", _object("fraud/data.csv"), "LookAtWork", "session",
        _s3("GetObject", "fraud/data.csv")),
    _no("visitor", "write work", "s3:PutObject", _object("fraud/work/notes.txt"), "LookAtWork", "session",
        _s3("PutObject", "fraud/work/notes.txt")),
    _no("visitor", "train", "sagemaker:CreateTrainingJob", _job("fraud-no-<run>"), "LookAtJobs", "session",
        Call("sagemaker", "CreateTrainingJob", changed(TRAIN, TrainingJobName="fraud-no-<run>"))),
    _no("visitor", "stop a job", "sagemaker:StopTrainingJob", _job(FRAUD), "LookAtJobs", "session",
        _sagemaker("StopTrainingJob", TrainingJobName=FRAUD), tagged="fraud"),
    _no("visitor", "look at another project's job", "sagemaker:DescribeTrainingJob", _job(CHURN), "OtherProjects",
        "boundary", _sagemaker("DescribeTrainingJob", TrainingJobName=CHURN), tagged="churn"),
)  # fmt: skip

_BROKER = (
    _yes("broker", "sign a scientist in for a project", "sts:AssumeRole", "<scientist>", "SignIn",
         Call("sts", "AssumeRole", {"RoleArn": "<scientist>", "RoleSessionName": "someone", "Tags": TAGS}),
         context={"aws:RequestTag/project": "fraud"}),
    _no("broker", "sign a scientist in for no project", "sts:AssumeRole", "<scientist>", "trust", "resource",
        Call("sts", "AssumeRole", {"RoleArn": "<scientist>", "RoleSessionName": "someone"})),
    _no("broker", "sign a scientist in for a project that is none", "sts:AssumeRole", "<scientist>", "trust",
        "resource",
        Call("sts", "AssumeRole", {"RoleArn": "<scientist>", "RoleSessionName": "someone",
                                   "Tags": [{"Key": "project", "Value": "everything"}]}),
        context={"aws:RequestTag/project": "everything"}),
)  # fmt: skip

_JOB = (
    _yes("job", "read what its project has", "s3:GetObject", _object("fraud/data.csv"), "everything",
         _s3("GetObject", "fraud/data.csv")),
    _no("job", "read another bucket", "s3:GetObject", "arn:aws:s3:::elsewhere-<run>/secret", "Content", "boundary",
        Call("s3", "GetObject", {"Bucket": "elsewhere-<run>", "Key": "secret"})),
    _no("job", "make a role", "iam:CreateRole", _role("fraud/training/own"), "Run", "boundary",
        _make_role("fraud/training/own"), context={"iam:PermissionsBoundary": "<boundary>"}),
    _no("job", "start another job", "sagemaker:CreateTrainingJob", _job("fraud-no-<run>"), "Run", "boundary",
        Call("sagemaker", "CreateTrainingJob", changed(TRAIN, TrainingJobName="fraud-no-<run>"))),
    _yes("job", "let EC2 have the key for a disk", "kms:CreateGrant", "<key>", "everything", None,
         context={"kms:GrantIsForAWSResource": "true"}, why_not=BY_A_SERVICE),
    _no("job", "let somebody have the key", "kms:CreateGrant", "<key>", "Disk", "boundary", GRANT),
)  # fmt: skip

_CLEANED = (
    _yes("engineer", "DeleteEndpoint of the own project", "sagemaker:DeleteEndpoint", _job(FRAUD, "endpoint"),
         "KeepEndpoints", _sagemaker("DeleteEndpoint", EndpointName=FRAUD), tagged="fraud"),
    _yes("engineer", "delete the own configuration", "sagemaker:DeleteEndpointConfig", _job(FRAUD, "endpoint-config"),
         "Configure", _sagemaker("DeleteEndpointConfig", EndpointConfigName=FRAUD), tagged="fraud"),
    _yes("engineer", "delete the own model", "sagemaker:DeleteModel", _job(FRAUD, "model"), "MakeModels",
         _sagemaker("DeleteModel", ModelName=FRAUD), tagged="fraud"),
    *(
        _yes("administrator", f"{operation} of the own project", f"sagemaker:{operation}", _job(FRAUD, kind),
             f"Stop{noun}", _sagemaker(operation, **{f"{noun}JobName": FRAUD}), tagged="fraud")
        for operation, kind, noun in (
            ("DescribeTrainingJob", "training-job", "Training"),
            ("StopTrainingJob", "training-job", "Training"),
            ("DescribeProcessingJob", "processing-job", "Processing"),
            ("StopProcessingJob", "processing-job", "Processing"),
        )
    ),
    _no("administrator", "stop another project's job", "sagemaker:StopTrainingJob", _job(CHURN), "StopTraining",
        "identity", _sagemaker("StopTrainingJob", TrainingJobName=CHURN), tagged="churn"),
    _yes("administrator", "take a job role's policy away", "iam:DeleteRolePolicy", _role("fraud/training/train"),
         "KeepJobRoles", Call("iam", "DeleteRolePolicy", {"RoleName": "train-<run>", "PolicyName": "work"})),
    _yes("administrator", "delete a job's role", "iam:DeleteRole", _role("fraud/training/train"), "KeepJobRoles",
         Call("iam", "DeleteRole", {"RoleName": "train-<run>"})),
    _yes("administrator", "take a hosting role's policy away", "iam:DeleteRolePolicy", _role("fraud/hosting/host"),
         "KeepJobRoles", Call("iam", "DeleteRolePolicy", {"RoleName": "host-<run>", "PolicyName": "work"})),
    _yes("administrator", "delete a hosting role", "iam:DeleteRole", _role("fraud/hosting/host"), "KeepJobRoles",
         Call("iam", "DeleteRole", {"RoleName": "host-<run>"})),
)  # fmt: skip

CELLS: tuple[Cell, ...] = (
    *_ADMINISTRATOR,
    *_SCIENTIST,
    *_ENGINEER,
    *_AUDITOR,
    *_VISITOR,
    *_BROKER,
    *_JOB,
    *_CLEANED,
)


def filled(value: Any, words: Mapping[str, str]) -> Any:
    """A text, list or mapping with its `<words>` filled in. Raises KeyError for one that is not given."""
    if value == "<sealed>":
        # A client encodes bytes once more, so the text is what it takes.
        return base64.b64decode(words["sealed"])
    if isinstance(value, str):
        for name in [part.partition(">")[0] for part in value.split("<")[1:]]:
            value = value.replace(f"<{name}>", words[name])
        return value
    if isinstance(value, Mapping):
        return {name: filled(one, words) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(one, words) for one in value]
    return value
