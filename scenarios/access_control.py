"""Signs people in to a deployed access-control stack, has each ask for what the matrix says, and notes the answers.

Only AWS APIs, so it works the same on every cloud. Every request is really made, by the person's own session: a job
that may be started is started, with an image that does not exist, so it ends at once; an endpoint that may be deployed
is deployed, answers, and is deleted. What a person must not do is asked for just as well. Where the matrix says so, a
policy that allows everything is attached to the person's role meanwhile.

Whoever runs it administers the account: it makes what belongs to nobody's job (a model's file, another project's role
and endpoint, two groups of models), and takes everything away again. Jobs stay in SageMaker's list, as on AWS.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

from scenarios.access_matrix import (
    CELLS,
    CHURN,
    CONFIGURATION,
    EVERYTHING,
    MODEL,
    PACKAGE,
    TRUST,
    Call,
    Cell,
    Person,
    changed,
    filled,
)
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
# The smallest model that a container of scikit-learn serves: it says what it was asked.
SCRIPT = """
def model_fn(folder):
    return None

def input_fn(data, content_type):
    return data

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction, accept
"""
# On AWS an endpoint takes minutes to come and to go.
LOOK_SECONDS, LONGEST_SECONDS = 0.5, 1_800.0
CHANGES_OF_ENDPOINTS = ("CreateEndpoint", "UpdateEndpoint", "DeleteEndpoint")


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
    that. Cells for a network are left out where the stack was deployed without one. Raises RuntimeError where an
    endpoint does not come into service.
    """
    with _Office(cloud, outputs, attached, cells) as office:
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
        "engineer boundary": boundary("Engineer"),
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
    """A network with one subnet, from which S3 can be reached alone: the subnet, its security group, and its end."""
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock=ADDRESSES)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=ADDRESSES)["Subnet"]["SubnetId"]
    named = {"GroupName": "jobs", "Description": "Jobs that nothing is to reach"}
    group = ec2.create_security_group(VpcId=vpc, **named)["GroupId"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    # A model comes from S3.
    way = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{cloud.region}.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[table["RouteTableId"] for table in tables],
    )["VpcEndpoint"]["VpcEndpointId"]

    def gone() -> None:
        ec2.delete_vpc_endpoints(VpcEndpointIds=[way])
        ec2.delete_security_group(GroupId=group)
        ec2.delete_subnet(SubnetId=subnet)
        ec2.delete_vpc(VpcId=vpc)

    return subnet, group, gone


def packed(script: str) -> bytes:
    """A model.tar.gz whose code is a script."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        item = tarfile.TarInfo("code/inference.py")
        item.size = len(script.encode())
        archive.addfile(item, io.BytesIO(script.encode()))
    return content.getvalue()


def settle(cloud: Cloud, endpoint: str) -> None:
    """Wait until nothing is under way with an endpoint. Raises RuntimeError where it is not in service then, or gone.

    Also where that takes more than half an hour.
    """
    sagemaker = cloud.client("sagemaker")
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        try:
            found = sagemaker.describe_endpoint(EndpointName=endpoint)
        except ClientError as error:
            if "Could not find endpoint" in str(error):
                return
            raise
        if found["EndpointStatus"] == "InService":
            return
        if found["EndpointStatus"] == "Failed":
            raise RuntimeError(f"The endpoint {endpoint} does not serve: {found.get('FailureReason', 'no reason')}")
        time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"The endpoint {endpoint} is not ready after {LONGEST_SECONDS / 60:.0f} minutes")


@dataclass
class _Office:
    """Those who sign in, and what must be there for their requests to mean anything."""

    cloud: Cloud
    outputs: Mapping[str, str]
    attached: str
    cells: Sequence[Cell]
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
        contents = {"data.csv": b"nothing of interest", "models/model.tar.gz": packed(SCRIPT), "work/notes.txt": b""}
        for key, content in contents.items():
            for project in ("fraud", "churn"):
                s3.put_object(Bucket=bucket, Key=f"{project}/{key}", Body=content)
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
        self._undo.callback(self._clear)
        if any(cell.tagged == "churn" and ":endpoint/" in cell.resource for cell in self.cells):
            self._serve_elsewhere()

    def _serve_elsewhere(self) -> None:
        """Another project's endpoint."""
        sagemaker, tags = self.cloud.client("sagemaker"), [{"Key": "project", "Value": "churn"}]
        variants = [{**CONFIGURATION["ProductionVariants"][0], "ModelName": CHURN}]
        data, role = "s3://<bucket>/churn/models/model.tar.gz", "<job role:churn/training>"
        model = changed(MODEL, ModelName=CHURN, ExecutionRoleArn=role, PrimaryContainer__ModelDataUrl=data, Tags=tags)
        configuration = changed(CONFIGURATION, EndpointConfigName=CHURN, ProductionVariants=variants, Tags=tags)
        sagemaker.create_model(**filled(model, self.words))
        sagemaker.create_endpoint_config(**filled(configuration, self.words))
        name = filled(CHURN, self.words)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=tags)
        settle(self.cloud, name)

    def _clear(self) -> None:
        """Whatever of this run still serves, or could."""
        sagemaker, mine = self.cloud.client("sagemaker"), {"NameContains": self.words["run"]}
        for one in sagemaker.list_endpoints(**mine)["Endpoints"]:
            with contextlib.suppress(RuntimeError):
                settle(self.cloud, one["EndpointName"])
            sagemaker.delete_endpoint(EndpointName=one["EndpointName"])
            settle(self.cloud, one["EndpointName"])
        for one in sagemaker.list_endpoint_configs(**mine)["EndpointConfigs"]:
            sagemaker.delete_endpoint_config(EndpointConfigName=one["EndpointConfigName"])
        for one in sagemaker.list_models(**mine)["Models"]:
            sagemaker.delete_model(ModelName=one["ModelName"])

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
        if call.operation in CHANGES_OF_ENDPOINTS:
            settle(self.cloud, filled(call.arguments["EndpointName"], self.words))
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
        """Somebody attaches everything to the person's role, for one request, or lends it some actions."""
        with contextlib.ExitStack() as taken_back:
            if cell.widened:
                self._attach(cell.person, self.attached, taken_back)
            if cell.lent:
                lent = {"Effect": "Allow", "Action": list(cell.lent), "Resource": "*"}
                self._attach(cell.person, json.dumps({"Version": "2012-10-17", "Statement": [lent]}), taken_back)
                self._raise_ceiling(self.words[f"{cell.person} boundary"], lent, taken_back)
            yield

    def _attach(self, person: Person, policy: str, taken_back: contextlib.ExitStack) -> None:
        iam, role = self.cloud.client("iam"), self.outputs[f"{ROLES[person]}RoleArn"].rpartition("/")[2]
        taken_back.callback(iam.delete_role_policy, RoleName=role, PolicyName=WIDE)
        iam.put_role_policy(RoleName=role, PolicyName=WIDE, PolicyDocument=policy)

    def _raise_ceiling(self, boundary: str, lent: Mapping[str, Any], taken_back: contextlib.ExitStack) -> None:
        iam = self.cloud.client("iam")
        now = iam.get_policy(PolicyArn=boundary)["Policy"]["DefaultVersionId"]
        body = iam.get_policy_version(PolicyArn=boundary, VersionId=now)["PolicyVersion"]["Document"]
        raised = json.dumps({**body, "Statement": [*body["Statement"], lent]})
        made = iam.create_policy_version(PolicyArn=boundary, PolicyDocument=raised, SetAsDefault=True)
        taken_back.callback(iam.delete_policy_version, PolicyArn=boundary, VersionId=made["PolicyVersion"]["VersionId"])
        taken_back.callback(iam.set_default_policy_version, PolicyArn=boundary, VersionId=now)
