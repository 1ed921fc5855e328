"""What the tests of private-network do to the deployed stack: each change is undone when its block ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from local.cloud import LocalCloud
from local.demos.private_network import FOREIGN_BUCKET, make_foreign_bucket
from scenarios.private_network import Called, Where, prove

ARCHITECTURE = "private-network"
# Enough doors for whatever the tests place in the network.
DOORS = (
    "comprehend",
    "rekognition",
    "sagemaker.api",
    "sagemaker.runtime",
    "secretsmanager",
    "sns",
    "states",
    "textract",
)
SETTINGS: Mapping[str, Any] = {"endpoints": list(DOORS), "foreign_bucket": FOREIGN_BUCKET}
LETTER = "Ada Lovelace wrote to Charles Babbage from London. She was delighted."

Document = dict[str, Any]


class Warden:
    """Asks the two functions, and opens or closes what keeps them apart."""

    def __init__(self, cloud: LocalCloud, outputs: Mapping[str, str]) -> None:
        self.cloud = cloud
        self.outputs = outputs
        self.ec2 = cloud.client("ec2")
        self.s3 = cloud.client("s3")
        self.iam = cloud.client("iam")
        make_foreign_bucket(cloud)

    def ask(self, where: Where, call: str) -> Called:
        """What became of one call on one side."""
        (answer,) = prove(self.cloud, self.outputs, where, LETTER, calls=[call])
        return answer

    def endpoint(self, door: str) -> str:
        """The id of a door's endpoint."""
        return self.outputs[f"{door}EndpointId"]

    def described(self, door: str) -> dict[str, Any]:
        """A door's endpoint as EC2 tells of it."""
        (found,) = self.ec2.describe_vpc_endpoints(VpcEndpointIds=[self.endpoint(door)])["VpcEndpoints"]
        return dict(found)

    @contextmanager
    def policy(self, door: str, change: Callable[[Document], None]) -> Iterator[None]:
        """An endpoint whose policy's one statement is changed."""
        before = self.described(door)["PolicyDocument"]
        document = json.loads(before)
        (statement,) = document["Statement"]
        change(statement)
        self._modify(door, PolicyDocument=json.dumps(document))
        try:
            yield
        finally:
            self._modify(door, PolicyDocument=before)

    @contextmanager
    def without_rule(self, door: str) -> Iterator[None]:
        """An endpoint whose security group lets nobody in."""
        (group,) = (one["GroupId"] for one in self.described(door)["Groups"])
        (found,) = self.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
        rules = found["IpPermissions"]
        of_group = self.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        ids = [one["SecurityGroupRuleId"] for one in of_group["SecurityGroupRules"] if not one["IsEgress"]]
        assert rules
        assert ids
        self.ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=ids)
        try:
            yield
        finally:
            self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=rules)

    @contextmanager
    def without_private_dns(self, door: str) -> Iterator[None]:
        """An endpoint that does not answer to the service's own name."""
        self._modify(door, PrivateDnsEnabled=False)
        try:
            yield
        finally:
            self._modify(door, PrivateDnsEnabled=True)

    @contextmanager
    def without_route(self, gate: str) -> Iterator[None]:
        """A gateway that no route leads to."""
        tables = self.described(gate)["RouteTableIds"]
        self._modify(gate, RemoveRouteTableIds=tables)
        try:
            yield
        finally:
            self._modify(gate, AddRouteTableIds=tables)

    @contextmanager
    def bucket_policy(self, change: Callable[[list[Document]], Sequence[Document]]) -> Iterator[None]:
        """A bucket with other statements."""
        bucket = self.outputs["BucketName"]
        before = self.s3.get_bucket_policy(Bucket=bucket)["Policy"]
        document = json.loads(before)
        document["Statement"] = list(change(document["Statement"]))
        self.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
        try:
            yield
        finally:
            self.s3.put_bucket_policy(Bucket=bucket, Policy=before)

    @contextmanager
    def without_grant(self, where: Where, action: str) -> Iterator[None]:
        """A function whose role may not do this."""
        role = self.outputs["InsideRoleName" if where == "inside" else "OutsideRoleName"]
        statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.iam.put_role_policy(RoleName=role, PolicyName="TakenAway", PolicyDocument=document)
        try:
            yield
        finally:
            self.iam.delete_role_policy(RoleName=role, PolicyName="TakenAway")

    def decisions(self, since: int) -> list[dict[str, Any]]:
        """What was decided after `since`."""
        return self.cloud.control.decisions(since=since)

    def now(self) -> int:
        """The latest decision's number."""
        return self.cloud.control.last_decision()

    def _modify(self, door: str, **change: Any) -> None:
        self.ec2.modify_vpc_endpoint(VpcEndpointId=self.endpoint(door), **change)


def wait_for(found: Callable[[], Any], seconds: float = 20) -> Any:
    """What is found, once it is. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.1)
    raise TimeoutError(f"Nothing was found within {seconds} s")
