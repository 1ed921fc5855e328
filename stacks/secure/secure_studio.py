"""Lock down notebooks: a Studio domain in a private network, a profile a person, a notebook without internet."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stacks.blocks.arns import own_arn
from stacks.blocks.buckets import old_versions_go, private_bucket
from stacks.blocks.keys import own_key
from stacks.blocks.neighbours import Neighbour
from stacks.blocks.networks import DOORS_TAG, door_name
from stacks.blocks.python_function import Target
from stacks.blocks.sagemaker_roles import KEY_USE, allow, allow_disk_key, service_role
from stacks.secure.doors import Door

# Tag that the script on a notebook writes, and that `cost-guard` reads.
ACTIVITY_TAG = "cost-guard:activity"

# The doors that the notebook's report and Studio's apps go through. S3 has its gateway in every such network.
DOORS: tuple[Door, ...] = ("sagemaker.api", "sagemaker.runtime")

_SCRIPTS = Path(__file__).parent / "notebook"
# A lifecycle configuration takes 16,384 characters (documentation of `Content` in botocore's service model of
# SageMaker, read 2026-11-27).
_LONGEST_SCRIPT = 16_384


@dataclass(frozen=True)
class Persona:
    """A kind of people: which folders of the project they read, change, or see the names of only."""

    name: str
    description: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


# In the order of `access-control`. Whoever has no profile of her own has the engineers' role.
PERSONAS: tuple[Persona, ...] = (
    Persona("Scientist", "What scientists may do from their notebooks", reads=("work",), writes=("work",)),
    Persona("Engineer", "What engineers may do from their notebooks", reads=("results",)),
    Persona("Administrator", "What administrators may do from their notebooks", names=("work", "results")),
    Persona("Auditor", "What auditors may do from their notebooks", reads=("work", "results")),
)


class SecureStudioSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scientists: tuple[str, ...] = Field(
        default=("scientist",), max_length=20, description="names of profiles that may work with data"
    )
    engineers: tuple[str, ...] = Field(
        default=("engineer",), max_length=20, description="names of profiles that may read results only"
    )
    administrators: tuple[str, ...] = Field(
        default=("administrator",),
        max_length=20,
        description="names of profiles that see which files there are, and open none",
    )
    auditors: tuple[str, ...] = Field(
        default=("auditor",),
        max_length=20,
        description="names of profiles that may read everything, and change nothing",
    )
    notebook_type: str = Field(
        default="ml.t3.medium", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$", description="machine of the notebook instance"
    )
    volume_gb: int = Field(default=5, ge=5, le=16_384, description="of the notebook instance")
    idle_minutes: int = Field(
        default=60, ge=60, le=525_600, description="then Studio itself stops an app of JupyterLab or Code Editor"
    )

    @field_validator("scientists", "engineers", "administrators", "auditors")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not name.replace("-", "").isalnum() or not name.islower() or len(name) > 63 for name in value):
            raise ValueError("names of profiles are small letters, digits and hyphens, 63 at most")
        if len(set(value)) != len(value):
            raise ValueError("names of profiles are given once each")
        return value

    @model_validator(mode="after")
    def _one_persona_each(self) -> SecureStudioSettings:
        everybody = [name for names in self.profiles().values() for name in names]
        if len(set(everybody)) != len(everybody):
            raise ValueError("a profile has one persona")
        return self

    def profiles(self) -> dict[str, tuple[str, ...]]:
        """The names of profiles by the name of their persona."""
        return {
            "Scientist": self.scientists,
            "Engineer": self.engineers,
            "Administrator": self.administrators,
            "Auditor": self.auditors,
        }


class SecureStudio(cdk.Stack):
    """Scientists get notebooks that reach their data and nothing else.

    It stands in the network of a `private-network` stack, named by a parameter (`PrivateNetworkStack`), and needs its
    doors for SageMaker's API and runtime (setting `endpoints` there): where one is missing, the deployment fails.

    **Flow.** A person signs in with IAM → her profile has the execution role of her persona → apps run in the network,
    on encrypted volumes, and reach S3 through its gateway: a folder of the project's bucket by the persona. A notebook
    instance beside it has no direct internet, no root for its user, metadata by tokens only, and at each start a script
    that reports when it was last used; `cost-guard` stops it.

    **What if.** Somebody copies data out: there is no way to the internet, and the role writes one folder. Somebody
    wants to keep her notebook alive: its user works with its role, which may write the report, so she can write a false
    one; root off keeps the script itself from her, and CloudTrail has every report. A script fails: the notebook does
    not start, and says why in its log. An app is forgotten: Studio stops it after an hour.

    **Cost** (us-east-1, without free tier; KMS pricing, read 2026-11-27, the rest from memory, not confirmed). A key,
    1.00 dollar a month and 1.00 for each yearly rotation. The notebook instance 0.05 dollars an hour, 36.50 a month if
    it is never stopped, and its disk 0.70 even if it is; Studio costs what its apps run; the network's doors are the
    network's.
    """

    Settings: ClassVar[type[SecureStudioSettings]] = SecureStudioSettings
    # What a stack that is deployed for this one is to have, where nobody says otherwise.
    Neighbours: ClassVar[Mapping[str, Mapping[str, Any]]] = {"private-network": {"endpoints": list(DOORS)}}

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: SecureStudioSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings
        self.network = Neighbour(self, "private-network")
        self.subnets = cdk.Fn.split(",", self.network.value("SubnetIds"))
        self.group = self.network.value("JobsSecurityGroupId")

        self.key = own_key(self, "Key", description="Encrypts the volumes and files of one Studio", alarms=False)
        self.bucket = private_bucket(
            self, "Project", lifecycle_rules=[old_versions_go()], target=target, encryption_key=self.key
        )
        self.roles = {persona.name: self._persona_role(persona) for persona in PERSONAS}
        self.domain = self._domain()
        self.profiles = [
            profile for name, people in settings.profiles().items() for profile in self._profiles(name, people)
        ]
        self.notebook_role = self._notebook_role()
        self.notebook = self._notebook()
        self._outputs()

    # --- who works

    def _persona_role(self, persona: Persona) -> iam.Role:
        """The execution role of a kind of people: their folders of the project, and no right to write a tag."""
        role = service_role(self, f"{persona.name}Role", "sagemaker.amazonaws.com", persona.description)
        self._allow_folders(role, persona)
        return role

    def _allow_folders(self, role: iam.Role, persona: Persona) -> None:
        def inside(folders: Sequence[str]) -> list[str]:
            return [f"{self.bucket.bucket_arn}/{folder}/*" for folder in folders]

        if persona.reads:
            allow(role, ["s3:GetObject"], *inside(persona.reads))
            allow(role, KEY_USE if persona.writes else ["kms:Decrypt"], self.key.key_arn)
        if persona.writes:
            allow(role, ["s3:PutObject"], *inside(persona.writes))
        listed = [f"{folder}/*" for folder in dict.fromkeys((*persona.reads, *persona.names))]
        allow(role, ["s3:ListBucket"], self.bucket.bucket_arn, conditions={"StringLike": {"s3:prefix": listed}})
        allow_disk_key(role, self.key.key_arn)

    # --- Studio

    def _domain(self) -> sagemaker.CfnDomain:
        idle = sagemaker.CfnDomain.AppLifecycleManagementProperty(
            idle_settings=sagemaker.CfnDomain.IdleSettingsProperty(
                lifecycle_management="ENABLED",
                idle_timeout_in_minutes=self.settings.idle_minutes,
                # A person may choose less for herself, and not more.
                min_idle_timeout_in_minutes=60,
                max_idle_timeout_in_minutes=self.settings.idle_minutes,
            )
        )
        return sagemaker.CfnDomain(
            self,
            "Domain",
            domain_name=cdk.Aws.STACK_NAME,
            auth_mode="IAM",
            app_network_access_type="VpcOnly",
            vpc_id=self.network.value("VpcId"),
            subnet_ids=self.subnets,
            kms_key_id=self.key.key_arn,
            default_user_settings=sagemaker.CfnDomain.UserSettingsProperty(
                # Who has no profile of her own has the smaller role.
                execution_role=self.roles["Engineer"].role_arn,
                security_groups=[self.group],
                sharing_settings=sagemaker.CfnDomain.SharingSettingsProperty(notebook_output_option="Disabled"),
                jupyter_lab_app_settings=sagemaker.CfnDomain.JupyterLabAppSettingsProperty(
                    app_lifecycle_management=idle
                ),
                code_editor_app_settings=sagemaker.CfnDomain.CodeEditorAppSettingsProperty(
                    app_lifecycle_management=idle
                ),
            ),
            domain_settings=sagemaker.CfnDomain.DomainSettingsProperty(
                # So that CloudTrail tells which person it was, though several have one role.
                execution_role_identity_config="USER_PROFILE_NAME",
                docker_settings=sagemaker.CfnDomain.DockerSettingsProperty(enable_docker_access="DISABLED"),
            ),
        )

    def _profiles(self, persona: str, names: Sequence[str]) -> list[sagemaker.CfnUserProfile]:
        return [
            sagemaker.CfnUserProfile(
                self,
                f"{persona}{number}",
                domain_id=self.domain.attr_domain_id,
                user_profile_name=name,
                user_settings=sagemaker.CfnUserProfile.UserSettingsProperty(
                    execution_role=self.roles[persona].role_arn, security_groups=[self.group]
                ),
                tags=[cdk.CfnTag(key="persona", value=persona.lower())],
            )
            for number, name in enumerate(names, start=1)
        ]

    # --- the notebook instance

    def _notebook_role(self) -> iam.Role:
        """A scientist's folder, and one tag on the notebook itself, by which it says when it was last used."""
        role = service_role(self, "NotebookRole", "sagemaker.amazonaws.com", "What the notebook instance may do")
        self._allow_folders(role, PERSONAS[0])
        allow(
            role,
            ["sagemaker:AddTags"],
            own_arn(self, "sagemaker", f"notebook-instance/ml-{cdk.Aws.STACK_NAME}"),
            conditions={"ForAllValues:StringEquals": {"aws:TagKeys": [ACTIVITY_TAG]}, "Null": {"aws:TagKeys": "false"}},
        )
        return role

    def _notebook(self) -> sagemaker.CfnNotebookInstance:
        scripts = sagemaker.CfnNotebookInstanceLifecycleConfig(
            self,
            "Scripts",
            on_start=[
                sagemaker.CfnNotebookInstanceLifecycleConfig.NotebookInstanceLifecycleHookProperty(
                    content=base64.b64encode(start_script().encode()).decode()
                )
            ],
        )
        return sagemaker.CfnNotebookInstance(
            self,
            "Notebook",
            # The name that its role may tag, and under the prefix that `cost-guard` looks at.
            notebook_instance_name=f"ml-{cdk.Aws.STACK_NAME}",
            instance_type=self.settings.notebook_type,
            role_arn=self.notebook_role.role_arn,
            subnet_id=cdk.Fn.select(0, self.subnets),
            security_group_ids=[self.group],
            direct_internet_access="Disabled",
            root_access="Disabled",
            kms_key_id=self.key.key_arn,
            volume_size_in_gb=self.settings.volume_gb,
            lifecycle_config_name=scripts.attr_notebook_instance_lifecycle_config_name,
            # Each is an import: a network without one of them fails the deployment, and no report is lost in silence.
            tags=[
                cdk.CfnTag(
                    key=DOORS_TAG,
                    value=cdk.Fn.join(" ", [self.network.value(f"{door_name(door)}EndpointId") for door in DOORS]),
                )
            ],
            instance_metadata_service_configuration=(
                sagemaker.CfnNotebookInstance.InstanceMetadataServiceConfigurationProperty(
                    minimum_instance_metadata_service_version="2"
                )
            ),
        )

    def _outputs(self) -> None:
        for name, value in {
            "BucketName": self.bucket.bucket_name,
            "DomainId": self.domain.attr_domain_id,
            "NotebookName": self.notebook.attr_notebook_instance_name,
            **{f"{name}RoleArn": role.role_arn for name, role in self.roles.items()},
            "NotebookRoleArn": self.notebook_role.role_arn,
            "KeyArn": self.key.key_arn,
        }.items():
            cdk.CfnOutput(self, name, value=value)


def start_script() -> str:
    """What runs each time the notebook starts. Raises ValueError if SageMaker would not take it."""
    report = (_SCRIPTS / "report_activity.py").read_text(encoding="utf-8")
    made = (_SCRIPTS / "on_start.sh").read_text(encoding="utf-8").replace("@REPORT_ACTIVITY@", report.rstrip("\n"))
    if len(base64.b64encode(made.encode())) > _LONGEST_SCRIPT:
        raise ValueError(f"The script has more than {_LONGEST_SCRIPT} characters.")
    return made
