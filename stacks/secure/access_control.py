"""Give each role what it needs: who signs in gets a role and a project; policy, boundary and session say the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct
from pydantic import BaseModel, ConfigDict, Field

from stacks.blocks.buckets import old_versions_go, private_bucket
from stacks.blocks.keys import own_key
from stacks.blocks.python_function import Target
from stacks.secure import people

Project = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{1,15}$")]
Machine = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]
Subnet = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$")]
SecurityGroup = Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]


class AccessControlSettings(BaseModel):
    """What may be chosen at deployment, with its bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    projects: tuple[Project, ...] = Field(
        default=("fraud", "churn"), min_length=1, max_length=5, description="whose people and things are kept apart"
    )
    training_machines: tuple[Machine, ...] = Field(
        default=("ml.m5.large", "ml.m5.xlarge", "ml.c5.xlarge"),
        min_length=1,
        max_length=10,
        description="instance types that jobs may ask for",
    )
    # Types with disks of their own take no key for them (Amazon SageMaker API Reference, "CreateEndpointConfig",
    # KmsKeyId), so that a configuration with one would fail.
    hosting_machines: tuple[Machine, ...] = Field(
        default=("ml.m5.large", "ml.c5.large"),
        min_length=1,
        max_length=10,
        description="instance types that endpoints may ask for",
    )
    subnets: tuple[Subnet, ...] = Field(
        default=(), max_length=16, description="where jobs and models must run; none: in any network of the account"
    )
    security_groups: tuple[SecurityGroup, ...] = Field(
        default=(), max_length=5, description="which they must have; none: any"
    )
    longest_hours: int = Field(default=24, ge=1, le=120, description="that a job may ask for")
    session_hours: int = Field(default=4, ge=1, le=12, description="after which people sign in anew")
    saml_provider_arn: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:iam::\d{12}:saml-provider/[\w.+=,@-]+$",
        description="an identity provider of the account, which then signs people in beside the broker",
    )


class AccessControl(cdk.Stack):
    """A bank's teams work on models. Nobody may do everything, and what somebody may is tested call by call.

    **Flow.** Somebody signs in to the company's broker → the broker takes on the role of the person's job, with the
    tag `project` and, for visitors, a session policy → each request is held against four documents: the role's policy,
    which grants what begins with the project's name; its boundary, which denies what the job never includes; the
    session's policy; and the policy of the bucket or the key. Scientists train, engineers deploy, administrators make
    the roles that jobs act as, auditors look. No one is two of these.

    **What if.** Somebody attaches `*` to a role: the boundary still denies. An administrator makes a role for a job:
    only under its path, and only with the jobs' boundary. A scientist passes a role on: only one made for training in
    the own project, and only to SageMaker. A job is asked for without network, key or tag: refused, before anything
    runs. The tag `project` is changed later: refused.

    **Cost** (us-east-1, without free tier; "AWS KMS pricing", read 2026-11-27). Idle 1.00 dollar a month, the key; its
    yearly new material adds 1.00, the first two times. IAM and STS cost nothing: a thousand sign-ins are
    free.
    """

    Settings: ClassVar[type[AccessControlSettings]] = AccessControlSettings

    def __init__(
        self, scope: Construct, construct_id: str, *, settings: AccessControlSettings, target: Target, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        self.settings = settings

        self.key = own_key(self, "Key", description="Encrypts the projects' data, disks and models of one stack")
        self.bucket = private_bucket(
            self, "Data", lifecycle_rules=[old_versions_go()], target=target, encryption_key=self.key
        )
        self.places = self._places()
        self.broker = self._broker()
        self.job_boundary = self._policy(
            "JobBoundary",
            people.job_limits(self.places),
            description="Limits the roles of jobs and endpoints that administrators make; grants nothing",
        )
        limits = people.administrator_limits(self.places, self.job_boundary.managed_policy_arn)
        self.roles = {
            "Scientist": self._person("Scientist", people.scientist, people.scientist_limits(self.places)),
            "Engineer": self._person("Engineer", people.engineer, people.engineer_limits(self.places)),
            "Administrator": self._person("Administrator", people.administrator, limits),
            "Auditor": self._person("Auditor", people.auditor, people.auditor_limits(self.places)),
        }
        self.visit = self._policy("VisitorSession", people.visitor(self.places))
        self._outputs()

    def _places(self) -> people.Places:
        return people.Places(
            bucket=self.bucket.bucket_arn,
            key=self.key.key_arn,
            people=self._iam_arn(f"role/{cdk.Aws.STACK_NAME}/people/*"),
            job_roles=self._iam_arn(f"role/{cdk.Aws.STACK_NAME}/jobs"),
            policies=self._iam_arn(f"policy/{cdk.Aws.STACK_NAME}-*"),
            sagemaker=f"arn:{cdk.Aws.PARTITION}:sagemaker:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}",
            s3_service=f"s3.{cdk.Aws.REGION}.amazonaws.com",
            training_machines=self.settings.training_machines,
            hosting_machines=self.settings.hosting_machines,
            subnets=self.settings.subnets,
            security_groups=self.settings.security_groups,
            longest_seconds=self.settings.longest_hours * 3600,
        )

    def _iam_arn(self, resource: str) -> str:
        return f"arn:{cdk.Aws.PARTITION}:iam::{cdk.Aws.ACCOUNT_ID}:{resource}"

    def _broker(self) -> iam.Role:
        """What the company's sign-in acts as; the account decides who may take it on."""
        broker = iam.Role(
            self,
            "Broker",
            description="Signs people in: takes on the role of their job, with their project",
            assumed_by=iam.AccountRootPrincipal(),
            path=f"/{cdk.Aws.STACK_NAME}/broker/",
        )
        broker.add_to_policy(
            iam.PolicyStatement(
                sid="SignIn", actions=["sts:AssumeRole", "sts:TagSession"], resources=[self.places.people]
            )
        )
        return broker

    def _person(self, name: str, grants: Any, limits: Sequence[people.Statement]) -> iam.Role:
        """A role that people have: the broker takes it on for them, with one of the projects."""
        return iam.Role(
            self,
            name,
            path=f"/{cdk.Aws.STACK_NAME}/people/",
            max_session_duration=cdk.Duration.hours(self.settings.session_hours),
            assumed_by=self._sign_in(),
            managed_policies=[self._policy(f"{name}Policy", grants(self.places))],
            permissions_boundary=self._policy(f"{name}Boundary", limits),
        )

    def _sign_in(self) -> iam.IPrincipal:
        in_a_project = {"aws:RequestTag/project": list(self.settings.projects)}
        # The account as principal hands the decision to the broker's own policy too; the condition says that it is the
        # broker and nobody else.
        broker: iam.IPrincipal = iam.SessionTagsPrincipal(
            iam.AccountRootPrincipal().with_conditions(
                {"ArnEquals": {"aws:PrincipalArn": self.broker.role_arn}, "StringEquals": in_a_project}
            )
        )
        if not self.settings.saml_provider_arn:
            return broker
        provider = iam.FederatedPrincipal(
            self.settings.saml_provider_arn,
            {"StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml", **in_a_project}},
            "sts:AssumeRoleWithSAML",
        )
        return iam.CompositePrincipal(broker, iam.SessionTagsPrincipal(provider))

    def _policy(
        self, name: str, statements: Sequence[people.Statement], *, description: str | None = None
    ) -> iam.ManagedPolicy:
        document = iam.PolicyDocument.from_json(people.document(statements))
        return iam.ManagedPolicy(self, name, document=document, description=description)

    def _outputs(self) -> None:
        for name, value in {
            "BucketName": self.bucket.bucket_name,
            "KeyArn": self.key.key_arn,
            "BrokerRoleArn": self.broker.role_arn,
            **{f"{name}RoleArn": role.role_arn for name, role in self.roles.items()},
            "JobBoundaryArn": self.job_boundary.managed_policy_arn,
            "VisitorSessionArn": self.visit.managed_policy_arn,
            "JobRolePath": f"/{cdk.Aws.STACK_NAME}/jobs/",
            "Projects": ",".join(self.settings.projects),
            **({"Subnets": ",".join(self.settings.subnets)} if self.settings.subnets else {}),
            **({"SecurityGroups": ",".join(self.settings.security_groups)} if self.settings.security_groups else {}),
        }.items():
            cdk.CfnOutput(self, name, value=value)
