"""The compliance report: what each stack does about what auditors ask for, read off its template.

    python -m stacks.policy.compliance cdk.out     prints the table

Exit code 0, 1 with open findings, 2 without an assembly.

Every figure is counted in the synthesized template, with the default settings, as AWS would get it: so many of so many
resources that the question is about. What the packs found, open or acknowledged, is counted in the report that CDK
writes beside the templates. Not answered here is what no template tells: who operates the account, who may deploy, what
the data is.
"""

from __future__ import annotations

import importlib
import json
import pathlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacks import catalogue
from stacks.policy import wildcards
from stacks.policy.acknowledgements import Finding, expected
from stacks.policy.template import Template, read, statements, text

PACKS = ("AwsSolutions", "HIPAA.Security", "NIST.800.53.R5", "PCI.DSS.321")
# Held against every stack; the others against those that are marked sensitive.
FOR_ALL = PACKS[:1]

# Where CDK writes what the packs found; `nag.REPORT` again, whose module imports CDK, which this one starts late.
REPORT = "validation-report.json"

Properties = Mapping[str, Any]


@dataclass(frozen=True)
class Measure:
    """So many of so many resources, and what else must be said of them."""

    done: int
    of: int
    remark: str = ""

    def __str__(self) -> str:
        if not self.of:
            return "-"
        return f"{self.done} of {self.of}" + (f"; {self.remark}" if self.remark else "")


@dataclass(frozen=True)
class Found:
    """In how many places a pack found something that is open, and something that is acknowledged."""

    left: int
    acknowledged: int

    def __str__(self) -> str:
        return f"{self.left} / {self.acknowledged}"


@dataclass(frozen=True)
class Report:
    """What a synthesis found, as (rule, construct path): what is neither mended nor acknowledged, and the rest."""

    left: Sequence[Finding]
    acknowledged: Sequence[Finding]

    def of(self, architecture: str, pack: str) -> Found:
        """What a pack found in a stack."""

        def count(findings: Sequence[Finding]) -> int:
            return sum(pack_of(rule) == pack and path.partition("/")[0] == architecture for rule, path in findings)

        return Found(count(self.left), count(self.acknowledged))


@dataclass(frozen=True)
class Made:
    """What a function of a stack makes, which is in no template, so that no pack looks at it.

    `measures` by question, as `test` reads them off the deployed resources.
    """

    title: str
    measures: Mapping[str, Measure]
    test: str


@dataclass(frozen=True)
class Row:
    """One stack: its measures by question, and what each pack found in it; None: a pack that it is not held against.

    `made`: what its functions make beside.
    """

    architecture: str
    sensitive: bool
    measures: Mapping[str, Measure]
    found: Mapping[str, Found | None]
    made: Sequence[Made] = ()


# --- What keeps data, and by which key


def _bucket_key(properties: Properties) -> str:
    rules = properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
    by_default = rules[0].get("ServerSideEncryptionByDefault", {}) if rules else {}
    # S3 encrypts every object by itself since 2023-01 ("Setting default server-side encryption behavior for Amazon S3
    # buckets", Amazon S3 User Guide, read 2026-11-27).
    return "own" if by_default.get("KMSMasterKeyID") else "aws"


def _queue_key(properties: Properties) -> str:
    if properties.get("KmsMasterKeyId"):
        return "own" if not isinstance(properties["KmsMasterKeyId"], str) else "aws"
    return "none" if properties.get("SqsManagedSseEnabled") is False else "aws"


def _topic_key(properties: Properties) -> str:
    return "own" if properties.get("KmsMasterKeyId") else "none"


def _if(*path: str) -> Callable[[Properties], str]:
    """`own` where a property names a key; AWS encrypts with one of its own else."""

    def key(properties: Properties) -> str:
        value: Any = properties
        for name in path:
            value = value.get(name, {}) if isinstance(value, Mapping) else {}
        return "own" if value else "aws"

    return key


STORES: Mapping[str, Callable[[Properties], str]] = {
    "AWS::Athena::WorkGroup": _if("WorkGroupConfiguration", "ResultConfiguration", "EncryptionConfiguration", "KmsKey"),
    "AWS::CloudTrail::Trail": _if("KMSKeyId"),
    "AWS::Config::DeliveryChannel": _if("S3KmsKeyArn"),
    "AWS::DynamoDB::Table": _if("SSESpecification", "KMSMasterKeyId"),
    "AWS::Logs::LogGroup": _if("KmsKeyId"),
    "AWS::S3::Bucket": _bucket_key,
    "AWS::SNS::Topic": _topic_key,
    "AWS::SQS::Queue": _queue_key,
    "AWS::SageMaker::Domain": _if("KmsKeyId"),
    "AWS::SageMaker::NotebookInstance": _if("KmsKeyId"),
    "AWS::SecretsManager::Secret": _if("KmsKeyId"),
    "AWS::StepFunctions::StateMachine": _if("EncryptionConfiguration", "KmsKeyId"),
}


def _encryption(template: Template) -> Measure:
    keys = [STORES[one["Type"]](one.get("Properties", {})) for _, one in template.resources(*STORES)]
    own = keys.count("own")
    return Measure(len(keys) - keys.count("none"), len(keys), f"{own} by own keys" if own else "")


# --- The other questions

# Each with the type of its policy and the property in which that names what it is for.
RESOURCE_POLICIES: Mapping[str, tuple[str, str]] = {
    "AWS::S3::Bucket": ("AWS::S3::BucketPolicy", "Bucket"),
    "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", "Topics"),
    "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", "Queues"),
}


def _tls(template: Template) -> Measure:
    """Buckets, queues and topics whose policy refuses plain HTTP; all else at AWS is reached by TLS only."""
    refusing = {
        one.logical_id
        for one in statements(template)
        if not one.allows and one.body.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") == "false"
    }
    covered = {
        reference
        for logical_id, policy in template.resources(*(kind for kind, _ in RESOURCE_POLICIES.values()))
        if logical_id in refusing
        for name in ("Bucket", "Topics", "Queues")
        for reference in _references(policy["Properties"].get(name))
    }
    resources = [logical_id for logical_id, _ in template.resources(*RESOURCE_POLICIES)]
    newest = sorted(
        {
            str(value)
            for one in statements(template)
            if not one.allows
            for value in one.body.get("Condition", {}).get("NumericLessThan", {}).values()
        }
    )
    remark = f"at least {', '.join(newest)} where asked" if newest else ""
    return Measure(len(covered & set(resources)), len(resources), remark)


def _references(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, Mapping) and isinstance(one.get("Ref"), str):
            yield one["Ref"]


PUBLIC_ACCESS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


def _private(template: Template) -> Measure:
    """Buckets that block all public access, and resource policies that let nobody in by `*`.

    An endpoint's policy may say `*` where it is held to the account or to what it names, as `wildcards` has it.
    """
    blocked = [
        all(one["Properties"].get("PublicAccessBlockConfiguration", {}).get(name) is True for name in PUBLIC_ACCESS)
        for _, one in template.resources("AWS::S3::Bucket")
    ]
    opened = {one.logical_id for one in statements(template) if one.allows and wildcards.lets_everyone_in(one)}
    policies = {one.logical_id for one in statements(template) if one.kind == "resource"}
    return Measure(sum(blocked) + len(policies - opened), len(blocked) + len(policies))


JOBS = ("Processing", "Training", "Transform", "Tuning")


def _jobs(value: Any) -> Iterator[Properties]:
    """The arguments of every step of a pipeline's definition that is a job, in the branches of conditions too."""
    if isinstance(value, Mapping):
        if value.get("Type") in JOBS and "Arguments" in value:
            yield value["Arguments"]
        for part in value.values():
            yield from _jobs(part)
    elif isinstance(value, list):
        for part in value:
            yield from _jobs(part)


def _placed(properties: Properties) -> bool:
    """Whether a function, a model or a job has subnets; a processing job's and a definition's are one level deeper."""
    return bool(properties.get("VpcConfig") or properties.get("NetworkConfig", {}).get("VpcConfig"))


def _steps_placed(properties: Properties) -> list[bool]:
    body = json.loads(text(properties["PipelineDefinition"]["PipelineDefinitionBody"]))
    return [_placed(job) for job in _jobs(body)]


# What runs code, and whether it does so in a VPC; a pipeline runs several jobs.
RUNS: Mapping[str, Callable[[Properties], list[bool]]] = {
    "AWS::Lambda::Function": lambda one: [_placed(one)],
    "AWS::SageMaker::DataQualityJobDefinition": lambda one: [_placed(one)],
    "AWS::SageMaker::Domain": lambda one: [one.get("AppNetworkAccessType") == "VpcOnly"],
    "AWS::SageMaker::Model": lambda one: [_placed(one)],
    "AWS::SageMaker::NotebookInstance": lambda one: [
        bool(one.get("SubnetId")) and one.get("DirectInternetAccess") == "Disabled"
    ],
    "AWS::SageMaker::Pipeline": _steps_placed,
}


def _vpc(template: Template) -> Measure:
    """Functions, jobs, models, notebooks and Studio domains whose traffic stays in a VPC's subnets."""
    placed = [one for _, found in template.resources(*RUNS) for one in RUNS[found["Type"]](found["Properties"])]
    return Measure(sum(placed), len(placed))


LOGGED: Mapping[str, tuple[str, ...]] = {
    "AWS::ApiGateway::Stage": ("AccessLogSetting", "DestinationArn"),
    "AWS::Lambda::Function": ("LoggingConfig", "LogGroup"),
    "AWS::S3::Bucket": ("LoggingConfiguration", "DestinationBucketName"),
    "AWS::StepFunctions::StateMachine": ("LoggingConfiguration", "Destinations"),
}


def _logging(template: Template) -> Measure:
    logged = [_if(*LOGGED[one["Type"]])(one.get("Properties", {})) == "own" for _, one in template.resources(*LOGGED)]
    return Measure(sum(logged), len(logged))


def _retention(template: Template) -> Measure:
    """Log groups that expire their entries, and buckets with rules for how long what stays."""
    groups = [one["Properties"].get("RetentionInDays") for _, one in template.resources("AWS::Logs::LogGroup")]
    buckets = ["LifecycleConfiguration" in one["Properties"] for _, one in template.resources("AWS::S3::Bucket")]
    days = sorted(day for day in groups if day)
    remark = f"logs {days[0]} to {days[-1]} days" if days and days[0] != days[-1] else ""
    return Measure(len(days) + sum(buckets), len(groups) + len(buckets), remark)


def _least_privilege(template: Template) -> Measure:
    """Statements that allow, less those that the check for wildcards refuses."""
    allowing = [one for one in statements(template) if one.allows]
    without = {action for one in allowing if "*" in one.targets for action in one.actions} & set(
        wildcards.WITHOUT_RESOURCE
    )
    wide = len(wildcards.check(template))
    remark = f"{len(without)} actions support no resource" if without else ""
    return Measure(len(allowing) - wide, len(allowing), remark)


QUESTIONS: Mapping[str, Callable[[Template], Measure]] = {
    "Encrypted at rest": _encryption,
    "TLS only": _tls,
    "Closed to the public": _private,
    "In a VPC": _vpc,
    "Logged": _logging,
    "Retention set": _retention,
    "Narrow grants": _least_privilege,
}


# Custom resources whose functions make what keeps data.
MADE: Mapping[str, Made] = {
    "Custom::ReplicaBucket": Made(
        "copies in a second region, and their access logs",
        {
            "Encrypted at rest": Measure(2, 2, "1 by own keys"),
            "TLS only": Measure(2, 2, "at least 1.2 where asked"),
            "Closed to the public": Measure(4, 4),
            "Logged": Measure(1, 2),
            "Retention set": Measure(2, 2),
            "Narrow grants": Measure(1, 1),
        },
        "tests.scenarios.test_model_vault.test_the_second_regions_buckets_are_as_the_compliance_report_says",
    )
}


# --- The report


def settings_by_default(architectures: Sequence[catalogue.Architecture]) -> dict[str, dict[str, Any]]:
    """The default settings of stacks, by architecture."""
    from app import use_bundled_node

    # Before a stack imports CDK, which would take whatever Node there is.
    use_bundled_node()
    found = {}
    for architecture in architectures:
        assert architecture.stack
        module, _, name = architecture.stack.partition(":")
        found[architecture.id] = getattr(importlib.import_module(module), name).Settings().model_dump()
    return found


def rows(templates: Sequence[Template], report: Report) -> list[Row]:
    """One row a stack, in the catalogue's order, with what the packs found in it."""
    known = {architecture.id: architecture for architecture in catalogue.ARCHITECTURES}
    order = list(known)
    made = []
    for template in sorted(templates, key=lambda template: order.index(template.architecture)):
        sensitive = known[template.architecture].sensitive
        found = {
            pack: report.of(template.architecture, pack) if sensitive or pack in FOR_ALL else None for pack in PACKS
        }
        measures = {question: measure(template) for question, measure in QUESTIONS.items()}
        beside = [MADE[one["Type"]] for _, one in template.resources(*MADE)]
        made.append(Row(template.architecture, sensitive, measures, found, beside))
    return made


def pack_of(rule: str) -> str:
    """The pack of a rule's id: `HIPAA.Security-LambdaDLQ` is of `HIPAA.Security`."""
    return rule.partition("-")[0]


def not_looked_at(templates: Sequence[Template]) -> list[str]:
    """The types in the stacks that no question is about."""
    asked = {*STORES, *MADE, *RESOURCE_POLICIES, *LOGGED, *RUNS, *(kind for kind, _ in RESOURCE_POLICIES.values())}
    asked |= {one.resource_type for template in templates for one in statements(template)}
    return sorted({one["Type"] for template in templates for _, one in template.resources()} - asked)


def table(found: Sequence[Row]) -> str:
    """The report as Markdown; links are seen from `docs/`."""
    heads = ["Stack", *QUESTIONS, *(f"{pack}: open / acknowledged" for pack in PACKS)]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in found:
        name = f"[`{row.architecture}`](architectures/{row.architecture}.md)"
        built = next(one for one in catalogue.ARCHITECTURES if one.id == row.architecture)
        cells = [name if built.status == "available" else f"`{row.architecture}`"]
        cells[0] += " (sensitive)" if row.sensitive else ""
        cells += [str(measure) for measure in row.measures.values()]
        cells += ["not held" if found is None else str(found) for found in row.found.values()]
        lines.append(f"| {' | '.join(cells)} |")
        for one in row.made:
            module, _, test = one.test.rpartition(".")
            held = f"[a test](../{module.replace('.', '/')}.py), `{test}`"
            cells = [f"`{row.architecture}`: {one.title}; no template, so no pack: held by {held}"]
            cells += [str(one.measures.get(question, Measure(0, 0))) for question in QUESTIONS]
            lines.append(f"| {' | '.join([*cells, *['-'] * len(PACKS)])} |")
    return "\n".join(lines)


def findings(architectures: Sequence[catalogue.Architecture]) -> str:
    """Every acknowledged finding as Markdown: each reason once, with its rules, its stacks and in how many places."""
    grouped: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for finding, reason in expected(settings_by_default(architectures)).items():
        grouped[reason].append(finding)

    def line(reason: str, places: Sequence[tuple[str, str]]) -> str:
        rules = sorted({rule.partition("[")[0] for rule, _ in places})
        stacks = list(dict.fromkeys(path.partition("/")[0] for _, path in places))
        where = ", ".join(f"`{name}`" for name in stacks)
        told = reason.replace("|", r"\|")
        return f"| {'<br>'.join(f'`{rule}`' for rule in rules)} | {where} | {len(places)} | {told} |"

    lines = sorted(line(reason, places) for reason, places in grouped.items())
    return "\n".join(["| Rules | Stacks | Places | Why it is right as it is |", "|---|---|---|---|", *lines])


def reported(assembly: pathlib.Path) -> Report:
    """What the packs and CDK's own rules found while an assembly was synthesized.

    Raises ValueError when a pack that should have been held was not: no finding would then mean nothing.
    """
    reports = json.loads((assembly / REPORT).read_text(encoding="utf-8"))["pluginReports"]
    held = {str(report.get("pluginName") or report.get("name")) for report in reports}
    if missing := set(PACKS) - held:
        raise ValueError(f"{', '.join(sorted(missing))} was not held")

    def listed(kind: str) -> list[Finding]:
        return [
            (violation["ruleName"], construct["constructPath"])
            for report in reports
            for violation in report.get(kind, [])
            for construct in violation["violatingConstructs"]
        ]

    return Report(listed("violations"), listed("suppressedViolations"))


def main(arguments: Sequence[str]) -> int:
    """Prints the table and every open finding."""
    assembly = pathlib.Path(arguments[0] if arguments else "cdk.out")
    try:
        templates, report = read(assembly), reported(assembly)
    except (OSError, ValueError) as error:
        print(f"{assembly} is no cloud assembly of all stacks ({error}). Synthesize first: make synth", file=sys.stderr)
        return 2
    print(table(rows(templates, report)))
    for rule, place in report.left:
        print(f"open: {rule} at {place}", file=sys.stderr)
    return 1 if report.left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
