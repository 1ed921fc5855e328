"""What each role of a deployed architecture may do, beside what it did.

The local cloud records every authorisation decision at the moment it takes it: who asked, for which action, on which
resource, and what the answer was. This module reads what the deployed stack grants (the policies of its roles, and
the policies on its queues, topics, buckets and keys that let somebody in) and sets the two side by side. It asks only
AWS APIs about the grants, so they are those that were deployed and not those that somebody meant to deploy.

The unit is one action on one resource pattern, for one principal:

* *missing*: it was wanted and refused;
* *used*: it was wanted and this grant allowed it;
* *unused*: nothing wanted it;
* *not checkable here*: the local cloud does not take this decision, so it cannot say.

A wildcard in an action counts as used for the actions that matched and as unused for the rest. A wildcard in a
resource counts as used, and the narrowest pattern that would have done is given beside it. Where two grants allow the
same thing the narrower one is credited, so that a broad grant beside a narrow one shows up as unused.
"""

from __future__ import annotations

import enum
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from stacks.policy.grants import MOST_PER_ROLE, UNUSED_GRANTS, UnusedGrant, faults, is_named
from stacks.policy.wildcards import WITHOUT_RESOURCE

if TYPE_CHECKING:
    from rich.console import Console

WILDCARD = re.compile(r"[*?]")
VARIABLE = re.compile(r"\$\{[^}]*\}")
SEPARATOR = re.compile(r"[:/]")
PART = re.compile(r"[^:/]+")
CUSTOM = ("Custom::", "AWS::CloudFormation::CustomResource")


class Cloud(Protocol):
    """As much of a cloud as is needed to read what a stack grants."""

    def client(self, service: str, **config: Any) -> Any: ...


class Status(str, enum.Enum):
    MISSING = "missing"
    USED = "used"
    UNUSED = "unused"
    NOT_CHECKABLE = "not checkable here"


# What happens in a stack that nobody uses: its queue is polled, its custom resource ran, its alarms found their state.
IDLE_PATHS = ("queue-poller", "log-delivery", "tracing", "alarm-to-topic")


@dataclass(frozen=True)
class NotCheckable:
    """Decisions that cannot be seen. Principal (name or logical id) and action are patterns."""

    principal: str
    action: str
    reason: str

    def covers(self, principal: str, display: str, action: str) -> bool:
        named = matches(self.principal, principal) or matches(self.principal, display)
        return named and matches(self.action, action, any_case=True)


# The action that stands for all of a managed policy that this cloud does not have.
TEXT_UNKNOWN = "aws-managed:"

# Evidence wins: a grant that was seen to be used is reported as used, whatever stands here.
NOT_CHECKABLE: tuple[NotCheckable, ...] = (
    NotCheckable("*", f"{TEXT_UNKNOWN}*", "a policy of AWS's own, whose text this cloud does not have"),
    *(
        NotCheckable("config.amazonaws.com", action, "AWS Config records and delivers nothing here")
        for action in ("s3:*", "kms:*")
    ),
    NotCheckable(
        "account",
        "*",
        "hands the decision to the account's own IAM policies; those of the stack's roles are listed one by one",
    ),
    NotCheckable(
        "delivery.logs.amazonaws.com",
        "kms:*",
        "the local cloud delivers the log of a state machine without asking its key",
    ),
    NotCheckable(
        "logs.*.amazonaws.com",
        "kms:*",
        "the local cloud keeps log groups without asking their key",
    ),
    NotCheckable(
        "*",
        "ecr:*",
        "no image is pulled here: a program of this machine plays it",
    ),
    NotCheckable(
        "*",
        "kms:CreateGrant",
        "instances have no disks of their own here, for which EC2 would get a grant on the key",
    ),
    NotCheckable(
        "*",
        "logs:DescribeLogStreams",
        "SageMaker's own agent asks for streams before it writes; here the lines are written at once",
    ),
    NotCheckable(
        "FlowLogRole*",
        "logs:*",
        "no packet flows in the local cloud's networks, so there is nothing that a flow log could tell",
    ),
    *(
        NotCheckable("*", f"ec2:{action}", "no interface is made here for what works in a network")
        for action in (
            "AssignPrivateIpAddresses",
            "UnassignPrivateIpAddresses",
            "CreateNetworkInterface",
            "CreateNetworkInterfacePermission",
            "DeleteNetworkInterface",
            "DeleteNetworkInterfacePermission",
            "DescribeDhcpOptions",
            "DescribeNetworkInterfaces",
            "DescribeSecurityGroups",
            "DescribeSubnets",
            "DescribeVpcs",
        )
    ),
)

# What the role of stacks/blocks/emptied_bucket.py is for happens at the very end.
WHILE_THE_STACK_STANDS: tuple[NotCheckable, ...] = (
    NotCheckable("Emptied*", "s3:*", "used when the stack is destroyed, to empty its bucket"),
)


@dataclass(frozen=True)
class Grant:
    """One action pattern on one resource pattern that a policy of the stack allows to one principal."""

    principal: str
    action: str
    resource: str
    policy: str
    sid: str = ""
    condition: str = ""
    by_exclusion: bool = False

    def allows(self, action: str, resource: str) -> bool:
        return (
            not self.by_exclusion and matches(self.action, action, any_case=True) and matches(self.resource, resource)
        )

    @property
    def breadth(self) -> tuple[int, int, int, int]:
        """Sort key: the narrower of two grants comes first."""
        return (
            len(WILDCARD.findall(self.action)),
            -len(self.action),
            len(WILDCARD.findall(self.resource)),
            -len(self.resource),
        )


@dataclass(frozen=True)
class Granted:
    """Everything that a deployed stack grants, and the names by which its resources are known."""

    stack: str
    roles: Mapping[str, str]
    names: Mapping[str, str]
    grants: tuple[Grant, ...]

    def logical_id(self, arn: str) -> str:
        """Logical id of the stack's resource that an ARN names, "" where it names none."""
        return self.split(arn)[0]

    def split(self, arn: str) -> tuple[str, str]:
        """Logical id of the stack's resource that an ARN names, and what follows its name; "" where it names none."""
        for part in PART.finditer(arn):
            if part[0] in self.names:
                return self.names[part[0]], arn[part.end() :]
        return "", ""

    def display(self, principal: str) -> str:
        return self.roles.get(principal, principal)

    def short(self, resource: str) -> str:
        """An ARN with its resource's logical id for the physical name, for a reader."""
        logical, rest = self.split(resource)
        return f"{{{logical}}}{rest}" if logical else resource


@dataclass(frozen=True)
class Unit:
    """One line of the report."""

    principal: str
    role: str
    action: str
    resource: str
    status: Status
    policy: str = ""
    condition: str = ""
    times: int = 0
    matched: tuple[str, ...] = ()
    tighter: str = ""
    reason: str = ""
    acknowledged: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "principal": self.principal,
            "role": self.role,
            "action": self.action,
            "resource": self.resource,
            "status": self.status.value,
            "policy": self.policy,
            "condition": json.loads(self.condition) if self.condition else None,
            "times": self.times,
            "matched": list(self.matched),
            "tighter": self.tighter or None,
            "reason": self.reason or None,
            "acknowledged": self.acknowledged,
        }


@dataclass(frozen=True)
class PermissionReport:
    """All units of one stack, and what is wrong with them: nothing to mend if `problems` is empty.

    `exercised` tells whether anybody has used the stack: of one that lies idle nothing can be said.
    """

    stack: str
    exercised: bool
    units: tuple[Unit, ...]
    problems: tuple[str, ...]
    short: Callable[[str], str] = field(default=lambda resource: resource, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        return self.exercised and not self.problems

    def count(self, status: Status) -> int:
        return sum(unit.status is status for unit in self.units)

    def to_json(self) -> dict[str, Any]:
        return {
            "stack": self.stack,
            "exercised": self.exercised,
            "ok": self.ok,
            "summary": {status.value: self.count(status) for status in Status},
            "units": [unit.to_json() for unit in self.units],
            "problems": list(self.problems),
        }


def report(
    cloud: Cloud,
    stack_name: str,
    decisions: Iterable[Mapping[str, Any]],
    *,
    architecture: str | None = None,
    acknowledged: Sequence[UnusedGrant] = UNUSED_GRANTS,
) -> PermissionReport:
    """Compare what a running stack grants with the decisions that a scenario left behind.

    `decisions` are those of the window of interest (`Control.decisions(since=...)`): a refusal that a test provoked
    on purpose belongs outside. `architecture` is the catalogue's id where the stack was deployed under another name.
    Grants that matter only when the stack is destroyed are not checkable yet, and what is acknowledged as unused may
    have been used: the stack may have seen more than its scenario. For the whole life of a stack take `granted` before
    it is destroyed, and `compare` after.
    Raises botocore's ClientError where the stack does not exist.
    """
    return compare(
        granted(cloud, stack_name),
        decisions,
        architecture=architecture,
        acknowledged=acknowledged,
        not_checkable=NOT_CHECKABLE + WHILE_THE_STACK_STANDS,
        whole_life=False,
    )


def granted(cloud: Cloud, stack_name: str) -> Granted:
    """Read what a running stack grants, through AWS APIs only. Raises botocore's ClientError where there is none."""
    pages = cloud.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack_name)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    physical = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources if r.get("PhysicalResourceId")}
    roles = {physical[r["LogicalResourceId"]]: r["LogicalResourceId"] for r in resources if _is(r, "AWS::IAM::Role")}
    grants = [grant for role in roles for grant in _role_grants(cloud, role)]
    for resource in resources:
        read = RESOURCE_POLICIES.get(resource["ResourceType"])
        if read and resource["LogicalResourceId"] in physical:
            grants += read(cloud, physical[resource["LogicalResourceId"]], resource["LogicalResourceId"])
    return Granted(
        stack=stack_name,
        roles=roles,
        names={
            SEPARATOR.split(physical[r["LogicalResourceId"]])[-1]: r["LogicalResourceId"]
            for r in resources
            # A custom resource may go by the name of what it works on.
            if r["LogicalResourceId"] in physical and not r["ResourceType"].startswith(CUSTOM)
        },
        grants=tuple(dict.fromkeys(grants)),
    )


def compare(
    granted: Granted,
    decisions: Iterable[Mapping[str, Any]],
    *,
    architecture: str | None = None,
    acknowledged: Sequence[UnusedGrant] = UNUSED_GRANTS,
    not_checkable: Sequence[NotCheckable] = NOT_CHECKABLE,
    whole_life: bool = True,
) -> PermissionReport:
    """Set grants and recorded decisions side by side. Pure: asks no cloud.

    What a VPC endpoint's policy or a missing way refused is left out: no grant of a role mends it.
    `whole_life` says that the decisions are those of one scenario from deployment to destruction, nothing else: then an
    acknowledgement of a grant that was used is stale.
    """
    concerned = [d for d in decisions if d.get("via") != "network" and _concerns(granted, d)]
    used: dict[Grant, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    refused: dict[tuple[str, str, str], int] = defaultdict(int)
    reasons: dict[tuple[str, str, str], str] = {}
    for decision in concerned:
        who, action, resource = _principal(decision), decision["action"], decision["resource"]
        if not decision["allowed"]:
            refused[who, action, resource] += decision.get("count", 1)
            reasons[who, action, resource] = _refusal(decision)
        elif (grant := _credited(granted.grants, decision)) is not None:
            used[grant][action][resource] += decision.get("count", 1)

    units = [
        Unit(who, granted.display(who), action, resource, Status.MISSING, times=times, reason=reasons[key])
        for key, times in sorted(refused.items())
        for who, action, resource in [key]
    ]
    own = [entry for entry in acknowledged if entry.architecture == (architecture or granted.stack)]
    answered: dict[UnusedGrant, set[tuple[str, str]]] = defaultdict(set)
    for place, unit in enumerate(units):
        entry = next((e for e in own if e.refused and _names(granted, e, unit)), None)
        if entry is not None:
            units[place] = replace(unit, acknowledged=True, reason=f"{unit.reason}; {entry.reason}")
    for grant in granted.grants:
        for unit in _units(granted, grant, used.get(grant, {}), not_checkable):
            entry = next((e for e in own if unit.status is Status.UNUSED and _names(granted, e, unit)), None)
            if entry is not None:
                answered[entry].add((unit.principal, unit.resource))
            units.append(replace(unit, acknowledged=True, reason=entry.reason) if entry else unit)
    if not whole_life:
        held = [unit for unit in units if unit.status is not Status.MISSING]
        for entry in own:
            answered[entry] |= {(unit.principal, unit.resource) for unit in held if _names(granted, entry, unit)}

    seen = [unit for unit in units if unit.status is Status.MISSING]
    accepted = [e for e in own if e.refused and whole_life and not any(_names(granted, e, unit) for unit in seen)]
    return PermissionReport(
        stack=granted.stack,
        exercised=any(decision.get("path") not in IDLE_PATHS for decision in concerned),
        units=tuple(units),
        problems=(
            *_problems(granted, units, own, answered),
            *(f"{entry}: acknowledged as refused, but nothing refused it" for entry in accepted),
        ),
        short=granted.short,
    )


def render(report: PermissionReport, console: Console) -> None:
    """Print a report for people: a table a principal, then what is to be mended."""
    from rich.markup import escape
    from rich.table import Table

    style = {Status.MISSING: "bold red", Status.USED: "green", Status.UNUSED: "yellow", Status.NOT_CHECKABLE: "dim"}
    by_role: dict[str, list[Unit]] = defaultdict(list)
    for unit in report.units:
        by_role[unit.role].append(unit)
    for role, units in by_role.items():
        table = Table(title=escape(role), title_justify="left", title_style="bold", expand=False)
        for heading in ("status", "action", "resource", "uses", "remarks"):
            table.add_column(heading, overflow="fold", justify="right" if heading == "uses" else "left")
        for unit in units:
            remarks = [
                f"if {_in_words(unit.condition, report.short)}" if unit.condition else "",
                f"enough: {report.short(unit.tighter)}" if unit.tighter else "",
                f"{'acknowledged: ' if unit.acknowledged else ''}{unit.reason}" if unit.reason else "",
            ]
            table.add_row(
                f"[{style[unit.status]}]{unit.status.value}[/]",
                escape(unit.action),
                escape(report.short(unit.resource)),
                str(unit.times or ""),
                escape("\n".join(filter(None, remarks))),
            )
        console.print(table)
    counts = ", ".join(f"{report.count(status)} {status.value}" for status in Status)
    console.print(f"{escape(report.stack)}: {counts}")
    if not report.exercised:
        console.print("Nobody has used this stack since it was deployed: run its demo, then look again.")
        return
    for problem in report.problems:
        console.print(f"[bold red]✗[/] {escape(problem)}", highlight=False)


def _in_words(condition: str, short: Callable[[str], str]) -> str:
    return " and ".join(
        f"{key} {operator} {', '.join(short(str(value)) for value in _listed(values))}"
        for operator, keys in json.loads(condition).items()
        for key, values in keys.items()
    )


def matches(pattern: str, text: str, *, any_case: bool = False) -> bool:
    """IAM's own matching: `*` is any text, `?` one character, actions in any case, resources as they are written.

    Source: IAM User Guide, "IAM JSON policy elements: Resource" and "... Action" (read 2026-11-23).
    """
    return _compiled(pattern, any_case).fullmatch(text) is not None


def tighter(granted: str, matched: Iterable[str]) -> str:
    """The narrowest pattern that still covers what was matched, "" where the granted one is as narrow as that.

    One resource stands for itself. Several share what they have in common up to a `/` or a `:`, as a policy would be
    written, and the literal text after the pattern's last wildcard.
    """
    resources = sorted(set(matched))
    if not WILDCARD.search(granted) or not resources:
        return ""
    if len(resources) == 1:
        return "" if resources[0] == granted else resources[0]
    first, last = resources[0], resources[-1]
    common = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    prefix = first[: max((m.end() for m in SEPARATOR.finditer(first[:common])), default=0)]
    literal = WILDCARD.split(granted)
    if len(prefix) <= len(literal[0]):
        return ""
    return f"{prefix}*{literal[-1]}"


@lru_cache(maxsize=4096)
def _compiled(pattern: str, any_case: bool) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "."}
    # A policy variable stands for a value of the request, which nobody remembers here.
    text = "".join(signs.get(sign) or re.escape(sign) for sign in VARIABLE.sub("*", pattern))
    return re.compile(text, (re.IGNORECASE if any_case else 0) | re.DOTALL)


# --- what a stack grants ---------------------------------------------------------------------------------------------


def _is(resource: Mapping[str, Any], kind: str) -> bool:
    return resource["ResourceType"] == kind and bool(resource.get("PhysicalResourceId"))


def _role_grants(cloud: Cloud, role: str) -> list[Grant]:
    iam = cloud.client("iam")
    found = []
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role):
        for name in page["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            found += statements(document, f"inline policy {name}", principal=role)
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        for policy in page["AttachedPolicies"]:
            arn = policy["PolicyArn"]
            try:
                version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            except iam.exceptions.NoSuchEntityException:
                # AWS's own, whose text is not here: one grant that says so, which nothing can use up.
                found.append(Grant(role, f"{TEXT_UNKNOWN}{policy['PolicyName']}", "*", f"managed policy {arn}"))
                continue
            document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
            found += statements(document, f"managed policy {policy['PolicyName']}", principal=role)
    return found


def statements(
    document: Mapping[str, Any] | str, policy: str, *, principal: str | None = None, itself: str | None = None
) -> list[Grant]:
    """Split a policy document into grants: one for each principal, action and resource that an Allow names.

    A Deny takes away and grants nothing. `principal` is the holder of an identity policy; a resource policy names its
    own. `itself` is the ARN for which `*` stands in a policy on that very resource, as in a key policy.
    """
    body = json.loads(document) if isinstance(document, str) else document
    found = []
    for statement in _listed(body.get("Statement")):
        if statement["Effect"] != "Allow":
            continue
        for holder in [principal] if principal else _principals(statement):
            for action, no_action in _either(statement, "Action"):
                for resource, no_resource in _either(statement, "Resource", itself or "*"):
                    found.append(
                        Grant(
                            principal=holder,
                            action=action,
                            resource=itself if itself and resource == "*" else resource,
                            policy=policy,
                            sid=statement.get("Sid", ""),
                            condition=json.dumps(statement["Condition"], sort_keys=True)
                            if statement.get("Condition")
                            else "",
                            by_exclusion=no_action or no_resource or "NotPrincipal" in statement,
                        )
                    )
    return found


def _either(statement: Mapping[str, Any], element: str, default: str = "*") -> list[tuple[str, bool]]:
    if f"Not{element}" in statement:
        return [(f"all but {', '.join(_listed(statement[f'Not{element}']))}", True)]
    return [(value, False) for value in _listed(statement.get(element, default))]


def _principals(statement: Mapping[str, Any]) -> list[str]:
    named = statement.get("Principal", statement.get("NotPrincipal", "*"))
    if isinstance(named, str):
        return ["anyone" if named == "*" else named]
    found = []
    for kind, values in named.items():
        for value in _listed(values):
            if kind != "AWS":
                found.append(value)
            elif value == "*":
                found.append("anyone")
            elif re.fullmatch(r"\d{12}|arn:[^:]+:iam::\d{12}:root", value):
                found.append("account")
            else:
                found.append(value.rsplit("/", 1)[-1])
    return found


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _queue_policy(cloud: Cloud, url: str, logical: str) -> list[Grant]:
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    policy = attributes.get("Attributes", {}).get("Policy")
    return statements(policy, f"policy of queue {logical}") if policy else []


def _topic_policy(cloud: Cloud, arn: str, logical: str) -> list[Grant]:
    policy = cloud.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"].get("Policy")
    return statements(policy, f"policy of topic {logical}") if policy else []


def _bucket_policy(cloud: Cloud, bucket: str, logical: str) -> list[Grant]:
    s3 = cloud.client("s3")
    try:
        return statements(s3.get_bucket_policy(Bucket=bucket)["Policy"], f"policy of bucket {logical}")
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        return []


def _key_policy(cloud: Cloud, key: str, logical: str) -> list[Grant]:
    kms = cloud.client("kms")
    arn = kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
    policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    return statements(policy, f"policy of key {logical}", itself=arn)


def _function_policy(cloud: Cloud, function: str, logical: str) -> list[Grant]:
    client = cloud.client("lambda")
    try:
        return statements(client.get_policy(FunctionName=function)["Policy"], f"policy of function {logical}")
    except client.exceptions.ResourceNotFoundException:
        return []


RESOURCE_POLICIES: Mapping[str, Callable[[Cloud, str, str], list[Grant]]] = {
    "AWS::SQS::Queue": _queue_policy,
    "AWS::SNS::Topic": _topic_policy,
    "AWS::S3::Bucket": _bucket_policy,
    "AWS::KMS::Key": _key_policy,
    "AWS::Lambda::Function": _function_policy,
}


# --- what was decided ------------------------------------------------------------------------------------------------


def _principal(decision: Mapping[str, Any]) -> str:
    return str(decision.get("role") or decision["principal"])


def _concerns(granted: Granted, decision: Mapping[str, Any]) -> bool:
    """A role's decisions are its stack's. A service principal serves every stack: its resource tells whose it is."""
    who = _principal(decision)
    if who in granted.roles:
        return True
    named = any(grant.principal == who for grant in granted.grants) or who.endswith(".amazonaws.com")
    return named and granted.logical_id(decision["resource"]) != ""


def _credited(grants: Iterable[Grant], decision: Mapping[str, Any]) -> Grant | None:
    """The narrowest grant that allowed it. One under a condition is credited only where the decision names it."""
    who, statement = _principal(decision), decision.get("statement") or {}
    fitting = [
        grant
        for grant in grants
        if grant.principal == who
        and grant.allows(decision["action"], decision["resource"])
        and (not grant.condition or _decided(grant, statement))
    ]
    return min(fitting, key=lambda grant: grant.breadth, default=None)


def _decided(grant: Grant, statement: Mapping[str, Any]) -> bool:
    action, resource = statement.get("action_pattern"), statement.get("resource_pattern")
    # In the policy of a key `*` is the key itself.
    return action == grant.action and resource in (grant.resource, "*")


def _refusal(decision: Mapping[str, Any]) -> str:
    statement = decision.get("statement")
    if not statement:
        return "no policy allows it"
    return f"denied by {statement.get('sid') or statement.get('policy') or 'a statement'}"


def _units(
    granted: Granted,
    grant: Grant,
    uses: Mapping[str, Mapping[str, int]],
    not_checkable: Sequence[NotCheckable],
) -> Iterable[Unit]:
    def unit(action: str, status: Status, **more: Any) -> Unit:
        return Unit(
            principal=grant.principal,
            role=granted.display(grant.principal),
            action=action,
            resource=grant.resource,
            status=status,
            policy=grant.policy,
            condition=grant.condition,
            **more,
        )

    for action, resources in sorted(uses.items()):
        yield unit(
            action,
            Status.USED,
            times=sum(resources.values()),
            matched=tuple(sorted(resources)),
            tighter=tighter(grant.resource, resources),
        )
    if uses and not WILDCARD.search(grant.action):
        return
    display = granted.display(grant.principal)
    excused = next((e.reason for e in not_checkable if e.covers(grant.principal, display, grant.action)), "")
    if excused and not uses:
        yield unit(grant.action, Status.NOT_CHECKABLE, reason=excused)
    elif uses:
        yield unit(grant.action, Status.UNUSED, reason=f"all of it but {', '.join(sorted(uses))}: name the actions")
    else:
        yield unit(grant.action, Status.UNUSED, reason="granted by exclusion" if grant.by_exclusion else "")


def _names(granted: Granted, entry: UnusedGrant, unit: Unit) -> bool:
    """An acknowledgement covers one action on one resource of one role; no pattern, and nothing by its beginning."""
    if entry.action != unit.action or not is_named(entry.role, granted.display(unit.principal)):
        return False
    if not entry.resource:
        return unit.resource == "*" and unit.action in WITHOUT_RESOURCE
    if WILDCARD.search(unit.resource) or not unit.resource.startswith("arn:"):
        return False
    logical, rest = granted.split(unit.resource)
    return entry.resource.endswith(rest) and is_named(entry.resource.removesuffix(rest), logical)


def _problems(
    granted: Granted,
    units: Sequence[Unit],
    own: Sequence[UnusedGrant],
    answered: Mapping[UnusedGrant, set[tuple[str, str]]],
) -> Iterable[str]:
    for unit in units:
        what = f"{unit.role}: {unit.action} on {granted.short(unit.resource)}"
        if unit.status is Status.MISSING and not unit.acknowledged:
            yield f"{what} was refused {unit.times} times ({unit.reason}): grant it or stop asking"
        elif unit.status is Status.UNUSED and not unit.acknowledged:
            why = f" ({unit.reason})" if unit.reason else ""
            yield f"{what} is granted and unused{why}: take it away, or acknowledge it in stacks/policy/grants.py"
    yield from faults(own)
    for entry in own:
        covered = answered.get(entry, set())
        if not covered:
            yield f"{entry}: acknowledged as unused, but it is used or not granted any more"
        elif len(covered) > 1:
            yield f"{entry}: covers {len(covered)} grants; name one by its whole logical id"
    # The table may name one role in two ways; here it is known which.
    held = Counter(role for role, _, _ in {(u.role, u.action, u.resource) for u in units if u.acknowledged})
    for role, times in held.items():
        if times > MOST_PER_ROLE:
            yield f"{role} has {times} acknowledged grants, {MOST_PER_ROLE} are the most"
