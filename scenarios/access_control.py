"""Signs people in to a deployed access-control stack, has each ask for what the matrix says, and notes the answers.

Only AWS APIs, so it works the same on every cloud. Every request is really made, by the person's own session: a job
that may be started is started, with an image that does not exist, so nothing runs. What a person must not do is asked
for just as well. Where the matrix says so, a policy that allows everything is attached to the person's role meanwhile.

Whoever runs it administers the account: it makes what belongs to nobody's job (another project's role, two groups of
models), and takes everything away again.
"""

from __future__ import annotations

import base64
import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from scenarios.access_matrix import CELLS, EVERYTHING, PACKAGE, TRUST, Call, Cell, Person, changed, filled
from scenarios.cloud import Cloud

# Codes that say "not allowed", whatever else was wrong with the request.
REFUSALS = frozenset({"AccessDenied", "AccessDeniedException"})
ROLES: Mapping[Person, str] = {
    "scientist": "Scientist",
    "visitor": "Scientist",
    "engineer": "Engineer",
    "administrator": "Administrator",
    "auditor": "Auditor",
}
WIDE = "everything"
# A network that holds nothing, for a stack that was deployed for none: any will do there.
ADDRESSES = "10.77.0.0/24"


@dataclass(frozen=True)
class Answer:
    """What became of one request: allowed or refused, the error's code and its message (both "" if it went well)."""

    cell: Cell
    allowed: bool
    code: str = ""
    message: str = ""

    @property
    def right(self) -> bool:
        return self.allowed == self.cell.allowed


@dataclass(frozen=True)
class Report:
    """All answers, in the order in which they were asked for, and the cells for which no request was made."""

    answers: tuple[Answer, ...]
    not_asked: tuple[Cell, ...]

    @property
    def complete(self) -> bool:
        """Whether every answer is the matrix's."""
        return bool(self.answers) and all(answer.right for answer in self.answers)

    @property
    def wrong(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in self.answers if not answer.right)


def run(
    cloud: Cloud,
    outputs: Mapping[str, str],
    progress: Callable[[str], None] = lambda _: None,
    *,
    cells: Sequence[Cell] = CELLS,
    attached: str = EVERYTHING,
    watch: Callable[[Cell, Mapping[str, str]], None] = lambda _cell, _words: None,
) -> Report:
    """Asks for every cell of the matrix that can be asked for.

    `outputs` are the stack's. `progress` hears of each request before it is made; `watch` gets each cell and the words
    that were filled in, after it was. `attached` is the policy that somebody attaches to a role, where a cell is about
    that. Cells for a network are left out where the stack was deployed without one.
    """
    with _Office(cloud, outputs, attached) as office:
        asked = [cell for cell in cells if cell.call is not None and not (cell.chosen_network and not office.network)]
        answers = []
        for cell in asked:
            progress(cell.name)
            answers.append(office.ask(cell))
            watch(cell, office.words)
    return Report(tuple(answers), tuple(cell for cell in cells if cell not in asked))


def words_of(cloud: Cloud, outputs: Mapping[str, str], run: str) -> dict[str, str]:
    """What the words of the matrix stand for in a deployed stack. `run` is a word of the run's own."""
    iam = cloud.client("iam")
    sealed: bytes = cloud.client("kms").encrypt(KeyId=outputs["KeyArn"], Plaintext=b"nothing")["CiphertextBlob"]
    account, path = outputs["KeyArn"].split(":")[4], outputs["JobRolePath"]
    job = f"arn:aws:iam::{account}:role{path}"

    def boundary(name: str) -> str:
        role = iam.get_role(RoleName=outputs[f"{name}RoleArn"].rpartition("/")[2])["Role"]
        return str(role["PermissionsBoundary"]["PermissionsBoundaryArn"])

    return {
        "account": account,
        "administrator boundary": boundary("Administrator"),
        "boundary": outputs["JobBoundaryArn"],
        "bucket": outputs["BucketName"],
        "group": outputs.get("SecurityGroups", "").split(",")[0],
        "job role:churn/training": f"{job}churn/training/churn-train-{run}",
        "job role:fraud/hosting": f"{job}fraud/hosting/host-{run}",
        "job role:fraud/training": f"{job}fraud/training/train-{run}",
        "key": outputs["KeyArn"],
        "path": path,
        "region": cloud.region,
        "run": run,
        "sealed": base64.b64encode(sealed).decode(),
        "scientist": outputs["ScientistRoleArn"],
        "scientist boundary": boundary("Scientist"),
        "scientist name": outputs["ScientistRoleArn"].rpartition("/")[2],
        "stack": path.split("/")[1],
        "subnet": outputs.get("Subnets", "").split(",")[0],
    }


def make_network(cloud: Cloud) -> tuple[str, str, Callable[[], None]]:
    """A network with one subnet, from which nothing can be reached: the subnet, its security group, and its end."""
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock=ADDRESSES)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=ADDRESSES)["Subnet"]["SubnetId"]
    named = {"GroupName": "jobs", "Description": "Jobs that nothing is to reach"}
    group = ec2.create_security_group(VpcId=vpc, **named)["GroupId"]

    def gone() -> None:
        ec2.delete_security_group(GroupId=group)
        ec2.delete_subnet(SubnetId=subnet)
        ec2.delete_vpc(VpcId=vpc)

    return subnet, group, gone


@dataclass
class _Office:
    """Those who sign in, and what must be there for their requests to mean anything."""

    cloud: Cloud
    outputs: Mapping[str, str]
    attached: str
    words: dict[str, str] = field(default_factory=dict)
    _sessions: dict[tuple[Person, str], Mapping[str, str]] = field(default_factory=dict)
    _undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def network(self) -> bool:
        return "Subnets" in self.outputs

    def __enter__(self) -> _Office:
        self.words = words_of(self.cloud, self.outputs, uuid.uuid4().hex[:8])
        try:
            self._prepare()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _prepare(self) -> None:
        s3, sagemaker, bucket = self.cloud.client("s3"), self.cloud.client("sagemaker"), self.words["bucket"]
        for key in ("data.csv", "models/model.tar.gz", "work/notes.txt"):
            for project in ("fraud", "churn"):
                s3.put_object(Bucket=bucket, Key=f"{project}/{key}", Body=b"nothing of interest")
        elsewhere = f"elsewhere-{self.words['run']}"
        s3.create_bucket(Bucket=elsewhere)
        self._undo.callback(s3.delete_bucket, Bucket=elsewhere)
        s3.put_object(Bucket=elsewhere, Key="secret", Body=b"nothing of interest")
        self._undo.callback(s3.delete_object, Bucket=elsewhere, Key="secret")
        if not self.network:
            self.words["subnet"], self.words["group"], gone = make_network(self.cloud)
            self._undo.callback(gone)
        for name, role, limits in (
            ("churn-train", "churn/training", {"PermissionsBoundary": self.words["boundary"]}),
            ("old", "fraud/training", {}),
        ):
            self._role(f"{name}-{self.words['run']}", f"{self.words['path']}{role}/", limits)
        for project in ("fraud", "churn"):
            group = f"{project}-{self.words['run']}"
            tags = [{"Key": "project", "Value": project}]
            sagemaker.create_model_package_group(ModelPackageGroupName=group, Tags=tags)
            self._undo.callback(self._forget_group, group)
        churn = changed(PACKAGE, ModelPackageGroupName="churn-<run>")
        sagemaker.create_model_package(**filled(churn, self.words))

    def _role(self, name: str, path: str, limits: Mapping[str, str]) -> None:
        trust = filled(TRUST, self.words)
        self.cloud.client("iam").create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=trust, **limits)
        self._undo.callback(self.cloud.client("iam").delete_role, RoleName=name)
        # Limited by its boundary, where it has one.
        iam = self.cloud.client("iam")
        iam.put_role_policy(RoleName=name, PolicyName=WIDE, PolicyDocument=EVERYTHING)
        self._undo.callback(iam.delete_role_policy, RoleName=name, PolicyName=WIDE)

    def _forget_group(self, group: str) -> None:
        sagemaker = self.cloud.client("sagemaker")
        for package in sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]:
            sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)

    # --- Who asks

    def ask(self, cell: Cell) -> Answer:
        """Makes the request of a cell as its person."""
        assert cell.call is not None
        session = self._session(cell.person, cell.project)
        call: Call = cell.call
        client = self._client(call.service, session)
        with self._widened(cell):
            try:
                getattr(client, xform_name(call.operation))(**filled(call.arguments, self.words))
            except ClientError as error:
                code = str(error.response["Error"]["Code"])
                return Answer(cell, code not in REFUSALS, code, str(error.response["Error"]["Message"]))
        return Answer(cell, allowed=True)

    def _session(self, person: Person, project: str) -> Mapping[str, str]:
        if (person, project) not in self._sessions:
            self._sessions[person, project] = self._signed_in(person, project)
        return self._sessions[person, project]

    def _signed_in(self, person: Person, project: str) -> Mapping[str, str]:
        if person in ("broker", "job"):
            role = self.outputs["BrokerRoleArn"] if person == "broker" else self.words["job role:fraud/training"]
            return self._assumed(self.cloud.client("sts"), role, person)
        visit = {"PolicyArns": [{"arn": self.outputs["VisitorSessionArn"]}]} if person == "visitor" else {}
        broker = self._client("sts", self._session("broker", ""))
        tags = [{"Key": "project", "Value": project}]
        return self._assumed(broker, self.outputs[f"{ROLES[person]}RoleArn"], person, Tags=tags, **visit)

    @staticmethod
    def _assumed(sts: Any, role: str, name: str, **more: Any) -> Mapping[str, str]:
        found: Mapping[str, str] = sts.assume_role(RoleArn=role, RoleSessionName=name, **more)["Credentials"]
        return found

    def _client(self, service: str, session: Mapping[str, str]) -> Any:
        own = self.cloud.client(service)
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=own.meta.endpoint_url,
            region_name=self.cloud.region,
            aws_access_key_id=session["AccessKeyId"],
            aws_secret_access_key=session["SecretAccessKey"],
            aws_session_token=session["SessionToken"],
            verify=str(self.cloud.ca_bundle) if self.cloud.ca_bundle else None,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    @contextlib.contextmanager
    def _widened(self, cell: Cell) -> Iterator[None]:
        """Somebody attaches everything to the person's role, for one request."""
        if not cell.widened:
            yield
            return
        role = self.outputs[f"{ROLES[cell.person]}RoleArn"].rpartition("/")[2]
        iam = self.cloud.client("iam")
        iam.put_role_policy(RoleName=role, PolicyName=WIDE, PolicyDocument=self.attached)
        try:
            yield
        finally:
            iam.delete_role_policy(RoleName=role, PolicyName=WIDE)
